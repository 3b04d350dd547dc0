//! Observations into the database: one transaction a batch, decided row by row by [`observe`].

use super::observe::{self, Known, Outcome, Seen, observe};
use crate::spot::{self, change::Ending};
use crate::{Cloud, events, load};
use mallee_proto::v1::InstanceObservation;
use mallee_proto::{Kind, WireError};
use mallee_store::{
    FILTER_VALUES_MAX, InstanceRow, InterfaceFilter, ShutdownBehavior, StoreError, Tx, capacity_unuse, change_append,
    host_unuse, instance_intent_update, instance_observe_later, instances_fetch_locked, interface_delete,
    interface_detach, interface_list, placement_group_leave, public_address_release, tag_delete_of,
};
use mallee_types::{DomainPhase, Generation, Incarnation, InstanceState, RunIntent, StateReason};
use std::collections::BTreeMap;

/// Interfaces of one instance, at most.
const INTERFACES_MAX: u32 = 100;
/// How often a batch is tried when another transaction changed a row under it.
const TRIES_MAX: u32 = 5;

/// Takes in a batch of observations; those that are late change nothing.
///
/// # Errors
/// When the database does not take them: the link ends, and they are sent again.
pub async fn apply_observations(cloud: &Cloud, batch: &[InstanceObservation]) -> Result<(), WireError> {
    if batch.is_empty() {
        return Ok(());
    }
    cloud.faults().point("cloud.observe").await.map_err(|e| WireError::new(Kind::Unavailable, e.to_string()))?;
    for attempt in 1..=TRIES_MAX {
        match apply(cloud, batch).await {
            Ok(()) => break,
            Err(StoreError::Stale { .. }) if attempt < TRIES_MAX => {}
            Err(error) => {
                return Err(WireError::new(Kind::Unavailable, format!("observations were not stored: {error}")));
            }
        }
    }
    cloud.faults().point("cloud.observe.committed").await.map_err(|e| WireError::new(Kind::Unavailable, e.to_string()))
}

async fn apply(cloud: &Cloud, batch: &[InstanceObservation]) -> Result<(), StoreError> {
    let mut tx = cloud.store().write().await?;
    let mut changed = false;
    let ended = batch.iter().any(|observation| observation.gone);
    for some in batch.chunks(FILTER_VALUES_MAX) {
        let ids = some.iter().filter_map(|observation| observation.id.parse().ok()).collect();
        let rows = instances_fetch_locked(&mut tx, &ids).await?;
        let mut rows: BTreeMap<String, InstanceRow> = rows.into_iter().map(|row| (row.id.to_string(), row)).collect();
        for observation in some {
            match rows.get_mut(&observation.id) {
                Some(row) => changed |= apply_one(cloud, &mut tx, row, observation).await?,
                // Purged: the cluster forgets it when the change log says so.
                None => {
                    tracing::debug!(id = %observation.id, node = %observation.node_id, "an observation of no instance")
                }
            }
        }
    }
    if !changed {
        return tx.rollback().await;
    }
    tx.commit().await?;
    // What has gone may have left room.
    if batch.iter().any(|seen| seen.gone || seen.domain_phase() == DomainPhase::Stopped) {
        cloud.spot_nudge().wake();
    }
    if ended {
        // It may have been a fleet's.
        cloud.fleet_nudge().wake();
    }
    Ok(())
}

/// True if something was written.
async fn apply_one(
    cloud: &Cloud,
    tx: &mut Tx,
    row: &mut InstanceRow,
    observation: &InstanceObservation,
) -> Result<bool, StoreError> {
    if row.released || row.node_id.as_ref().map(AsRef::as_ref) != Some(observation.node_id.as_str()) {
        return Ok(false);
    }
    let seen = Seen {
        incarnation: Incarnation(observation.incarnation),
        generation: Generation(observation.generation),
        phase: observation.domain_phase(),
        network_applied: observation.network_applied,
        gone: observation.gone,
        reason: observation.reason.clone().map(StateReason::from),
    };
    let outcome = observe(&known(row), &seen);
    if outcome == Outcome::Stale {
        return Ok(false);
    }
    note_boot(cloud, row, observation);
    row.observed_phase = seen.phase;
    row.observed_generation = seen.generation;
    row.observed_incarnation = seen.incarnation;
    row.observed_network = seen.network_applied;
    row.observed_reboot_seq = observation.reboot_seq;
    if row.doc.interfaces_pending && outcome != Outcome::Release {
        crate::interfaces::attach::settle(tx, row, observation).await?;
    }
    match outcome {
        Outcome::Stale => {}
        Outcome::Record { state, reason } => {
            record(cloud, tx, row, state, reason).await?;
            instance_observe_later(tx, row).await?;
        }
        Outcome::Redirect { intent, state, reason } => {
            tracing::info!(instance = %row.id, node = %observation.node_id, reason = %reason.message, "the instance changed by itself");
            let before = std::mem::replace(&mut row.intent, intent);
            let by = if reason.code.starts_with("Client.") { Ending::User } else { Ending::Failure };
            spot::follow(tx, row, before, by, cloud.clock().now_ms()).await?;
            row.transition_reason = reason.message.clone();
            record(cloud, tx, row, state, Some(reason)).await?;
            row.generation = instance_intent_update(tx, row).await?;
            events::follow(tx, row, cloud.clock().now_ms()).await?;
            change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
        }
        Outcome::Release => {
            release(cloud, tx, row).await?;
            instance_observe_later(tx, row).await?;
            change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
        }
    }
    Ok(true)
}

