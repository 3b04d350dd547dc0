//! The scrub: finds damage, goes on after a restart, forgets what is no damage any more.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::scrub::{Next, Scrub, ScrubPace};
use mallee_objects::{Condition, Content, StoreMetadata};
use mallee_runtime::{Clock, Faults};
use mallee_store::test_support::TestDb;
use mallee_store::{Store, s3_damage_list};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{ACCOUNT, BUCKET, Kind, World};

mallee_store::store_test_suite!(finds_damage_and_goes_on);

/// More than one portion.
const BLOBS: u64 = 300;

async fn damage(store: &Store) -> Vec<String> {
    s3_damage_list(store, None, 10).await.unwrap().into_iter().map(|row| row.blob_id).collect()
}

/// The seventh and the eighth are files of their own.
fn size(n: u64) -> usize {
    if n == 7 || n == 8 { 270_000 } else { 5_000 }
}

async fn finds_damage_and_goes_on(db: TestDb) {
    let store = db.open().await;
    let mut world = World::new(Kind::Memory).await;
    world.meta = Arc::new(StoreMetadata::new(store.clone()));
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    for n in 0..BLOBS {
        support::put(&engine, &format!("k{n}"), support::bytes(n, size(n)), &Condition::None).await.unwrap();
    }
    let blobs = world.blobs(Faults::none());
    let Content::Blob(bad) = engine.object(BUCKET, "k7").await.unwrap().content else { panic!("not a blob") };
    let Content::Blob(gone) = engine.object(BUCKET, "k8").await.unwrap().content else { panic!("not a blob") };
    let (path, good) = (blobs.path(&bad), std::fs::read(blobs.path(&bad)).unwrap());
    let mut flipped = good.clone();
    flipped[4_321] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    std::fs::remove_file(blobs.path(&gone)).unwrap();

    let clock = Clock::system();
    let pace = ScrubPace { period: Duration::from_secs(100), bytes_per_second: 0 };
    let open = || Scrub::new(store.clone(), Arc::new(world.blobs(Faults::none())), clock.clone(), Faults::none(), pace);
    assert_eq!(open().portion().await.unwrap(), Next::Portion);
    let state = open().state().await.unwrap();
    assert!(state.pass == 1 && state.ended_ms.is_none() && state.blobs < BLOBS, "{state:?}");
    // Another process goes on where the first one stood.
    assert_eq!(open().portion().await.unwrap(), Next::Portion);
    assert_eq!(open().portion().await.unwrap(), Next::Rest);
    let state = open().state().await.unwrap();
    assert!(state.ended_ms.is_some(), "{state:?}");
    assert_eq!((state.blobs, state.bytes, state.damaged), (BLOBS, (BLOBS - 2) * 5_000 + 2 * 270_000, 2));
    let mut both = vec![bad.as_str().to_owned(), gone.as_str().to_owned()];
    both.sort();
    assert_eq!(damage(&store).await, both);
    assert_eq!(open().portion().await.unwrap(), Next::Rest, "no pass is due");
    assert_eq!(open().state().await.unwrap(), state);

    // One is mended, the other deleted: the next pass knows.
    std::fs::write(&path, &good).unwrap();
    support::delete(&engine, &["k8"]).await.unwrap();
    clock.shift_ms(101_000);
    while open().portion().await.unwrap() == Next::Portion {}
    let state = open().state().await.unwrap();
    assert_eq!((state.pass, state.blobs, state.damaged), (2, BLOBS - 1, 0));
    assert!(damage(&store).await.is_empty());
}

#[tokio::test]
async fn keeps_its_pace() {
    let store = TestDb::sqlite().await;
    let (db, mut world) = (store.open().await, World::new(Kind::Memory).await);
    world.meta = Arc::new(StoreMetadata::new(db.clone()));
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    for n in 0..5 {
        support::put(&engine, &format!("k{n}"), support::bytes(n, 100_000), &Condition::None).await.unwrap();
    }
    let pace = ScrubPace { period: Duration::from_secs(100), bytes_per_second: 1_000_000 };
    let scrub = Scrub::new(db, Arc::new(world.blobs(Faults::none())), Clock::system(), Faults::none(), pace);
    let began = Instant::now();
    scrub.portion().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
}
