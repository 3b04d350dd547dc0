//! Which ports the groups of an interface, and the network ACL of a subnet, let through to or from one address.

use super::net::{AclEntry, GroupRule, Interface, Match, Net, Peer, Subnet};
use super::ports::Ports;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Which of an interface's groups may let packets pass: what the analysis was told to lead through, or not to.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Ids of what it must lead through.
    pub through: BTreeSet<String>,
    /// Ids of what it must not lead through.
    pub around: BTreeSet<String>,
}

impl Choice {
    /// The groups that count.
    pub(super) fn groups<'a>(&'a self, interface: &'a Interface) -> impl Iterator<Item = &'a String> {
        let wanted = interface.groups.iter().any(|id| self.through.contains(id));
        interface.groups.iter().filter(move |id| !self.around.contains(*id) && (!wanted || self.through.contains(*id)))
    }
}

/// The ports that a rule is about, of the packets' protocol.
fn ports(packets: &Match, protocol: u8) -> Ports {
    match packets.protocol {
        -1 => Ports::all(),
        other if other == i64::from(protocol) => Ports::of_rule(packets.from, packets.to),
        _ => Ports::default(),
    }
}

/// The rules of an interface's groups for one way to or from an address, each with its group and ports.
pub(super) fn rules<'a>(
    net: &'a Net,
    choice: &'a Choice,
    interface: &'a Interface,
    egress: bool,
    protocol: u8,
    remote: Ipv4Addr,
) -> impl Iterator<Item = (&'a String, &'a GroupRule, Ports)> {
    let about = move |rule: &&GroupRule| {
        rule.egress == egress
            && match &rule.peer {
                Peer::Block(block, _) => block.contains(&remote),
                Peer::Group(group) => net.is_member(&interface.vpc, group, remote),
            }
    };
    let groups = choice.groups(interface).filter_map(|id| Some((id, net.groups.get(id)?)));
    groups
        .flat_map(move |(id, group)| group.rules.iter().filter(about).map(move |rule| (id, rule)))
        .map(move |(id, rule)| (id, rule, ports(&rule.packets, protocol)))
}

/// The ports that an interface's groups let through.
pub(super) fn by_groups(
    net: &Net,
    choice: &Choice,
    interface: &Interface,
    egress: bool,
    protocol: u8,
    remote: Ipv4Addr,
) -> Ports {
    let rules = rules(net, choice, interface, egress, protocol, remote);
    rules.fold(Ports::default(), |all, (_, _, some)| all.or(&some))
}

/// The entries of a subnet's ACL for one way to or from an address, in their order, each with its ports.
fn entries(
    entries: &[AclEntry],
    egress: bool,
    protocol: u8,
    remote: Ipv4Addr,
) -> impl Iterator<Item = (&AclEntry, Ports)> {
    let about = move |entry: &&AclEntry| entry.egress == egress && entry.cidr.contains(&remote);
    entries.iter().filter(about).map(move |entry| (entry, ports(&entry.packets, protocol)))
}

/// The ports that a subnet's ACL lets through. One that is not known lets nothing through.
pub(super) fn by_acl(net: &Net, subnet: &Subnet, egress: bool, protocol: u8, remote: Ipv4Addr) -> Ports {
    let Some(id) = &subnet.acl else { return Ports::all() };
    let (mut left, mut passed) = (Ports::all(), Ports::default());
    let held = net.acls.get(id).map_or(&[][..], Vec::as_slice);
    for (entry, some) in entries(held, egress, protocol, remote) {
        if entry.allow {
            passed = passed.or(&left.and(&some));
        }
        left = left.without(&some);
    }
    passed
}

/// The entry that decides about one port; none: the last one, which denies everything.
pub(super) fn entry<'a>(
    net: &'a Net,
    acl: &str,
    egress: bool,
    protocol: u8,
    remote: Ipv4Addr,
    port: u16,
) -> Option<&'a AclEntry> {
    let held = net.acls.get(acl).map_or(&[][..], Vec::as_slice);
    entries(held, egress, protocol, remote).find(|(_, some)| some.has(port)).map(|(entry, _)| entry)
}
