//! What happens to keys by itself: those whose time has come go, with their material; others get new material.

use crate::ids::key_arn;
use crate::keys::DAY_MS;
use crate::rotation::rotate;
use mallee_app::Cloud;
use mallee_app::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{
    KmsReason, KmsState, kms_key_deletable, kms_key_delete, kms_key_locked, kms_key_rotatable, kms_key_update,
};

/// Keys that are looked at in one round.
const ROUND_MAX: u32 = 100;

/// One round. Whatever dies in between is done in the next.
///
/// # Errors
/// What the database says.
pub async fn keep_keys(cloud: &Cloud) -> Result<(), ApiError> {
    let (store, now_ms) = (cloud.store(), cloud.clock().now_ms());
    for row in kms_key_deletable(store, now_ms, ROUND_MAX).await.or_fail()? {
        cloud.faults().point("kms.key.delete").await.or_fail()?;
        let mut tx = store.write().await.or_fail()?;
        kms_key_locked(&mut tx, &row.id).await.or_fail()?;
        // Its deletion may have been taken back.
        if kms_key_delete(&mut tx, &row.id, now_ms).await.or_fail()? {
            tx.commit().await.or_fail()?;
            let key = key_arn(&cloud.config().region, &row.account_id, &row.id);
            tracing::info!(key, "a key is gone, with what it encrypted");
        }
    }
    for row in kms_key_rotatable(store, now_ms, ROUND_MAX).await.or_fail()? {
        cloud.faults().point("kms.key.rotate").await.or_fail()?;
        let mut tx = store.write().await.or_fail()?;
        let Some(mut row) = kms_key_locked(&mut tx, &row.id).await.or_fail()? else { continue };
        let (Some(days), Some(due_ms)) = (row.doc.0.rotation_days, row.rotate_ms) else { continue };
        if due_ms > now_ms {
            continue;
        }
        // One that is switched off or about to go waits; it is rotated once, not for every time it missed.
        if row.state == KmsState::Enabled {
            rotate(&mut tx, &row.id, KmsReason::Automatic, now_ms).await?;
        }
        row.rotate_ms = Some(now_ms + i64::from(days) * DAY_MS);
        kms_key_update(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()?;
    }
    Ok(())
}
