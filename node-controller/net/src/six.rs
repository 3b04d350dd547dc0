//! What a view says of IPv6, checked. As with the rest: what cannot be used is left out and told.

use crate::check::{MAX_MORE_BLOCKS, MAX_SECONDARY};
use crate::config::NetConfig;
use crate::model::{Subnet, Vpc};
use ipnet::Ipv6Net;
use mallee_proto::v1::{PortView, SubnetView, VpcView};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Addresses that have a meaning of their own (those that stand for IPv4 among them), a meaning on each link only, and those of
/// many.
const RESERVED: [Ipv6Net; 3] = [
    Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 8),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];
/// A VPC's block is of this many bits at least, so that it is never all of the world.
const SHORTEST: u8 = 16;
/// A subnet's block, and the longest of a VPC's.
const SUBNET: u8 = 64;

/// The VPC's IPv6 blocks.
pub(crate) fn blocks(wire: &VpcView, warnings: &mut Vec<String>) -> Vec<Ipv6Net> {
    let mut blocks: Vec<Ipv6Net> = Vec::new();
    for text in &wire.ipv6_cidrs {
        match text.parse::<Ipv6Net>().map(|net| net.trunc()) {
            Ok(net)
                if (SHORTEST..=SUBNET).contains(&net.prefix_len())
                    && blocks.len() < MAX_MORE_BLOCKS
                    && !blocks.iter().chain(&RESERVED).any(|other| other.contains(&net) || net.contains(other)) =>
            {
                blocks.push(net);
            }
            _ => warnings.push(format!("{}: {text:?} left out, it can be no IPv6 block", wire.vpc_id)),
        }
    }
    blocks
}

/// A subnet's IPv6 block, if it has one.
pub(crate) fn subnet(wire: &SubnetView, vpc: &Vpc, warnings: &mut Vec<String>) -> Option<Ipv6Net> {
    if wire.ipv6_cidr.is_empty() {
        return None;
    }
    match wire.ipv6_cidr.parse::<Ipv6Net>() {
        Ok(net)
            if net.prefix_len() == SUBNET
                && vpc.covers6(net)
                && vpc.subnets.iter().all(|other| other.cidr6 != Some(net.trunc())) =>
        {
            Some(net.trunc())
        }
        _ => {
            let (id, text) = (&wire.id, &wire.ipv6_cidr);
            warnings.push(format!("{id}: without IPv6, {text:?} is no free /64 of {}", vpc.id));
            None
        }
    }
}

/// A port's IPv6 addresses; what cannot be one of them is told.
pub(crate) fn addresses(
    wire: &PortView,
    subnet: &Subnet,
    vpc: &Vpc,
    warning: &mut Option<String>,
) -> BTreeSet<Ipv6Addr> {
    let mut own = BTreeSet::new();
    for text in &wire.ipv6_addresses {
        let fits = |ip: &Ipv6Addr| {
            // The block's first address means all its routers.
            subnet.cidr6.is_some_and(|net| net.contains(ip) && net.network() != *ip) && !vpc.devices6.contains_key(ip)
        };
        match text.parse::<Ipv6Addr>() {
            Ok(ip) if !wire.nat && fits(&ip) && own.len() <= MAX_SECONDARY => drop(own.insert(ip)),
            _ => *warning = Some(format!("its IPv6 address {text:?} can not be its own")),
        }
    }
    own
}

/// The IPv6 addresses of groups' members, where the VPC has IPv6.
pub(crate) fn members(wire: &VpcView) -> BTreeMap<String, Arc<BTreeSet<Ipv6Addr>>> {
    if wire.ipv6_cidrs.is_empty() {
        return BTreeMap::new();
    }
    let parsed = |addresses: &[String]| addresses.iter().filter_map(|address| address.parse().ok()).collect();
    wire.members.iter().map(|group| (group.group_id.clone(), Arc::new(parsed(&group.addresses)))).collect()
}

/// Which node has an address, if that is another one and the address is the VPC's.
pub(crate) fn place(address: &str, vtep: &str, vpc: &Vpc, config: &NetConfig) -> Option<(Ipv6Addr, Ipv4Addr)> {
    let (ip, at) = (address.parse::<Ipv6Addr>().ok()?, vtep.parse::<Ipv4Addr>().ok()?);
    (at != config.vtep && vpc.covers6(ip) && !vpc.devices6.contains_key(&ip)).then_some((ip, at))
}

/// Where the VPC's other IPv6 addresses are.
pub(crate) fn remotes(wire: &VpcView, vpc: &Vpc, config: &NetConfig) -> BTreeMap<Ipv6Addr, Ipv4Addr> {
    wire.remotes.iter().filter_map(|remote| place(&remote.address, &remote.vtep, vpc, config)).collect()
}
