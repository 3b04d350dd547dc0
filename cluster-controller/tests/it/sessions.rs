//! Who may speak, epochs, repeated and late messages, resuming, snapshots, lost and silent nodes.

use crate::fakes::*;
use mallee_cluster_controller::ClusterConfig;
use mallee_proto::v1::cloud_to_cluster::Message as FromCloud;
use mallee_proto::v1::cluster_to_cloud::Message as ToCloud;
use mallee_proto::v1::cluster_to_node::Message as ToNode;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::*;
use mallee_proto::{Kind, WireError};
use mallee_runtime::{FaultAction, Faults};

#[tokio::test]
async fn a_caller_speaks_for_itself_only() {
    let zone = Zone::start().await;
    let status = |role: &'static str| {
        let mut cluster = zone.cluster();
        async move { cluster.status(as_peer(role, "n-1", ClusterStatusRequest {})).await.map_err(WireError::from) }
    };
    assert!(status("cloud").await.is_ok());
    for role in ["node", "stranger"] {
        assert_eq!(status(role).await.unwrap_err().kind, Kind::Forbidden);
    }
    let nobody = zone.cluster().status(ClusterStatusRequest {}).await.unwrap_err();
    assert_eq!(WireError::from(nobody).kind, Kind::Forbidden);
    let mut gateway = node_gateway_client::NodeGatewayClient::new(zone.channel.clone());
    let hello = NodeHello { node_id: "n-2".into(), ..NodeHello::default() };
    let stream = tokio_stream::iter([NodeToCluster { message: Some(node_to_cluster::Message::Hello(hello)) }]);
    let mut session = gateway.session(as_peer("node", "n-1", stream)).await.unwrap().into_inner();
    assert_eq!(WireError::from(session.message().await.unwrap_err()).kind, Kind::Forbidden);
    assert!(zone.controller.status().nodes.is_empty());
    zone.end().await;
}

fn welcomed(message: ToNode) -> Option<u64> {
    match message {
        ToNode::Welcome(welcome) => Some(welcome.epoch),
        _ => None,
    }
}

