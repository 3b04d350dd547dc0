//! The score of a node that passed every filter: an ordered struct, lower is better.

use crate::{Node, Request, Resources};
use mallee_types::NodeId;
use std::fmt;

/// How to choose among nodes that pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The emptiest node first: the loss of one node hurts least.
    #[default]
    Spread,
    /// The fullest node first: whole nodes stay free for large instances.
    Pack,
}

impl Strategy {
    /// Its name in configuration and explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Pack => "pack",
        }
    }

    /// The strategy with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Spread, Self::Pack].into_iter().find(|strategy| strategy.name() == name)
    }
}

/// A fully loaded node, in parts per million.
const FULL_PPM: u64 = 1_000_000;
/// Loads within one step of this width count as alike, so that a cached image can sway the choice.
const LOAD_STEP_PPM: u32 = 62_500;

/// Compared field by field, lower first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score<'a> {
    /// Of a cluster placement group: no member is there.
    far: bool,
    /// Load after the placement in coarse steps (under `Pack`: emptiness).
    step: u32,
    /// The image would have to be fetched.
    image_missing: bool,
    /// Load after the placement, in parts per million (under `Pack`: emptiness).
    load_ppm: u32,
    /// Instances there already (under `Pack`: the fewer-is-worse complement).
    instances: u32,
    /// Last, so that equal nodes are chosen in a fixed order.
    node: &'a NodeId,
}

impl<'a> Score<'a> {
    /// The score of a node, given what earlier choices of the same batch took of it.
    #[must_use]
    pub fn of(request: &Request, node: &'a Node, planned: Resources, planned_instances: u32) -> Self {
        let credit = request.credit(node, planned_instances.saturating_add(1));
        let after = node.used.plus(node.reserved.minus(credit)).plus(planned).plus(request.resources);
        let load = [
            ppm(u64::from(after.vcpus), u64::from(node.total.vcpus)),
            ppm(after.memory_mib, node.total.memory_mib),
            // In MiB, so that the product stays within 64 bits.
            ppm(after.disk_bytes >> 20, node.total.disk_bytes >> 20),
        ]
        .into_iter()
        .fold(0, u32::max);
        let count = node.instances.saturating_add(planned_instances);
        let (load_ppm, instances) = match request.strategy {
            Strategy::Spread => (load, count),
            Strategy::Pack => (ppm(FULL_PPM, FULL_PPM).saturating_sub(load), u32::MAX - count),
        };
        let far = request.group.as_ref().is_some_and(|group| group.is_far(&node.id, planned_instances > 0));
        let image_missing = request.image.is_some_and(|image| !node.holds(image));
        Self { far, step: load_ppm / LOAD_STEP_PPM, image_missing, load_ppm, instances, node: &node.id }
    }
}

fn ppm(part: u64, whole: u64) -> u32 {
    let ppm = part.saturating_mul(FULL_PPM).checked_div(whole).unwrap_or(0).min(FULL_PPM);
    u32::try_from(ppm).unwrap_or(u32::MAX)
}

impl fmt::Display for Score<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, tenth) = (self.load_ppm / 10_000, self.load_ppm / 1_000 % 10);
        let image = if self.image_missing { ", image to be fetched" } else { "" };
        write!(f, "{percent}.{tenth} %{image}")
    }
}
