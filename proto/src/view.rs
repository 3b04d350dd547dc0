//! What cluster controller and node must agree on about a [`NodeView`]: its canonical order, its hash, and how a
//! change from one view to the next is written and read. Pure; both sides use exactly this code.
//!
//! A view is the set of its parts, so every list has a canonical order (by id) and a key may occur once. The hash
//! covers everything, epoch and generation included.

use crate::v1::{GroupMembers, GroupRule, GroupView, NodeView, NodeViewUpdate, PortView, Remote, VpcUpdate, VpcView};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Why an update does not lead to the view its sender meant. The cure is always the same: ask for the view whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The update builds on a view that is not held.
    #[error("update builds on generation {wanted} of the view, generation {held} is held")]
    Base {
        /// The generation held.
        held: u64,
        /// The generation the update builds on.
        wanted: u64,
    },
    /// The result does not hash to what the sender has.
    #[error("view generation {generation} does not hash to what its sender has")]
    Hash {
        /// The generation the update leads to.
        generation: u64,
    },
    /// A part of the update names nothing.
    #[error("update of the view has a part without a vpc")]
    Malformed,
}

/// Puts every list of the view in canonical order. Of parts with the same key the first is kept.
pub fn canonicalise(view: &mut NodeView) {
    sort_unique(&mut view.vpcs, |v| &v.vpc_id);
    view.vpcs.iter_mut().for_each(canonicalise_vpc);
}

fn canonicalise_vpc(vpc: &mut VpcView) {
    sort_unique(&mut vpc.subnets, |s| &s.id);
    sort_unique(&mut vpc.ports, |p| &p.interface_id);
    sort_unique(&mut vpc.groups, |g| &g.id);
    sort_unique(&mut vpc.members, |m| &m.group_id);
    sort_unique(&mut vpc.remotes, |r| &r.address);
    for port in &mut vpc.ports {
        sort_unique(&mut port.group_ids, |g| g);
    }
    for group in &mut vpc.groups {
        sort_rules(&mut group.rules);
    }
    for members in &mut vpc.members {
        sort_unique(&mut members.addresses, |a| a);
    }
}

fn sort_unique<T>(list: &mut Vec<T>, key: impl Fn(&T) -> &String) {
    list.sort_by(|a, b| key(a).cmp(key(b)));
    list.dedup_by(|later, kept| key(later) == key(kept));
}

/// Rules without an id (built-in ones) are told apart by their content.
fn sort_rules(rules: &mut [GroupRule]) {
    rules.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| a.encode_to_vec().cmp(&b.encode_to_vec())));
}

/// SHA-256 over the encoding of the view's canonical form.
#[must_use]
pub fn hash(view: &NodeView) -> [u8; 32] {
    let mut view = view.clone();
    canonicalise(&mut view);
    hash_canonical(&view)
}

fn hash_canonical(view: &NodeView) -> [u8; 32] {
    Sha256::digest(view.encode_to_vec()).into()
}

/// The update that leads from `old` to `new`. Where there is no old view (generation 0) it carries `new` whole.
#[must_use]
pub fn diff(old: &NodeView, new: &NodeView) -> NodeViewUpdate {
    let (mut old, mut new) = (old.clone(), new.clone());
    canonicalise(&mut old);
    canonicalise(&mut new);
    if old.generation == 0 {
        old.vpcs.clear();
    }
    let hash = hash_canonical(&new).to_vec();
    let removed_vpcs = removed(&old.vpcs, &new.vpcs, |v| &v.vpc_id);
    let before: BTreeMap<&str, &VpcView> = old.vpcs.iter().map(|v| (v.vpc_id.as_str(), v)).collect();
    let mut vpcs = Vec::new();
    for vpc in new.vpcs {
        match before.get(vpc.vpc_id.as_str()) {
            Some(same) if **same == vpc => {}
            Some(changed) => vpcs.push(diff_vpc(changed, vpc)),
            None => vpcs.push(VpcUpdate { upsert: Some(vpc), ..VpcUpdate::default() }),
        }
    }
    NodeViewUpdate {
        epoch: new.epoch,
        base_generation: old.generation,
        generation: new.generation,
        hash,
        vpcs,
        removed_vpcs,
    }
}

