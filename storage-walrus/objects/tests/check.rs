//! The check: each kind of mistake is found and told, and mended where that loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mallee_objects::check::{Checker, Report, Weight};
use mallee_objects::{Content, Engine, Error, StoreMetadata, Versioning};
use mallee_runtime::Faults;
use mallee_store::Store;
use mallee_store::test_support::TestDb;
use std::sync::Arc;
use support::{ACCOUNT, BUCKET, Kind, World};

mallee_store::store_test_suite!(rows, counters_and_references, files);

struct Scene {
    world: World,
    db: TestDb,
    store: Store,
    engine: Engine,
}

impl Scene {
    /// A bucket with an inline object, a blob, one shared by a copy, one in parts with versions, and an upload.
    async fn new(db: TestDb) -> Self {
        let store = db.open().await;
        let mut world = World::new(Kind::Memory).await;
        world.meta = Arc::new(StoreMetadata::new(store.clone()));
        let engine = world.engine(Faults::none());
        engine.create_bucket(BUCKET, ACCOUNT, "r").await.unwrap();
        put(&engine, "inline", 100).await;
        put(&engine, "blob", 290_000).await;
        support::copy(&engine, "blob", "copy").await.unwrap();
        engine.set_versioning(BUCKET, Versioning::Enabled).await.unwrap();
        let upload = support::start_upload(&engine, "parts").await.unwrap();
        let one = support::put_part(&engine, &upload, 1, support::bytes(1, 300_000)).await.unwrap();
        let two = support::put_part(&engine, &upload, 2, support::bytes(2, 7_000)).await.unwrap();
        support::complete(&engine, &upload, vec![one, two]).await.unwrap();
        put(&engine, "parts", 8_000).await;
        support::delete(&engine, &["parts"]).await.unwrap();
        let upload = support::start_upload(&engine, "under-way").await.unwrap();
        support::put_part(&engine, &upload, 1, support::bytes(3, 6_000)).await.unwrap();
        Self { world, db, store, engine }
    }

    fn checker(&self, every_byte: bool) -> Checker {
        Checker::new(self.store.clone(), self.world.blobs(Faults::none()), every_byte)
    }

    async fn check(&self) -> Report {
        self.checker(true).check().await.unwrap()
    }

    /// Finds exactly something of this weight that is told in these words, and after a repair nothing.
    async fn mends(&self, weight: Weight, words: &str) {
        let (first, left) = self.checker(true).repair().await.unwrap();
        assert!(told(&first, weight, words), "{words}: {:#?}", first.findings);
        assert!(left.findings.is_empty(), "{words}: {:#?}", left.findings);
    }

    /// Finds it, and goes on finding it.
    async fn loses(&self, words: &str) {
        let (first, left) = self.checker(true).repair().await.unwrap();
        for report in [first, left] {
            assert!(told(&report, Weight::Lost, words) && !report.is_sound(), "{words}: {:#?}", report.findings);
        }
    }
}

fn told(report: &Report, weight: Weight, words: &str) -> bool {
    report.findings.iter().any(|finding| finding.weight == weight && finding.text.contains(words))
}

async fn put(engine: &Engine, key: &str, len: usize) {
    support::put(engine, key, support::bytes(len as u64, len), &mallee_objects::Condition::None).await.unwrap();
}

async fn rows(db: TestDb) {
    let scene = Scene::new(db).await;
    let report = scene.check().await;
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!((report.blobs, report.bytes), (5, 290_000 + 300_000 + 7_000 + 8_000 + 6_000));

    scene.db.damage("UPDATE s3_versions SET latest = NOT latest WHERE size_bytes = 8000").await;
    scene.mends(Weight::Wrong, "bucket/parts, version ").await;
    assert!(matches!(support::get(&scene.engine, "parts").await, Ok(None)), "the marker is the newest again");
    scene.db.damage("UPDATE s3_pieces SET write_id = 'x' WHERE part_number = 2").await;
    scene.mends_pieces().await;
}

impl Scene {
    /// The piece goes with what belongs to no version; the object that lacks it is lost.
    async fn mends_pieces(&self) {
        let (first, left) = self.checker(true).repair().await.unwrap();
        assert!(told(&first, Weight::Wrong, "the pieces of write x belong to no version"), "{:#?}", first.findings);
        assert!(!told(&left, Weight::Wrong, ""), "{:#?}", left.findings);
        self.loses("bucket/parts: 1 pieces of 300000 bytes, where it should have 2 of 307000").await;
    }
}

