//! Asking a zone's cluster controller for room.

use super::RunRequest;
use super::resolve::Resolved;
use crate::Cloud;
use crate::cluster_link::client;
use crate::fail::wire_failure;
use crate::placement_groups::wire_group;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::{Decision, NodeVerdict, PlaceReply, PlaceRequest, Placement, PlacementGroup, UnplaceRequest};
use mallee_proto::{Kind, WireError};
use mallee_store::SubnetRow;
use mallee_types::{InstanceId, ZoneName};
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

/// What to place, besides how many.
#[derive(Debug, Clone)]
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
    /// Reserves room in the first candidate subnet's zone that has it.
    pub(super) async fn place(&self, request: &RunRequest, resolved: &Resolved) -> Result<Placed, ApiError> {
        let ids: Vec<InstanceId> = (0..request.max_count).map(|_| InstanceId::from_random(self.rng().u128())).collect();
        let room = Room {
            instance_type: resolved.size.name,
            vcpus: resolved.size.vcpus,
            memory_mib: resolved.size.memory_mib,
            disk_bytes: resolved.root_disk_bytes,
            image_digest: resolved.image.digest.clone(),
            node_id: String::new(),
            group: resolved.group.as_ref().map(wire_group),
        };
        let mut refusal = None;
        for subnet in &resolved.subnets {
            let request_id = self.rng().uuid();
            match self.reserve(&subnet.zone, &request_id, &room, request.min_count, &ids).await {
                Ok(placements) => return Ok(Placed { subnet: subnet.clone(), placements, request_id }),
                Err(error) => refusal = Some(refusal.unwrap_or(error)),
            }
        }
        Err(refusal.unwrap_or_else(|| Code::InsufficientInstanceCapacity.error()))
    }

    /// Reserves room for at least `min` of the instances in a zone.
    pub(crate) async fn reserve(
        &self,
        zone: &ZoneName,
        request_id: &str,
        room: &Room,
        min: u32,
        ids: &[InstanceId],
    ) -> Result<Vec<Placement>, ApiError> {
        let state = self.zone_state(zone);
        let Some((channel, epoch)) = state.session() else {
            let why = state.trouble().unwrap_or_else(|| "its cluster controller is not connected".into());
            return Err(insufficient(room.instance_type, zone, &why).because(NOT_NOW));
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
        });
        request.set_timeout(PLACE_TIMEOUT);
        let PlaceReply { placements, refused } = match client(channel).place(request).await {
            Ok(reply) => reply.into_inner(),
            Err(status) => {
                let error = WireError::from(status);
                // It may have been placed all the same, and only the reply been lost.
                if error.kind != Kind::Capacity {
                    self.give_back(zone, request_id).await;
                }
                return Err(match error.kind {
                    Kind::Capacity => insufficient(room.instance_type, zone, &error.message),
                    Kind::Unavailable => insufficient(room.instance_type, zone, &error.message).because(NOT_NOW),
                    _ => wire_failure(error),
                });
            }
        };
        if placements.len() < min as usize || placements.is_empty() {
            let why = if refused.is_empty() { "no node has joined".to_owned() } else { reasons(&refused) };
            return Err(insufficient(room.instance_type, zone, &why));
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

/// EC2's code and first sentence; the second names the cause, which AWS keeps to itself.
fn insufficient(instance_type: &str, zone: &ZoneName, why: &str) -> ApiError {
    Code::InsufficientInstanceCapacity.message(format!(
        "We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested ({zone}). {why}"
    ))
}
