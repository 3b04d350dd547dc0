//! How much one core does: the figures are printed, the bounds are what a debug build on a busy machine still holds.
//! `cargo test --release -p mallee-cluster-core --test speed -- --nocapture --test-threads=1`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking and prints its figures")]

use mallee_cluster_core::{ClusterState, Now, Pulled, Settings};
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::*;
use std::time::Instant;

fn now(ms: u64) -> Now {
    Now { mono_ms: ms, wall_ms: 1_700_000_000_000 }
}

fn id(n: u32) -> String {
    format!("i-{n:017x}")
}

/// A settled zone of empty nodes; the sessions are all open.
fn zone(nodes: u32) -> (ClusterState, u64, Vec<(usize, u64)>) {
    let mut state = ClusterState::new(Settings::for_zone("local-1a".parse().unwrap()), "boot");
    let cloud = state.cloud_hello(&CloudHello { epoch: 1, observed: None }).unwrap();
    state.snapshot_begin(cloud, SnapshotBegin { seq: 1 }).unwrap();
    state.snapshot_end(cloud, SnapshotEnd { seq: 1 }, now(0)).unwrap();
    let sessions = (0..nodes)
        .map(|n| {
            let capacity = Some(Capacity { vcpus: 4096, memory_mib: 1 << 22, disk_bytes: 1 << 50 });
            let (node_id, vtep) = (format!("n-{n}"), format!("192.0.2.{n}"));
            let hello = NodeHello {
                node_id,
                boot: "b".into(),
                vtep,
                capacity,
                view_format: mallee_proto::view::FORMAT,
                ..NodeHello::default()
            };
            let (index, session) = state.node_hello(hello, now(0)).unwrap();
            state.node_resynced(index, session, now(0)).unwrap();
            (index, session)
        })
        .collect();
    assert!(state.is_settled());
    (state, cloud, sessions)
}

fn place(n: u32) -> PlaceRequest {
    PlaceRequest {
        epoch: 1,
        request_id: format!("r-{n}"),
        vcpus: 1,
        memory_mib: 512,
        disk_bytes: 1 << 30,
        count_min: 1,
        count_max: 1,
        ttl_ms: 60_000,
        instance_ids: vec![id(n)],
        ..PlaceRequest::default()
    }
}

fn intent(n: u32, node: &str, vpc: u32) -> InstanceIntent {
    let port = Port {
        interface_id: format!("eni-{n}"),
        private_ip: format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255),
        vpc_id: format!("vpc-{vpc}"),
        group_ids: vec![format!("sg-{vpc}")],
        ..Port::default()
    };
    let ports = vec![port];
    InstanceIntent {
        id: id(n),
        generation: 1,
        incarnation: 1,
        node_id: node.into(),
        intent: RunIntent::Run.into(),
        spec: Some(InstanceSpec { vcpus: 1, memory_mib: 512, root_disk_bytes: 1 << 30, ports, ..Default::default() }),
        ..InstanceIntent::default()
    }
}

fn rate(what: &str, count: u32, start: Instant) -> f64 {
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    println!("{what}: {rate:.0}/s");
    rate
}

#[test]
fn placements_per_second() {
    for (nodes, count, least) in [(100, 5_000, 500.0), (1_000, 2_000, 100.0), (10_000, 300, 5.0)] {
        let (mut state, _, _) = zone(nodes);
        let start = Instant::now();
        for n in 0..count {
            assert_eq!(state.place(place(n), now(1)).unwrap().placements.len(), 1);
        }
        assert!(rate(&format!("placements on {nodes} nodes"), count, start) > least);
    }
}

#[test]
fn observations_routed_per_second() {
    let (mut state, cloud, sessions) = zone(100);
    let count = 20_000;
    for n in 0..count {
        let object = Some(Object::Instance(intent(n, &format!("n-{}", n % 100), n / 20)));
        state.intent_change(cloud, IntentChange { seq: u64::from(n) + 2, object }).unwrap();
    }
    let start = Instant::now();
    let mut heard = 0;
    for n in 0..count {
        let (index, session) = sessions[(n % 100) as usize];
        let seen = InstanceObservation {
            id: id(n),
            incarnation: 1,
            generation: 1,
            node_id: format!("n-{}", n % 100),
            phase: DomainPhase::Running.into(),
            ..InstanceObservation::default()
        };
        let cursor = Some(Cursor { boot: "b".into(), seq: u64::from(n) + 1 });
        state.node_observed(index, session, NodeObserved { cursor, instances: vec![seen] }, now(1)).unwrap();
        if n % 16 == 15 || n + 1 == count {
            let Pulled::Messages(messages) = state.pull_cloud(cloud) else { panic!("the session is current") };
            for message in messages {
                if let Some(cluster_to_cloud::Message::Observed(observed)) = message.message {
                    heard += observed.instances.len();
                }
            }
        }
    }
    assert!(rate("observations routed", count, start) > 2_000.0);
    assert_eq!(heard, count as usize);
}

/// The hard case: one VPC and one group that names itself, over all nodes. Launches must not get slower with what
/// runs already by more than the hash of a node's view.
#[test]
fn launches_in_one_large_vpc() {
    let (mut state, cloud, sessions) = zone(100);
    let mut seq = 2;
    let mut change = |state: &mut ClusterState, object| {
        state.intent_change(cloud, IntentChange { seq, object: Some(object) }).unwrap();
        seq += 1;
    };
    change(&mut state, Object::Vpc(Vpc { id: "vpc-0".into(), generation: 1, vni: 1, ..Vpc::default() }));
    let peer = Some(group_rule::Peer::GroupId("sg-0".into()));
    let rules = vec![GroupRule { id: "sgr".into(), peer, ..GroupRule::default() }];
    let group = SecurityGroup { id: "sg-0".into(), generation: 1, vpc_id: "vpc-0".into(), rules, ..Default::default() };
    change(&mut state, Object::Group(group));
    // An unoptimised build shows the same at a smaller size.
    let count = if cfg!(debug_assertions) { 300 } else { 1_000 };
    for first in [0, count, 2 * count] {
        let start = Instant::now();
        for n in first..first + count {
            let (index, session) = sessions[(n % 100) as usize];
            change(&mut state, Object::Instance(intent(n, &format!("n-{}", n % 100), 0)));
            state.mark_touched();
            let Pulled::Messages(messages) = state.pull_node(index, session, now(1)) else {
                panic!("the session is current")
            };
            assert!(messages.iter().any(|m| matches!(m.message, Some(cluster_to_node::Message::View(_)))));
        }
        assert!(rate(&format!("launches in a VPC of {first}"), count, start) > 20.0);
        let start = Instant::now();
        state.learn(now(1));
        for (index, session) in &sessions {
            assert!(matches!(state.pull_node(*index, *session, now(1)), Pulled::Messages(m) if !m.is_empty()));
        }
        println!("100 nodes learn {count} addresses each in {:?}", start.elapsed());
    }
}
