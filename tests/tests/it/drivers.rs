//! Every method of the hypervisor, the network and the image cache goes wrong in every way it can, in every step.

use crate::crew::each;
use mallee_sim::SimFault;
use mallee_tests::{Step, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::time::Duration;

/// What a node asks of its host in the life of an instance.
const METHODS: [&str; 14] = [
    "ensure",
    "prepare_disk",
    "create_tap",
    "start_paused",
    "plug",
    "resume",
    "reboot",
    "shutdown",
    "unplug",
    "remove",
    "domain",
    "domains",
    "apply",
    "inventory",
];
/// Those of them that a node asks on its own clock (sweeps, inventories): they may fall into any step, or, on a fast
/// machine, into none.
const BY_THE_CLOCK: [&str; 2] = ["domains", "inventory"];
const STEPS: [Step; 5] = [Step::Launch, Step::Reboot, Step::Stop, Step::Start, Step::Terminate];

/// What a step needs before it.
const fn before(step: Step) -> &'static [Step] {
    match step {
        Step::Launch => &[],
        Step::Reboot | Step::Restart | Step::Stop | Step::Terminate => &[Step::Launch],
        Step::Start => &[Step::Launch, Step::Stop],
    }
}

type Case = (Step, &'static str, SimFault, u32);

/// Every method in every step that calls it, in each of these ways.
async fn cases(kinds: &[(SimFault, u32)]) -> Vec<Case> {
    let mut cloud = TestCloud::start().await;
    let mut out = Vec::new();
    for step in STEPS {
        let mut id = None;
        for step in before(step) {
            cloud.step(*step, &mut id).await;
        }
        let begun = METHODS.map(|method| calls(&cloud, method));
        cloud.step(step, &mut id).await;
        let tried = |(method, begun): &(&str, u64)| BY_THE_CLOCK.contains(method) || calls(&cloud, method) > *begun;
        for (method, _) in METHODS.into_iter().zip(begun).filter(tried) {
            out.extend(kinds.iter().map(|(fault, times)| (step, method, fault.clone(), *times)));
        }
        cloud.clear().await;
    }
    let untried = METHODS.iter().find(|method| !out.iter().any(|(_, tried, ..)| tried == *method));
    assert_eq!(untried, None, "every method is called in some step");
    out
}

fn calls(cloud: &TestCloud, method: &str) -> u64 {
    cloud.hosts.iter().map(|host| host.calls(method)).sum()
}

async fn finish(cloud: &mut TestCloud) {
    cloud.hosts.iter().for_each(mallee_sim::SimHost::mend);
    cloud.clear().await;
}

/// The fault passes: the step reaches its end as if nothing had been.
async fn is_overcome(kinds: &[(SimFault, u32)]) {
    each(cases(kinds).await, async |cloud: &mut TestCloud, (step, method, fault, times)| {
        let mut id = None;
        for step in before(*step) {
            cloud.step(*step, &mut id).await;
        }
        cloud.hosts.iter().for_each(|host| host.fault(method, fault.clone(), *times));
        cloud.step(*step, &mut id).await;
        finish(cloud).await;
    })
    .await;
}

#[tokio::test]
async fn a_call_that_fails_is_repeated() {
    is_overcome(&[(SimFault::Fail, 1), (SimFault::Fail, 2)]).await;
}

#[tokio::test]
async fn a_call_whose_reply_is_lost_is_not_done_twice() {
    is_overcome(&[(SimFault::FailAfter, 1), (SimFault::FailAfter, 2)]).await;
}

#[tokio::test]
async fn a_slow_call_is_waited_for() {
    is_overcome(&[(SimFault::Delay(Duration::from_millis(80)), 3)]).await;
}

/// A launch may be given up: then it says why, leaves nothing, and the next one works.
#[tokio::test]
async fn a_call_that_is_refused_ends_the_launch_with_its_reason() {
    let kinds = [(SimFault::Refuse, 1), (SimFault::Exhausted, 3)];
    each(cases(&kinds).await, async |cloud: &mut TestCloud, (step, method, fault, times)| {
        let mut id = None;
        for step in before(*step) {
            cloud.step(*step, &mut id).await;
        }
        let arm = |cloud: &TestCloud| cloud.hosts.iter().for_each(|host| host.fault(method, fault.clone(), *times));
        match step {
            Step::Launch => {
                arm(cloud);
                let token = cloud.rng.uuid();
                let launched = cloud.launch(&token).await;
                given_up_or_running(cloud, &launched, InstanceState::Terminated).await;
            }
            Step::Start => {
                let id = id.expect("launched before");
                arm(cloud);
                cloud.act("StartInstances", &id).await;
                given_up_or_running(cloud, &id, InstanceState::Stopped).await;
                cloud.hosts.iter().for_each(mallee_sim::SimHost::mend);
                cloud.act("StartInstances", &id).await;
                cloud.until_state(&id, InstanceState::Running).await;
            }
            Step::Reboot | Step::Restart | Step::Stop | Step::Terminate => {
                arm(cloud);
                cloud.step(*step, &mut id).await;
            }
        }
        finish(cloud).await;
    })
    .await;
}

async fn given_up_or_running(cloud: &mut TestCloud, id: &InstanceId, given_up: InstanceState) {
    cloud
        .until("it runs, or was given up for a reason", async |cloud| {
            let row = cloud.rows().await.into_iter().find(|row| row.id == *id).expect("it has a row");
            let reason = row.state_reason_message.unwrap_or_default();
            match row.state {
                InstanceState::Running => Ok(()),
                // The reason names the host and the cause.
                state if state == given_up && reason.contains("node-") => Ok(()),
                state => Err(format!("is {}: {reason:?}", state.name())),
            }
        })
        .await;
}

/// The host never answers, and the cloud is killed while it waits: the next one does it again.
#[tokio::test]
async fn death_in_the_middle_of_a_call_is_survived() {
    each(cases(&[(SimFault::Hang, 1)]).await, async |cloud: &mut TestCloud, (step, method, fault, times)| {
        let mut id = None;
        for step in before(*step) {
            cloud.step(*step, &mut id).await;
        }
        let begun = calls(cloud, method);
        cloud.hosts.iter().for_each(|host| host.fault(method, fault.clone(), *times));
        let (action, goal) = match step {
            Step::Launch => ("RunInstances", InstanceState::Running),
            Step::Reboot | Step::Restart => ("RebootInstances", InstanceState::Running),
            Step::Stop => ("StopInstances", InstanceState::Stopped),
            Step::Start => ("StartInstances", InstanceState::Running),
            Step::Terminate => ("TerminateInstances", InstanceState::Terminated),
        };
        let id = match &id {
            Some(id) => id.clone(),
            None => {
                let token = cloud.rng.uuid();
                cloud.launch(&token).await
            }
        };
        if *step != Step::Launch {
            cloud.act(action, &id).await;
        }
        cloud
            .until("the call hangs, or the step does not need it", async |cloud| {
                let done = cloud.rows().await.into_iter().any(|row| row.id == id && row.state == goal);
                if done || calls(cloud, method) > begun { Ok(()) } else { Err("neither".into()) }
            })
            .await;
        cloud.kill().await;
        cloud.hosts.iter().for_each(mallee_sim::SimHost::mend);
        cloud.boot().await;
        cloud.until_state(&id, goal).await;
        cloud.sound().await;
        finish(cloud).await;
    })
    .await;
}
