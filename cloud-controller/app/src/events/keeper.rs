//! The keeper of events: does at its time what was announced, once. It keeps nothing in memory: what is to be done
//! stands in rows, and is done in the transaction that says so.

use super::rules::{Act, act};
use crate::Cloud;
use crate::fail::OrFail as _;
use crate::instances::lifecycle::set_reason;
use crate::keeper::KeeperError;
use crate::spot::{self, change::Ending};
use mallee_awswire::ApiError;
use mallee_store::{
    EventState, InstanceEventRow, InstanceRow, StoreError, instance_event_due, instance_event_fetch,
    instance_fetch_locked,
};
use mallee_types::{InstanceEventId, InstanceState, RunIntent, StateReason};

/// Events that are read at once.
const DUE_MAX: u32 = 200;
/// Events that one pass carries out at most.
const PASS_MAX: usize = 10_000;

/// One pass of the background task. Idempotent; what failed is tried again by the next.
///
/// # Errors
/// The first failure; the other events were looked at all the same.
pub async fn keep_events(cloud: &Cloud) -> Result<(), KeeperError> {
    for _ in 0..PASS_MAX / DUE_MAX as usize {
        let due = instance_event_due(cloud.store(), cloud.clock().now_ms(), DUE_MAX).await.or_fail()?;
        let mut trouble = None;
        for id in &due {
            if let Err(error) = carry_out(cloud, id).await {
                trouble.get_or_insert(error);
            }
        }
        if let Some(error) = trouble {
            return Err(error.into());
        }
        if due.len() < DUE_MAX as usize {
            break;
        }
    }
    Ok(())
}

/// Changes the instance as announced; false if there is nothing to change now.
fn change(cloud: &Cloud, event: &InstanceEventRow, row: &mut InstanceRow, now_ms: i64) -> bool {
    let (intent, word) = match act(event.code, row) {
        Act::Nothing => return false,
        Act::Reboot => {
            if row.state != InstanceState::Running || row.intent != RunIntent::Run {
                return false;
            }
            row.reboot_seq += 1;
            row.doc.guest_heard = false;
            row.doc.booted_ms = now_ms;
            return true;
        }
        Act::Stop => (RunIntent::Stop, "stopped"),
        Act::Terminate => (RunIntent::Terminate, "terminated"),
    };
    if row.intent == RunIntent::Terminate || row.intent == intent {
        return false;
    }
    row.intent = intent;
    let message = format!("Server.ScheduledStop: The instance was {word} due to a scheduled event");
    let reason = StateReason::new("Server.ScheduledStop", message);
    let transition = cloud.transition(&reason.code);
    set_reason(row, &reason, &transition);
    true
}

async fn carry_out(cloud: &Cloud, id: &InstanceEventId) -> Result<(), ApiError> {
    let now_ms = cloud.clock().now_ms();
    let seen = match instance_event_fetch(cloud.store(), id).await {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        other => other.or_fail()?,
    };
    cloud.faults().point("cloud.event.due").await.or_fail()?;
    let mut tx = cloud.store().write().await.or_fail()?;
    // Whoever has the instance has its events.
    let mut row = match instance_fetch_locked(&mut tx, &seen.instance_id).await {
        Err(StoreError::NotFound { .. }) => return tx.rollback().await.or_fail(),
        other => other.or_fail()?,
    };
    let event = match instance_event_fetch(&mut tx, id).await {
        Err(StoreError::NotFound { .. }) => return tx.rollback().await.or_fail(),
        other => other.or_fail()?,
    };
    // It may have been moved, or ended, since.
    let is_due = event.state == EventState::Scheduled && event.not_before_ms <= now_ms;
    let before = row.intent;
    if !is_due || !change(cloud, &event, &mut row, now_ms) {
        return tx.rollback().await.or_fail();
    }
    spot::follow(&mut tx, &mut row, before, Ending::Service, now_ms).await.or_fail()?;
    // This ends the event too.
    cloud.write_intent(&mut tx, &mut row).await?;
    tracing::info!(instance = %row.id, event = %event.id, code = event.code.name(), "a scheduled event is carried out");
    cloud.faults().point("cloud.event.due.before-commit").await.or_fail()?;
    tx.commit().await.or_fail()?;
    if row.intent == RunIntent::Terminate {
        // It may have been a fleet's.
        cloud.fleet_nudge().wake();
    }
    cloud.faults().point("cloud.event.due.committed").await.or_fail()
}
