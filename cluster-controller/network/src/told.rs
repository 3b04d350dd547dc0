//! What a node was told, and the next update for it.

use crate::compile::{local, members, node_vpcs, peers, remotes};
use crate::{Model, compile};
use mallee_proto::v1::{NodeView, NodeViewUpdate, VpcView};
use mallee_proto::view;
use std::collections::{BTreeSet, HashMap};

/// The view a node was told last. Kept so that the next update carries only what changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    view: NodeView,
    hash: Vec<u8>,
    /// What the node holds is not what is kept here: the next update carries the view whole.
    unknown: bool,
}

impl Told {
    /// What a node says it holds, when it connects: (epoch, generation, hash). If that is neither the view kept here
    /// nor what the model says now, the next update will be whole, and of a higher generation.
    pub fn node_holds(&mut self, model: &Model, node: &str, epoch: u64, generation: u64, hash: &[u8]) {
        if (epoch, generation, hash) == (self.view.epoch, self.view.generation, self.hash.as_slice()) {
            self.unknown = false;
            return;
        }
        let now = NodeView { epoch, generation, ..compile(model, node) };
        if generation == 0 {
            self.unknown = false;
            self.view = NodeView { generation: self.view.generation, ..NodeView::default() };
            self.hash.clear();
            // The next generation must not be one that an earlier session used.
            self.unknown = self.view.generation > 0;
        } else if view::hash(&now)[..] == *hash {
            *self = Self { view: now, hash: hash.to_vec(), unknown: false };
        } else {
            self.view.generation = self.view.generation.max(generation);
            self.unknown = true;
        }
    }

    /// The node says that its view is not what was meant: the next update is whole.
    pub const fn distrust(&mut self) {
        self.unknown = true;
    }

    /// The generation told last.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.view.generation
    }

    /// The hash of the view told last; empty when nothing was told.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// The view told last.
    #[must_use]
    pub const fn view(&self) -> &NodeView {
        &self.view
    }

    /// The update to everything the model says now; `None` when the node was told all of it.
    pub fn learn_all(&mut self, model: &Model, node: &str, epoch: u64) -> Option<NodeViewUpdate> {
        let mut next = compile(model, node);
        if !self.unknown && next.vpcs == self.view.vpcs {
            return None;
        }
        next.epoch = epoch;
        next.generation = self.view.generation + 1;
        let update = if self.unknown { view::whole(&next) } else { view::diff(&self.view, &next) };
        *self = Self { view: next, hash: update.hash.clone(), unknown: false };
        Some(update)
    }

    /// The update to what the node's own ports need now: ports, their groups and rules, members of groups that were
    /// not named before, VPCs that are new to the node. What it knew of other ports and members stays as it is until
    /// [`Told::learn_all`]. Costs little in a large VPC. `None` when nothing of that changed.
    pub fn learn_local(&mut self, model: &Model, node: &str, epoch: u64) -> Option<NodeViewUpdate> {
        if self.unknown {
            return self.learn_all(model, node, epoch);
        }
        let mut held: HashMap<String, VpcView> =
            std::mem::take(&mut self.view.vpcs).into_iter().map(|vpc| (vpc.vpc_id.clone(), vpc)).collect();
        let (mut old, mut new, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for (vpc, entry) in node_vpcs(model, node) {
            let mut fresh = local(model, node, vpc, entry);
            let Some(mut before) = held.remove(&vpc.id) else {
                fresh.members = peers(&fresh.groups).iter().map(|group| members(model, group)).collect();
                fresh.remotes = remotes(model, node, entry);
                new.push(fresh.clone());
                next.push(fresh);
                continue;
            };
            // Members: keep the lists of groups that are still named, fetch those that are new, drop the rest.
            let named = peers(&fresh.groups);
            let (kept, dropped): (Vec<_>, Vec<_>) =
                std::mem::take(&mut before.members).into_iter().partition(|m| named.contains(&m.group_id));
            let known: BTreeSet<&String> = kept.iter().map(|m| &m.group_id).collect();
            fresh.members = named.iter().filter(|g| !known.contains(g)).map(|g| members(model, g)).collect();
            // Remotes: keep all but addresses that are now the node's own.
            let own: BTreeSet<&String> = fresh.ports.iter().map(|port| &port.private_ip).collect();
            let (stale, remotes): (Vec<_>, Vec<_>) =
                std::mem::take(&mut before.remotes).into_iter().partition(|r| own.contains(&r.address));
            before.members = dropped;
            before.remotes = stale;
            new.push(fresh.clone());
            old.push(before);
            fresh.members.extend(kept);
            fresh.remotes = remotes;
            next.push(fresh);
        }
        old.extend(held.into_values());
        let generation = self.view.generation;
        let mut old = NodeView { epoch: self.view.epoch, generation, vpcs: old };
        let mut new = NodeView { epoch, generation: generation + 1, vpcs: new };
        view::canonicalise(&mut old);
        view::canonicalise(&mut new);
        let unchanged = unchanged(&old, &new);
        self.view.vpcs = next;
        view::canonicalise(&mut self.view);
        if unchanged {
            return None;
        }
        let mut update = view::diff(&old, &new);
        self.view.epoch = epoch;
        self.view.generation = new.generation;
        // The hash is of the whole view, the lists that stayed included.
        self.hash = view::hash(&self.view).to_vec();
        update.hash.clone_from(&self.hash);
        Some(update)
    }
}

/// Both hold only what an update would carry, so equal lists mean that nothing needs saying.
fn unchanged(old: &NodeView, new: &NodeView) -> bool {
    old.vpcs == new.vpcs
}
