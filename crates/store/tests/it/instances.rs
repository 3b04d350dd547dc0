//! Instances: compare-and-set, filters, paging.

use crate::seed::{account, instance, world, zone};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(
    a_row_reads_back_as_written,
    intent_is_compare_and_set,
    an_old_observation_is_refused,
    filters_and_pages,
    a_terminated_instance_is_purged,
);

async fn a_row_reads_back_as_written(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let mut row = instance(&subnet, 1);
    row.doc.extra.insert("later".into(), serde_json::json!({"a": [1, "x"]}));
    row.doc.metadata.tokens_required = true;
    row.node_id = Some("node-1".parse().unwrap());
    row.terminated_ms = Some(-5);
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &row, Some(b"#!/bin/sh\0\xff")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(instance_fetch(&store, &row.id).await.unwrap(), row);
    assert_eq!(instance_user_data(&store, &row.id).await.unwrap().unwrap(), b"#!/bin/sh\0\xff");
    assert_eq!(instance_placement(&store, &row.id).await.unwrap(), None);
    let missing = instance_fetch(&store, &InstanceId::from_random(9)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
    assert!(serde_json::from_str::<InstanceDoc>("{}").is_ok(), "a row of an older version reads");
}

async fn intent_is_compare_and_set(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &instance(&subnet, 1), None).await.unwrap();
    tx.commit().await.unwrap();

    // Many at once each want one more reboot; whoever loses reads again: none is lost.
    let id = InstanceId::from_random(1);
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (store, id) = (store.clone(), id.clone());
            tokio::spawn(async move {
                for _ in 0..100 {
                    let mut row = instance_fetch(&store, &id).await.unwrap();
                    row.reboot_seq += 1;
                    let mut tx = store.write().await.unwrap();
                    match instance_intent_update(&mut tx, &row).await {
                        Ok(generation) => {
                            assert_eq!(generation, row.generation.next());
                            return tx.commit().await.unwrap();
                        }
                        Err(error) => assert!(error.is_retryable(), "{error:?}"),
                    }
                }
                panic!("never succeeded");
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let row = instance_fetch(&store, &id).await.unwrap();
    assert_eq!((row.reboot_seq, row.generation), (8, Generation(9)));

    let mut tx = store.write().await.unwrap();
    let gone = instance(&subnet, 2);
    assert!(matches!(instance_intent_update(&mut tx, &gone).await, Err(StoreError::NotFound { .. })));
    assert_eq!(instance_fetch_locked(&mut tx, &id).await.unwrap(), row);
}

async fn an_old_observation_is_refused(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let mut row = instance(&subnet, 1);
    row.generation = Generation(5);
    row.incarnation = Incarnation(3);
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &row, None).await.unwrap();
    let mut observe = async |incarnation, generation, phase| {
        let mut seen = row.clone();
        (seen.observed_incarnation, seen.observed_generation) = (Incarnation(incarnation), Generation(generation));
        seen.observed_phase = phase;
        instance_observe(&mut tx, &seen).await.map_err(|e| e.is_retryable())
    };
    assert_eq!(observe(3, 4, DomainPhase::Preparing).await, Ok(()));
    assert_eq!(observe(3, 4, DomainPhase::Running).await, Ok(()));
    assert_eq!(observe(3, 3, DomainPhase::Stopped).await, Err(true));
    assert_eq!(observe(2, 9, DomainPhase::Stopped).await, Err(true));
    assert_eq!(observe(3, 5, DomainPhase::Running).await, Ok(()));
    row.generation = Generation(4);
    let mut seen = row.clone();
    (seen.observed_incarnation, seen.observed_generation) = (Incarnation(3), Generation(5));
    assert!(matches!(instance_observe(&mut tx, &seen).await, Err(StoreError::Stale { .. })), "the intent moved on");
    tx.commit().await.unwrap();
    let kept = instance_fetch(&store, &row.id).await.unwrap();
    assert_eq!((kept.observed_phase, kept.observed_generation), (DomainPhase::Running, Generation(5)));
}

async fn filters_and_pages(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    for n in 0..25u128 {
        let mut row = instance(&subnet, n);
        if n % 5 == 0 {
            row.state = InstanceState::Running;
            row.node_id = Some("node-1".parse().unwrap());
        }
        row.released = n == 3;
        instance_insert(&mut tx, &row, None).await.unwrap();
    }
    tx.commit().await.unwrap();
    let (account, other) = (account(), "000000000002".parse().unwrap());
    let mine = InstanceFilter { account: Some(&account), ..Default::default() };

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = instance_list(&store, InstanceFilter { after: after.as_ref(), ..mine }, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        seen.extend(page.into_iter().map(|row| row.id));
    }
    assert_eq!(seen, (0..25).map(InstanceId::from_random).collect::<Vec<_>>());

    let count = async |filter: InstanceFilter<'_>| instance_list(&store, filter, 100).await.unwrap().len();
    assert_eq!(count(InstanceFilter { account: Some(&other), ..mine }).await, 0);
    assert_eq!(count(InstanceFilter { states: Some(&[InstanceState::Running]), ..mine }).await, 5);
    assert_eq!(count(InstanceFilter { ids: Some(&seen[..3]), ..mine }).await, 3);
    assert_eq!(count(InstanceFilter { ids: Some(&[]), ..mine }).await, 0);
    assert_eq!(count(InstanceFilter { node: Some(&"node-1".parse().unwrap()), ..mine }).await, 5);
    assert_eq!(count(InstanceFilter { zone: Some(&zone()), unreleased: true, ..Default::default() }).await, 24);
    assert_eq!(count(InstanceFilter { reservations: Some(&[ReservationId::from_random(1)]), ..mine }).await, 10);
    assert_eq!(quota_use(&store, Counted::Instances, &account, None).await.unwrap(), 25);
    assert!(instance_image_used(&store, &ImageId::from_random(1)).await.unwrap());
    assert!(!instance_image_used(&store, &ImageId::from_random(2)).await.unwrap());
}

async fn a_terminated_instance_is_purged(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let (mut gone, live) = (instance(&subnet, 1), instance(&subnet, 2));
    gone.terminated_ms = Some(1000);
    instance_insert(&mut tx, &gone, None).await.unwrap();
    instance_insert(&mut tx, &live, None).await.unwrap();
    assert!(instance_list_purgeable(&mut tx, 1000, 10).await.unwrap().is_empty());
    assert_eq!(instance_list_purgeable(&mut tx, 1001, 10).await.unwrap(), [gone.id.clone()]);
    assert!(instance_delete(&mut tx, &gone.id).await.unwrap());
    assert!(!instance_delete(&mut tx, &live.id).await.unwrap(), "a live instance is not forgotten");
    tx.commit().await.unwrap();
}
