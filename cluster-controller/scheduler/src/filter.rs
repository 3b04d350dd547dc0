//! The filters: each has a name, a test, and a sentence with numbers for the node it refuses.

use crate::{Node, NodeState, Planned, Request};

/// Why a node cannot be given an instance. In the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Another zone was asked for.
    Zone,
    /// Another node was asked for.
    Node,
    /// The node is connected.
    Online,
    /// The node has told all it holds.
    Warm,
    /// The node knows all that its network is to do.
    Current,
    /// Those on the node, and it, may be on one node.
    Tenancy,
    /// The capacity reservation has a free slot there.
    Reservation,
    /// The placement group allows the node.
    Group,
    /// Virtual CPUs.
    Vcpus,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
}

/// How many filters there are.
pub const FILTERS: usize = Filter::ALL.len();

impl Filter {
    /// Every filter, in order.
    pub const ALL: [Self; 11] = [
        Self::Zone,
        Self::Node,
        Self::Online,
        Self::Warm,
        Self::Current,
        Self::Tenancy,
        Self::Reservation,
        Self::Group,
        Self::Vcpus,
        Self::Memory,
        Self::Disk,
    ];

    /// Its name, as users see it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Node => "node",
            Self::Online => "online",
            Self::Warm => "warm",
            Self::Current => "current",
            Self::Tenancy => "tenancy",
            Self::Reservation => "capacity-reservation",
            Self::Group => "placement-group",
            Self::Vcpus => "vcpus",
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    /// Its place in `ALL`.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The first filter that refuses the node; `planned` is what earlier choices of the same batch took of it.
    #[must_use]
    pub fn first_refusing(request: &Request, node: &Node, planned: Planned) -> Option<Self> {
        if request.zone.as_ref().is_some_and(|zone| *zone != node.zone) {
            return Some(Self::Zone);
        }
        if request.node.as_ref().is_some_and(|id| *id != node.id) {
            return Some(Self::Node);
        }
        match node.state {
            NodeState::Offline => return Some(Self::Online),
            NodeState::WarmingUp => return Some(Self::Warm),
            NodeState::Outdated => return Some(Self::Current),
            NodeState::Ready => {}
        }
        if request.sharing.refusal(node, planned.instances > 0).is_some() {
            return Some(Self::Tenancy);
        }
        if let Some(slots) = &request.slots
            && !slots.have(&node.id, planned.instances.saturating_add(1))
        {
            return Some(Self::Reservation);
        }
        if let Some(group) = &request.group
            && group.refusal(&node.id, planned.instances > 0).is_some()
        {
            return Some(Self::Group);
        }
        let (free, want) = (request.free_on(node, planned), request.resources);
        if free.vcpus < want.vcpus {
            Some(Self::Vcpus)
        } else if free.memory_mib < want.memory_mib {
            Some(Self::Memory)
        } else if free.disk_bytes < want.disk_bytes {
            Some(Self::Disk)
        } else {
            None
        }
    }

    /// Why this filter refuses the node, with numbers.
    #[must_use]
    pub fn reason(self, request: &Request, node: &Node, planned: Planned) -> String {
        let (free, want, total) = (request.free_on(node, planned), request.resources, node.total);
        match self {
            Self::Zone => {
                let wanted = request.zone.as_ref().map_or("", |zone| zone.as_str());
                format!("is in zone {}, {wanted} was asked for", node.zone)
            }
            Self::Node => {
                format!("node {} was asked for", request.node.as_ref().map_or("", |id| id.as_str()))
            }
            Self::Online => "is offline".to_owned(),
            Self::Warm => "is connected but has not yet told all it holds".to_owned(),
            Self::Current => "its version does not know what its network is to do; upgrade it".to_owned(),
            Self::Tenancy => request.sharing.refusal(node, planned.instances > 0).unwrap_or_default(),
            Self::Reservation => {
                let slots = request.slots.as_ref().map(|slots| slots.on(&node.id)).unwrap_or_default();
                let used = slots.taken.saturating_add(planned.instances);
                format!("{} of {} reserved slots free", slots.open.saturating_sub(used), slots.count)
            }
            Self::Group => {
                let refusal = request.group.as_ref().and_then(|g| g.refusal(&node.id, planned.instances > 0));
                refusal.unwrap_or_default()
            }
            Self::Vcpus => {
                format!("{} of {} vcpus free, {} needed", free.vcpus, total.vcpus, want.vcpus)
            }
            Self::Memory => {
                format!("{} of {} MiB memory free, {} needed", free.memory_mib, total.memory_mib, want.memory_mib)
            }
            Self::Disk => format!(
                "{} of {} MiB disk free, {} needed",
                free.disk_bytes >> 20,
                total.disk_bytes >> 20,
                want.disk_bytes.div_ceil(1 << 20)
            ),
        }
    }
}
