//! Placing: choosing nodes for a launch, and holding their capacity until the launch is committed or given up.

use super::groups::{Choice, Membership, membership};
use super::{ClusterState, NodeIndex, Now};
use crate::settings::limits::{RESERVATION_TTL_MAX, RESERVATIONS_MAX};
use mallee_proto::v1::{Decision, NodeVerdict, PlaceReply, PlaceRequest, Placement, UnplaceRequest};
use mallee_proto::{Kind, WireError};
use mallee_scheduler::{self as sched, Filter, ImageKey, Resources, Verdict};
use mallee_types::limits::RUN_INSTANCES_COUNT_MAX;
use mallee_types::{InstanceId, NodeId};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is promised and not yet used.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    by_request: HashMap<String, Reservation>,
    /// (deadline, request id), the next to run out first.
    deadlines: BTreeSet<(u64, String)>,
    holds: HashMap<InstanceId, Hold>,
}

#[derive(Debug)]
struct Reservation {
    /// Without its epoch: the answer is the same to a later leader.
    request: PlaceRequest,
    reply: PlaceReply,
    deadline_ms: u64,
    /// How many of its instances still hold capacity.
    open: usize,
}

/// What one instance of a reservation holds.
#[derive(Debug)]
struct Hold {
    request_id: String,
    node: NodeIndex,
    resources: Resources,
    /// The placement group it is promised to as a member.
    group: Option<Membership>,
}

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
        let ids = check(&request)?;
        if self.reservations.by_request.len() >= RESERVATIONS_MAX {
            return Err(WireError::new(Kind::Unavailable, "too many launches are under way in this zone; try again"));
        }
        // A launch that was placed before under another request id is placed anew.
        ids.iter().for_each(|id| self.release_hold(id));
        let wanted = self.scheduler_request(&request, &ids)?;
        let choices = self.choose(&wanted, request.group.as_ref(), &ids)?;
        let mut placements = Vec::with_capacity(ids.len());
        let mut refused = Vec::new();
        for (id, Choice { decision, partition }) in ids.iter().zip(&choices) {
            match decision.chosen {
                Some(node) => placements.push((id, node, *partition, self.decision(decision, &wanted, now))),
                None => refused = self.decision(decision, &wanted, now).verdicts,
            }
        }
        if placements.len() < usize::try_from(request.count_min).unwrap_or(usize::MAX) {
            let reply = PlaceReply { refused, ..PlaceReply::default() };
            return if request.preempts { self.with_victims(reply, &request, &wanted, &ids) } else { Ok(reply) };
        }
        let mut reply =
            PlaceReply { placements: Vec::with_capacity(placements.len()), refused, ..PlaceReply::default() };
        for (id, node, partition, decision) in placements {
            let fleet = &mut self.fleet[node];
            fleet.reserved = fleet.reserved.plus(wanted.resources);
            fleet.instances += 1;
            let group = membership(request.group.as_ref()).map(|(group, _)| (group, partition));
            let hold = Hold { request_id: request.request_id.clone(), node, resources: wanted.resources, group };
            self.reservations.holds.insert(id.clone(), hold);
            let node_id = fleet.id.to_string();
            let instance_id = id.to_string();
            reply.placements.push(Placement { instance_id, node_id, decision: Some(decision), partition });
        }
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
            strategy: self.settings.strategy,
        })
    }

    /// Lets go of what an instance holds. Its reservation stays until its time is up, so that a repeat of the request
    /// gets the same nodes; but with its last hold the reasons go, which are the bulk of it.
    pub(super) fn release_hold(&mut self, id: &InstanceId) {
        let Some(hold) = self.reservations.holds.remove(id) else { return };
        let fleet = &mut self.fleet[hold.node];
        fleet.reserved = fleet.reserved.minus(hold.resources);
        fleet.instances -= 1;
        if let Some(reservation) = self.reservations.by_request.get_mut(&hold.request_id) {
            reservation.open -= 1;
            if reservation.open == 0 {
                for decision in reservation.reply.placements.iter_mut().filter_map(|p| p.decision.as_mut()) {
                    decision.verdicts = Vec::new();
                }
            }
        }
    }

    fn drop_reservation(&mut self, request_id: &str) {
        let Some(reservation) = self.reservations.by_request.remove(request_id) else { return };
        self.reservations.deadlines.remove(&(reservation.deadline_ms, request_id.to_owned()));
        for placement in &reservation.reply.placements {
            if let Ok(id) = placement.instance_id.parse::<InstanceId>()
                && self.reservations.holds.get(&id).is_some_and(|hold| hold.request_id == request_id)
            {
                self.release_hold(&id);
            }
        }
    }

    /// Drops reservations whose time is up.
    pub(super) fn expire_reservations(&mut self, now_ms: u64) {
        while let Some((deadline, request_id)) = self.reservations.deadlines.first().cloned() {
            if deadline > now_ms {
                break;
            }
            self.drop_reservation(&request_id);
        }
    }

    /// Members of a placement group that are promised a place, without `except`.
    pub(super) fn promised_members<'a>(
        &'a self,
        group: &'a str,
        except: &'a HashSet<&'a InstanceId>,
    ) -> impl Iterator<Item = (NodeIndex, u32)> + 'a {
        let holds = self.reservations.holds.iter().filter(move |(id, _)| !except.contains(id));
        holds.filter_map(move |(_, hold)| {
            let (of, partition) = hold.group.as_ref()?;
            (of == group).then_some((hold.node, *partition))
        })
    }

    /// What is promised of a node, and to how many instances.
    #[cfg(test)]
    pub(super) fn held_on(&self, index: NodeIndex) -> (Resources, usize) {
        let holds: Vec<&Hold> = self.reservations.holds.values().filter(|hold| hold.node == index).collect();
        (holds.iter().fold(Resources::default(), |sum, hold| sum.plus(hold.resources)), holds.len())
    }

    /// On which node an instance is promised a place, and by which request.
    pub(super) fn hold_of(&self, id: &InstanceId) -> Option<(&NodeId, &str)> {
        let hold = self.reservations.holds.get(id)?;
        Some((&self.fleet[hold.node].id, hold.request_id.as_str()))
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
