//! Links that hold back or break (R5): between cloud and cluster controller, between cluster controller and nodes, in each
//! direction, for a moment and for longer than anybody waits, during launch, stop and terminate. Afterwards everything
//! is as it should be; and a guest that nobody asked to stop never notices.

use crate::crew::each_on;
use mallee_cluster_controller::ClusterConfig;
use mallee_pki::{Flow, Gate};
use mallee_tests::{Setup, Step, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::time::Duration;

/// Controllers that lose patience soon.
fn impatient(seed: u64) -> Setup {
    let cluster = ClusterConfig { heartbeat_ms: 100, offline_after_ms: 400, ..ClusterConfig::for_zone("") };
    Setup { seed, cluster, ..Setup::default() }
}

/// Shorter and longer than all patience.
const SHORT: Duration = Duration::from_millis(120);
const LONG: Duration = Duration::from_millis(1200);

#[derive(Debug, Clone, Copy)]
enum Link {
    Cloud,
    Nodes,
}

#[derive(Debug, Clone, Copy)]
enum Break {
    Cut,
    Both,
    ToServer,
    ToClient,
}

impl Break {
    fn on(self, gate: &Gate) {
        match self {
            Self::Cut => gate.cut(),
            Self::Both => gate.set(Flow::Held, Flow::Held),
            Self::ToServer => gate.set(Flow::Held, Flow::Open),
            Self::ToClient => gate.set(Flow::Open, Flow::Held),
        }
    }
}

type Case = (Link, Break, Duration, Step);

fn cases(link: Link) -> Vec<Case> {
    let mut cases = Vec::new();
    for how in [Break::Cut, Break::Both, Break::ToServer, Break::ToClient] {
        for time in [SHORT, LONG] {
            cases.extend([Step::Launch, Step::Stop, Step::Terminate].map(|step| (link, how, time, step)));
        }
    }
    cases
}

fn gates(cloud: &TestCloud, link: Link) -> Vec<Gate> {
    match link {
        Link::Cloud => vec![cloud.links.cloud.clone()],
        Link::Nodes => cloud.links.nodes.values().cloned().collect(),
    }
}

async fn one(cloud: &mut TestCloud, case: &Case) {
    let &(link, how, time, step) = case;
    let mut bystander = None;
    cloud.step(Step::Launch, &mut bystander).await;
    let bystander: InstanceId = bystander.expect("launched");
    let host = cloud.host_of(&bystander).await;
    let mut id = None;
    if step != Step::Launch {
        cloud.step(Step::Launch, &mut id).await;
    }
    let gates = gates(cloud, link);
    // The step begins just before, so that the break is in the middle of it; the cloud's link heals by itself.
    let healing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        gates.iter().for_each(|gate| how.on(gate));
        tokio::time::sleep(time).await;
        gates.iter().for_each(Gate::open);
    });
    cloud.step(step, &mut id).await;
    healing.await.expect("it heals");
    let id = id.expect("launched");
    cloud.sound().await;
    let guest = host.domain(&bystander).unwrap_or_else(|| panic!("{case:?}: the bystander is gone"));
    assert_eq!((guest.boots, guest.resets, guest.presses), (1, 0, 0), "{case:?}: the bystander noticed");
    if step == Step::Launch {
        let boots = cloud.host_of(&id).await.domain(&id).map(|domain| domain.boots);
        assert_eq!(boots, Some(1), "{case:?}: one launch, one boot");
    }
    cloud.clear().await;
}

#[tokio::test]
async fn the_link_between_cloud_and_cluster_breaks() {
    each_on(impatient, cases(Link::Cloud), one).await;
}

#[tokio::test]
async fn the_links_between_cluster_and_nodes_break() {
    each_on(impatient, cases(Link::Nodes), one).await;
}

/// Isolating one node is the worst of partitions (OSDI'18): its guests run on, and no second copy appears elsewhere.
#[tokio::test]
async fn one_node_alone_keeps_its_guests_and_nobody_else_starts_them() {
    let mut cloud = TestCloud::with(Setup { nodes: 3, ..impatient(1) }).await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let id = cloud.launch(&format!("t-{n}")).await;
        cloud.until_state(&id, InstanceState::Running).await;
        ids.push(id);
    }
    let host = cloud.host_of(&ids[0]).await;
    let gate = cloud.links.nodes[host.name()].clone();
    let before: Vec<_> = cloud.hosts.iter().map(|host| host.running()).collect();
    for round in 0..4 {
        match round % 2 {
            0 => gate.set(Flow::Held, Flow::Held),
            _ => gate.cut(),
        }
        // What is asked meanwhile goes where somebody listens.
        let other = cloud.launch(&format!("other-{round}")).await;
        tokio::time::sleep(LONG).await;
        let now: Vec<_> = cloud.hosts.iter().map(|host| host.running()).collect();
        for (before, now) in before.iter().zip(&now) {
            assert!(before.iter().all(|id| now.contains(id)), "a guest stopped: {before:?}, {now:?}");
        }
        for id in &ids {
            let copies = now.iter().filter(|host| host.contains(id)).count();
            assert_eq!(copies, 1, "{id} runs {copies} times");
        }
        gate.open();
        cloud.until_state(&other, InstanceState::Running).await;
        cloud.act("TerminateInstances", &other).await;
        cloud.until_state(&other, InstanceState::Terminated).await;
        cloud.sound().await;
    }
    for id in &ids {
        let guest = cloud.host_of(id).await.domain(id).expect("it runs");
        assert_eq!((guest.boots, guest.presses), (1, 0), "{id}");
    }
    cloud.clear().await;
}

/// A link that comes and goes (1 s/1 s of R5, faster).
#[tokio::test]
async fn a_link_that_flaps_ends_in_the_same_state() {
    let mut cloud = TestCloud::with(impatient(2)).await;
    let gates: Vec<Gate> = [Link::Cloud, Link::Nodes].into_iter().flat_map(|link| gates(&cloud, link)).collect();
    let flapping = tokio::spawn(async move {
        for round in 0..12u32 {
            let gate = &gates[round as usize % gates.len()];
            if round % 2 == 0 {
                gate.cut()
            } else {
                gate.set(Flow::Held, Flow::Held)
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            gate.open();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        gates.iter().for_each(Gate::open);
    });
    let mut id = None;
    for step in [Step::Launch, Step::Reboot, Step::Stop, Step::Start, Step::Terminate] {
        cloud.step(step, &mut id).await;
    }
    flapping.await.expect("it ends");
    cloud.sound().await;
    cloud.clear().await;
}
