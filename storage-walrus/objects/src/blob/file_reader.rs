//! Reading one blob file, block by block verified.

use super::files::blocking;
use super::format::{BLOCK_BYTES, crc32c, footer_len, parse_footer};
use super::{BlobReader, READ_STEP_BYTES};
use crate::error::Error;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open blob file.
#[derive(Debug)]
pub(super) struct FileReader {
    inner: Arc<Inner>,
    /// The whole blob, where it is small enough to have been read with its footer.
    whole: Option<Bytes>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    path: PathBuf,
    size: u64,
    crcs: Vec<u32>,
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Corrupt(format!("{}: {why}", path.display()))
}

fn exact(file: &File, path: &Path, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
    let mut data = vec![0; len];
    match file.read_exact_at(&mut data, offset) {
        Ok(()) => Ok(data),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(damaged(path, "the file is short")),
        Err(e) => Err(Error::io(format!("cannot read {}", path.display()), e)),
    }
}

impl Inner {
    /// Checks `data`, which begins with block `first`.
    fn verify(&self, first: u64, data: &[u8]) -> Result<(), Error> {
        for (i, block) in data.chunks(BLOCK_BYTES).enumerate() {
            let number = first + i as u64;
            let wanted = usize::try_from(number).ok().and_then(|n| self.crcs.get(n));
            if wanted != Some(&crc32c(block)) {
                return Err(damaged(&self.path, format_args!("block {number} does not match its checksum")));
            }
        }
        Ok(())
    }

    fn read(&self, offset: u64, len: u64) -> Result<Bytes, Error> {
        let block = BLOCK_BYTES as u64;
        let first = offset / block;
        let start = first * block;
        let end = offset.saturating_add(len).min(start + READ_STEP_BYTES as u64).div_ceil(block) * block;
        let end = end.min(self.size);
        let data = exact(&self.file, &self.path, start, usize::try_from(end - start).unwrap_or_default())?;
        self.verify(first, &data)?;
        let wanted = usize::try_from(offset - start).unwrap_or_default();
        Ok(cut(Bytes::from(data).slice(wanted..), len))
    }
}

fn cut(data: Bytes, len: u64) -> Bytes {
    data.slice(..usize::try_from(len).unwrap_or(usize::MAX).min(data.len()))
}

impl FileReader {
    pub(super) async fn open(path: PathBuf, size: u64) -> Result<Self, Error> {
        blocking(move || {
            let file = File::open(&path).map_err(|e| match e.kind() {
                ErrorKind::NotFound => Error::Gone,
                _ => Error::io(format!("cannot open {}", path.display()), e),
            })?;
            let length = file.metadata().map_err(|e| Error::io(format!("cannot stat {}", path.display()), e))?.len();
            let footer_bytes = footer_len(size);
            if length != size + footer_bytes {
                return Err(damaged(&path, format_args!("{length} bytes long, expected {}", size + footer_bytes)));
            }
            let small = size <= READ_STEP_BYTES as u64;
            let from = if small { 0 } else { size };
            let mut data = exact(&file, &path, from, usize::try_from(length - from).unwrap_or_default())?;
            let tail = data.split_off(usize::try_from(size - from).unwrap_or_default());
            let crcs = parse_footer(size, &tail).map_err(|why| damaged(&path, why))?;
            let inner = Inner { file, path, size, crcs };
            let whole = small.then(|| Bytes::from(data));
            if let Some(whole) = &whole {
                inner.verify(0, whole)?;
            }
            Ok(Self { inner: Arc::new(inner), whole })
        })
        .await
    }
}

impl BlobReader for FileReader {
    fn read(&self, offset: u64, len: u64) -> BoxFuture<'static, Result<Bytes, Error>> {
        if offset >= self.inner.size || len == 0 {
            let why = format_args!("read at {offset} of {}", self.inner.size).to_string();
            return futures::future::ready(Err(damaged(&self.inner.path, why))).boxed();
        }
        if let Some(whole) = &self.whole {
            let data = whole.slice(usize::try_from(offset).unwrap_or(usize::MAX)..);
            return futures::future::ready(Ok(cut(data, len))).boxed();
        }
        let inner = Arc::clone(&self.inner);
        // Spawned here, not when polled: the next step is read while the previous one is sent.
        let step = tokio::task::spawn_blocking(move || inner.read(offset, len));
        async move { step.await.unwrap_or_else(|e| Err(Error::io("blocking file work", std::io::Error::other(e)))) }
            .boxed()
    }
}
