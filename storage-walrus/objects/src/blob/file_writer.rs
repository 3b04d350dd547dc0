//! Writing one blob file. Bytes are gathered to full steps of whole pages; one step is on its way to the disk while the
//! next one fills. The checksums of the blocks are computed where the bytes are written.
//!
//! What has to be on the disk anyway goes there past the kernel's page cache (`O_DIRECT`, open(2)), where the file system
//! can: copying a megabyte into the cache and syncing it from there takes four times the processor's time, and three times
//! as long. The cache is left to what is read.

use super::buffers::{Buffer, PAGE_BYTES};
use super::files::{FileBlobs, blocking, sync_dir};
use super::format::{BlockSums, footer};
use super::threads::{self, Pending};
use super::{BlobId, BlobWriter, Level, PIECE_BYTES, WRITE_BYTES, WRITE_STEP_BYTES};
use crate::error::Error;
use bytes::{Buf as _, Bytes};
use mallee_runtime::{Share, Sharer, Struck};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{self, File};
use std::io::{IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pieces of one step, and slices of one call (the kernel takes 1,024).
const SLICES_MAX: usize = 256;
/// Whether there is room on the disk is asked after so many bytes.
const ROOM_STEP_BYTES: usize = 256 * 1024;
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

/// What goes to the blocking pool and comes back. Whoever has it last removes the temporary file: also the thread that has
/// just made it for somebody who went away.
#[derive(Debug)]
struct Open {
    temporary: Temporary,
    /// Made with the first bytes, by the thread that writes them.
    file: Option<File>,
    path: PathBuf,
    sums: BlockSums,
    /// Whether bytes go past the page cache: then they must be whole pages.
    direct: bool,
}

impl Open {
    /// Adds whole pages behind the others.
    fn append(&mut self, data: &[Bytes]) -> Result<(), Error> {
        data.iter().for_each(|piece| self.sums.update(piece));
        self.write(data)
    }

    /// Adds the last bytes, and the footer.
    fn end(&mut self, mut data: Vec<Bytes>) -> Result<(), Error> {
        data.iter().for_each(|piece| self.sums.update(piece));
        let (size, crcs) = std::mem::take(&mut self.sums).finish();
        let last = data.pop().map(|mut last| {
            let rest = last.split_off(last.len() - last.len() % PAGE_BYTES);
            data.push(last);
            rest
        });
        data.retain(|piece| !piece.is_empty());
        if self.direct && !data.is_empty() {
            self.write(&data)?;
            data.clear();
        }
        self.through_cache();
        data.extend(last);
        data.push(footer(size, &crcs).into());
        self.write(&data)
    }

    fn write(&mut self, data: &[Bytes]) -> Result<(), Error> {
        let failed = |what: &str, e| Error::io(format!("cannot {what} {}", self.path.display()), e);
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let made = File::options().write(true).create_new(true).open(&self.path);
                let file = made.map_err(|e| failed("create", e))?;
                if self.direct {
                    past_cache(&file).map_err(|e| failed("set O_DIRECT of", e))?;
                }
                self.file.insert(file)
            }
        };
        write_all(file, data).map_err(|e| failed("write", e))
    }

    /// From here, bytes of any number.
    fn through_cache(&mut self) {
        self.direct = false;
        if let Some(file) = &self.file
            && let Err(error) = fcntl(file, FcntlArg::F_SETFL(OFlag::empty()))
        {
            // A write of less than a page will fail then, and say so.
            tracing::warn!(path = %self.path.display(), %error, "a file keeps O_DIRECT");
        }
    }
}

fn past_cache(file: &File) -> std::io::Result<()> {
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_DIRECT)).map(drop).map_err(Into::into)
}

/// Whether files can be written past the page cache; `path` is that of a file which is made for it and removed.
pub(super) fn can_pass_cache(path: &Path) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    let _temporary = Temporary(Some(path.to_owned()));
    let mut page = Buffer::empty();
    page.fill(&[0; PAGE_BYTES]);
    past_cache(&file)?;
    write_all(&mut file, &[page.freeze()])
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
    fn run(mut self) -> Result<Temporary, Halt> {
        let mut temporary = Temporary(self.open.temporary.0.take());
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
    /// Whole pages of the step that fills, and their bytes.
    held: Vec<Bytes>,
    held_bytes: usize,
    /// What comes behind them.
    filling: Option<Buffer>,
    /// Bytes written since there was room for more.
    unchecked: usize,
    share: Sharer,
}

