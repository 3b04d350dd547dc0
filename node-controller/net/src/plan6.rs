//! The IPv6 part of what a VPC's namespace should hold. Routes of IPv6 are named by their blocks, as those of IPv4 are, and
//! that to everything `::/0`.

use crate::model::{Vpc, Way};
use crate::plan::{BLACKHOLE, Desired, EDGE_MAC, Lead, PEERING_MAC, THROW, UNREACHABLE, main_route, nodes, vtep_mac};
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// Next hops on the pairs between VPC and edge, edge and host, and between peers; they are nobody's address.
pub(crate) const UP_HOP6: &str = "fe80::2";
pub(crate) const DOWN_HOP6: &str = "fe80::3";

/// The VPC's own blocks, and its ports that are there.
pub(crate) fn inside(vpc: &Vpc, want: &mut Desired) {
    for own in &vpc.blocks6 {
        want.routes.insert(main_route(&own.to_string()), UNREACHABLE.to_owned());
    }
    for (device, port) in &vpc.ports {
        if port.ipv6.is_empty() || !want.links.contains_key(device) {
            continue;
        }
        let mac = port.mac.to_string();
        want.routers6.insert(device.clone());
        want.neighbours.insert((device.clone(), port.mac.link_local().to_string()), mac.clone());
        for ip in &port.ipv6 {
            want.routes.insert(main_route(&ip.to_string()), format!("dev {device}"));
            want.neighbours.insert((device.clone(), ip.to_string()), mac.clone());
        }
    }
}

/// The way to the addresses of other nodes. A next hop of theirs is a link-local address made of the one that stands for the
/// node.
pub(crate) fn elsewhere(vpc: &Vpc, want: &mut Desired) {
    let nodes = nodes(vpc);
    for (ip, vtep) in vpc.remotes6.iter() {
        let Some(hop) = nodes.get(vtep) else { continue };
        let [a, b, c, d] = hop.octets().map(u16::from);
        let hop = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, a << 8 | b, c << 8 | d).to_string();
        want.routes.insert(main_route(&ip.to_string()), format!("via {hop} dev vx onlink"));
        want.neighbours.insert(("vx".to_owned(), hop), vtep_mac(*vtep).to_string());
    }
}

/// Where route tables lead. The VPC's own blocks are in the main table; a longer route goes before it.
pub(crate) fn tables(vpc: &Vpc, want: &mut Desired) {
    let there = |want: &Desired, device: &str| want.links.contains_key(device);
    if !vpc.world6.is_empty() && there(want, "igw") {
        want.neighbours.insert(("igw".to_owned(), UP_HOP6.to_owned()), EDGE_MAC.to_string());
    }
    for (device, _) in vpc.peerings.iter().filter(|(_, peering)| !peering.blocks6.is_empty()) {
        if there(want, device) {
            want.neighbours.insert((device.clone(), UP_HOP6.to_owned()), PEERING_MAC.to_string());
        }
    }
    for (number, ways) in &vpc.tables6 {
        want.rules6.insert(Lead::Mark(*number));
        for own in &vpc.blocks6 {
            want.routes.insert((*number, own.to_string()), THROW.to_owned());
        }
        for (to, way) in ways {
            let device = match way {
                Way::Blackhole | Way::Hop(_) => None,
                Way::Internet | Way::EgressOnly => Some("igw"),
                Way::Peering(device) => Some(device.as_str()),
            };
            if device.is_some() && vpc.blocks6.contains(to) {
                continue;
            }
            let rest = match device {
                None => BLACKHOLE.to_owned(),
                Some(device) if there(want, device) => format!("via {UP_HOP6} dev {device} onlink"),
                Some(_) => UNREACHABLE.to_owned(),
            };
            want.routes.insert((*number, name(*to)), rest);
        }
    }
}

/// As `ip` names it.
fn name(to: Ipv6Net) -> String {
    if to.prefix_len() == 128 { to.addr().to_string() } else { to.to_string() }
}
