//! Asking a zone's cluster controller for room.

use super::RunRequest;
use super::resolve::Resolved;
use crate::capacity::{Offer, Want, wire_tenancy};
use crate::cluster_link::client;
use crate::fail::wire_failure;
use crate::placement_groups::wire_group;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::{
    Decision, NodeVerdict, PlaceReply, PlaceRequest, Placement, PlacementGroup, SlotsOf, Tenancy, UnplaceRequest,
};
use mallee_proto::{Kind, WireError};
use mallee_store::SubnetRow;
use mallee_types::{CapacityReservationId, HostId, InstanceId, ZoneName};
use serde_json::json;
use std::time::Duration;
use tonic::Request;

/// Longest wait for a placement.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the cluster holds the room for us to commit.
const RESERVATION_TTL_MS: u64 = 30_000;
/// The cause of a refusal that says nothing of the room there is: the zone could not be asked.
pub(crate) const NOT_NOW: &str = "the zone cannot say now";
/// Longest list of refusals in an error text.
const REASONS_MAX: usize = 5;

/// Room that was reserved and not yet used.
#[derive(Debug)]
pub(super) struct Placed {
    pub subnet: SubnetRow,
    pub placements: Vec<Placement>,
    request_id: String,
}

/// What is placed that is no instance.
#[derive(Debug, Clone)]
pub(crate) enum Keep {
    /// Slots of this generation of a reservation.
    Slots(CapacityReservationId, u64),
    /// A dedicated host.
    Host(HostId),
}

/// What to place, besides how many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room {
    pub instance_type: &'static str,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub disk_bytes: u64,
    pub image_digest: String,
    /// Only there; empty: anywhere.
    pub node_id: String,
    /// In this placement group.
    pub group: Option<PlacementGroup>,
    /// No instances.
    pub keep: Option<Keep>,
    /// In these reservations.
    pub offer: Offer,
    /// Whose.
    pub account: String,
    pub tenancy: Tenancy,
    /// With the tenancy `host`: on one of these.
    pub hosts: Vec<HostId>,
    /// For spot instances: nobody makes room for them, and they keep off room that is being made.
    pub is_spot: bool,
}

/// Why nothing was placed, and what would change that.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What the caller is told if nothing is done.
    pub error: ApiError,
    /// Spot instances whose going would make room.
    pub victims: Vec<InstanceId>,
    /// When those are gone that have their notice, and there is room; 0: not so.
    pub room_at_ms: i64,
}

impl Refusal {
    const fn may_pass(&self) -> bool {
        !self.victims.is_empty() || self.room_at_ms > 0
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, victims: Vec::new(), room_at_ms: 0 }
    }
}

/// A decision as it is kept with the instance.
pub(crate) fn decision_json(decision: &Decision) -> String {
    let verdict = |v: &NodeVerdict| json!({ "node": v.node_id, "refused_by": v.refused_by, "reason": v.reason, "score": v.score });
    json!({
        "chosen": decision.chosen,
        "strategy": decision.strategy,
        "decided_at_ms": decision.decided_at_ms,
        "verdicts": decision.verdicts.iter().map(verdict).collect::<Vec<_>>(),
    })
    .to_string()
}

fn reasons(refused: &[NodeVerdict]) -> String {
    let mut texts: Vec<String> =
        refused.iter().take(REASONS_MAX).map(|v| format!("{}: {}", v.node_id, v.reason)).collect();
    if refused.len() > REASONS_MAX {
        texts.push(format!("and {} more nodes", refused.len() - REASONS_MAX));
    }
    texts.join("; ")
}

impl Cloud {
    /// Reserves room in the first candidate subnet's zone that has it; not in the reservations of `shunned`.
    pub(super) async fn place(
        &self,
        cx: &OpContext,
        request: &RunRequest,
        resolved: &Resolved,
        shunned: &[CapacityReservationId],
    ) -> Result<Placed, ApiError> {
        let ids: Vec<InstanceId> = (0..request.max_count).map(|_| InstanceId::from_random(self.rng().u128())).collect();
        let mut room = Room {
            instance_type: resolved.size.name,
            vcpus: resolved.size.vcpus,
            memory_mib: resolved.size.memory_mib,
            disk_bytes: resolved.root_disk_bytes,
            image_digest: resolved.image.digest.clone(),
            node_id: String::new(),
            group: resolved.group.as_ref().map(wire_group),
            is_spot: request.spot.is_some(),
            account: cx.account().to_string(),
            tenancy: wire_tenancy(&request.tenancy),
            ..Room::default()
        };
        let mut refusal: Option<(&ZoneName, Refusal)> = None;
        for subnet in &resolved.subnets {
            let request_id = self.rng().uuid();
            let want = Want {
                account: cx.account(),
                zone: &subnet.zone,
                instance_type: resolved.size.name,
                tenancy: &request.tenancy,
                // Reservations are not for spot instances.
                preference: if request.spot.is_some() { Some("none") } else { request.capacity_preference.as_deref() },
                target: request.capacity_target.as_ref(),
            };
            room.offer = self.capacity_offer(&want, shunned).await?;
            if request.tenancy == "host" {
                match self.host_offer(cx.account(), &subnet.zone, resolved.size.name, &request.host).await {
                    Ok(hosts) => room.hosts = hosts,
                    // Another zone may have one.
                    Err(error) => {
                        refusal = refusal.or_else(|| Some((&subnet.zone, error.into())));
                        continue;
                    }
                }
            }
            match self.reserve(&subnet.zone, &request_id, &room, request.min_count, &ids).await {
                Ok(placements) => return Ok(Placed { subnet: subnet.clone(), placements, request_id }),
                // Room is made where it can be, otherwise the first zone says why there is none.
                Err(new) => match &refusal {
                    Some((_, old)) if old.may_pass() || !new.may_pass() => {}
                    _ => refusal = Some((&subnet.zone, new)),
                },
            }
        }
        match refusal {
            Some((zone, refusal)) => Err(self.make_room(zone, refusal, room.instance_type).await),
            None => Err(Code::InsufficientInstanceCapacity.error()),
        }
    }

