//! Versions: random operations on a few keys against a plain model of S3's rules, over each metadata store; listings
//! paged in every way; no counter drifts and no blob leaks.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::{
    Condition, Delete, Deleted, Engine, Error, Found, ListQuery, VersionId, VersionMarker, VersionName, Versioning,
    Which,
};
use mallee_runtime::Faults;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use support::{BUCKET, Kind, World};

const KEYS: &[&str] = &["a", "a/b", "a/c", "b"];

#[derive(Debug, Clone)]
enum Op {
    Versioning(bool),
    Put {
        key: usize,
        size: usize,
        absent: bool,
    },
    Delete {
        key: usize,
    },
    /// A version by its place from the newest; one too many is one that is not there.
    DeleteVersion {
        key: usize,
        nth: usize,
    },
    DeleteNull {
        key: usize,
    },
    /// An older version becomes the newest again.
    Restore {
        key: usize,
        nth: usize,
    },
    Compose {
        key: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS.len();
    let size = prop_oneof![0usize..10, 5_000usize..6_000];
    prop_oneof![
        1 => any::<bool>().prop_map(Op::Versioning),
        5 => (key.clone(), size, prop::bool::weighted(0.2))
            .prop_map(|(key, size, absent)| Op::Put { key, size, absent }),
        3 => key.clone().prop_map(|key| Op::Delete { key }),
        3 => (key.clone(), 0usize..4).prop_map(|(key, nth)| Op::DeleteVersion { key, nth }),
        2 => key.clone().prop_map(|key| Op::DeleteNull { key }),
        1 => (key.clone(), 0usize..3).prop_map(|(key, nth)| Op::Restore { key, nth }),
        1 => key.prop_map(|key| Op::Compose { key }),
    ]
}

/// A version of the model: its id, and its bytes unless it is a marker.
type Version = (VersionId, Option<Vec<u8>>);

#[derive(Default)]
struct Model {
    versioning: Versioning,
    /// The newest first.
    keys: BTreeMap<String, Vec<Version>>,
}

impl Model {
    fn write(&mut self, key: &str, id: VersionId, data: Option<Vec<u8>>) {
        assert_eq!(id.is_null(), self.versioning != Versioning::Enabled, "{id:?}");
        let versions = self.keys.entry(key.to_owned()).or_default();
        match self.versioning {
            Versioning::Off => versions.clear(),
            Versioning::Enabled => {}
            Versioning::Suspended => versions.retain(|(id, _)| !id.is_null()),
        }
        versions.insert(0, (id, data));
    }

    fn nth(&self, key: &str, nth: usize) -> Option<&Version> {
        self.keys.get(key)?.get(nth)
    }

    fn latest(&self, key: &str) -> Option<Vec<u8>> {
        self.nth(key, 0).and_then(|(_, data)| data.clone())
    }

