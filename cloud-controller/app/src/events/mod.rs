//! Scheduled events: maintenance that the administrator announces for instances, and that the cloud then does, once.
//!
//! An event is a row of one instance, made for the instances that are on a node when it is announced; one that comes
//! to the node later has none (who announces the same again gives it one). What an instance's owner did himself before
//! the time ends the event, in the transaction that does it. Whoever changes an event holds the row of its instance.

mod announce;
mod keeper;
mod rules;

pub use announce::{Announced, Announcement, Target};
pub use keeper::keep_events;
pub use rules::shown_description;

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext, load};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::MaintenanceEvent;
use mallee_store::{
    EVENTS_PER_INSTANCE_MAX, EventState, InstanceEventFilter, InstanceEventRow, InstanceRow, PAGE_ROWS_MAX, Store,
    StoreError, Tx, change_append, instance_event_fetch, instance_event_list, instance_event_update,
    instance_fetch_locked, instance_intent_update,
};
use mallee_types::{InstanceEventId, InstanceId};
use std::collections::BTreeMap;

/// How long an event that has ended is shown, in milliseconds (AWS: up to a week).
pub const SHOWN_MS: i64 = 7 * 24 * 3600 * 1000;
/// Events kept of one instance, as the size of a read.
#[allow(clippy::cast_possible_truncation)]
const OF_INSTANCE: u32 = EVENTS_PER_INSTANCE_MAX as u32;

/// Events by instance, each instance's in the order of time.
pub type EventsByInstance = BTreeMap<InstanceId, Vec<InstanceEventRow>>;

/// The events of these instances (a thousand at most), with those that ended a short while ago.
///
/// # Errors
/// What the database says.
pub async fn events_of(store: &Store, ids: &[InstanceId]) -> Result<EventsByInstance, StoreError> {
    let filter = InstanceEventFilter { instances: Some(ids), ..Default::default() };
    let mut found = EventsByInstance::new();
    for row in instance_event_list(store, filter, PAGE_ROWS_MAX).await? {
        found.entry(row.instance_id.clone()).or_default().push(row);
    }
    Ok(found)
}

/// An event as the metadata service tells it.
pub(crate) fn wire(row: &InstanceEventRow) -> MaintenanceEvent {
    let state = match row.state {
        EventState::Scheduled => "active",
        EventState::Completed | EventState::Canceled => row.state.name(),
    };
    MaintenanceEvent {
        id: row.id.to_string(),
        code: row.code.name().to_owned(),
        description: shown_description(row),
        state: state.to_owned(),
        not_before_ms: row.not_before_ms,
        not_after_ms: row.not_after_ms.unwrap_or_default(),
    }
}

/// Ends the events that a change of an instance has done, or made pointless. The instance's row is locked, and its
/// change is being written in the same transaction.
///
/// # Errors
/// What the database says.
pub(crate) async fn follow(tx: &mut Tx, row: &InstanceRow, now_ms: i64) -> Result<(), StoreError> {
    let (instances, state) = (Some(std::slice::from_ref(&row.id)), Some(EventState::Scheduled));
    for mut event in instance_event_list(&mut *tx, InstanceEventFilter { instances, state }, OF_INSTANCE).await? {
        if let Some(state) = rules::ended_by(&event, row.intent, row.reboot_seq) {
            (event.state, event.ended_ms) = (state, Some(now_ms));
            instance_event_update(tx, &event).await?;
        }
    }
    Ok(())
}

/// Has the instance's node told of its events: its guest reads them in the metadata.
async fn tell(tx: &mut Tx, row: &InstanceRow) -> Result<(), StoreError> {
    instance_intent_update(tx, row).await?;
    change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
    Ok(())
}

fn not_found(id: &str) -> ApiError {
    Code::InvalidInstanceEventIdNotFound.with(&[&clip(id)])
}

impl Cloud {
    /// Every event, or those still to come, by time; ten thousand at most.
    ///
    /// # Errors
    /// What the database says.
    pub async fn instance_events(&self, scheduled_only: bool) -> Result<Vec<InstanceEventRow>, ApiError> {
        let state = scheduled_only.then_some(EventState::Scheduled);
        let filter = InstanceEventFilter { state, ..Default::default() };
        instance_event_list(self.store(), filter, PAGE_ROWS_MAX).await.or_fail()
    }

    async fn find_event(&self, given: &str) -> Result<InstanceEventRow, ApiError> {
        let id: InstanceEventId = given.parse().map_err(|_| not_found(given))?;
        match instance_event_fetch(self.store(), &id).await {
            Err(StoreError::NotFound { .. }) => Err(not_found(given)),
            other => other.or_fail(),
        }
    }

    /// The administrator says that what was announced was done, or that it is not going to be. To say it twice changes
    /// nothing.
    ///
    /// # Errors
    /// `InvalidInstanceEventIDNotFound`; `IncorrectState` for one that has ended otherwise.
    pub async fn end_instance_event(&self, given: &str, how: EventState) -> Result<InstanceEventRow, ApiError> {
        let seen = self.find_event(given).await?;
        self.faults().point("cloud.event.end").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let gone = |error| match error {
            StoreError::NotFound { .. } => not_found(given),
            other => crate::fail::store_failure(other),
        };
        let row = instance_fetch_locked(&mut tx, &seen.instance_id).await.map_err(gone)?;
        let mut event = instance_event_fetch(&mut tx, &seen.id).await.map_err(gone)?;
        if event.state == how {
            tx.rollback().await.or_fail()?;
            return Ok(event);
        }
        if event.state != EventState::Scheduled {
            let text = format!("The event '{}' is {} already.", event.id, event.state.name());
            return Err(Code::IncorrectState.message(text));
        }
        (event.state, event.ended_ms) = (how, Some(self.clock().now_ms()));
        instance_event_update(&mut tx, &event).await.or_fail()?;
        tell(&mut tx, &row).await.or_fail()?;
        self.faults().point("cloud.event.end.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.event.end.committed").await.or_fail()?;
        Ok(event)
    }

    /// `ModifyInstanceEventStartTime`. The time that the work may take moves along.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`, `InvalidInstanceEventIDNotFound`; `InstanceEventStartTimeCannotChange` for an
    /// event that cannot be moved, `InvalidInstanceEventStartTime` for a time it cannot be moved to; `DryRunOperation`.
    pub async fn move_instance_event(
        &self,
        cx: &OpContext,
        instance: &str,
        given: &str,
        not_before_ms: i64,
        dry_run: bool,
    ) -> Result<InstanceEventRow, ApiError> {
        let rows = self.find_instances(cx, &[instance.to_owned()]).await?;
        let seen = self.find_event(given).await?;
        if !rows.iter().any(|row| row.id == seen.instance_id) {
            return Err(not_found(given));
        }
        if dry_run {
            rules::may_move(&seen, not_before_ms, self.clock().now_ms())?;
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.event.move").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let row = instance_fetch_locked(&mut tx, &seen.instance_id).await.or_fail()?;
        let mut event = instance_event_fetch(&mut tx, &seen.id).await.or_fail()?;
        rules::may_move(&event, not_before_ms, self.clock().now_ms())?;
        let by = not_before_ms.saturating_sub(event.not_before_ms);
        event.not_after_ms = event.not_after_ms.map(|at| at.saturating_add(by));
        event.not_before_ms = not_before_ms;
        instance_event_update(&mut tx, &event).await.or_fail()?;
        tell(&mut tx, &row).await.or_fail()?;
        self.faults().point("cloud.event.move.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.event.move.committed").await.or_fail()?;
        Ok(event)
    }
}
