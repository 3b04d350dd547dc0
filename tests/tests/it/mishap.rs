//! What befalls a cloud in a random schedule: faults at points of the code, hosts that err, guests and processes that die.

use mallee_runtime::FaultAction;
use mallee_sim::SimFault;
use mallee_tests::TestCloud;
use mallee_types::InstanceId;
use std::time::Duration;

const METHODS: [&str; 10] =
    ["ensure", "prepare_disk", "create_tap", "start_paused", "plug", "resume", "unplug", "remove", "domain", "apply"];

/// One of them, by the cloud's random numbers.
pub fn pick<'a, T>(cloud: &TestCloud, from: &'a [T]) -> Option<&'a T> {
    let n = usize::try_from(cloud.rng.below(from.len() as u64)).unwrap_or_default();
    from.get(n)
}

/// Something befalls it: one of these points, a host, the guest of `target`, the whole cloud, or a node's controller. What it
/// was is in the returned text.
pub async fn strike(cloud: &mut TestCloud, points: &[String], target: Option<InstanceId>) -> String {
    match cloud.rng.below(6) {
        0 | 1 => {
            let point = pick(cloud, points).expect("there are points").clone();
            let times = 1 + u32::try_from(cloud.rng.below(2)).unwrap_or(0);
            let fault = match cloud.rng.below(3) {
                0 => FaultAction::Fail,
                1 => FaultAction::Delay(Duration::from_millis(30)),
                _ => FaultAction::Kill,
            };
            cloud.faults.arm(&point, fault, times);
            format!("{point}: {fault:?} ×{times}")
        }
        2 => {
            let method = pick(cloud, &METHODS).expect("there are methods");
            let fault = match cloud.rng.below(3) {
                0 => SimFault::Fail,
                1 => SimFault::FailAfter,
                _ => SimFault::Delay(Duration::from_millis(30)),
            };
            let host = pick(cloud, &cloud.hosts).expect("there are hosts");
            host.fault(method, fault.clone(), 2);
            format!("{}: {method}: {fault:?}", host.name())
        }
        3 => {
            cloud.kill().await;
            cloud.boot().await;
            "kill -9".into()
        }
        4 => {
            let Some(id) = target else { return "nothing there".into() };
            let host = cloud.host_of(&id).await;
            let (what, done) = if cloud.rng.below(2) == 0 {
                ("crashed", host.crash_guest(&id))
            } else {
                ("powered itself off", host.power_off_guest(&id))
            };
            format!("{id} {what}: {done}")
        }
        _ => {
            let host = pick(cloud, &cloud.hosts).expect("there are hosts").name().to_owned();
            cloud.kill_node(&host).await;
            cloud.start_node(&host).await;
            format!("{host}'s controller died")
        }
    }
}
