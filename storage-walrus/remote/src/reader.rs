//! Reading one blob: its footer first, then whole blocks, each verified.

use crate::{RemoteBlobs, failure};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mallee_objects::Error;
use mallee_objects::blob::{BLOCK_BYTES, BlobId, BlobReader, READ_STEP_BYTES, crc32c, footer_len, parse_footer};
use opendal::Operator;
use std::ops::Range;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct RemoteReader {
    inner: Arc<Inner>,
    /// The whole blob, where it is small enough to have come with its footer.
    whole: Option<Bytes>,
}

#[derive(Debug)]
struct Inner {
    operator: Operator,
    place: String,
    path: String,
    size: u64,
    crcs: Vec<u32>,
}

async fn fetch(operator: &Operator, place: &str, path: &str, range: Range<u64>) -> Result<Bytes, Error> {
    let wanted = range.end - range.start;
    let read = operator.read_with(path).range(range).await;
    let data = read
        .map_err(|error| match error.kind() {
            opendal::ErrorKind::RangeNotSatisfied => damaged(place, path, "it is short"),
            _ => failure(place, "does not give a blob", &error),
        })?
        .to_bytes();
    if data.len() as u64 == wanted { Ok(data) } else { Err(damaged(place, path, "it is short")) }
}

fn damaged(place: &str, path: &str, why: impl std::fmt::Display) -> Error {
    Error::Corrupt(format!("{place} {path}: {why}"))
}

impl Inner {
    /// Checks `data`, which begins with block `first`.
    fn verify(&self, first: u64, data: &[u8]) -> Result<(), Error> {
        for (number, block) in (first..).zip(data.chunks(BLOCK_BYTES)) {
            let wanted = usize::try_from(number).ok().and_then(|n| self.crcs.get(n));
            if wanted != Some(&crc32c(block)) {
                let why = format_args!("block {number} does not match its checksum").to_string();
                return Err(damaged(&self.place, &self.path, why));
            }
        }
        Ok(())
    }

    async fn read(&self, offset: u64, len: u64) -> Result<Bytes, Error> {
        let block = BLOCK_BYTES as u64;
        let first = offset / block;
        let start = first * block;
        let end = offset.saturating_add(len).min(start + READ_STEP_BYTES as u64).div_ceil(block) * block;
        let data = fetch(&self.operator, &self.place, &self.path, start..end.min(self.size)).await?;
        self.verify(first, &data)?;
        Ok(cut(&data, offset - start, len))
    }
}

/// At most `len` bytes from `offset`.
fn cut(data: &Bytes, offset: u64, len: u64) -> Bytes {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
    let to = from.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(data.len());
    data.slice(from..to)
}

impl RemoteReader {
    pub(crate) async fn open(blobs: &RemoteBlobs, id: &BlobId, size: u64) -> Result<Self, Error> {
        blobs.faults.point("remote.open").await?;
        let (operator, place, path) = (blobs.operator.clone(), blobs.place.clone(), RemoteBlobs::path(id));
        let small = size <= READ_STEP_BYTES as u64;
        let from = if small { 0 } else { size };
        let data = fetch(&operator, &place, &path, from..size + footer_len(size)).await?;
        let tail = cut(&data, size - from, u64::MAX);
        let crcs = parse_footer(size, &tail).map_err(|why| damaged(&place, &path, why))?;
        let inner = Inner { operator, place, path, size, crcs };
        let whole = small.then(|| cut(&data, 0, size));
        if let Some(whole) = &whole {
            inner.verify(0, whole)?;
        }
        Ok(Self { inner: Arc::new(inner), whole })
    }
}

impl BlobReader for RemoteReader {
    fn read(&self, offset: u64, len: u64) -> BoxFuture<'static, Result<Bytes, Error>> {
        if offset >= self.inner.size || len == 0 {
            let why = format!("read at {offset} of {}", self.inner.size);
            return futures::future::ready(Err(damaged(&self.inner.place, &self.inner.path, why))).boxed();
        }
        if let Some(whole) = &self.whole {
            return futures::future::ready(Ok(cut(whole, offset, len))).boxed();
        }
        let inner = Arc::clone(&self.inner);
        // Spawned here, not when polled: the next step is fetched while the previous one is sent.
        let step = tokio::spawn(async move { inner.read(offset, len).await });
        async move {
            step.await
                .unwrap_or_else(|e| Err(Error::Io { what: "reading a blob".into(), source: std::io::Error::other(e) }))
        }
        .boxed()
    }
}
