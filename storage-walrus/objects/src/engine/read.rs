//! Reading: the pieces of a range, one verified step at a time, the next step read while one is sent.

use super::Engine;
use super::pins::Pins;
use crate::blob::{BlobId, BlobReader, BlobStore};
use crate::error::Error;
use crate::model::{Content, Object};
use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::Arc;

/// A stretch of one blob.
#[derive(Debug, Clone)]
struct Piece {
    blob: BlobId,
    /// Size of the whole blob.
    size: u64,
    offset: u64,
    len: u64,
}

/// The bytes of a range, in order. Ends after the range, or after the first error.
pub struct ObjectReader {
    blobs: Arc<dyn BlobStore>,
    /// Where the pieces are pinned, if they are.
    pins: Option<Arc<Pins>>,
    inline: Option<Bytes>,
    pieces: VecDeque<Piece>,
    open: Option<Box<dyn BlobReader>>,
    step: Option<BoxFuture<'static, Result<Bytes, Error>>>,
}

impl std::fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectReader").field("pieces", &self.pieces).finish_non_exhaustive()
    }
}

/// The stretches of blobs that make up `len` bytes from `offset`.
fn pieces(blobs: impl Iterator<Item = (BlobId, u64)>, mut offset: u64, mut len: u64) -> VecDeque<Piece> {
    let mut out = VecDeque::new();
    for (blob, size) in blobs {
        if len == 0 {
            break;
        }
        if offset >= size {
            offset -= size;
            continue;
        }
        let here = len.min(size - offset);
        out.push_back(Piece { blob, size, offset, len: here });
        len -= here;
        offset = 0;
    }
    out
}

impl Engine {
    /// Opens `len` bytes from `offset` of an object; the caller has checked that they lie within it.
    ///
    /// # Errors
    /// [`Error::Gone`] when the object was overwritten or deleted since it was looked up (look it up again),
    /// [`Error::Corrupt`] when its first bytes are damaged, so that this can still be told before a reply begins.
    pub async fn read(&self, object: &Object, offset: u64, len: u64) -> Result<ObjectReader, Error> {
        let pieces = match &object.content {
            Content::Inline(data) => {
                let range = usize::try_from(offset).ok().zip(usize::try_from(offset.saturating_add(len)).ok());
                let bytes = range.filter(|(from, to)| from <= to && *to <= data.len());
                let Some((from, to)) = bytes else {
                    return Err(Error::Corrupt(format!("an inline object of {} bytes", data.len())));
                };
                let inline = (len > 0).then(|| data.slice(from..to));
                let mut reader = self.reader(VecDeque::new())?;
                reader.inline = inline;
                return Ok(reader);
            }
            Content::Blob(id) => pieces(std::iter::once((id.clone(), object.info.size)), offset, len),
            Content::Parts(parts) => pieces(parts.iter().map(|p| (p.blob.clone(), p.size)), offset, len),
        };
        let mut reader = self.reader(pieces)?;
        reader.begin().await?;
        if let Some(step) = reader.step.take() {
            let first = step.await;
            reader.step = Some(Box::pin(futures::future::ready(Ok(first?))));
        }
        Ok(reader)
    }

    /// A reader of pieces that nobody deletes as long as it lives.
    fn reader(&self, pieces: VecDeque<Piece>) -> Result<ObjectReader, Error> {
        let pins = match pieces.is_empty() {
            true => None,
            false => self
                .pins
                .pin(pieces.iter().map(|piece| &piece.blob))
                .ok_or(Error::Gone)?
                .then(|| Arc::clone(&self.pins)),
        };
        Ok(ObjectReader { blobs: Arc::clone(&self.blobs), pins, inline: None, pieces, open: None, step: None })
    }

    /// Opens bytes of one blob of known size.
    pub(crate) async fn read_blob(&self, blob: &BlobId, size: u64, offset: u64) -> Result<ObjectReader, Error> {
        let whole = std::iter::once((blob.clone(), size));
        let mut reader = self.reader(pieces(whole, offset, size.saturating_sub(offset)))?;
        reader.begin().await?;
        Ok(reader)
    }
}

impl ObjectReader {
    /// Starts the next step, if anything is left.
    async fn begin(&mut self) -> Result<(), Error> {
        let Some(piece) = self.pieces.front() else { return Ok(()) };
        let open = match &self.open {
            Some(open) => open,
            None => self.open.insert(self.blobs.open(&piece.blob, piece.size).await?),
        };
        self.step = Some(open.read(piece.offset, piece.len));
        Ok(())
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if let Some(inline) = self.inline.take() {
            return Some(Ok(inline));
        }
        let step = self.step.take()?;
        let result = self.advance(step).await;
        if result.is_err() {
            self.unpin();
            self.pieces.clear();
            self.step = None;
        }
        Some(result)
    }

    async fn advance(&mut self, step: BoxFuture<'static, Result<Bytes, Error>>) -> Result<Bytes, Error> {
        let data = step.await?;
        if let Some(piece) = self.pieces.front_mut() {
            let got = (data.len() as u64).min(piece.len);
            piece.offset += got;
            piece.len -= got;
            if piece.len == 0 {
                self.open = None;
                if let (Some(read), Some(pins)) = (self.pieces.pop_front(), &self.pins) {
                    pins.unpin(std::iter::once(&read.blob));
                }
            }
        }
        self.begin().await?;
        Ok(data)
    }

    fn unpin(&self) {
        if let Some(pins) = &self.pins {
            pins.unpin(self.pieces.iter().map(|piece| &piece.blob));
        }
    }

    /// The bytes as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        futures::stream::unfold(self, |mut reader| async move { reader.next().await.map(|item| (item, reader)) })
    }
}

impl Drop for ObjectReader {
    fn drop(&mut self) {
        self.unpin();
    }
}
