//! The object store at rest: checked and mended while no daemon runs.

use crate::lock::DirectoryLock;
use anyhow::{Context as _, bail};
use mallee_objects::FileBlobs;
use mallee_objects::check::Checker;
use mallee_runtime::{Clock, Faults, Rng};
use mallee_store::Store;
use std::path::Path;

/// Refuses a database file that another process, or another store of this one, has open.
///
/// # Errors
/// One line that says what to do.
pub(crate) fn must_be_alone(store: &Store) -> anyhow::Result<()> {
    if !store.is_shared() && !store.is_alone() {
        bail!("the database is in use by another process; stop that one, or name another database");
    }
    Ok(())
}

/// A directory that nobody else uses as long as this lives.
#[derive(Debug)]
pub struct Offline {
    checker: Checker,
    _lock: DirectoryLock,
}

impl Offline {
    /// Takes the directory of the blobs and its database. With `every_byte` all that is stored is read.
    ///
    /// # Errors
    /// When there is no such directory, a daemon uses it, or it is of another database.
    pub async fn open(data: &Path, store: Store, every_byte: bool) -> anyhow::Result<Self> {
        if !data.join("blobs").is_dir() {
            bail!("{} holds no objects; name the directory with --data DIR", data.display());
        }
        must_be_alone(&store)?;
        crate::place::must_be_files(&store).await?;
        let lock = DirectoryLock::take(data)?;
        let owner = crate::owner::files_owner(&store, data, &Rng::system()).await?;
        let blobs = FileBlobs::open(data, Clock::system(), Rng::system(), Faults::none())
            .with_context(|| format!("cannot open {}", data.display()))?
            .owned_by(&owner);
        Ok(Self { checker: Checker::new(store, blobs, every_byte), _lock: lock })
    }

    /// What looks and mends.
    #[must_use]
    pub const fn checker(&self) -> &Checker {
        &self.checker
    }
}
