//! Kill and fail at every fault point of every workflow; the same host and ledger come back.

use crate::setup::{Lab, eventually, id, intent};
use mallee_proto::v1::{DomainPhase as Phase, InstanceIntent, RunIntent as Intent};
use mallee_runtime::FaultAction;

#[derive(Debug, Clone, Copy)]
enum Workflow {
    Launch,
    Stop,
    Terminate,
    Reboot,
}

impl Workflow {
    const ALL: [Self; 4] = [Self::Launch, Self::Stop, Self::Terminate, Self::Reboot];

    /// What the world is before.
    async fn prepare(self, lab: &Lab) {
        if !matches!(self, Self::Launch) {
            lab.cluster.want(intent(1, 1, Intent::Run));
            lab.phase(&id(1), 1, Phase::Running).await;
        }
    }

    fn order(self) -> InstanceIntent {
        match self {
            Self::Launch => intent(1, 2, Intent::Run),
            Self::Stop => intent(1, 2, Intent::Stop),
            Self::Terminate => intent(1, 2, Intent::Terminate),
            Self::Reboot => InstanceIntent { reboot_seq: 1, ..intent(1, 2, Intent::Run) },
        }
    }

    /// What it must be after, whatever happened; and then it can be taken away without a trace.
    async fn check(self, lab: &Lab) {
        self.reached(lab).await;
        lab.cluster.want(intent(1, 3, Intent::Terminate));
        lab.clean().await;
    }

    async fn reached(self, lab: &Lab) {
        match self {
            Self::Launch => lab.phase(&id(1), 2, Phase::Running).await,
            Self::Stop => {
                lab.phase(&id(1), 2, Phase::Stopped).await;
                assert!(lab.host.running().is_empty() && lab.host.plugged().is_empty());
            }
            Self::Terminate => lab.clean().await,
            Self::Reboot => {
                lab.phase(&id(1), 2, Phase::Running).await;
                eventually("the reboot is told", || match lab.cluster.observed(&id(1)) {
                    Some(seen) if seen.reboot_seq == 1 => Ok(()),
                    other => Err(format!("{other:?}")),
                })
                .await;
                assert!(lab.host.domain(&id(1).parse().unwrap()).unwrap().boots >= 2);
            }
        }
    }

    async fn points(self) -> Vec<String> {
        let lab = Lab::started().await;
        self.prepare(&lab).await;
        lab.cluster.want(self.order());
        self.check(&lab).await;
        lab.faults.passed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_every_point_ends_where_it_should() {
    let mut struck = 0;
    for workflow in Workflow::ALL {
        for point in workflow.points().await {
            let mut lab = Lab::new();
            lab.start().await;
            workflow.prepare(&lab).await;
            lab.faults.arm(&point, FaultAction::Kill, 1);
            lab.cluster.want(workflow.order());
            // Points of other workflows (the preparation's, the final removal's) may not come up: then nothing happens.
            tokio::select! {
                () = lab.faults.killed() => {}
                () = workflow.reached(&lab) => {}
            }
            lab.faults.clear();
            // Some points come after the last thing the cluster sees: they may strike while the end is being looked at.
            if !lab.faults.hit().is_empty() {
                struck += 1;
                lab.kill_and_start().await;
            }
            workflow.check(&lab).await;
        }
    }
    assert!(struck >= 40, "only {struck} points were struck");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_every_point_is_overcome() {
    for workflow in Workflow::ALL {
        for point in workflow.points().await {
            let lab = Lab::started().await;
            workflow.prepare(&lab).await;
            lab.faults.arm(&point, FaultAction::Fail, 2);
            lab.cluster.want(workflow.order());
            workflow.check(&lab).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_every_point_of_the_start_is_overcome() {
    let points = {
        let mut lab = Lab::started().await;
        Workflow::Stop.prepare(&lab).await;
        lab.kill_and_start().await;
        lab.cluster.with(|known| known.observed.clear());
        lab.phase(&id(1), 1, Phase::Running).await;
        lab.faults.passed()
    };
    for point in points {
        let mut lab = Lab::started().await;
        Workflow::Stop.prepare(&lab).await;
        lab.kill().await;
        lab.faults = mallee_runtime::Faults::recording();
        lab.faults.arm(&point, FaultAction::Kill, 1);
        lab.start().await;
        if tokio::time::timeout(std::time::Duration::from_millis(300), lab.faults.killed()).await.is_ok() {
            lab.kill_and_start().await;
        }
        lab.cluster.with(|known| known.observed.clear());
        lab.cluster.hang_up();
        lab.cluster.with(|known| known.cursor = None);
        lab.phase(&id(1), 1, Phase::Running).await;
        assert_eq!(lab.host.domain(&id(1).parse().unwrap()).unwrap().boots, 1, "{point}: the guest was disturbed");
    }
}
