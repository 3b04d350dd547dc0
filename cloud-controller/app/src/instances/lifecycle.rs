//! `StartInstances`, `StopInstances`, `RebootInstances`, `TerminateInstances`: each changes the intent of all named
//! instances in one transaction, or of none.

use super::run::place::Room;
use super::run::take_public_address;
use crate::capacity::{Want, wire_tenancy};
use crate::fail::OrFail as _;
use crate::placement_groups::wire_group;
use crate::quotas::{Allowance, table as quotas};
use crate::spot::{self, change::Ending};
use crate::{Cloud, OpContext, events, load};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::Placement;
use mallee_store::{
    InstanceFilter, InstanceRow, InterfaceFilter, Tx, change_append, instance_fetch_locked, instance_intent_update,
    instance_list, interface_list, public_address_list,
};
use mallee_types::instance::{Observed, visible_state};
use mallee_types::instance_type::instance_type;
use mallee_types::{InstanceId, InstanceState, RunIntent, StateReason, ZoneName};
use std::collections::BTreeMap;

/// An instance with its state before and after a call.
pub type StateChange = (InstanceId, InstanceState, InstanceState);

/// What a call does to one instance.
enum Step {
    /// It is as wanted already.
    Nothing,
    /// The row was changed.
    Changed,
}

impl Cloud {
    /// The account's instances with these ids, in the order of the ids.
    ///
    /// # Errors
    /// EC2's for ids that are none, and naming every instance that is not there.
    pub async fn find_instances(&self, cx: &OpContext, ids: &[String]) -> Result<Vec<InstanceRow>, ApiError> {
        if ids.is_empty() {
            return Err(ApiError::missing_parameter("InstanceId"));
        }
        let ids: Vec<InstanceId> = crate::ids::parse_ids(ids, Code::InvalidInstanceIdMalformed)?;
        let filter = InstanceFilter { account: Some(cx.account()), ids: Some(&ids), ..Default::default() };
        let rows = instance_list(self.store(), filter, u32::try_from(ids.len()).unwrap_or(u32::MAX)).await.or_fail()?;
        crate::ids::require_all(&ids, |id| rows.iter().any(|row| row.id == *id), Code::InvalidInstanceIdNotFound)?;
        Ok(rows)
    }

    /// `TerminateInstances`.
    ///
    /// # Errors
    /// `OperationNotPermitted` for protected ones; ids that are none.
    pub async fn terminate_instances(
        &self,
        cx: &OpContext,
        ids: &[String],
        dry_run: bool,
    ) -> Result<Vec<StateChange>, ApiError> {
        let rows = self.find_instances(cx, ids).await?;
        if let Some(row) = rows.iter().find(|row| row.doc.disable_api_termination && row.intent != RunIntent::Terminate)
        {
            return Err(Code::OperationNotPermitted.message(format!(
                "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
                row.id
            )));
        }
        let transition = self.user_initiated();
        let changes = self
            .change(&rows, dry_run, "cloud.terminate", |row| {
                if row.intent == RunIntent::Terminate {
                    return Ok(Step::Nothing);
                }
                row.intent = RunIntent::Terminate;
                set_reason(row, &StateReason::user_terminate(), &transition);
                Ok(Step::Changed)
            })
            .await?;
        // They may have been a fleet's.
        self.fleet_nudge().wake();
        Ok(changes)
    }

    /// `StopInstances`. The guest always gets its grace before the plug is pulled.
    ///
    /// # Errors
    /// `IncorrectInstanceState`, `OperationNotPermitted`; ids that are none.
    pub async fn stop_instances(
        &self,
        cx: &OpContext,
        ids: &[String],
        dry_run: bool,
    ) -> Result<Vec<StateChange>, ApiError> {
        let rows = self.find_instances(cx, ids).await?;
        if let Some(row) = rows.iter().find(|row| row.doc.disable_api_stop && row.intent == RunIntent::Run) {
            return Err(Code::OperationNotPermitted.message(format!(
                "The instance '{}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.",
                row.id
            )));
        }
        if let Some(row) = rows.iter().find(|row| row.doc.spot.as_ref().is_some_and(|spot| !spot.persistent)) {
            return Err(Code::UnsupportedOperation.message(format!(
                "You can't stop the Spot Instance '{}' because it is associated with a one-time Spot Instance request. \
                 You can only stop Spot Instances associated with persistent Spot Instance requests.",
                row.id
            )));
        }
        let transition = self.user_initiated();
        self.change(&rows, dry_run, "cloud.stop", |row| match row.state {
            InstanceState::Stopping | InstanceState::Stopped => Ok(Step::Nothing),
            InstanceState::Running => {
                row.intent = RunIntent::Stop;
                set_reason(row, &StateReason::user_stop(), &transition);
                Ok(Step::Changed)
            }
            InstanceState::Pending | InstanceState::ShuttingDown | InstanceState::Terminated => {
                Err(Code::IncorrectInstanceState.with(&[row.id.as_str(), "stopped"]))
            }
        })
        .await
    }

