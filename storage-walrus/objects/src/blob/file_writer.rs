//! Writing one blob file. Bytes are gathered to full steps, as they came and without a copy; one step is on its way to the
//! kernel while the next one fills. The checksums of the blocks are computed where the bytes are written.

use super::files::{FileBlobs, blocking, sync_dir};
use super::format::{BlockSums, footer};
use super::threads::{self, Pending};
use super::{BlobId, BlobWriter, Level, PIECE_BYTES, WRITE_BYTES, WRITE_STEP_BYTES};
use crate::error::Error;
use bytes::Bytes;
use mallee_runtime::{Share, Sharer, Struck};
use std::fs::{self, File};
use std::io::{IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pieces of one step, and slices of one call (the kernel takes 1,024).
const SLICES_MAX: usize = 256;
/// Whether there is room on the disk is asked after so many bytes.
const ROOM_STEP_BYTES: usize = 256 * 1024;
/// Smaller pieces are copied, so that they do not hold the larger buffer that they are part of.
pub(super) const SMALL_BYTES: usize = 16 * 1024;

/// Uploads under way.
static UPLOADS: Share = Share::new();

/// Removes the temporary file when the write does not end well.
#[derive(Debug)]
pub(super) struct Temporary(pub(super) Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a temporary file stays; the next start removes it");
        }
    }
}

/// What goes to the blocking pool and comes back.
#[derive(Debug)]
struct Open {
    /// Made with the first bytes, by the thread that writes them.
    file: Option<File>,
    path: PathBuf,
    sums: BlockSums,
}

impl Open {
    /// Adds bytes behind the others.
    fn append(&mut self, data: &[Bytes]) -> Result<(), Error> {
        data.iter().for_each(|piece| self.sums.update(piece));
        self.write(data)
    }

    /// Adds the last bytes, and the footer.
    fn end(&mut self, mut data: Vec<Bytes>) -> Result<(), Error> {
        data.iter().for_each(|piece| self.sums.update(piece));
        let (size, crcs) = std::mem::take(&mut self.sums).finish();
        data.push(footer(size, &crcs).into());
        self.write(&data)
    }

    fn write(&mut self, data: &[Bytes]) -> Result<(), Error> {
        let failed = |what: &str, e| Error::io(format!("cannot {what} {}", self.path.display()), e);
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let made = File::options().write(true).create_new(true).open(&self.path);
                self.file.insert(made.map_err(|e| failed("create", e))?)
            }
        };
        write_all(file, data).map_err(|e| failed("write", e))
    }
}

