//! Replication into another object store: stopped at every point on both sides. The other store is the same one, asked over
//! HTTP, so that what is there can be seen here.

use super::world::{World, bytes, put, served, service, state, versions};
use mallee_objects::{COMPLETED, Delete, FAILED, Found, PENDING, REPLICA, Tags, VersionName, Versioning};
use mallee_runtime::{FaultAction, Faults, TaskScope};
use mallee_store::test_support::TestDb;
use std::time::Duration;

/// A world whose other store is served, and fails as it is bid.
pub(crate) struct Far {
    pub(crate) world: World,
    /// Those of whoever is asked.
    pub(crate) faults: Faults,
    scope: TaskScope,
}

impl Far {
    pub(crate) async fn new(db: TestDb, kind: &str) -> Self {
        let mut world = World::new(db, "arn:aws:s3:far::to").await;
        let faults = Faults::none();
        let s3 = service(&world.engine(faults.clone()));
        let (scope, peers) = served(&world, s3, kind).await;
        world.peers = peers;
        Self { world, faults, scope }
    }

    pub(crate) async fn end(self) {
        self.scope.stop(Duration::from_secs(1)).await;
    }
}

/// Either side dies at each point: what was written is there, under its id, once, and nothing else.
async fn every_point_of_both(db: TestDb) {
    let far = Far::new(db, "mallee").await;
    let world = &far.world;
    let points = [
        (false, "walrus.replicate.carry"),
        (false, "walrus.peer.ask"),
        (false, "walrus.peer.asked"),
        (false, "walrus.replicate.carried"),
        (false, "walrus.replicated.commit"),
        (false, "walrus.replicated.commit.done"),
        (true, "walrus.replica.commit"),
        (true, "walrus.replica.commit.done"),
    ];
    for (n, (there, point)) in points.into_iter().enumerate() {
        // Small ones are sent at once, large ones are asked for first.
        for (kind, data) in [("small", vec![7; 1000]), ("large", vec![7; 200_000]), ("marker", vec![])] {
            let (key, faults) = (format!("{kind}-{n}"), Faults::none());
            let engine = world.engine(Faults::none());
            match kind {
                "marker" => drop(engine.delete_objects("from", vec![Delete::key(&key)]).await.unwrap()),
                _ => drop(put(&engine, "from", &key, &data).await.unwrap()),
            }
            if there { &far.faults } else { &faults }.arm(point, FaultAction::Fail, 1);
            let round = world.replicator(faults).round().await;
            let again = there || point.starts_with("walrus.peer.");
            assert_eq!(round.is_ok(), again, "{point}: {round:?}");
            world.take_over().await;
            let (from, to) = (versions(&engine, "from", &key).await, versions(&engine, "to", &key).await);
            assert_eq!((from.len(), &from), (1, &to), "{kind} {point}");
            assert_eq!(world.waiting().await, 0, "{kind} {point}");
            if kind == "marker" {
                continue;
            }
            let replica = engine.object("to", &key).await.unwrap();
            assert_eq!(bytes(&engine, &replica).await, data);
            assert_eq!(replica.info.properties.replication.as_deref(), Some(REPLICA));
            assert_eq!(state(&engine, "from", &key).await.as_deref(), Some(COMPLETED), "{kind} {point}");
        }
    }
    far.end().await;
}

