//! The image keeper: finishes what `RegisterImage` and `DeregisterImage` began.

use super::split_location;
use crate::Cloud;
use mallee_proto::{Kind, WireError};
use mallee_store::{
    ImageRow, ImageState, StoreError, image_delete, image_fetch, image_list_state, image_update, instance_image_used,
};

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// Walrus, or an injected fault.
    #[error("walrus: {0}")]
    Walrus(#[from] WireError),
}

/// One pass of the background task. Idempotent; stops at the first failure that may pass, to be run again.
///
/// # Errors
/// What may pass.
pub async fn keep_images(cloud: &Cloud) -> Result<(), KeeperError> {
    for row in image_list_state(cloud.store(), ImageState::Pending).await? {
        import(cloud, row).await?;
    }
    for row in image_list_state(cloud.store(), ImageState::Deregistered).await? {
        release(cloud, row).await?;
    }
    Ok(())
}

async fn point(cloud: &Cloud, name: &str) -> Result<(), WireError> {
    cloud.faults().point(name).await.map_err(|e| WireError::new(Kind::Unavailable, e.to_string()))
}

async fn import(cloud: &Cloud, mut row: ImageRow) -> Result<(), KeeperError> {
    point(cloud, "cloud.image.import").await?;
    let imported = match split_location(&row.location) {
        Ok((bucket, key)) => cloud.image_service().import(&row.account_id, bucket, key, &row.id).await,
        Err(error) => Err(WireError::new(Kind::Invalid, error.message())),
    };
    point(cloud, "cloud.image.imported").await?;
    match imported {
        Ok(reply) => {
            row.digest = Some(reply.digest);
            row.format = Some(reply.format);
            row.size_bytes = Some(reply.size_bytes);
            row.virtual_size_bytes = Some(reply.virtual_size_bytes);
            row.state = ImageState::Available;
        }
        Err(error) if error.kind.retryable() => return Err(error.into()),
        Err(error) => {
            tracing::info!(image = %row.id, reason = %error.message, "an image was refused");
            row.state = ImageState::Failed;
            row.state_reason = Some(if error.tenant_message.is_empty() { error.message } else { error.tenant_message });
        }
    }
    let mut tx = cloud.store().write().await?;
    match image_update(&mut tx, ImageState::Pending, &row).await {
        Ok(()) => {
            tx.commit().await?;
            cloud.note_image_change();
        }
        Err(StoreError::Stale { .. } | StoreError::NotFound { .. }) => {
            tx.rollback().await?;
            // Deregistered meanwhile: our claim is given up. But if another keeper (a replica has one too) was faster with
            // the same import, the claim is its image's.
            let is_over = match image_fetch(cloud.store(), &row.id).await {
                Ok(now) => now.state == ImageState::Deregistered,
                Err(StoreError::NotFound { .. }) => true,
                Err(error) => return Err(error.into()),
            };
            if let Some(digest) = row.digest.as_ref().filter(|_| is_over) {
                cloud.image_service().release(digest, &row.id).await?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Walrus's claim goes first, the row last: a crash in between repeats the release.
async fn release(cloud: &Cloud, row: ImageRow) -> Result<(), KeeperError> {
    // The bytes stay while an instance may need them again: a node whose cache was lost fetches the backing file.
    if instance_image_used(cloud.store(), &row.id).await? {
        return Ok(());
    }
    point(cloud, "cloud.image.release").await?;
    if let Some(digest) = &row.digest {
        cloud.image_service().release(digest, &row.id).await?;
    }
    point(cloud, "cloud.image.released").await?;
    let mut tx = cloud.store().write().await?;
    image_delete(&mut tx, &row.id).await?;
    Ok(tx.commit().await?)
}
