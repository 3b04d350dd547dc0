//! Versions that come with their ids, in any order and more than once, among those that are written here: against a map,
//! with each metadata store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::{
    Condition, Delete, Description, Engine, Error, ListQuery, Marker, Placed, ReplicaBytes, VersionId, VersionName,
    Versioning,
};
use mallee_runtime::{Faults, Rng};
use std::collections::BTreeMap;
use std::time::Duration;
use support::{BUCKET, Kind, World, bytes};

/// By rank: the random part, and the size; `None`: a delete marker.
type Model = BTreeMap<i64, (i64, Option<u64>)>;

async fn replica(engine: &Engine, id: VersionId, size: usize) -> Result<Placed, Error> {
    replica_of(engine, id, size, 5).await
}

async fn replica_of(engine: &Engine, id: VersionId, size: usize, created_ms: i64) -> Result<Placed, Error> {
    let mut sink = engine.sink();
    sink.write(bytes(size as u64, size)).await?;
    let what = Description { bucket: BUCKET.into(), key: "k".into(), etag: "e".into(), ..Description::default() };
    engine.put_replica(what, id, created_ms, ReplicaBytes::New(sink.finish().await?)).await
}

async fn shown(engine: &Engine) -> Model {
    let page = engine.list_versions(BUCKET, &ListQuery { limit: 1000, ..ListQuery::default() }, None).await.unwrap();
    let mut model = Model::new();
    for (n, row) in page.items.iter().enumerate() {
        assert_eq!(row.latest, n == 0, "the first is the newest");
        let mark = row.version.mark();
        let number = |digits: &str| i64::from_ne_bytes(u64::from_str_radix(digits, 16).unwrap().to_ne_bytes());
        let size = (!row.marker).then_some(row.listed.size);
        model.insert(number(&mark[..16]), (number(&mark[16..]), size));
    }
    model
}

async fn any_order(kind: Kind) {
    let world = World::new(kind).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, support::ACCOUNT, "r").await.unwrap();
    let id = |rank, random| VersionId::of_parts(rank, random);
    assert!(matches!(replica(&engine, id(-5, 5), 1).await, Err(Error::State(_))), "it has no versions");
    engine.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
    let ahead = (engine.clock().now_ms() + 3 * 24 * 3_600_000) * -1000;
    for bad in [id(0, 5), id(-5, 0), id(ahead, 5), id(i64::MIN, 5), id(5, 5)] {
        assert!(matches!(replica(&engine, bad, 1).await, Err(Error::State(_))), "{bad}");
    }
    // Nor may it be written in the future: no rule would ever find it old.
    for late_ms in [engine.clock().now_ms() + 3 * 24 * 3_600_000, i64::MAX] {
        assert!(matches!(replica_of(&engine, id(-5, 5), 1, late_ms).await, Err(Error::State(_))), "{late_ms}");
        let marker = Marker { version: id(-5, 5), created_ms: late_ms };
        assert!(matches!(engine.put_replica_marker(BUCKET, "k", marker).await, Err(Error::State(_))), "{late_ms}");
    }
    let (rng, mut model) = (Rng::seeded(7), Model::new());
    let mut made = Vec::new();
    for n in 0..150u64 {
        let rank = -1 - i64::try_from(rng.u64() % 60).unwrap();
        let (version, size) = (id(rank, 9), if rng.u64().is_multiple_of(3) { 10_000 } else { 7 });
        match rng.u64() % 8 {
            0 => {
                let marker = Marker { version, created_ms: 5 };
                let placed = engine.put_replica_marker(BUCKET, "k", marker).await.unwrap();
                assert_eq!(placed == Placed::There, model.contains_key(&rank));
                model.entry(rank).or_insert((9, None));
            }
            1 => {
                let there = model.contains_key(&rank);
                let other = replica(&engine, id(rank, 8), 1).await;
                assert_eq!(matches!(other, Err(Error::State(_))), there, "its place is another's");
                model.entry(rank).or_insert((8, Some(1)));
                if !there {
                    let delete = Delete::of("k", Some(VersionName::from(id(rank, 8))));
                    engine.delete_objects(BUCKET, vec![delete]).await.unwrap();
                    model.remove(&rank);
                }
            }
            2 => {
                engine.delete_objects(BUCKET, vec![Delete::of("k", Some(VersionName::from(version)))]).await.unwrap();
                model.remove(&rank);
            }
            3 if n > 100 => {
                support::put(&engine, "k", bytes(n, 3), &Condition::None).await.unwrap();
                let new = shown(&engine).await;
                let (rank, row) = new.iter().next().unwrap();
                assert!(model.keys().all(|other| rank < other), "what is written here is the newest");
                model.insert(*rank, *row);
                made.push(*rank);
            }
            _ => {
                let placed = replica(&engine, version, size).await.unwrap();
                assert_eq!(placed == Placed::There, model.contains_key(&rank));
                model.entry(rank).or_insert((9, Some(size as u64)));
            }
        }
        assert_eq!(shown(&engine).await, model);
    }
    assert!(!made.is_empty());
    let usage = engine.usage(BUCKET).await.unwrap();
    let sizes = |of: Option<u64>| of.unwrap_or_default();
    assert_eq!(usage.versions, model.len() as u64);
    assert_eq!(usage.version_bytes, model.values().map(|(_, size)| sizes(*size)).sum::<u64>());
    assert_eq!(usage.bytes, sizes(model.values().next().unwrap().1));
    support::collect(&engine).await;
    assert_eq!(engine.sweep(Duration::ZERO).await.unwrap().deleted, 0, "what was there already left nothing");
    support::clear(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_memory() {
    any_order(Kind::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_sqlite() {
    any_order(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_postgresql() {
    any_order(Kind::Postgres).await;
}
