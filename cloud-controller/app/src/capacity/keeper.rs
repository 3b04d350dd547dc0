//! The keeper of what is kept: ends reservations whose time is up, tells instances apart from those that ended, and
//! forgets these (and released hosts) a day later.

use crate::{Cloud, load};
use mallee_proto::WireError;
use mallee_runtime::{Backoff, TaskScope};
use mallee_store::{
    CapacityState, StoreError, capacity_delete, capacity_fetch, capacity_fetch_locked, capacity_leftovers,
    capacity_list_due, capacity_list_purgeable, capacity_next_end, capacity_unuse, capacity_update, change_append,
    host_delete, host_list_purgeable, instance_fetch_locked, instance_observe, tag_delete_of,
};
use std::sync::Arc;
use std::time::Duration;

/// Rows handled in one transaction, or read at once.
const BATCH: u32 = 200;
/// How long what has ended is shown, in milliseconds.
const SHOWN_MS: i64 = 24 * 3600 * 1000;
/// Longest sleep: clocks may be set.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// An injected fault.
    #[error("{0}")]
    Fault(#[from] WireError),
}

/// Runs the keeper until the scope stops: it sleeps until the next reservation's end, or until it is woken.
pub fn spawn(scope: &TaskScope, cloud: Arc<Cloud>) {
    let shutdown = scope.shutdown().clone();
    scope.spawn(async move {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10), cloud.rng().clone());
        while !shutdown.is_stopped() {
            let wait = match keep_capacity(&cloud).await {
                Ok(wait) => {
                    backoff.reset();
                    wait
                }
                Err(error) => {
                    tracing::warn!(%error, "the capacity keeper failed; it will run again");
                    backoff.next_delay()
                }
            };
            tokio::select! {
                () = shutdown.stopped() => {}
                () = cloud.capacity_nudge().woken() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    });
}

/// One pass. Idempotent; how long until the next one is due.
///
/// # Errors
/// What the database says; the next pass goes on.
pub async fn keep_capacity(cloud: &Cloud) -> Result<Duration, KeeperError> {
    let now_ms = cloud.clock().now_ms();
    for row in capacity_list_due(cloud.store(), now_ms, BATCH).await? {
        point(cloud, "cloud.capacity.expire").await?;
        let mut tx = cloud.store().write().await?;
        let mut row = capacity_fetch_locked(&mut tx, &row.id).await?;
        // It may have been prolonged, or cancelled, since.
        if row.state != CapacityState::Active || row.end_ms.is_none_or(|end_ms| end_ms > now_ms) {
            tx.rollback().await?;
            continue;
        }
        row.state = CapacityState::Expired;
        row.ended_ms = Some(now_ms);
        capacity_update(&mut tx, &row).await?;
        change_append(&mut tx, load::CAPACITY, &row.id, Some(&row.zone));
        tx.commit().await?;
        point(cloud, "cloud.capacity.expired").await?;
    }
    loop {
        let ids = capacity_leftovers(cloud.store(), BATCH).await?;
        if ids.is_empty() {
            break;
        }
        point(cloud, "cloud.capacity.leave").await?;
        for id in ids {
            let mut tx = cloud.store().write().await?;
            let mut row = instance_fetch_locked(&mut tx, &id).await?;
            // It may have been started in another one since.
            if let Some(reservation) = &row.doc.capacity_reservation
                && capacity_fetch(&mut tx, reservation).await?.state == CapacityState::Active
            {
                tx.rollback().await?;
                continue;
            }
            row.doc.capacity_reservation = None;
            capacity_unuse(&mut tx, &id).await?;
            instance_observe(&mut tx, &row).await?;
            tx.commit().await?;
        }
    }
    purge(cloud, now_ms.saturating_sub(SHOWN_MS)).await?;
    let next = capacity_next_end(cloud.store()).await?;
    let left = next.map(|end_ms| u64::try_from(end_ms.saturating_sub(cloud.clock().now_ms())).unwrap_or_default());
    Ok(left.map_or(SLEEP_MAX, |left| Duration::from_millis(left.saturating_add(1)).min(SLEEP_MAX)))
}

async fn purge(cloud: &Cloud, before_ms: i64) -> Result<(), StoreError> {
    let reservations = capacity_list_purgeable(cloud.store(), before_ms, BATCH).await?;
    let hosts = host_list_purgeable(cloud.store(), before_ms, BATCH).await?;
    if reservations.is_empty() && hosts.is_empty() {
        return Ok(());
    }
    let mut tx = cloud.store().write().await?;
    for id in &reservations {
        tag_delete_of(&mut tx, id.as_str()).await?;
        capacity_delete(&mut tx, id).await?;
    }
    for id in &hosts {
        tag_delete_of(&mut tx, id.as_str()).await?;
        host_delete(&mut tx, id).await?;
    }
    tx.commit().await
}

async fn point(cloud: &Cloud, name: &str) -> Result<(), WireError> {
    cloud.faults().point(name).await.map_err(|e| WireError::new(mallee_proto::Kind::Unavailable, e.to_string()))
}
