//! Small blobs, many in one file: `DIR/packs/ab/<pack>`. One writer appends to the open pack until it is full; after a
//! restart a new one is begun, and no older one is ever appended to. Of deleted blobs the room comes back by compaction.

mod append;
mod compact;
mod dead;
mod file;
mod format;

use append::ENTRIES_MAX;
pub use format::PackId;

use super::file_reader::{Patience, cut, damaged, length};
use super::files::{blocking, sync_dir};
use super::format::BLOCK_BYTES;
use super::unsynced::Unsynced;
use super::{BlobId, BlobReader, READ_STEP_BYTES};
use crate::error::Error;
use append::{OpenPack, Waiting};
use bytes::Bytes;
use dead::Dead;
use file::PackFile;
use format::Entry;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mallee_runtime::{Faults, Rng};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Bytes after which a pack is sealed.
pub const PACK_BYTES: u64 = 64 << 20;
/// Packs kept open for reading.
const FILES_MAX: u64 = 256;

/// All packs of a directory.
#[derive(Debug)]
pub(super) struct Packs {
    root: Arc<Path>,
    rng: Rng,
    faults: Faults,
    /// Bytes after which a pack is sealed.
    seal_bytes: AtomicU64,
    unsynced: Arc<Unsynced>,
    waiting: Mutex<Waiting>,
    open: tokio::sync::Mutex<Option<OpenPack>>,
    compacting: tokio::sync::Mutex<()>,
    dead: Mutex<Dead>,
    files: moka::sync::Cache<PackId, Arc<PackFile>>,
    /// How often the file of a pack was replaced or removed: what was opened before is not kept then.
    changes: Mutex<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Packs {
    /// Below `root`, whose directories it makes where they are not there.
    pub(super) fn open(
        root: Arc<Path>,
        shards: usize,
        rng: Rng,
        faults: Faults,
        unsynced: Arc<Unsynced>,
    ) -> Result<Self, Error> {
        let packs = root.join("packs");
        for shard in 0..shards {
            let dir = packs.join(format!("{shard:02x}"));
            fs::create_dir_all(&dir)
                .map_err(|e| Error::io(format!("cannot make the directory {}", dir.display()), e))?;
        }
        sync_dir(&packs)?;
        Ok(Self {
            root,
            rng,
            faults,
            seal_bytes: AtomicU64::new(PACK_BYTES),
            unsynced,
            waiting: Mutex::default(),
            open: tokio::sync::Mutex::default(),
            compacting: tokio::sync::Mutex::default(),
            dead: Mutex::default(),
            files: moka::sync::Cache::new(FILES_MAX),
            changes: Mutex::default(),
        })
    }

    /// Seals packs that have so many bytes.
    pub(super) fn seal_at(&self, bytes: u64) {
        self.seal_bytes.store(bytes.min(PACK_BYTES), Ordering::Relaxed);
    }

    fn dir(&self, pack: PackId) -> PathBuf {
        self.root.join("packs").join(pack.to_string().get(..2).unwrap_or_default())
    }

    /// The file of a pack.
    pub(super) fn path(&self, pack: PackId) -> PathBuf {
        self.dir(pack).join(pack.to_string())
    }

    /// A fresh name among the unfinished writes, which the next start deletes.
    fn tmp_path(&self) -> PathBuf {
        self.root.join("tmp").join(BlobId::from_random(self.rng.u128()).as_str())
    }

    fn dead(&self) -> MutexGuard<'_, Dead> {
        lock(&self.dead)
    }

    /// The file of a pack was replaced or removed.
    fn changed(&self, pack: PackId) {
        let mut changes = lock(&self.changes);
        *changes += 1;
        self.files.invalidate(&pack);
        // The cache lets go of what it gave up at its own time: until then the room of a removed file is not free.
        self.files.run_pending_tasks();
    }

    /// Opens a pack for reading; blocking.
    fn file(&self, pack: PackId) -> Result<Arc<PackFile>, Error> {
        let before = *lock(&self.changes);
        let file = Arc::new(PackFile::open(&self.path(pack), pack)?);
        let changes = lock(&self.changes);
        if *changes == before {
            self.files.insert(pack, Arc::clone(&file));
        }
        Ok(file)
    }

    /// Reads a record, as [`super::BlobStore::open`] does.
    pub(super) async fn read(
        self: &Arc<Self>,
        pack: PackId,
        name: u32,
        size: u64,
    ) -> Result<Box<dyn BlobReader>, Error> {
        let kept = self.files.get(&pack);
        if let Some(file) = &kept
            && let Some(reader) = file.read(name, size, Patience::None)?
        {
            return Ok(Box::new(reader));
        }
        let this = Arc::clone(self);
        let reader = blocking(move || {
            let file = match kept {
                Some(file) => file,
                None => this.file(pack)?,
            };
            let would_block = || Error::io(format!("cannot read pack {pack}"), ErrorKind::WouldBlock.into());
            file.read(name, size, Patience::Any)?.ok_or_else(would_block)
        })
        .await?;
        Ok(Box::new(reader))
    }

