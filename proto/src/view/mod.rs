//! What cluster controller and node must agree on about a [`NodeView`]: its canonical order, its hash, and how a
//! change from one view to the next is written and read. Pure; both sides use exactly this code.
//!
//! A view is the set of its parts, so every list has a canonical order (by id) and a key may occur once. The hash
//! covers everything, epoch and generation included; of sections their own hashes ([`Sum`]) in place of their items.

mod format;
mod hash;
mod parts;
mod section;

pub use format::{FORMAT, LEAST_FORMAT, format_of};
pub use hash::Sum;
pub use parts::{Parts, split};
pub use section::{About, about, changed, items, listed, members_of, names_of, places_of, push, section_of};

use crate::v1::{
    GroupMembers, GroupRule, GroupView, NetworkAclEntry, NetworkAclView, NodeView, NodeViewUpdate, PortView, Remote,
    RouteTableView, Section, SectionUpdate, VpcUpdate, VpcView,
};
use prost::Message as _;
use prost::bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::cmp::Ordering;
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
    /// A section of the result is not what the sender has, or the update builds on one that is not held.
    #[error("section {key} of the view is not what its sender has")]
    Section {
        /// Its key.
        key: String,
    },
    /// A part of the update names nothing, or cannot be read.
    #[error("update of the view has a part that makes no sense")]
    Malformed,
}

/// Puts every list of the view in canonical order. Of parts with the same key the first is kept.
pub fn canonicalise(view: &mut NodeView) {
    sort_unique(&mut view.vpcs, |v| &v.vpc_id);
    sort_unique(&mut view.sections, |s| &s.key);
    view.vpcs.iter_mut().for_each(canonicalise_vpc);
}

fn canonicalise_vpc(vpc: &mut VpcView) {
    sort_unique(&mut vpc.subnets, |s| &s.id);
    if !numbered(&vpc.route_tables) {
        vpc.route_tables.sort_by_key(|table| table.number);
        vpc.route_tables.dedup_by_key(|table| table.number);
    }
    for table in &mut vpc.route_tables {
        sort_unique(&mut table.routes, |route| &route.destination);
        sort_unique(&mut table.ipv6_routes, |route| &route.destination);
    }
    sort_unique(&mut vpc.network_acls, |acl| &acl.id);
    for acl in vpc.network_acls.iter_mut().filter(|acl| !in_order(acl)) {
        acl.entries.sort_by_key(entry_key);
        acl.entries.dedup_by_key(|entry| entry_key(entry));
    }
    sort_unique(&mut vpc.peerings, |peering| &peering.id);
    for peering in &mut vpc.peerings {
        sort_unique(&mut peering.peer_cidrs, |cidr| cidr);
        sort_unique(&mut peering.peer_ipv6_cidrs, |cidr| cidr);
    }
    sort_unique(&mut vpc.public_names, |name| &name.public_ip);
    sort_unique(&mut vpc.ports, port_key);
    sort_unique(&mut vpc.groups, group_key);
    sort_unique(&mut vpc.members, members_key);
    sort_unique(&mut vpc.remotes, remote_key);
    sort_unique(&mut vpc.sections, |key| key);
    sort_unique(&mut vpc.ipv6_cidrs, |cidr| cidr);
    for port in &mut vpc.ports {
        sort_unique(&mut port.group_ids, |g| g);
        sort_unique(&mut port.secondary, |address| &address.private_ip);
        sort_unique(&mut port.ipv6_addresses, |address| address);
        sort_unique(&mut port.nat_draining, |address| address);
    }
    for group in &mut vpc.groups {
        group.rules.sort_by(rule_order);
    }
    for members in &mut vpc.members {
        sort_unique(&mut members.addresses, |a| a);
    }
}

fn sort_unique<T>(list: &mut Vec<T>, key: impl Fn(&T) -> &String) {
    if !ascends(list, &key) {
        list.sort_by(|a, b| key(a).cmp(key(b)));
        list.dedup_by(|later, kept| key(later) == key(kept));
    }
}

