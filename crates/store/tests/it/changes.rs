//! The change log: order, waking, pruning.

use crate::seed::zone;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use std::time::Duration;

mallee_store::store_test_suite!(
    numbers_grow_in_commit_order,
    a_commit_wakes_the_watchers_of_every_replica,
    what_is_rolled_back_is_not_told,
    a_reader_never_misses_a_change,
    a_failed_statement_spoils_the_transaction,
);

async fn note(store: &Store, id: &str) {
    let mut tx = store.write().await.unwrap();
    setting_put(&mut tx, id, "v").await.unwrap();
    change_append(&mut tx, "setting", id, Some(&zone()));
    tx.commit().await.unwrap();
}

async fn numbers_grow_in_commit_order(db: TestDb) {
    let store = db.open().await;
    assert_eq!(changes_bounds(&store).await.unwrap(), (0, 0));
    for id in ["a", "b", "c"] {
        note(&store, id).await;
    }
    let changes = changes_since(&store, 0, 100).await.unwrap();
    assert_eq!(changes.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(changes.windows(2).all(|w| w[0].seq < w[1].seq));
    assert_eq!(changes[0].zone, Some(zone()));
    let rest = changes_since(&store, changes[0].seq, 1).await.unwrap();
    assert_eq!(rest, [changes[1].clone()]);
    assert_eq!(changes_bounds(&store).await.unwrap(), (changes[0].seq, changes[2].seq));
    assert_eq!(changes_prune(&store).await.unwrap(), 0);
}

async fn a_commit_wakes_the_watchers_of_every_replica(db: TestDb) {
    let store = db.open().await;
    let reader = if db.is_postgres() { db.open().await } else { store.clone() };
    let mut watch = reader.watch_changes();
    let before = *watch.borrow_and_update();
    note(&store, "a").await;
    tokio::time::timeout(Duration::from_secs(10), watch.wait_for(|seq| *seq > before)).await.unwrap().unwrap();
}

async fn what_is_rolled_back_is_not_told(db: TestDb) {
    let store = db.open().await;
    let watch = store.watch_changes();
    let mut tx = store.write().await.unwrap();
    setting_put(&mut tx, "a", "v").await.unwrap();
    change_append(&mut tx, "setting", "a", None);
    drop(tx);
    assert_eq!(setting_fetch(&store, "a").await.unwrap(), None);
    assert!(changes_since(&store, 0, 10).await.unwrap().is_empty());
    assert!(!watch.has_changed().unwrap());
    note(&store, "b").await;
    assert_eq!(changes_since(&store, 0, 10).await.unwrap().len(), 1);
}

/// Many writers; a reader that follows from where it was must see each change once.
async fn a_reader_never_misses_a_change(db: TestDb) {
    const WRITERS: usize = 4;
    const EACH: usize = 25;
    let store = db.open().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|w| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    note(&store, &format!("{w}-{n}")).await;
                }
            })
        })
        .collect();
    let (mut seen, mut at) = (Vec::new(), 0);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let mut watch = store.watch_changes();
    while seen.len() < WRITERS * EACH {
        let changes = changes_since(&store, at, 7).await.unwrap();
        match changes.last() {
            Some(last) => at = last.seq,
            None => drop(tokio::time::timeout_at(deadline, watch.changed()).await.expect("a change in time")),
        }
        seen.extend(changes.into_iter().map(|c| c.id));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), WRITERS * EACH);
}

async fn a_failed_statement_spoils_the_transaction(db: TestDb) {
    let store = db.open().await;
    let account = crate::seed::account();
    let mut tx = store.write().await.unwrap();
    s3_bucket_insert(&mut tx, "b", &account, "r", 1).await.unwrap();
    let error = s3_bucket_insert(&mut tx, "b", &account, "r", 1).await.unwrap_err();
    assert!(error.is_conflict("s3_buckets_name"), "{error:?}");
    assert!(matches!(setting_put(&mut tx, "a", "v").await, Err(StoreError::Aborted)));
    assert!(matches!(tx.commit().await, Err(StoreError::Aborted)));
    assert!(matches!(s3_bucket_fetch(&store, "b").await, Err(StoreError::NotFound { .. })));
}