    fn remove(&mut self, key: &str, wanted: impl Fn(&VersionId) -> bool) -> Deleted {
        let versions = self.keys.entry(key.to_owned()).or_default();
        match versions.iter().position(|(id, _)| wanted(id)) {
            Some(at) => {
                let (version, data) = versions.remove(at);
                Deleted::Removed { version, marker: data.is_none() }
            }
            None => Deleted::Nothing,
        }
    }
}

async fn newest(engine: &Engine, key: &str) -> VersionId {
    match engine.find(BUCKET, key, Which::Latest).await.unwrap().unwrap() {
        Found::Object(object) => object.info.version,
        Found::Marker(marker) => marker.version,
    }
}

async fn delete(engine: &Engine, key: &str, version: Option<VersionName>) -> Deleted {
    engine.delete_objects(BUCKET, vec![Delete::of(key, version)]).await.unwrap().remove(0)
}

async fn step(engine: &Engine, model: &mut Model, seed: u64, op: Op) {
    match op {
        Op::Versioning(enabled) => {
            model.versioning = if enabled { Versioning::Enabled } else { Versioning::Suspended };
            engine.set_versioning(BUCKET, model.versioning).await.unwrap();
        }
        Op::Put { key, size, absent } => {
            let (key, data) = (KEYS[key], support::bytes(seed, size));
            let condition = if absent { Condition::Absent } else { Condition::None };
            let result = support::put(engine, key, data.clone(), &condition).await;
            if absent && model.latest(key).is_some() {
                assert!(matches!(result, Err(Error::Precondition)), "{result:?}");
            } else {
                result.unwrap();
                model.write(key, newest(engine, key).await, Some(data.to_vec()));
            }
        }
        Op::Delete { key } if model.versioning == Versioning::Off => {
            let wanted = model.remove(KEYS[key], |_| true);
            assert_eq!(delete(engine, KEYS[key], None).await, wanted);
        }
        Op::Delete { key } => {
            let Deleted::Marked(id) = delete(engine, KEYS[key], None).await else { panic!("no marker") };
            model.write(KEYS[key], id, None);
        }
        Op::DeleteVersion { key, nth } => {
            let id = match model.nth(KEYS[key], nth) {
                Some((id, _)) if id.is_null() => return,
                Some((id, _)) => *id,
                None => VersionId::parse(&format!("{seed:032x}")).unwrap(),
            };
            let wanted = model.remove(KEYS[key], |other| *other == id);
            assert_eq!(delete(engine, KEYS[key], Some(VersionName::Id(id))).await, wanted);
        }
        Op::DeleteNull { key } => {
            let wanted = model.remove(KEYS[key], |id| id.is_null());
            assert_eq!(delete(engine, KEYS[key], Some(VersionName::Null)).await, wanted);
        }
        Op::Restore { key, nth } => {
            let Some((id, Some(data))) = model.nth(KEYS[key], nth).cloned() else { return };
            let name = VersionName::parse(&id.to_string()).unwrap();
            let found = engine.find(BUCKET, KEYS[key], Which::Named(name)).await.unwrap().unwrap();
            let Found::Object(object) = found else { panic!("a marker") };
            let what =
                mallee_objects::Description { bucket: BUCKET.into(), key: KEYS[key].into(), ..Default::default() };
            let info = engine.copy_object(&object, what, &Condition::None).await.unwrap();
            model.write(KEYS[key], info.version, Some(data));
        }
        Op::Compose { key } => {
            let upload = support::start_upload(engine, KEYS[key]).await.unwrap();
            let (one, two) = (support::bytes(seed, 6000), support::bytes(seed + 1, 5));
            let mut parts = Vec::new();
            for (number, data) in [(1, one.clone()), (4, two.clone())] {
                parts.push(support::put_part(engine, &upload, number, data).await.unwrap());
            }
            support::complete(engine, &upload, parts).await.unwrap();
            let found = engine.find(BUCKET, KEYS[key], Which::OfUpload(&upload.id)).await.unwrap();
            let version = found.and_then(Found::object).unwrap().info.version;
            assert_eq!(version, newest(engine, KEYS[key]).await);
            model.write(KEYS[key], version, Some([one, two].concat()));
        }
    }
}

/// Every version reads back by its name, the key by itself; the counters are the model's sums.
async fn check(engine: &Engine, model: &Model) {
    let mut usage = mallee_objects::Usage::default();
    for key in KEYS {
        assert_eq!(support::get(engine, key).await.unwrap(), model.latest(key), "{key}");
        for (n, (id, data)) in model.keys.get(*key).into_iter().flatten().enumerate() {
            let size = data.as_ref().map_or(0, Vec::len) as u64;
            usage.versions += 1;
            usage.version_bytes += size;
            if n == 0 && data.is_some() {
                usage.objects += 1;
                usage.bytes += size;
            }
            let name = VersionName::parse(&id.to_string()).unwrap();
            match (engine.find(BUCKET, key, Which::Named(name)).await.unwrap().unwrap(), data) {
                (Found::Object(object), Some(data)) => {
                    assert_eq!(object.info.version, *id);
                    assert_eq!(support::read(engine, &object, 0, size).await.unwrap(), *data);
                }
                (Found::Marker(marker), None) => assert_eq!(marker.version, *id),
                (found, _) => panic!("{found:?}"),
            }
        }
    }
    assert_eq!(engine.usage(BUCKET).await.unwrap(), usage);
}

/// The same list, whatever the page size, with a delimiter and without.
async fn check_listing(engine: &Engine, model: &Model, limit: usize, delimiter: bool) {
    let mut query = ListQuery { delimiter: delimiter.then(|| "/".into()), limit, ..Default::default() };
    let (mut rows, mut prefixes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = engine.list_versions(BUCKET, &query, after).await.unwrap();
        assert!(page.items.len() + page.prefixes.len() <= limit);
        prefixes.extend(page.prefixes);
        let last = page.items.last().filter(|row| Some(&row.listed.key) == page.last.as_ref()).map(|row| row.version);
        // A null version's place is given as its mark, or by its name.
        after = last
            .map(|id| VersionMarker::parse(&if limit.is_multiple_of(2) { id.to_string() } else { id.mark() }).unwrap());
        rows.extend(page.items);
        if !page.truncated {
            break;
        }
        query.after = page.last;
    }
    let mut wanted = Vec::new();
    for (key, versions) in &model.keys {
        if !(delimiter && key.contains('/')) {
            wanted
                .extend(versions.iter().enumerate().map(|(n, (id, data))| (key.clone(), *id, n == 0, data.is_none())));
        }
    }
    let got: Vec<_> = rows.into_iter().map(|r| (r.listed.key, r.version, r.latest, r.marker)).collect();
    assert_eq!(got, wanted, "limit {limit}");
    let below = model.keys.iter().any(|(key, versions)| key.contains('/') && !versions.is_empty());
    assert_eq!(prefixes, if delimiter && below { vec!["a/".to_owned()] } else { Vec::new() });
}

async fn run(kind: Kind, ops: Vec<Op>) {
    let world = World::new(kind).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, support::ACCOUNT, "r").await.unwrap();
    let mut model = Model::default();
    for (n, op) in ops.into_iter().enumerate() {
        step(&engine, &mut model, 1 + 2 * n as u64, op).await;
    }
    check(&engine, &model).await;
    for limit in 1..5 {
        check_listing(&engine, &model, limit, limit > 2).await;
    }
    engine.collect().await.unwrap();
    assert_eq!(engine.sweep(Duration::ZERO).await.unwrap().deleted, 0, "a blob leaked");
    check(&engine, &model).await;
    if model.keys.values().any(|versions| !versions.is_empty()) {
        assert!(matches!(engine.delete_bucket(BUCKET).await, Err(Error::BucketNotEmpty)));
    }
    support::clear(&engine).await;
    assert_eq!(support::files(&world.blobs_dir()), Vec::<std::path::PathBuf>::new(), "files are left");
    engine.delete_bucket(BUCKET).await.unwrap();
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn versions_follow_the_rules_in_memory(ops in prop::collection::vec(op(), 1..60)) {
        block_on(run(Kind::Memory, ops));
    }
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 15, max_shrink_iters: 50, ..ProptestConfig::default() })]
    #[test]
    fn versions_follow_the_rules_over_sqlite(ops in prop::collection::vec(op(), 1..60)) {
        block_on(run(Kind::Sqlite, ops));
    }
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 50, ..ProptestConfig::default() })]
    #[test]
    fn versions_follow_the_rules_over_postgresql(ops in prop::collection::vec(op(), 1..60)) {
        block_on(run(Kind::Postgres, ops));
    }
}

