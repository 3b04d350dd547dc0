//! The form of a pack: many small blobs in one file, one after the other, each with a head that says which it is.
//!
//! ```text
//! magic  pack  kind  crc        32 bytes: whose file it is, and whether its records lie where their names say
//! record ...                    magic, pack, name, size, crc (36 bytes); the data; a footer as that of a blob's file
//! index                         for each record its name, its place and its size (12 bytes); count, pack, magic, crc
//! ```
//!
//! All numbers are little endian, all checksums CRC32C. The name of a record is the place where it was first written:
//! that is what ids of blobs hold, and it stays when compaction writes the pack anew without what was deleted. A pack
//! that was never compacted may end without an index, or with half a record, when its writer died: its records are then
//! found by their heads.

use crate::blob::format::{crc32c, footer_len};
use std::fmt;

/// Bytes at the beginning of a pack.
pub(super) const PACK_HEAD: usize = 8 + 16 + 4 + 4;
/// Bytes before the data of a record.
pub(super) const RECORD_HEAD: usize = 8 + 16 + 4 + 4 + 4;
/// Bytes of one entry of the index.
pub(super) const ENTRY_BYTES: usize = 12;
/// Bytes behind the entries of the index.
pub(super) const INDEX_TAIL: usize = 4 + 16 + 8 + 4;
/// How a record begins.
pub(super) const RECORD_MAGIC: &[u8; 8] = b"MALLEER1";
const PACK_MAGIC: &[u8; 8] = b"MALLEEP1";
const INDEX_MAGIC: &[u8; 8] = b"MALLEEI1";
/// Hex digits of a pack's name: 92 random bits.
const PACK_DIGITS: usize = 23;

/// The name of a pack.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackId(u128);

impl PackId {
    /// A fresh name.
    pub(super) const fn from_random(random: u128) -> Self {
        Self(random >> (128 - 4 * PACK_DIGITS))
    }

    /// Reads a name; `None` if it is none.
    pub(in crate::blob) fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == PACK_DIGITS && text.bytes().all(hex)).then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.0, width = PACK_DIGITS)
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where records lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// At their names.
    Written,
    /// Where the index says.
    Compacted,
}

/// One record of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name.
    pub(super) name: u32,
    /// Where its head begins.
    pub(super) at: u32,
    /// Bytes of its data; `None`: its head cannot be read.
    pub(super) size: Option<u32>,
}

impl Entry {
    /// All its bytes, with head and footer.
    pub(super) fn stored(&self) -> u64 {
        self.size.map_or(RECORD_HEAD as u64, stored_len)
    }
}

/// All bytes of a record of so many bytes of data.
pub(super) fn stored_len(size: u32) -> u64 {
    RECORD_HEAD as u64 + u64::from(size) + footer_len(u64::from(size))
}

fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// What stands before the checksum that ends `bytes`, if it is right.
fn without_crc(bytes: &[u8]) -> Option<&[u8]> {
    let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    (crc == crc32c(body).to_le_bytes()).then_some(body)
}

/// Takes numbers off the front.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*number)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn pack(&mut self) -> Option<PackId> {
        self.take().map(|bytes| PackId(u128::from_le_bytes(bytes)))
    }
}

/// The beginning of a pack.
pub(super) fn pack_head(pack: PackId, kind: Kind) -> Vec<u8> {
    let mut out = PACK_MAGIC.to_vec();
    out.extend_from_slice(&pack.0.to_le_bytes());
    out.extend_from_slice(&u32::from(kind == Kind::Compacted).to_le_bytes());
    with_crc(out)
}

/// Reads the beginning of a pack of this name.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_pack_head(pack: PackId, head: &[u8]) -> Result<Kind, &'static str> {
    let body = without_crc(head).ok_or("the head of the pack does not match its checksum")?;
    let mut numbers = Numbers(body);
    if numbers.take() != Some(*PACK_MAGIC) || numbers.pack() != Some(pack) {
        return Err("the head of the pack is of another file");
    }
    match numbers.u32() {
        Some(0) => Ok(Kind::Written),
        Some(1) => Ok(Kind::Compacted),
        _ => Err("the pack is of a kind that this program does not know"),
    }
}

