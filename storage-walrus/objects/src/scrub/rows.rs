//! What the scrub keeps in the database.

use super::ScrubState;
use crate::blob::BlobId;
use crate::error::Error;
use mallee_store::{
    Store, StoreError, lease_acquire, s3_blob_fetch, s3_blob_list, s3_damage_clear, s3_damage_delete, s3_damage_fetch,
    s3_damage_put, setting_fetch, setting_put,
};
use std::time::Duration;

/// The setting, and the lease, that holds where the scrub stands.
const STATE: &str = "walrus/scrub";

/// One that does not read is begun anew.
pub(super) async fn state(store: &Store) -> Result<ScrubState, Error> {
    let text = setting_fetch(store, STATE).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

pub(super) async fn set_state(store: &Store, state: &ScrubState) -> Result<(), Error> {
    let text = serde_json::to_string(state).map_err(|e| Error::Metadata(e.to_string()))?;
    let mut tx = store.write().await?;
    setting_put(&mut tx, STATE, &text).await?;
    Ok(tx.commit().await?)
}

/// Whether this process leads, of those that share the database.
pub(super) async fn lead(store: &Store, holder: &str, time: Duration) -> Result<bool, Error> {
    let mut tx = store.write().await?;
    let led = lease_acquire(&mut tx, STATE, holder, time).await?.is_some();
    tx.commit().await?;
    Ok(led)
}

/// Whether a blob has a row.
pub(super) async fn is_known(store: &Store, id: &BlobId) -> Result<bool, Error> {
    match s3_blob_fetch(store, id.as_str()).await {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn blobs(store: &Store, after: Option<&str>, limit: u32) -> Result<Vec<(BlobId, u64)>, Error> {
    let page = s3_blob_list(store, after, limit).await?;
    // What is no blob's id has no file; the check tells of it.
    Ok(page.into_iter().filter_map(|row| Some((BlobId::parse(&row.id)?, row.size_bytes))).collect())
}

/// Notes damage, or that there is none any more. A blob that was whole and still is costs no write.
pub(super) async fn note(store: &Store, id: &BlobId, what: Option<&str>) -> Result<(), Error> {
    let noted = s3_damage_fetch(store, id.as_str()).await?;
    if noted.as_deref() == what {
        return Ok(());
    }
    let mut tx = store.write().await?;
    match what {
        Some(what) => s3_damage_put(&mut tx, id.as_str(), what).await?,
        None => {
            s3_damage_delete(&mut tx, id.as_str()).await?;
        }
    }
    Ok(tx.commit().await?)
}

pub(super) async fn clear_damage(store: &Store) -> Result<(), Error> {
    let mut tx = store.write().await?;
    s3_damage_clear(&mut tx).await?;
    Ok(tx.commit().await?)
}