    /// A blob is not in use any more. Its bytes stay until the pack is compacted.
    pub(super) fn delete(&self, id: &BlobId) {
        if let Some((pack, name)) = id.place() {
            self.dead().note(pack, name);
        }
    }

    /// Names of the packs of a shard, and the paths of files that are none.
    pub(super) async fn names(&self, shard: usize) -> Result<(Vec<PackId>, Vec<String>), Error> {
        let dir = self.root.join("packs").join(format!("{shard:02x}"));
        blocking(move || {
            let failed = |e| Error::io(format!("cannot read {}", dir.display()), e);
            let (mut packs, mut foreign) = (Vec::new(), Vec::new());
            for entry in fs::read_dir(&dir).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                match entry.file_name().to_str().and_then(PackId::parse) {
                    Some(pack) => packs.push(pack),
                    None => foreign.push(entry.path().display().to_string()),
                }
            }
            packs.sort_unstable();
            Ok((packs, foreign))
        })
        .await
    }

    /// Blobs of a shard that lie in packs last written to at least `age` before `now`, and are not deleted. A pack of that
    /// age without any is going to be removed by the next [`Packs::compact`].
    pub(super) async fn list(&self, shard: usize, age: Duration, now: SystemTime) -> Result<Vec<BlobId>, Error> {
        let mut found = Vec::new();
        for pack in self.names(shard).await?.0 {
            let written = match self.written(pack).await {
                Err(Error::Gone) => continue,
                other => other?,
            };
            if now.duration_since(written).is_ok_and(|old| old >= age) {
                match self.in_use(pack).await {
                    Ok(ids) => found.extend(ids),
                    Err(Error::Gone) => {}
                    Err(error) => tracing::warn!(%pack, %error, "the sweep passes over a pack that it cannot read"),
                }
            }
        }
        Ok(found)
    }

    /// When a pack was last written to.
    async fn written(&self, pack: PackId) -> Result<SystemTime, Error> {
        let path = self.path(pack);
        blocking(move || {
            fs::metadata(&path).and_then(|stat| stat.modified()).map_err(|e| match e.kind() {
                ErrorKind::NotFound => Error::Gone,
                _ => Error::io(format!("cannot stat {}", path.display()), e),
            })
        })
        .await
    }

    /// What of a pack was not deleted (also places where the head of a record may have been). If that is nothing, the pack is
    /// sealed and will go.
    async fn in_use(&self, pack: PackId) -> Result<Vec<BlobId>, Error> {
        let alive = |entries: &[Entry]| -> Vec<BlobId> {
            let dead = self.dead();
            let alive = entries.iter().filter(|entry| !dead.is_dead(pack, entry.name));
            alive.map(|entry| BlobId::packed(pack, entry.name)).collect()
        };
        let mut open = self.open.lock().await;
        if let Some(written) = open.as_mut().filter(|open| open.pack == pack) {
            let ids = alive(&written.entries);
            if ids.is_empty() {
                self.seal(written);
                *open = None;
                self.dead().look_at(pack);
            }
            return Ok(ids);
        }
        drop(open);
        let path = self.path(pack);
        let contents = blocking(move || PackFile::open(&path, pack)?.contents()).await?;
        let ids = alive(&contents.entries);
        // The sweep is who asks about what cannot be seen.
        if ids.is_empty() || contents.unseen().next().is_some() {
            self.dead().look_at(pack);
        }
        Ok(ids)
    }
}

/// A blob of a pack, in memory and verified.
#[derive(Debug)]
pub(super) struct PackedReader {
    size: u64,
    blocks: Vec<Bytes>,
}

impl PackedReader {
    const fn new(size: u64, blocks: Vec<Bytes>) -> Self {
        Self { size, blocks }
    }
}

impl BlobReader for PackedReader {
    fn read(&self, offset: u64, len: u64) -> BoxFuture<'static, Result<Bytes, Error>> {
        let block = usize::try_from(offset / BLOCK_BYTES as u64).ok().and_then(|number| self.blocks.get(number));
        let found = match block {
            Some(block) if offset < self.size && len > 0 => {
                let from = length(offset % BLOCK_BYTES as u64);
                Ok(cut(block.slice(from..), len.min(READ_STEP_BYTES as u64)))
            }
            _ => Err(damaged(Path::new("a pack"), format_args!("read at {offset} of {}", self.size))),
        };
        futures::future::ready(found).boxed()
    }
}
