//! Writing one blob file. Bytes are gathered to full steps; one step is on its way to the kernel while the next one fills.

use super::files::{FileBlobs, blocking, sync_dir};
use super::format::{BLOCK_BYTES, crc32c, footer};
use super::{BlobId, BlobWriter, WRITE_STEP_BYTES};
use crate::error::Error;
use bytes::{Bytes, BytesMut};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use tokio::task::JoinHandle;

/// Removes the temporary file when the write does not end well.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

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
    crcs: Vec<u32>,
    size: u64,
}

impl Open {
    /// Writes whole blocks, and at the end what is left.
    fn append(&mut self, data: &[u8]) -> std::io::Result<()> {
        for block in data.chunks(BLOCK_BYTES) {
            self.crcs.push(crc32c(block));
        }
        self.size += data.len() as u64;
        self.file.write_all(data)
    }
}

#[derive(Debug)]
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
    state: State,
    buffer: BytesMut,
    temporary: Temporary,
}

impl FileWriter {
    pub(super) async fn create(blobs: FileBlobs, id: BlobId) -> Result<Self, Error> {
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
        let state = State::Idle(Open { file, crcs: Vec::new(), size: 0 });
        Ok(Self { blobs, id, state, buffer: BytesMut::new(), temporary })
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
        self.buffer.extend_from_slice(&data);
        while self.buffer.len() >= WRITE_STEP_BYTES {
            let step = self.buffer.split_to(WRITE_STEP_BYTES).freeze();
            let mut open = self.settle().await?;
            self.blobs.faults().point("walrus.put.write").await?;
            self.blobs.check_room()?;
            let place = self.place();
            self.state = State::Busy(tokio::task::spawn_blocking(move || {
                open.append(&step).map_err(|e| Error::io(place, e))?;
                Ok(open)
            }));
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<BlobId, Error> {
        let rest = self.buffer.split().freeze();
        let mut open = self.settle().await?;
        let faults = self.blobs.faults().clone();
        let (tmp, path) = (self.blobs.tmp_path(&self.id), self.blobs.path(&self.id));
        let dir = self.blobs.shard_dir(&self.id);

        faults.point("walrus.put.sync").await?;
        let place = self.place();
        let file = blocking(move || {
            let work = (|| {
                open.append(&rest)?;
                let footer = footer(open.size, &open.crcs);
                open.file.write_all(&footer)?;
                open.file.sync_data()
            })();
            work.map_err(|e| Error::io(place, e)).map(|()| open.file)
        })
        .await?;
        faults.point("walrus.put.rename").await?;
        let target = path.clone();
        blocking(move || {
            drop(file);
            fs::rename(&tmp, &target).map_err(|e| Error::io(format!("cannot rename to {}", target.display()), e))
        })
        .await?;
        // From here the file has its final name: an error must remove it there.
        self.temporary.0 = Some(path);
        faults.point("walrus.put.dirsync").await?;
        blocking(move || sync_dir(&dir)).await?;
        self.temporary.0 = None;
        faults.point("walrus.put.dirsync.done").await?;
        Ok(self.id.clone())
    }
}
