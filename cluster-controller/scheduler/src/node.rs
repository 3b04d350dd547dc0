//! What the scheduler knows of a node, and what it is asked for.

use crate::{Group, Strategy};
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
    /// What is promised to launches that are not committed yet.
    pub reserved: Resources,
    /// Instances on it or promised to it.
    pub instances: u32,
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
    /// How to choose among nodes that pass.
    pub strategy: Strategy,
}
