//! Buffers that are used again and again: they stay in the processor's cache, and nobody clears them. Reads fill them, and
//! uploads are gathered in them: what a transfer takes of memory is a number of buffers, whatever pieces the network makes
//! of it.

use super::format::BLOCK_BYTES;
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

/// Room in a buffer of a read: a block, the footer of a blob that has no more than one, and what stands before it in a pack.
pub(super) const BUFFER_BYTES: usize = BLOCK_BYTES + 128;
/// Room in a buffer of an upload.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Buffers begin where this many bytes begin: what a disk may be written by, past the page cache.
pub(super) const PAGE_BYTES: usize = 4096;

static READS: Pool = Pool { bytes: BUFFER_BYTES, kept_max: 64, kept: Mutex::new(Vec::new()) };
static UPLOADS: Pool = Pool { bytes: PIECE_BYTES, kept_max: 128, kept: Mutex::new(Vec::new()) };

/// Buffers of one size that nobody uses: at most 8 MiB of them.
#[derive(Debug)]
struct Pool {
    bytes: usize,
    kept_max: usize,
    kept: Mutex<Vec<Box<[u8]>>>,
}

impl Pool {
    fn take(&'static self, len: usize) -> Buffer {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let data = kept.unwrap_or_else(|| vec![0; self.bytes + PAGE_BYTES].into());
        let begin = data.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        Buffer { data, begin, len: len.min(self.bytes), pool: self }
    }
}

/// A buffer; when the last [`Bytes`] made of it goes, it can be used again.
#[derive(Debug)]
pub struct Buffer {
    data: Box<[u8]>,
    /// Where the first page begins.
    begin: usize,
    len: usize,
    pool: &'static Pool,
}

impl Buffer {
    /// A buffer for `len` bytes of a read, at most [`BUFFER_BYTES`]; what is in it is anybody's.
    pub(super) fn take(len: usize) -> Self {
        READS.take(len)
    }

    /// One without any bytes, for [`PIECE_BYTES`] of an upload.
    #[must_use]
    pub fn empty() -> Self {
        UPLOADS.take(0)
    }

    /// Adds the first of these bytes, as many as there is room for. How many those are.
    pub fn fill(&mut self, data: &[u8]) -> usize {
        let count = data.len().min(self.pool.bytes - self.len);
        let from = self.begin + self.len;
        self.data[from..from + count].copy_from_slice(&data[..count]);
        self.len += count;
        count
    }

    /// Whether there is no room for more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len == self.pool.bytes
    }

    /// Its bytes, to be filled.
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.data[self.begin..self.begin + self.len]
    }

    /// Its bytes, to be given away.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.data[self.begin..self.begin + self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = self.pool.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < self.pool.kept_max {
            kept.push(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_takes_what_there_is_room_for() {
        let (mut buffer, data) = (Buffer::empty(), vec![7; PIECE_BYTES]);
        assert_eq!(buffer.fill(&data[1..]), PIECE_BYTES - 1);
        assert!(!buffer.is_full());
        assert_eq!((buffer.fill(&data), buffer.fill(&data)), (1, 0));
        assert!(buffer.is_full());
        let bytes = buffer.freeze();
        assert!(bytes == data && bytes.as_ptr().addr().is_multiple_of(PAGE_BYTES));
    }

    #[test]
    fn a_slice_keeps_its_buffer_from_being_used_again() {
        let mut first = Buffer::take(4);
        first.as_mut().copy_from_slice(b"abcd");
        let slice = first.freeze().slice(1..3);
        let mut others: Vec<_> = (0..READS.kept_max * 2).map(|_| Buffer::take(4)).collect();
        others.iter_mut().for_each(|b| b.as_mut().fill(0));
        assert_eq!(&slice[..], b"bc");
        drop(others);
        assert!(READS.kept.lock().unwrap().len() <= READS.kept_max);
        assert_eq!(Buffer::take(usize::MAX).as_mut().len(), BUFFER_BYTES);
    }
}
