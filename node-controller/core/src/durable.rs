//! Files that are whole or absent after any crash, and detectably so: written beside their place, flushed, renamed, the
//! directory flushed; each with a checksum in front, so that a torn or rotten file is told from a good one.

use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Marks a file of ours and its layout; followed by the SHA-256 of what follows.
const MAGIC: &[u8; 8] = b"mallee01";
const HEAD_BYTES: usize = MAGIC.len() + 32;
/// The end of a name that is not in its place yet.
pub(crate) const UNFINISHED: &str = ".tmp";

/// Puts the checksum in front.
pub(crate) fn seal(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&Sha256::digest(payload));
    bytes.extend_from_slice(payload);
    bytes
}

/// Checks and removes what [`seal`] put in front; `None` when the bytes are not what was written.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (head, payload) = bytes.split_at_checked(HEAD_BYTES)?;
    let (magic, sum) = head.split_at(MAGIC.len());
    (magic == MAGIC && *sum == *Sha256::digest(payload)).then_some(payload)
}

/// Replaces the file: afterwards it holds `bytes`, whatever happens next; on an error it holds what it held before.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    let written = write_flushed(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // Best effort: opening the ledger removes what is left.
        drop(fs::remove_file(&unfinished));
    }
    written?;
    flush_parent(path)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

fn write_flushed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Orders hold user data: for the owner's eyes only.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes the file for good. Absent: fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => flush_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a rename or removal in the file's directory durable.
pub(crate) fn flush_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
