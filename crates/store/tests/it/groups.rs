//! Grouped commits: each work by itself, whatever becomes of the others in its transaction.

use futures::FutureExt as _;
use mallee_store::test_support::TestDb;
use mallee_store::{Store, StoreError, change_append, lease_acquire, setting_fetch, setting_insert, setting_put};
use std::time::Duration;

mallee_store::store_test_suite!(
    works_do_not_touch_each_other,
    a_refusal_stands_on_what_came_before,
    a_transaction_that_breaks_down_holds_nobody_up
);

const WORKS: usize = 200;

/// What a work of this number does: most write, some refuse after they wrote, some break a statement, some panic.
async fn work(store: Store, n: usize) -> Result<usize, StoreError> {
    store
        .write_grouped(move |tx| {
            async move {
                setting_put(tx, &format!("test/{n}"), "x").await?;
                change_append(tx, "test", n, None);
                match n % 10 {
                    3 => Err(StoreError::NotFound { what: "refused by itself".to_owned() }),
                    // A lease needs a time that fits: a statement that the database refuses.
                    5 => {
                        setting_put(tx, "test/nul", "\0").await?;
                        lease_acquire(tx, "test", "\0", Duration::ZERO).await?;
                        Err(StoreError::NotFound { what: "refused all the same".to_owned() })
                    }
                    7 => panic!("a work breaks down"),
                    _ => Ok(n),
                }
            }
            .boxed()
        })
        .await
}

async fn works_do_not_touch_each_other(db: TestDb) {
    let store = db.open().await;
    let before = *store.watch_changes().borrow();
    let works: Vec<_> = (0..WORKS).map(|n| tokio::spawn(work(store.clone(), n))).collect();
    let mut done = 0;
    for (n, work) in works.into_iter().enumerate() {
        let stays = !matches!(n % 10, 3 | 5 | 7);
        match work.await {
            Ok(Ok(number)) => {
                assert!(stays && number == n);
                done += 1;
            }
            // On PostgreSQL a panic is the caller's own.
            Ok(Err(_)) | Err(_) => assert!(!stays, "work {n} failed"),
        }
        let there = setting_fetch(&store, &format!("test/{n}")).await.unwrap();
        assert_eq!(there.is_some(), stays, "work {n}");
    }
    assert_eq!(done, WORKS * 7 / 10);
    assert!(setting_fetch(&store, "test/nul").await.unwrap().is_none());
    assert!(*store.watch_changes().borrow() > before, "those who watch are woken");
    let changes = mallee_store::changes_since(&store, before, 1000).await.unwrap();
    assert_eq!(changes.iter().filter(|change| change.kind == "test").count(), done, "only of what stays");
    store.close().await;
    // Durable: another handle sees it.
    assert!(setting_fetch(&db.open().await, "test/0").await.unwrap().is_some());
}

/// Of many that want to be first, one is.
async fn a_refusal_stands_on_what_came_before(db: TestDb) {
    let store = db.open().await;
    let works = (0..50).map(|n: u64| {
        let store = store.clone();
        tokio::spawn(async move {
            let first = store.write_grouped(move |tx| {
                async move {
                    match setting_insert(tx, "test/first", &n.to_string()).await? {
                        true => Ok(n),
                        false => Err(StoreError::NotFound { what: "too late".to_owned() }),
                    }
                }
                .boxed()
            });
            first.await
        })
    });
    let mut winners = Vec::new();
    for work in works.collect::<Vec<_>>() {
        winners.extend(work.await.unwrap().ok());
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(setting_fetch(&store, "test/first").await.unwrap(), Some(winners[0].to_string()));
}

/// Breaks down where nobody expects it: when nobody takes it any more.
struct Broken;

impl Drop for Broken {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a value breaks down");
    }
}

async fn a_transaction_that_breaks_down_holds_nobody_up(db: TestDb) {
    let store = db.open().await;
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (go_on, goes_on) = tokio::sync::oneshot::channel::<()>();
    let other = store.clone();
    let first = tokio::spawn(async move {
        let work = other.write_grouped::<_, StoreError, _>(move |tx| {
            async move {
                setting_put(tx, "test/broken", "x").await?;
                begun.send(()).unwrap();
                goes_on.await.unwrap();
                Ok(Broken)
            }
            .boxed()
        });
        std::mem::forget(work.await);
    });
    begins.await.unwrap();
    // Whoever asked goes away: what the work gives is dropped by whoever commits.
    first.abort();
    first.await.unwrap_err();
    // On PostgreSQL the work went away with whoever asked.
    _ = go_on.send(());
    let next = tokio::time::timeout(Duration::from_secs(20), work(store.clone(), 1)).await;
    assert_eq!(next.expect("the next one is done").unwrap(), 1);
}
