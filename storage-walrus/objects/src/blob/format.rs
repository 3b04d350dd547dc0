//! The form of a blob file: the bytes as they are, then a footer with a CRC32C of every block.
//!
//! ```text
//! data                       `size` bytes, raw, so that a file can be sent without copying
//! crc32c of block 0..n       4 bytes each, little endian; a block is BLOCK_BYTES, the last one may be shorter
//! size  block  count magic   8 + 4 + 4 + 8 bytes, little endian
//! crc32c of the footer       4 bytes, over everything from the first block checksum to the magic
//! ```

use crc_fast::{CrcAlgorithm, Digest, checksum};

/// Bytes under one checksum.
pub const BLOCK_BYTES: usize = 128 * 1024;
const MAGIC: &[u8; 8] = b"MALLEEB1";
const FIXED_BYTES: usize = 8 + 4 + 4 + 8 + 4;

/// CRC32C (Castagnoli).
#[must_use]
pub fn crc32c(data: &[u8]) -> u32 {
    // The algorithm is 32 bits wide; the library widens it.
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, data) & 0xffff_ffff).unwrap_or_default()
}

/// The checksums of the blocks of bytes that come in pieces.
#[derive(Debug)]
pub(crate) struct BlockSums {
    crcs: Vec<u32>,
    digest: Digest,
    /// Bytes of the block that was begun.
    filled: usize,
    size: u64,
}

impl Default for BlockSums {
    fn default() -> Self {
        Self { crcs: Vec::new(), digest: Digest::new(CrcAlgorithm::Crc32Iscsi), filled: 0, size: 0 }
    }
}

impl BlockSums {
    /// Adds bytes.
    pub(crate) fn update(&mut self, mut data: &[u8]) {
        self.size += data.len() as u64;
        while !data.is_empty() {
            let (head, tail) = data.split_at(data.len().min(BLOCK_BYTES - self.filled));
            self.digest.update(head);
            self.filled += head.len();
            if self.filled == BLOCK_BYTES {
                self.end_block();
            }
            data = tail;
        }
    }

    fn end_block(&mut self) {
        let crc = self.digest.finalize_reset();
        self.crcs.push(u32::try_from(crc & 0xffff_ffff).unwrap_or_default());
        self.filled = 0;
    }

    /// All bytes, and the checksums of their blocks.
    pub(crate) fn finish(mut self) -> (u64, Vec<u32>) {
        if self.filled > 0 {
            self.end_block();
        }
        (self.size, self.crcs)
    }
}

/// Number of blocks of a blob.
fn blocks(size: u64) -> u64 {
    size.div_ceil(BLOCK_BYTES as u64)
}

/// Bytes of the footer of a blob of `size` bytes.
#[must_use]
pub fn footer_len(size: u64) -> u64 {
    blocks(size) * 4 + FIXED_BYTES as u64
}

/// The footer.
#[must_use]
pub fn footer(size: u64, crcs: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(crcs.len() * 4 + FIXED_BYTES);
    for crc in crcs {
        out.extend_from_slice(&crc.to_le_bytes());
    }
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&u32::try_from(BLOCK_BYTES).unwrap_or_default().to_le_bytes());
    out.extend_from_slice(&u32::try_from(crcs.len()).unwrap_or_default().to_le_bytes());
    out.extend_from_slice(MAGIC);
    let crc = crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Reads the footer of a blob that should have `size` bytes: the checksums of its blocks.
///
/// # Errors
/// What is wrong with it.
pub fn parse_footer(size: u64, footer: &[u8]) -> Result<Vec<u32>, &'static str> {
    let (body, crc) = footer.split_at_checked(footer.len().wrapping_sub(4)).ok_or("the footer is short")?;
    if crc != crc32c(body).to_le_bytes() {
        return Err("the footer does not match its checksum");
    }
    let (crcs, fixed) = body.split_at_checked(body.len().wrapping_sub(FIXED_BYTES - 4)).ok_or("the footer is short")?;
    let mut expected = Vec::with_capacity(FIXED_BYTES);
    expected.extend_from_slice(&size.to_le_bytes());
    expected.extend_from_slice(&u32::try_from(BLOCK_BYTES).unwrap_or_default().to_le_bytes());
    expected.extend_from_slice(&u32::try_from(blocks(size)).unwrap_or_default().to_le_bytes());
    expected.extend_from_slice(MAGIC);
    if fixed != expected || crcs.len() as u64 != blocks(size) * 4 {
        return Err("the footer is of another blob");
    }
    Ok(crcs.as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn blocks_in_pieces_are_blocks_in_one() {
        let data: Vec<u8> = (0..BLOCK_BYTES * 2 + 5).map(|n| u8::try_from(n * 31 % 253).unwrap_or_default()).collect();
        let wanted: Vec<u32> = data.chunks(BLOCK_BYTES).map(crc32c).collect();
        for piece in [1000, 7777, BLOCK_BYTES, data.len()] {
            let mut sums = BlockSums::default();
            data.chunks(piece).for_each(|piece| sums.update(piece));
            assert_eq!(sums.finish(), (data.len() as u64, wanted.clone()), "pieces of {piece}");
        }
        assert_eq!(BlockSums::default().finish(), (0, Vec::new()));
    }

    #[test]
    fn a_footer_reads_back_and_every_flipped_bit_is_seen() {
        let size = BLOCK_BYTES as u64 + 1;
        let good = footer(size, &[1, 2]);
        assert_eq!(good.len() as u64, footer_len(size));
        assert_eq!(parse_footer(size, &good), Ok(vec![1, 2]));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_footer(size, &bad).is_err(), "bit {bit}");
        }
        assert!(parse_footer(size + 1, &good).is_err());
        assert!(parse_footer(0, &[]).is_err());
    }
}
