//! Pages with a delimiter over keys of all kinds, whatever their size, are what one look at all keys gives.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::{Condition, Engine, ListQuery, Listing};
use mallee_runtime::Faults;
use std::collections::BTreeSet;
use support::{ACCOUNT, BUCKET, Kind, World};

/// Objects and common prefixes in turn, in runs of one to many; with delimiters of several bytes.
fn keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for run in 0..12_usize {
        for n in 0..run * run / 2 + 1 {
            let name = format!("{run:02}é{n:03}");
            match run % 3 {
                0 => drop(keys.insert(name)),
                1 => keys.extend((0..3).map(|below| format!("{name}//{below}"))),
                _ => keys.extend([format!("{name}/x/y"), format!("{name}/x"), format!("{name}-plain")]),
            }
        }
    }
    keys.extend(["a".to_owned(), "a/".to_owned(), "a//".to_owned(), "a/\u{0}".to_owned(), "/".to_owned()]);
    keys
}

/// Entries in their order: a common prefix begins with `+`.
fn shown(page: &Listing) -> Vec<String> {
    let mut entries: Vec<(String, bool)> = page.items.iter().map(|item| (item.key.clone(), false)).collect();
    entries.extend(page.prefixes.iter().map(|common| (common.clone(), true)));
    entries.sort();
    entries.into_iter().map(|(key, common)| if common { format!("+{key}") } else { key }).collect()
}

fn expected(keys: &BTreeSet<String>, prefix: &str, delimiter: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(prefix)) {
        let entry = match key[prefix.len()..].find(delimiter) {
            Some(at) => format!("+{}", &key[..prefix.len() + at + delimiter.len()]),
            None => key.clone(),
        };
        if out.last() != Some(&entry) {
            out.push(entry);
        }
    }
    out
}

async fn all(engine: &Engine, prefix: &str, delimiter: &str, limit: usize) -> Vec<String> {
    let mut query = ListQuery { prefix: prefix.into(), delimiter: Some(delimiter.into()), after: None, limit };
    let mut out = Vec::new();
    loop {
        let page = engine.list_objects(BUCKET, &query).await.unwrap();
        let entries = shown(&page);
        assert!(entries.len() == limit || !page.truncated, "a page that is not full");
        out.extend(entries);
        if !page.truncated {
            return out;
        }
        query.after = page.last;
    }
}

async fn run(kind: Kind) {
    let world = World::new(kind).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    let keys = keys();
    for key in &keys {
        support::put(&engine, key, support::bytes(1, 3), &Condition::None).await.unwrap();
    }
    for (prefix, delimiter) in [("", "/"), ("", "//"), ("a", "/"), ("a/", "/"), ("04é", "é"), ("", "é0"), ("08", "-")]
    {
        for limit in [1, 2, 17, 1000] {
            let got = all(&engine, prefix, delimiter, limit).await;
            assert_eq!(got, expected(&keys, prefix, delimiter), "{prefix:?} {delimiter:?} by {limit}");
        }
    }
}

#[tokio::test]
async fn pages_with_a_delimiter() {
    run(Kind::Memory).await;
    run(Kind::Sqlite).await;
    run(Kind::Postgres).await;
}
