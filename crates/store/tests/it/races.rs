//! What two replicas or two calls at once must not both get.

use crate::seed::{account, world, zone};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::time::Duration;

mallee_store::store_test_suite!(
    one_replica_holds_a_lease,
    an_epoch_grows_whenever_the_lease_is_taken_anew,
    one_call_with_a_token_does_the_work,
    a_join_token_works_once,
    network_identifiers_are_distinct,
    an_orphaned_saga_is_taken_over_once,
);

const TTL: Duration = Duration::from_secs(10);

async fn acquire(store: &Store, holder: &str) -> Option<LeaseRow> {
    let mut tx = store.write().await.unwrap();
    let lease = lease_acquire(&mut tx, "leader", holder, TTL).await.unwrap();
    tx.commit().await.unwrap();
    lease
}

async fn one_replica_holds_a_lease(db: TestDb) {
    let store = db.open().await;
    let other = if db.is_postgres() { db.open().await } else { store.clone() };
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let store = if n % 2 == 0 { store.clone() } else { other.clone() };
            tokio::spawn(async move { acquire(&store, &format!("replica-{n}")).await })
        })
        .collect();
    let mut winners = Vec::new();
    for one in tries {
        winners.extend(one.await.unwrap());
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(lease_fetch(&store, "leader").await.unwrap().unwrap(), winners[0]);
    assert_eq!(lease_list(&store).await.unwrap(), winners);
}

async fn an_epoch_grows_whenever_the_lease_is_taken_anew(db: TestDb) {
    let store = db.open().await;
    let first = acquire(&store, "a").await.unwrap();
    assert_eq!(first.epoch, Epoch(1));
    assert_eq!(acquire(&store, "a").await.unwrap().epoch, Epoch(1), "still held: the same term");
    assert_eq!(acquire(&store, "b").await, None);

    db.clock.shift_ms(11_000);
    let mut tx = store.write().await.unwrap();
    assert!(matches!(lease_renew(&mut tx, &first, TTL).await, Err(StoreError::Stale { .. })), "expired");
    drop(tx);
    let second = acquire(&store, "b").await.unwrap();
    assert_eq!(second.epoch, Epoch(2));
    let mut tx = store.write().await.unwrap();
    assert!(!lease_release(&mut tx, &first).await.unwrap(), "an old term releases nothing");
    assert!(lease_renew(&mut tx, &second, TTL).await.unwrap().expires_ms >= second.expires_ms);
    assert!(lease_release(&mut tx, &second).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(acquire(&store, "b").await.unwrap().epoch, Epoch(3), "taken anew after its end");
}

async fn one_call_with_a_token_does_the_work(db: TestDb) {
    let store = db.open().await;
    let calls: Vec<_> = (0..6)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = store.write().await.unwrap();
                let claim = client_token_claim(&mut tx, &account(), "RunInstances", "t", "hash").await.unwrap();
                if claim == ClientTokenClaim::New {
                    let result = format!("r-{n}");
                    client_token_result_set(&mut tx, &account(), "RunInstances", "t", &result).await.unwrap();
                    tx.commit().await.unwrap();
                    return (true, result);
                }
                let ClientTokenClaim::Repeat(result) = claim else { panic!("{claim:?}") };
                (false, result)
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    assert_eq!(outcomes.iter().filter(|(new, _)| *new).count(), 1);
    assert!(outcomes.iter().all(|(_, result)| *result == outcomes[0].1), "{outcomes:?}");
    let mut tx = store.write().await.unwrap();
    let claim = client_token_claim(&mut tx, &account(), "RunInstances", "t", "other").await.unwrap();
    assert_eq!(claim, ClientTokenClaim::Mismatch);
    let old = client_token_old(&mut tx, i64::MAX, 10).await.unwrap();
    assert_eq!(old.iter().map(|old| (old.token.as_str(), old.is_alive)).collect::<Vec<_>>(), [("t", false)]);
    client_token_forget(&mut tx, &old[0]).await.unwrap();
    assert!(client_token_old(&mut tx, i64::MAX, 10).await.unwrap().is_empty());
}

async fn a_join_token_works_once(db: TestDb) {
    let store = db.open().await;
    let now_ms = store.clock().now_ms();
    let token = |id: &str, expires_ms| JoinTokenRow {
        id: id.into(),
        secret_hash: vec![0, 1, 255],
        role: "node".into(),
        zone: Some(zone()),
        name: None,
        created_ms: now_ms,
        expires_ms,
        used_ms: None,
    };
    let mut tx = store.write().await.unwrap();
    join_token_insert(&mut tx, &token("good", now_ms + 60_000)).await.unwrap();
    join_token_insert(&mut tx, &token("old", now_ms - 1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(join_token_fetch(&store, "good").await.unwrap(), token("good", now_ms + 60_000));
    let uses: Vec<_> = (0..5)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = store.write().await.unwrap();
                let used = join_token_use(&mut tx, "good").await.is_ok();
                tx.commit().await.unwrap();
                used
            })
        })
        .collect();
    let mut good = 0;
    for one in uses {
        good += usize::from(one.await.unwrap());
    }
    assert_eq!(good, 1);
    let mut tx = store.write().await.unwrap();
    assert!(join_token_use(&mut tx, "old").await.is_err(), "expired");
    assert!(join_token_use(&mut tx, "none").await.is_err());
    assert_eq!(join_token_purge(&mut tx).await.unwrap(), 1);
}