/// The update that carries `new` whole, whatever its receiver holds.
#[must_use]
pub fn whole(new: &NodeView) -> NodeViewUpdate {
    diff(&NodeView::default(), new)
}

fn diff_vpc(old: &VpcView, mut new: VpcView) -> VpcUpdate {
    let update = VpcUpdate {
        upsert: None,
        removed_ports: removed(&old.ports, &new.ports, |p| &p.interface_id),
        removed_groups: removed(&old.groups, &new.groups, |g| &g.id),
        removed_members: removed(&old.members, &new.members, |m| &m.group_id),
        removed_remotes: removed(&old.remotes, &new.remotes, |r| &r.address),
    };
    keep_changed(&old.ports, &mut new.ports, |p| &p.interface_id);
    keep_changed(&old.groups, &mut new.groups, |g| &g.id);
    keep_changed(&old.members, &mut new.members, |m| &m.group_id);
    keep_changed(&old.remotes, &mut new.remotes, |r| &r.address);
    VpcUpdate { upsert: Some(new), ..update }
}

/// Keys of `old` that `new` lacks.
fn removed<T>(old: &[T], new: &[T], key: impl Fn(&T) -> &String) -> Vec<String> {
    let kept: BTreeSet<&String> = new.iter().map(&key).collect();
    old.iter().map(&key).filter(|k| !kept.contains(k)).cloned().collect()
}

fn keep_changed<T: PartialEq>(old: &[T], new: &mut Vec<T>, key: impl Fn(&T) -> &String) {
    let before: BTreeMap<&String, &T> = old.iter().map(|item| (key(item), item)).collect();
    new.retain(|item| before.get(key(item)).is_none_or(|same| *same != item));
}

/// The view that `update` makes of `old`, in canonical form; `old` stays as it is.
///
/// # Errors
/// [`Mismatch`] when the update builds on another view or its result is not what the sender has.
pub fn apply(old: &NodeView, update: &NodeViewUpdate) -> Result<NodeView, Mismatch> {
    let whole = update.base_generation == 0;
    if !whole && update.base_generation != old.generation {
        return Err(Mismatch::Base { held: old.generation, wanted: update.base_generation });
    }
    let mut held = if whole { NodeView::default() } else { old.clone() };
    canonicalise(&mut held);
    let mut vpcs: BTreeMap<String, VpcView> = held.vpcs.into_iter().map(|v| (v.vpc_id.clone(), v)).collect();
    for id in &update.removed_vpcs {
        vpcs.remove(id);
    }
    for part in &update.vpcs {
        let upsert = part.upsert.as_ref().ok_or(Mismatch::Malformed)?;
        let mut next = upsert.clone();
        if let Some(before) = vpcs.remove(&upsert.vpc_id) {
            let VpcView { ports, groups, members, remotes, .. } = before;
            next.ports = merge(ports, next.ports, &part.removed_ports, port_key);
            next.groups = merge(groups, next.groups, &part.removed_groups, group_key);
            next.members = merge(members, next.members, &part.removed_members, members_key);
            next.remotes = merge(remotes, next.remotes, &part.removed_remotes, remote_key);
        }
        vpcs.insert(next.vpc_id.clone(), next);
    }
    let mut view = NodeView { epoch: update.epoch, generation: update.generation, vpcs: vpcs.into_values().collect() };
    canonicalise(&mut view);
    if hash_canonical(&view)[..] == update.hash[..] {
        Ok(view)
    } else {
        Err(Mismatch::Hash { generation: update.generation })
    }
}

fn port_key(port: &PortView) -> &String {
    &port.interface_id
}
fn group_key(group: &GroupView) -> &String {
    &group.id
}
fn members_key(members: &GroupMembers) -> &String {
    &members.group_id
}
fn remote_key(remote: &Remote) -> &String {
    &remote.address
}

fn merge<T>(old: Vec<T>, changed: Vec<T>, removed: &[String], key: fn(&T) -> &String) -> Vec<T> {
    let gone: BTreeSet<&String> = removed.iter().collect();
    let mut merged: BTreeMap<String, T> = old.into_iter().map(|item| (key(&item).clone(), item)).collect();
    merged.retain(|k, _| !gone.contains(k));
    merged.extend(changed.into_iter().map(|item| (key(&item).clone(), item)));
    merged.into_values().collect()
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
