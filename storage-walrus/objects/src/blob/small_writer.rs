//! Writing a blob of unknown size: few bytes are held until it ends, and go into a pack; more become a file.

use super::file_writer::FileWriter;
use super::files::FileBlobs;
use super::{BlobId, BlobWriter, Level, PACKED_BYTES_MAX};
use crate::error::Error;
use bytes::{Bytes, BytesMut};

/// Smaller pieces are copied, so that they do not hold the larger buffer that they are part of.
const SMALL_BYTES: usize = 16 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct SmallWriter {
    blobs: FileBlobs,
    level: Level,
    /// Large pieces as they came, with small ones between them put together.
    held: Vec<Bytes>,
    small: BytesMut,
    bytes: usize,
    file: Option<Box<FileWriter>>,
}

impl SmallWriter {
    pub(super) fn new(blobs: FileBlobs, level: Level) -> Self {
        Self { blobs, level, held: Vec::new(), small: BytesMut::new(), bytes: 0, file: None }
    }

    fn hold(&mut self, data: Bytes) {
        self.bytes += data.len();
        if data.len() < SMALL_BYTES {
            self.small.extend_from_slice(&data);
            return;
        }
        self.gather();
        self.held.push(data);
    }

    fn gather(&mut self) {
        if !self.small.is_empty() {
            self.held.push(self.small.split().freeze());
        }
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.gather();
        std::mem::take(&mut self.held)
    }
}

#[async_trait::async_trait]
impl BlobWriter for SmallWriter {
    async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        if let Some(file) = &mut self.file {
            return file.write(data).await;
        }
        if self.bytes + data.len() <= PACKED_BYTES_MAX {
            self.hold(data);
            return Ok(());
        }
        let mut file = FileWriter::new(self.blobs.clone(), self.blobs.fresh_id(), self.level);
        for piece in self.take() {
            file.write(piece).await?;
        }
        file.write(data).await?;
        self.file = Some(Box::new(file));
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<BlobId, Error> {
        match self.file.take() {
            Some(file) => file.finish().await,
            None => {
                let data = self.take();
                self.blobs.packs().put(data, self.level).await
            }
        }
    }
}
