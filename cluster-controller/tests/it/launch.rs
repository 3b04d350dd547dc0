//! Placing, reservations, the way of an instance from intent to gone.

use crate::fakes::*;
use mallee_proto::Kind;
use mallee_proto::v1::cluster_to_node::Message as ToNode;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::*;
use std::time::Duration;

#[tokio::test]
async fn an_instance_goes_down_and_its_observation_comes_up() {
    let zone = Zone::start().await;
    let (mut a, welcome) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    assert!(welcome.heartbeat_ms > 0 && welcome.sweep_grace_ms > 0);
    let (mut b, _) = FakeNode::join(&zone, Hello::of("n-2"), vec![]).await;
    let mut cloud = FakeCloud::with(&zone, 1, network()).await;
    zone.until("ready", |c| c.is_ready()).await;
    let reply = zone.place(place("r1", 1, 1..3)).await.unwrap();
    assert_eq!(per_node(&reply).into_iter().collect::<Vec<_>>(), [("n-1".into(), 1), ("n-2".into(), 1)]);
    let decision = reply.placements[0].decision.as_ref().unwrap();
    assert_eq!((decision.chosen.as_str(), decision.strategy.as_str()), ("n-1", "spread"));
    assert_eq!(decision.verdicts.len(), 2);
    assert_eq!(zone.used("n-1").vcpus, 2);

    cloud.change(Object::Instance(intent(1, "n-1", 1, RunIntent::Run))).await;
    assert_eq!(a.await_intent(&instance_id(1)).await.generation, 1);
    // The port comes with its group, and the group's members.
    a.await_view("the port is there", |v| v.vpcs.iter().any(|vpc| vpc.ports.len() == 1)).await;
    assert_eq!(a.view.vpcs[0].members[0].addresses, ["10.0.0.1"]);
    assert_eq!((a.view.epoch, a.view.vpcs[0].vni), (1, 7));
    cloud.change(Object::Instance(intent(2, "n-2", 1, RunIntent::Run))).await;
    b.await_view("the other is known", |v| v.vpcs.iter().any(|vpc| vpc.remotes.len() == 1)).await;
    a.await_view("the other is learnt", |v| v.vpcs[0].remotes.len() == 1).await;
    assert_eq!(a.view.vpcs[0].remotes[0], Remote { address: "10.0.0.2".into(), vtep: "192.0.2.2".into() });
    // The reservation has become usage: nothing is counted twice.
    assert_eq!(zone.used("n-1").vcpus, 2);

    a.observe(vec![observed(1, "n-1", 1, DomainPhase::Running)]).await;
    cloud.await_observation(&instance_id(1), DomainPhase::Running).await;
    // Stopped: only the disk stays taken, and the port goes once the guest is off.
    cloud.change(Object::Instance(intent(1, "n-1", 2, RunIntent::Stop))).await;
    a.await_intent(&instance_id(1)).await;
    assert_eq!(zone.used("n-1").vcpus, 2);
    a.observe(vec![observed(1, "n-1", 2, DomainPhase::Stopped)]).await;
    cloud.await_observation(&instance_id(1), DomainPhase::Stopped).await;
    assert_eq!((zone.used("n-1").vcpus, zone.used("n-1").disk_bytes), (0, 8 << 30));
    a.await_view("the port is gone", |v| v.vpcs.is_empty()).await;
    b.await_view("the address is forgotten", |v| v.vpcs[0].remotes.is_empty()).await;
    // Terminated, gone, confirmed, removed.
    cloud.change(Object::Instance(intent(1, "n-1", 3, RunIntent::Terminate))).await;
    a.await_intent(&instance_id(1)).await;
    let gone = InstanceObservation { gone: true, ..observed(1, "n-1", 3, DomainPhase::Absent) };
    a.observe(vec![gone]).await;
    let cursor = cloud.await_observation(&instance_id(1), DomainPhase::Absent).await;
    assert_eq!(zone.used("n-1").disk_bytes, 0);
    cloud.say(cloud_to_cluster::Message::Observed(cursor)).await;
    cloud.change(Object::Removed(Removed { kind: ObjectKind::Instance.into(), id: instance_id(1) })).await;
    a.await_message(|m| match m {
        ToNode::Forget(f) if f.id == instance_id(1) => Some(()),
        _ => None,
    })
    .await;
    let explained =
        zone.cluster().explain(as_peer("cloud", "clc", ExplainRequest { instance_id: instance_id(1) })).await;
    assert_eq!(mallee_proto::WireError::from(explained.unwrap_err()).kind, Kind::NotFound);
    assert_eq!(zone.node("n-1").instances, 0);
    zone.end().await;
}

