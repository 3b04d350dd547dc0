//! Where the bytes of an upload go: into memory while they are few, into a blob when they are more.

use super::{Engine, INLINE_BYTES_MAX};
use crate::blob::{BlobId, BlobWriter};
use crate::error::Error;
use crate::model::Content;
use bytes::{Bytes, BytesMut};

/// Takes bytes; dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Sink {
    engine: Engine,
    inline_max: usize,
    held: BytesMut,
    writer: Option<Box<dyn BlobWriter>>,
    size: u64,
}

/// Durable bytes that nothing refers to yet.
#[derive(Debug)]
#[must_use = "bytes that are not committed stay until the sweep"]
pub struct Stored {
    /// Where they are.
    pub content: Content,
    /// How many.
    pub size: u64,
}

impl Stored {
    /// The new blob with its size, if there is one.
    #[must_use]
    pub fn new_blob(&self) -> Option<(BlobId, u64)> {
        match &self.content {
            Content::Blob(id) => Some((id.clone(), self.size)),
            Content::Inline(_) | Content::Parts(_) => None,
        }
    }
}

impl Sink {
    fn new(engine: Engine, inline_max: usize) -> Self {
        Self { engine, inline_max, held: BytesMut::new(), writer: None, size: 0 }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::Full`]; a failing disk. The sink takes nothing more then.
    pub async fn write(&mut self, data: Bytes) -> Result<(), Error> {
        self.size += data.len() as u64;
        if let Some(writer) = &mut self.writer {
            return writer.write(data).await;
        }
        if self.held.len() + data.len() <= self.inline_max {
            self.held.extend_from_slice(&data);
            return Ok(());
        }
        let mut writer = self.engine.begin().await?;
        let held = self.held.split().freeze();
        writer.write(held).await?;
        writer.write(data).await?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Makes the bytes durable.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub async fn finish(mut self) -> Result<Stored, Error> {
        let size = self.size;
        let content = match self.writer.take() {
            Some(writer) => Content::Blob(writer.finish().await?),
            None => Content::Inline(self.held.split().freeze()),
        };
        Ok(Stored { content, size })
    }

    /// As [`Sink::finish`], always into a blob.
    pub(crate) async fn finish_blob(mut self) -> Result<BlobId, Error> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let mut writer = self.engine.blobs.create(self.engine.level).await?;
                writer.write(self.held.split().freeze()).await?;
                writer
            }
        };
        writer.finish().await
    }
}

impl Engine {
    /// A sink for an object: few bytes stay inline.
    #[must_use]
    pub fn sink(&self) -> Sink {
        Sink::new(self.clone(), INLINE_BYTES_MAX)
    }

    /// A sink for bytes that must be a blob of their own (parts, images).
    pub(crate) fn blob_sink(&self) -> Sink {
        Sink::new(self.clone(), 0)
    }
}
