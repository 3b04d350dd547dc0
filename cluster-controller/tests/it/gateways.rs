//! NAT gateways: what the cloud hears of them, and when.

use crate::fakes::*;
use mallee_proto::v1::cluster_to_cloud::Message as ToCloud;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::node_to_cluster::Message as FromNode;
use mallee_proto::v1::*;
use mallee_proto::view;
use std::time::Duration;

fn gateway(generation: u64, deleting: bool) -> NatGateway {
    let port = Port {
        interface_id: "eni-50".into(),
        mac: "02:00:00:00:00:50".into(),
        private_ip: "10.0.0.50".into(),
        vpc_id: "vpc-1".into(),
        subnet_id: "subnet-1".into(),
        ..Port::default()
    };
    NatGateway {
        id: "nat-1".into(),
        generation,
        node_id: "n-1".into(),
        incarnation: 1,
        port: Some(port),
        private: true,
        zone: "local-1a".into(),
        deleting,
        draining: Vec::new(),
    }
}

async fn applied(node: &FakeNode, errors: &[(&str, &str)]) {
    let view = &node.view;
    node.say(FromNode::Network(NetworkApplied {
        epoch: view.epoch,
        generation: view.generation,
        hash: view::hash(view).to_vec(),
        port_errors: errors.iter().map(|(id, why)| ((*id).into(), (*why).into())).collect(),
    }))
    .await;
}

/// The next that the cloud hears of the gateway, as (up, gone, problem), which is as `pick` wants it.
async fn hears(cloud: &mut FakeCloud, pick: impl Fn(&GatewayStatus) -> bool) {
    cloud
        .await_message(|message| match message {
            ToCloud::Node(status) if status.node_id == "n-1" => status.gateways.into_iter().find(|s| pick(s)),
            _ => None,
        })
        .await;
}

/// Hears everything that the node is told.
async fn quiet(node: &mut FakeNode) {
    while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(300), node.hear()).await {}
}

fn said(zone: &Zone) -> (bool, bool) {
    zone.node("n-1").gateways.first().map_or((false, false), |status| (status.up, status.gone))
}

#[tokio::test]
async fn the_cloud_hears_when_a_gateway_is_up_and_when_it_is_gone() {
    let zone = Zone::start().await;
    let (mut node, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let mut objects = network();
    objects.push(Object::NatGateway(gateway(1, false)));
    let mut cloud = FakeCloud::with(&zone, 1, objects).await;
    let has = |view: &NodeView| view.vpcs.iter().flat_map(|vpc| &vpc.ports).any(|port| port.nat && port.routed_to);
    node.await_view("the gateway is there", has).await;
    assert_eq!(said(&zone), (false, false), "it was told, not more");
    applied(&node, &[("eni-50", "no room")]).await;
    hears(&mut cloud, |status| !status.up && status.problem == "no room").await;
    applied(&node, &[]).await;
    hears(&mut cloud, |status| status.up && status.incarnation == 1).await;
    // To go: nothing is gone before the node says so.
    cloud.change(Object::NatGateway(gateway(2, true))).await;
    node.await_view("it is not there", |view| !has(view)).await;
    assert_eq!(said(&zone), (false, false));
    applied(&node, &[]).await;
    hears(&mut cloud, |status| status.gone && !status.up).await;
    let kind = ObjectKind::NatGateway.into();
    cloud.change(Object::Removed(Removed { kind, id: "nat-1".into() })).await;
    zone.end().await;
}

#[tokio::test]
async fn after_a_restart_nothing_is_said_before_the_node_has_said_it_again() {
    let zone = Zone::start().await;
    let (mut node, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let objects = || {
        let mut objects = network();
        objects.push(Object::NatGateway(gateway(1, false)));
        objects
    };
    let cloud = FakeCloud::with(&zone, 1, objects()).await;
    node.await_view("the gateway is there", |view| !view.vpcs.is_empty()).await;
    quiet(&mut node).await;
    let view = node.view.clone();
    zone.end().await;
    drop((node, cloud));

    let zone = Zone::start().await;
    let mut cloud = FakeCloud::with(&zone, 1, objects()).await;
    // The zone waits for the gateway's node, which has no instance.
    assert!(!zone.controller.is_ready());
    let (mut node, _) = FakeNode::join(&zone, Hello { view, epoch: 1, ..Hello::of("n-1") }, vec![]).await;
    zone.until("ready", |c| c.is_ready()).await;
    quiet(&mut node).await;
    assert_eq!(said(&zone), (false, false));
    applied(&node, &[]).await;
    hears(&mut cloud, |status| status.up && status.generation == 1).await;
    // One that is to go and never was on the node is gone.
    let other = NatGateway { id: "nat-2".into(), ..gateway(2, true) };
    cloud.change(Object::NatGateway(other)).await;
    hears(&mut cloud, |status| status.id == "nat-2" && status.gone).await;
    zone.end().await;
}
