//! Replication over a database: stopped at every point, and taken over by another process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod foreign;
mod incoming;
mod peers;
mod world;

use mallee_objects::{
    COMPLETED, Delete, FAILED, Found, Origin, PENDING, Properties, REPLICA, Tags, VersionId, VersionName, Versioning,
    Which,
};
use mallee_runtime::{FaultAction, Faults};
use mallee_s3_jobs::REPLICATION_AGE_MAX;
use mallee_store::test_support::TestDb;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use world::{ACCOUNT, World, bytes, put, state, versions};

const OTHER: &str = "222222222222";

/// The process dies at each point: what was written is brought, once, and nothing else.
async fn every_point(db: TestDb) {
    let world = World::new(db, "arn:aws:s3:::to").await;
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
    let world = World::new(db, "arn:aws:s3:::to").await;
    let engine = world.engine(Faults::none());
    let first = put(&engine, "from", "k", b"1").await.unwrap();
    engine.delete_objects("from", vec![Delete::key("k")]).await.unwrap();
    put(&engine, "from", "k", b"22").await.unwrap();
    world.db.clock.shift_ms(5);
    // Somebody writes there, later than all that comes.
    let own = put(&engine, "to", "k", b"own").await.unwrap();
    assert_eq!(state(&engine, "from", "k").await.as_deref(), Some(PENDING));
    let tags: Tags = [("a".to_owned(), "b".to_owned())].into_iter().collect();
    let tagged = |info: &mallee_objects::ObjectInfo| Ok(Properties { tags: tags.clone(), ..info.properties.clone() });
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
    let world = World::new(db, "arn:aws:s3:::to").await;
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

/// While a version is being brought, its destination is deleted, and somebody else takes the name.
async fn another_bucket_of_the_name(db: TestDb) {
    let world = World::new(db, "arn:aws:s3:::to").await;
    let (engine, faults) = (world.engine(Faults::none()), Faults::none());
    put(&engine, "from", "k", &[7; 50_000]).await.unwrap();
    faults.arm("walrus.replica.commit", FaultAction::Delay(Duration::from_millis(500)), 1);
    let replicator = world.replicator(faults.clone());
    let (round, ()) = tokio::join!(replicator.round(), async {
        while faults.hit().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        engine.delete_bucket("to").await.unwrap();
        engine.create_bucket("to", OTHER, "r").await.unwrap();
        engine.set_versioning("to", Versioning::Enabled).await.unwrap();
    });
    round.unwrap();
    assert_eq!(versions(&engine, "to", "").await, [], "nobody has decided about that bucket");
    assert_eq!(state(&engine, "from", "k").await.as_deref(), Some(PENDING));
    world.take_over().await;
    assert_eq!(versions(&engine, "to", "").await, [], "whose owner lets nobody in");
    assert_eq!(state(&engine, "from", "k").await.as_deref(), Some(FAILED));
}

/// A change of one thing takes nothing from a replica that its source says nothing of.
async fn what_is_said_of_replicas_alone_stays(db: TestDb) {
    let world = World::new(db, "arn:aws:s3:::to").await;
    let engine = world.engine(Faults::none());
    let text = format!(
        "<ReplicationConfiguration><Role>arn:aws:iam::{ACCOUNT}:role/r</Role><Rule><ID>r</ID><Priority>1</Priority><Filter/>\
         <Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::to</Bucket><Account>{ACCOUNT}</Account>\
         <AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation></Destination>\
         <DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication></Rule></ReplicationConfiguration>"
    );
    engine.set_document("from", "replication", "", &text, &|_| Ok(())).await.unwrap();
    put(&engine, "from", "k", b"1").await.unwrap();
    world.take_over().await;
    // The engine keeps lists as they come.
    let list = "whom its owner lets read".to_owned();
    let held = |info: &mallee_objects::ObjectInfo| {
        let properties = info.properties.clone();
        Ok(Properties { acl: Some(list.clone()), legal_hold: true, hold_known: true, ..properties })
    };
    engine.change_properties("to", "k", Which::Latest, &held).await.unwrap().unwrap();
    let tags: Tags = [("a".to_owned(), "b".to_owned())].into_iter().collect();
    let tagged = |info: &mallee_objects::ObjectInfo| Ok(Properties { tags: tags.clone(), ..info.properties.clone() });
    engine.change_properties("from", "k", Which::Latest, &tagged).await.unwrap().unwrap();
    world.take_over().await;
    let there = engine.object("to", "k").await.unwrap().info.properties;
    assert_eq!(there.tags, tags, "what has changed comes along");
    assert!(there.legal_hold && there.hold_known, "nobody has lifted the hold");
    assert_eq!(there.acl, Some(list.clone()), "the list is the new owner's");
    // A hold that was spoken of at the source is as it is there.
    let lifted = |info: &mallee_objects::ObjectInfo| {
        Ok(Properties { tags: Tags::new(), hold_known: true, ..info.properties.clone() })
    };
    engine.change_properties("from", "k", Which::Latest, &lifted).await.unwrap().unwrap();
    world.take_over().await;
    let there = engine.object("to", "k").await.unwrap().info.properties;
    assert!(there.tags.is_empty() && !there.legal_hold);
}

/// Where the newest version is ahead of the clock, one that takes the place of a deleted one has its rank.
async fn the_place_of_a_deleted_version(db: TestDb) {
    let world = World::new(db, "arn:aws:s3:::to").await;
    let engine = world.engine(Faults::none());
    world.db.clock.shift_ms(3_600_000);
    put(&engine, "from", "k", b"of another clock").await.unwrap();
    world.db.clock.shift_ms(-3_600_000);
    let gone = put(&engine, "from", "k", b"1").await.unwrap();
    engine.delete_objects("from", vec![Delete::of("k", Some(VersionName::from(gone)))]).await.unwrap();
    let stays = put(&engine, "from", "k", b"22").await.unwrap();
    assert_ne!(gone, stays);
    world.db.clock.shift_ms(3_600_000);
    world.take_over().await;
    assert_eq!(versions(&engine, "to", "k").await, versions(&engine, "from", "k").await);
    assert_eq!(state(&engine, "from", "k").await.as_deref(), Some(COMPLETED));
    assert_eq!(world.waiting().await, 0);
}

mallee_store::store_test_suite!(
    every_point,
    places,
    failures,
    another_bucket_of_the_name,
    what_is_said_of_replicas_alone_stays,
    the_place_of_a_deleted_version
);
