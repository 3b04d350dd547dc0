//! Who has a database file for itself, and what is known of a transaction that did not begin.

use futures::FutureExt as _;
use mallee_runtime::{Clock, Rng};
use mallee_store::{SealKey, Store, StoreConfig, StoreError, setting_put};
use std::path::Path;
use std::time::Duration;

async fn open(path: &Path, change: impl FnOnce(StoreConfig) -> StoreConfig) -> Result<Store, StoreError> {
    let rng = Rng::system();
    let config = change(StoreConfig::new(format!("sqlite:{}", path.display())));
    Store::open(config, Clock::system(), rng.clone(), SealKey::random(&rng).unwrap()).await
}

#[tokio::test]
async fn the_first_has_a_file_for_itself_until_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let first = open(&path, |config| config).await.unwrap();
    let second = open(&path, |config| config).await.unwrap();
    assert!(first.is_alone() && !second.is_alone());
    first.close().await;
    let third = open(&path, |config| config).await.unwrap();
    assert!(!first.is_alone() && !second.is_alone() && third.is_alone());
}

#[tokio::test]
async fn what_should_be_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let refused = open(&dir.path().join("db"), StoreConfig::existing).await;
    assert!(matches!(refused, Err(StoreError::Config(_))), "{refused:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    open(&dir.path().join("db"), |config| config).await.unwrap().close().await;
    assert!(open(&dir.path().join("db"), StoreConfig::existing).await.is_ok());
}

#[tokio::test]
async fn a_work_whose_transaction_does_not_begin_is_certainly_not_done() {
    let dir = tempfile::tempdir().unwrap();
    let short = |config| StoreConfig { wait_max: Duration::from_millis(200), ..config };
    let store = open(&dir.path().join("db"), short).await.unwrap();
    let work = || store.write_grouped::<_, StoreError, _>(|tx| setting_put(tx, "a", "b").boxed());
    let held = store.write().await.unwrap();
    let (one, two) = futures::join!(work(), work());
    assert!(matches!((&one, &two), (Err(StoreError::Undone(_)), Err(StoreError::Undone(_)))), "{one:?} {two:?}");
    drop(held);
    work().await.expect("it is worth a retry");
}

/// A work holds the store, which holds the works that wait: when nobody will do them any more, they must go.
#[test]
fn works_that_a_runtime_leaves_undone_do_not_keep_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ends = runtime();
    let store = ends.block_on(open(&path, |config| config)).unwrap();
    let handle = ends.handle().clone();
    ends.shutdown_timeout(Duration::from_secs(10));
    let outcome = {
        let (_within, inner) = (handle.enter(), store.clone());
        let work = store.write_grouped::<_, StoreError, _>(move |tx| {
            let _inner = &inner;
            setting_put(tx, "a", "b").boxed()
        });
        work.now_or_never()
    };
    assert!(matches!(outcome, Some(Err(StoreError::Undone(_)))), "{outcome:?}");
    drop(store);
    assert!(runtime().block_on(open(&path, |config| config)).unwrap().is_alone(), "the file is still in use");
}
