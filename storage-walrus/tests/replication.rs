//! Replication between two buckets over a database: stopped at every point, and taken over by another process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use async_trait::async_trait;
use axum::body::Bytes;
use mallee_objects::crypt::Vault;
use mallee_objects::{
    COMPLETED, Condition, Delete, Description, Engine, Error, FAILED, FileBlobs, Found, ListQuery, Object, Origin,
    PENDING, REPLICA, StoreMetadata, Tags, VersionId, VersionName, Versioning,
};
use mallee_runtime::{FaultAction, Faults, Rng};
use mallee_s3::{S3, S3Config, ToReplicate, Unreplicated};
use mallee_s3_jobs::{Carrier, Failure, REPLICATION_AGE_MAX, Replicator};
use mallee_store::test_support::TestDb;
use mallee_store::{S3ReplicationRow, Store, s3_replication_waiting};
use mallee_walrus::{StaticAuthority, StaticKey};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const ACCOUNT: &str = "111111111111";
/// Longer than a lease.
const TAKE_OVER_MS: i64 = 60_000;

/// The S3 service, on the way that its daemon takes, and a switch that keeps it from answering.
struct Way(S3, Arc<AtomicBool>);

#[async_trait]
impl Carrier for Way {
    async fn carry(&self, row: &S3ReplicationRow) -> Result<(), Failure> {
        if self.1.load(Ordering::SeqCst) {
            return Err(Failure::Later("it does not answer".to_owned()));
        }
        let version = VersionId::of_parts(row.rank, row.vid);
        let work = ToReplicate { bucket: &row.bucket, key: &row.key.0, version, target: &row.target };
        self.0.replicate(work).await.map_err(|failed| match failed {
            Unreplicated::Refused(why) => Failure::Refused(why),
            Unreplicated::Later(why) => Failure::Later(why),
        })
    }
}

struct World {
    dir: TempDir,
    db: TestDb,
    store: Store,
    silent: Arc<AtomicBool>,
}

impl World {
    async fn new(db: TestDb) -> Self {
        let store = db.open().await;
        let world = Self { dir: TempDir::new().unwrap(), db, store, silent: Arc::default() };
        let engine = world.engine(Faults::none());
        for bucket in ["from", "to"] {
            engine.create_bucket(bucket, ACCOUNT, "r").await.unwrap();
            engine.set_versioning(bucket, Versioning::Enabled).await.unwrap();
        }
        let text = format!(
            "<ReplicationConfiguration><Role>arn:aws:iam::{ACCOUNT}:role/r</Role><Rule><ID>r</ID><Priority>1</Priority><Filter/>\
             <Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::to</Bucket></Destination><DeleteMarkerReplication>\
             <Status>Enabled</Status></DeleteMarkerReplication></Rule></ReplicationConfiguration>"
        );
        engine.set_document("from", "replication", "", &text, &|_| Ok(())).await.unwrap();
        world
    }

    fn engine(&self, faults: Faults) -> Engine {
        let rng = Rng::system();
        let blobs = FileBlobs::open(self.dir.path(), self.db.clock.clone(), rng.clone(), faults.clone()).unwrap();
        let meta = Arc::new(StoreMetadata::new(self.store.clone()));
        let vault = Vault::new(self.store.clone());
        Engine::new(meta, Arc::new(blobs), self.db.clock.clone(), rng, faults).with_vault(vault)
    }

    fn replicator(&self, faults: Faults) -> Replicator {
        let engine = self.engine(faults);
        let key = StaticKey { access_key_id: "A".to_owned(), secret: "s".into(), account: ACCOUNT.parse().unwrap() };
        let s3 = S3::new(engine.clone(), Arc::new(StaticAuthority::new([key])), S3Config::default());
        Replicator::new(&engine, &self.store, Arc::new(Way(s3, self.silent.clone())))
    }

    /// Another process does what is left.
    async fn take_over(&self) {
        self.db.clock.shift_ms(TAKE_OVER_MS);
        self.replicator(Faults::none()).round().await.unwrap();
        self.db.clock.shift_ms(TAKE_OVER_MS);
    }

    async fn waiting(&self) -> u64 {
        s3_replication_waiting(&self.store).await.unwrap().into_iter().map(|(_, count)| count).sum()
    }
}

async fn put(engine: &Engine, bucket: &str, key: &str, data: &[u8]) -> Result<VersionId, Error> {
    let mut sink = engine.sink();
    sink.write(Bytes::copy_from_slice(data)).await?;
    let what = Description {
        bucket: bucket.into(),
        key: key.into(),
        etag: format!("{}", data.len()),
        ..Description::default()
    };
    Ok(engine.put_object(what, sink.finish().await?, &Condition::None).await?.version)
}

async fn versions(engine: &Engine, bucket: &str, prefix: &str) -> Vec<(String, VersionId, bool, bool)> {
    let query = ListQuery { prefix: prefix.to_owned(), limit: 1000, ..ListQuery::default() };
    let page = engine.list_versions(bucket, &query, None).await.unwrap();
    page.items.into_iter().map(|row| (row.listed.key, row.version, row.latest, row.marker)).collect()
}

async fn bytes(engine: &Engine, object: &Object) -> Vec<u8> {
    let mut reader = engine.read(object, 0, object.info.size).await.unwrap();
    let mut all = Vec::new();
    while let Some(data) = reader.next().await {
        all.extend_from_slice(&data.unwrap());
    }
    all
}

async fn state(engine: &Engine, bucket: &str, key: &str) -> Option<String> {
    engine.object(bucket, key).await.unwrap().info.properties.replication
}

