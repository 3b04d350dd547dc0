//! Forgetting: terminated instances after their hour, client tokens after their day, workflows that ended, old changes
//! and events.

use crate::{Cloud, events, load, nat_gateways, peerings, spot, transit};
use mallee_store::{
    StoreError, Tx, change_append, changes_prune, client_token_forget, client_token_old, client_token_renew,
    client_token_renew_of_instance, instance_delete, instance_event_purge, instance_list_purgeable, join_token_purge,
    saga_purge, tag_delete_of,
};
use mallee_types::InstanceId;

/// Instances forgotten in one transaction.
const PURGE_BATCH: u32 = 200;
/// How long a client token is remembered after its use, and after what was made with it is forgotten, in milliseconds
/// (EC2: at least 24 h after the termination).
const CLIENT_TOKEN_KEPT_MS: i64 = 48 * 3600 * 1000;
/// How long a workflow that ended is kept, for those who ask what became of it, in milliseconds.
const SAGA_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

/// One pass of the background task. Idempotent.
///
/// # Errors
/// What the database says; the next pass goes on.
pub async fn purge(cloud: &Cloud) -> Result<(), StoreError> {
    let now_ms = cloud.clock().now_ms();
    let visible_ms = cloud.config().terminated_visible_seconds.saturating_mul(1000);
    loop {
        let ids = instance_list_purgeable(cloud.store(), now_ms.saturating_sub(visible_ms), PURGE_BATCH).await?;
        if ids.is_empty() {
            break;
        }
        let mut tx = cloud.store().write().await?;
        for id in &ids {
            forget_instance(&mut tx, id).await?;
        }
        tx.commit().await?;
    }
    // What one of them cannot do keeps the others from nothing.
    let done = [
        spot::forget(cloud, now_ms, visible_ms).await,
        peerings::keep(cloud, now_ms).await,
        nat_gateways::keep(cloud, now_ms).await,
        transit::keep(cloud, now_ms).await,
        purge_tokens(cloud, now_ms.saturating_sub(CLIENT_TOKEN_KEPT_MS)).await,
        purge_ended(cloud, now_ms).await,
        changes_prune(cloud.store()).await.map(drop),
    ];
    done.into_iter().collect()
}

/// Forgets workflows and events that ended, and invitations that were not taken.
async fn purge_ended(cloud: &Cloud, now_ms: i64) -> Result<(), StoreError> {
    let mut tx = cloud.store().write().await?;
    let joins = join_token_purge(&mut tx).await?;
    let sagas = saga_purge(&mut tx, now_ms.saturating_sub(SAGA_KEPT_MS)).await?;
    let ended = instance_event_purge(&mut tx, now_ms.saturating_sub(events::SHOWN_MS)).await?;
    if joins + sagas + ended > 0 { tx.commit().await } else { tx.rollback().await }
}

/// Forgets a terminated instance.
pub(crate) async fn forget_instance(tx: &mut Tx, id: &InstanceId) -> Result<(), StoreError> {
    tag_delete_of(tx, id.as_str()).await?;
    client_token_renew_of_instance(tx, id).await?;
    instance_delete(tx, id).await?;
    change_append(tx, load::INSTANCE, id, None);
    Ok(())
}

/// Forgets tokens whose time is over. The time of those whose resources are still known begins anew: it is counted from
/// when these are gone.
async fn purge_tokens(cloud: &Cloud, before_ms: i64) -> Result<(), StoreError> {
    loop {
        let old = client_token_old(cloud.store(), before_ms, PURGE_BATCH).await?;
        if old.is_empty() {
            return Ok(());
        }
        let mut tx = cloud.store().write().await?;
        for token in &old {
            if token.is_alive {
                client_token_renew(&mut tx, token).await?;
            } else {
                client_token_forget(&mut tx, token).await?;
            }
        }
        tx.commit().await?;
    }
}
