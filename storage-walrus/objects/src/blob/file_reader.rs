//! Reading one blob file, block by block verified.
//!
//! What the kernel has in memory is read where it is asked for, a block at a time into a buffer that is used over and
//! over: no other thread is woken, and the bytes that were verified are the very bytes that are sent. This costs about
//! what `sendfile` costs (which would send bytes that nobody looked at; docs/performance.md has the figures). What has to
//! come from the disk is read in larger steps on the threads for blocking work, the next step while one is sent.

use super::buffers::Buffer;
use super::files::blocking;
use super::format::{BLOCK_BYTES, crc32c, footer_len, parse_footer};
use super::threads;
use super::{BlobReader, READ_STEP_BYTES};
use crate::error::Error;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mallee_runtime::{Share, Sharer};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::ReadWriteFlags;
use std::fs::File;
use std::io::{ErrorKind, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An open blob file.
#[derive(Debug)]
pub(super) struct FileReader {
    inner: Arc<Inner>,
    /// The whole blob, where it is small enough to have been read with its footer.
    whole: Option<Bytes>,
    /// The last step came from the disk.
    from_disk: Arc<AtomicBool>,
    share: Sharer,
}

/// Bytes of all downloads that come from the disk in one step: each that is under way has less the more there are.
const READ_BYTES: usize = 64 * BLOCK_BYTES;
/// Downloads under way.
static DOWNLOADS: Share = Share::new();

#[derive(Debug)]
struct Inner {
    file: File,
    path: PathBuf,
    size: u64,
    crcs: Vec<u32>,
}

pub(super) fn damaged(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Corrupt(format!("{}: {why}", path.display()))
}

pub(super) fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// No: only what is in memory.
    None,
    /// Yes.
    Any,
}

/// Fills `data`. `false`: not all of it is in memory. (Also where the file system cannot tell: the other way says more.)
pub(super) fn fill(file: &File, path: &Path, offset: u64, data: &mut [u8], patience: Patience) -> Result<bool, Error> {
    if patience == Patience::None {
        let mut filled = 0;
        while filled < data.len() {
            let mut rest = [IoSliceMut::new(&mut data[filled..])];
            match rustix::io::preadv2(file, &mut rest, offset + filled as u64, ReadWriteFlags::NOWAIT) {
                Ok(read) if read > 0 => filled += read,
                _ => return Ok(false),
            }
        }
        return Ok(true);
    }
    match file.read_exact_at(data, offset) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(damaged(path, "the file is short")),
        Err(e) => Err(Error::io(format!("cannot read {}", path.display()), e)),
    }
}

/// Opens a file; `None`: its name is not in memory, or the kernel cannot tell.
pub(super) fn open_file(path: &Path, patience: Patience) -> Result<Option<File>, Error> {
    let opened = match patience {
        Patience::None => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED) {
                Ok(file) => return Ok(Some(File::from(file))),
                Err(error) if error == rustix::io::Errno::NOENT => Err(ErrorKind::NotFound.into()),
                Err(_) => return Ok(None),
            }
        }
        Patience::Any => File::open(path),
    };
    opened.map(Some).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::Gone,
        _ => Error::io(format!("cannot open {}", path.display()), e),
    })
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

    /// The rest of the block that `offset` lies in, if it is in memory.
    fn read_now(&self, offset: u64, len: u64) -> Result<Option<Bytes>, Error> {
        let (number, from) = (offset / BLOCK_BYTES as u64, offset % BLOCK_BYTES as u64);
        let start = offset - from;
        let mut block = Buffer::take(length((self.size - start).min(BLOCK_BYTES as u64)));
        if !fill(&self.file, &self.path, start, block.as_mut(), Patience::None)? {
            return Ok(None);
        }
        self.verify(number, block.as_ref())?;
        Ok(Some(cut(block.freeze().slice(length(from)..), len)))
    }

    /// Up to `most` bytes, from the disk.
    fn read(&self, offset: u64, len: u64, most: usize) -> Result<Bytes, Error> {
        let block = BLOCK_BYTES as u64;
        let first = offset / block;
        let start = first * block;
        let steps = (most / BLOCK_BYTES).max(1) * BLOCK_BYTES;
        let end = offset.saturating_add(len).min(start + steps as u64).div_ceil(block) * block;
        let end = end.min(self.size);
        let mut data = vec![0; length(end - start)];
        fill(&self.file, &self.path, start, &mut data, Patience::Any)?;
        self.verify(first, &data)?;
        Ok(cut(Bytes::from(data).slice(length(offset - start)..), len))
    }
}

