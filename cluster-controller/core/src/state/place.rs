//! Placing: choosing nodes for a launch, and holding their capacity until the launch is committed or given up.

use super::capacity::{Terms, sharing};
use super::groups::{Choice, membership};
use super::holds::{Hold, Instead, Reservation};
use super::{ClusterState, NodeIndex, Now};
use crate::settings::limits::{RESERVATION_TTL_MAX, RESERVATIONS_MAX};
use mallee_proto::v1::{Decision, NodeVerdict, PlaceReply, PlaceRequest, Placement, UnplaceRequest};
use mallee_proto::{Kind, WireError};
use mallee_scheduler::{self as sched, Filter, ImageKey, Resources, Verdict};
use mallee_types::limits::RUN_INSTANCES_COUNT_MAX;
use mallee_types::{InstanceId, NodeId};
use std::collections::HashSet;

impl ClusterState {
    /// Picks nodes and holds their capacity. The same request gets the same answer while its reservation lives.
    ///
    /// # Errors
    /// `StaleEpoch`; `Unavailable` until the zone has settled; `Invalid` for a request that contradicts itself;
    /// `Conflict` when a request id comes back with other contents. That nothing fits is no error: see the reply.
    pub fn place(&mut self, mut request: PlaceRequest, now: Now) -> Result<PlaceReply, WireError> {
        self.check_epoch(request.epoch)?;
        self.expire_reservations(now.mono_ms);
        self.check_settled(request.epoch)?;
        request.epoch = 0;
        if let Some(held) = self.reservations.by_request.get(&request.request_id) {
            if held.request == request {
                return Ok(held.reply.clone());
            }
            let text = format!("placement request {} was made before, for something else", request.request_id);
            return Err(WireError::new(Kind::Conflict, text));
        }
        if let Some(behind) = self.unheard(&request.capacity_reservations) {
            let text = format!("zone {} has not heard of capacity reservation {behind} yet", self.settings.zone);
            return Err(WireError::new(Kind::Unavailable, text));
        }
        let ids = check(&request)?;
        if self.reservations.by_request.len() >= RESERVATIONS_MAX {
            return Err(WireError::new(Kind::Unavailable, "too many launches are under way in this zone; try again"));
        }
        // A launch that was placed before under another request id is placed anew.
        ids.iter().for_each(|id| self.release_hold(id));
        let chosen = match self.place_all(&request, &ids, now) {
            Ok(chosen) => chosen,
            Err(error) => {
                ids.iter().for_each(|id| self.release_hold(id));
                return Err(error);
            }
        };
        if chosen.placements.len() < usize::try_from(request.count_min).unwrap_or(usize::MAX) {
            ids.iter().for_each(|id| self.release_hold(id));
            let reply = PlaceReply { refused: chosen.refused, ..PlaceReply::default() };
            // Room is made for instances that may be anywhere, not for slots, hosts, and those that want a slot.
            let slots = request.reserved_only || request.slots_of.is_some() || !request.allocate_host_id.is_empty();
            if !request.preempts || slots {
                return Ok(reply);
            }
            let wanted = self.scheduler_request(&request, &ids)?;
            // Nobody has to go for those that find a slot.
            let slots = chosen.placements.iter().filter(|placed| !placed.capacity_reservation_id.is_empty()).count();
            let count = usize::try_from(request.count_min).unwrap_or(usize::MAX).saturating_sub(slots);
            return self.with_victims(reply, &request, &wanted, &ids, count);
        }
        let reply = chosen;
        let ttl_max = u64::try_from(RESERVATION_TTL_MAX.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = now.mono_ms.saturating_add(request.ttl_ms.min(ttl_max));
        let request_id = request.request_id.clone();
        self.reservations.deadlines.insert((deadline_ms, request_id.clone()));
        let reservation = Reservation { request, reply: reply.clone(), deadline_ms, open: reply.placements.len() };
        self.reservations.by_request.insert(request_id, reservation);
        Ok(reply)
    }

    /// Gives back what a request still holds. Unknown requests, and repeats, are fine.
    ///
    /// # Errors
    /// `StaleEpoch`.
    pub fn unplace(&mut self, request: &UnplaceRequest) -> Result<(), WireError> {
        self.check_epoch(request.epoch)?;
        self.drop_reservation(&request.request_id);
        Ok(())
    }

    /// Places as many as there is room for, and holds what they take: in the slots of each reservation, then anywhere.
    fn place_all(&mut self, request: &PlaceRequest, ids: &[InstanceId], now: Now) -> Result<PlaceReply, WireError> {
        let mut reply = PlaceReply::default();
        let wanted = self.scheduler_request(request, ids)?;
        let mut rounds: Vec<Option<&str>> = Vec::new();
        rounds.extend(request.capacity_reservations.iter().map(|reservation| Some(reservation.id.as_str())));
        if !request.reserved_only {
            rounds.push(None);
        }
        for reservation in rounds {
            let left = ids.get(reply.placements.len()..).unwrap_or_default();
            if left.is_empty() {
                break;
            }
            let slots = match reservation {
                // One that is not known here (yet, or any more) has no slots.
                Some(id) => match self.slots_of(id, wanted.resources.disk_bytes > 0) {
                    Some(slots) => Some(slots),
                    None => continue,
                },
                None => None,
            };
            let wanted = sched::Request { slots, ..wanted.clone() };
            let choices = self.choose(&wanted, request.group.as_ref(), left)?;
            for (id, Choice { decision, partition }) in left.iter().zip(&choices) {
                let told = self.decision(decision, &wanted, now);
                match decision.chosen {
                    Some(node) => {
                        let reservation = reservation.unwrap_or_default();
                        let hold = self.hold_for(request, node, wanted.resources, *partition, reservation);
                        self.hold(id.clone(), hold);
                        let host = self.fleet[node].host.clone();
                        reply.placements.push(Placement {
                            instance_id: id.to_string(),
                            node_id: self.fleet[node].id.to_string(),
                            decision: Some(told),
                            partition: *partition,
                            capacity_reservation_id: reservation.to_owned(),
                            host_id: host.unwrap_or_default(),
                        });
                    }
                    None => reply.refused = told.verdicts,
                }
            }
        }
        Ok(reply)
    }

    fn hold_for(
        &self,
        request: &PlaceRequest,
        node: NodeIndex,
        resources: Resources,
        partition: u32,
        reservation: &str,
    ) -> Hold {
        let instead = match (&request.slots_of, request.allocate_host_id.as_str()) {
            (Some(slots), _) => Some(Instead::Slot(slots.id.clone(), slots.generation)),
            (None, "") => None,
            (None, host) => Some(Instead::Host(host.to_owned())),
        };
        // A dedicated host is all of its node.
        let whole = matches!(instead, Some(Instead::Host(_)));
        Hold {
            request_id: request.request_id.clone(),
            node,
            resources: if whole { self.fleet[node].total } else { resources },
            group: membership(request.group.as_ref()).map(|(group, _)| (group, partition)),
            terms: Terms::of_request(request, reservation),
            disk: resources.disk_bytes > 0,
            instead,
        }
    }

    fn check_settled(&self, epoch: u64) -> Result<(), WireError> {
        let zone = &self.settings.zone;
        if self.synced != Some(epoch) {
            let text = format!("zone {zone} has not heard all of the cloud's intent yet; try again");
            return Err(WireError::new(Kind::Unavailable, text));
        }
        if !self.settled {
            let awaited = self.awaited();
            let some: Vec<&str> = awaited.iter().take(8).map(NodeId::as_str).collect();
            let text =
                format!("zone {zone} waits for {} nodes to report ({}); try again", awaited.len(), some.join(", "));
            return Err(WireError::new(Kind::Unavailable, text));
        }
        Ok(())
    }

    fn scheduler_request(&self, request: &PlaceRequest, ids: &[InstanceId]) -> Result<sched::Request, WireError> {
        let node = if request.node_id.is_empty() {
            None
        } else {
            Some(request.node_id.parse::<NodeId>().map_err(|error| WireError::new(Kind::Invalid, error.to_string()))?)
        };
        let mut resources =
            Resources { vcpus: request.vcpus, memory_mib: request.memory_mib, disk_bytes: request.disk_bytes };
        // An instance that starts again where its disk is takes only what it does not have there already.
        if let ([id], Some(node)) = (ids, &node)
            && let Some((index, has)) = self.charge_of(id)
            && self.fleet[index].id == *node
        {
            resources = resources.minus(has);
        }
        Ok(sched::Request {
            resources,
            image: (!request.image_digest.is_empty()).then(|| ImageKey::of(&request.image_digest)),
            zone: Some(self.settings.zone.clone()),
            node,
            // Filled in where it is known who else is in it.
            group: None,
            slots: None,
            sharing: sharing(request),
            strategy: self.settings.strategy,
        })
    }

    fn decision(&self, decision: &sched::Decision, request: &sched::Request, now: Now) -> Decision {
        let name = |index: usize| self.fleet.get(index).map(|node| node.id.to_string()).unwrap_or_default();
        let rows = decision.rows().map(|row| match &row.verdict {
            Verdict::Refused { filter, reason } => NodeVerdict {
                node_id: name(row.node),
                refused_by: filter.name().to_owned(),
                reason: reason.clone(),
                score: String::new(),
            },
            Verdict::Passed { score } => {
                NodeVerdict { node_id: name(row.node), score: score.clone(), ..NodeVerdict::default() }
            }
        });
        // Rows without a node count those that have none.
        let more = |count: u32, refused_by: &str| {
            let reason = format!("{count} more nodes");
            (count > 0).then(|| NodeVerdict { refused_by: refused_by.to_owned(), reason, ..NodeVerdict::default() })
        };
        let counts = Filter::ALL.into_iter().filter_map(|filter| more(decision.omitted(filter), filter.name()));
        Decision {
            verdicts: rows.chain(more(decision.omitted_passed(), "")).chain(counts).collect(),
            chosen: decision.chosen.map(name).unwrap_or_default(),
            decided_at_ms: now.wall_ms,
            strategy: request.strategy.name().to_owned(),
        }
    }
}

fn check(request: &PlaceRequest) -> Result<Vec<InstanceId>, WireError> {
    let invalid = |text: String| Err(WireError::new(Kind::Invalid, text));
    if request.request_id.is_empty() {
        return invalid("a placement needs a request id".to_owned());
    }
    let (min, max) = (request.count_min, request.count_max);
    if min == 0 || min > max || max > RUN_INSTANCES_COUNT_MAX {
        return invalid(format!("{min} to {max} instances cannot be placed: 1 to {RUN_INSTANCES_COUNT_MAX} can"));
    }
    if request.vcpus == 0 || request.memory_mib == 0 || request.ttl_ms == 0 {
        return invalid("a placement needs vcpus, memory and a time to live above zero".to_owned());
    }
    let ids: Result<Vec<InstanceId>, _> = request.instance_ids.iter().map(|id| id.parse()).collect();
    let ids = ids.map_err(|error| WireError::new(Kind::Invalid, error.to_string()))?;
    if ids.iter().collect::<HashSet<_>>().len() != usize::try_from(max).unwrap_or(usize::MAX)
        || ids.len() != request.instance_ids.len()
    {
        return invalid(format!("a placement of up to {max} instances needs as many different instance ids"));
    }
    Ok(ids)
}
