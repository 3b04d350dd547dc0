//! Engines over temporary directories, with either metadata store.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use mallee_objects::memory::MemoryMetadata;
use mallee_objects::{
    Condition, Delete, Description, Engine, Error, FileBlobs, ListQuery, Metadata, Object, Part, StoreMetadata, Upload,
    UploadDoc, VersionName,
};
use mallee_runtime::{Clock, Faults, Rng};
use mallee_store::test_support::TestDb;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

pub const ACCOUNT: &str = "111111111111";
pub const BUCKET: &str = "bucket";
/// Packs are sealed early, so that there are some to compact.
pub const PACK_BYTES: u64 = 100_000;

/// Which metadata store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Sqlite,
    Postgres,
}

/// What survives an engine.
pub struct World {
    pub dir: TempDir,
    pub meta: Arc<dyn Metadata>,
    // Its file goes with it.
    _database: Option<TestDb>,
    seed: AtomicU64,
}

impl World {
    pub async fn new(kind: Kind) -> Self {
        let dir = TempDir::new().unwrap();
        let mut database = None;
        let meta: Arc<dyn Metadata> = match kind {
            Kind::Memory => Arc::new(MemoryMetadata::default()),
            Kind::Sqlite => {
                let db = TestDb::sqlite().await;
                // As the daemon has it: with what the database answers kept.
                let meta = mallee_objects::metadata_of(db.open().await);
                database = Some(db);
                meta
            }
            Kind::Postgres => Arc::new(StoreMetadata::new(TestDb::postgres().await.open().await)),
        };
        Self { dir, meta, _database: database, seed: AtomicU64::new(1) }
    }

    pub fn blobs_dir(&self) -> PathBuf {
        self.dir.path().join("objects")
    }

    pub fn blobs(&self, faults: Faults) -> FileBlobs {
        self.blobs_at(&self.blobs_dir(), faults)
    }

    fn blobs_at(&self, dir: &Path, faults: Faults) -> FileBlobs {
        let rng = Rng::seeded(self.seed.fetch_add(1, Ordering::Relaxed));
        FileBlobs::open(dir, Clock::system(), rng, faults).unwrap().with_pack_bytes(PACK_BYTES)
    }

    /// An engine, as a daemon makes it when it starts.
    pub fn engine(&self, faults: Faults) -> Engine {
        self.engine_at(&self.blobs_dir(), faults)
    }

    /// Another engine on the same directory, with metadata of its own.
    pub fn engine_over(&self, meta: Arc<dyn Metadata>, faults: Faults) -> Engine {
        let blobs = Arc::new(self.blobs(faults.clone()));
        let rng = Rng::seeded(2_000_000 + self.seed.fetch_add(1, Ordering::Relaxed));
        Engine::new(meta, blobs, Clock::system(), rng, faults)
    }

    pub fn engine_at(&self, dir: &Path, faults: Faults) -> Engine {
        let blobs = Arc::new(self.blobs_at(dir, faults.clone()));
        let rng = Rng::seeded(1_000_000 + self.seed.fetch_add(1, Ordering::Relaxed));
        Engine::new(Arc::clone(&self.meta), blobs, Clock::system(), rng, faults)
    }
}

/// Files under a directory that hold bytes of blobs, finished or not.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { out.push(path) }
        }
    }
    out
}

/// Bytes that differ for every seed and do not repeat.
pub fn bytes(seed: u64, len: usize) -> Bytes {
    let mut data = vec![0; len];
    Rng::seeded(seed).fill(&mut data);
    data.into()
}

pub async fn put(engine: &Engine, key: &str, data: Bytes, condition: &Condition) -> Result<(), Error> {
    let tag = format!("{:x}", data.len());
    write(engine, key, data, &tag, condition).await
}

pub async fn put_tagged(engine: &Engine, key: &str, data: Bytes, tag: &str) -> Result<(), Error> {
    write(engine, key, data, tag, &Condition::None).await
}

