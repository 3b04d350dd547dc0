//! Blobs in a directory. Small ones lie in packs (`pack`); larger ones are files, `DIR/blobs/ab/<id>`, written as
//! `DIR/tmp/<id>` and renamed when durable.

use super::file_reader::FileReader;
use super::file_writer::{FileWriter, can_pass_cache};
use super::owner::must_own;
use super::pack::{PackId, Packs};
use super::small_writer::SmallWriter;
use super::threads;
use super::unsynced::Unsynced;
use super::{BlobId, BlobReader, BlobStore, BlobWriter, Level};
use crate::error::Error;
use crate::metadata::Metadata;
use mallee_runtime::{Clock, Faults, Rng};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Directories that blobs are spread over (the first byte of their id).
const SHARDS: usize = 256;

/// Blobs in a directory. One process may use a directory at a time (the daemon holds a lock on it).
#[derive(Debug, Clone)]
pub struct FileBlobs {
    root: Arc<Path>,
    clock: Clock,
    rng: Rng,
    faults: Faults,
    /// Bytes that stay free on the disk.
    reserve: u64,
    /// The database whose blobs they are, if it is known.
    owner: Option<Arc<str>>,
    packs: Arc<Packs>,
    unsynced: Arc<Unsynced>,
    passes_cache: bool,
}

/// Where a repair puts files that nothing refers to, below the directory.
const LOST_AND_FOUND: &str = "lost+found";

/// Bytes that stay free on the disk of the blobs: deletions, the database's log and the system itself need some.
pub const RESERVE_BYTES: u64 = 64 << 20;

/// Runs blocking work; a panic reads as an I/O error.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    threads::start(work).done().await
}

/// The blob whose file has this name, if it is one's.
fn file_id(name: &str) -> Option<BlobId> {
    BlobId::parse(name).filter(|id| id.place().is_none())
}

/// Makes entries of a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    fs::File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io(format!("sync of {}", dir.display()), e))
}

impl FileBlobs {
    /// Opens, and makes if needed, the directories under `root`.
    ///
    /// # Errors
    /// When a directory cannot be made or synced.
    pub fn open(root: &Path, clock: Clock, rng: Rng, faults: Faults) -> Result<Self, Error> {
        let make = |dir: &Path| {
            fs::create_dir_all(dir).map_err(|e| Error::io(format!("cannot make the directory {}", dir.display()), e))
        };
        let blobs = root.join("blobs");
        make(&root.join("tmp"))?;
        for shard in 0..SHARDS {
            make(&blobs.join(format!("{shard:02x}")))?;
        }
        sync_dir(&blobs)?;
        let unsynced = Arc::<Unsynced>::default();
        let packs = Packs::open(root.into(), SHARDS, rng.clone(), faults.clone(), Arc::clone(&unsynced))?;
        sync_dir(root)?;
        // It may have been made just now: a name is durable when the directory it stands in is.
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        let probe = root.join("tmp").join(BlobId::from_random(rng.u128()).as_str());
        let passes_cache = can_pass_cache(&probe)
            .inspect_err(
                |error| tracing::info!(root = %root.display(), %error, "files are written through the page cache"),
            )
            .is_ok();
        let (root, packs) = (root.into(), Arc::new(packs));
        Ok(Self { root, clock, rng, faults, reserve: 0, owner: None, packs, unsynced, passes_cache })
    }

    /// Seals packs that have so many bytes, if these are fewer than [`super::PACK_BYTES`].
    #[must_use]
    pub fn with_pack_bytes(self, bytes: u64) -> Self {
        self.packs.seal_at(bytes);
        self
    }

    /// Takes no new bytes while fewer than these are free on the disk.
    #[must_use]
    pub fn with_reserve(self, bytes: u64) -> Self {
        Self { reserve: bytes, ..self }
    }

    /// Of the database that the directory names so: asked again before anything is taken for garbage.
    #[must_use]
    pub fn owned_by(self, owner: &str) -> Self {
        Self { owner: Some(owner.into()), ..self }
    }

