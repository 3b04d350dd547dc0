//! A thousand nodes and ten thousand instances: nothing may cost in proportion to all of them, per launch.

use crate::fakes::*;
use mallee_proto::v1::cluster_to_cloud::Message as ToCloud;
use mallee_proto::v1::cluster_to_node::Message as ToNode;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::*;
use std::time::{Duration, Instant};

const NODES: u32 = 1_000;
const INSTANCES: u32 = 10_000;
/// Instances share VPCs in groups of this many, as tenants do.
const PER_VPC: u32 = 50;

fn tenant_intent(n: u32, node: &str) -> InstanceIntent {
    let mut intent = intent(n, node, 1, RunIntent::Run);
    let tenant = n / PER_VPC;
    let port = &mut intent.spec.as_mut().unwrap().ports[0];
    port.vpc_id = format!("vpc-{tenant}");
    port.group_ids = vec![format!("sg-{tenant}")];
    intent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_nodes_and_ten_thousand_instances() {
    let zone = Zone::with(
        &mallee_cluster_controller::ClusterConfig { offline_after_ms: 120_000, ..config() },
        mallee_runtime::Faults::none(),
    )
    .await;
    let start = Instant::now();
    // Each node runs what it is told to, at once.
    for n in 0..NODES {
        let hello = Hello { vcpus: 64, ..Hello::of(&format!("n-{n}")) };
        let mut node = FakeNode::join(&zone, hello, vec![]).await.0;
        tokio::spawn(async move {
            while let Ok(message) = node.hear().await {
                if let ToNode::Instance(intent) = message {
                    let seen = InstanceObservation {
                        id: intent.id,
                        incarnation: intent.incarnation,
                        node_id: node.id.clone(),
                        generation: intent.generation,
                        phase: DomainPhase::Running.into(),
                        network_applied: true,
                        ..InstanceObservation::default()
                    };
                    node.observe(vec![seen]).await;
                }
            }
        });
    }
    let joined = start.elapsed();
    let mut objects = Vec::new();
    for tenant in 0..INSTANCES / PER_VPC {
        let rule = GroupRule {
            id: "sgr-1".into(),
            protocol: -1,
            peer: Some(group_rule::Peer::GroupId(format!("sg-{tenant}"))),
            ..GroupRule::default()
        };
        objects.push(Object::Vpc(Vpc {
            id: format!("vpc-{tenant}"),
            generation: 1,
            vni: tenant + 1,
            ..Vpc::default()
        }));
        objects.push(Object::Group(SecurityGroup {
            id: format!("sg-{tenant}"),
            generation: 1,
            vpc_id: format!("vpc-{tenant}"),
            rules: vec![rule],
            ..SecurityGroup::default()
        }));
    }
    let mut cloud = FakeCloud::with(&zone, 1, objects).await;
    zone.until("ready", |c| c.is_ready()).await;

    let start = Instant::now();
    let mut placed = Vec::new();
    for n in 0..INSTANCES / 10 {
        let reply = zone.place(place(&format!("r{n}"), 1, n * 10..n * 10 + 10)).await.unwrap();
        assert_eq!(reply.placements.len(), 10);
        placed.extend(reply.placements.into_iter().map(|p| p.node_id));
    }
    let placing = start.elapsed();
    let start = Instant::now();
    for (n, node) in placed.iter().enumerate() {
        cloud.change(Object::Instance(tenant_intent(u32::try_from(n).unwrap(), node))).await;
    }
    let mut running = std::collections::HashSet::new();
    while running.len() < usize::try_from(INSTANCES).unwrap() {
        if let ToCloud::Observed(o) = cloud.hear().await.unwrap() {
            running.extend(o.instances.into_iter().map(|i| i.id));
        }
    }
    let routing = start.elapsed();
    let status = zone.controller.status();
    assert!(status.nodes.iter().all(|n| n.instances == INSTANCES / NODES), "spread is even");
    println!(
        "{NODES} nodes joined in {joined:?}; {INSTANCES} placed in {placing:?}; intent to observation in {routing:?}"
    );
    // Generous: an unoptimised build on a busy machine.
    assert!(joined + placing + routing < Duration::from_secs(120));
    zone.end().await;
}
