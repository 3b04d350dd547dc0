//! The relaxed level: what is written so reads at once, and what a power failure took of it is cleared by a repair.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::check::{Checker, Weight};
use mallee_objects::{Condition, Content, Documents, Engine, Error, Level, StoreMetadata, Versioning};
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use std::sync::Arc;
use support::{ACCOUNT, BUCKET, Kind, World};

mallee_store::store_test_suite!(a_repair_drops_what_a_relaxed_bucket_lost);

const RELAXED: &str = "<DurabilityConfiguration><Durability>relaxed</Durability></DurabilityConfiguration>";
const SIZES: [usize; 5] = [100, 5_000, 200_000, 300_000, 700_000];

async fn cut(world: &World, engine: &Engine, key: &str) {
    let Content::Blob(id) = engine.object(BUCKET, key).await.unwrap().content else { panic!("not a blob") };
    let file = std::fs::File::options().write(true).open(world.blobs(Faults::none()).path(&id)).unwrap();
    file.set_len(40).unwrap();
}

async fn a_repair_drops_what_a_relaxed_bucket_lost(db: TestDb) {
    let store = db.open().await;
    let mut world = World::new(Kind::Memory).await;
    world.meta = Arc::new(StoreMetadata::new(store.clone()));
    let strict = world.engine(Faults::none());
    let docs = Documents::default().with("durability", "", RELAXED);
    assert_eq!(docs.level(), Level::Relaxed);
    strict.create_bucket_with(BUCKET, ACCOUNT, "r", Versioning::Off, docs).await.unwrap();
    let engine = strict.at(strict.bucket(BUCKET).await.unwrap().level());
    for (n, size) in SIZES.into_iter().enumerate() {
        let data = support::bytes(n as u64, size);
        support::put(&engine, &format!("k{n}"), data.clone(), &Condition::None).await.unwrap();
        assert!(support::get(&engine, &format!("k{n}")).await.unwrap().unwrap() == data, "{size}");
    }
    engine.at(Level::Strict).flush().await.unwrap();
    for lost in ["k2", "k3"] {
        cut(&world, &engine, lost).await;
        assert!(matches!(support::get(&world.engine(Faults::none()), lost).await, Err(Error::Corrupt(_))));
    }
    let checker = || Checker::new(store.clone(), world.blobs(Faults::none()), true);
    let (first, left) = checker().repair().await.unwrap();
    // The first object of the pack goes with the second.
    assert_eq!(first.findings.iter().filter(|f| f.weight == Weight::Lost).count(), 3, "{:#?}", first.findings);
    assert!(left.findings.iter().all(|f| f.weight == Weight::Leftover), "{:#?}", left.findings);
    assert_eq!(strict.usage(BUCKET).await.unwrap().objects, 2);

    // Of a strict bucket nothing is dropped.
    cut(&world, &engine, "k4").await;
    strict.remove_document(BUCKET, "durability", "").await.unwrap();
    let (_, left) = checker().repair().await.unwrap();
    assert!(!left.is_sound());
    assert_eq!(strict.usage(BUCKET).await.unwrap().objects, 2);
}