    /// `StartInstances`. The room on the node that holds the disk is reserved first.
    ///
    /// # Errors
    /// `IncorrectInstanceState`, `InsufficientInstanceCapacity`; ids that are none.
    pub async fn start_instances(
        &self,
        cx: &OpContext,
        ids: &[String],
        dry_run: bool,
    ) -> Result<Vec<StateChange>, ApiError> {
        let rows = self.find_instances(cx, ids).await?;
        for row in &rows {
            if !matches!(row.state, InstanceState::Pending | InstanceState::Running | InstanceState::Stopped) {
                return Err(Code::IncorrectInstanceState.with(&[row.id.as_str(), "started"]));
            }
        }
        self.may_start_spot(&rows).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:StartInstances", "instance", &[]).await?;
        self.start_rows(&allowance, &rows).await
    }

    /// Starts instances that may be started, within the allowance.
    pub(crate) async fn start_rows(
        &self,
        allowance: &Allowance,
        rows: &[InstanceRow],
    ) -> Result<Vec<StateChange>, ApiError> {
        let mut reserved: Vec<(ZoneName, String)> = Vec::new();
        let outcome = self.start_reserved(allowance, rows, &mut reserved).await;
        if outcome.is_err() {
            for (zone, request_id) in &reserved {
                self.give_back(zone, request_id).await;
            }
        }
        outcome
    }

