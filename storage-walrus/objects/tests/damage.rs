//! Damaged files, missing files, full disks.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::blob::BLOCK_BYTES;
use mallee_objects::{Condition, Content, Error};
use mallee_runtime::Faults;
use std::path::Path;
use std::process::Command;
use support::{ACCOUNT, BUCKET, Kind, World};

#[tokio::test]
async fn a_flipped_bit_is_never_given_out() {
    let world = World::new(Kind::Memory).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    // One that is read at once with its footer, one that is read in steps.
    for size in [300_000usize, 6 * BLOCK_BYTES + 5] {
        let data = support::bytes(1, size);
        support::put(&engine, "k", data.clone(), &Condition::None).await.unwrap();
        let object = engine.object(BUCKET, "k").await.unwrap();
        let Content::Blob(id) = &object.content else { panic!("not a blob") };
        let path = world.blobs(Faults::none()).path(id);
        let good = std::fs::read(&path).unwrap();
        for n in 0..60u64 {
            let spot = if n < 30 { n * (size as u64) / 30 } else { good.len() as u64 - 1 - (n - 30) };
            let spot = usize::try_from(spot).unwrap();
            let mut bad = good.clone();
            bad[spot] ^= 1 << (n % 8);
            std::fs::write(&path, &bad).unwrap();
            let whole = support::get(&engine, "k").await;
            assert!(matches!(whole, Err(Error::Corrupt(_))), "byte {spot}: {:?}", whole.map(|d| d.map(|d| d.len())));
        }
        // Another block of a large file is still good.
        if size > 4 * BLOCK_BYTES {
            let mut bad = good.clone();
            bad[0] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let from = BLOCK_BYTES as u64;
            assert_eq!(support::read(&engine, &object, from, 9).await.unwrap(), data[BLOCK_BYTES..BLOCK_BYTES + 9]);
        }
        for cut in [0, 10, good.len() - 1] {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert!(matches!(support::get(&engine, "k").await, Err(Error::Corrupt(_))), "cut to {cut}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(support::get(&engine, "k").await, Err(Error::Gone)));
        std::fs::write(&path, &good).unwrap();
        assert_eq!(support::get(&engine, "k").await.unwrap().unwrap(), data);
    }
}

#[tokio::test]
async fn inline_bytes_carry_a_checksum_too() {
    use mallee_runtime::{Clock, Rng};
    use mallee_store::{
        S3Which, SealKey, Store, StoreConfig, s3_bucket_hold, s3_version_fetch, s3_version_heads, s3_version_put,
    };
    let dir = tempfile::tempdir().unwrap();
    let rng = Rng::system();
    let config = StoreConfig::new(format!("sqlite:{}", dir.path().join("db").display()));
    let store = Store::open(config, Clock::system(), rng.clone(), SealKey::random(&rng).unwrap()).await.unwrap();
    let mut world = World::new(Kind::Memory).await;
    world.meta = std::sync::Arc::new(mallee_objects::StoreMetadata::new(store.clone()));
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    support::put(&engine, "k", "hello".into(), &Condition::None).await.unwrap();
    assert_eq!(support::get(&engine, "k").await.unwrap().unwrap(), b"hello");
    let mut row = s3_version_fetch(&store, BUCKET, "k", S3Which::Latest).await.unwrap().unwrap();
    row.inline.as_mut().unwrap()[6] ^= 4;
    let mut tx = store.write().await.unwrap();
    let bucket = s3_bucket_hold(&mut tx, BUCKET).await.unwrap();
    let heads = s3_version_heads(&mut tx, &bucket, "k").await.unwrap();
    s3_version_put(&mut tx, &bucket, &heads, row, 1, &[], &[]).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(support::get(&engine, "k").await, Err(Error::Corrupt(_))));
}

/// A small file system in memory, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Self {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at).status().unwrap();
        assert!(done.success(), "this test mounts a file system and must run as root");
        Self(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0).status());
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    let world = World::new(Kind::Memory).await;
    let at = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(at.path());
    let engine = world.engine_at(at.path(), Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    support::put(&engine, "k", support::bytes(1, 1 << 20), &Condition::None).await.unwrap();
    for _ in 0..3 {
        let error = support::put(&engine, "k", support::bytes(2, 8 << 20), &Condition::None).await.unwrap_err();
        assert!(matches!(error, Error::Full(_)), "{error}");
        let upload = support::start_upload(&engine, "m").await.unwrap();
        let error = support::put_part(&engine, &upload, 1, support::bytes(2, 8 << 20)).await.unwrap_err();
        assert!(matches!(error, Error::Full(_)), "{error}");
        engine.abort_upload(&upload.id).await.unwrap();
        assert_eq!(support::files(at.path()).len(), 1, "only the first object's blob");
    }
    assert_eq!(support::get(&engine, "k").await.unwrap().unwrap(), support::bytes(1, 1 << 20), "the old bytes stay");
    support::put(&engine, "k", support::bytes(3, 2 << 20), &Condition::None).await.unwrap();
    assert_eq!(engine.collect().await.unwrap(), 1);
    assert_eq!(support::files(at.path()).len(), 1);
}

#[tokio::test]
async fn the_sweep_takes_only_old_files_of_ours() {
    let world = World::new(Kind::Memory).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    support::put(&engine, "k", support::bytes(1, 50_000), &Condition::None).await.unwrap();
    let shard = world.blobs_dir().join("blobs/ab");
    let (orphan, foreign) = (shard.join(format!("ab{}", "0".repeat(30))), shard.join("README"));
    std::fs::write(&orphan, "x").unwrap();
    std::fs::write(&foreign, "x").unwrap();
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(engine.sweep(hour).await.unwrap().deleted, 0, "too young");
    engine.clock().shift_ms(3_700_000);
    // The blob store has a clock of its own in these tests.
    assert_eq!(engine.sweep(std::time::Duration::ZERO).await.unwrap().deleted, 1);
    assert!(!orphan.exists() && foreign.exists());
    assert!(support::get(&engine, "k").await.unwrap().is_some());
}
