//! Where the blobs are: in files below the data directory, or in a store that exists already. A database keeps to what it
//! began with: its rows would name blobs that are not there.

use crate::WalrusConfig;
use crate::lock::DirectoryLock;
use anyhow::{Context as _, bail};
use mallee_objects::{BlobStore, FileBlobs};
use mallee_remote_blobs::RemoteBlobs;
use mallee_runtime::{Clock, Faults, Rng};
use mallee_store::{Store, s3_blob_list, setting_fetch, setting_insert};
use std::sync::Arc;

/// The setting that names the database in the store that has its blobs; there is none while they are files.
const OWNER_SETTING: &str = "s3-blobs-owner";

/// Refuses a database whose blobs are in another store.
///
/// # Errors
/// One line that says what to do.
pub(crate) async fn must_be_files(store: &Store) -> anyhow::Result<()> {
    match setting_fetch(store, OWNER_SETTING).await.context("cannot read the database")? {
        None => Ok(()),
        Some(_) => bail!("the objects of this database are in another store; name it with --blobs"),
    }
}

/// Opens the blobs, with the lock of the directory where they are files.
///
/// # Errors
/// One line that says what to do.
pub(crate) async fn open(
    config: &WalrusConfig,
    store: &Store,
    clock: Clock,
    rng: Rng,
    faults: Faults,
) -> anyhow::Result<(Arc<dyn BlobStore>, Option<DirectoryLock>)> {
    let Some(place) = &config.blobs else {
        must_be_files(store).await?;
        return files(config, clock, rng, faults);
    };
    let owner = owner(store, &rng).await?;
    Ok((Arc::new(RemoteBlobs::open(place, &owner, clock, rng, faults).await?), None))
}

fn files(
    config: &WalrusConfig,
    clock: Clock,
    rng: Rng,
    faults: Faults,
) -> anyhow::Result<(Arc<dyn BlobStore>, Option<DirectoryLock>)> {
    let lock = DirectoryLock::take(&config.data)?;
    let blobs = FileBlobs::open(&config.data, clock, rng, faults)?;
    let blobs = blobs.with_reserve(config.reserve).with_pack_bytes(config.pack_bytes);
    Ok((Arc::new(blobs), Some(lock)))
}

/// The name of this database among those that keep blobs elsewhere.
async fn owner(store: &Store, rng: &Rng) -> anyhow::Result<String> {
    if let Some(owner) = setting_fetch(store, OWNER_SETTING).await? {
        return Ok(owner);
    }
    if !s3_blob_list(store, None, 1).await?.is_empty() {
        bail!("the objects of this database are in files: --blobs is for a database without objects");
    }
    let mut tx = store.write().await?;
    setting_insert(&mut tx, OWNER_SETTING, &format!("{:032x}", rng.u128())).await?;
    tx.commit().await?;
    setting_fetch(store, OWNER_SETTING).await?.context("the database forgot its name")
}