    /// Reserves room for at least `min` of the instances in a zone.
    pub(crate) async fn reserve(
        &self,
        zone: &ZoneName,
        request_id: &str,
        room: &Room,
        min: u32,
        ids: &[InstanceId],
    ) -> Result<Vec<Placement>, Refusal> {
        if room.is_spot {
            self.spot_may_take(zone, room.instance_type).await?;
        }
        let state = self.zone_state(zone);
        let Some((channel, epoch)) = state.session() else {
            let why = state.trouble().unwrap_or_else(|| "its cluster controller is not connected".into());
            return Err(insufficient(room.instance_type, zone, &why).because(NOT_NOW).into());
        };
        let mut request = Request::new(PlaceRequest {
            epoch: epoch.0,
            request_id: request_id.to_owned(),
            instance_type: room.instance_type.to_owned(),
            vcpus: room.vcpus,
            memory_mib: room.memory_mib,
            disk_bytes: room.disk_bytes,
            count_min: min,
            count_max: u32::try_from(ids.len()).unwrap_or(u32::MAX),
            image_digest: room.image_digest.clone(),
            node_id: room.node_id.clone(),
            ttl_ms: RESERVATION_TTL_MS,
            instance_ids: ids.iter().map(ToString::to_string).collect(),
            group: room.group.clone(),
            capacity_reservations: (room.offer.ids.iter())
                .map(|(id, generation)| SlotsOf { id: id.to_string(), generation: generation.0 })
                .collect(),
            reserved_only: room.offer.only,
            slots_of: match &room.keep {
                Some(Keep::Slots(id, generation)) => Some(SlotsOf { id: id.to_string(), generation: *generation }),
                Some(Keep::Host(_)) | None => None,
            },
            allocate_host_id: match &room.keep {
                Some(Keep::Host(id)) => id.to_string(),
                Some(Keep::Slots(..)) | None => String::new(),
            },
            account_id: room.account.clone(),
            tenancy: room.tenancy.into(),
            host_ids: room.hosts.iter().map(ToString::to_string).collect(),
            preempts: !room.is_spot,
        });
        request.set_timeout(PLACE_TIMEOUT);
        let PlaceReply { placements, refused, victims, room_at_ms } = match client(channel).place(request).await {
            Ok(reply) => reply.into_inner(),
            Err(status) => {
                let error = WireError::from(status);
                // It may have been placed all the same, and only the reply been lost.
                if error.kind != Kind::Capacity {
                    self.give_back(zone, request_id).await;
                }
                let error = match error.kind {
                    Kind::Capacity => insufficient(room.instance_type, zone, &error.message),
                    Kind::Unavailable => insufficient(room.instance_type, zone, &error.message).because(NOT_NOW),
                    _ => wire_failure(error),
                };
                return Err(error.into());
            }
        };
        if placements.len() < min as usize || placements.is_empty() {
            let why = match refused.as_slice() {
                [] if room.offer.only => "no capacity reservation that matches has a free slot".to_owned(),
                [] => "no node has joined".to_owned(),
                refused => reasons(refused),
            };
            let victims: Result<_, _> = victims.iter().map(|id| id.parse()).collect();
            let (error, victims) = (no_room(room, zone, &why), victims.map_err(ApiError::internal)?);
            return Err(Refusal { error, victims, room_at_ms });
        }
        Ok(placements)
    }

    /// Gives room back that was not used. If this fails too, the reservation runs out by itself.
    pub(super) async fn unplace(&self, placed: &Placed) {
        self.give_back(&placed.subnet.zone, &placed.request_id).await;
    }

    pub(crate) async fn give_back(&self, zone: &ZoneName, request_id: &str) {
        let Some((channel, epoch)) = self.zone_state(zone).session() else { return };
        let mut request = Request::new(UnplaceRequest { epoch: epoch.0, request_id: request_id.to_owned() });
        request.set_timeout(PLACE_TIMEOUT);
        if let Err(status) = client(channel).unplace(request).await {
            tracing::info!(%zone, error = %status.message(), "a reservation was not given back; it will run out");
        }
    }
}

/// What EC2 says where there is no room for this, and why there is none.
fn no_room(room: &Room, zone: &ZoneName, why: &str) -> ApiError {
    if room.offer.targeted {
        return Code::ReservationCapacityExceeded.message(format!(
            "The targeted capacity reservation does not have sufficient available instance capacity. {why}"
        ));
    }
    match (&room.keep, room.tenancy) {
        (Some(Keep::Host(_)), _) => Code::InsufficientHostCapacity
            .message(format!("There is not enough capacity to fulfill your Dedicated Host request in {zone}. {why}")),
        (None, Tenancy::Host) => Code::InsufficientCapacityOnHost.message(format!(
            "There is not enough capacity on the Dedicated Host to launch or start the instance. {why}"
        )),
        _ => insufficient(room.instance_type, zone, why),
    }
}

/// EC2's code and first sentence; the second names the cause, which AWS keeps to itself.
pub(crate) fn insufficient(instance_type: &str, zone: &ZoneName, why: &str) -> ApiError {
    Code::InsufficientInstanceCapacity.message(format!(
        "We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested ({zone}). {why}"
    ))
}