/// The beginning of a record.
pub(super) fn record_head(pack: PackId, name: u32, size: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_HEAD);
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&pack.0.to_le_bytes());
    out.extend_from_slice(&name.to_le_bytes());
    out.extend_from_slice(&size.to_le_bytes());
    with_crc(out)
}

/// Reads the beginning of a record of this pack: its name and its size.
pub(super) fn parse_record_head(pack: PackId, head: &[u8]) -> Option<(u32, u32)> {
    let mut numbers = Numbers(without_crc(head)?);
    let ours = numbers.take() == Some(*RECORD_MAGIC) && numbers.pack() == Some(pack);
    numbers.u32().zip(numbers.u32()).filter(|_| ours)
}

/// The index. Entries whose size is not known do not stand in it.
pub(super) fn index(pack: PackId, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY_BYTES + INDEX_TAIL);
    let mut count = 0_u32;
    for (entry, size) in entries.iter().filter_map(|entry| Some((entry, entry.size?))) {
        for number in [entry.name, entry.at, size] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        count += 1;
    }
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&pack.0.to_le_bytes());
    out.extend_from_slice(INDEX_MAGIC);
    with_crc(out)
}

/// Bytes of the whole index, by what stands at its end; `None`: there is none.
pub(super) fn index_len(pack: PackId, tail: &[u8]) -> Option<u64> {
    let mut numbers = Numbers(tail);
    let count = numbers.u32()?;
    let ours = numbers.pack()? == pack && numbers.take()? == *INDEX_MAGIC;
    ours.then(|| u64::from(count) * ENTRY_BYTES as u64 + INDEX_TAIL as u64)
}

/// Reads the whole index; `None`: it is damaged.
pub(super) fn parse_index(pack: PackId, index: &[u8]) -> Option<Vec<Entry>> {
    let tail = index.len().checked_sub(INDEX_TAIL)?;
    if index_len(pack, index.get(tail..)?)? != index.len() as u64 {
        return None;
    }
    let mut numbers = Numbers(without_crc(index)?.get(..tail)?);
    let mut out = Vec::with_capacity(tail / ENTRY_BYTES);
    while let Some(name) = numbers.u32() {
        out.push(Entry { name, at: numbers.u32()?, size: Some(numbers.u32()?) });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: PackId = PackId(0x0012_3456_789a_bcde_f012_3456);

    #[test]
    fn heads_and_indexes_read_back_and_every_flipped_bit_is_seen() {
        assert_eq!(PackId::parse(&PACK.to_string()), Some(PACK));
        assert_eq!(PackId::parse("0123"), None);
        let other = PackId::from_random(u128::MAX);
        assert_eq!(other.to_string().len(), PACK_DIGITS);
        let head = record_head(PACK, 77, 5);
        assert_eq!((head.len(), parse_record_head(PACK, &head)), (RECORD_HEAD, Some((77, 5))));
        assert_eq!(parse_record_head(other, &head), None);
        let pack = pack_head(PACK, Kind::Compacted);
        assert_eq!((pack.len(), parse_pack_head(PACK, &pack)), (PACK_HEAD, Ok(Kind::Compacted)));
        let entries = [Entry { name: 32, at: 32, size: Some(9) }, Entry { name: 4000, at: 117, size: Some(70_000) }];
        let list = index(PACK, &entries);
        assert_eq!(parse_index(PACK, &list).as_deref(), Some(&entries[..]));
        assert_eq!(index_len(PACK, &list[list.len() - INDEX_TAIL..]), Some(list.len() as u64));
        assert_eq!(parse_index(other, &list), None);
        assert_eq!(parse_index(PACK, &index(PACK, &[])), Some(Vec::new()));
        let flips = |good: &[u8], reads: &dyn Fn(&[u8]) -> bool| {
            for bit in 0..good.len() * 8 {
                let mut bad = good.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(!reads(&bad), "bit {bit}");
            }
        };
        flips(&head, &|bad| parse_record_head(PACK, bad).is_some());
        flips(&pack, &|bad| parse_pack_head(PACK, bad).is_ok());
        flips(&list, &|bad| parse_index(PACK, bad).is_some());
    }
}
