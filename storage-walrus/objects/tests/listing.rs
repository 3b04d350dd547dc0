//! Pages with a delimiter over keys of all kinds, whatever their size, are what one look at all keys gives.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::{Condition, Engine, ListQuery, Listing, UploadDoc};
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

/// As [`all`], of uploads.
async fn uploads(engine: &Engine, delimiter: &str, limit: usize) -> Vec<String> {
    let mut query = ListQuery { prefix: String::new(), delimiter: Some(delimiter.into()), after: None, limit };
    let (mut out, mut after_id) = (Vec::new(), String::new());
    loop {
        let page = engine.list_uploads(BUCKET, &query, &after_id).await.unwrap();
        let mut entries: Vec<String> = page.items.iter().map(|upload| upload.key.clone()).collect();
        entries.extend(page.prefixes.iter().map(|common| format!("+{common}")));
        assert!(entries.len() == limit || !page.truncated, "a page that is not full");
        entries.sort_by(|a, b| a.trim_start_matches('+').cmp(b.trim_start_matches('+')));
        out.extend(entries);
        if !page.truncated {
            return out;
        }
        let common = page.last.as_ref().is_some_and(|last| page.prefixes.contains(last));
        after_id = page.items.last().filter(|_| !common).map(|upload| upload.id.clone()).unwrap_or_default();
        query.after = page.last;
    }
}

/// What lies below a common prefix is passed, also keys that go on with the last of all characters.
#[tokio::test]
async fn pages_of_uploads_with_a_delimiter() {
    for kind in [Kind::Memory, Kind::Sqlite, Kind::Postgres] {
        let world = World::new(kind).await;
        let engine = world.engine(Faults::none());
        engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
        let mut keys: BTreeSet<String> = (0..200).map(|n| format!("a/{n}")).collect();
        keys.extend((0..4).map(|n| format!("a/{}{n}", char::MAX)));
        keys.extend(["a/x/y", "a", "b", "c/d/e"].map(str::to_owned));
        for key in &keys {
            engine.create_upload(BUCKET, key, ACCOUNT, UploadDoc::default()).await.unwrap();
        }
        for limit in [1, 2, 3, 1000] {
            assert_eq!(uploads(&engine, "/", limit).await, expected(&keys, "", "/"), "{kind:?} by {limit}");
        }
    }
}
