//! One process per data directory: the recovery at start removes unfinished files, which must be nobody else's.

use anyhow::{Context as _, bail};
use std::fs::{File, TryLockError, create_dir_all};
use std::path::Path;

/// A lock on a directory, freed when dropped or when the process ends in any way.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(crate) fn take(dir: &Path) -> anyhow::Result<Self> {
        create_dir_all(dir).with_context(|| format!("cannot make the object store's directory {}", dir.display()))?;
        let path = dir.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("{} is in use by another object store; stop it or choose another directory", dir.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}