    /// Moves the file of a blob to `lost+found`, where nothing reads or deletes it; one that is not there is no error.
    pub(crate) async fn set_aside(&self, id: &BlobId) -> Result<(), Error> {
        self.move_aside(self.path(id), id.as_str()).await
    }

    async fn move_aside(&self, path: PathBuf, name: &str) -> Result<(), Error> {
        self.must_own().await?;
        let dir = self.root.join(LOST_AND_FOUND);
        let to = dir.join(name);
        blocking(move || {
            let failed = |e| Error::io(format!("cannot move {} to {}", path.display(), dir.display()), e);
            fs::create_dir_all(&dir).map_err(failed)?;
            match fs::rename(&path, &to) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(e)),
                _ => sync_dir(&dir),
            }
        })
        .await
    }

    /// [`Error::Full`] when there is no room but the reserve.
    pub(super) fn check_room(&self) -> Result<(), Error> {
        if self.reserve == 0 {
            return Ok(());
        }
        let root = &*self.root;
        let stat = nix::sys::statvfs::statvfs(root)
            .map_err(|e| Error::io(format!("cannot ask for the room on {}", root.display()), e.into()))?;
        if stat.blocks_available().saturating_mul(stat.fragment_size()) < self.reserve {
            return Err(Error::Full(root.display().to_string()));
        }
        Ok(())
    }

    pub(super) fn shard_dir(&self, id: &BlobId) -> PathBuf {
        self.root.join("blobs").join(&id.as_str()[..2])
    }

    /// The file that holds a blob, alone or with others (tests and repair tools look at it; nothing else should).
    #[must_use]
    pub fn path(&self, id: &BlobId) -> PathBuf {
        id.place().map_or_else(|| self.shard_dir(id).join(id.as_str()), |(pack, _)| self.packs.path(pack))
    }

    pub(super) fn fresh_id(&self) -> BlobId {
        BlobId::from_random(self.rng.u128())
    }

    /// Whether its file system takes bytes past the page cache.
    pub(super) const fn passes_cache(&self) -> bool {
        self.passes_cache
    }

    pub(super) const fn unsynced(&self) -> &Arc<Unsynced> {
        &self.unsynced
    }

    pub(super) const fn packs(&self) -> &Arc<Packs> {
        &self.packs
    }

    /// The packs of a shard, and the paths of files that are none.
    pub(crate) async fn pack_names(&self, shard: usize) -> Result<(Vec<PackId>, Vec<String>), Error> {
        self.packs.names(shard).await
    }

    /// As [`FileBlobs::set_aside`], a pack with whatever is in it.
    pub(crate) async fn set_pack_aside(&self, pack: PackId) -> Result<(), Error> {
        self.move_aside(self.packs.path(pack), &pack.to_string()).await?;
        // What is known of it goes too.
        self.packs.remove(pack).await
    }

    pub(super) fn tmp_path(&self, id: &BlobId) -> PathBuf {
        self.root.join("tmp").join(id.as_str())
    }

    /// What lies in a shard, of whatever age: ids of blobs, and the paths of files that are none.
    pub(crate) async fn names(&self, shard: usize) -> Result<(Vec<String>, Vec<String>), Error> {
        let dir = self.root.join("blobs").join(format!("{shard:02x}"));
        blocking(move || {
            let failed = |e| Error::io(format!("cannot read {}", dir.display()), e);
            let (mut ids, mut foreign) = (Vec::new(), Vec::new());
            for entry in fs::read_dir(&dir).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                match entry.file_name().to_str() {
                    Some(name) if file_id(name).is_some() => ids.push(name.to_owned()),
                    _ => foreign.push(entry.path().display().to_string()),
                }
            }
            Ok((ids, foreign))
        })
        .await
    }

    /// How many unfinished writes an earlier process left; only while nothing else writes.
    pub(crate) async fn unfinished(&self) -> Result<usize, Error> {
        let dir = self.root.join("tmp");
        blocking(move || {
            let entries = fs::read_dir(&dir).map_err(|e| Error::io(format!("cannot read {}", dir.display()), e))?;
            Ok(entries.count())
        })
        .await
    }

    pub(super) const fn faults(&self) -> &Faults {
        &self.faults
    }
}