async fn write(engine: &Engine, key: &str, data: Bytes, tag: &str, condition: &Condition) -> Result<(), Error> {
    let mut sink = engine.sink();
    // In uneven pieces, as a network gives them.
    for piece in data.chunks(70_001) {
        sink.write(Bytes::copy_from_slice(piece)).await?;
    }
    let what =
        Description { bucket: BUCKET.to_owned(), key: key.to_owned(), etag: tag.to_owned(), ..Description::default() };
    engine.put_object(what, sink.finish().await?, condition).await.map(drop)
}

pub async fn copy(engine: &Engine, from: &str, to: &str) -> Result<(), Error> {
    let object = engine.object(BUCKET, from).await?;
    let what = Description {
        bucket: BUCKET.to_owned(),
        key: to.to_owned(),
        etag: object.info.etag.clone(),
        ..Description::default()
    };
    engine.copy_object(&object, what, &Condition::None).await.map(drop)
}

pub async fn read(engine: &Engine, object: &Object, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
    let mut reader = engine.read(object, offset, len).await?;
    let mut out = Vec::new();
    while let Some(data) = reader.next().await {
        out.extend_from_slice(&data?);
    }
    Ok(out)
}

/// The bytes under a key, or `None`.
pub async fn get(engine: &Engine, key: &str) -> Result<Option<Vec<u8>>, Error> {
    match engine.object(BUCKET, key).await {
        Ok(object) => read(engine, &object, 0, object.info.size).await.map(Some),
        Err(Error::NoObject) => Ok(None),
        Err(error) => Err(error),
    }
}

pub async fn start_upload(engine: &Engine, key: &str) -> Result<Upload, Error> {
    engine.create_upload(BUCKET, key, ACCOUNT, UploadDoc::default()).await
}

pub async fn put_part(engine: &Engine, upload: &Upload, number: u32, data: Bytes) -> Result<Part, Error> {
    let mut part = engine.part_sink();
    part.sink().write(data).await?;
    let stored = part.finish().await?;
    engine.put_part(&upload.id, number, "00".to_owned(), mallee_objects::Checksums::default(), stored).await
}

pub async fn complete(engine: &Engine, upload: &Upload, parts: Vec<Part>) -> Result<(), Error> {
    let sums = mallee_objects::Checksums::default();
    engine.complete_upload(upload, parts, "tag-1".to_owned(), sums, &Condition::None).await.map(drop)
}

/// Deletes keys.
pub async fn delete(engine: &Engine, keys: &[&str]) -> Result<(), Error> {
    engine.delete_objects(BUCKET, keys.iter().map(|key| Delete::key(*key)).collect()).await.map(drop)
}

/// Removes every version, upload and image, and their bytes.
pub async fn clear(engine: &Engine) {
    let query = ListQuery { limit: 1000, ..Default::default() };
    let page = engine.list_versions(BUCKET, &query, None).await.unwrap();
    let all = page.items.into_iter().map(|row| {
        let version = VersionName::parse(&row.version.to_string());
        assert!(version.is_some());
        Delete::of(row.listed.key, version)
    });
    engine.delete_objects(BUCKET, all.collect()).await.unwrap();
    for upload in engine.list_uploads(BUCKET, &query, "").await.unwrap().items {
        engine.abort_upload(&upload.id).await.unwrap();
    }
    let images = mallee_objects::images::ImageStore::new(engine.clone());
    for image in images.list("", 1000).await.unwrap() {
        for holder in &image.holders {
            images.release(&image.digest, holder).await.unwrap();
        }
    }
    assert_eq!(engine.usage(BUCKET).await.unwrap(), mallee_objects::Usage::default());
    collect(engine).await;
}

/// Deletes all garbage, also what could not be deleted a moment ago, and the open pack if nothing of it is in use.
pub async fn collect(engine: &Engine) {
    engine.clock().shift_ms(1000 + i64::try_from(mallee_objects::COLLECT_RETRY.as_millis()).unwrap());
    engine.collect().await.unwrap();
    engine.sweep(std::time::Duration::ZERO).await.unwrap();
}