/// The process dies at each point: what was written is brought, once, and nothing else.
async fn every_point(db: TestDb) {
    let world = World::new(db).await;
    let points = [
        "walrus.put.commit",
        "walrus.put.commit.done",
        "walrus.replicate.carry",
        "walrus.replica.commit",
        "walrus.replica.commit.done",
        "walrus.replicate.carried",
        "walrus.replicated.commit",
        "walrus.replicated.commit.done",
    ];
    let data = vec![7; 50_000];
    for (n, point) in points.into_iter().enumerate() {
        let (key, faults) = (format!("key-{n}"), Faults::none());
        let engine = world.engine(faults.clone());
        faults.arm(point, FaultAction::Fail, 1);
        let put = put(&engine, "from", &key, &data).await;
        let round = world.replicator(faults.clone()).round().await;
        // A failing commit of the replica is one that is tried again.
        assert!(put.is_err() || round.is_err() || point.starts_with("walrus.replica."), "{point} was not passed");
        world.take_over().await;
        let (from, to) = (versions(&engine, "from", &key).await, versions(&engine, "to", &key).await);
        assert_eq!(from, to, "{point}");
        assert_eq!(world.waiting().await, 0, "{point}");
        if point == "walrus.put.commit" {
            assert!(from.is_empty());
            continue;
        }
        let replica = engine.object("to", &key).await.unwrap();
        assert_eq!(bytes(&engine, &replica).await, data);
        assert_eq!(replica.info.properties.replication.as_deref(), Some(REPLICA));
        assert_eq!(state(&engine, "from", &key).await.as_deref(), Some(COMPLETED), "{point}");
    }
}

/// Older versions come below newer ones, markers in their places; and what changes while it waits is brought as it is then.
async fn places(db: TestDb) {
    let world = World::new(db).await;
    let engine = world.engine(Faults::none());
    let first = put(&engine, "from", "k", b"1").await.unwrap();
    engine.delete_objects("from", vec![Delete::key("k")]).await.unwrap();
    put(&engine, "from", "k", b"22").await.unwrap();
    world.db.clock.shift_ms(5);
    // Somebody writes there, later than all that comes.
    let own = put(&engine, "to", "k", b"own").await.unwrap();
    assert_eq!(state(&engine, "from", "k").await.as_deref(), Some(PENDING));
    let tags: Tags = [("a".to_owned(), "b".to_owned())].into_iter().collect();
    let tagged = |info: &mallee_objects::ObjectInfo| {
        Ok(mallee_objects::Properties { tags: tags.clone(), ..info.properties.clone() })
    };
    let which = Some(VersionName::from(first)).into();
    engine.change_properties("from", "k", which, &tagged).await.unwrap().unwrap();
    assert_eq!(world.waiting().await, 3, "a version waits once");
    world.take_over().await;
    let (from, to) = (versions(&engine, "from", "k").await, versions(&engine, "to", "k").await);
    assert_eq!(to.first().unwrap(), &("k".to_owned(), own, true, false));
    let ids = |list: &[(String, VersionId, bool, bool)]| list.iter().map(|row| (row.1, row.3)).collect::<Vec<_>>();
    assert_eq!(ids(&from), ids(&to[1..]));
    let Some(Found::Object(old)) = engine.find("to", "k", which).await.unwrap() else { panic!("it is not there") };
    assert_eq!(old.info.properties.tags, tags);
    assert_eq!(engine.usage("to").await.unwrap().versions, 4);
    assert_eq!(engine.usage("to").await.unwrap().objects, 1);
    // What is deleted before it is brought is not brought.
    let gone = put(&engine, "from", "gone", b"1").await.unwrap();
    let delete = Delete::of("gone", Some(VersionName::from(gone)));
    engine.delete_objects("from", vec![delete]).await.unwrap();
    // What a rule of lifecycle deletes is deleted here alone.
    put(&engine, "from", "old", b"1").await.unwrap();
    let lifecycle = engine.by(Arc::new(Origin::internal(mallee_objects::LIFECYCLE, String::new())));
    lifecycle.delete_objects("from", vec![Delete::key("old")]).await.unwrap();
    world.take_over().await;
    assert!(versions(&engine, "to", "gone").await.is_empty());
    assert!(engine.object("to", "old").await.is_ok());
    assert_eq!(world.waiting().await, 0);
}

/// What cannot be brought now waits, and fails in the end; what may not be fails at once.
async fn failures(db: TestDb) {
    let world = World::new(db).await;
    let engine = world.engine(Faults::none());
    world.silent.store(true, Ordering::SeqCst);
    put(&engine, "from", "late", b"1").await.unwrap();
    put(&engine, "from", "never", b"1").await.unwrap();
    for _ in 0..3 {
        world.take_over().await;
    }
    assert_eq!(state(&engine, "from", "late").await.as_deref(), Some(PENDING));
    world.silent.store(false, Ordering::SeqCst);
    world.db.clock.shift_ms(1_000_000);
    world.take_over().await;
    assert_eq!(state(&engine, "from", "late").await.as_deref(), Some(COMPLETED));
    world.silent.store(true, Ordering::SeqCst);
    put(&engine, "from", "never", b"2").await.unwrap();
    world.take_over().await;
    world.db.clock.shift_ms(i64::try_from(REPLICATION_AGE_MAX.as_millis()).unwrap());
    world.take_over().await;
    assert_eq!(state(&engine, "from", "never").await.as_deref(), Some(FAILED));
    world.silent.store(false, Ordering::SeqCst);
    engine.set_versioning("to", Versioning::Suspended).await.unwrap();
    put(&engine, "from", "refused", b"1").await.unwrap();
    world.take_over().await;
    assert_eq!(state(&engine, "from", "refused").await.as_deref(), Some(FAILED));
    assert_eq!(world.waiting().await, 0);
}

mallee_store::store_test_suite!(every_point, places, failures);
