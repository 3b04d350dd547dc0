//! The background task of fleets.

use super::launch::FleetHands;
use super::{KEPT_MS, drive};
use crate::Cloud;
use mallee_awswire::ApiError;
use mallee_store::{StoreError, fleet_delete, fleet_event_purge, fleet_list_old, fleet_list_open, tag_delete_of};

/// Fleets forgotten in one transaction.
const PURGE_BATCH: u32 = 100;

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum FleetKeeperError {
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// What some fleet's launch or end met.
    #[error("a fleet: {0}")]
    Fleet(ApiError),
}

/// One pass: every fleet that is not at rest gets a step further, each by itself. Idempotent.
///
/// # Errors
/// The first failure that may pass, after all fleets had their turn.
pub async fn keep_fleets(cloud: &Cloud, hands: &dyn FleetHands) -> Result<(), FleetKeeperError> {
    let mut failure = None;
    for id in fleet_list_open(cloud.store()).await? {
        let Some(_busy) = cloud.fleets().take(&id) else { continue };
        if let Err(error) = drive(cloud, hands, &id).await {
            failure.get_or_insert(error);
        }
    }
    purge(cloud).await?;
    failure.map_or(Ok(()), |error| Err(FleetKeeperError::Fleet(error)))
}

/// Forgets what is old.
async fn purge(cloud: &Cloud) -> Result<(), StoreError> {
    let before_ms = cloud.clock().now_ms().saturating_sub(KEPT_MS);
    let old = fleet_list_old(cloud.store(), before_ms, PURGE_BATCH).await?;
    let mut tx = cloud.store().write().await?;
    let mut gone = fleet_event_purge(&mut tx, before_ms).await?;
    for id in &old {
        tag_delete_of(&mut tx, id.as_str()).await?;
        fleet_delete(&mut tx, id).await?;
        gone += 1;
    }
    if gone > 0 { tx.commit().await } else { tx.rollback().await }
}
