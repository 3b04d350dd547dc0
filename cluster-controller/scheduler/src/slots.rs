//! Slots of a capacity reservation: room that is held on nodes for instances still to come.

use crate::Resources;
use mallee_types::NodeId;
use std::collections::BTreeMap;

/// The slots on one node that nobody uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeSlots {
    /// Slots in all, for the reason of a refusal.
    pub count: u32,
    /// Slots whose processors and memory are free.
    pub open: u32,
    /// Slots whose disk is free: a stopped instance keeps its disk.
    pub disks: u32,
    /// Already taken by instances that the node's reserved room counts.
    pub taken: u32,
}

/// The slots of one reservation, as an instance sees them that may use one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// What one slot holds.
    pub size: Resources,
    /// The instance needs a disk; one that is started where its disk is does not.
    pub needs_disk: bool,
    /// By node.
    pub nodes: BTreeMap<NodeId, NodeSlots>,
}

impl Slots {
    /// The slots on a node.
    pub(crate) fn on(&self, node: &NodeId) -> NodeSlots {
        self.nodes.get(node).copied().unwrap_or_default()
    }

    /// Whether `more` instances (after those that are taken) find a slot on the node.
    pub(crate) fn have(&self, node: &NodeId, more: u32) -> bool {
        let slots = self.on(node);
        slots.taken.saturating_add(more) <= slots.open
    }

    /// What the node's reserved room gives up when so many more instances use slots there.
    pub(crate) fn credit(&self, node: &NodeId, more: u32) -> Resources {
        let slots = self.on(node);
        let users = slots.taken.saturating_add(more);
        let (open, disks) = (users.min(slots.open), if self.needs_disk { users.min(slots.disks) } else { 0 });
        Resources {
            vcpus: self.size.vcpus.saturating_mul(open),
            memory_mib: self.size.memory_mib.saturating_mul(u64::from(open)),
            disk_bytes: self.size.disk_bytes.saturating_mul(u64::from(disks)),
        }
    }

    /// One more instance, which the node's reserved room counts in full, uses a slot.
    pub fn take(&mut self, node: &NodeId) {
        if let Some(slots) = self.nodes.get_mut(node) {
            slots.taken = slots.taken.saturating_add(1);
        }
    }

    /// One fewer.
    pub fn give_back(&mut self, node: &NodeId) {
        if let Some(slots) = self.nodes.get_mut(node) {
            slots.taken = slots.taken.saturating_sub(1);
        }
    }
}
