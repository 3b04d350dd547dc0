//! Random operations against the engine and against a map; both metadata stores; no blob may leak.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::{Condition, Error, ListQuery};
use mallee_runtime::Faults;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::{BUCKET, Kind, World};

const KEYS: &[&str] = &["a", "a/b", "a/b/c", "a/c", "b", "b/", "b/é", "c//d", "ab"];

#[derive(Debug, Clone)]
enum Op {
    Put { key: usize, size: usize, condition: u8 },
    Copy { from: usize, to: usize },
    Compose { key: usize, sizes: Vec<usize>, replace: bool },
    Abandon { key: usize, size: usize },
    Delete { keys: Vec<usize> },
    Read { key: usize, offset: u64, len: u64 },
    List { prefix: usize, delimiter: bool, limit: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS.len();
    let size = prop_oneof![0usize..10, 4090usize..4100, 130_000usize..132_000, 500_000usize..1_100_000];
    prop_oneof![
        4 => (key.clone(), size.clone(), 0u8..6).prop_map(|(key, size, condition)| Op::Put { key, size, condition }),
        2 => (key.clone(), key.clone()).prop_map(|(from, to)| Op::Copy { from, to }),
        2 => (key.clone(), prop::collection::vec(size.clone(), 1..4), any::<bool>())
            .prop_map(|(key, sizes, replace)| Op::Compose { key, sizes, replace }),
        1 => (key.clone(), size).prop_map(|(key, size)| Op::Abandon { key, size }),
        2 => prop::collection::vec(key.clone(), 1..4).prop_map(|keys| Op::Delete { keys }),
        2 => (key.clone(), 0u64..1_000_000, 1u64..1_000_000).prop_map(|(key, offset, len)| Op::Read { key, offset, len }),
        2 => (key, any::<bool>(), 1usize..4).prop_map(|(prefix, delimiter, limit)| Op::List { prefix, delimiter, limit }),
    ]
}

type Model = BTreeMap<String, Vec<u8>>;

fn expected_listing(model: &Model, prefix: &str, delimiter: bool) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut prefixes) = (Vec::new(), BTreeSet::new());
    for key in model.keys().filter(|k| k.starts_with(prefix)) {
        match key[prefix.len()..].find('/').filter(|_| delimiter) {
            Some(at) => drop(prefixes.insert(key[..=prefix.len() + at].to_owned())),
            None => keys.push(key.clone()),
        }
    }
    (keys, prefixes.into_iter().collect())
}

