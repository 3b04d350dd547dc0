//! Packs: many small objects in one file, and the room of deleted ones given back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use futures::future::join_all;
use mallee_objects::check::{Checker, Weight};
use mallee_objects::{Condition, Content, Engine, Error, PACKED_BYTES_MAX, StoreMetadata};
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use support::{ACCOUNT, BUCKET, Kind, World};

/// Sizes around every edge: of a row, of a block, of what is packed.
const SIZES: [usize; 9] = [
    4097,
    5_000,
    65_536,
    PACKED_BYTES_MAX / 2 - 1,
    PACKED_BYTES_MAX / 2,
    PACKED_BYTES_MAX / 2 + 1,
    PACKED_BYTES_MAX - 1,
    PACKED_BYTES_MAX,
    PACKED_BYTES_MAX + 1,
];

async fn world() -> (World, Engine) {
    let world = World::new(Kind::Memory).await;
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    (world, engine)
}

fn key(n: usize) -> String {
    format!("k{n:03}")
}

async fn put(engine: &Engine, n: usize, size: usize) {
    support::put(engine, &key(n), support::bytes(n as u64, size), &Condition::None).await.unwrap();
}

async fn is_there(engine: &Engine, n: usize, size: usize) {
    let found = support::get(engine, &key(n)).await.unwrap().expect("it is there");
    assert!(found == support::bytes(n as u64, size), "{} of {size} bytes", key(n));
}

fn packs(world: &World) -> Vec<PathBuf> {
    support::files(&world.blobs_dir().join("packs"))
}

