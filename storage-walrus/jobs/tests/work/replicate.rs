//! Who is served when many wait.

use crate::world::{BUCKET, World, struck};
use async_trait::async_trait;
use mallee_objects::Versioning;
use mallee_runtime::{Clock, FaultAction, Faults};
use mallee_s3_jobs::{Carrier, Failure, Replicator};
use mallee_store::test_support::TestDb;
use mallee_store::{
    S3ReplicationRow, s3_bucket_fetch, s3_replication_delay, s3_replication_due, s3_replication_note,
    s3_replication_waiting,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

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

/// One key takes as long as it likes; the others' versions are noted in their order.
#[derive(Default)]
struct Slow {
    brought: Mutex<Vec<(String, i64)>>,
    go_on: Notify,
}

#[async_trait]
impl Carrier for Slow {
    async fn carry(&self, version: &S3ReplicationRow) -> Result<(), Failure> {
        if version.key.0 == "large" {
            self.go_on.notified().await;
        }
        self.brought.lock().unwrap().push((version.key.0.clone(), version.rank));
        Ok(())
    }
}

impl Slow {
    async fn has_brought(&self, count: usize) {
        while self.brought.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn note(world: &World, bucket: i64, key: &str, rank: i64) {
    let mut tx = world.store.write().await.unwrap();
    s3_replication_note(&mut tx, bucket, key, (rank, 5), vec!["arn:aws:s3:::to".to_owned()]).await.unwrap();
    tx.commit().await.unwrap();
}

/// A large object is brought for hours: meanwhile everything else is, also what was written since.
async fn a_large_object_holds_up_nobody(db: TestDb) {
    let world = World::new(db, Versioning::Enabled).await;
    let bucket = s3_bucket_fetch(&world.store, BUCKET).await.unwrap();
    let note = async |key: String, rank: i64| note(&world, bucket.id, &key, rank).await;
    // Of the one there are more versions than are taken at once.
    for rank in 1..=70 {
        note("large".to_owned(), -rank).await;
    }
    for n in 0..50 {
        for rank in [-1, -2] {
            note(format!("k{n:02}"), rank).await;
        }
    }
    let slow = Arc::new(Slow::default());
    let replicator = Replicator::new(&world.engine(Faults::none()), &world.store, slow.clone());
    let round = replicator.round();
    let meanwhile = async {
        slow.has_brought(100).await;
        note("late".to_owned(), -1).await;
        slow.has_brought(101).await;
        let brought = slow.brought.lock().unwrap().clone();
        assert!(brought.iter().all(|(key, _)| key != "large"));
        for n in 0..50 {
            let key = format!("k{n:02}");
            let ranks: Vec<i64> = brought.iter().filter(|one| one.0 == key).map(|one| one.1).collect();
            assert_eq!(ranks, [-1, -2], "in their order");
        }
        for count in 102..=171 {
            slow.go_on.notify_one();
            slow.has_brought(count).await;
        }
    };
    let both = async { tokio::join!(round, meanwhile) };
    let (round, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("nothing is held up");
    round.unwrap();
    let brought = slow.brought.lock().unwrap().clone();
    let ranks: Vec<i64> = brought.iter().filter(|one| one.0 == "large").map(|one| -one.1).collect();
    assert_eq!(ranks, (1..=70).collect::<Vec<_>>());
    assert!(s3_replication_waiting(&world.store).await.unwrap().is_empty());
}

/// What fails for one key does not end what has been under way for the others.
async fn an_error_ends_nothing_that_was_begun(db: TestDb) {
    let world = World::new(db, Versioning::Enabled).await;
    let bucket = s3_bucket_fetch(&world.store, BUCKET).await.unwrap();
    note(&world, bucket.id, "large", -1).await;
    note(&world, bucket.id, "small", -1).await;
    let (slow, faults) = (Arc::new(Slow::default()), Faults::none());
    faults.arm("walrus.replicate.carried", FaultAction::Fail, 1);
    let replicator = Replicator::new(&world.engine(faults.clone()), &world.store, slow.clone());
    let round = replicator.round();
    let meanwhile = async {
        struck(&faults).await;
        // Time to hear of it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        note(&world, bucket.id, "late", -1).await;
        slow.go_on.notify_one();
    };
    let both = async { tokio::join!(round, meanwhile) };
    let (round, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("it ends");
    round.unwrap_err();
    let brought = || slow.brought.lock().unwrap().iter().map(|one| one.0.clone()).collect::<Vec<_>>();
    assert_eq!(brought(), ["small", "large"], "nothing more was begun");
    replicator.round().await.unwrap();
    let mut again = brought().split_off(2);
    again.sort();
    assert_eq!(again, ["late", "small"], "only what failed was brought again");
}

/// The first that is brought takes ten seconds.
struct Long {
    clock: Clock,
    brought: Mutex<Vec<(String, i64)>>,
}

#[async_trait]
impl Carrier for Long {
    async fn carry(&self, version: &S3ReplicationRow) -> Result<(), Failure> {
        let mut brought = self.brought.lock().unwrap();
        if brought.is_empty() {
            self.clock.shift_ms(10_000);
        }
        brought.push((version.key.0.clone(), version.rank));
        Ok(())
    }
}

/// What becomes due while others are brought, is brought before what follows of its key.
async fn what_becomes_due_meanwhile_keeps_its_place(db: TestDb) {
    let world = World::new(db, Versioning::Enabled).await;
    let bucket = s3_bucket_fetch(&world.store, BUCKET).await.unwrap();
    note(&world, bucket.id, "k", -1).await;
    let now_ms = world.db.clock.now_ms();
    let first = s3_replication_due(&world.store, "arn:aws:s3:::to", now_ms, 0, 1).await.unwrap();
    let mut tx = world.store.write().await.unwrap();
    s3_replication_delay(&mut tx, first[0].id, now_ms + 5000).await.unwrap();
    tx.commit().await.unwrap();
    // More than are taken at once.
    for n in 0..70 {
        note(&world, bucket.id, &format!("other{n:02}"), -1).await;
    }
    note(&world, bucket.id, "k", -2).await;
    let carrier = Arc::new(Long { clock: world.db.clock.clone(), brought: Mutex::default() });
    let replicator = Replicator::new(&world.engine(Faults::none()), &world.store, carrier.clone());
    for _ in 0..2 {
        replicator.round().await.unwrap();
    }
    let brought = carrier.brought.lock().unwrap().clone();
    assert_eq!(brought.len(), 72);
    let ranks: Vec<i64> = brought.iter().filter(|one| one.0 == "k").map(|one| one.1).collect();
    assert_eq!(ranks, [-1, -2]);
}

mallee_store::store_test_suite!(
    every_target_has_its_turn,
    a_large_object_holds_up_nobody,
    an_error_ends_nothing_that_was_begun,
    what_becomes_due_meanwhile_keeps_its_place,
);
