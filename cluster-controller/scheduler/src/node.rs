//! What the scheduler knows of a node, and what it is asked for.

use crate::{Group, Guests, Planned, Sharing, Slots, Strategy};
use mallee_types::{NodeId, ZoneName};

/// An amount of what a node hands out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in bytes.
    pub disk_bytes: u64,
}

impl Resources {
    /// The sum, clamped to the largest number.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_add(other.vcpus),
            memory_mib: self.memory_mib.saturating_add(other.memory_mib),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
        }
    }

    /// The difference, clamped to zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_sub(other.vcpus),
            memory_mib: self.memory_mib.saturating_sub(other.memory_mib),
            disk_bytes: self.disk_bytes.saturating_sub(other.disk_bytes),
        }
    }
}

/// Whether a node can be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Connected, and has told all it holds.
    Ready,
    /// Connected, but has not yet told all it holds.
    WarmingUp,
    /// Of a version that does not know all that its network is to do.
    Outdated,
    /// Not connected.
    Offline,
}

/// Stands for an image digest. Two digests may share a key: the image only sways a choice, so that is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageKey(u64);

impl ImageKey {
    /// The key of a digest (FNV-1a over its text).
    #[must_use]
    pub fn of(digest: &str) -> Self {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(digest.bytes().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

/// One node as the scheduler sees it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Its availability zone.
    pub zone: ZoneName,
    /// Whether it can be given work.
    pub state: NodeState,
    /// What it hands out in all.
    pub total: Resources,
    /// What instances on it take.
    pub used: Resources,
    /// What is promised: to launches that are not committed yet, and to capacity reservations.
    pub reserved: Resources,
    /// Instances on it or promised to it.
    pub instances: u32,
    /// The dedicated host it is.
    pub host: Option<String>,
    /// Who is on it, unless it is a dedicated host.
    pub guests: Guests,
    images: Vec<ImageKey>,
}

impl Node {
    /// A node that is offline and has nothing.
    #[must_use]
    pub const fn new(id: NodeId, zone: ZoneName) -> Self {
        const NONE: Resources = Resources { vcpus: 0, memory_mib: 0, disk_bytes: 0 };
        Self {
            id,
            zone,
            state: NodeState::Offline,
            total: NONE,
            used: NONE,
            reserved: NONE,
            instances: 0,
            host: None,
            guests: Guests::none(),
            images: Vec::new(),
        }
    }

    /// What can still be handed out.
    #[must_use]
    pub const fn free(&self) -> Resources {
        self.total.minus(self.used).minus(self.reserved)
    }

    /// Sets which images the node holds.
    pub fn set_images<'a>(&mut self, digests: impl Iterator<Item = &'a str>) {
        self.images = digests.map(ImageKey::of).collect();
        self.images.sort_unstable();
    }

    /// Whether the node (very likely) holds the image.
    #[must_use]
    pub fn holds(&self, image: ImageKey) -> bool {
        self.images.binary_search(&image).is_ok()
    }
}

/// What one instance needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it takes.
    pub resources: Resources,
    /// Its image: nodes that hold it are preferred among nodes of like load.
    pub image: Option<ImageKey>,
    /// Only in this zone.
    pub zone: Option<ZoneName>,
    /// Only on this node.
    pub node: Option<NodeId>,
    /// The placement group it is to be in.
    pub group: Option<Group>,
    /// Only into a slot of this capacity reservation.
    pub slots: Option<Slots>,
    /// With whom it may share its node.
    pub sharing: Sharing,
    /// How to choose among nodes that pass.
    pub strategy: Strategy,
}

impl Request {
    /// What of the node's reserved room is the request's own, for `more` instances.
    pub(crate) fn credit(&self, node: &Node, more: u32) -> Resources {
        self.slots.as_ref().map(|slots| slots.credit(&node.id, more)).unwrap_or_default()
    }

    /// What can be given to one more instance, after those that are planned.
    pub(crate) fn free_on(&self, node: &Node, planned: Planned) -> Resources {
        let credit = self.credit(node, planned.instances.saturating_add(1));
        let others = node.used.plus(node.reserved.minus(credit)).plus(planned.resources);
        node.total.minus(others)
    }
}