async fn network_identifiers_are_distinct(db: TestDb) {
    let store = db.open().await;
    let (first, _) = world(&store, "172.31.0.0/20").await;
    let makers: Vec<_> = (2..8u128)
        .map(|n| {
            let (store, first) = (store.clone(), first.clone());
            tokio::spawn(async move {
                let mut tx = store.write().await.unwrap();
                let vni = vpc_vni_take(&mut tx).await.unwrap();
                let row = VpcRow { id: VpcId::from_random(n), vni, is_default: false, ..first };
                vpc_insert(&mut tx, &row).await.unwrap();
                tx.commit().await.unwrap();
            })
        })
        .collect();
    for maker in makers {
        maker.await.unwrap();
    }
    // The range is used to its end, then the gaps.
    let mut tx = store.write().await.unwrap();
    let last =
        VpcRow { id: VpcId::from_random(99), vni: VNI_LAST.try_into().unwrap(), is_default: false, ..first.clone() };
    vpc_insert(&mut tx, &last).await.unwrap();
    assert_eq!(i64::from(vpc_vni_take(&mut tx).await.unwrap()), i64::from(first.vni) + 7);
}

async fn an_orphaned_saga_is_taken_over_once(db: TestDb) {
    let store = db.open().await;
    let lease = acquire(&store, "a").await.unwrap();
    let saga = SagaRow {
        id: "s1".into(),
        name: "n".into(),
        version: 1,
        state: SagaState::Running,
        params: "{}".into(),
        owner: lease.name.clone(),
        owner_epoch: lease.epoch,
        step: 0,
        error: None,
        created_ms: 1,
        updated_ms: 1,
        deadline_ms: 1,
    };
    let mut tx = store.write().await.unwrap();
    saga_insert(&mut tx, &saga).await.unwrap();
    tx.commit().await.unwrap();
    assert!(saga_list_orphans(&store, 10).await.unwrap().is_empty(), "its owner lives");
    db.clock.shift_ms(11_000);
    let orphans = saga_list_orphans(&store, 10).await.unwrap();
    assert_eq!(orphans, [saga.clone()]);
    let mut tx = store.write().await.unwrap();
    saga_take_over(&mut tx, &orphans[0], "other", Epoch(7)).await.unwrap();
    let late = saga_take_over(&mut tx, &orphans[0], "third", Epoch(1)).await;
    assert!(matches!(late, Err(StoreError::Stale { .. })));
    let fenced = saga_progress(&mut tx, &saga, &[]).await;
    assert!(matches!(fenced, Err(StoreError::Stale { .. })), "the old owner writes no more");
}