fn bytes(files: &[PathBuf]) -> u64 {
    files.iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

async fn pack_of(world: &World, engine: &Engine, n: usize) -> PathBuf {
    let Content::Blob(id) = engine.object(BUCKET, &key(n)).await.unwrap().content else { panic!("not a blob") };
    world.blobs(Faults::none()).path(&id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_packs_and_read_back() {
    let (world, engine) = world().await;
    join_all((0..90).map(|n| put(&engine, n, SIZES[n % SIZES.len()]))).await;
    let in_packs: u64 = SIZES[..SIZES.len() - 1].iter().map(|size| *size as u64 * 10).sum();
    let files = packs(&world);
    assert!(bytes(&files) > in_packs && bytes(&files) < in_packs + 20_000, "heads and footers are few");
    assert!(files.len() < 60, "{} packs of {} bytes each", files.len(), support::PACK_BYTES);
    assert_eq!(support::files(&world.blobs_dir().join("blobs")).len(), 10, "the larger ones are files");
    for engine in [engine, world.engine(Faults::none())] {
        for n in 0..90 {
            is_there(&engine, n, SIZES[n % SIZES.len()]).await;
        }
        for (n, size) in SIZES.into_iter().enumerate() {
            let (object, all) = (engine.object(BUCKET, &key(n)).await.unwrap(), support::bytes(n as u64, size));
            for (from, len) in [(0, 1), (size - 1, 1), (size / 2, size / 2), (size / 3, 7)] {
                let part = support::read(&engine, &object, from as u64, len as u64).await.unwrap();
                assert_eq!(part, all[from..from + len], "{len} from {from} of {size}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_gives_its_room_back() {
    let (world, engine) = world().await;
    const COUNT: usize = 100;
    const SIZE: usize = 9_000;
    for n in 0..COUNT {
        put(&engine, n, SIZE).await;
    }
    support::copy(&engine, &key(1), "copy").await.unwrap();
    let (before, files) = (bytes(&packs(&world)), packs(&world).len());
    // One that is being read, from before to after.
    let object = engine.object(BUCKET, &key(0)).await.unwrap();
    let mut reader = engine.read(&object, 0, 100).await.unwrap();
    let unread = engine.object(BUCKET, &key(2)).await.unwrap();
    let kept = |n: usize| n.is_multiple_of(10) && n > 0;
    let gone: Vec<String> = (0..COUNT).filter(|n| !kept(*n)).map(key).collect();
    support::delete(&engine, &gone.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(engine.collect().await.unwrap(), gone.len() as u64 - 2, "a copy keeps one, a reader another");
    let after = bytes(&packs(&world));
    assert!(after < before / 4, "{after} of {before} bytes");
    assert!(packs(&world).len() <= files);
    assert_eq!(reader.next().await.unwrap().unwrap(), support::bytes(0, SIZE)[..100]);
    drop(reader);
    for engine in [engine.clone(), world.engine(Faults::none())] {
        for n in (0..COUNT).filter(|n| kept(*n)) {
            is_there(&engine, n, SIZE).await;
        }
        assert_eq!(support::get(&engine, "copy").await.unwrap().unwrap(), support::bytes(1, SIZE));
        assert!(matches!(support::read(&engine, &unread, 0, 100).await, Err(Error::Gone)), "compacted away");
    }
    // Again and again, until nothing is left.
    for n in (0..COUNT).filter(|n| kept(*n)) {
        support::delete(&engine, &[&key(n)]).await.unwrap();
        engine.collect().await.unwrap();
    }
    support::delete(&engine, &["copy"]).await.unwrap();
    // What was being read when it was deleted is tried again later.
    engine.clock().shift_ms(1000 + i64::try_from(mallee_objects::COLLECT_RETRY.as_millis()).unwrap());
    engine.collect().await.unwrap();
    engine.sweep(Duration::ZERO).await.unwrap();
    assert!(packs(&world).is_empty(), "{:?}", packs(&world));
}

#[tokio::test]
async fn a_restart_begins_a_new_pack_and_the_sweep_finds_what_was_deleted() {
    let (world, engine) = world().await;
    for n in 0..5 {
        put(&engine, n, 9_000).await;
    }
    let first = packs(&world);
    let stored = fs::read(&first[0]).unwrap();
    assert_eq!(first.len(), 1);
    // These are collected, and then the process ends before anything is compacted.
    support::delete(&engine, &[&key(0), &key(1), &key(2)]).await.unwrap();
    engine.collect().await.unwrap();
    let engine = world.engine(Faults::none());
    put(&engine, 5, 9_000).await;
    assert_eq!(fs::read(&first[0]).unwrap(), stored, "no earlier pack is written to");
    assert_eq!(packs(&world).len(), 2);
    assert_eq!(engine.sweep(Duration::from_secs(3600)).await.unwrap().deleted, 0, "too young");
    assert_eq!(engine.sweep(Duration::ZERO).await.unwrap().deleted, 3);
    assert!(fs::metadata(&first[0]).unwrap().len() < stored.len() as u64 / 2);
    assert_eq!(engine.sweep(Duration::ZERO).await.unwrap().deleted, 0);
    for n in 3..6 {
        is_there(&engine, n, 9_000).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_is_never_given_out_and_harms_no_neighbour() {
    let (world, engine) = world().await;
    for (n, size) in [20_000, 200_000, 20_000].into_iter().enumerate() {
        put(&engine, n, size).await;
    }
    let object = engine.object(BUCKET, &key(1)).await.unwrap();
    let Content::Blob(id) = &object.content else { panic!("not a blob") };
    let path = pack_of(&world, &engine, 1).await;
    assert_eq!(path, pack_of(&world, &engine, 0).await);
    let good = fs::read(&path).unwrap();
    let at = usize::from_str_radix(&id.as_str()[24..], 16).unwrap();
    let end = at + 36 + 200_000 + usize::try_from(mallee_objects::blob::footer_len(200_000)).unwrap();
    let spots = (0..60).map(|n| at + n * (end - at) / 60).chain(at..at + 36).chain(end - 40..end);
    for (n, spot) in spots.enumerate() {
        let mut bad = good.clone();
        bad[spot] ^= 1 << (n % 8);
        fs::write(&path, &bad).unwrap();
        for engine in [&engine, &world.engine(Faults::none())] {
            let read = support::get(engine, &key(1)).await;
            assert!(matches!(read, Err(Error::Corrupt(_))), "byte {spot}: {:?}", read.map(|d| d.map(|d| d.len())));
            is_there(engine, 0, 20_000).await;
        }
    }
    // The head of the pack itself is not needed to read what lies where its name says.
    let mut bad = good.clone();
    bad[3] ^= 1;
    fs::write(&path, &bad).unwrap();
    for n in 0..2 {
        is_there(&world.engine(Faults::none()), n, [20_000, 200_000][n]).await;
    }
    // A damaged pack is not compacted: the record whose head cannot be read is in use.
    let mut bad = good.clone();
    bad[32 + 9] ^= 1;
    fs::write(&path, &bad).unwrap();
    let engine = world.engine(Faults::none());
    support::delete(&engine, &[&key(1)]).await.unwrap();
    engine.collect().await.unwrap();
    engine.sweep(Duration::ZERO).await.unwrap();
    fs::write(&path, &good).unwrap();
    is_there(&world.engine(Faults::none()), 0, 20_000).await;
}

#[tokio::test]
async fn what_a_crash_leaves_behind_the_last_record_goes() {
    for torn in [1, 10, 36, 40, 9_000, 9_060] {
        let (world, engine) = world().await;
        put(&engine, 0, 9_000).await;
        let path = pack_of(&world, &engine, 0).await;
        let whole = fs::metadata(&path).unwrap().len();
        let second = support::bytes(9, 9_000);
        let mut sink = engine.sink();
        sink.write(second).await.unwrap();
        let orphan = sink.finish().await.unwrap();
        assert!(orphan.new_blob().is_some());
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(whole + torn).unwrap();
        let engine = world.engine(Faults::none());
        is_there(&engine, 0, 9_000).await;
        engine.sweep(Duration::ZERO).await.unwrap();
        is_there(&engine, 0, 9_000).await;
        support::delete(&engine, &[&key(0)]).await.unwrap();
        engine.collect().await.unwrap();
        engine.sweep(Duration::ZERO).await.unwrap();
        assert!(packs(&world).is_empty(), "{torn}: {:?}", packs(&world));
    }
}

mallee_store::store_test_suite!(the_check_knows_packs, what_cannot_be_seen_in_a_pack_stays_while_a_row_names_it);

async fn what_cannot_be_seen_in_a_pack_stays_while_a_row_names_it(db: TestDb) {
    // Nothing is seen of it; or the last three of its five records are.
    for (seen_from, gone) in [(5, &[0][..]), (2, &[0, 2, 3][..])] {
        for meta in [None, Some(Arc::new(StoreMetadata::new(db.open().await)))] {
            let mut world = World::new(Kind::Memory).await;
            if let Some(meta) = meta {
                world.meta = meta;
            }
            let engine = world.engine(Faults::none());
            engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
            for n in 0..5 {
                put(&engine, n, 9_000).await;
            }
            let path = pack_of(&world, &engine, 0).await;
            let good = fs::read(&path).unwrap();
            let record = (good.len() - 32) / 5;
            let mut bad = good.clone();
            bad[32..32 + seen_from * record].fill(0);
            fs::write(&path, &bad).unwrap();
            let engine = world.engine(Faults::none());
            for n in gone {
                support::delete(&engine, &[&key(*n)]).await.unwrap();
            }
            for _ in 0..2 {
                engine.collect().await.unwrap();
                assert!(fs::read(&path).unwrap() == bad, "collected with {gone:?} deleted");
                engine.sweep(Duration::ZERO).await.unwrap();
                assert!(fs::read(&path).unwrap() == bad, "swept with {gone:?} deleted");
            }
            // A disk that is mended brings it back.
            fs::write(&path, &good).unwrap();
            let engine = world.engine(Faults::none());
            is_there(&engine, 1, 9_000).await;
            is_there(&engine, 4, 9_000).await;
            // When no row names anything in there, it goes.
            fs::write(&path, &bad).unwrap();
            for n in (0..5).filter(|n| !gone.contains(n)) {
                support::delete(&engine, &[&key(n)]).await.unwrap();
            }
            engine.collect().await.unwrap();
            engine.sweep(Duration::ZERO).await.unwrap();
            assert!(packs(&world).is_empty(), "{:?}", packs(&world));
            engine.delete_bucket(BUCKET).await.unwrap();
        }
    }
}

async fn the_check_knows_packs(db: TestDb) {
    let store = db.open().await;
    let mut world = World::new(Kind::Memory).await;
    world.meta = Arc::new(StoreMetadata::new(store.clone()));
    let engine = world.engine(Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    for n in 0..4 {
        put(&engine, n, 7_000).await;
    }
    let path = pack_of(&world, &engine, 0).await;
    let checker = || Checker::new(store.clone(), world.blobs(Faults::none()), true);
    assert!(checker().check().await.unwrap().findings.is_empty());
    // A blob that lost its row gets it back.
    db.damage("DELETE FROM s3_blobs").await;
    let (first, left) = checker().repair().await.unwrap();
    assert_eq!(first.findings.iter().filter(|f| f.weight == Weight::Wrong).count(), 4, "{:#?}", first.findings);
    assert!(left.findings.is_empty(), "{:#?}", left.findings);
    // Damage is told with the names of the objects.
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    fs::write(&path, &bad).unwrap();
    let (_, left) = checker().repair().await.unwrap();
    let [finding] = left.findings.as_slice() else { panic!("{:#?}", left.findings) };
    assert!(finding.weight == Weight::Lost && finding.text.contains("bucket/k000"), "{finding}");
    // One in which nothing can be found any more is no leftover: a disk that is mended may bring it back.
    fs::write(&path, vec![0; good.len()]).unwrap();
    let (_, left) = checker().repair().await.unwrap();
    assert!(left.findings.len() == 4 && left.findings.iter().all(|f| f.weight == Weight::Lost), "{:#?}", left.findings);
    fs::write(&path, &good).unwrap();
    checker().repair().await.unwrap();
    // A pack of which nothing is in use is a leftover, and goes with the repair.
    let mut sink = world.engine(Faults::none()).sink();
    sink.write(support::bytes(1, 6_000)).await.unwrap();
    drop(sink.finish().await.unwrap());
    fs::write(path.with_file_name("README"), "x").unwrap();
    let (first, left) = checker().repair().await.unwrap();
    assert!(first.is_sound() && first.findings.len() == 2, "{:#?}", first.findings);
    assert_eq!(left.findings.len(), 1, "{:#?}", left.findings);
    assert_eq!(packs(&world).len(), 2, "the pack and the README");
    for n in 0..4 {
        is_there(&world.engine(Faults::none()), n, 7_000).await;
    }
}

/// A small file system in memory, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0).status());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_leaves_no_empty_packs() {
    let world = World::new(Kind::Memory).await;
    let at = tempfile::tempdir().unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
    let done = std::process::Command::new("mount").args(mount).arg(at.path()).status().unwrap();
    assert!(done.success(), "this test mounts a file system and must run as root");
    let _disk = SmallDisk(at.path());
    let engine = world.engine_at(at.path(), Faults::none());
    engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
    let (mut kept, mut refused) = (Vec::new(), 0);
    while refused < 20 {
        let n = kept.len() + refused;
        match support::put(&engine, &key(n), support::bytes(n as u64, 60_000), &Condition::None).await {
            Ok(()) => kept.push(n),
            Err(Error::Full(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(kept.len() > 40, "{}", kept.len());
    assert!(support::files(&at.path().join("packs")).len() <= kept.len());
    for n in &kept {
        is_there(&engine, *n, 60_000).await;
    }
    let names: Vec<String> = kept.iter().map(|n| key(*n)).collect();
    support::delete(&engine, &names.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
    engine.collect().await.unwrap();
    engine.sweep(Duration::ZERO).await.unwrap();
    assert!(support::files(at.path()).is_empty());
    put(&engine, 1, 60_000).await;
}