#[tokio::test]
async fn quotas_count_every_version() {
    use mallee_objects::{Limit, Limited, Limits};
    use std::sync::Arc;
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::new(kind).await;
        let plain = world.engine(Faults::none());
        plain.create_bucket(BUCKET, support::ACCOUNT, "r").await.unwrap();
        plain.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
        let limited = |what, max| {
            let list = vec![Limit { what, max, own: false, origin: "test".into() }];
            plain.limited(Arc::new(Limits { creator: None, list }))
        };
        let put = async |engine: &Engine| support::put(engine, "k", "12345".into(), &Condition::None).await;
        for what in [Limited::BucketBytes, Limited::TotalBytes] {
            let (before, max) = (plain.usage(BUCKET).await.unwrap(), plain.usage(BUCKET).await.unwrap().bytes);
            put(&limited(what, before.version_bytes + 5)).await.unwrap();
            let full = put(&limited(what, before.version_bytes + 5)).await;
            assert!(matches!(full, Err(Error::Quota { what: w, .. }) if w == what), "{full:?} {max}");
            assert_eq!(
                plain.usage(BUCKET).await.unwrap().versions,
                before.versions + 1,
                "the refused one left nothing"
            );
        }
        let used = plain.usage(BUCKET).await.unwrap().version_bytes;
        for what in [Limited::BucketBytes, Limited::TotalBytes] {
            // Parts take room before anything is made of them; and it is theirs that the object takes.
            let engine = limited(what, used + 30_000);
            let upload = support::start_upload(&engine, "m").await.unwrap();
            let part = support::put_part(&engine, &upload, 1, support::bytes(1, 20_000)).await.unwrap();
            let full = support::put_part(&engine, &upload, 2, support::bytes(2, 20_000)).await;
            assert!(matches!(full, Err(Error::Quota { what: w, .. }) if w == what), "{full:?}");
            let full = support::put(&engine, "other", support::bytes(2, 20_000), &Condition::None).await;
            assert!(matches!(full, Err(Error::Quota { .. })), "{full:?}");
            support::complete(&engine, &upload, vec![part]).await.expect("there is room for it once");
            assert_eq!(plain.usage(BUCKET).await.unwrap().part_bytes, 0);
            let version = plain.object(BUCKET, "m").await.unwrap().info.version.to_string();
            let version = VersionName::parse(&version);
            plain.delete_objects(BUCKET, vec![Delete::of("m", version)]).await.unwrap();
        }
        let engine = limited(Limited::BucketObjects, 2);
        assert!(matches!(put(&engine).await, Err(Error::Quota { .. })));
        delete(&engine, "k", None).await;
        assert_eq!(plain.usage(BUCKET).await.unwrap().versions, 3, "a deletion is never refused");
    }
}
