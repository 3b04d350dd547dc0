//! Buffers of one block that are used again and again: they stay in the processor's cache, and nobody clears them.

use super::format::BLOCK_BYTES;
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

/// Room in a buffer: a block, the footer of a blob that has no more than one, and what stands before it in a pack.
pub(super) const BUFFER_BYTES: usize = BLOCK_BYTES + 128;
/// Buffers kept while nobody uses them (8 MiB).
const KEPT_MAX: usize = 64;

static KEPT: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer; when the last [`Bytes`] made of it goes, it can be used again.
#[derive(Debug)]
pub(super) struct Buffer {
    data: Box<[u8]>,
    len: usize,
}

impl Buffer {
    /// A buffer for `len` bytes, at most [`BUFFER_BYTES`]; what is in it is anybody's.
    pub(super) fn take(len: usize) -> Self {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { data: kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into()), len: len.min(BUFFER_BYTES) }
    }

    /// Its bytes, to be filled.
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.data[..self.len]
    }

    /// Its bytes, to be given away.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.data[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_keeps_its_buffer_from_being_used_again() {
        let mut first = Buffer::take(4);
        first.as_mut().copy_from_slice(b"abcd");
        let slice = first.freeze().slice(1..3);
        let mut others: Vec<_> = (0..KEPT_MAX * 2).map(|_| Buffer::take(4)).collect();
        others.iter_mut().for_each(|b| b.as_mut().fill(0));
        assert_eq!(&slice[..], b"bc");
        drop(others);
        assert!(KEPT.lock().unwrap().len() <= KEPT_MAX);
        assert_eq!(Buffer::take(usize::MAX).as_mut().len(), BUFFER_BYTES);
    }
}
