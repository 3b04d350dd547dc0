//! Reading a trail: from a place on, or all of it to see whether it is whole.

use crate::chain::{self, Broken, Head};
use crate::{Position, Record, files};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;

/// A longer line is no record (parameters and texts are bounded where records are made).
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What is wrong with a trail.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// A file could not be read.
    #[error("cannot read the audit trail: {0}")]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("{file}, line {line}: {why}")]
    Broken {
        /// The file's name.
        file: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        why: Broken,
    },
}

/// Reads one whole line, without its newline; nothing at the end of what was written.
fn next_line(file: &mut BufReader<File>, line: &mut String) -> io::Result<Option<u64>> {
    line.clear();
    let bytes = io::Read::take(&mut *file, LINE_BYTES_MAX).read_line(line)?;
    if !line.ends_with('\n') {
        return Ok(None);
    }
    line.pop();
    Ok(Some(bytes as u64))
}

/// The records after a place, at most `limit`, and the place after the last of them. A line that is no record is passed
/// over with a warning: [`verify`] tells of it.
///
/// # Errors
/// When a file cannot be read.
pub fn since(directory: &Path, from: Position, limit: usize) -> io::Result<(Vec<Record>, Position)> {
    let (found, at) = walk(directory, from, limit, u64::MAX)?;
    Ok((found.into_iter().map(|(record, _)| record).collect(), at))
}

/// The records that the last `bytes` of a trail hold whole, the oldest first.
///
/// # Errors
/// When a file cannot be read.
pub fn tail(directory: &Path, bytes: u64) -> io::Result<Vec<Record>> {
    let (mut from, mut left) = (Position::default(), bytes);
    for segment in files::segments(directory)?.into_iter().rev() {
        let length = fs::metadata(files::path(directory, segment))?.len();
        from = Position { segment, offset: length.saturating_sub(left) };
        left = left.saturating_sub(length);
        if left == 0 {
            break;
        }
    }
    if from.offset > 0 {
        // To the end of the line that the byte before is of.
        let mut file = BufReader::new(File::open(files::path(directory, from.segment))?);
        file.seek(SeekFrom::Start(from.offset - 1))?;
        let passed = io::Read::take(&mut file, LINE_BYTES_MAX).skip_until(b'\n')?;
        from.offset = (from.offset - 1).saturating_add(passed as u64);
    }
    Ok(since(directory, from, usize::MAX)?.0)
}

/// As [`since`], with the place after each record; no further record is read once lines of `bytes` together were.
///
/// # Errors
/// When a file cannot be read.
pub fn walk(
    directory: &Path,
    from: Position,
    limit: usize,
    bytes: u64,
) -> io::Result<(Vec<(Record, Position)>, Position)> {
    let (mut found, mut at, mut line, mut taken) = (Vec::new(), from, String::new(), 0);
    let segments = files::segments(directory)?;
    for segment in segments.into_iter().filter(|segment| *segment >= from.segment) {
        if segment > at.segment {
            at = Position { segment, offset: 0 };
        }
        let mut file = BufReader::new(File::open(files::path(directory, segment))?);
        file.seek(SeekFrom::Start(at.offset))?;
        while found.len() < limit && taken < bytes {
            let Some(read) = next_line(&mut file, &mut line)? else { break };
            at.offset += read;
            taken += read;
            match chain::peek(&line).and_then(|(_, record)| serde_json::from_str(record).ok()) {
                Some(record) => found.push((record, at)),
                None => tracing::warn!(position = %at, "a line of the audit trail is no record"),
            }
        }
        if found.len() >= limit || taken >= bytes {
            break;
        }
    }
    Ok((found, at))
}

/// Follows the chain through all files that are there; the newest record's number and hash. When old files have been
/// moved away, the chain is followed from the first that is there.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(directory: &Path) -> Result<Head, TrailError> {
    let mut head: Option<Head> = None;
    let mut text = String::new();
    for segment in files::segments(directory)? {
        let path = files::path(directory, segment);
        let mut file = BufReader::new(File::open(&path)?);
        let mut line = 0;
        while next_line(&mut file, &mut text)?.is_some() {
            line += 1;
            let known = head.get_or_insert_with(|| before(&text));
            known.follow(&text).map_err(|why| TrailError::Broken {
                file: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
                line,
                why,
            })?;
        }
    }
    Ok(head.unwrap_or_default())
}

/// What the first line that is there says of the line before it.
fn before(line: &str) -> Head {
    let previous = line.split_once("\"previous\":\"").and_then(|(_, rest)| rest.get(..chain::GENESIS.len()));
    let sequence = chain::peek(line).map_or(1, |(head, _)| head.sequence);
    match previous {
        Some(hash) if sequence > 1 => Head { sequence: sequence - 1, hash: hash.to_owned() },
        _ => Head::default(),
    }
}