/// Why blocking work ended.
#[derive(Debug)]
enum Halt {
    Failed(Error),
    /// By a test, which stops the process dead.
    Killed,
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Struck> for Halt {
    fn from(struck: Struck) -> Self {
        match struck {
            Struck::Failed(fault) => Self::Failed(fault.into()),
            Struck::Killed => Self::Killed,
        }
    }
}

/// The end of a write, in one piece: each hand-over to another thread costs as much as a call to the kernel.
struct Ending {
    blobs: FileBlobs,
    id: BlobId,
    level: Level,
    open: Open,
    rest: Vec<Bytes>,
}

impl Ending {
    /// Writes the rest and the footer, syncs, gives the file its name, and syncs that. The file is removed with the
    /// temporary that comes back, unless whoever gets it takes its path out.
    fn run(mut self, mut temporary: Temporary) -> Result<Temporary, Halt> {
        let faults = self.blobs.faults();
        let (tmp, path) = (self.blobs.tmp_path(&self.id), self.blobs.path(&self.id));
        let failed = |what: &str, path: &Path, e| Error::io(format!("{what} {}", path.display()), e);
        self.open.end(self.rest)?;
        let file = self.open.file.take().map(Arc::new);
        let sync = || file.as_ref().map_or(Ok(()), |file| file.sync_data()).map_err(|e| failed("sync of", &tmp, e));
        if self.level == Level::Strict {
            sync()?;
        }
        faults.pass("walrus.put.rename")?;
        fs::rename(&tmp, &path).map_err(|e| failed("cannot rename to", &path, e))?;
        // From here the file has its final name: an error must remove it there.
        temporary.0 = Some(path.clone());
        faults.pass("walrus.put.dirsync")?;
        let noted = || file.as_ref().is_some_and(|file| self.blobs.unsynced().note(&path, file));
        match self.level {
            Level::Strict => sync_dir(&self.blobs.shard_dir(&self.id))?,
            Level::Relaxed if noted() => {}
            Level::Relaxed => {
                sync()?;
                sync_dir(&self.blobs.shard_dir(&self.id))?;
            }
        }
        Ok(temporary)
    }
}

/// Writes pieces with as few calls as can be.
pub(super) fn write_all(file: &mut impl Write, data: &[Bytes]) -> std::io::Result<()> {
    for some in data.chunks(SLICES_MAX) {
        let mut slices: Vec<_> =
            some.iter().filter(|piece| !piece.is_empty()).map(|piece| IoSlice::new(piece)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one for each upload under way")]
enum State {
    Idle(Open),
    Busy(Pending<Open>),
    /// A step failed; nothing more is taken, and above all no sync is tried again.
    Failed,
}

/// A blob file being written.
#[derive(Debug)]
pub(super) struct FileWriter {
    blobs: FileBlobs,
    id: BlobId,
    level: Level,
    state: State,
    /// Pieces of the step that fills, and their bytes.
    held: Vec<Bytes>,
    held_bytes: usize,
    /// Bytes written since there was room for more.
    unchecked: usize,
    temporary: Temporary,
    share: Sharer,
}

impl FileWriter {
    /// Nothing is there before the first bytes are written.
    pub(super) fn new(blobs: FileBlobs, id: BlobId, level: Level) -> Self {
        let path = blobs.tmp_path(&id);
        let temporary = Temporary(Some(path.clone()));
        let state = State::Idle(Open { file: None, path, sums: BlockSums::default() });
        Self {
            blobs,
            id,
            level,
            state,
            held: Vec::new(),
            held_bytes: 0,
            unchecked: 0,
            temporary,
            share: UPLOADS.enter(),
        }
    }

    /// Waits for the step under way.
    async fn settle(&mut self) -> Result<Open, Error> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(open) => Ok(open),
            State::Busy(step) => step.done().await,
            State::Failed => Err(Error::io("write after a failed write", std::io::Error::other("refused"))),
        }
    }
}

#[async_trait::async_trait]
impl BlobWriter for FileWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        self.held_bytes += data.len();
        self.held.push(match self.held.last() {
            // Many small pieces would hold much memory for few bytes, and cost a call each.
            Some(_) if data.len() < SMALL_BYTES => Bytes::copy_from_slice(&data),
            _ => data,
        });
        let step_bytes = self.share.part(WRITE_BYTES, PIECE_BYTES, WRITE_STEP_BYTES);
        if self.held_bytes < step_bytes && self.held.len() < SLICES_MAX {
            return Ok(());
        }
        let step = std::mem::take(&mut self.held);
        self.unchecked += std::mem::take(&mut self.held_bytes);
        let mut open = self.settle().await?;
        self.blobs.faults().point("walrus.put.write").await?;
        if self.unchecked >= ROOM_STEP_BYTES {
            self.blobs.check_room()?;
            self.unchecked = 0;
        }
        self.state = State::Busy(threads::start(move || {
            open.append(&step)?;
            Ok(open)
        }));
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<BlobId, Error> {
        let (rest, open) = (std::mem::take(&mut self.held), self.settle().await?);
        let (blobs, id, faults) = (self.blobs.clone(), self.id.clone(), self.blobs.faults().clone());
        faults.point("walrus.put.sync").await?;
        let ending = Ending { blobs, id, level: self.level, open, rest };
        let temporary = Temporary(self.temporary.0.take());
        // If nobody waits for it any more, what comes back removes the file.
        match blocking(move || Ok(ending.run(temporary))).await? {
            Ok(mut done) => done.0 = None,
            Err(Halt::Failed(error)) => return Err(error),
            Err(Halt::Killed) => std::future::pending().await,
        }
        faults.point("walrus.put.dirsync.done").await?;
        Ok(self.id.clone())
    }
}
