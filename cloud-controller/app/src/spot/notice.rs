//! The notice: what a launch that finds no room does to spot instances, and what becomes of a request when its
//! instance changes by other hands.

use super::change::{self, Ending};
use crate::fail::OrFail as _;
use crate::instances::run::place::{Refusal, insufficient};
use crate::{Cloud, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InstanceRow, SpotNotice, SpotState, StoreError, Tx, change_append, instance_fetch_locked, instance_intent_update,
    spot_request_fetch, spot_request_fetch_locked, spot_request_last_interruption, spot_request_update,
};
use mallee_types::{InstanceId, RunIntent, ZoneName};
use std::collections::BTreeSet;

/// How long before its interruption a spot instance is told, in milliseconds (EC2: two minutes).
pub const NOTICE_MS: i64 = 120_000;
/// How long the room that interruptions made is kept from spot instances, in milliseconds: the launch that it was made
/// for is told to come again, and must not find it taken by those that gave way.
pub const ROOM_KEPT_MS: i64 = 120_000;

/// Brings an instance's request in line with a change of its intent that is no interruption. The instance's row is
/// locked, and its change not yet written.
///
/// # Errors
/// What the database says.
pub(crate) async fn follow(
    tx: &mut Tx,
    row: &mut InstanceRow,
    before: RunIntent,
    by: Ending,
    now_ms: i64,
) -> Result<(), StoreError> {
    let Some(spot) = &mut row.doc.spot else { return Ok(()) };
    if before == row.intent {
        return Ok(());
    }
    spot.notice = None;
    let mut request = match spot_request_fetch_locked(tx, &spot.request).await {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        other => other?,
    };
    if request.instance_id.as_ref() != Some(&row.id) {
        return Ok(());
    }
    match row.intent {
        RunIntent::Terminate => change::terminated(&mut request, by, before == RunIntent::Stop, now_ms),
        RunIntent::Stop => change::stopped(&mut request, by, now_ms),
        RunIntent::Run => change::started(&mut request, now_ms),
    }
    spot_request_update(tx, &request).await
}

impl Cloud {
    /// What a launch that was refused is told, after what can be done about it: spot instances get their notice.
    pub(crate) async fn make_room(&self, zone: &ZoneName, refusal: Refusal, instance_type: &str) -> ApiError {
        let Refusal { error, victims, room_at_ms } = refusal;
        let told = |at_ms: i64, count: usize| {
            let given =
                if count > 0 { format!(" ({count} Spot Instances have now been given notice)") } else { String::new() };
            let time = mallee_runtime::clock::from_unix_ms(at_ms).time();
            let (hour, minute, second) = time.as_hms();
            let why = format!(
                "Room is being made: Spot Instances end by {hour:02}:{minute:02}:{second:02} GMT{given}. Nothing is \
                 reserved; try again after that."
            );
            insufficient(instance_type, zone, &why)
        };
        if victims.is_empty() {
            return if room_at_ms > 0 { told(room_at_ms, 0) } else { error };
        }
        match self.give_notice(&victims, instance_type).await {
            Ok((at_ms, given)) if at_ms > 0 => told(at_ms.max(room_at_ms), given),
            // Somebody else was faster with all of them, and they are on their way out.
            Ok(_) => error,
            Err(problem) => {
                tracing::warn!(%zone, error = %problem.message(), "spot instances were not given notice");
                error
            }
        }
    }

    /// Gives these instances their notice, all in one transaction. When the last of them is interrupted (0: none of
    /// them is there any more), and how many had none before.
    async fn give_notice(&self, victims: &[InstanceId], instance_type: &str) -> Result<(i64, usize), ApiError> {
        // By id, as everywhere where several are locked.
        let victims: BTreeSet<&InstanceId> = victims.iter().collect();
        let now_ms = self.clock().now_ms();
        let why = format!("room was needed for a launch of {instance_type} that is not preemptible");
        self.faults().point("cloud.spot.notice").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let (mut last_ms, mut given) = (0, 0);
        for id in victims {
            let mut row = match instance_fetch_locked(&mut tx, id).await {
                Err(StoreError::NotFound { .. }) => continue,
                other => other.or_fail()?,
            };
            let Some(spot) = row.doc.spot.as_mut().filter(|_| row.intent == RunIntent::Run) else { continue };
            if let Some(notice) = spot.notice {
                last_ms = last_ms.max(notice.at_ms);
                continue;
            }
            let at_ms = now_ms.saturating_add(NOTICE_MS);
            spot.notice = Some(SpotNotice { at_ms });
            let mut request = spot_request_fetch_locked(&mut tx, &spot.request).await.or_fail()?;
            change::mark(&mut request, at_ms, &why, now_ms);
            spot_request_update(&mut tx, &request).await.or_fail()?;
            // The node is to know: its guest reads it in the metadata.
            instance_intent_update(&mut tx, &row).await.or_fail()?;
            change_append(&mut tx, load::INSTANCE, &row.id, Some(&row.zone));
            (last_ms, given) = (last_ms.max(at_ms), given + 1);
        }
        self.faults().point("cloud.spot.notice.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.spot.notice.committed").await.or_fail()?;
        self.spot_nudge().wake();
        Ok((last_ms, given))
    }

    /// Whether spot instances may take room in a zone: not what was just made for others.
    ///
    /// # Errors
    /// `InsufficientInstanceCapacity` while it is kept.
    pub(crate) async fn spot_may_take(&self, zone: &ZoneName, instance_type: &str) -> Result<(), ApiError> {
        let last = spot_request_last_interruption(self.store(), zone).await.or_fail()?;
        match last.map(|at_ms| at_ms.saturating_add(ROOM_KEPT_MS)) {
            Some(until_ms) if until_ms > self.clock().now_ms() => {
                let why = "There is no Spot capacity available that matches your request: Spot Instances give way to others now.";
                Err(insufficient(instance_type, zone, why))
            }
            _ => Ok(()),
        }
    }

    /// Whether the owner of these instances may start those of them that are spot instances.
    ///
    /// # Errors
    /// `IncorrectSpotRequestState` for one that was interrupted (it is started when there is room), or whose request
    /// is over.
    pub(crate) async fn may_start_spot(&self, rows: &[InstanceRow]) -> Result<(), ApiError> {
        for row in rows {
            let Some(spot) = &row.doc.spot else { continue };
            let request = match spot_request_fetch(self.store(), &spot.request).await {
                Err(StoreError::NotFound { .. }) => None,
                other => Some(other.or_fail()?),
            };
            if !request.is_some_and(|request| matches!(request.state, SpotState::Active | SpotState::Disabled)) {
                return Err(Code::IncorrectSpotRequestState.message(format!(
                    "You can't start the Spot Instance '{}' because the associated Spot Instance request is not in an \
                     appropriate state to support start.",
                    row.id
                )));
            }
        }
        Ok(())
    }
}