/// Rules without an id (built-in ones) are told apart by their content.
fn rule_order(a: &GroupRule, b: &GroupRule) -> Ordering {
    a.id.cmp(&b.id).then_with(|| a.encode_to_vec().cmp(&b.encode_to_vec()))
}

fn numbered(tables: &[RouteTableView]) -> bool {
    tables.is_sorted_by(|a, b| a.number < b.number)
}

const fn entry_key(entry: &NetworkAclEntry) -> (bool, u32) {
    (entry.egress, entry.number)
}

fn in_order(acl: &NetworkAclView) -> bool {
    acl.entries.is_sorted_by(|a, b| entry_key(a) < entry_key(b))
}

fn ascends<T>(list: &[T], key: impl Fn(&T) -> &String) -> bool {
    list.is_sorted_by(|a, b| key(a) < key(b))
}

fn is_canonical(view: &NodeView) -> bool {
    ascends(&view.vpcs, |v| &v.vpc_id) && ascends(&view.sections, |s| &s.key) && view.vpcs.iter().all(is_canonical_vpc)
}

fn is_canonical_vpc(vpc: &VpcView) -> bool {
    ascends(&vpc.subnets, |s| &s.id)
        && numbered(&vpc.route_tables)
        && vpc.route_tables.iter().all(|table| {
            ascends(&table.routes, |route| &route.destination)
                && ascends(&table.ipv6_routes, |route| &route.destination)
        })
        && ascends(&vpc.network_acls, |acl| &acl.id)
        && vpc.network_acls.iter().all(in_order)
        && ascends(&vpc.peerings, |peering| &peering.id)
        && vpc
            .peerings
            .iter()
            .all(|peering| ascends(&peering.peer_cidrs, |cidr| cidr) && ascends(&peering.peer_ipv6_cidrs, |cidr| cidr))
        && ascends(&vpc.public_names, |name| &name.public_ip)
        && ascends(&vpc.ports, port_key)
        && ascends(&vpc.groups, group_key)
        && ascends(&vpc.members, members_key)
        && ascends(&vpc.remotes, remote_key)
        && ascends(&vpc.sections, |key| key)
        && ascends(&vpc.ipv6_cidrs, |cidr| cidr)
        && vpc.ports.iter().all(|port| ascends(&port.ipv6_addresses, |address| address))
        && vpc.ports.iter().all(|port| ascends(&port.group_ids, |g| g))
        && vpc.ports.iter().all(|port| ascends(&port.secondary, |address| &address.private_ip))
        && vpc.ports.iter().all(|port| ascends(&port.nat_draining, |address| address))
        && vpc.groups.iter().all(|group| group.rules.is_sorted_by(|a, b| rule_order(a, b).is_le()))
        && vpc.members.iter().all(|members| ascends(&members.addresses, |a| a))
}

/// The view in canonical form. Nearly every view already is; a large one is costly to copy.
fn canonical(view: &NodeView) -> Cow<'_, NodeView> {
    if is_canonical(view) {
        return Cow::Borrowed(view);
    }
    let mut view = view.clone();
    canonicalise(&mut view);
    Cow::Owned(view)
}

/// SHA-256 over the encoding of the view's canonical form, its sections without their items. (So a view without sections
/// hashes as it did before there were any.)
#[must_use]
pub fn hash(view: &NodeView) -> [u8; 32] {
    hash_canonical(&canonical(view))
}

fn hash_canonical(view: &NodeView) -> [u8; 32] {
    if view.sections.iter().any(|section| !section.items.is_empty()) {
        return hash_canonical(&bare(view));
    }
    Sha256::digest(view.encode_to_vec()).into()
}

/// The view without the items of its sections: what its hash is of.
#[must_use]
pub fn bare(view: &NodeView) -> NodeView {
    NodeView {
        epoch: view.epoch,
        generation: view.generation,
        vpcs: view.vpcs.clone(),
        sections: view.sections.iter().map(without_items).collect(),
    }
}

fn without_items(section: &Section) -> Section {
    Section { key: section.key.clone(), hash: section.hash.clone(), items: Bytes::new() }
}