/// Whether the guest has been heard since it last booted, and when that was. What a node forgets when it is restarted
/// is remembered here as long as the guest runs on.
fn note_boot(cloud: &Cloud, row: &mut InstanceRow, observation: &InstanceObservation) {
    let runs = observation.domain_phase() == DomainPhase::Running;
    if runs && row.observed_phase != DomainPhase::Running {
        row.doc.booted_ms = cloud.clock().now_ms();
    }
    // What was heard before a reboot that is still to come says nothing of the boot after it.
    let heard = observation.guest_heard && observation.reboot_seq >= row.reboot_seq;
    row.doc.guest_heard = runs && (heard || row.doc.guest_heard);
}

fn known(row: &InstanceRow) -> Known {
    Known {
        intent: row.intent,
        generation: row.generation,
        incarnation: row.incarnation,
        observed_generation: row.observed_generation,
        phase: row.observed_phase,
        network_applied: row.observed_network,
        state: row.state,
        has_run: row.doc.has_run,
        shutdown_behavior: match row.doc.shutdown_behavior {
            ShutdownBehavior::Stop => observe::ShutdownBehavior::Stop,
            ShutdownBehavior::Terminate => observe::ShutdownBehavior::Terminate,
        },
    }
}

async fn record(
    cloud: &Cloud,
    tx: &mut Tx,
    row: &mut InstanceRow,
    state: InstanceState,
    reason: Option<StateReason>,
) -> Result<(), StoreError> {
    if let Some(reason) = reason {
        row.state_reason_code = Some(reason.code);
        row.state_reason_message = Some(reason.message);
    }
    if state == row.state {
        return Ok(());
    }
    row.state = state;
    row.state_changed_ms = cloud.clock().now_ms();
    if state == InstanceState::Running {
        row.doc.has_run = true;
        row.state_reason_code = None;
        row.state_reason_message = None;
    }
    // EC2 takes an automatic public address back when the instance stops; an elastic IP stays.
    if state == InstanceState::Stopped {
        if row.doc.auto_public_ip {
            for interface in interfaces(tx, row).await? {
                public_address_release(tx, &interface.id).await?;
            }
        }
        // Other zones, too, are to know that it is on the network no more.
        if row.intent == RunIntent::Stop {
            change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
        }
    }
    Ok(())
}

/// The interfaces of an instance.
pub(super) async fn interfaces(tx: &mut Tx, row: &InstanceRow) -> Result<Vec<mallee_store::InterfaceRow>, StoreError> {
    let filter = InterfaceFilter { instances: Some(std::slice::from_ref(&row.id)), ..Default::default() };
    interface_list(&mut *tx, filter, INTERFACES_MAX).await
}

/// The node has let go: everything the cloud reserved for the instance is taken back.
async fn release(cloud: &Cloud, tx: &mut Tx, row: &mut InstanceRow) -> Result<(), StoreError> {
    for interface in interfaces(tx, row).await? {
        if interface.delete_on_termination && !crate::interfaces::attach::is_leaving(tx, &interface.id).await? {
            tag_delete_of(tx, interface.id.as_str()).await?;
            crate::flow_logs::end_of(tx, interface.id.as_str(), cloud.clock().now_ms()).await?;
            interface_delete(tx, &interface.id).await?;
        } else {
            // It stays its account's, with its elastic IPs; what came with the instance goes with it.
            public_address_release(tx, &interface.id).await?;
            interface_detach(tx, &interface.id).await?;
        }
    }
    placement_group_leave(tx, &row.id).await?;
    capacity_unuse(tx, &row.id).await?;
    host_unuse(tx, &row.id).await?;
    let now_ms = cloud.clock().now_ms();
    row.released = true;
    row.state = InstanceState::Terminated;
    row.state_changed_ms = now_ms;
    row.terminated_ms = Some(now_ms);
    Ok(())
}
