//! Writing one blob file. Bytes are gathered to full steps, as they came and without a copy; one step is on its way to the
//! kernel while the next one fills. The checksums of the blocks are computed where the bytes are written.

use super::files::{FileBlobs, blocking, sync_dir};
use super::format::{BlockSums, footer};
use super::{BlobId, BlobWriter, Level, WRITE_STEP_BYTES};
use crate::error::Error;
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{IoSlice, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Pieces of one step, and slices of one call (the kernel takes 1,024).
const SLICES_MAX: usize = 256;
/// Smaller pieces are copied, so that they do not hold the larger buffer that they are part of.
pub(super) const SMALL_BYTES: usize = 16 * 1024;

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
    file: File,
    sums: BlockSums,
}

impl Open {
    /// Writes bytes behind the others.
    fn append(&mut self, data: &[Bytes]) -> std::io::Result<()> {
        for piece in data {
            self.sums.update(piece);
        }
        write_all(&mut self.file, data)
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
    Busy(JoinHandle<Result<Open, Error>>),
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
    temporary: Temporary,
}

impl FileWriter {
    pub(super) async fn create(blobs: FileBlobs, id: BlobId, level: Level) -> Result<Self, Error> {
        let path = blobs.tmp_path(&id);
        let temporary = Temporary(Some(path.clone()));
        let file = blocking(move || {
            File::options()
                .write(true)
                .create_new(true)
                .open(&path)
                .map_err(|e| Error::io(format!("cannot create {}", path.display()), e))
        })
        .await?;
        let state = State::Idle(Open { file, sums: BlockSums::default() });
        Ok(Self { blobs, id, level, state, held: Vec::new(), held_bytes: 0, temporary })
    }

    /// Waits for the step under way.
    async fn settle(&mut self) -> Result<Open, Error> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(open) => Ok(open),
            State::Busy(step) => {
                step.await.unwrap_or_else(|e| Err(Error::io("blocking file work", std::io::Error::other(e))))
            }
            State::Failed => Err(Error::io("write after a failed write", std::io::Error::other("refused"))),
        }
    }

    fn place(&self) -> String {
        format!("blob {}", self.id)
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
        if self.held_bytes < WRITE_STEP_BYTES && self.held.len() < SLICES_MAX {
            return Ok(());
        }
        let step = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        let mut open = self.settle().await?;
        self.blobs.faults().point("walrus.put.write").await?;
        self.blobs.check_room()?;
        let place = self.place();
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            open.append(&step).map_err(|e| Error::io(place, e))?;
            Ok(open)
        }));
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<BlobId, Error> {
        let rest = std::mem::take(&mut self.held);
        let mut open = self.settle().await?;
        let faults = self.blobs.faults().clone();
        let (tmp, path) = (self.blobs.tmp_path(&self.id), self.blobs.path(&self.id));
        let dir = self.blobs.shard_dir(&self.id);

        faults.point("walrus.put.sync").await?;
        let (place, level) = (self.place(), self.level);
        let file = blocking(move || {
            let work = move || {
                open.append(&rest)?;
                let Open { mut file, sums } = open;
                let (size, crcs) = sums.finish();
                file.write_all(&footer(size, &crcs))?;
                if level == Level::Strict {
                    file.sync_data()?;
                }
                Ok(Arc::new(file))
            };
            work().map_err(|e| Error::io(place, e))
        })
        .await?;
        faults.point("walrus.put.rename").await?;
        let (target, named) = (path.clone(), path.clone());
        blocking(move || {
            fs::rename(&tmp, &target).map_err(|e| Error::io(format!("cannot rename to {}", target.display()), e))
        })
        .await?;
        // From here the file has its final name: an error must remove it there.
        self.temporary.0 = Some(path);
        faults.point("walrus.put.dirsync").await?;
        if level == Level::Strict || !self.blobs.unsynced().note(&named, &file) {
            // (Synced data is not written again.)
            let failed = move |e| Error::io(format!("sync of {}", named.display()), e);
            blocking(move || if level == Level::Strict { Ok(()) } else { file.sync_data().map_err(failed) }).await?;
            blocking(move || sync_dir(&dir)).await?;
        }
        self.temporary.0 = None;
        faults.point("walrus.put.dirsync.done").await?;
        Ok(self.id.clone())
    }
}
