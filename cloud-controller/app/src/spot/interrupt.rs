//! Interruptions: what a notice announced is done, once, by whoever comes to it first after its time.

use super::change;
use crate::Cloud;
use crate::fail::OrFail as _;
use crate::instances::lifecycle::set_reason;
use mallee_awswire::ApiError;
use mallee_store::{
    InterruptionBehavior, SpotRequestRow, StoreError, instance_fetch_locked, spot_request_due, spot_request_fetch,
    spot_request_fetch_locked, spot_request_update,
};
use mallee_types::{RunIntent, SpotRequestId, StateReason};

/// Interruptions that one pass makes at most before it looks at other things.
const DUE_MAX: u32 = 200;

/// EC2's reason for an instance that the spot service ended.
pub(super) fn terminated_reason() -> StateReason {
    StateReason::new("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination")
}

/// EC2's reason for an instance that was interrupted.
fn reason(behavior: InterruptionBehavior) -> StateReason {
    match behavior {
        InterruptionBehavior::Terminate => terminated_reason(),
        InterruptionBehavior::Stop => StateReason::new(
            "Server.SpotInstanceShutdown",
            "Server.SpotInstanceShutdown: Instance was stopped because its capacity was needed",
        ),
    }
}

/// Interrupts every instance whose notice has run out. One that fails does not keep the others waiting.
pub(super) async fn interrupt_due(cloud: &Cloud) -> Result<(), ApiError> {
    loop {
        let due = spot_request_due(cloud.store(), cloud.clock().now_ms(), DUE_MAX).await.or_fail()?;
        let mut trouble = None;
        for id in &due {
            if let Err(error) = interrupt(cloud, id).await {
                trouble.get_or_insert(error);
            }
        }
        if let Some(error) = trouble {
            return Err(error);
        }
        if due.len() < DUE_MAX as usize {
            return Ok(());
        }
    }
}

async fn interrupt(cloud: &Cloud, id: &SpotRequestId) -> Result<(), ApiError> {
    let now_ms = cloud.clock().now_ms();
    let seen = match spot_request_fetch(cloud.store(), id).await {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        other => other.or_fail()?,
    };
    cloud.faults().point("cloud.spot.interrupt").await.or_fail()?;
    let mut tx = cloud.store().write().await.or_fail()?;
    // The instance first, as everywhere.
    let row = match &seen.instance_id {
        None => None,
        Some(instance) => match instance_fetch_locked(&mut tx, instance).await {
            Err(StoreError::NotFound { .. }) => None,
            other => Some(other.or_fail()?),
        },
    };
    let mut request: SpotRequestRow = spot_request_fetch_locked(&mut tx, id).await.or_fail()?;
    let is_due = request.interrupt_ms.is_some_and(|at| at <= now_ms) && request.instance_id == seen.instance_id;
    if !is_due {
        return tx.rollback().await.or_fail();
    }
    match row.filter(|row| row.intent == RunIntent::Run) {
        Some(mut row) => {
            row.intent = match request.behavior {
                InterruptionBehavior::Terminate => RunIntent::Terminate,
                InterruptionBehavior::Stop => RunIntent::Stop,
            };
            let reason = reason(request.behavior);
            let transition = cloud.transition(&reason.code);
            set_reason(&mut row, &reason, &transition);
            change::interrupt(&mut request, now_ms);
            tracing::info!(instance = %row.id, request = %request.id, why = request.interruption, "a spot instance is interrupted");
            cloud.write_intent(&mut tx, &mut row).await?;
        }
        // It went by other hands, which should have ended the notice.
        None => request.interrupt_ms = None,
    }
    spot_request_update(&mut tx, &request).await.or_fail()?;
    cloud.faults().point("cloud.spot.interrupt.before-commit").await.or_fail()?;
    tx.commit().await.or_fail()?;
    // It may have been a fleet's.
    cloud.fleet_nudge().wake();
    cloud.faults().point("cloud.spot.interrupt.committed").await.or_fail()
}