#[tokio::test]
async fn a_request_is_answered_alike_while_its_reservation_lives() {
    let zone = Zone::start().await;
    let (_a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let _cloud = FakeCloud::with(&zone, 1, vec![]).await;
    zone.until("ready", |c| c.is_ready()).await;
    let first = zone.place(place("r1", 1, 1..4)).await.unwrap();
    assert_eq!(zone.place(place("r1", 1, 1..4)).await.unwrap(), first);
    assert_eq!(zone.used("n-1").vcpus, 6);
    let other = zone.place(place("r1", 1, 1..3)).await.unwrap_err();
    assert_eq!(other.kind, Kind::Conflict);
    // One fits still; two do not, and the reply says why.
    let two = PlaceRequest { count_min: 2, ..place("r2", 1, 10..12) };
    let refused = zone.place(two).await.unwrap();
    assert!(refused.placements.is_empty());
    assert_eq!((refused.refused[0].node_id.as_str(), refused.refused[0].refused_by.as_str()), ("n-1", "vcpus"));
    assert_eq!(refused.refused[0].reason, "0 of 8 vcpus free, 2 needed");
    assert_eq!(zone.used("n-1").vcpus, 6, "a refused request holds nothing");
    let one = zone.place(place("r3", 1, 10..12)).await.unwrap();
    assert_eq!((one.placements.len(), one.refused.len()), (1, 1));
    let unplace = UnplaceRequest { epoch: 1, request_id: "r1".into() };
    for _ in 0..2 {
        zone.cluster().unplace(as_peer("cloud", "clc", unplace.clone())).await.unwrap();
    }
    assert_eq!(zone.used("n-1").vcpus, 2);
    for bad in [
        PlaceRequest { request_id: String::new(), ..place("x", 1, 1..2) },
        PlaceRequest { count_min: 2, ..place("x", 1, 1..2) },
        PlaceRequest { instance_ids: vec!["i-1".into()], ..place("x", 1, 1..2) },
        PlaceRequest { instance_ids: vec![instance_id(1); 2], count_max: 2, ..place("x", 1, 1..2) },
        PlaceRequest { node_id: "No Node".into(), ..place("x", 1, 1..2) },
        PlaceRequest { ttl_ms: 0, ..place("x", 1, 1..2) },
    ] {
        assert_eq!(zone.place(bad).await.unwrap_err().kind, Kind::Invalid);
    }
    zone.end().await;
}

#[tokio::test]
async fn a_reservation_runs_out_and_survives_the_intent_only_as_usage() {
    let zone = Zone::with(
        &mallee_cluster_controller::ClusterConfig { heartbeat_ms: 100, ..config() },
        mallee_runtime::Faults::none(),
    )
    .await;
    let (_a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let mut cloud = FakeCloud::with(&zone, 1, vec![]).await;
    zone.until("ready", |c| c.is_ready()).await;
    zone.place(PlaceRequest { ttl_ms: 200, ..place("r1", 1, 1..3) }).await.unwrap();
    cloud.change(Object::Instance(intent(1, "n-1", 1, RunIntent::Run))).await;
    assert_eq!(zone.used("n-1").vcpus, 4);
    let used = |c: &mallee_cluster_controller::ClusterController| c.status().nodes[0].used.unwrap().vcpus;
    zone.until("the second instance's reservation has run out", |c| used(c) == 2).await;
    assert!(zone.explain(&instance_id(1)).await.intent.is_some());
    zone.end().await;
}

#[tokio::test]
async fn a_stopped_instance_starts_again_where_its_disk_is() {
    let zone = Zone::start().await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let mut cloud = FakeCloud::with(&zone, 1, vec![]).await;
    let mut big = intent(1, "n-1", 1, RunIntent::Stop);
    big.spec.as_mut().unwrap().root_disk_bytes = 8 << 36;
    cloud.change(Object::Instance(big)).await;
    a.await_intent(&instance_id(1)).await;
    zone.until("ready", |c| c.is_ready()).await;
    // The disk fills the node; the instance that owns it needs no second one.
    let again = PlaceRequest { node_id: "n-1".into(), disk_bytes: 8 << 36, ..place("r1", 1, 1..2) };
    assert_eq!(zone.place(again).await.unwrap().placements.len(), 1);
    let other = PlaceRequest { node_id: "n-1".into(), ..place("r2", 1, 2..3) };
    assert_eq!(zone.place(other).await.unwrap().refused[0].refused_by, "disk");
    zone.end().await;
}

#[tokio::test]
async fn console_and_inventory_come_from_the_nodes_that_were_asked() {
    let zone = Zone::start().await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let (mut b, _) = FakeNode::join(&zone, Hello::of("n-2"), vec![]).await;
    let _cloud = FakeCloud::with(&zone, 1, vec![Object::Instance(intent(1, "n-1", 1, RunIntent::Run))]).await;
    a.await_intent(&instance_id(1)).await;
    let asking = tokio::spawn({
        let mut cluster = zone.cluster();
        let request = ConsoleOutputRequest { instance_id: instance_id(1), node_id: String::new() };
        async move { cluster.console_output(as_peer("cloud", "clc", request)).await }
    });
    let question = a
        .await_message(|m| match m {
            ToNode::Console(q) => Some(q),
            _ => None,
        })
        .await;
    assert_eq!(question.instance_id, instance_id(1));
    let answer = |text: &[u8]| ConsoleReply {
        request_id: question.request_id.clone(),
        output: text.to_vec(),
        ..ConsoleReply::default()
    };
    // Another node cannot answer in its stead.
    b.say(node_to_cluster::Message::Console(answer(b"forged"))).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    a.say(node_to_cluster::Message::Console(answer(b"login:"))).await;
    assert_eq!(asking.await.unwrap().unwrap().into_inner().output, b"login:");

    let asking = tokio::spawn({
        let mut cluster = zone.cluster();
        async move { cluster.inventory(as_peer("cloud", "clc", InventoryRequest {})).await }
    });
    for node in [&mut a, &mut b] {
        let question = node
            .await_message(|m| match m {
                ToNode::Inventory(q) => Some(q),
                _ => None,
            })
            .await;
        let inventory =
            Some(NodeInventory { node_id: "n-9".into(), ports: vec![node.id.clone()], ..NodeInventory::default() });
        node.say(node_to_cluster::Message::Inventory(NodeInventoryReply {
            request_id: question.request_id,
            inventory,
        }))
        .await;
    }
    let held = asking.await.unwrap().unwrap().into_inner().nodes;
    let names: Vec<_> = held.iter().map(|n| (n.node_id.as_str(), n.ports[0].as_str())).collect();
    assert_eq!(names, [("n-1", "n-1"), ("n-2", "n-2")]);
    // A node that goes away before it answers ends the wait.
    let asking = tokio::spawn({
        let mut cluster = zone.cluster();
        let request = ConsoleOutputRequest { instance_id: instance_id(1), node_id: "n-1".into() };
        async move { cluster.console_output(as_peer("cloud", "clc", request)).await }
    });
    a.await_message(|m| match m {
        ToNode::Console(q) => Some(q),
        _ => None,
    })
    .await;
    drop(a);
    let error = mallee_proto::WireError::from(asking.await.unwrap().unwrap_err());
    assert_eq!(error.kind, Kind::Unavailable);
    zone.end().await;
}

#[tokio::test]
async fn members_of_a_spread_group_are_known_from_promises_and_from_intents() {
    let zone = Zone::start().await;
    let (_a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let (_b, _) = FakeNode::join(&zone, Hello::of("n-2"), vec![]).await;
    let _cloud = FakeCloud::with(&zone, 1, vec![]).await;
    zone.until("ready", |c| c.is_ready()).await;
    let group = PlacementGroup { id: "pg-1".into(), strategy: GroupStrategy::Spread.into(), ..Default::default() };
    let apart = |request: &str, ids| PlaceRequest { group: Some(group.clone()), ..place(request, 1, ids) };
    let first = zone.place(apart("r1", 1..2)).await.unwrap();
    let second = zone.place(apart("r2", 2..3)).await.unwrap();
    assert_ne!(first.placements[0].node_id, second.placements[0].node_id);
    let third = zone.place(apart("r3", 3..4)).await.unwrap();
    assert!(third.placements.is_empty());
    let why: Vec<&str> = third.refused.iter().map(|verdict| verdict.refused_by.as_str()).collect();
    assert_eq!(why, ["placement-group", "placement-group"]);
    // Another group, and none, are not its business.
    let other = PlacementGroup { id: "pg-2".into(), ..group.clone() };
    assert_eq!(
        zone.place(PlaceRequest { group: Some(other), ..place("r4", 1, 4..5) }).await.unwrap().placements.len(),
        1
    );
    assert_eq!(zone.place(place("r5", 1, 5..6)).await.unwrap().placements.len(), 1);
    // One that is placed anew does not stand in its own way.
    let again = PlaceRequest { node_id: first.placements[0].node_id.clone(), ..apart("r6", 1..2) };
    assert_eq!(zone.place(again).await.unwrap().placements.len(), 1);
    let broken = PlacementGroup { id: "pg-3".into(), ..Default::default() };
    let refused = zone.place(PlaceRequest { group: Some(broken), ..place("r7", 1, 7..8) }).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Invalid);
    zone.end().await;
}
