//! What nodes do with packets, by the views that they are told: written after the rules of the packet filter (nft.rs, acl.rs,
//! peering.rs), and without any of the analysis.

use ipnet::Ipv4Net;
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{NodeView, PortView, RouteTarget, SubnetView, VpcView};
use std::net::Ipv4Addr;

/// Ports at which some rule of the test begins or ends, and those beside them.
pub const PORTS: [u16; 11] = [0, 21, 22, 23, 79, 80, 81, 1023, 1024, 1025, 65535];

/// Which way a packet comes, or where it goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    World,
    Peering(String),
    Port(String),
}

#[derive(Debug, Clone, Copy)]
pub struct Packet {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: i32,
    pub port: u16,
    /// It answers one that was let through.
    pub answer: bool,
}

pub struct Nodes(pub Vec<NodeView>);

fn has(cidr: &str, address: Ipv4Addr) -> bool {
    cidr.parse::<Ipv4Net>().is_ok_and(|net| net.contains(&address))
}

fn own(vpc: &VpcView, address: Ipv4Addr) -> bool {
    has(&vpc.cidr, address) || vpc.more_cidrs.iter().any(|cidr| has(cidr, address))
}

fn addresses(port: &PortView) -> Vec<(Ipv4Addr, Option<Ipv4Addr>)> {
    let pair = |private: &str, public: &str| (private.parse().unwrap(), public.parse().ok());
    let others = port.secondary.iter().map(|other| pair(&other.private_ip, &other.public_ip));
    std::iter::once(pair(&port.private_ip, &port.public_ip)).chain(others).collect()
}

fn holds(port: &PortView, address: Ipv4Addr) -> bool {
    addresses(port).iter().any(|(private, _)| *private == address)
}

/// The part of a rule about protocol and ports.
fn fits(protocol: i32, from: i32, to: i32, packet: &Packet) -> bool {
    let ports = from < 0 || to < 0 || (from..=to).contains(&i32::from(packet.port));
    protocol == -1 || (protocol == packet.protocol && ports)
}

fn acl(vpc: &VpcView, subnet: &SubnetView, egress: bool, packet: &Packet, world: bool) -> bool {
    let remote = if egress { packet.destination } else { packet.source };
    if subnet.network_acl.is_empty() || (!world && has(&subnet.cidr, remote)) {
        return true;
    }
    let Some(acl) = vpc.network_acls.iter().find(|acl| acl.id == subnet.network_acl) else { return false };
    let mut entries: Vec<_> = acl.entries.iter().filter(|entry| entry.egress == egress).collect();
    entries.sort_by_key(|entry| entry.number);
    let decides = entries
        .iter()
        .find(|entry| has(&entry.cidr, remote) && fits(entry.protocol, entry.from_port, entry.to_port, packet));
    decides.is_some_and(|entry| entry.allow)
}

fn groups(vpc: &VpcView, port: &PortView, egress: bool, packet: &Packet) -> bool {
    let remote = if egress { packet.destination } else { packet.source };
    let held = vpc.groups.iter().filter(|group| port.group_ids.contains(&group.id));
    packet.answer
        || held.flat_map(|group| &group.rules).any(|rule| {
            let peer = match rule.peer.as_ref().unwrap() {
                Peer::Cidr(cidr) => has(cidr, remote),
                Peer::GroupId(id) => vpc
                    .members
                    .iter()
                    .any(|members| members.group_id == *id && members.addresses.contains(&remote.to_string())),
            };
            rule.egress == egress && peer && fits(rule.protocol, rule.from_port, rule.to_port, packet)
        })
}

fn subnet<'a>(vpc: &'a VpcView, port: &PortView) -> &'a SubnetView {
    vpc.subnets.iter().find(|subnet| subnet.id == port.subnet_id).unwrap()
}

impl Nodes {
    /// The node, its view of the VPC, and the port.
    fn port(&self, interface: &str) -> Option<(&NodeView, &VpcView, &PortView)> {
        self.0.iter().find_map(|node| {
            node.vpcs.iter().find_map(|vpc| {
                vpc.ports.iter().find(|port| port.interface_id == interface).map(|port| (node, vpc, port))
            })
        })
    }

    /// Addresses of an interface that is up, private and public.
    pub fn addresses(&self, interface: &str) -> Vec<(Ipv4Addr, Option<Ipv4Addr>)> {
        self.port(interface).map(|(_, _, port)| addresses(port)).unwrap_or_default()
    }

