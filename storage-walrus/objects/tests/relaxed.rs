//! The relaxed level: what is written so reads at once, and what a power failure took of it is cleared by a repair.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::check::{Checker, Weight};
use mallee_objects::{
    BlobId, BlobReader, BlobStore, BlobWriter, Condition, Content, Description, Documents, Engine, Error, FileBlobs,
    Level, Placed, ReplicaBytes, StoreMetadata, VersionId, Versioning,
};
use mallee_runtime::{Clock, Faults, Rng};
use mallee_store::test_support::TestDb;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
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

/// Files, and how often somebody had what waits to be synced synced.
#[derive(Debug)]
struct Watched(FileBlobs, AtomicUsize);

#[async_trait::async_trait]
impl BlobStore for Watched {
    async fn create(&self, level: Level) -> Result<Box<dyn BlobWriter>, Error> {
        self.0.create(level).await
    }

    async fn flush(&self) -> Result<(), Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.flush().await
    }

    fn room(&self) -> Result<(), Error> {
        self.0.room()
    }

    async fn open(&self, id: &BlobId, size: u64) -> Result<Box<dyn BlobReader>, Error> {
        self.0.open(id, size).await
    }

    async fn delete(&self, id: &BlobId) -> Result<(), Error> {
        self.0.delete(id).await
    }

    async fn list(&self, shard: usize, age: Duration) -> Result<Vec<BlobId>, Error> {
        self.0.list(shard, age).await
    }

    fn shards(&self) -> usize {
        self.0.shards()
    }

    async fn discard_unfinished(&self) -> Result<u64, Error> {
        self.0.discard_unfinished().await
    }
}

/// Whatever refers to bytes of a relaxed bucket from a strict one has them synced first: else that one would lose them, too.
#[tokio::test]
async fn references_of_strict_buckets_wait_for_the_bytes() {
    let world = World::new(Kind::Memory).await;
    let watched = Arc::new(Watched(world.blobs(Faults::none()), AtomicUsize::new(0)));
    let flushed = || watched.1.swap(0, Ordering::SeqCst);
    let engine = Engine::new(world.meta.clone(), watched.clone(), Clock::system(), Rng::seeded(9), Faults::none());
    engine.create_bucket_with(BUCKET, ACCOUNT, "r", Versioning::Enabled, Documents::default()).await.unwrap();
    for (n, size) in [5_000, 300_000].into_iter().enumerate() {
        support::put(&engine.at(Level::Relaxed), "k", support::bytes(7, size), &Condition::None).await.unwrap();
        assert_eq!(flushed(), 0, "a put at the relaxed level waits for nothing");
        support::copy(&engine, "k", "copy").await.unwrap();
        assert_eq!(flushed(), 1);
        let source = engine.object(BUCKET, "k").await.unwrap();
        let what =
            Description { bucket: BUCKET.into(), key: "replica".into(), etag: "e".into(), ..Description::default() };
        let version = VersionId::of_parts(-5 - i64::try_from(n).unwrap(), 7);
        let placed = engine.put_replica(what, version, 5, ReplicaBytes::Of(&source)).await.unwrap();
        assert_eq!((placed, flushed()), (Placed::Written, 1));
    }
}
