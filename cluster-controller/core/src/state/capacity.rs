//! Room that is kept: slots of capacity reservations, whole nodes for dedicated hosts; and who may be where because of
//! it. Nothing of it is chosen here: slots and hosts are placed like instances, and the cloud tells where they are.
//!
//! What a reservation holds of a node is what its slots there are, less those in use. So an instance that ends gives its
//! slot back by itself; one that is stopped keeps its disk, and with it that part of the slot.

use super::cloud::Snapshot;
use super::{ClusterState, NodeIndex};
use mallee_proto::WireError;
use mallee_proto::v1::{
    CapacityReservation, DedicatedHost, InstanceIntent, NodeSlots, ObjectKind, PlaceRequest, SlotsOf, Tenancy,
};
use mallee_scheduler::{self as sched, Resources, Sharing, Slots};
use mallee_types::NodeId;
use std::collections::{BTreeMap, HashMap};

/// Instances that use slots of one reservation on one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Uses {
    /// That take processors and memory, or are promised them.
    running: u32,
    /// That take a disk, or are promised one.
    disks: u32,
}

/// One reservation.
#[derive(Debug)]
struct Held {
    intent: CapacityReservation,
    /// Slots by node, and what they hold of it now.
    slots: BTreeMap<NodeIndex, (u32, Resources)>,
}

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    reservations: HashMap<String, Held>,
    /// By reservation; also of those that are not known (yet, or any more).
    uses: HashMap<String, BTreeMap<NodeIndex, Uses>>,
    hosts: HashMap<String, DedicatedHost>,
}

/// The terms on which an instance, or one that is promised a place, is on its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// The capacity reservation whose slot it uses.
    pub(super) reservation: Option<String>,
    tenancy: Tenancy,
    /// Empty unless the tenancy is dedicated.
    account: String,
}

impl Terms {
    fn new(reservation: &str, tenancy: Tenancy, account: &str) -> Self {
        let account = if tenancy == Tenancy::Dedicated { account.to_owned() } else { String::new() };
        Self { reservation: (!reservation.is_empty()).then(|| reservation.to_owned()), tenancy, account }
    }

    /// Those an intent speaks of.
    pub(super) fn of_intent(intent: &InstanceIntent) -> Self {
        let Some(spec) = &intent.spec else { return Self::default() };
        Self::new(&spec.capacity_reservation_id, spec.tenancy(), &intent.account_id)
    }

    /// Those of an instance that is to be placed.
    pub(super) fn of_request(request: &PlaceRequest, reservation: &str) -> Self {
        Self::new(reservation, request.tenancy(), &request.account_id)
    }

    /// As whom it counts among its node's guests; `None`: it does not.
    fn guest(&self) -> Option<Option<&str>> {
        match self.tenancy {
            Tenancy::Shared => Some(None),
            Tenancy::Dedicated => Some(Some(&self.account)),
            Tenancy::Host => None,
        }
    }
}

/// With whom what is asked for may share its node.
pub(super) fn sharing(request: &PlaceRequest) -> Sharing {
    if !request.allocate_host_id.is_empty() {
        return Sharing::Nobody;
    }
    match request.tenancy() {
        Tenancy::Shared => Sharing::Shared,
        Tenancy::Dedicated => Sharing::Dedicated(request.account_id.clone()),
        Tenancy::Host => Sharing::Hosts(request.host_ids.iter().cloned().collect()),
    }
}

impl Held {
    const fn size(&self) -> Resources {
        let CapacityReservation { vcpus, memory_mib, disk_bytes, .. } = &self.intent;
        Resources { vcpus: *vcpus, memory_mib: *memory_mib, disk_bytes: *disk_bytes }
    }

    /// What so many slots hold while they are used so.
    fn holds(&self, slots: u32, uses: Uses) -> Resources {
        let (open, disks) = (slots.saturating_sub(uses.running), slots.saturating_sub(uses.disks));
        let size = self.size();
        Resources {
            vcpus: size.vcpus.saturating_mul(open),
            memory_mib: size.memory_mib.saturating_mul(u64::from(open)),
            disk_bytes: size.disk_bytes.saturating_mul(u64::from(disks)),
        }
    }

    fn guest(&self) -> Option<&str> {
        (self.intent.tenancy() == Tenancy::Dedicated).then_some(self.intent.account_id.as_str())
    }
}

