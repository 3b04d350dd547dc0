//! Writing one blob: steps of whole blocks, each checked into the footer; nothing is there before the end.

use crate::{RemoteBlobs, failure};
use bytes::{Bytes, BytesMut};
use mallee_objects::blob::{BLOCK_BYTES, BlobWriter, crc32c, footer};
use mallee_objects::{BlobId, Error};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes sent at once: also the size of the parts of an upload, of which S3 takes 10,000 and none below 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once.
const CONCURRENT: usize = 2;
/// Bytes that one permit of the memory of all writers stands for.
const PERMIT_BYTES: usize = 1 << 20;
/// Permits of a process: 256 MiB.
pub(crate) const PERMITS: u32 = 256;
/// How long a writer waits for memory before its upload is refused: others may hold theirs for as long as their clients
/// take.
const MEMORY_WAIT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// See the module.
pub(crate) struct RemoteWriter {
    blobs: RemoteBlobs,
    id: BlobId,
    /// Made with the first bytes.
    writer: Option<opendal::Writer>,
    buffer: BytesMut,
    crcs: Vec<u32>,
    size: u64,
    /// Memory for the buffer.
    held: Option<OwnedSemaphorePermit>,
    /// Memory of the steps on their way, the oldest first.
    sent: VecDeque<OwnedSemaphorePermit>,
    /// A step failed: nothing more is taken.
    failed: bool,
}

impl std::fmt::Debug for RemoteWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteWriter").field("id", &self.id).field("size", &self.size).finish_non_exhaustive()
    }
}

impl RemoteWriter {
    pub(crate) fn new(blobs: RemoteBlobs, id: BlobId) -> Self {
        Self {
            blobs,
            id,
            writer: None,
            buffer: BytesMut::new(),
            crcs: Vec::new(),
            size: 0,
            held: None,
            sent: VecDeque::new(),
            failed: false,
        }
    }

    /// Sees to it that there is memory for a buffer of so many bytes.
    async fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        let wanted = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(PERMITS).min(PERMITS);
        let has = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = wanted.saturating_sub(u32::try_from(has).unwrap_or(PERMITS));
        if more == 0 {
            return Ok(());
        }
        let asked = Arc::clone(&self.blobs.memory).acquire_many_owned(more);
        match tokio::time::timeout(MEMORY_WAIT, asked).await {
            Ok(Ok(permit)) => {
                match &mut self.held {
                    Some(held) => held.merge(permit),
                    None => self.held = Some(permit),
                }
                Ok(())
            }
            _ => Err(Error::Undone("other uploads have all the memory that there is for them".to_owned())),
        }
    }

    /// The memory of a step goes with it, and comes back when so many later ones were taken that it must have arrived.
    fn pass_on(&mut self, step: usize) {
        if let Some(permit) = self.held.as_mut().and_then(|held| held.split(step / PERMIT_BYTES)) {
            self.sent.push_back(permit);
        }
        if self.sent.len() > CONCURRENT {
            self.sent.pop_front();
        }
    }

    async fn writer(&mut self) -> Result<&mut opendal::Writer, Error> {
        match self.writer {
            Some(ref mut writer) => Ok(writer),
            None => {
                let path = RemoteBlobs::path(&self.id);
                let made = self.blobs.operator.writer_with(&path).chunk(PART_BYTES).concurrent(CONCURRENT).await;
                Ok(self.writer.insert(made.map_err(|e| self.blobs.failed("takes no bytes", &e))?))
            }
        }
    }

    async fn send(&mut self, data: Bytes) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Io {
                what: "write after a failed write".into(),
                source: std::io::Error::other("refused"),
            });
        }
        self.failed = true;
        self.blobs.faults.point("walrus.put.write").await?;
        let place = self.blobs.place.clone();
        self.writer().await?.write(data).await.map_err(|e| failure(&place, "takes no bytes", &e))?;
        self.failed = false;
        Ok(())
    }

    /// Notes the checksums of whole blocks, or of the last ones.
    fn note(&mut self, data: &[u8]) {
        self.crcs.extend(data.chunks(BLOCK_BYTES).map(crc32c));
        self.size += data.len() as u64;
    }
}

#[async_trait::async_trait]
impl BlobWriter for RemoteWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        self.reserve(self.buffer.len() + data.len()).await?;
        self.buffer.extend_from_slice(&data);
        while self.buffer.len() >= PART_BYTES {
            let step = self.buffer.split_to(PART_BYTES).freeze();
            self.note(&step);
            self.send(step).await?;
            self.pass_on(PART_BYTES);
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<BlobId, Error> {
        let rest = self.buffer.split().freeze();
        self.note(&rest);
        let mut last = BytesMut::from(rest);
        last.extend_from_slice(&footer(self.size, &self.crcs));
        self.send(last.freeze()).await?;
        self.blobs.faults.point("walrus.put.sync").await?;
        let place = self.blobs.place.clone();
        // Not taken before it ends: whoever gives up meanwhile leaves an upload to abort.
        self.writer().await?.close().await.map_err(|e| failure(&place, "does not keep a blob", &e))?;
        self.writer = None;
        self.blobs.faults.point("remote.put.done").await?;
        Ok(self.id.clone())
    }
}

impl Drop for RemoteWriter {
    /// Lets the other store forget what it was sent; where that fails, its own rules do.
    fn drop(&mut self) {
        let (Some(mut writer), Ok(runtime)) = (self.writer.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (place, id) = (self.blobs.place.clone(), self.id.clone());
        runtime.spawn(async move {
            if let Err(error) = writer.abort().await {
                tracing::warn!(blob = %id, %error, "{place} keeps an unfinished upload");
            }
        });
    }
}