#[async_trait::async_trait]
impl BlobStore for FileBlobs {
    async fn create(&self, level: Level) -> Result<Box<dyn BlobWriter>, Error> {
        self.faults.point("walrus.put.create").await?;
        self.check_room()?;
        Ok(Box::new(SmallWriter::new(self.clone(), level)))
    }

    async fn create_large(&self, level: Level) -> Result<Box<dyn BlobWriter>, Error> {
        self.faults.point("walrus.put.create").await?;
        self.check_room()?;
        Ok(Box::new(FileWriter::new(self.clone(), self.fresh_id(), level)))
    }

    fn room(&self) -> Result<(), Error> {
        self.check_room()
    }

    async fn open(&self, id: &BlobId, size: u64) -> Result<Box<dyn BlobReader>, Error> {
        match id.place() {
            Some((pack, name)) => self.packs.read(pack, name, size).await,
            None => Ok(Box::new(FileReader::open(self.path(id), size).await?)),
        }
    }

    async fn delete(&self, id: &BlobId) -> Result<(), Error> {
        self.faults.point("walrus.gc.unlink").await?;
        if id.place().is_some() {
            self.packs.delete(id);
            return Ok(());
        }
        let path = self.path(id);
        // The unlink itself need not be durable: a file that comes back after a power failure has no row and is swept.
        blocking(move || match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(format!("cannot delete {}", path.display()), e)),
            _ => Ok(()),
        })
        .await
    }

    async fn list(&self, shard: usize, age: Duration) -> Result<Vec<BlobId>, Error> {
        let dir = self.root.join("blobs").join(format!("{shard:02x}"));
        let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(self.clock.now_ms()).unwrap_or_default());
        let mut packed = self.packs.list(shard, age, now).await?;
        let mut found = blocking(move || {
            let failed = |e| Error::io(format!("cannot list {}", dir.display()), e);
            let mut found = Vec::new();
            for entry in fs::read_dir(&dir).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                // Files that are not ours are left alone.
                let Some(id) = entry.file_name().to_str().and_then(file_id) else { continue };
                let written = match entry.metadata().and_then(|m| m.modified()) {
                    Ok(written) => written,
                    Err(e) if e.kind() == ErrorKind::NotFound => continue,
                    Err(e) => return Err(failed(e)),
                };
                // A file from the future (clock set back) is young.
                if now.duration_since(written).is_ok_and(|old| old >= age) {
                    found.push(id);
                }
            }
            Ok(found)
        })
        .await?;
        found.append(&mut packed);
        Ok(found)
    }

    async fn flush(&self) -> Result<(), Error> {
        self.unsynced.flush().await
    }

    async fn compact(&self, rows: Option<&dyn Metadata>) -> Result<bool, Error> {
        self.packs.compact(rows).await
    }

    async fn must_own(&self) -> Result<(), Error> {
        let Some(owner) = self.owner.clone() else { return Ok(()) };
        let root = Arc::clone(&self.root);
        blocking(move || must_own(&root, &owner)).await
    }

    fn shards(&self) -> usize {
        SHARDS
    }

    async fn discard_unfinished(&self) -> Result<u64, Error> {
        let dir = self.root.join("tmp");
        blocking(move || {
            let failed = |e| Error::io(format!("cannot clean {}", dir.display()), e);
            let mut gone = 0;
            for entry in fs::read_dir(&dir).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if entry.file_name().to_str().and_then(BlobId::parse).is_some() {
                    fs::remove_file(entry.path()).map_err(failed)?;
                    gone += 1;
                }
            }
            Ok(gone)
        })
        .await
    }
}