impl ClusterState {
    /// The cloud's word on a reservation; one of no higher generation than the one held changes nothing.
    pub(super) fn set_reservation(&mut self, intent: CapacityReservation) -> Result<(), WireError> {
        let held = self.kept.reservations.get(&intent.id);
        if held.is_some_and(|held| held.intent.generation >= intent.generation) {
            return Ok(());
        }
        let mut slots = BTreeMap::new();
        for NodeSlots { node_id, count, .. } in &intent.slots {
            let Ok(node) = node_id.parse::<NodeId>() else {
                tracing::warn!(
                    id = intent.id,
                    node = node_id,
                    "a reservation names a node by a name that is none; ignored"
                );
                continue;
            };
            slots.insert(self.node_index(&node)?, (*count, Resources::default()));
        }
        let (id, generation) = (intent.id.clone(), intent.generation);
        self.remove_reservation(&id);
        let held = Held { intent, slots };
        for (index, (count, _)) in &held.slots {
            if *count > 0 {
                self.fleet[*index].guests.add(held.guest());
            }
        }
        let nodes: Vec<NodeIndex> = held.slots.keys().copied().collect();
        self.kept.reservations.insert(id.clone(), held);
        for index in nodes {
            self.recount(&id, index);
        }
        self.release_slots(&id, generation);
        Ok(())
    }

    /// A reservation is over: its instances stay, its free slots are anybody's.
    pub(super) fn remove_reservation(&mut self, id: &str) {
        let Some(held) = self.kept.reservations.remove(id) else { return };
        for (index, (count, holds)) in &held.slots {
            let fleet = &mut self.fleet[*index];
            fleet.reserved = fleet.reserved.minus(*holds);
            if *count > 0 {
                fleet.guests.remove(held.guest());
            }
        }
    }

    /// Brings what a reservation holds of a node in line with who uses it.
    fn recount(&mut self, id: &str, index: NodeIndex) {
        let Some(held) = self.kept.reservations.get(id) else { return };
        let Some((count, before)) = held.slots.get(&index).copied() else { return };
        let now = held.holds(count, self.uses(id, index));
        let fleet = &mut self.fleet[index];
        fleet.reserved = fleet.reserved.minus(before).plus(now);
        if let Some(held) = self.kept.reservations.get_mut(id) {
            held.slots.insert(index, (count, now));
        }
    }

    fn uses(&self, id: &str, index: NodeIndex) -> Uses {
        self.kept.uses.get(id).and_then(|nodes| nodes.get(&index)).copied().unwrap_or_default()
    }

    /// Somebody is on a node on these terms from now on. `runs`: with processors and memory; `disk`: with a disk.
    pub(super) fn take_terms(&mut self, index: NodeIndex, terms: &Terms, runs: bool, disk: bool) {
        if let Some(guest) = terms.guest() {
            self.fleet[index].guests.add(guest);
        }
        if let Some(id) = &terms.reservation {
            let uses = self.kept.uses.entry(id.clone()).or_default().entry(index).or_default();
            uses.running += u32::from(runs);
            uses.disks += u32::from(disk);
            self.recount(id, index);
        }
    }

    /// And no longer is; with what [`Self::take_terms`] was told.
    pub(super) fn leave_terms(&mut self, index: NodeIndex, terms: &Terms, runs: bool, disk: bool) {
        if let Some(guest) = terms.guest() {
            self.fleet[index].guests.remove(guest);
        }
        let Some(id) = &terms.reservation else { return };
        if let Some(nodes) = self.kept.uses.get_mut(id) {
            let uses = nodes.entry(index).or_default();
            uses.running = uses.running.saturating_sub(u32::from(runs));
            uses.disks = uses.disks.saturating_sub(u32::from(disk));
            if *uses == Uses::default() {
                nodes.remove(&index);
            }
            if nodes.is_empty() {
                self.kept.uses.remove(id);
            }
        }
        self.recount(id, index);
    }

    /// The slots of a reservation as one sees them that may use them; `None`: there is no such reservation here.
    pub(super) fn slots_of(&self, id: &str, needs_disk: bool) -> Option<Slots> {
        let held = self.kept.reservations.get(id)?;
        let slots = held.slots.iter().map(|(index, (count, _))| {
            let (count, uses) = (*count, self.uses(id, *index));
            let (open, disks) = (count.saturating_sub(uses.running), count.saturating_sub(uses.disks));
            (self.fleet[*index].id.clone(), sched::NodeSlots { count, open, disks, taken: 0 })
        });
        Some(Slots { size: held.size(), needs_disk, nodes: slots.collect() })
    }