async fn counters_and_references(db: TestDb) {
    let scene = Scene::new(db).await;
    let usage = scene.engine.usage(BUCKET).await.unwrap();
    scene.db.damage("UPDATE s3_usage SET bytes = bytes + 1, part_bytes = 0").await;
    scene.mends(Weight::Wrong, "the counters of bucket bucket").await;
    assert_eq!(scene.engine.usage(BUCKET).await.unwrap(), usage);
    scene.db.damage("DELETE FROM s3_usage").await;
    scene.mends(Weight::Wrong, "the counters of bucket bucket").await;
    assert_eq!(scene.engine.usage(BUCKET).await.unwrap(), usage);

    scene.db.damage("UPDATE s3_blobs SET refs = 1 WHERE refs = 2").await;
    scene.mends(Weight::Wrong, "says 1 references, and has 2").await;
    scene.db.damage("DELETE FROM s3_blobs WHERE size_bytes = 290000").await;
    scene
        .mends(Weight::Wrong, "has no row, and its file is there; it holds bytes of bucket/blob and bucket/copy")
        .await;
    assert!(support::get(&scene.engine, "copy").await.unwrap().is_some());
    scene
        .db
        .damage("INSERT INTO s3_garbage SELECT id, size_bytes, 1, 1, 0 FROM s3_blobs WHERE size_bytes = 290000")
        .await;
    scene.mends(Weight::Wrong, "is in use, and noted as garbage").await;
    assert_eq!(scene.engine.collect().await.unwrap(), 0);
    scene.db.damage("UPDATE s3_versions SET blob_id = NULL WHERE size_bytes = 8000").await;
    scene.loses("it has not exactly one place of its bytes").await;
    // Its blob went with the repair: nothing refers to it.
    assert!(scene.check().await.findings.iter().all(|f| f.weight == Weight::Lost));
}

async fn files(db: TestDb) {
    let scene = Scene::new(db).await;
    let blobs = scene.world.blobs(Faults::none());
    let Content::Blob(id) = scene.engine.object(BUCKET, "blob").await.unwrap().content else { panic!("not a blob") };
    let path = blobs.path(&id);
    let good = std::fs::read(&path).unwrap();

    let shard = scene.world.blobs_dir().join("blobs/ab");
    std::fs::write(shard.join("README"), "x").unwrap();
    let report = scene.check().await;
    assert!(told(&report, Weight::Leftover, "README is none of ours") && report.is_sound(), "{:#?}", report.findings);
    std::fs::remove_file(shard.join("README")).unwrap();
    let orphan = format!("ab{}", "0".repeat(30));
    std::fs::write(shard.join(&orphan), "x").unwrap();
    std::fs::write(scene.world.blobs_dir().join("tmp").join(&orphan), "x").unwrap();
    assert!(scene.check().await.is_sound());
    scene.mends(Weight::Leftover, "is of a write that was never committed").await;
    put(&scene.engine, "gone", 280_000).await;
    scene.engine.set_versioning(BUCKET, Versioning::Suspended).await.unwrap();
    let found = scene.engine.object(BUCKET, "gone").await.unwrap();
    let version = mallee_objects::VersionName::parse(&found.info.version.to_string());
    scene.engine.delete_objects(BUCKET, vec![mallee_objects::Delete::of("gone", version)]).await.unwrap();
    let report = scene.check().await;
    assert!(told(&report, Weight::Leftover, "waits to be deleted") && report.is_sound(), "{:#?}", report.findings);
    assert_eq!(scene.engine.collect().await.unwrap(), 1);

    // A bit in the middle: only whoever reads every byte sees it.
    let mut bad = good.clone();
    bad[77] ^= 8;
    std::fs::write(&path, &bad).unwrap();
    scene.loses("block 0 does not match its checksum; it holds bytes of bucket/blob and bucket/copy").await;
    assert!(matches!(support::get(&scene.engine, "blob").await, Err(Error::Corrupt(_))));
    std::fs::write(&path, &good[..good.len() - 1]).unwrap();
    scene.loses("bytes long, expected").await;
    std::fs::remove_file(&path).unwrap();
    scene.loses("its file is not there").await;
    std::fs::write(&path, &good).unwrap();
    scene.mends(Weight::Leftover, "was noted as damaged, and is not any more").await;

    let flipped = match scene.db.is_postgres() {
        true => {
            "UPDATE s3_versions SET inline = set_byte(inline, 50, 255 - get_byte(inline, 50)) WHERE inline IS NOT NULL"
        }
        false => "UPDATE s3_versions SET inline = zeroblob(length(inline)) WHERE inline IS NOT NULL",
    };
    scene.db.damage(flipped).await;
    scene.loses("bucket/inline: the bytes in its row do not match their checksum").await;
}
