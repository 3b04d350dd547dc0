//! An open pack: finding its records, and reading one.

use super::format::{
    ENTRY_BYTES, Entry, INDEX_TAIL, Kind, PACK_HEAD, PackId, RECORD_HEAD, RECORD_MAGIC, index_len, parse_index,
    parse_pack_head, parse_record_head, stored_len,
};
use super::{ENTRIES_MAX, PackedReader};
use crate::blob::PACKED_BYTES_MAX;
use crate::blob::buffers::Buffer;
use crate::blob::file_reader::{Patience, damaged, fill, length, open_file};
use crate::blob::format::{BLOCK_BYTES, crc32c, footer_len, parse_footer};
use crate::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Bytes read at once while a head is searched.
const SEARCH_BYTES: usize = 256 * 1024;

/// The records of a pack.
#[derive(Debug)]
pub(super) struct Contents {
    /// In the order of their places.
    pub(super) entries: Vec<Entry>,
    /// False: there may be records that nobody can find, because their heads and the index are damaged.
    pub(super) whole: bool,
}

impl Contents {
    /// Places where no head can be read: where each begins, and where the next record does. What lies there is what a writer
    /// left that died, or any number of damaged records.
    pub(super) fn unseen(&self) -> impl Iterator<Item = (u32, u32)> {
        let nexts = self.entries.iter().skip(1).map(|next| next.at).chain([u32::MAX]);
        self.entries.iter().zip(nexts).filter(|(entry, _)| entry.size.is_none()).map(|(entry, next)| (entry.at, next))
    }
}

/// A pack, open for reading. What is written behind its end or compacted away meanwhile does not disturb it.
#[derive(Debug)]
pub(super) struct PackFile {
    file: File,
    path: PathBuf,
    pack: PackId,
    kind: Option<Kind>,
    /// Sorted by name, where records do not lie at their names.
    moved: Option<Vec<Entry>>,
}

impl PackFile {
    /// Opens a pack; blocking.
    ///
    /// # Errors
    /// [`Error::Gone`]; a disk that cannot be read.
    pub(super) fn open(path: &Path, pack: PackId) -> Result<Self, Error> {
        let would_block =
            || Error::io(format!("cannot open {}", path.display()), std::io::ErrorKind::WouldBlock.into());
        let file = open_file(path, Patience::Any)?.ok_or_else(would_block)?;
        let mut opened = Self { file, path: path.to_owned(), pack, kind: None, moved: None };
        let mut head = [0; PACK_HEAD];
        opened.kind = match fill(&opened.file, path, 0, &mut head, Patience::Any) {
            Ok(_) => parse_pack_head(pack, &head).ok(),
            Err(Error::Corrupt(_)) => None,
            Err(error) => return Err(error),
        };
        if opened.kind != Some(Kind::Written) {
            // With a damaged head, what the records say counts.
            let mut entries = opened.contents()?.entries;
            entries.sort_unstable_by_key(|entry| entry.name);
            opened.moved = Some(entries);
        }
        Ok(opened)
    }

    /// Whether its head was read and tells what it is.
    pub(super) const fn is_sound(&self) -> bool {
        self.kind.is_some()
    }

    fn len(&self) -> Result<u64, Error> {
        let stat = self.file.metadata().map_err(|e| Error::io(format!("cannot stat {}", self.path.display()), e))?;
        Ok(stat.len())
    }

    fn fill(&self, at: u64, data: &mut [u8]) -> Result<(), Error> {
        fill(&self.file, &self.path, at, data, Patience::Any).map(drop)
    }

    /// Its records, by the index or by their heads; blocking.
    ///
    /// # Errors
    /// A disk that cannot be read.
    pub(super) fn contents(&self) -> Result<Contents, Error> {
        let len = self.len()?;
        match self.index(len)? {
            Some(mut entries) => {
                entries.sort_unstable_by_key(|entry| entry.at);
                Ok(Contents { entries, whole: true })
            }
            None => self.scan(len),
        }
    }

    fn index(&self, len: u64) -> Result<Option<Vec<Entry>>, Error> {
        if len < (PACK_HEAD + INDEX_TAIL) as u64 {
            return Ok(None);
        }
        let mut tail = [0; INDEX_TAIL];
        self.fill(len - INDEX_TAIL as u64, &mut tail)?;
        let fits = |bytes: &u64| *bytes <= len && *bytes <= (ENTRIES_MAX * ENTRY_BYTES + INDEX_TAIL) as u64;
        let Some(bytes) = index_len(self.pack, &tail).filter(fits) else { return Ok(None) };
        let mut index = vec![0; length(bytes)];
        self.fill(len - bytes, &mut index)?;
        Ok(parse_index(self.pack, &index))
    }

