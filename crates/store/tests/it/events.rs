//! Scheduled events: found when they are due, kept with their instance and no longer.

use crate::seed::{account, instance, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(events_are_due_when_they_can_be_done, events_go_with_their_instance_or_a_week_later);

fn event(n: u128, of: &InstanceRow, code: EventCode) -> InstanceEventRow {
    InstanceEventRow {
        id: InstanceEventId::from_random(n),
        account_id: account(),
        instance_id: of.id.clone(),
        node_id: of.node_id.clone(),
        code,
        state: EventState::Scheduled,
        description: "work on the power".into(),
        not_before_ms: 100 + i64::try_from(n).unwrap(),
        not_after_ms: None,
        deadline_ms: Some(900),
        reboot_seq: 3,
        created_ms: 1,
        ended_ms: None,
    }
}

async fn events_are_due_when_they_can_be_done(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let node: Option<NodeId> = Some("n-1".parse().unwrap());
    let runs = InstanceRow { node_id: node, state: InstanceState::Running, ..instance(&subnet, 1) };
    let boots = InstanceRow { state: InstanceState::Pending, ..instance(&subnet, 2) };
    let events = [
        event(1, &runs, EventCode::InstanceReboot),
        event(2, &boots, EventCode::InstanceReboot),
        event(3, &boots, EventCode::InstanceStop),
        event(4, &runs, EventCode::SystemReboot),
        event(5, &runs, EventCode::InstanceRetirement),
    ];
    let mut tx = store.write().await.unwrap();
    for row in [&runs, &boots] {
        instance_insert(&mut tx, row, None).await.unwrap();
    }
    for row in &events {
        instance_event_insert(&mut tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(instance_event_due(&store, 100, 9).await.unwrap(), []);
    let due = instance_event_due(&store, 1_000, 9).await.unwrap();
    let ids = |picked: &[usize]| picked.iter().map(|at| events[*at].id.clone()).collect::<Vec<_>>();
    assert_eq!(due, ids(&[0, 2, 4]), "what boots is not rebooted, and hosts are the administrator's");
    assert_eq!(instance_event_due(&store, 1_000, 1).await.unwrap(), ids(&[0]));
    let mut moved = events[0].clone();
    (moved.not_before_ms, moved.not_after_ms) = (800, Some(950));
    let mut done = events[2].clone();
    (done.state, done.ended_ms) = (EventState::Completed, Some(500));
    let mut tx = store.write().await.unwrap();
    instance_event_update(&mut tx, &moved).await.unwrap();
    instance_event_update(&mut tx, &done).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(instance_event_fetch(&store, &moved.id).await.unwrap(), moved);
    assert_eq!(instance_event_due(&store, 700, 9).await.unwrap(), ids(&[4]));
    let of = |rows: &[InstanceRow], state| {
        let ids: Vec<InstanceId> = rows.iter().map(|row| row.id.clone()).collect();
        let store = store.clone();
        async move {
            let filter = InstanceEventFilter { instances: Some(&ids), state };
            instance_event_list(&store, filter, 9).await.unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(of(&[boots.clone()], None).await, ids(&[1, 2]));
    assert_eq!(of(&[boots, runs], Some(EventState::Scheduled)).await, ids(&[1, 3, 4, 0]), "by time");
}

async fn events_go_with_their_instance_or_a_week_later(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let gone = InstanceRow { terminated_ms: Some(5), ..instance(&subnet, 1) };
    let runs = instance(&subnet, 2);
    let old = InstanceEventRow {
        state: EventState::Canceled,
        ended_ms: Some(50),
        ..event(1, &runs, EventCode::InstanceStop)
    };
    let mut tx = store.write().await.unwrap();
    for row in [&gone, &runs] {
        instance_insert(&mut tx, row, None).await.unwrap();
    }
    for row in [&old, &event(2, &runs, EventCode::InstanceStop), &event(3, &gone, EventCode::InstanceStop)] {
        instance_event_insert(&mut tx, row).await.unwrap();
    }
    assert!(!instance_event_delete(&mut tx, &InstanceEventId::from_random(2)).await.unwrap(), "it is still to come");
    assert_eq!(instance_event_purge(&mut tx, 50).await.unwrap(), 0);
    assert_eq!(instance_event_purge(&mut tx, 51).await.unwrap(), 1);
    assert!(instance_delete(&mut tx, &gone.id).await.unwrap());
    let left = instance_event_list(&mut tx, InstanceEventFilter::default(), 9).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [InstanceEventId::from_random(2)]);
    tx.commit().await.unwrap();
}
