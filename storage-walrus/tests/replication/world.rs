//! A store with two buckets, one of which is replicated into the other, and processes that do it.

use async_trait::async_trait;
use axum::body::Bytes;
use mallee_objects::crypt::Vault;
use mallee_objects::{
    Condition, Description, Engine, Error, FileBlobs, ListQuery, Object, StoreMetadata, VersionId, Versioning,
};
use mallee_runtime::{Faults, Rng, Shutdown, TaskScope};
use mallee_s3::{S3, S3Config, ToReplicate, Unreplicated};
use mallee_s3_jobs::{Carrier, Failure, Peers, Replicator};
use mallee_store::test_support::TestDb;
use mallee_store::{S3ReplicationRow, Store, s3_replication_waiting};
use mallee_walrus::{StaticAuthority, StaticKey};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

pub(crate) const ACCOUNT: &str = "111111111111";
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

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) db: TestDb,
    pub(crate) store: Store,
    /// Other object stores that are known.
    pub(crate) peers: Peers,
    /// The way to the other bucket does not answer.
    pub(crate) silent: Arc<AtomicBool>,
}

impl World {
    pub(crate) async fn new(db: TestDb, to: &str) -> Self {
        let store = db.open().await;
        let world = Self { dir: TempDir::new().unwrap(), db, store, peers: Peers::default(), silent: Arc::default() };
        let engine = world.engine(Faults::none());
        for bucket in ["from", "to"] {
            engine.create_bucket(bucket, ACCOUNT, "r").await.unwrap();
            engine.set_versioning(bucket, Versioning::Enabled).await.unwrap();
        }
        let text = format!(
            "<ReplicationConfiguration><Role>arn:aws:iam::{ACCOUNT}:role/r</Role><Rule><ID>r</ID><Priority>1</Priority><Filter/>\
             <Status>Enabled</Status><Destination><Bucket>{to}</Bucket></Destination><DeleteMarkerReplication>\
             <Status>Enabled</Status></DeleteMarkerReplication></Rule></ReplicationConfiguration>"
        );
        engine.set_document("from", "replication", "", &text, &|_| Ok(())).await.unwrap();
        world
    }

    pub(crate) fn engine(&self, faults: Faults) -> Engine {
        let rng = Rng::system();
        let blobs = FileBlobs::open(self.dir.path(), self.db.clock.clone(), rng.clone(), faults.clone()).unwrap();
        let meta = Arc::new(StoreMetadata::new(self.store.clone()));
        let vault = Vault::new(self.store.clone());
        Engine::new(meta, Arc::new(blobs), self.db.clock.clone(), rng, faults).with_vault(vault)
    }

    pub(crate) fn replicator(&self, faults: Faults) -> Replicator {
        self.replicator_to(faults, Arc::new(self.peers.clone()))
    }

    /// Brings versions into another object store.
    pub(crate) fn replicator_into(&self, store: Arc<dyn mallee_s3::Peers>) -> Replicator {
        self.replicator_to(Faults::none(), store)
    }

    fn replicator_to(&self, faults: Faults, peers: Arc<dyn mallee_s3::Peers>) -> Replicator {
        let engine = self.engine(faults);
        let s3 = service(&engine).with_peers(peers);
        Replicator::new(&engine, &self.store, Arc::new(Way(s3, self.silent.clone())))
    }

    /// Another process does what is left.
    pub(crate) async fn take_over(&self) {
        self.db.clock.shift_ms(TAKE_OVER_MS);
        self.replicator(Faults::none()).round().await.unwrap();
        self.db.clock.shift_ms(TAKE_OVER_MS);
    }

    pub(crate) async fn waiting(&self) -> u64 {
        s3_replication_waiting(&self.store).await.unwrap().into_iter().map(|(_, count)| count).sum()
    }
}

/// The S3 service over an engine, with one account.
pub(crate) fn service(engine: &Engine) -> S3 {
    let key = StaticKey { access_key_id: "A".to_owned(), secret: "s".into(), account: ACCOUNT.parse().unwrap() };
    S3::new(engine.clone(), Arc::new(StaticAuthority::new([key])), S3Config::default())
}

/// The service over HTTP, and itself as another object store of the name `far`.
pub(crate) async fn served(world: &World, s3: S3, kind: &str) -> (TaskScope, Peers) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scope = TaskScope::new(&Shutdown::new());
    let serving = mallee_serve::serve(listener, mallee_s3::router(s3), scope.clone());
    scope.spawn(serving);
    let file = world.dir.path().join("secret");
    std::fs::write(&file, "s").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.display();
    let declared = format!("far=http://127.0.0.1:{port},kind={kind},key=A,secret-file={file},region=r");
    (scope, Peers::declared(&[declared]).unwrap())
}

pub(crate) async fn put(engine: &Engine, bucket: &str, key: &str, data: &[u8]) -> Result<VersionId, Error> {
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

pub(crate) async fn versions(engine: &Engine, bucket: &str, prefix: &str) -> Vec<(String, VersionId, bool, bool)> {
    let query = ListQuery { prefix: prefix.to_owned(), limit: 1000, ..ListQuery::default() };
    let page = engine.list_versions(bucket, &query, None).await.unwrap();
    page.items.into_iter().map(|row| (row.listed.key, row.version, row.latest, row.marker)).collect()
}

pub(crate) async fn bytes(engine: &Engine, object: &Object) -> Vec<u8> {
    let mut reader = engine.read(object, 0, object.info.size).await.unwrap();
    let mut all = Vec::new();
    while let Some(data) = reader.next().await {
        all.extend_from_slice(&data.unwrap());
    }
    all
}

pub(crate) async fn state(engine: &Engine, bucket: &str, key: &str) -> Option<String> {
    engine.object(bucket, key).await.unwrap().info.properties.replication
}