    /// Where a port's packet comes out; at another port it was let in.
    pub fn send(&self, interface: &str, packet: &Packet) -> Option<Place> {
        let (node, vpc, port) = self.port(interface)?;
        let within = subnet(vpc, port);
        if !holds(port, packet.source) || has("169.254.0.0/16", packet.destination) {
            return None;
        }
        if own(vpc, packet.destination) {
            let passes = acl(vpc, within, true, packet, false) && groups(vpc, port, true, packet);
            return passes.then(|| self.deliver(node, vpc, packet, None)).flatten();
        }
        let table = vpc.route_tables.iter().find(|table| table.number == within.route_table)?;
        let routes = table.routes.iter().filter(|route| has(&route.destination, packet.destination));
        let route = routes.max_by_key(|route| route.destination.parse::<Ipv4Net>().unwrap().prefix_len())?;
        let world = route.target() == RouteTarget::Internet;
        if !acl(vpc, within, true, packet, world) || !groups(vpc, port, true, packet) {
            return None;
        }
        match route.target() {
            RouteTarget::Internet => {
                let public = addresses(port).into_iter().find(|(private, _)| *private == packet.source)?.1;
                (vpc.internet_gateway && public.is_some()).then_some(Place::World)
            }
            RouteTarget::Peering => {
                let peering = vpc.peerings.iter().find(|peering| peering.id == route.peering_id)?;
                if !peering.peer_cidrs.iter().any(|cidr| has(cidr, packet.destination)) {
                    return None;
                }
                let peer = node.vpcs.iter().find(|vpc| vpc.vpc_id == peering.peer_vpc_id)?;
                Some(
                    self.deliver(node, peer, packet, Some(&route.peering_id))
                        .unwrap_or(Place::Peering(peering.id.clone())),
                )
            }
            _ => None,
        }
    }

    /// Whether a packet of a port would go onto a connection at all.
    pub fn crosses(&self, interface: &str, peering: &str, packet: &Packet) -> bool {
        let Some((_, vpc, port)) = self.port(interface) else { return false };
        let within = subnet(vpc, port);
        let Some(table) = vpc.route_tables.iter().find(|table| table.number == within.route_table) else {
            return false;
        };
        let routes = table.routes.iter().filter(|route| has(&route.destination, packet.destination));
        let route = routes.max_by_key(|route| route.destination.parse::<Ipv4Net>().unwrap().prefix_len());
        let known = vpc.peerings.iter().find(|one| one.id == peering);
        !own(vpc, packet.destination)
            && route.is_some_and(|route| route.target() == RouteTarget::Peering && route.peering_id == peering)
            && known.is_some_and(|one| one.peer_cidrs.iter().any(|cidr| has(cidr, packet.destination)))
            && holds(port, packet.source)
            && acl(vpc, within, true, packet, false)
            && groups(vpc, port, true, packet)
    }

    /// From a namespace of a node to the port of its VPC that has the address, here or where the overlay leads.
    fn deliver(&self, node: &NodeView, vpc: &VpcView, packet: &Packet, peering: Option<&str>) -> Option<Place> {
        if let Some(id) = peering {
            let way = vpc.peerings.iter().find(|peering| peering.id == id)?;
            if !way.peer_cidrs.iter().any(|cidr| has(cidr, packet.source)) {
                return None;
            }
        }
        let here = vpc.ports.iter().any(|port| holds(port, packet.destination));
        let there = vpc.remotes.iter().any(|remote| remote.address == packet.destination.to_string());
        let found = self.0.iter().find_map(|other| {
            let vpc = other.vpcs.iter().find(|other| other.vpc_id == vpc.vpc_id)?;
            let port = vpc.ports.iter().find(|port| holds(port, packet.destination))?;
            Some((other, vpc, port))
        });
        let (other, vpc, port) = found?;
        let led = if std::ptr::eq(other, node) { here } else { there };
        let passes = acl(vpc, subnet(vpc, port), false, packet, false) && groups(vpc, port, false, packet);
        (led && passes).then(|| Place::Port(port.interface_id.clone()))
    }

    /// Whether a port takes a packet in that comes from the world (for its private address, by now) or over a connection.
    pub fn takes(&self, interface: &str, from: &Place, packet: &Packet) -> bool {
        let Some((_, vpc, port)) = self.port(interface) else { return false };
        let world = *from == Place::World;
        let fair = match from {
            Place::World => {
                let public = addresses(port).iter().any(|(ip, public)| *ip == packet.destination && public.is_some());
                vpc.internet_gateway && public && !own(vpc, packet.source) && !has("169.254.0.0/16", packet.source)
            }
            Place::Peering(id) => {
                let way = vpc.peerings.iter().find(|peering| peering.id == *id);
                way.is_some_and(|way| way.peer_cidrs.iter().any(|cidr| has(cidr, packet.source)))
            }
            Place::Port(_) => false,
        };
        fair && acl(vpc, subnet(vpc, port), false, packet, world) && groups(vpc, port, false, packet)
    }
}