    /// The first of these reservations that is not known here in this generation.
    pub(super) fn unheard<'a>(&self, wanted: &'a [SlotsOf]) -> Option<&'a str> {
        let known = |one: &SlotsOf| {
            self.kept.reservations.get(&one.id).is_some_and(|held| held.intent.generation >= one.generation)
        };
        wanted.iter().find(|one| !known(one)).map(|one| one.id.as_str())
    }

    /// Whether a request names a reservation that the cloud has yet to tell of.
    #[must_use]
    pub fn is_behind(&self, request: &PlaceRequest) -> bool {
        self.unheard(&request.capacity_reservations).is_some()
    }

    /// A node is a dedicated host from now on.
    pub(super) fn set_host(&mut self, intent: DedicatedHost) -> Result<(), WireError> {
        if self.kept.hosts.get(&intent.id).is_some_and(|held| held.generation >= intent.generation) {
            return Ok(());
        }
        let Ok(node) = intent.node_id.parse::<NodeId>() else {
            tracing::warn!(
                id = intent.id,
                node = intent.node_id,
                "a host names a node by a name that is none; ignored"
            );
            return Ok(());
        };
        let (index, id) = (self.node_index(&node)?, intent.id.clone());
        self.remove_host(&id);
        self.fleet[index].host = Some(id.clone());
        self.kept.hosts.insert(id.clone(), intent);
        self.release_host_hold(&id);
        Ok(())
    }

    /// A node is anybody's again.
    pub(super) fn remove_host(&mut self, id: &str) {
        let Some(held) = self.kept.hosts.remove(id) else { return };
        self.free_host(&held.node_id, id);
    }

    fn free_host(&mut self, node: &str, id: &str) {
        let index = node.parse::<NodeId>().ok().and_then(|node| self.by_name.get(&node).copied());
        if let Some(fleet) = index.and_then(|index| self.fleet.get_mut(index))
            && fleet.host.as_deref() == Some(id)
        {
            fleet.host = None;
        }
    }

    /// Whether the cloud has said that this host is.
    pub(super) fn knows_host(&self, id: &str) -> bool {
        self.kept.hosts.contains_key(id)
    }

    /// Forgets what a snapshot has not named.
    pub(super) fn sweep_kept(&mut self, named: &Snapshot) {
        let gone = self.kept.reservations.keys().filter(|id| !named.has(ObjectKind::Capacity, id));
        let gone: Vec<String> = gone.cloned().collect();
        gone.iter().for_each(|id| self.remove_reservation(id));
        let gone = self.kept.hosts.keys().filter(|id| !named.has(ObjectKind::Host, id));
        let gone: Vec<String> = gone.cloned().collect();
        gone.iter().for_each(|id| self.remove_host(id));
    }

    /// What is kept, as it is told: with the slots in use.
    pub(super) fn kept_status(&self) -> (Vec<CapacityReservation>, Vec<DedicatedHost>) {
        let reservations = self.kept.reservations.iter().map(|(id, held)| {
            let slots = held.slots.iter().map(|(index, (count, _))| NodeSlots {
                node_id: self.fleet[*index].id.to_string(),
                count: *count,
                used: self.uses(id, *index).running,
            });
            CapacityReservation { slots: slots.collect(), ..held.intent.clone() }
        });
        (reservations.collect(), self.kept.hosts.values().cloned().collect())
    }

    /// What reservations hold of a node, counted anew.
    #[cfg(test)]
    pub(super) fn kept_on(&self, index: NodeIndex) -> Resources {
        let held = self.kept.reservations.iter().filter_map(|(id, held)| {
            let (count, _) = held.slots.get(&index)?;
            Some(held.holds(*count, self.uses(id, index)))
        });
        held.fold(Resources::default(), |sum, one| sum.plus(one))
    }

    /// Who uses slots of a reservation on a node: (running, disks).
    #[cfg(test)]
    pub(super) fn users_on(&self, id: &str, index: NodeIndex) -> (u32, u32) {
        let uses = self.uses(id, index);
        (uses.running, uses.disks)
    }

    /// How many reservations have slots on a node: they count as guests.
    #[cfg(test)]
    pub(super) fn reserving(&self, index: NodeIndex) -> usize {
        let on = |held: &&Held| held.slots.get(&index).is_some_and(|(count, _)| *count > 0);
        self.kept.reservations.values().filter(on).count()
    }
}
