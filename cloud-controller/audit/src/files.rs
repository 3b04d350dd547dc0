//! The files of a trail: numbered segments in one directory, each begun when the one before it is full.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A segment that has grown to this is followed by another.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

const PREFIX: &str = "audit-";
const ENDING: &str = ".jsonl";

/// A place in the trail: up to here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The segment; the first is 1.
    pub segment: u64,
    /// Bytes of it.
    pub offset: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

impl std::str::FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (segment, offset) = text.split_once(':').unwrap_or((text, "0"));
        Ok(Self { segment: segment.parse()?, offset: offset.parse()? })
    }
}

pub(crate) fn path(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{segment:08}{ENDING}"))
}

/// The numbers of the segments that are there, in order.
pub(crate) fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.strip_suffix(ENDING)?.parse().ok());
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}
