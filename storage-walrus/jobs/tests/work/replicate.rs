//! Who is served when many wait.

use crate::world::{BUCKET, World};
use async_trait::async_trait;
use mallee_objects::Versioning;
use mallee_runtime::Faults;
use mallee_s3_jobs::{Carrier, Failure, Replicator};
use mallee_store::test_support::TestDb;
use mallee_store::{S3ReplicationRow, s3_bucket_fetch, s3_replication_note};
use std::sync::{Arc, Mutex};

/// More than are served at a time.
const TARGETS: usize = 1003;

/// Nothing can be brought, and it is noted where to it was tried.
#[derive(Default)]
struct Stuck(Mutex<Vec<String>>);

#[async_trait]
impl Carrier for Stuck {
    async fn carry(&self, version: &S3ReplicationRow) -> Result<(), Failure> {
        self.0.lock().unwrap().push(version.target.clone());
        Err(Failure::Later("not now".to_owned()))
    }
}

/// However many targets take nothing, each of the others has its turn.
async fn every_target_has_its_turn(db: TestDb) {
    let world = World::new(db, Versioning::Enabled).await;
    let bucket = s3_bucket_fetch(&world.store, BUCKET).await.unwrap();
    let targets: Vec<String> = (0..TARGETS).map(|n| format!("arn:aws:s3:::to-{n:04}")).collect();
    let mut tx = world.store.write().await.unwrap();
    s3_replication_note(&mut tx, bucket.id, "k", (-5, 5), targets.clone()).await.unwrap();
    tx.commit().await.unwrap();
    let stuck = Arc::new(Stuck::default());
    let replicator = Replicator::new(&world.engine(Faults::none()), &world.store, stuck.clone());
    replicator.round().await.unwrap();
    replicator.round().await.unwrap();
    let mut tried = stuck.0.lock().unwrap().clone();
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), targets.len(), "the last was {:?}", tried.last());
}

mallee_store::store_test_suite!(every_target_has_its_turn);
