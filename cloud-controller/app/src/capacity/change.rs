//! `ModifyCapacityReservation` and `CancelCapacityReservation`; which reservation an instance is to use.

use super::{by_node, check_count, criteria, reservation_gone};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    CapacityReservationRow, CapacityState, capacity_fetch_locked, capacity_members, capacity_update, capacity_used,
    change_append, instance_fetch_locked, instance_observe,
};
use mallee_types::{CapacityReservationId, InstanceState, NodeId};
use std::collections::BTreeMap;

/// What of a reservation is to change; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReservationChange {
    /// For so many instances from now on.
    pub count: Option<u32>,
    /// When it is to end by itself; `Some(None)`: never.
    pub end_ms: Option<Option<i64>>,
    /// Only instances that name it use it.
    pub targeted: Option<bool>,
}

fn not_active(row: &CapacityReservationRow) -> ApiError {
    Code::InvalidCapacityReservationState.message(format!(
        "The capacity reservation '{}' is {}: it cannot be modified or cancelled.",
        row.id,
        row.state.name()
    ))
}

/// Takes `surplus` slots that nobody uses, where most are left beside the instances that are at `home` there (those that
/// are stopped can come back nowhere else). False if there are not so many.
fn shrink(
    slots: &mut BTreeMap<NodeId, u32>,
    used: &BTreeMap<NodeId, u32>,
    home: &BTreeMap<NodeId, u32>,
    mut surplus: u32,
) -> bool {
    let free = |node: &NodeId, count: u32| count.saturating_sub(used.get(node).copied().unwrap_or_default());
    let mut order: Vec<(NodeId, u32)> = slots.iter().map(|(node, count)| (node.clone(), free(node, *count))).collect();
    let spare = |node: &NodeId| {
        let (count, home) = (slots.get(node).copied(), home.get(node).copied());
        count.unwrap_or_default().saturating_sub(home.unwrap_or_default())
    };
    order.sort_by_key(|(node, _)| (std::cmp::Reverse(spare(node)), node.clone()));
    let spares: Vec<u32> = order.iter().map(|(node, free)| spare(node).min(*free)).collect();
    // What is spare first, what somebody may come back to only then.
    let rest = order.iter().zip(&spares).map(|((node, free), spare)| (node.clone(), free - spare)).collect::<Vec<_>>();
    let spare = order.into_iter().zip(spares).map(|((node, _), spare)| (node, spare));
    for (node, free) in spare.chain(rest) {
        let gives = free.min(surplus);
        surplus -= gives;
        if let Some(count) = slots.get_mut(&node) {
            *count -= gives;
        }
    }
    slots.retain(|_, count| *count > 0);
    surplus == 0
}

impl Cloud {
    /// `ModifyCapacityReservation`. More slots are placed first, as a new reservation's are.
    ///
    /// # Errors
    /// `InvalidCapacityReservationState` for one that has ended; `InsufficientInstanceCapacity`; fewer slots than are
    /// in use.
    pub async fn modify_capacity_reservation(
        &self,
        cx: &OpContext,
        id: &str,
        change: ReservationChange,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let row = self.find_capacity_reservation(cx, id).await?;
        if row.state != CapacityState::Active {
            return Err(not_active(&row));
        }
        if let Some(count) = change.count {
            check_count(count)?;
        }
        self.check_end(change.end_ms.flatten())?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.capacity.modify").await.or_fail()?;
        let more = change.count.unwrap_or_default().saturating_sub(row.count());
        let request_id = self.rng().uuid();
        let mut added = BTreeMap::new();
        if more > 0 {
            let size = self.size_named(&row.instance_type).await?;
            let generation = row.generation.0 + 1;
            added = by_node(&self.place_slots(&row, size.name, more, generation, &request_id).await?)?;
        }
        let outcome = self.commit_change(&row, change, &added).await;
        if outcome.is_err() && more > 0 {
            self.give_back(&row.zone, &request_id).await;
        }
        outcome?;
        self.faults().point("cloud.capacity.modify.committed").await.or_fail()?;
        self.capacity_nudge().wake();
        Ok(())
    }

