//! Whose the blobs of a directory are: a file names the database that has their rows. To any other database they would
//! all be garbage.

use super::BlobId;
use super::files::sync_dir;
use crate::error::Error;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Names the database whose blobs a directory has.
pub const OWNER_FILE: &str = "walrus-owner";
/// Directories below it that hold bytes.
const HOLDING: [&str; 2] = ["blobs", "packs"];

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("cannot {what} {}", path.display()), error)
}

/// The database that a directory names, if it names one.
///
/// # Errors
/// A file that cannot be read.
pub fn directory_owner(root: &Path) -> Result<Option<String>, Error> {
    let path = root.join(OWNER_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path, error)),
    }
}

/// Names the database in a directory, durably. Only while nobody else uses the directory.
///
/// # Errors
/// A disk that does not take it.
pub fn set_directory_owner(root: &Path, owner: &str) -> Result<(), Error> {
    let (path, new) = (root.join(OWNER_FILE), root.join("walrus-owner.new"));
    let written = fs::File::create(&new).and_then(|mut file| {
        file.write_all(owner.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| failed("write", &new, e))?;
    fs::rename(&new, &path).map_err(|e| failed("write", &path, e))?;
    sync_dir(root)
}

/// Whether a directory holds no bytes of blobs at all (it may not be there).
///
/// # Errors
/// A directory that cannot be read.
pub fn directory_is_empty(root: &Path) -> Result<bool, Error> {
    let mut open: Vec<PathBuf> = HOLDING.iter().map(|name| root.join(name)).collect();
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(|e| failed("read", &dir, e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| failed("read", &dir, e))?;
            let metadata = entry.metadata().map_err(|e| failed("look at", &entry.path(), e))?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.len() > 0 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether a directory has the file of this blob, or the pack that it lies in.
#[must_use]
pub fn directory_has(root: &Path, id: &BlobId) -> bool {
    let shard = &id.as_str()[..2];
    match id.place() {
        None => root.join("blobs").join(shard).join(id.as_str()).is_file(),
        Some((pack, _)) => root.join("packs").join(shard).join(pack.to_string()).is_file(),
    }
}

/// [`Error::State`] unless the directory names this database.
pub(super) fn must_own(root: &Path, owner: &str) -> Result<(), Error> {
    match directory_owner(root)? {
        Some(there) if there == owner => Ok(()),
        _ => Err(Error::State(format!("{} is not, or no longer, the directory of this database", root.display()))),
    }
}
