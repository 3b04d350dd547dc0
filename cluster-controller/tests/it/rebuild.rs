//! A controller that starts again with nothing.

use crate::fakes::*;
use mallee_cluster_controller::ClusterConfig;
use mallee_proto::Kind;
use mallee_proto::v1::cluster_to_node::Message as ToNode;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::*;
use mallee_runtime::Faults;

fn objects() -> Vec<Object> {
    let mut objects = network();
    objects.push(Object::Instance(intent(1, "n-1", 4, RunIntent::Run)));
    objects.push(Object::Instance(intent(2, "n-2", 4, RunIntent::Run)));
    objects
}

#[tokio::test]
async fn nothing_is_placed_swept_or_rewired_before_everything_is_known() {
    let zone = Zone::start().await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let (mut b, _) = FakeNode::join(&zone, Hello::of("n-2"), vec![]).await;
    let cloud = FakeCloud::with(&zone, 3, objects()).await;
    a.await_view("both are known", |v| v.vpcs.iter().any(|vpc| vpc.remotes.len() == 1)).await;
    b.await_view("both are known", |v| v.vpcs.iter().any(|vpc| vpc.remotes.len() == 1)).await;
    let (view_a, view_b) = (a.held.clone(), b.held.clone());
    zone.end().await;
    drop((a, b, cloud));

    let zone = Zone::start().await;
    let held = vec![observed(1, "n-1", 4, DomainPhase::Running), observed(8, "n-1", 1, DomainPhase::Running)];
    let (mut a, welcome) = FakeNode::join(&zone, Hello { view: view_a, epoch: 3, ..Hello::of("n-1") }, held).await;
    assert_eq!(welcome.epoch, 3, "a node is not offered an epoch that it must refuse");
    assert_eq!(welcome.observed.unwrap().seq, 0);
    assert!(a.silence().await, "no orders before the cloud has told its intent");
    assert_eq!(zone.place(place("r1", 3, 5..6)).await.unwrap_err().kind, Kind::Unavailable);
    let mut cloud = FakeCloud::connect(&zone, 3, None).await;
    let hello = cloud.hear().await.unwrap();
    assert!(matches!(hello, cluster_to_cloud::Message::Hello(ClusterHello { applied_seq: 0, .. })));
    assert!(a.silence().await);
    cloud.snapshot(objects()).await;
    // Orders now; but the view waits for the node that has not come back: its address is not known.
    a.await_intent(&instance_id(1)).await;
    let forget = a.await_message(|m| match m {
        ToNode::Forget(f) => Some(f.id),
        _ => None,
    });
    let end = tokio::time::timeout(std::time::Duration::from_millis(200), forget).await;
    // The stray may have been named before the intent: then nothing is left to hear.
    assert!(end.is_err() || end == Ok(instance_id(8)));
    let waiting = zone.place(place("r1", 3, 5..6)).await.unwrap_err();
    assert!(waiting.kind == Kind::Unavailable && waiting.message.contains("n-2"), "{waiting}");
    let (mut b, _) = FakeNode::join(
        &zone,
        Hello { view: view_b, epoch: 3, ..Hello::of("n-2") },
        vec![observed(2, "n-2", 4, DomainPhase::Running)],
    )
    .await;
    zone.until("ready", |c| c.is_ready()).await;
    assert_eq!((zone.used("n-1").vcpus, zone.used("n-2").vcpus), (2, 2));
    b.await_intent(&instance_id(2)).await;
    // Both hold the right view already: neither is told one.
    for node in [&mut a, &mut b] {
        while let Ok(Ok(message)) = tokio::time::timeout(std::time::Duration::from_millis(150), node.hear()).await {
            assert!(!matches!(message, ToNode::View(_)), "{message:?}");
        }
    }
    cloud.await_observation(&instance_id(1), DomainPhase::Running).await;
    assert_eq!(zone.place(place("r1", 3, 5..6)).await.unwrap().placements.len(), 1);
    zone.end().await;
}

#[tokio::test]
async fn a_node_that_does_not_come_back_holds_nobody_up_for_ever() {
    let config = ClusterConfig { warm_up_ms: 300, heartbeat_ms: 50, ..config() };
    let zone = Zone::with(&config, Faults::none()).await;
    let (_a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let (_cold, _) = (FakeNode::dial(&zone, Hello::of("n-3")).await, ());
    let _cloud = FakeCloud::with(&zone, 1, objects()).await;
    zone.until("ready", |c| c.is_ready()).await;
    let reply = zone.place(PlaceRequest { count_min: 3, ..place("r1", 1, 10..13) }).await.unwrap();
    assert_eq!(per_node(&reply).into_iter().collect::<Vec<_>>(), [("n-1".to_owned(), 3)]);
    let verdicts = &reply.placements[0].decision.as_ref().unwrap().verdicts;
    let refused: Vec<_> = verdicts
        .iter()
        .filter(|v| !v.refused_by.is_empty())
        .map(|v| (v.node_id.as_str(), v.refused_by.as_str()))
        .collect();
    assert!(refused.contains(&("n-2", "online")) && refused.contains(&("n-3", "warm")), "{refused:?}");
    let notes = zone.explain(&instance_id(2)).await.notes;
    assert!(notes[0].contains("has not connected since"), "{notes:?}");
    zone.end().await;
}

#[tokio::test]
async fn a_node_of_a_later_leader_gets_no_orders_from_an_earlier_one() {
    let zone = Zone::start().await;
    let (mut a, welcome) = FakeNode::join(&zone, Hello { epoch: 9, ..Hello::of("n-1") }, vec![]).await;
    assert_eq!(welcome.epoch, 9);
    let cloud = FakeCloud::with(&zone, 8, objects()).await;
    assert!(a.silence().await);
    let notes = zone.explain(&instance_id(1)).await.notes;
    assert!(notes.iter().any(|n| n.contains("epoch 9")), "{notes:?}");
    drop(cloud);
    let _cloud = FakeCloud::with(&zone, 9, objects()).await;
    a.await_intent(&instance_id(1)).await;
    zone.end().await;
}

#[tokio::test]
async fn a_node_that_lost_everything_frees_what_nobody_wants() {
    let zone = Zone::start().await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![observed(1, "n-1", 4, DomainPhase::Running)]).await;
    let mut cloud = FakeCloud::with(&zone, 1, objects()).await;
    a.await_intent(&instance_id(1)).await;
    drop(a);
    cloud.change(Object::Removed(Removed { kind: ObjectKind::Instance.into(), id: instance_id(1) })).await;
    zone.until("applied", |c| c.status().applied_seq == 101).await;
    assert_eq!(zone.used("n-1").vcpus, 2, "the node may still run it");
    let (_a, _) = FakeNode::join(&zone, Hello { boot: "boot-2".into(), ..Hello::of("n-1") }, vec![]).await;
    let cursor = cloud.await_observation(&instance_id(1), DomainPhase::Absent).await;
    assert_eq!(zone.used("n-1").vcpus, 0);
    cloud.say(cloud_to_cluster::Message::Observed(cursor)).await;
    zone.end().await;
}