/// The update that leads from `old` to `new`. Where there is no old view (generation 0) it carries `new` whole.
#[must_use]
pub fn diff(old: &NodeView, new: &NodeView) -> NodeViewUpdate {
    let held: &[Section] = if old.generation == 0 { &[] } else { &old.sections };
    let held: BTreeMap<&str, &Section> = held.iter().map(|section| (section.key.as_str(), section)).collect();
    let new = &*canonical(new);
    let sections = new.sections.iter().filter_map(|new| match held.get(new.key.as_str()) {
        Some(same) if same.hash == new.hash => None,
        other => Some(section::diff(other.copied(), new)),
    });
    NodeViewUpdate { sections: sections.collect(), hash: hash(new).to_vec(), ..diff_unhashed(old, new) }
}

/// As [`diff`], without sections, and with the hash left empty: for a sender who keeps the changes of sections.
#[must_use]
pub fn diff_unhashed(old: &NodeView, new: &NodeView) -> NodeViewUpdate {
    let (old, new) = (canonical(old), canonical(new));
    let held: &[VpcView] = if old.generation == 0 { &[] } else { &old.vpcs };
    let (removed_vpcs, _) = compare(held, &new.vpcs, |v| &v.vpc_id);
    let before: BTreeMap<&str, &VpcView> = held.iter().map(|v| (v.vpc_id.as_str(), v)).collect();
    let vpcs = new.vpcs.iter().filter_map(|vpc| match before.get(vpc.vpc_id.as_str()) {
        Some(same) if *same == vpc => None,
        Some(changed) => Some(diff_vpc(changed, vpc)),
        None => Some(VpcUpdate { upsert: Some(vpc.clone()), ..VpcUpdate::default() }),
    });
    NodeViewUpdate {
        epoch: new.epoch,
        base_generation: old.generation,
        generation: new.generation,
        hash: Vec::new(),
        vpcs: vpcs.collect(),
        removed_vpcs,
        sections: Vec::new(),
        parts_left: 0,
    }
}

/// The update that carries `new` whole, whatever its receiver holds.
#[must_use]
pub fn whole(new: &NodeView) -> NodeViewUpdate {
    diff(&NodeView::default(), new)
}

fn diff_vpc(old: &VpcView, new: &VpcView) -> VpcUpdate {
    let (removed_ports, ports) = compare(&old.ports, &new.ports, port_key);
    let (removed_groups, groups) = compare(&old.groups, &new.groups, group_key);
    let (removed_members, members) = compare(&old.members, &new.members, members_key);
    let (removed_remotes, remotes) = compare(&old.remotes, &new.remotes, remote_key);
    let upsert = VpcView {
        vpc_id: new.vpc_id.clone(),
        cidr: new.cidr.clone(),
        vni: new.vni,
        dns_domain: new.dns_domain.clone(),
        subnets: new.subnets.clone(),
        route_tables: new.route_tables.clone(),
        network_acls: new.network_acls.clone(),
        internet_gateway: new.internet_gateway,
        routed: new.routed,
        ports: ports.into_iter().cloned().collect(),
        groups: groups.into_iter().cloned().collect(),
        members: members.into_iter().cloned().collect(),
        remotes: remotes.into_iter().cloned().collect(),
        dns_off: new.dns_off,
        public_names_off: new.public_names_off,
        dhcp_options: new.dhcp_options.clone(),
        more_cidrs: new.more_cidrs.clone(),
        peerings: new.peerings.clone(),
        public_names: new.public_names.clone(),
        sections: new.sections.clone(),
        ipv6_cidrs: new.ipv6_cidrs.clone(),
    };
    VpcUpdate { upsert: Some(upsert), removed_ports, removed_groups, removed_members, removed_remotes }
}