async fn run(kind: Kind, ops: Vec<Op>) {
    let world = World::new(kind).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, support::ACCOUNT, "r").await.unwrap();
    let mut model = Model::new();
    for (n, op) in ops.into_iter().enumerate() {
        let seed = n as u64;
        match op {
            Op::Put { key, size, condition } => {
                let key = KEYS[key];
                let data = support::bytes(seed, size);
                let old = model.get(key).map(|d| format!("{:x}", d.len()));
                let (condition, allowed) = match condition {
                    0 => (Condition::Absent, old.is_none()),
                    1 => (Condition::Etag("none".into()), false),
                    _ => (Condition::None, true),
                };
                let result = support::put(&engine, key, data.clone(), &condition).await;
                match (&result, allowed) {
                    (Ok(()), true) => drop(model.insert(key.to_owned(), data.to_vec())),
                    (Err(Error::Precondition), false) if old.is_some() => {}
                    (Err(Error::NoObject), false) if old.is_none() => {}
                    _ => panic!("{result:?}, allowed {allowed}"),
                }
            }
            Op::Copy { from, to } => {
                let result = support::copy(&engine, KEYS[from], KEYS[to]).await;
                match model.get(KEYS[from]).cloned() {
                    Some(data) => {
                        result.unwrap();
                        model.insert(KEYS[to].to_owned(), data);
                    }
                    None => assert!(matches!(result, Err(Error::NoObject)), "{result:?}"),
                }
            }
            Op::Compose { key, sizes, replace } => {
                let upload = support::start_upload(&engine, KEYS[key]).await.unwrap();
                let (mut parts, mut whole) = (Vec::new(), Vec::new());
                for (i, size) in sizes.iter().enumerate() {
                    let number = u32::try_from(i).unwrap() * 2 + 1;
                    if replace {
                        support::put_part(&engine, &upload, number, support::bytes(seed, 9)).await.unwrap();
                    }
                    let data = support::bytes(seed * 10 + i as u64, *size);
                    whole.extend_from_slice(&data);
                    parts.push(support::put_part(&engine, &upload, number, data).await.unwrap());
                }
                // A part that is not used.
                support::put_part(&engine, &upload, 9999, support::bytes(seed, 5000)).await.unwrap();
                support::complete(&engine, &upload, parts.clone()).await.unwrap();
                assert!(matches!(support::complete(&engine, &upload, parts).await, Err(Error::NoUpload)));
                model.insert(KEYS[key].to_owned(), whole);
            }
            Op::Abandon { key, size } => {
                let upload = support::start_upload(&engine, KEYS[key]).await.unwrap();
                support::put_part(&engine, &upload, 1, support::bytes(seed, size)).await.unwrap();
                engine.abort_upload(&upload.id).await.unwrap();
            }
            Op::Delete { keys } => {
                let keys: Vec<&str> = keys.into_iter().map(|k| KEYS[k]).collect();
                support::delete(&engine, &keys).await.unwrap();
                model.retain(|k, _| !keys.contains(&k.as_str()));
            }
            Op::Read { key, offset, len } => {
                let Some(data) = model.get(KEYS[key]).filter(|d| d.len() as u64 > offset) else { continue };
                let len = len.min(data.len() as u64 - offset);
                let object = engine.object(BUCKET, KEYS[key]).await.unwrap();
                let got = support::read(&engine, &object, offset, len).await.unwrap();
                let from = usize::try_from(offset).unwrap();
                assert!(got == data[from..from + usize::try_from(len).unwrap()], "range {offset}+{len}");
            }
            Op::List { prefix, delimiter, limit } => {
                let prefix = KEYS[prefix].to_owned();
                let mut query =
                    ListQuery { prefix: prefix.clone(), delimiter: delimiter.then(|| "/".into()), after: None, limit };
                let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
                loop {
                    let page = engine.list_objects(BUCKET, &query).await.unwrap();
                    assert!(page.items.len() + page.prefixes.len() <= limit);
                    keys.extend(page.items.into_iter().map(|o| o.key));
                    prefixes.extend(page.prefixes);
                    if !page.truncated {
                        break;
                    }
                    query.after = page.last;
                }
                assert_eq!((keys, prefixes), expected_listing(&model, &prefix, delimiter));
            }
        }
    }
    for key in KEYS {
        assert!(support::get(&engine, key).await.unwrap() == model.get(*key).cloned(), "{key}");
    }
    engine.collect().await.unwrap();
    assert_eq!(engine.sweep(Duration::ZERO).await.unwrap().deleted, 0, "a blob leaked");
    let usage = engine.usage(BUCKET).await.unwrap();
    let bytes = model.values().map(|data| data.len() as u64).sum::<u64>();
    assert_eq!((usage.objects, usage.bytes, usage.part_bytes), (model.len() as u64, bytes, 0));
    assert_eq!((usage.versions, usage.version_bytes), (usage.objects, usage.bytes));
    if !model.is_empty() {
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
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_is_a_map_over_memory(ops in prop::collection::vec(op(), 1..40)) {
        block_on(run(Kind::Memory, ops));
    }
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 50, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_is_a_map_over_sqlite(ops in prop::collection::vec(op(), 1..40)) {
        block_on(run(Kind::Sqlite, ops));
    }
}
proptest! {
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 50, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_is_a_map_over_postgresql(ops in prop::collection::vec(op(), 1..40)) {
        block_on(run(Kind::Postgres, ops));
    }
}
