//! Writes that wait for the transaction's next query, or its commit.

use crate::seed::{instance, interface, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(
    what_waits_is_there_for_the_next_query,
    what_waits_is_committed_and_else_gone,
    what_fails_late_fails_the_commit,
    instances_are_locked_and_observed_together,
);

fn tag(key: usize) -> TagRow {
    TagRow {
        resource_id: "i-1".into(),
        key: format!("key-{key:03}"),
        value: "v".into(),
        resource_type: "instance".into(),
        account_id: crate::seed::account(),
    }
}

async fn tags(exec: impl Into<Exec<'_>>) -> usize {
    tag_list(exec, &crate::seed::account(), TagFilter::default(), 1000).await.unwrap().len()
}

async fn what_waits_is_there_for_the_next_query(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    for key in 0..3 {
        tag_put(&mut tx, &[tag(key)]).await.unwrap();
    }
    assert_eq!(tags(&mut tx).await, 3);
    assert_eq!(tags(&mut tx).await, 3, "and is not written twice");
    // More than may wait.
    for key in 0..40 {
        tag_put(&mut tx, &[tag(key)]).await.unwrap();
    }
    assert_eq!(setting_fetch(&mut tx, "none").await.unwrap(), None, "a query of no rows");
    assert_eq!(tags(&mut tx).await, 40);
    tx.commit().await.unwrap();
    assert_eq!(tags(&store).await, 40);
}

async fn what_waits_is_committed_and_else_gone(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    tag_put(&mut tx, &[tag(1)]).await.unwrap();
    drop(tx);
    let mut tx = store.write().await.unwrap();
    tag_put(&mut tx, &[tag(2), tag(3)]).await.unwrap();
    tag_put(&mut tx, &[tag(4)]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(tags(&store).await, 3);
    let mut tx = store.write().await.unwrap();
    tag_put(&mut tx, &[tag(5)]).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(tags(&store).await, 3);
}

async fn what_fails_late_fails_the_commit(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let card = interface(&subnet, 1, "172.31.0.9".parse().unwrap());
    let mut tx = store.write().await.unwrap();
    tag_put(&mut tx, &[tag(1)]).await.unwrap();
    // There is no such group.
    interface_insert_later(&mut tx, &card, &[GroupId::from_random(77)]).await.unwrap();
    assert!(matches!(tx.commit().await, Err(StoreError::InUse)), "as when it is said at once");
    assert_eq!(tags(&store).await, 0, "nothing of the transaction is there");
    assert!(interface_fetch(&store, &card.id).await.is_err());

    let mut tx = store.write().await.unwrap();
    interface_insert_later(&mut tx, &card, &[]).await.unwrap();
    interface_insert_later(&mut tx, &card, &[]).await.unwrap();
    assert!(setting_fetch(&mut tx, "none").await.is_err(), "the next query says it");
    assert!(matches!(tx.commit().await, Err(StoreError::Aborted)));
    assert!(interface_fetch(&store, &card.id).await.is_err());
}

async fn instances_are_locked_and_observed_together(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    for n in 0..30 {
        instance_insert_later(&mut tx, &instance(&subnet, n), Some(&[7]), Some("{}")).await.unwrap();
    }
    tx.commit().await.unwrap();
    let ids = (0..40).map(InstanceId::from_random).collect();
    let mut tx = store.write().await.unwrap();
    let mut rows = instances_fetch_locked(&mut tx, &ids).await.unwrap();
    assert_eq!(rows.len(), 30, "those that there are");
    for row in &mut rows {
        row.observed_phase = DomainPhase::Running;
        instance_observe_later(&mut tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(instance_fetch(&store, &rows[29].id).await.unwrap(), rows[29]);
    assert_eq!(instance_placement(&store, &rows[3].id).await.unwrap().as_deref(), Some("{}"));
    let of = instance_user_data_of(&store, &[rows[2].id.clone(), InstanceId::from_random(99)]).await.unwrap();
    assert_eq!(of, [(rows[2].id.clone(), vec![7])]);
}
