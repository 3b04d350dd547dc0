//! Inventories over a database: stopped at every point, and taken over by another process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use async_trait::async_trait;
use bytes::Bytes;
use flate2::read::GzDecoder;
use mallee_awswire::ApiError;
use mallee_awswire::sigv4::{Fault, SignedRequest};
use mallee_objects::{Condition, Description, Engine, FileBlobs, ListQuery, StoreMetadata};
use mallee_runtime::{FaultAction, Faults, Rng};
use mallee_s3::{Authority, Identified, Identity, S3, S3Config};
use mallee_s3_jobs::{Day, Lister};
use mallee_store::Store;
use mallee_store::test_support::TestDb;
use std::io::Read as _;
use std::sync::Arc;
use tempfile::TempDir;
use time::OffsetDateTime;

const FROM: &str = "from";
const TO: &str = "to";
const COUNT: usize = 2500;
/// Longer than a lease.
const TAKE_OVER_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},
    "Action":"s3:PutObject","Resource":"arn:aws:s3:::to/*"}]}"#;
const INVENTORY: &str = "<InventoryConfiguration><Destination><S3BucketDestination><Bucket>arn:aws:s3:::to</Bucket>\
    <Format>CSV</Format></S3BucketDestination></Destination><IsEnabled>true</IsEnabled><Id>x</Id>\
    <IncludedObjectVersions>Current</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule>\
    </InventoryConfiguration>";

/// No request comes here.
struct Nobody;

#[async_trait]
impl Authority for Nobody {
    async fn identify(&self, _: &SignedRequest<'_>, _: OffsetDateTime) -> Result<Option<Identified>, Fault> {
        Ok(None)
    }

    fn nobody(&self) -> Arc<dyn Identity> {
        unreachable!("no request comes here")
    }

    async fn principals(&self, _: &[String]) -> Result<Vec<bool>, ApiError> {
        Ok(Vec::new())
    }

    async fn role(&self, _: &str, _: &str, _: &str) -> Result<Option<Arc<dyn Identity>>, ApiError> {
        Ok(None)
    }
}

struct World {
    dir: TempDir,
    db: TestDb,
    store: Store,
}

impl World {
    async fn new(db: TestDb) -> Self {
        let store = db.open().await;
        let world = Self { dir: TempDir::new().unwrap(), db, store };
        let engine = world.engine(Faults::none());
        for bucket in [FROM, TO] {
            engine.create_bucket(bucket, "111111111111", "r").await.unwrap();
        }
        engine.set_document(FROM, "inventory", "x", INVENTORY, &|_| Ok(())).await.unwrap();
        engine.set_document(TO, "policy", "", POLICY, &|_| Ok(())).await.unwrap();
        for n in 0..COUNT {
            let mut sink = engine.sink();
            sink.write(Bytes::from_static(b"abc")).await.unwrap();
            let what = Description { bucket: FROM.into(), key: key(n), ..Description::default() };
            engine.put_object(what, sink.finish().await.unwrap(), &Condition::None).await.unwrap();
        }
        world
    }

    fn engine(&self, faults: Faults) -> Engine {
        let rng = Rng::system();
        let blobs = FileBlobs::open(self.dir.path(), self.db.clock.clone(), rng.clone(), faults.clone()).unwrap();
        let meta = Arc::new(StoreMetadata::new(self.store.clone()));
        Engine::new(meta, Arc::new(blobs), self.db.clock.clone(), rng, faults)
    }

    fn lister(&self, faults: Faults) -> Lister {
        let s3 = S3::new(self.engine(faults), Arc::new(Nobody), S3Config::default());
        Lister::new(&s3, &self.store, Day::default()).with_file_rows(1000)
    }

    async fn keys(&self, part: &str) -> Vec<String> {
        let query = ListQuery { prefix: "from/x/".to_owned(), limit: 1000, ..ListQuery::default() };
        let page = self.engine(Faults::none()).list_objects(TO, &query).await.unwrap();
        page.items.into_iter().map(|item| item.key).filter(|key| key.contains(part)).collect()
    }

    async fn read(&self, key: &str) -> Vec<u8> {
        let engine = self.engine(Faults::none());
        let object = engine.object(TO, key).await.unwrap();
        let mut reader = engine.read(&object, 0, object.info.size).await.unwrap();
        let mut data = Vec::new();
        while let Some(bytes) = reader.next().await {
            data.extend_from_slice(&bytes.unwrap());
        }
        data
    }

    /// The keys that the list of a manifest names, and its files.
    async fn listed(&self, manifest: &str) -> (Vec<String>, usize) {
        let manifest: serde_json::Value = serde_json::from_slice(&self.read(manifest).await).unwrap();
        let files = manifest["files"].as_array().unwrap();
        let mut keys = Vec::new();
        for file in files {
            let mut text = String::new();
            let data = self.read(file["key"].as_str().unwrap()).await;
            GzDecoder::new(data.as_slice()).read_to_string(&mut text).unwrap();
            keys.extend(text.lines().map(|line| line.split('"').nth(3).unwrap().to_owned()));
        }
        (keys, files.len())
    }
}

fn key(n: usize) -> String {
    format!("{n:05}")
}