impl FileWriter {
    /// Nothing is there before the first bytes are written.
    pub(super) fn new(blobs: FileBlobs, id: BlobId, level: Level) -> Self {
        let path = blobs.tmp_path(&id);
        let temporary = Temporary(Some(path.clone()));
        // Relaxed bytes are only to be with the kernel.
        let direct = level == Level::Strict && blobs.passes_cache();
        let state = State::Idle(Open { temporary, file: None, path, sums: BlockSums::default(), direct });
        Self {
            blobs,
            id,
            level,
            state,
            held: Vec::new(),
            held_bytes: 0,
            filling: None,
            unchecked: 0,
            share: UPLOADS.enter(),
        }
    }

    /// Takes whole pages as they are, and makes whole pages of everything else.
    fn hold(&mut self, mut data: Bytes) {
        if self.filling.is_none()
            && data.len().is_multiple_of(PAGE_BYTES)
            && data.as_ptr().addr().is_multiple_of(PAGE_BYTES)
        {
            return self.hold_pages(data);
        }
        while !data.is_empty() {
            let buffer = self.filling.get_or_insert_with(Buffer::empty);
            data.advance(buffer.fill(&data));
            if let Some(full) = self.filling.take_if(|buffer| buffer.is_full()) {
                self.hold_pages(full.freeze());
            }
        }
    }

    fn hold_pages(&mut self, pages: Bytes) {
        if !pages.is_empty() {
            self.held_bytes += pages.len();
            self.held.push(pages);
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
        self.hold(data);
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
        let mut rest = std::mem::take(&mut self.held);
        rest.extend(self.filling.take().map(Buffer::freeze));
        let open = self.settle().await?;
        let (blobs, id, faults) = (self.blobs.clone(), self.id.clone(), self.blobs.faults().clone());
        faults.point("walrus.put.sync").await?;
        let ending = Ending { blobs, id, level: self.level, open, rest };
        // If nobody waits for it any more, what comes back removes the file.
        match blocking(move || Ok(ending.run())).await? {
            Ok(mut done) => done.0 = None,
            Err(Halt::Failed(error)) => return Err(error),
            Err(Halt::Killed) => std::future::pending().await,
        }
        faults.point("walrus.put.dirsync.done").await?;
        Ok(self.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::BlobStore as _;
    use mallee_runtime::{Clock, Faults, Rng};
    use std::sync::Barrier;

    #[tokio::test]
    async fn an_upload_that_is_dropped_before_its_file_is_made_leaves_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = FileBlobs::open(dir.path(), Clock::system(), Rng::system(), Faults::none()).expect("blobs");
        // All threads have something to do, until all of them and the test are at the barrier.
        let hold = || {
            let gate = Arc::new(Barrier::new(threads::THREADS_MAX + 1));
            for _ in 0..threads::THREADS_MAX {
                let gate = Arc::clone(&gate);
                threads::start(move || {
                    gate.wait();
                    Ok(())
                });
            }
            async move { tokio::task::spawn_blocking(move || gate.wait()).await.expect("the gate") }
        };
        let before = hold();
        let mut writer = blobs.create_large(Level::Strict).await.expect("a writer");
        writer.write(vec![7; WRITE_STEP_BYTES].into()).await.expect("on its way");
        drop(writer);
        let behind = hold();
        before.await;
        // Whoever had the write, for which nobody waits, is done with it.
        behind.await;
        assert_eq!(fs::read_dir(dir.path().join("tmp")).expect("the directory").count(), 0, "a file stays");
    }

    #[tokio::test]
    async fn bytes_of_any_number_and_place_come_to_the_file_they_should() {
        for (level, len) in [
            (Level::Strict, 1),
            (Level::Strict, 4096),
            (Level::Relaxed, 70_000),
            (Level::Strict, 300_001),
            (Level::Strict, 1 << 20),
        ] {
            for step in [1_000, 4096, 65_536, 70_001] {
                let dir = tempfile::tempdir().expect("a directory");
                let blobs = FileBlobs::open(dir.path(), Clock::system(), Rng::system(), Faults::none()).expect("blobs");
                let data: Vec<u8> = (0..len).map(|n: u32| n.to_le_bytes()[usize::from(n.is_multiple_of(3))]).collect();
                let mut writer = blobs.create_large(level).await.expect("a writer");
                for piece in data.chunks(step) {
                    writer.write(Bytes::copy_from_slice(piece)).await.expect("taken");
                }
                let id = writer.finish().await.expect("written");
                let file = fs::read(blobs.path(&id)).expect("the file");
                assert_eq!(file[..data.len()], data, "{len} by {step}");
                let reader = blobs.open(&id, u64::from(len)).await.expect("whole");
                assert!(data.starts_with(&reader.read(0, u64::from(len)).await.expect("verified")));
            }
        }
    }
}