#[tokio::test]
async fn a_leader_whose_time_is_over_is_refused() {
    let zone = Zone::start().await;
    let (mut node, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let mut old = FakeCloud::with(&zone, 5, vec![]).await;
    zone.until("ready", |c| c.is_ready()).await;
    let mut epochs = Vec::new();
    // Connected before there was any leader, the node hears of each in the same session.
    while epochs.last() != Some(&5) {
        epochs.push(node.await_message(welcomed).await);
    }
    let mut new = FakeCloud::connect(&zone, 6, None).await;
    let hello = new
        .await_message(|m| match m {
            ToCloud::Hello(h) => Some(h),
            _ => None,
        })
        .await;
    assert_eq!(hello.applied_seq, 0, "a new leader sends everything");
    assert_eq!(node.await_message(welcomed).await, 6, "the node refuses the old leader from now on");
    // The old session has ended, and another one does not begin.
    let ended = loop {
        if let Err(status) = old.hear().await {
            break WireError::from(status);
        }
    };
    assert!(matches!(ended.kind, Kind::Conflict | Kind::StaleEpoch), "{ended:?}");
    let mut late = FakeCloud::connect(&zone, 5, None).await;
    assert_eq!(WireError::from(late.hear().await.unwrap_err()).kind, Kind::StaleEpoch);
    assert_eq!(zone.place(place("r1", 5, 1..2)).await.unwrap_err().kind, Kind::StaleEpoch);
    // The new leader has not told its intent yet.
    assert_eq!(zone.place(place("r1", 6, 1..2)).await.unwrap_err().kind, Kind::Unavailable);
    new.snapshot(vec![]).await;
    until_placed(&zone, place("r1", 6, 1..2)).await;
    // The same leader again: the log goes on where it was.
    new.change(Object::Instance(intent(1, "n-1", 1, RunIntent::Run))).await;
    zone.until("applied", |c| c.status().applied_seq == 101).await;
    let mut again = FakeCloud::connect(&zone, 6, None).await;
    let hello = again
        .await_message(|m| match m {
            ToCloud::Hello(h) => Some(h),
            _ => None,
        })
        .await;
    assert_eq!((hello.applied_seq, hello.zone.as_str()), (101, "local-1a"));
    zone.end().await;
}

async fn until_placed(zone: &Zone, request: PlaceRequest) -> PlaceReply {
    let start = std::time::Instant::now();
    loop {
        match zone.place(request.clone()).await {
            Ok(reply) => return reply,
            Err(error) => assert!(start.elapsed() < SOON && error.kind == Kind::Unavailable, "{error:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn repeated_late_and_reordered_messages_change_nothing() {
    let zone = Zone::start().await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let mut cloud = FakeCloud::with(&zone, 1, network()).await;
    cloud.change(Object::Instance(intent(1, "n-1", 3, RunIntent::Run))).await;
    a.await_intent(&instance_id(1)).await;
    a.await_view("the port is there", |v| !v.vpcs.is_empty()).await;
    // An older generation, the same again, the same position again: the node hears nothing.
    cloud.change(Object::Instance(intent(1, "n-1", 2, RunIntent::Terminate))).await;
    cloud.change(Object::Instance(intent(1, "n-1", 3, RunIntent::Stop))).await;
    cloud
        .say(FromCloud::Change(IntentChange {
            seq: 5,
            object: Some(Object::Removed(Removed { kind: ObjectKind::Instance.into(), id: instance_id(1) })),
        }))
        .await;
    assert!(a.silence().await);
    // Observations: a late one, and one of an older generation, are not passed on.
    a.observe_at(7, vec![observed(1, "n-1", 3, DomainPhase::Running)]).await;
    a.observe_at(7, vec![observed(1, "n-1", 3, DomainPhase::Running)]).await;
    a.observe_at(6, vec![observed(1, "n-1", 3, DomainPhase::Preparing)]).await;
    a.observe_at(8, vec![observed(1, "n-1", 2, DomainPhase::Stopped)]).await;
    a.observe_at(9, vec![observed(1, "n-2", 4, DomainPhase::Failed)]).await;
    a.observe_at(10, vec![observed(2, "n-1", 1, DomainPhase::Failed)]).await;
    let mut phases = Vec::new();
    while !phases.contains(&(instance_id(2), DomainPhase::Failed)) {
        if let ToCloud::Observed(o) = cloud.hear().await.unwrap() {
            phases.extend(o.instances.iter().map(|i| (i.id.clone(), i.phase())));
        }
    }
    assert_eq!(phases, [(instance_id(1), DomainPhase::Running), (instance_id(2), DomainPhase::Failed)]);
    // The unknown instance is to be given up.
    let forget = a
        .await_message(|m| match m {
            ToNode::Forget(f) => Some(f),
            _ => None,
        })
        .await;
    assert_eq!(forget.id, instance_id(2));
    zone.end().await;
}

#[tokio::test]
async fn the_cloud_resumes_where_it_was_and_a_stranger_gets_everything() {
    let zone = Zone::start().await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let intents = (1..4).map(|n| Object::Instance(intent(n, "n-1", 1, RunIntent::Run)));
    let mut cloud = FakeCloud::with(&zone, 1, intents.collect()).await;
    a.observe((1..4).map(|n| observed(n, "n-1", 1, DomainPhase::Running)).collect()).await;
    let cursor = cloud.await_observation(&instance_id(3), DomainPhase::Running).await;
    drop(cloud);
    a.observe(vec![observed(2, "n-1", 1, DomainPhase::Stopped)]).await;
    zone.until("heard", |c| c.status().nodes[0].used.is_some()).await;
    let mut back = FakeCloud::connect(&zone, 1, Some(cursor.clone())).await;
    assert_eq!(heard_until_resynced(&mut back).await, [(instance_id(2), DomainPhase::Stopped)]);
    let mut stranger = FakeCloud::connect(&zone, 1, Some(Cursor { boot: "other".into(), seq: 99 })).await;
    assert_eq!(heard_until_resynced(&mut stranger).await.len(), 3);
    zone.end().await;
}

async fn heard_until_resynced(cloud: &mut FakeCloud) -> Vec<(String, DomainPhase)> {
    let mut heard = Vec::new();
    loop {
        match cloud.hear().await.unwrap() {
            ToCloud::Observed(o) => heard.extend(o.instances.iter().map(|i| (i.id.clone(), i.phase()))),
            ToCloud::ResyncEnd(_) => return heard,
            ToCloud::Hello(_) | ToCloud::Node(_) => {}
        }
    }
}

#[tokio::test]
async fn what_a_snapshot_does_not_name_is_forgotten() {
    let zone = Zone::start().await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let mut objects = network();
    objects.extend((1..3).map(|n| Object::Instance(intent(n, "n-1", 1, RunIntent::Run))));
    let cloud = FakeCloud::with(&zone, 1, objects).await;
    let end = a
        .await_message(|m| match m {
            ToNode::DesiredEnd(e) => Some(e),
            _ => None,
        })
        .await;
    assert_eq!(end.instance_ids, [instance_id(1), instance_id(2)]);
    a.await_view("both ports are there", |v| v.vpcs.iter().any(|vpc| vpc.ports.len() == 2)).await;
    // A snapshot that is broken off takes nothing away.
    cloud.say(FromCloud::SnapshotBegin(SnapshotBegin { seq: 200 })).await;
    drop(cloud);
    let mut objects = network();
    objects.push(Object::Instance(intent(1, "n-1", 1, RunIntent::Run)));
    let _cloud = FakeCloud::with(&zone, 2, objects).await;
    let forget = a
        .await_message(|m| match m {
            ToNode::Forget(f) => Some(f),
            _ => None,
        })
        .await;
    assert_eq!((forget.id, forget.generation), (instance_id(2), 1));
    a.await_view("one port is left", |v| v.vpcs.iter().any(|vpc| vpc.ports.len() == 1)).await;
    zone.end().await;
}

#[tokio::test]
async fn a_node_that_returns_hears_all_it_should_have_and_nothing_pretends() {
    let zone = Zone::start().await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![observed(1, "n-1", 1, DomainPhase::Running)]).await;
    let mut objects = network();
    objects.push(Object::Instance(intent(1, "n-1", 1, RunIntent::Run)));
    let mut cloud = FakeCloud::with(&zone, 1, objects).await;
    a.await_view("the port is there", |v| !v.vpcs.is_empty()).await;
    let held = a.held.clone();
    drop(a);
    cloud
        .await_message(|m| match m {
            ToCloud::Node(n) if n.state() == NodeState::Offline => Some(()),
            _ => None,
        })
        .await;
    cloud.change(Object::Instance(intent(1, "n-1", 2, RunIntent::Terminate))).await;
    zone.until("applied", |c| c.status().applied_seq == 101).await;
    let explained = zone.explain(&instance_id(1)).await;
    assert!(explained.notes[0].starts_with("waiting for node n-1: offline since 20"), "{:?}", explained.notes);
    assert!(explained.notes[1].contains("when node n-1 returns"), "{:?}", explained.notes);
    assert_eq!(zone.used("n-1").vcpus, 2, "what is not confirmed stays taken");
    let request = PlaceRequest { node_id: "n-1".into(), ..place("r1", 1, 5..6) };
    assert_eq!(zone.place(request).await.unwrap().refused[0].refused_by, "online");
    // Same run of the node: it is told what is known already, and resumes.
    let (mut a, welcome) = FakeNode::join(&zone, Hello { view: held, ..Hello::of("n-1") }, vec![]).await;
    assert_eq!(welcome.observed, Some(Cursor { boot: "boot-1".into(), seq: 1 }));
    assert_eq!(a.await_intent(&instance_id(1)).await.intent(), RunIntent::Terminate);
    let end = a
        .await_message(|m| match m {
            ToNode::DesiredEnd(e) => Some(e),
            _ => None,
        })
        .await;
    assert_eq!(end.instance_ids, [instance_id(1)]);
    // Its view was right already, as the guest still runs: nothing is sent.
    assert!(a.silence().await);
    // A mismatch is cured by the whole view. A node that it does not cure is told it again, but not without a pause.
    let view = |m| match m {
        ToNode::View(v) => Some(v),
        _ => None,
    };
    for paused in [false, true, true] {
        let said = std::time::Instant::now();
        a.say(node_to_cluster::Message::ViewMismatch(ViewMismatch { generation: a.view.generation })).await;
        let whole = a.await_message(view).await;
        assert_eq!(whole.base_generation, 0);
        assert_eq!(said.elapsed() >= std::time::Duration::from_secs(1), paused);
    }
    zone.end().await;
}

#[tokio::test]
async fn a_silent_node_is_offline_and_a_living_one_is_answered() {
    let config = ClusterConfig { heartbeat_ms: 50, offline_after_ms: 400, ..config() };
    let zone = Zone::with(&config, Faults::none()).await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let beat = Heartbeat { sent_at_ms: 1, cached_images: vec!["feed".into()] };
    for _ in 0..12 {
        a.say(node_to_cluster::Message::Heartbeat(beat.clone())).await;
        a.await_message(|m| matches!(m, ToNode::Heartbeat(_)).then_some(())).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(zone.node("n-1").state(), NodeState::Ready);
    }
    zone.until("offline", |c| c.status().nodes[0].state() == NodeState::Offline).await;
    let ended = loop {
        if let Err(status) = a.hear().await {
            break WireError::from(status);
        }
    };
    assert!(ended.message.contains("given up"), "{ended}");
    zone.end().await;
}

#[tokio::test]
async fn a_second_session_of_a_node_takes_over() {
    let zone = Zone::start().await;
    let (mut old, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    let mut cloud = FakeCloud::with(&zone, 1, vec![]).await;
    let (mut new, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    cloud.change(Object::Instance(intent(1, "n-1", 1, RunIntent::Run))).await;
    new.await_intent(&instance_id(1)).await;
    old.say(node_to_cluster::Message::Heartbeat(Heartbeat::default())).await;
    while old.hear().await.is_ok() {}
    assert_eq!(zone.node("n-1").state(), NodeState::Ready);
    zone.end().await;
}

#[tokio::test]
async fn every_fault_point_ends_in_the_same_state() {
    let run = async |faults: Faults| -> (u32, String) {
        let mut zone = Zone::with(&config(), faults.clone()).await;
        let start = std::time::Instant::now();
        // Everyone tries again until it is done, as the real ones do.
        loop {
            assert!(start.elapsed() < SOON, "stuck: {:?}", zone.controller.faults().hit());
            // A session that a fault has ended falls silent for its peers: they give up and begin again.
            let patience = std::time::Duration::from_millis(500);
            let killed = tokio::select! {
                biased;
                () = faults.killed() => true,
                done = tokio::time::timeout(patience, attempt(&zone)) => match done {
                    Ok(Some(done)) => {
                        zone.end().await;
                        return done;
                    }
                    Ok(None) | Err(_) => false,
                },
            };
            if killed {
                zone.end().await;
                zone = Zone::with(&config(), faults.clone()).await;
            }
        }
    };
    let recording = Faults::recording();
    let want = run(recording.clone()).await;
    let points = recording.passed();
    assert!(points.len() >= 12, "{points:?}");
    for point in points {
        for times in 1..=2 {
            let faults = Faults::recording();
            faults.arm(&point, FaultAction::Fail, times);
            assert_eq!(run(faults.clone()).await, want, "{point} failed {times} times");
            assert_eq!(faults.hit().first(), Some(&point));
        }
        let faults = Faults::recording();
        faults.arm(&point, FaultAction::Kill, 1);
        assert_eq!(run(faults.clone()).await, want, "killed at {point}");
        assert_eq!(faults.hit(), [point]);
    }
}

async fn attempt(zone: &Zone) -> Option<(u32, String)> {
    let mut node = FakeNode::dial(zone, Hello::of("n-1")).await;
    let mut cloud = FakeCloud::connect(zone, 1, None).await;
    loop {
        if let ToNode::Welcome(_) = node.hear().await.ok()? {
            break;
        }
    }
    node.observe(vec![observed(9, "n-1", 1, DomainPhase::Running)]).await;
    node.resynced().await;
    cloud.snapshot(network()).await;
    let start = std::time::Instant::now();
    let placed = loop {
        match zone.place(place("r1", 1, 1..2)).await {
            Ok(reply) => break reply,
            Err(_) if start.elapsed() > std::time::Duration::from_millis(300) => return None,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
        }
    };
    assert_eq!(placed.placements.len(), 1);
    zone.cluster()
        .unplace(as_peer("cloud", "clc", UnplaceRequest { epoch: 1, request_id: "other".into() }))
        .await
        .ok()?;
    cloud.change(Object::Instance(intent(1, "n-1", 1, RunIntent::Run))).await;
    loop {
        if let ToNode::Instance(_) = node.hear().await.ok()? {
            break;
        }
    }
    while node.view.vpcs.is_empty() {
        node.hear().await.ok()?;
    }
    node.observe(vec![observed(1, "n-1", 1, DomainPhase::Running)]).await;
    loop {
        if let ToCloud::Observed(o) = cloud.hear().await.ok()?
            && o.instances.iter().any(|i| i.id == instance_id(1))
        {
            cloud.say(FromCloud::Observed(o.cursor.unwrap())).await;
            break;
        }
    }
    // The confirmation passes its point too.
    cloud.change(Object::Instance(intent(1, "n-1", 2, RunIntent::Run))).await;
    loop {
        if let ToNode::Instance(i) = node.hear().await.ok()?
            && i.generation == 2
        {
            break;
        }
    }
    let explained = zone.explain(&instance_id(1)).await;
    Some((zone.used("n-1").vcpus, format!("{:?}", explained.observation)))
}

#[tokio::test]
async fn a_node_that_reads_no_sections_keeps_the_view_it_has_until_it_is_upgraded() {
    let zone = Zone::start().await;
    let old = Hello { view_format: 1, ..Hello::of("n-1") };
    let (mut a, _) = FakeNode::join(&zone, old, vec![]).await;
    let mut objects = network();
    objects.push(Object::Instance(intent(1, "n-1", 1, RunIntent::Run)));
    let mut cloud = FakeCloud::with(&zone, 1, objects).await;
    a.await_intent(&instance_id(1)).await;
    while !a.silence().await {}
    assert_eq!(a.view, NodeView::default(), "half a view is worse than the last one");
    let warned = |zone: &Zone| zone.node("n-1").warnings.iter().any(|warning| warning.contains("until it is upgraded"));
    assert!(warned(&zone));
    let refused = zone.place(place("r1", 1, 5..6)).await.unwrap();
    assert!(refused.placements.is_empty(), "{refused:?}");
    drop(a);
    cloud
        .await_message(|m| match m {
            ToCloud::Node(n) if n.state() == NodeState::Offline => Some(()),
            _ => None,
        })
        .await;
    let (mut a, _) = FakeNode::join(&zone, Hello::of("n-1"), vec![]).await;
    a.await_view("it is told now", |v| v.vpcs.iter().any(|vpc| vpc.ports.len() == 1)).await;
    assert!(!warned(&zone));
    assert_eq!(zone.place(place("r2", 1, 6..7)).await.unwrap().placements.len(), 1);
    zone.end().await;
}