    /// Goes from head to head. Where there is none, that place is noted as a record of unknown size, for it may be the
    /// damaged head of one, and the next head is searched.
    fn scan(&self, len: u64) -> Result<Contents, Error> {
        let (mut entries, mut whole) = (Vec::new(), true);
        let mut at = PACK_HEAD as u64;
        while at + RECORD_HEAD as u64 <= len && entries.len() < ENTRIES_MAX {
            let place = u32::try_from(at).unwrap_or(u32::MAX);
            let mut head = [0; RECORD_HEAD];
            self.fill(at, &mut head)?;
            match self.record(place, &head).filter(|(_, size)| at + stored_len(*size) <= len) {
                Some((name, size)) => {
                    entries.push(Entry { name, at: place, size: Some(size) });
                    at += stored_len(size);
                }
                None => {
                    match self.kind {
                        Some(Kind::Written) => entries.push(Entry { name: place, at: place, size: None }),
                        _ => whole = false,
                    }
                    match self.search(at + 1, len)? {
                        Some(next) => at = next,
                        None => break,
                    }
                }
            }
        }
        Ok(Contents { entries, whole })
    }

    /// The name and size of the record whose head this is.
    fn record(&self, at: u32, head: &[u8]) -> Option<(u32, u32)> {
        parse_record_head(self.pack, head).filter(|(name, _)| self.kind != Some(Kind::Written) || *name == at)
    }

    /// The next place at or after `at` where a record begins.
    fn search(&self, mut at: u64, len: u64) -> Result<Option<u64>, Error> {
        while at + RECORD_HEAD as u64 <= len {
            let mut data = vec![0; length((len - at).min(SEARCH_BYTES as u64))];
            self.fill(at, &mut data)?;
            for (n, head) in data.windows(RECORD_HEAD).enumerate().filter(|(_, head)| head.starts_with(RECORD_MAGIC)) {
                let place = at + n as u64;
                if self.record(u32::try_from(place).unwrap_or(u32::MAX), head).is_some() {
                    return Ok(Some(place));
                }
            }
            at += (data.len() - RECORD_HEAD + 1) as u64;
        }
        Ok(None)
    }

    /// Where a record lies.
    fn place(&self, name: u32) -> Result<u64, Error> {
        let Some(moved) = &self.moved else { return Ok(u64::from(name)) };
        let found = moved.binary_search_by_key(&name, |entry| entry.name).ok().and_then(|at| moved.get(at));
        found.map(|entry| u64::from(entry.at)).ok_or(Error::Gone)
    }

    /// Reads a record, all of it verified. `None`: it would take patience.
    ///
    /// # Errors
    /// [`Error::Gone`] where it was compacted away, [`Error::Corrupt`]; a disk that cannot be read.
    pub(super) fn read(&self, name: u32, size: u64, patience: Patience) -> Result<Option<PackedReader>, Error> {
        let bad = |why: &str| damaged(&self.path, format_args!("record {name:08x}: {why}"));
        if size > PACKED_BYTES_MAX as u64 {
            return Err(bad("no record is so large"));
        }
        let (at, block, size_bytes) = (self.place(name)?, BLOCK_BYTES as u64, length(size));
        let in_first = size.min(block);
        let behind = if size > block { 0 } else { footer_len(size) };
        let mut first = Buffer::take(length(RECORD_HEAD as u64 + in_first + behind));
        if !fill(&self.file, &self.path, at, first.as_mut(), patience)? {
            return Ok(None);
        }
        let first = first.freeze();
        let (head, data) = (first.slice(..RECORD_HEAD), first.slice(RECORD_HEAD..));
        if parse_record_head(self.pack, &head).map(|(name, size)| (name, u64::from(size))) != Some((name, size)) {
            return Err(bad("the head is damaged, or of another record"));
        }
        let (blocks, footer) = if size <= block {
            (vec![data.slice(..size_bytes)], data.slice(size_bytes..))
        } else {
            let rest = size_bytes - BLOCK_BYTES;
            let mut second = Buffer::take(rest + length(footer_len(size)));
            let from = at + (RECORD_HEAD + BLOCK_BYTES) as u64;
            if !fill(&self.file, &self.path, from, second.as_mut(), patience)? {
                return Ok(None);
            }
            let second = second.freeze();
            (vec![data, second.slice(..rest)], second.slice(rest..))
        };
        let crcs = parse_footer(size, &footer).map_err(bad)?;
        if blocks.iter().zip(&crcs).any(|(block, crc)| crc32c(block) != *crc) {
            return Err(bad("a block does not match its checksum"));
        }
        Ok(Some(PackedReader::new(size, blocks)))
    }

    /// All bytes of a record, verified, for a copy; blocking.
    ///
    /// # Errors
    /// As [`PackFile::read`].
    pub(super) fn copy(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let size = entry.size.ok_or_else(|| damaged(&self.path, "a record without a head"))?;
        self.read(entry.name, u64::from(size), Patience::Any)?;
        let mut data = vec![0; length(entry.stored())];
        self.fill(u64::from(entry.at), &mut data)?;
        Ok(data)
    }
}
