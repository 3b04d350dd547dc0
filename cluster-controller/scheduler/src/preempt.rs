//! Making room: which instances that may be interrupted would have to go for others to fit. As few as possible, and
//! among as few, those that were started last: the youngest have the least to lose.

use crate::{Filter, Node, Planned, Request, Resources};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Instances of one launch that room is made for, at most: each costs a scan over the nodes.
pub const PREEMPTED_FOR_MAX: usize = 64;

/// An instance that may be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preemptible {
    /// The place of its node in the slice that is given.
    pub node: usize,
    /// What its node gets back when it goes.
    pub frees: Resources,
    /// When it was started, in milliseconds since 1970.
    pub started_ms: i64,
    /// It is going already: it costs nothing to count on that.
    pub leaving: bool,
}

/// What would make room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    /// Those that would have to go, by their places in the slice that was given; none of them is leaving.
    pub victims: Vec<usize>,
    /// Those that are leaving, on whose room this counts.
    pub leaving: Vec<usize>,
}

/// Makes room for `count` like instances; `None`: nobody's going would. More than [`PREEMPTED_FOR_MAX`] are refused.
#[must_use]
pub fn make_room(request: &Request, nodes: &[Node], from: &[Preemptible], count: usize) -> Option<Room> {
    if count == 0 || count > PREEMPTED_FOR_MAX {
        return None;
    }
    let mut sites: HashMap<usize, Site> = HashMap::new();
    for (index, instance) in from.iter().enumerate() {
        let Some(node) = nodes.get(instance.node) else { continue };
        let site = sites.entry(instance.node).or_insert_with(|| Site::new(node));
        if instance.leaving {
            site.free(instance.frees);
            site.leaving.push(index);
        } else {
            site.staying.push(index);
        }
    }
    let mut taken: HashMap<usize, Planned> = HashMap::new();
    let mut room = Room::default();
    for _ in 0..count {
        let options = nodes.iter().enumerate().filter_map(|(index, node)| {
            let planned = taken.get(&index).copied().unwrap_or_default();
            let site = sites.get(&index);
            let refused = Filter::first_refusing(request, site.map_or(node, |site| &site.node), planned);
            let victims = match (refused, site) {
                (None, _) => Vec::new(),
                (Some(Filter::Vcpus | Filter::Memory | Filter::Disk), Some(site)) => {
                    fewest(request.resources, site.node.free().minus(planned.resources), from, &site.staying)?
                }
                (Some(_), _) => return None,
            };
            // Of as few: those whose oldest is the youngest.
            let oldest = victims.iter().filter_map(|victim| from.get(*victim)).map(|v| v.started_ms).min();
            Some((victims.len(), Reverse(oldest.unwrap_or(i64::MAX)), &node.id, index, victims))
        });
        let (.., index, victims) = options.min_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)))?;
        if let Some(site) = sites.get_mut(&index) {
            for victim in &victims {
                site.staying.retain(|staying| staying != victim);
                site.free(from.get(*victim).map(|v| v.frees).unwrap_or_default());
            }
            room.leaving.append(&mut site.leaving);
        }
        room.victims.extend(victims);
        let planned = taken.entry(index).or_default();
        planned.resources = planned.resources.plus(request.resources);
        planned.instances += 1;
    }
    Some(room)
}

/// A node with instances that may go.
struct Site {
    /// As it will be without those that are leaving or chosen.
    node: Node,
    staying: Vec<usize>,
    leaving: Vec<usize>,
}

impl Site {
    fn new(node: &Node) -> Self {
        Self { node: node.clone(), staying: Vec::new(), leaving: Vec::new() }
    }

    fn free(&mut self, resources: Resources) {
        self.node.used = self.node.used.minus(resources);
    }
}

/// What is missing of `want`.
fn missing(want: Resources, free: Resources) -> Resources {
    want.minus(free)
}

/// How much of what is missing these would give, in parts per thousand of each kind, added up.
fn gives(missing: Resources, frees: Resources) -> u64 {
    let part =
        |missing: u64, frees: u64| (frees.min(missing)).saturating_mul(1000).checked_div(missing).unwrap_or_default();
    part(u64::from(missing.vcpus), u64::from(frees.vcpus))
        + part(missing.memory_mib, frees.memory_mib)
        + part(missing.disk_bytes >> 20, frees.disk_bytes >> 20)
}

/// The fewest of `staying` whose going makes the room: one if one will do (the youngest such), otherwise the largest
/// first, and of these none that can stay.
fn fewest(want: Resources, free: Resources, from: &[Preemptible], staying: &[usize]) -> Option<Vec<usize>> {
    let lacks = |free: Resources| missing(want, free) != Resources::default();
    let mut left: Vec<(usize, Preemptible)> =
        staying.iter().filter_map(|index| Some((*index, *from.get(*index)?))).collect();
    // The youngest first; among equals, a fixed order.
    left.sort_by_key(|(index, one)| (Reverse(one.started_ms), *index));
    if let Some((index, _)) = left.iter().find(|(_, one)| !lacks(free.plus(one.frees))) {
        return Some(vec![*index]);
    }
    let mut chosen: Vec<(usize, Preemptible)> = Vec::new();
    let mut now = free;
    while lacks(now) {
        let lack = missing(want, now);
        let scored = left.iter().enumerate().map(|(at, (_, one))| (gives(lack, one.frees), at));
        let (given, at) = scored.max_by_key(|(given, at)| (*given, Reverse(*at)))?;
        if given == 0 {
            return None;
        }
        let one = left.remove(at);
        now = now.plus(one.1.frees);
        chosen.push(one);
    }
    // The oldest is spared first.
    chosen.sort_by_key(|(index, one)| (one.started_ms, *index));
    let mut kept = 0;
    while kept < chosen.len() {
        let others = chosen.iter().enumerate().filter(|(at, _)| *at != kept);
        let without = others.fold(free, |sum, (_, (_, one))| sum.plus(one.frees));
        if lacks(without) {
            kept += 1;
        } else {
            chosen.remove(kept);
        }
    }
    Some(chosen.into_iter().map(|(index, _)| index).collect())
}