/// The process dies at each point: another one makes the list whole, and no file is left that belongs to none.
async fn every_point(db: TestDb) {
    let world = World::new(db).await;
    let wanted: Vec<String> = (0..COUNT).map(key).collect();
    let points = ["walrus.inventory.note", "walrus.inventory.put", "walrus.inventory.put.done"];
    let mut files = 0;
    for (n, point) in points.into_iter().enumerate() {
        let faults = Faults::none();
        faults.arm(point, FaultAction::Fail, 1);
        world.lister(faults).run().await.unwrap_err();
        assert_eq!(world.keys("manifest.json").await.len(), n, "{point}: no manifest without its list");
        let other = world.lister(Faults::none());
        assert_eq!(other.run().await.unwrap(), None, "another one has the lease");
        world.db.clock.shift_ms(TAKE_OVER_MS);
        assert_eq!(other.run().await.unwrap(), Some(1), "{point}");
        assert_eq!(other.run().await.unwrap(), None, "once a day");
        let manifests = world.keys("manifest.json").await;
        assert_eq!(manifests.len(), n + 1, "{point}");
        let (keys, count) = world.listed(manifests.last().unwrap()).await;
        assert_eq!((keys == wanted, count), (true, 3), "{point}");
        files += count;
        assert_eq!(world.keys("/data/").await.len(), files, "{point}");
        assert_eq!(world.keys("symlink.txt").await.len(), n + 1, "{point}");
        world.db.clock.shift_ms(DAY_MS);
    }
}

/// Dies between two files: what is there already is not made again.
async fn goes_on(db: TestDb) {
    let world = World::new(db).await;
    let faults = Faults::none();
    let dies = world.lister(faults.clone());
    world.engine(Faults::none()).remove_document(TO, "policy", "").await.unwrap();
    assert_eq!(dies.run().await.unwrap(), Some(0), "nobody lets it in, and the round goes on");
    assert_eq!(world.keys("").await, Vec::<String>::new());
    world.engine(Faults::none()).set_document(TO, "policy", "", POLICY, &|_| Ok(())).await.unwrap();
    world.db.clock.shift_ms(DAY_MS);
    // The first file is there, and the note behind it, when the second put fails.
    faults.arm("walrus.inventory.put.done", FaultAction::Fail, 1);
    world.lister(faults).run().await.unwrap_err();
    let first = world.keys("/data/").await;
    assert_eq!(first.len(), 1);
    world.db.clock.shift_ms(TAKE_OVER_MS);
    assert_eq!(world.lister(Faults::none()).run().await.unwrap(), Some(1));
    let all = world.keys("/data/").await;
    assert!(all.len() == 3 && all.contains(&first[0]), "{all:?}");
}

/// Another length of days, or a clock that was wrong, stops nothing.
async fn other_days_are_other_numbers(db: TestDb) {
    let world = World::new(db).await;
    let s3 = S3::new(world.engine(Faults::none()), Arc::new(Nobody), S3Config::default());
    let short = Lister::new(&s3, &world.store, Day::of_seconds(2));
    assert_eq!(short.run().await.unwrap(), Some(1));
    world.db.clock.shift_ms(TAKE_OVER_MS);
    let daily = world.lister(Faults::none());
    assert_eq!(daily.run().await.unwrap(), Some(1), "the days of two seconds say nothing of this one");
    assert_eq!(daily.run().await.unwrap(), None);
    world.db.clock.shift_ms(100 * DAY_MS);
    assert_eq!(daily.run().await.unwrap(), Some(1));
    world.db.clock.shift_ms(-100 * DAY_MS);
    assert_eq!(daily.run().await.unwrap(), Some(1), "the clock was wrong");
    assert_eq!(daily.run().await.unwrap(), None);
}

/// A weekly list is made although nothing ran on the Sunday.
async fn a_missed_sunday_is_made_up_for(db: TestDb) {
    let world = World::new(db).await;
    let weekly = INVENTORY.replace("Daily", "Weekly");
    world.engine(Faults::none()).set_document(FROM, "inventory", "x", &weekly, &|_| Ok(())).await.unwrap();
    // To a Saturday: 1970-01-03 was one.
    let today = world.db.clock.now_ms().div_euclid(DAY_MS);
    world.db.clock.shift_ms((2 - today).rem_euclid(7) * DAY_MS);
    assert_eq!(world.lister(Faults::none()).run().await.unwrap(), Some(0));
    world.db.clock.shift_ms(2 * DAY_MS);
    assert_eq!(world.lister(Faults::none()).run().await.unwrap(), Some(1), "on Monday");
    world.db.clock.shift_ms(DAY_MS);
    assert_eq!(world.lister(Faults::none()).run().await.unwrap(), Some(0));
}

/// A list that was left in the middle is ended on another day; then comes that day's round, from the beginning.
async fn no_bucket_is_passed_over(db: TestDb) {
    let world = World::new(db).await;
    let faults = Faults::none();
    faults.arm("walrus.inventory.put", FaultAction::Fail, 1);
    world.lister(faults).run().await.unwrap_err();
    let engine = world.engine(Faults::none());
    engine.create_bucket("before", "111111111111", "r").await.unwrap();
    engine.set_document("before", "inventory", "x", INVENTORY, &|_| Ok(())).await.unwrap();
    world.db.clock.shift_ms(DAY_MS);
    assert_eq!(world.lister(Faults::none()).run().await.unwrap(), Some(3), "yesterday's list, and today's two");
    assert_eq!(world.keys("manifest.json").await.len(), 2);
    let query = ListQuery { prefix: "before/x/".to_owned(), limit: 1000, ..ListQuery::default() };
    let made = engine.list_objects(TO, &query).await.unwrap().items;
    assert_eq!(made.iter().filter(|item| item.key.ends_with("manifest.json")).count(), 1);
}

mallee_store::store_test_suite!(
    every_point,
    goes_on,
    other_days_are_other_numbers,
    a_missed_sunday_is_made_up_for,
    no_bucket_is_passed_over
);
