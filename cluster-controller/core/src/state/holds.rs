//! What is promised and not yet used: held until the intent comes that uses it, or its time is up.

use super::capacity::Terms;
use super::groups::Membership;
use super::{ClusterState, NodeIndex};
use mallee_proto::v1::{PlaceReply, PlaceRequest};
use mallee_scheduler::Resources;
use mallee_types::{InstanceId, NodeId};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is promised and not yet used.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    pub(super) by_request: HashMap<String, Reservation>,
    /// (deadline, request id), the next to run out first.
    pub(super) deadlines: BTreeSet<(u64, String)>,
    pub(super) holds: HashMap<InstanceId, Hold>,
}

#[derive(Debug)]
pub(super) struct Reservation {
    /// Without its epoch: the answer is the same to a later leader.
    pub(super) request: PlaceRequest,
    pub(super) reply: PlaceReply,
    pub(super) deadline_ms: u64,
    /// How many of its instances still hold capacity.
    pub(super) open: usize,
}

/// What one instance of a reservation holds.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) request_id: String,
    pub(super) node: NodeIndex,
    pub(super) resources: Resources,
    /// The placement group it is promised to as a member.
    pub(super) group: Option<Membership>,
    pub(super) terms: Terms,
    /// It is promised a disk too.
    pub(super) disk: bool,
    /// It is no instance.
    pub(super) instead: Option<Instead>,
}

/// What is placed that is no instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instead {
    /// A slot of this generation of this reservation.
    Slot(String, u64),
    /// This dedicated host.
    Host(String),
}

impl ClusterState {
    /// Holds for an instance, or for what stands in for one. Releases what was held under this id before.
    pub(super) fn hold(&mut self, id: InstanceId, hold: Hold) {
        self.release_hold(&id);
        let index = hold.node;
        let fleet = &mut self.fleet[index];
        fleet.reserved = fleet.reserved.plus(hold.resources);
        fleet.instances += 1;
        match &hold.instead {
            Some(Instead::Host(host)) => fleet.host = Some(host.clone()),
            Some(Instead::Slot(..)) | None => {
                let terms = hold.terms.clone();
                self.take_terms(index, &terms, true, hold.disk);
            }
        }
        self.reservations.holds.insert(id, hold);
    }

    /// The slots held for a reservation up to this generation are its own now.
    pub(super) fn release_slots(&mut self, reservation: &str, generation: u64) {
        self.release_where(
            |instead| matches!(instead, Instead::Slot(id, of) if id == reservation && *of <= generation),
        );
    }

    /// The node held for a host is the host now.
    pub(super) fn release_host_hold(&mut self, host: &str) {
        self.release_where(|instead| matches!(instead, Instead::Host(id) if id == host));
    }

    fn release_where(&mut self, which: impl Fn(&Instead) -> bool) {
        let holds = self.reservations.holds.iter().filter(|(_, hold)| hold.instead.as_ref().is_some_and(&which));
        let ids: Vec<InstanceId> = holds.map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.release_hold(id));
    }

    /// Lets go of what an instance holds. Its reservation stays until its time is up, so that a repeat of the request
    /// gets the same nodes; but with its last hold the reasons go, which are the bulk of it.
    pub(super) fn release_hold(&mut self, id: &InstanceId) {
        let Some(hold) = self.reservations.holds.remove(id) else { return };
        let fleet = &mut self.fleet[hold.node];
        fleet.reserved = fleet.reserved.minus(hold.resources);
        fleet.instances -= 1;
        match &hold.instead {
            Some(Instead::Host(host)) if !self.knows_host(host) => self.fleet[hold.node].host = None,
            Some(Instead::Host(_)) => {}
            Some(Instead::Slot(..)) | None => self.leave_terms(hold.node, &hold.terms, true, hold.disk),
        }
        if let Some(reservation) = self.reservations.by_request.get_mut(&hold.request_id) {
            reservation.open -= 1;
            if reservation.open == 0 {
                for decision in reservation.reply.placements.iter_mut().filter_map(|p| p.decision.as_mut()) {
                    decision.verdicts = Vec::new();
                }
            }
        }
    }

    pub(super) fn drop_reservation(&mut self, request_id: &str) {
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

    /// How many are promised a slot of a reservation on a node.
    #[cfg(test)]
    pub(super) fn promised_slots(&self, reservation: &str, index: NodeIndex) -> usize {
        let mine = |hold: &&Hold| hold.node == index && hold.terms.reservation.as_deref() == Some(reservation);
        self.reservations.holds.values().filter(mine).count()
    }

    /// On which node an instance is promised a place, and by which request.
    pub(super) fn hold_of(&self, id: &InstanceId) -> Option<(&NodeId, &str)> {
        let hold = self.reservations.holds.get(id)?;
        Some((&self.fleet[hold.node].id, hold.request_id.as_str()))
    }
}