    async fn commit_change(
        &self,
        read: &CapacityReservationRow,
        change: ReservationChange,
        added: &BTreeMap<NodeId, u32>,
    ) -> Result<(), ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        let mut row = capacity_fetch_locked(&mut tx, &read.id).await.map_err(reservation_gone(&read.id))?;
        if row.state != CapacityState::Active {
            return Err(not_active(&row));
        }
        if row.generation != read.generation {
            return Err(Code::Unavailable.message("The resource was changed by another request. Please try again."));
        }
        for (node, count) in added {
            *row.slots.0.entry(node.clone()).or_default() += count;
        }
        if let Some(count) = change.count.filter(|count| *count < row.count()) {
            let used = capacity_used(&mut tx, std::slice::from_ref(&row.id)).await.or_fail()?;
            let used = used.get(&row.id).cloned().unwrap_or_default();
            let home = capacity_members(&mut tx, &row.id).await.or_fail()?;
            let surplus = row.count() - count;
            if !shrink(&mut row.slots.0, &used, &home, surplus) {
                let users: u32 = used.values().sum();
                let why = format!("{users} instances use the capacity reservation.");
                return Err(ApiError::invalid_value("instanceCount", &count.to_string(), &why));
            }
        }
        row.end_ms = change.end_ms.unwrap_or(row.end_ms);
        if let Some(targeted) = change.targeted {
            criteria(targeted).clone_into(&mut row.match_criteria);
        }
        capacity_update(&mut tx, &row).await.or_fail()?;
        change_append(&mut tx, load::CAPACITY, &row.id, Some(&row.zone));
        self.faults().point("cloud.capacity.modify.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `CancelCapacityReservation`: its instances go on, as if they had never used it.
    ///
    /// # Errors
    /// `InvalidCapacityReservationState` for one that has ended.
    pub async fn cancel_capacity_reservation(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_capacity_reservation(cx, id).await?;
        if row.state != CapacityState::Active {
            return Err(not_active(&row));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.capacity.cancel").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let mut row = capacity_fetch_locked(&mut tx, &row.id).await.map_err(reservation_gone(&row.id))?;
        if row.state != CapacityState::Active {
            return Err(not_active(&row));
        }
        row.state = CapacityState::Cancelled;
        row.ended_ms = Some(self.clock().now_ms());
        capacity_update(&mut tx, &row).await.or_fail()?;
        change_append(&mut tx, load::CAPACITY, &row.id, Some(&row.zone));
        self.faults().point("cloud.capacity.cancel.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.capacity.cancel.committed").await.or_fail()?;
        // Who used it is told apart from it there.
        self.capacity_nudge().wake();
        Ok(())
    }

    /// `ModifyInstanceCapacityReservationAttributes`: what a stopped instance is to use when it is started.
    ///
    /// # Errors
    /// `IncorrectInstanceState` unless it is stopped; a reservation that is not the account's.
    pub async fn modify_instance_capacity(
        &self,
        cx: &OpContext,
        id: &str,
        preference: Option<String>,
        target: Option<CapacityReservationId>,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let row = self.find_instances(cx, std::slice::from_ref(&id.to_owned())).await?.pop();
        let row = row.ok_or_else(|| ApiError::instance_not_found(&[id]))?;
        let is_spot = row.doc.spot.is_some();
        super::offer::check_wish(is_spot, &row.doc.tenancy, preference.as_deref(), target.as_ref())?;
        if let Some(target) = &target {
            let reservation = self.find_capacity_reservation(cx, target.as_str()).await?;
            super::offer::fits(&reservation, &super::Want::of(&row))?;
        }
        let state = |state| match state {
            InstanceState::Stopped => Ok(()),
            _ => Err(Code::IncorrectInstanceState
                .message(format!("The instance '{}' is not in the 'stopped' state.", row.id))),
        };
        state(row.state)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.capacity.attributes").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let mut locked = instance_fetch_locked(&mut tx, &row.id).await.or_fail()?;
        state(locked.state)?;
        locked.doc.capacity_preference = preference;
        locked.doc.capacity_target = target;
        // Its node has nothing to do with it: the start decides.
        instance_observe(&mut tx, &locked).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(list: &[(u32, u32)]) -> BTreeMap<NodeId, u32> {
        list.iter().map(|(n, count)| (format!("n-{n}").parse().unwrap(), *count)).collect()
    }

    #[test]
    fn only_slots_that_nobody_uses_are_given_up() {
        let used = counts(&[(1, 2), (2, 1)]);
        let mut slots = counts(&[(1, 3), (2, 4)]);
        assert!(shrink(&mut slots, &used, &used, 3));
        assert_eq!(slots, counts(&[(1, 3), (2, 1)]), "where most are free");
        let mut slots = counts(&[(1, 3), (2, 4)]);
        assert!(!shrink(&mut slots, &used, &used, 5));
        let mut slots = counts(&[(3, 2)]);
        assert!(shrink(&mut slots, &used, &used, 2));
        assert_eq!(slots, counts(&[]));
        let (mut slots, home) = (counts(&[(1, 1), (2, 1)]), counts(&[(1, 1)]));
        assert!(shrink(&mut slots, &counts(&[]), &home, 1));
        assert_eq!(slots, counts(&[(1, 1)]), "somebody may come back there");
    }
}
