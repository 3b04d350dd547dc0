//! Capacity reservations: room that is held on nodes until instances of the account come that match.
//!
//! The cluster controller chooses the nodes and holds the room ([`crate::instances`] asks it the same way for
//! instances); the row says where the slots are, and the cluster is told it like any intent. Who uses a slot is counted
//! from the rows of instances: one that ends or stops gives its slot back by that.

mod change;
pub(crate) mod check;
mod hosts;
pub mod keeper;
mod offer;

pub use change::ReservationChange;
pub use hosts::{HOST_TAG_KIND, HostSizes, HostWish, NewHosts, family, takes};
pub(crate) use offer::{Offer, Want, check_wish};

use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::instances::run::place::{Keep, Room};
use crate::once::{Once, record};
use crate::quotas::hold_account;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::{self, Placement};
use mallee_store::{
    CapacityFilter, CapacityReservationRow, CapacityState, Json, StoreError, capacity_count, capacity_insert,
    capacity_list, change_append, client_token_peek, tag_put,
};
use mallee_types::limits::RUN_INSTANCES_COUNT_MAX;
use mallee_types::{CapacityReservationId, Generation, InstanceId, NodeId, ZoneName};
use std::collections::BTreeMap;

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "capacity-reservation";
/// The one platform that images of this cloud are of.
pub const PLATFORM: &str = "Linux/UNIX";
/// Active reservations of an account.
const RESERVATIONS_MAX: u64 = 1000;
const OPERATION: &str = "CreateCapacityReservation";
const GIB: u64 = 1 << 30;

/// A reservation that is to be made.
#[derive(Debug)]
pub struct NewReservation {
    /// Where.
    pub zone: ZoneName,
    /// AWS's name of the size.
    pub instance_type: String,
    /// For so many instances.
    pub count: u32,
    /// Alone on their nodes.
    pub dedicated: bool,
    /// Only instances that name it use it; else all that match.
    pub targeted: bool,
    /// When it is to end by itself, in milliseconds since 1970.
    pub end_ms: Option<i64>,
    /// Shown only: it changes nothing about where instances are.
    pub ebs_optimized: bool,
    /// Shown only.
    pub ephemeral_storage: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The caller's token.
    pub once: Once,
}

/// `open` or `targeted`.
pub(crate) const fn criteria(targeted: bool) -> &'static str {
    if targeted { "targeted" } else { "open" }
}

/// How the wire calls a tenancy.
pub(crate) fn wire_tenancy(tenancy: &str) -> v1::Tenancy {
    match tenancy {
        "dedicated" => v1::Tenancy::Dedicated,
        "host" => v1::Tenancy::Host,
        _ => v1::Tenancy::Shared,
    }
}

/// Placed slots, by node.
fn by_node(placements: &[Placement]) -> Result<BTreeMap<NodeId, u32>, ApiError> {
    let mut slots: BTreeMap<NodeId, u32> = BTreeMap::new();
    for placement in placements {
        let node: NodeId = placement.node_id.parse().map_err(ApiError::internal)?;
        *slots.entry(node).or_default() += 1;
    }
    Ok(slots)
}

/// The instances one reservation may be for.
fn check_count(count: u32) -> Result<(), ApiError> {
    if (1..=RUN_INSTANCES_COUNT_MAX).contains(&count) {
        return Ok(());
    }
    let why = format!("A reservation is for 1 to {RUN_INSTANCES_COUNT_MAX} instances.");
    Err(ApiError::invalid_value("instanceCount", &count.to_string(), &why))
}

impl Cloud {
    fn check_end(&self, end_ms: Option<i64>) -> Result<(), ApiError> {
        match end_ms {
            Some(end_ms) if end_ms <= self.clock().now_ms() => {
                Err(Code::InvalidParameterValue
                    .message("The end date of a capacity reservation must be in the future."))
            }
            _ => Ok(()),
        }
    }