pub(super) fn cut(data: Bytes, len: u64) -> Bytes {
    data.slice(..length(len).min(data.len()))
}

impl FileReader {
    fn of(inner: Inner, whole: Option<Bytes>) -> Self {
        Self { inner: Arc::new(inner), whole, from_disk: Arc::default(), share: DOWNLOADS.enter() }
    }

    pub(super) async fn open(path: PathBuf, size: u64) -> Result<Self, Error> {
        if let Some(opened) = Self::try_open(&path, size, Patience::None)? {
            return Ok(opened);
        }
        blocking(move || {
            let opened = Self::try_open(&path, size, Patience::Any)?;
            opened.ok_or_else(|| Error::io(format!("cannot open {}", path.display()), ErrorKind::WouldBlock.into()))
        })
        .await
    }

    /// Opens it and reads its footer, and all of it where it is no more than a block. `None`: it would take patience.
    fn try_open(path: &Path, size: u64, patience: Patience) -> Result<Option<Self>, Error> {
        let Some(file) = open_file(path, patience)? else { return Ok(None) };
        let stored = file.metadata().map_err(|e| Error::io(format!("cannot stat {}", path.display()), e))?.len();
        let footer_bytes = footer_len(size);
        if stored != size + footer_bytes {
            return Err(damaged(path, format_args!("{stored} bytes long, expected {}", size + footer_bytes)));
        }
        if size > BLOCK_BYTES as u64 {
            let mut footer = vec![0; length(footer_bytes)];
            if !fill(&file, path, size, &mut footer, patience)? {
                return Ok(None);
            }
            let crcs = parse_footer(size, &footer).map_err(|why| damaged(path, why))?;
            let inner = Inner { file, path: path.to_owned(), size, crcs };
            return Ok(Some(Self::of(inner, None)));
        }
        let mut all = Buffer::take(length(stored));
        if !fill(&file, path, 0, all.as_mut(), patience)? {
            return Ok(None);
        }
        let all = all.freeze();
        let (whole, footer) = (all.slice(..length(size)), all.slice(length(size)..));
        let crcs = parse_footer(size, &footer).map_err(|why| damaged(path, why))?;
        let inner = Inner { file, path: path.to_owned(), size, crcs };
        inner.verify(0, &whole)?;
        Ok(Some(Self::of(inner, Some(whole))))
    }
}

impl BlobReader for FileReader {
    fn read(&self, offset: u64, len: u64) -> BoxFuture<'static, Result<Bytes, Error>> {
        if offset >= self.inner.size || len == 0 {
            let why = format_args!("read at {offset} of {}", self.inner.size).to_string();
            return futures::future::ready(Err(damaged(&self.inner.path, why))).boxed();
        }
        if let Some(whole) = &self.whole {
            let data = whole.slice(length(offset)..);
            return futures::future::ready(Ok(cut(data, len))).boxed();
        }
        let most = self.share.part(READ_BYTES, BLOCK_BYTES, READ_STEP_BYTES);
        if !self.from_disk.load(Ordering::Relaxed) {
            // What is in memory is read when it is asked for: just before it is sent, and not while the step before it
            // still is, so that one buffer goes through the processor's cache instead of two.
            let (inner, from_disk) = (Arc::clone(&self.inner), Arc::clone(&self.from_disk));
            return async move {
                if let Some(now) = inner.read_now(offset, len)? {
                    return Ok(now);
                }
                from_disk.store(true, Ordering::Relaxed);
                threads::start(move || inner.read(offset, len, most)).done().await
            }
            .boxed();
        }
        if let Some(now) = self.inner.read_now(offset, len).transpose() {
            self.from_disk.store(false, Ordering::Relaxed);
            return futures::future::ready(now).boxed();
        }
        let inner = Arc::clone(&self.inner);
        // Started here, not when polled: the next step is read while the previous one is sent.
        threads::start(move || inner.read(offset, len, most)).done().boxed()
    }
}
