//! What a view says of IPv6, checked. As with the rest: what cannot be used is left out and told.

use crate::check::{MAX_MORE_BLOCKS, MAX_ROUTES, MAX_SECONDARY, MAX_TABLE};
use crate::config::NetConfig;
use crate::model::{Reach, Subnet, Vpc, Way};
use ipnet::Ipv6Net;
use mallee_proto::v1::{PeeringView, PortView, RouteTarget, RouteView, SubnetView, VpcView};
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

/// Route tables of IPv6, where the VPC has it; those without a route are left out.
pub(crate) fn tables(
    wire: &VpcView,
    vpc: &Vpc,
    names: &crate::Names,
    warnings: &mut Vec<String>,
) -> BTreeMap<u32, BTreeMap<Ipv6Net, Way>> {
    let mut tables = BTreeMap::new();
    let some = wire.route_tables.iter().filter(|table| vpc.six() && !table.ipv6_routes.is_empty());
    for table in some {
        let (number, count) = (table.number, table.ipv6_routes.len());
        if !(1..=MAX_TABLE).contains(&number) || count > MAX_ROUTES {
            warnings.push(format!("{}: table {number} of {count} IPv6 routes left out", vpc.id));
            continue;
        }
        let mut ways = BTreeMap::new();
        for route in &table.ipv6_routes {
            match route.destination.parse::<Ipv6Net>() {
                Ok(to) => drop(ways.insert(to.trunc(), way(route, names))),
                Err(_) => warnings.push(format!("{}: no IPv6 route to {:?}", vpc.id, route.destination)),
            }
        }
        tables.insert(number, ways);
    }
    tables
}

/// Where a route leads. Of what cannot be understood nothing is let out.
fn way(route: &RouteView, names: &crate::Names) -> Way {
    match route.target() {
        RouteTarget::Internet => Way::Internet,
        RouteTarget::EgressOnly => Way::EgressOnly,
        RouteTarget::Peering => Way::Peering(names.peering(&route.peering_id)),
        // A port takes IPv4 of others only.
        RouteTarget::Interface | RouteTarget::Unspecified | RouteTarget::Blackhole => Way::Blackhole,
    }
}

/// The IPv6 blocks of a peer, where this VPC has IPv6 too. One that overlaps its own is left out: what comes from there would
/// pass for its own.
pub(crate) fn peer_blocks(peering: &PeeringView, wire: &VpcView, warnings: &mut Vec<String>) -> Vec<Ipv6Net> {
    let own: Vec<Ipv6Net> = wire.ipv6_cidrs.iter().filter_map(|text| text.parse().ok()).collect();
    let mut blocks = Vec::new();
    for text in peering.peer_ipv6_cidrs.iter().filter(|_| !own.is_empty()) {
        match text.parse::<Ipv6Net>().map(|net| net.trunc()) {
            Ok(net)
                if net.prefix_len() >= SHORTEST
                    && blocks.len() < MAX_MORE_BLOCKS
                    && !own.iter().chain(&RESERVED).any(|other| other.contains(&net) || net.contains(other)) =>
            {
                blocks.push(net);
            }
            _ => warnings.push(format!("{}: {text:?} left out, it can be no IPv6 block of a peer", peering.id)),
        }
    }
    blocks
}

/// Of the addresses here those that the table of their subnet leads to the world. Whoever has one that is not of this node's
/// pool is told: no way of the host's leads to it.
pub(crate) fn world(
    vpc: &Vpc,
    config: &NetConfig,
    port_errors: &mut BTreeMap<String, String>,
) -> BTreeMap<Ipv6Addr, Reach> {
    let mut world = BTreeMap::new();
    for port in vpc.ports.values() {
        let ways = vpc.tables6.get(&port.subnet.table).into_iter().flat_map(BTreeMap::values);
        let reach = ways.fold(None, |reach, way| match way {
            Way::Internet => Some(Reach::BothWays),
            Way::EgressOnly => reach.or(Some(Reach::Outward)),
            Way::Blackhole | Way::Peering(_) | Way::Hop(_) => reach,
        });
        let Some(reach) = reach else { continue };
        for ip in &port.ipv6 {
            if config.public_pool6.iter().any(|pool| pool.contains(ip)) {
                world.insert(*ip, reach);
            } else {
                let why = format!("IPv6 address {ip} is outside this node's pool of IPv6 addresses, extend the pool");
                port_errors.entry(port.interface_id.clone()).or_insert(why);
            }
        }
    }
    world
}
