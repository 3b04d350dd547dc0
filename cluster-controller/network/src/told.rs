//! What a node was told, and the next update for it.

use crate::compile::{Place, local, member_addresses, members, node_vpcs, peers, places, remote};
use crate::{Model, compile};
use mallee_proto::v1::{GroupMembers, NodeView, NodeViewUpdate, Remote, VpcView};
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
        if self.unknown {
            let mut next = compile(model, node);
            next.epoch = epoch;
            next.generation = self.view.generation + 1;
            let update = view::whole(&next);
            *self = Self { view: next, hash: update.hash.clone(), unknown: false };
            return Some(update);
        }
        self.learn(model, node, epoch, true)
    }

    /// The update to what the node's own ports need now: ports, their groups and rules, members of groups that were
    /// not named before, VPCs that are new to the node. What it knew of other ports and members stays as it is until
    /// [`Told::learn_all`]. Costs little in a large VPC. `None` when nothing of that changed.
    pub fn learn_local(&mut self, model: &Model, node: &str, epoch: u64) -> Option<NodeViewUpdate> {
        if self.unknown { self.learn_all(model, node, epoch) } else { self.learn(model, node, epoch, false) }
    }

    /// Only what changes is compared and copied; the long lists of a large VPC, nearly all of which stays, are moved.
    fn learn(&mut self, model: &Model, node: &str, epoch: u64, all: bool) -> Option<NodeViewUpdate> {
        let mut held: HashMap<String, VpcView> =
            std::mem::take(&mut self.view.vpcs).into_iter().map(|vpc| (vpc.vpc_id.clone(), vpc)).collect();
        let (mut old, mut new, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for (vpc, entry) in node_vpcs(model, node) {
            let mut fresh = local(model, node, vpc, entry);
            let Some(mut before) = held.remove(&vpc.id) else {
                fresh.members = peers(&fresh.groups).iter().map(|group| members(model, group)).collect();
                fresh.remotes = places(model, node, entry).into_iter().map(remote).collect();
                new.push(fresh.clone());
                next.push(fresh);
                continue;
            };
            let named = peers(&fresh.groups);
            let kept_members = split_members(model, &named, &mut before.members, &mut fresh.members, all);
            let kept_remotes = if all {
                split_remotes(&places(model, node, entry), &mut before.remotes, &mut fresh.remotes)
            } else {
                // Keep all but addresses that are now the node's own.
                let own: BTreeSet<&String> = fresh.ports.iter().map(|port| &port.private_ip).collect();
                let (stale, kept) =
                    std::mem::take(&mut before.remotes).into_iter().partition(|r| own.contains(&r.address));
                before.remotes = stale;
                kept
            };
            new.push(fresh.clone());
            old.push(before);
            fresh.members.extend(kept_members);
            fresh.remotes.extend(kept_remotes);
            next.push(fresh);
        }
        old.extend(held.into_values());
        let generation = self.view.generation;
        let mut old = NodeView { epoch: self.view.epoch, generation, vpcs: old };
        let mut new = NodeView { epoch, generation: generation + 1, vpcs: new };
        view::canonicalise(&mut old);
        view::canonicalise(&mut new);
        self.view.vpcs = next;
        view::canonicalise(&mut self.view);
        // Both hold only what an update would carry, so equal lists mean that nothing needs saying.
        if old.vpcs == new.vpcs {
            return None;
        }
        let mut update = view::diff_unhashed(&old, &new);
        self.view.epoch = epoch;
        self.view.generation = new.generation;
        // The hash is of the whole view, the lists that stayed included.
        self.hash = view::hash(&self.view).to_vec();
        update.hash.clone_from(&self.hash);
        Some(update)
    }
}

/// Member lists: returns those that stay; leaves in `before` what goes or changes, puts into `fresh` what comes or
/// changes. Unless `all`, the list of a group that is still named counts as unchanged.
fn split_members(
    model: &Model,
    named: &BTreeSet<String>,
    before: &mut Vec<GroupMembers>,
    fresh: &mut Vec<GroupMembers>,
    all: bool,
) -> Vec<GroupMembers> {
    let same = |held: &GroupMembers| {
        named.contains(&held.group_id) && (!all || held.addresses == member_addresses(model, &held.group_id))
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = std::mem::take(before).into_iter().partition(same);
    let known: BTreeSet<&String> = kept.iter().map(|m| &m.group_id).collect();
    fresh.extend(named.iter().filter(|g| !known.contains(g)).map(|g| members(model, g)));
    *before = dropped;
    kept
}

/// The same of the remotes, all of which are compared. Both lists are in order of address.
fn split_remotes(now: &[Place<'_>], before: &mut Vec<Remote>, fresh: &mut Vec<Remote>) -> Vec<Remote> {
    let (mut kept, mut stale) = (Vec::with_capacity(before.len()), Vec::new());
    let mut now = now.iter().copied().peekable();
    for held in before.drain(..) {
        while let Some(came) = now.next_if(|(address, _)| *address < held.address.as_str()) {
            fresh.push(remote(came));
        }
        match now.next_if(|(address, _)| *address == held.address) {
            Some((_, vtep)) if vtep == held.vtep => kept.push(held),
            Some(moved) => {
                fresh.push(remote(moved));
                stale.push(held);
            }
            None => stale.push(held),
        }
    }
    fresh.extend(now.map(remote));
    *before = stale;
    kept
}
