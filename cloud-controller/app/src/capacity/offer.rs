//! Which reservations a launch or a start may use, and what its commit makes of the one it got.

use super::{PLATFORM, reservation_gone};
use crate::Cloud;
use crate::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    CapacityFilter, CapacityReservationRow, CapacityState, InstanceRow, Tx, capacity_fetch_locked, capacity_list,
    capacity_unuse, capacity_use, capacity_used,
};
use mallee_types::{AccountId, CapacityReservationId, Generation, ZoneName};

/// Reservations tried for one launch, the oldest first.
const TRIED_MAX: u32 = 50;

/// What is to run, as reservations look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want<'a> {
    pub account: &'a AccountId,
    pub zone: &'a ZoneName,
    pub instance_type: &'a str,
    /// `default`, `dedicated` or `host`.
    pub tenancy: &'a str,
    pub preference: Option<&'a str>,
    pub target: Option<&'a CapacityReservationId>,
}

impl<'a> Want<'a> {
    /// An instance that is to be started.
    pub(crate) fn of(row: &'a InstanceRow) -> Self {
        Self {
            account: &row.account_id,
            zone: &row.zone,
            instance_type: &row.instance_type,
            tenancy: &row.doc.tenancy,
            // Reservations are not for spot instances.
            preference: if row.doc.spot.is_some() { Some("none") } else { row.doc.capacity_preference.as_deref() },
            target: row.doc.capacity_target.as_ref().filter(|_| row.doc.spot.is_none()),
        }
    }
}

/// Whether an instance may be bound to capacity reservations by this wish at all.
pub(crate) fn check_wish(
    is_spot: bool,
    tenancy: &str,
    preference: Option<&str>,
    target: Option<&CapacityReservationId>,
) -> Result<(), ApiError> {
    let whose = match (is_spot, tenancy) {
        (true, _) => "Spot Instances",
        (false, "host") => "Dedicated Hosts",
        (false, _) => return Ok(()),
    };
    let what = match (target, preference) {
        (Some(_), _) => "CapacityReservationTarget",
        (None, Some("capacity-reservations-only")) => "CapacityReservationPreference 'capacity-reservations-only'",
        (None, _) => return Ok(()),
    };
    Err(ApiError::invalid_combination(format!(
        "Capacity Reservations can't be used with {whose}: the parameter {what} cannot be given."
    )))
}

/// Reservations that may be used, and whether there is no other place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// With their generations: the cluster must have heard of them.
    pub ids: Vec<(CapacityReservationId, Generation)>,
    pub only: bool,
    /// It is the one that was named.
    pub targeted: bool,
}

/// Whether a reservation that was named can be used.
pub(crate) fn fits(row: &CapacityReservationRow, want: &Want<'_>) -> Result<(), ApiError> {
    if row.state != CapacityState::Active {
        return Err(Code::InvalidCapacityReservationState.message(format!(
            "The capacity reservation '{}' is {}.",
            row.id,
            row.state.name()
        )));
    }
    let differs = [
        ("instance type", row.instance_type.as_str(), want.instance_type),
        ("Availability Zone", row.zone.as_str(), want.zone.as_str()),
        ("platform", row.platform.as_str(), PLATFORM),
        ("tenancy", row.tenancy.as_str(), want.tenancy),
    ];
    match differs.iter().find(|(_, has, wanted)| has != wanted) {
        None => Ok(()),
        Some((what, has, wanted)) => Err(Code::InvalidParameterValue
            .message(format!("The {what} of the capacity reservation '{}' is '{has}', not '{wanted}'.", row.id))),
    }
}

impl Cloud {
    /// The reservations that may be used, without those in `shunned` (which turned out to be full).
    ///
    /// # Errors
    /// A target that cannot be used; `ReservationCapacityExceeded` when there is no other.
    pub(crate) async fn capacity_offer(
        &self,
        want: &Want<'_>,
        shunned: &[CapacityReservationId],
    ) -> Result<Offer, ApiError> {
        if let Some(target) = want.target {
            let filter = CapacityFilter {
                account: Some(want.account),
                ids: Some(std::slice::from_ref(target)),
                ..Default::default()
            };
            let found = capacity_list(self.store(), filter, 1).await.or_fail()?.pop();
            let row = found.ok_or_else(|| Code::InvalidCapacityReservationIdNotFound.with(&[target.as_str()]))?;
            fits(&row, want)?;
            if shunned.contains(target) {
                return Err(Code::ReservationCapacityExceeded.error());
            }
            return Ok(Offer { ids: vec![(row.id, row.generation)], only: true, targeted: true });
        }
        let only = want.preference == Some("capacity-reservations-only");
        if want.preference == Some("none") || want.tenancy == "host" {
            return Ok(Offer { only, ..Offer::default() });
        }
        let filter = CapacityFilter {
            account: Some(want.account),
            state: Some(CapacityState::Active),
            zone: Some(want.zone),
            instance_type: Some(want.instance_type),
            ..Default::default()
        };
        let mut rows = capacity_list(self.store(), filter, TRIED_MAX).await.or_fail()?;
        rows.retain(|row| row.match_criteria == "open" && fits(row, want).is_ok() && !shunned.contains(&row.id));
        rows.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Ok(Offer { ids: rows.into_iter().map(|row| (row.id, row.generation)).collect(), only, targeted: false })
    }

    /// Notes that an instance, whose row is written in this transaction, uses the slot its row names (or none).
    /// `false`: the reservation ended meanwhile, or is full.
    pub(crate) async fn use_capacity(&self, tx: &mut Tx, row: &InstanceRow) -> Result<bool, ApiError> {
        let Some(id) = &row.doc.capacity_reservation else {
            capacity_unuse(tx, &row.id).await.or_fail()?;
            return Ok(true);
        };
        let reservation = capacity_fetch_locked(tx, id).await.map_err(reservation_gone(id))?;
        if reservation.state != CapacityState::Active {
            return Ok(false);
        }
        capacity_use(tx, &row.id, id).await.map_err(reservation_gone(id))?;
        let used = capacity_used(&mut *tx, std::slice::from_ref(id)).await.or_fail()?;
        let fits = used.get(id).into_iter().flatten().all(|(node, used)| {
            let slots = reservation.slots.0.get(node).copied().unwrap_or_default();
            *used <= slots || row.node_id.as_ref() != Some(node)
        });
        Ok(fits)
    }
}
