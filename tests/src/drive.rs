//! The life of an instance, step by step, as a client drives it.

use crate::cloud::TestCloud;
use mallee_types::{InstanceId, InstanceState};

/// A step of an instance's life, from one state at rest to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing → running.
    Launch,
    /// Running → running, booted once more.
    Reboot,
    /// Running → running, while the cloud is stopped and started.
    Restart,
    /// Running → stopped.
    Stop,
    /// Stopped → running.
    Start,
    /// Running → terminated.
    Terminate,
}

impl Step {
    /// In the order of a life.
    pub const ALL: [Self; 6] = [Self::Launch, Self::Reboot, Self::Restart, Self::Stop, Self::Start, Self::Terminate];
}

impl TestCloud {
    /// `RunInstances` of one instance of the smallest size, with this client token; repeated until accepted.
    ///
    /// # Panics
    /// When it is refused, or not accepted in time.
    pub async fn launch(&mut self, token: &str) -> InstanceId {
        self.launch_with(token, &[]).await
    }

    /// As [`TestCloud::launch`], with more parameters.
    ///
    /// # Panics
    /// When it is refused, or not accepted in time.
    pub async fn launch_with(&mut self, token: &str, more: &[(&str, &str)]) -> InstanceId {
        let image = self.image().await;
        let params = [
            ("ImageId", image.as_str()),
            ("InstanceType", "t3.nano"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("ClientToken", token),
        ];
        let reply = self.insist("RunInstances", &[&params[..], more].concat()).await;
        let ids = reply.all("instanceId");
        assert_eq!(ids.len(), 1, "one instance was asked for: {}", reply.0);
        ids[0].parse().expect("an instance id")
    }

    /// The image of a simulated cloud.
    ///
    /// # Panics
    /// When there is none.
    pub async fn image(&mut self) -> String {
        let reply = self.insist("DescribeImages", &[("Owner.1", "self")]).await;
        reply.first("imageId").unwrap_or_else(|| panic!("a simulated cloud has an image: {}", reply.0)).to_owned()
    }

    /// A call about one instance, repeated until accepted.
    ///
    /// # Panics
    /// When it is refused, or not accepted in time.
    pub async fn act(&mut self, action: &str, id: &InstanceId) {
        self.insist(action, &[("InstanceId.1", id.as_str())]).await;
    }

    /// Makes the step and waits for its end. `id` is the instance's once it was launched.
    ///
    /// # Panics
    /// When it does not come to its end.
    pub async fn step(&mut self, step: Step, id: &mut Option<InstanceId>) {
        if step == Step::Launch {
            let token = format!("token-{}", self.rng.uuid());
            let launched = self.launch(&token).await;
            self.until_state(&launched, InstanceState::Running).await;
            let mine = self.rows().await.into_iter().filter(|row| row.client_token.as_ref() == Some(&token)).count();
            assert_eq!(mine, 1, "one client token, one instance (I8); faults: {:?}", self.faults.hit());
            *id = Some(launched);
            return;
        }
        let id = id.clone().expect("launched before");
        match step {
            Step::Launch => {}
            Step::Reboot => {
                let boots = self.host_of(&id).await.domain(&id).map_or(0, |domain| domain.boots);
                self.act("RebootInstances", &id).await;
                self.until("the guest boots once more", async |cloud| {
                    let now = cloud.host_of(&id).await.domain(&id).map_or(0, |domain| domain.boots);
                    if now > boots { Ok(()) } else { Err(format!("{now} boots")) }
                })
                .await;
                self.until("the reboot is known", async |cloud| {
                    let row = cloud.rows().await.into_iter().find(|row| row.id == id).expect("it has a row");
                    let (asked, seen) = (row.reboot_seq, row.observed_reboot_seq);
                    let runs = row.state == InstanceState::Running;
                    if runs && asked == seen {
                        Ok(())
                    } else {
                        Err(format!("{seen} of {asked} reboots, {}", row.state.name()))
                    }
                })
                .await;
            }
            Step::Restart => {
                let before = self.host_of(&id).await.domain(&id);
                self.stop().await;
                self.boot().await;
                self.until_state(&id, InstanceState::Running).await;
                let after = self.host_of(&id).await.domain(&id);
                assert_eq!(after, before, "a restart of the cloud does not touch the guest");
            }
            Step::Stop => {
                self.act("StopInstances", &id).await;
                self.until_state(&id, InstanceState::Stopped).await;
            }
            Step::Start => {
                self.act("StartInstances", &id).await;
                self.until_state(&id, InstanceState::Running).await;
            }
            Step::Terminate => {
                self.act("TerminateInstances", &id).await;
                self.until_state(&id, InstanceState::Terminated).await;
            }
        }
    }

    /// Terminates whatever there is, and waits for the empty cloud.
    ///
    /// # Panics
    /// When something is left.
    pub async fn clear(&mut self) {
        for row in self.rows().await.into_iter().filter(|row| !row.released) {
            self.act("TerminateInstances", &row.id).await;
        }
        self.empty().await;
    }
}