    async fn start_reserved(
        &self,
        allowance: &Allowance,
        rows: &[InstanceRow],
        reserved: &mut Vec<(ZoneName, String)>,
    ) -> Result<Vec<StateChange>, ApiError> {
        let mut placements: BTreeMap<InstanceId, Placement> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.state == InstanceState::Stopped) {
            let request_id = self.rng().uuid();
            let offer = self.capacity_offer(&Want::of(row), &[]).await?;
            let room = Room { offer, ..room_of(row)? };
            let placed = match self.reserve(&row.zone, &request_id, &room, 1, std::slice::from_ref(&row.id)).await {
                Ok(placed) => placed,
                Err(refusal) => return Err(self.make_room(&row.zone, refusal, room.instance_type).await),
            };
            reserved.push((row.zone.clone(), request_id));
            placements.extend(placed.into_iter().next().map(|placement| (row.id.clone(), placement)));
        }
        let now_ms = self.clock().now_ms();
        self.change_within(Some(allowance), rows, "cloud.start", |row| match row.state {
            InstanceState::Pending | InstanceState::Running => Ok(Step::Nothing),
            InstanceState::Stopped => {
                row.intent = RunIntent::Run;
                if let Some(placement) = placements.get(&row.id) {
                    if let Some(group) = &mut row.doc.group {
                        group.partition = placement.partition;
                    }
                    // Empty: none.
                    row.doc.capacity_reservation = placement.capacity_reservation_id.parse().ok();
                }
                row.launch_ms = now_ms;
                row.doc.guest_heard = false;
                row.transition_reason = String::new();
                row.state_reason_code = Some("pending".into());
                row.state_reason_message = Some("pending".into());
                Ok(Step::Changed)
            }
            InstanceState::ShuttingDown | InstanceState::Terminated | InstanceState::Stopping => {
                Err(Code::IncorrectInstanceState.with(&[row.id.as_str(), "started"]))
            }
        })
        .await
    }

    /// `RebootInstances`.
    ///
    /// # Errors
    /// `IncorrectInstanceState` for one that does not run; ids that are none.
    pub async fn reboot_instances(&self, cx: &OpContext, ids: &[String], dry_run: bool) -> Result<(), ApiError> {
        let rows = self.find_instances(cx, ids).await?;
        let now_ms = self.clock().now_ms();
        self.change(&rows, dry_run, "cloud.reboot", |row| match row.state {
            InstanceState::Running => {
                row.reboot_seq += 1;
                row.doc.guest_heard = false;
                row.doc.booted_ms = now_ms;
                Ok(Step::Changed)
            }
            InstanceState::Pending
            | InstanceState::ShuttingDown
            | InstanceState::Terminated
            | InstanceState::Stopping
            | InstanceState::Stopped => Err(Code::IncorrectInstanceState.with(&[row.id.as_str(), "rebooted"])),
        })
        .await
        .map(drop)
    }

    fn user_initiated(&self) -> String {
        self.transition("User initiated")
    }

    /// What happened, and when, as EC2 writes the reason of a transition.
    pub(crate) fn transition(&self, what: &str) -> String {
        let t = self.clock().now();
        format!(
            "{what} ({:04}-{:02}-{:02} {:02}:{:02}:{:02} GMT)",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }

    /// Applies `step` to each row as it is now, under lock, in one transaction.
    async fn change(
        &self,
        rows: &[InstanceRow],
        dry_run: bool,
        point: &str,
        step: impl Fn(&mut InstanceRow) -> Result<Step, ApiError>,
    ) -> Result<Vec<StateChange>, ApiError> {
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.change_within(None, rows, point, step).await
    }

    /// As [`Cloud::change`]; those that begin to take room on a node must be within the allowance.
    async fn change_within(
        &self,
        allowance: Option<&Allowance>,
        rows: &[InstanceRow],
        point: &str,
        step: impl Fn(&mut InstanceRow) -> Result<Step, ApiError>,
    ) -> Result<Vec<StateChange>, ApiError> {
        self.faults().point(point).await.or_fail()?;
        let now_ms = self.clock().now_ms();
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(allowance) = allowance {
            allowance.hold(&mut tx).await?;
        }
        let (mut count, mut vcpus, mut memory_mib) = (0, 0, 0);
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            let mut row = instance_fetch_locked(&mut tx, &row.id).await.or_fail()?;
            let (before, intent) = (row.state, row.intent);
            match step(&mut row)? {
                Step::Nothing => {}
                Step::Changed => {
                    spot::follow(&mut tx, &mut row, intent, Ending::User, now_ms).await.or_fail()?;
                    self.write_intent(&mut tx, &mut row).await?;
                    (count, vcpus) = (count + 1, vcpus + u64::from(row.doc.vcpus));
                    memory_mib += row.doc.memory_mib;
                }
            }
            changes.push((row.id, before, row.state));
        }
        if let Some(allowance) = allowance.filter(|_| count > 0) {
            let demands = [(&quotas::ACTIVE_INSTANCES, count), (&quotas::VCPUS, vcpus), (&quotas::MEMORY, memory_mib)];
            allowance.verify(&mut tx, &demands).await?;
        }
        self.faults().point(&format!("{point}.before-commit")).await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point(&format!("{point}.committed")).await.or_fail()?;
        Ok(changes)
    }

    pub(crate) async fn write_intent(&self, tx: &mut Tx, row: &mut InstanceRow) -> Result<(), ApiError> {
        let starting = row.intent == RunIntent::Run && row.state == InstanceState::Stopped;
        // What was observed is the outcome of the old intent: a start shows `pending` until its own outcome is heard,
        // a stop shows `stopping`.
        let observed = Observed { phase: row.observed_phase, network_applied: row.observed_network };
        let state = match row.intent {
            RunIntent::Run if row.state == InstanceState::Running => InstanceState::Running,
            RunIntent::Run => InstanceState::Pending,
            RunIntent::Stop => InstanceState::Stopping,
            RunIntent::Terminate => visible_state(row.intent, observed, false),
        };
        if state != row.state {
            row.state = state;
            row.state_changed_ms = self.clock().now_ms();
        }
        if starting && row.doc.auto_public_ip {
            let filter = InterfaceFilter { instances: Some(std::slice::from_ref(&row.id)), ..Default::default() };
            let interfaces = interface_list(&mut *tx, filter, 2).await.or_fail()?;
            // As on EC2: with several interfaces it gets none.
            for interface in interfaces.iter().filter(|_| interfaces.len() == 1) {
                // An elastic IP stays while the instance is stopped, and is all it needs.
                let shown = public_address_list(&mut *tx, Some(std::slice::from_ref(&interface.id)), None, 1).await;
                if shown.or_fail()?.is_empty() {
                    take_public_address(self, tx, interface).await?;
                }
            }
        }
        row.generation = instance_intent_update(tx, row).await.or_fail()?;
        events::follow(tx, row, self.clock().now_ms()).await.or_fail()?;
        if starting && !self.use_capacity(tx, row).await? {
            return Err(Code::InsufficientInstanceCapacity
                .message("The slot of the capacity reservation was taken meanwhile. Please try again."));
        }
        change_append(tx, load::INSTANCE, &row.id, Some(&row.zone));
        Ok(())
    }
}

pub(crate) fn set_reason(row: &mut InstanceRow, reason: &StateReason, transition: &str) {
    row.state_reason_code = Some(reason.code.clone());
    row.state_reason_message = Some(reason.message.clone());
    row.transition_reason = transition.to_owned();
}

fn room_of(row: &InstanceRow) -> Result<Room, ApiError> {
    let size = instance_type(&row.instance_type)
        .ok_or_else(|| ApiError::internal(format!("{}: unknown type {}", row.id, row.instance_type)))?;
    Ok(Room {
        instance_type: size.name,
        vcpus: row.doc.vcpus,
        memory_mib: row.doc.memory_mib,
        // The disk is there already.
        disk_bytes: 0,
        image_digest: String::new(),
        node_id: row.node_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        group: row.doc.group.as_ref().map(wire_group),
        is_spot: row.doc.spot.is_some(),
        account: row.account_id.to_string(),
        tenancy: wire_tenancy(&row.doc.tenancy),
        // Its disk is on that host: it can start nowhere else.
        hosts: row.doc.host.iter().cloned().collect(),
        ..Room::default()
    })
}