/// A store with ids of its own: what a key stands for is there once, whatever point either side dies at, and what changes of
/// it is changed there.
async fn every_point_of_a_foreign_store(db: TestDb) {
    let far = Far::new(db, "s3").await;
    let world = &far.world;
    let points = [
        (false, "walrus.replicate.carry"),
        (false, "walrus.peer.ask"),
        (false, "walrus.peer.asked"),
        (false, "walrus.replicate.carried"),
        (false, "walrus.replicated.commit"),
        (true, "walrus.put.commit"),
        (true, "walrus.put.commit.done"),
    ];
    for (n, (there, point)) in points.into_iter().enumerate() {
        let (key, faults, engine) = (format!("key-{n}"), Faults::none(), world.engine(Faults::none()));
        for data in [b"old".as_slice(), b"newer"] {
            put(&engine, "from", &key, data).await.unwrap();
        }
        if there { &far.faults } else { &faults }.arm(point, FaultAction::Fail, 1);
        drop(world.replicator(faults).round().await);
        world.take_over().await;
        let found = versions(&engine, "to", &key).await;
        assert_eq!(found.len(), 1, "{point}: {found:?}");
        let replica = engine.object("to", &key).await.unwrap();
        assert_eq!(bytes(&engine, &replica).await, b"newer");
        assert_eq!(replica.info.properties.replication.as_deref(), Some(REPLICA), "it goes no further");
        assert_eq!(state(&engine, "from", &key).await.as_deref(), Some(COMPLETED), "{point}");
        let tags: Tags = [("a".to_owned(), "b c".to_owned())].into_iter().collect();
        for tags in [tags, Tags::new()] {
            let tagged = |info: &mallee_objects::ObjectInfo| {
                Ok(mallee_objects::Properties { tags: tags.clone(), ..info.properties.clone() })
            };
            engine.change_properties("from", &key, mallee_objects::Which::Latest, &tagged).await.unwrap().unwrap();
            world.take_over().await;
            assert_eq!(engine.object("to", &key).await.unwrap().info.properties.tags, tags, "{point}");
            assert_eq!(versions(&engine, "to", &key).await, found, "no new version for what is said of one");
        }
        engine.delete_objects("from", vec![Delete::key(&key)]).await.unwrap();
        world.take_over().await;
        world.take_over().await;
        let there = versions(&engine, "to", &key).await;
        assert!(there.len() == 2 && there[0].2 && there[0].3, "{point}: {there:?}");
    }
    far.end().await;
}

/// What is refused there fails at once; what does not answer is waited for.
async fn refusals_of_the_other_store(db: TestDb) {
    let mut far = Far::new(db, "mallee").await;
    let engine = far.world.engine(Faults::none());
    let first = put(&engine, "from", "k", b"1").await.unwrap();
    let known = std::mem::take(&mut far.world.peers);
    far.world.take_over().await;
    assert_eq!(state(&engine, "from", "k").await.as_deref(), Some(FAILED), "nobody knows the store");
    far.world.peers = known;
    engine.set_versioning("to", Versioning::Suspended).await.unwrap();
    put(&engine, "from", "l", b"1").await.unwrap();
    far.world.take_over().await;
    assert_eq!(state(&engine, "from", "l").await.as_deref(), Some(FAILED), "no versions there");
    engine.set_versioning("to", Versioning::Enabled).await.unwrap();
    // What was changed since is tried again, and then found where it was brought.
    let which = Some(VersionName::from(first)).into();
    for value in ["1", "2"] {
        let tags: Tags = [("n".to_owned(), value.to_owned())].into_iter().collect();
        let tagged = |info: &mallee_objects::ObjectInfo| {
            Ok(mallee_objects::Properties { tags: tags.clone(), ..info.properties.clone() })
        };
        engine.change_properties("from", "k", which, &tagged).await.unwrap().unwrap();
        far.world.take_over().await;
        let Some(Found::Object(replica)) = engine.find("to", "k", which).await.unwrap() else { panic!("not there") };
        assert_eq!(replica.info.properties.tags, tags);
    }
    far.scope.stop(Duration::from_secs(1)).await;
    put(&engine, "from", "m", b"1").await.unwrap();
    far.world.take_over().await;
    assert_eq!(state(&engine, "from", "m").await.as_deref(), Some(PENDING), "it is down");
    assert_eq!(far.world.waiting().await, 1);
}

mallee_store::store_test_suite!(every_point_of_both, every_point_of_a_foreign_store, refusals_of_the_other_store);