    /// `CreateCapacityReservation`.
    ///
    /// # Errors
    /// `InsufficientInstanceCapacity` with reasons when the zone has not the room; values that are none.
    pub async fn create_capacity_reservation(
        &self,
        cx: &OpContext,
        new: NewReservation,
        dry_run: bool,
    ) -> Result<CapacityReservationRow, ApiError> {
        check_count(new.count)?;
        tags::validate(&new.tags)?;
        let size = self.size_named(&new.instance_type).await?;
        if let Some(done) = self.reserved_before(cx, &new.once).await? {
            return Ok(done);
        }
        self.check_end(new.end_ms)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut row = CapacityReservationRow {
            id: CapacityReservationId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            zone: new.zone.clone(),
            state: CapacityState::Active,
            generation: Generation(1),
            instance_type: size.name.to_owned(),
            platform: PLATFORM.to_owned(),
            tenancy: if new.dedicated { "dedicated" } else { "default" }.to_owned(),
            match_criteria: criteria(new.targeted).to_owned(),
            vcpus: size.vcpus,
            memory_mib: size.memory_mib,
            disk_bytes: size.root_disk_gib * GIB,
            slots: Json(BTreeMap::new()),
            ebs_optimized: new.ebs_optimized,
            ephemeral_storage: new.ephemeral_storage,
            created_ms: self.clock().now_ms(),
            end_ms: new.end_ms,
            ended_ms: None,
        };
        self.faults().point("cloud.capacity.create").await.or_fail()?;
        let request_id = self.rng().uuid();
        let placements = self.place_slots(&row, size.name, new.count, 1, &request_id).await?;
        let outcome = self.commit_reservation(cx, &mut row, &new, &placements).await;
        if !matches!(outcome, Ok(None)) {
            self.give_back(&row.zone, &request_id).await;
        }
        if let Some(before) = outcome? {
            return self.find_capacity_reservation(cx, &before).await;
        }
        self.faults().point("cloud.capacity.create.committed").await.or_fail()?;
        self.capacity_nudge().wake();
        Ok(row)
    }

    /// The result of an earlier call with this token.
    async fn reserved_before(&self, cx: &OpContext, once: &Once) -> Result<Option<CapacityReservationRow>, ApiError> {
        let Some(token) = &once.token else { return Ok(None) };
        match client_token_peek(self.store(), cx.account(), OPERATION, token).await.or_fail()? {
            Some((hash, _)) if hash != once.params_hash => Err(Code::IdempotentParameterMismatch.error()),
            Some((_, Some(id))) => self.find_capacity_reservation(cx, &id).await.map(Some),
            Some((_, None)) | None => Ok(None),
        }
    }

    /// Asks the zone for room for `count` more slots of a reservation.
    async fn place_slots(
        &self,
        row: &CapacityReservationRow,
        instance_type: &'static str,
        count: u32,
        generation: u64,
        request_id: &str,
    ) -> Result<Vec<Placement>, ApiError> {
        let ids: Vec<InstanceId> = (0..count).map(|_| InstanceId::from_random(self.rng().u128())).collect();
        let room = Room {
            instance_type,
            vcpus: row.vcpus,
            memory_mib: row.memory_mib,
            disk_bytes: row.disk_bytes,
            keep: Some(Keep::Slots(row.id.clone(), generation)),
            account: row.account_id.to_string(),
            tenancy: wire_tenancy(&row.tenancy),
            ..Room::default()
        };
        self.reserve(&row.zone, request_id, &room, count, &ids).await.map_err(|refusal| refusal.error)
    }

    /// The one transaction; the id of an earlier call's reservation if there was one.
    async fn commit_reservation(
        &self,
        cx: &OpContext,
        row: &mut CapacityReservationRow,
        new: &NewReservation,
        placements: &[Placement],
    ) -> Result<Option<String>, ApiError> {
        self.faults().point("cloud.capacity.placed").await.or_fail()?;
        row.slots = Json(by_node(placements)?);
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(before) = self.claim(&mut tx, cx, OPERATION, &new.once).await? {
            return Ok(Some(before));
        }
        hold_account(&mut tx, cx.account()).await?;
        if capacity_count(&mut tx, cx.account()).await.or_fail()? >= RESERVATIONS_MAX {
            return Err(Code::CapacityReservationLimitExceeded
                .message(format!("You have reached your limit of {RESERVATIONS_MAX} capacity reservations.")));
        }
        capacity_insert(&mut tx, row).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
        change_append(&mut tx, load::CAPACITY, &row.id, Some(&row.zone));
        record(&mut tx, cx, OPERATION, &new.once, row.id.as_str()).await?;
        self.faults().point("cloud.capacity.create.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(None)
    }

    /// The account's reservation of this id.
    ///
    /// # Errors
    /// `InvalidCapacityReservationId.NotFound`, or for an id that is none.
    pub async fn find_capacity_reservation(
        &self,
        cx: &OpContext,
        id: &str,
    ) -> Result<CapacityReservationRow, ApiError> {
        let ids = [parse_id::<CapacityReservationId>(id, Code::InvalidCapacityReservationIdMalformed)?];
        let filter = CapacityFilter { account: Some(cx.account()), ids: Some(&ids), ..Default::default() };
        let found = capacity_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidCapacityReservationIdNotFound.with(&[ids[0].as_str()]))
    }
}

/// A reservation that went away between the look-up and the commit.
pub(crate) fn reservation_gone(id: &CapacityReservationId) -> impl Fn(StoreError) -> ApiError + '_ {
    move |error| match error {
        StoreError::NotFound { .. } | StoreError::InUse => {
            Code::InvalidCapacityReservationIdNotFound.with(&[id.as_str()])
        }
        other => store_failure(other),
    }
}
