//! A directory of blobs and its database know each other: no other database takes the files for garbage.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use mallee_objects::{Condition, Description};
use mallee_runtime::{Clock, Faults, Rng};
use mallee_store::{SealKey, Store, StoreConfig, setting_delete};
use mallee_walrus::{Error, Offline, StaticAuthority, Walrus, WalrusConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

async fn store(dir: &Path, name: &str) -> Store {
    let rng = Rng::system();
    let config = StoreConfig::new(format!("sqlite:{}", dir.join(name).display()));
    Store::open(config, Clock::system(), rng.clone(), SealKey::random(&rng).unwrap()).await.unwrap()
}

async fn open(data: &Path, store: &Store) -> anyhow::Result<Walrus> {
    let auth = Arc::new(StaticAuthority::new(Vec::new()));
    let config = WalrusConfig::new(data, "r");
    Walrus::open(config, store.clone(), auth, Clock::system(), Rng::system(), Faults::none()).await
}

/// Files with bytes of objects, wherever they are now.
fn files(data: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![data.join("blobs"), data.join("packs")]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

async fn put(walrus: &Walrus, key: &str) {
    let mut sink = walrus.engine().sink();
    sink.write(Bytes::from(vec![7; 600_000])).await.unwrap();
    let what = Description { bucket: "b".to_owned(), key: key.to_owned(), ..Description::default() };
    walrus.engine().put_object(what, sink.finish().await.unwrap(), &Condition::None).await.unwrap();
}

/// A directory with two objects, and its database.
async fn filled(dir: &Path) -> (PathBuf, Store) {
    let (data, store) = (dir.join("data"), store(dir, "own.db").await);
    let walrus = open(&data, &store).await.unwrap();
    walrus.engine().create_bucket("b", "111111111111", "r").await.unwrap();
    put(&walrus, "one").await;
    put(&walrus, "two").await;
    (data, store)
}

#[tokio::test]
async fn another_database_is_refused_and_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, own) = filled(dir.path()).await;
    let before = files(&data);
    let fresh = store(dir.path(), "fresh.db").await;
    for mark in [true, false] {
        if !mark {
            // As a version wrote it that knew of no owners.
            std::fs::remove_file(data.join("walrus-owner")).unwrap();
        }
        let refused = open(&data, &fresh).await.unwrap_err().to_string();
        assert!(refused.contains("that this database does not know"), "{refused}");
        let refused = Offline::open(&data, fresh.clone(), false).await.unwrap_err().to_string();
        assert!(refused.contains("that this database does not know"), "{refused}");
    }
    let other = dir.path().join("other");
    let walrus = open(&other, &fresh).await.expect("a database and a directory that are both empty come together");
    walrus.engine().create_bucket("b", "111111111111", "r").await.unwrap();
    put(&walrus, "one").await;
    drop(walrus);
    assert!(open(&data, &fresh).await.unwrap_err().to_string().contains("does not know"));
    // Its own directory is not there: nothing is taken for a new one.
    let refused = open(&dir.path().join("unmounted"), &own).await.unwrap_err().to_string();
    assert!(refused.contains("is its disk mounted?"), "{refused}");
    assert_eq!(files(&data), before);
    let walrus = open(&data, &own).await.expect("after an upgrade its own database is known by its files");
    drop(walrus);
    assert!(open(&data, &fresh).await.unwrap_err().to_string().contains("another database"));
}

#[tokio::test]
async fn an_older_backup_of_the_database_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (data, own) = filled(dir.path()).await;
    let mut tx = own.write().await.unwrap();
    assert!(setting_delete(&mut tx, "s3-files-owner").await.unwrap());
    tx.commit().await.unwrap();
    let offline = Offline::open(&data, own.clone(), true).await.expect("it knows the files");
    assert!(offline.checker().check().await.unwrap().is_sound());
}

#[tokio::test]
async fn the_sweep_and_a_repair_ask_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, own) = filled(dir.path()).await;
    let orphan = data.join("blobs/ab").join(format!("ab{}", "0".repeat(30)));
    std::fs::write(&orphan, "x").unwrap();
    let before = files(&data);
    let walrus = open(&data, &own).await.unwrap();
    let good = std::fs::read(data.join("walrus-owner")).unwrap();
    std::fs::write(data.join("walrus-owner"), "somebody else").unwrap();
    assert!(matches!(walrus.engine().sweep(Duration::ZERO).await, Err(Error::State(_))));
    std::fs::remove_file(data.join("walrus-owner")).unwrap();
    assert!(matches!(walrus.engine().sweep(Duration::ZERO).await, Err(Error::State(_))));
    drop(walrus);
    let offline = Offline::open(&data, own.clone(), false).await.unwrap();
    std::fs::write(data.join("walrus-owner"), "somebody else").unwrap();
    assert!(matches!(offline.checker().repair().await, Err(Error::State(_))));
    assert_eq!(files(&data), before);
    std::fs::write(data.join("walrus-owner"), good).unwrap();
    let (_, left) = offline.checker().repair().await.unwrap();
    assert!(left.findings.is_empty(), "{:#?}", left.findings);
    drop(offline);
    assert_eq!(open(&data, &own).await.unwrap().engine().sweep(Duration::ZERO).await.unwrap().seen, 2);
}