/// What leads from one list to another, both in canonical order: the keys that went, and the items that came or are
/// not as they were.
fn compare<'a, T: PartialEq>(old: &[T], new: &'a [T], key: fn(&T) -> &String) -> (Vec<String>, Vec<&'a T>) {
    let (mut removed, mut changed) = (Vec::new(), Vec::new());
    let mut before = old.iter().peekable();
    for item in new {
        while let Some(gone) = before.next_if(|b| key(b) < key(item)) {
            removed.push(key(gone).clone());
        }
        match before.next_if(|b| key(b) == key(item)) {
            Some(same) if same == item => {}
            Some(_) | None => changed.push(item),
        }
    }
    removed.extend(before.map(|gone| key(gone).clone()));
    (removed, changed)
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
    let old = canonical(old);
    let held: &[VpcView] = if whole { &[] } else { &old.vpcs };
    let gone: BTreeSet<&String> = update.removed_vpcs.iter().collect();
    let mut held: BTreeMap<&str, &VpcView> =
        held.iter().filter(|v| !gone.contains(&v.vpc_id)).map(|v| (v.vpc_id.as_str(), v)).collect();
    let mut vpcs: BTreeMap<&str, VpcView> = BTreeMap::new();
    for part in &update.vpcs {
        let mut next = part.upsert.clone().ok_or(Mismatch::Malformed)?;
        let Some(id) = part.upsert.as_ref().map(|upsert| upsert.vpc_id.as_str()) else { continue };
        canonicalise_vpc(&mut next);
        if let Some(before) = held.remove(id) {
            next.ports = merge(&before.ports, next.ports, &part.removed_ports, port_key);
            next.groups = merge(&before.groups, next.groups, &part.removed_groups, group_key);
            next.members = merge(&before.members, next.members, &part.removed_members, members_key);
            next.remotes = merge(&before.remotes, next.remotes, &part.removed_remotes, remote_key);
        }
        vpcs.insert(id, next);
    }
    for (id, same) in held {
        vpcs.entry(id).or_insert_with(|| same.clone());
    }
    let vpcs: Vec<VpcView> = vpcs.into_values().collect();
    let whole_sections = apply_sections(if whole { &[] } else { &old.sections }, &update.sections, &vpcs)?;
    let sections = whole_sections.iter().map(without_items).collect();
    let mut view = NodeView { epoch: update.epoch, generation: update.generation, vpcs, sections };
    canonicalise(&mut view);
    if hash_canonical(&view)[..] != update.hash[..] {
        return Err(Mismatch::Hash { generation: update.generation });
    }
    // In the same order.
    view.sections = whole_sections;
    Ok(view)
}

/// The sections that these VPCs name, by key: those held, with the updates to them.
fn apply_sections(held: &[Section], updates: &[SectionUpdate], vpcs: &[VpcView]) -> Result<Vec<Section>, Mismatch> {
    let held: BTreeMap<&str, &Section> = held.iter().map(|section| (section.key.as_str(), section)).collect();
    let updates: BTreeMap<&str, &SectionUpdate> = updates.iter().map(|update| (update.key.as_str(), update)).collect();
    let named: BTreeSet<&String> = vpcs.iter().flat_map(|vpc| &vpc.sections).collect();
    let result = named.into_iter().map(|key| match (updates.get(key.as_str()), held.get(key.as_str())) {
        (Some(update), held) => section::apply(held.copied(), update),
        (None, Some(held)) => Ok((*held).clone()),
        (None, None) => Err(Mismatch::Section { key: key.clone() }),
    });
    result.collect()
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

/// `old` without what was removed, with what changed over it; both lists are in canonical order, and so is the result.
fn merge<T: Clone>(old: &[T], changed: Vec<T>, removed: &[String], key: fn(&T) -> &String) -> Vec<T> {
    let gone: BTreeSet<&String> = removed.iter().collect();
    let mut merged = Vec::with_capacity(old.len() + changed.len());
    let mut changed = changed.into_iter().peekable();
    for item in old {
        while let Some(new) = changed.next_if(|c| key(c) < key(item)) {
            merged.push(new);
        }
        match changed.next_if(|c| key(c) == key(item)) {
            Some(new) => merged.push(new),
            None if gone.contains(key(item)) => {}
            None => merged.push(item.clone()),
        }
    }
    merged.extend(changed);
    merged
}

#[cfg(test)]
mod tests;
