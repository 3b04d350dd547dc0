//! What a namespace should hold, and the commands that lead there from what it holds. Pure.

use crate::check::MAX_TABLE;
use crate::config::{MTU, NetConfig};
use crate::model::{Mac, Port, Vpc, Way};
use crate::nft::{DNS_IP, METADATA_IP};
use crate::observe::Observed;
use crate::plan6;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The gateway's MAC, the same on every port of every node: a guest that moves keeps its neighbour entry.
pub const GATEWAY_MAC: Mac = Mac([0x02, 0, 0, 0, 0, 1]);
/// Ends of the pairs between VPC and edge, edge and host. Neighbours are fixed, so nobody asks for them.
pub(crate) const IGW_MAC: Mac = Mac([0x02, 0x6d, 0, 0, 0, 2]);
pub(crate) const EDGE_MAC: Mac = Mac([0x02, 0x6d, 0, 0, 0, 3]);
pub(crate) const EDGE_UP_MAC: Mac = Mac([0x02, 0x6d, 0, 0, 0, 4]);
/// Both ends of a pair between two VPCs.
pub(crate) const PEERING_MAC: Mac = Mac([0x02, 0x6d, 0, 0, 0, 6]);
pub(crate) const HOST_MAC: Mac = Mac([0x02, 0x6d, 0, 0, 0, 5]);
/// Next hops on those pairs; they are nobody's address.
pub(crate) const UP_HOP: &str = "169.254.1.1";
pub(crate) const DOWN_HOP: &str = "169.254.1.2";

/// The router's IPv6 address on every port: what guests have as their gateway.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The number of a route table (0: the main one), and the destination.
pub type RouteKey = (u32, String);

/// A kind of route: whoever sends is told that nobody is there.
pub const UNREACHABLE: &str = "unreachable";
/// A kind of route: dropped in silence.
pub const BLACKHOLE: &str = "blackhole";
/// A kind of route: the next table is asked.
pub const THROW: &str = "throw";

/// What the kernel calls our tables: beyond those that have names.
pub(crate) const TABLE_BASE: u32 = 1000;
/// Where our rules stand: before that of the main table.
const RULE_PREFERENCE: u32 = 1000;
/// Where rules by device stand: before those by mark.
const HOP_PREFERENCE: u32 = 900;
/// The metric of what holds when the way to a next hop is gone with its device: packets never go another way.
const LAST: &str = " metric 9000";

/// A route of the main table.
pub(crate) fn main_route(to: &str) -> RouteKey {
    (0, to.to_owned())
}

/// Which packets a rule leads to a table of its own, by the table's number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lead {
    /// Those marked with the number.
    Mark(u32),
    /// Those that come by this device.
    From(String, u32),
}

/// A device as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkWant {
    /// Its MAC; `None`: whatever it is.
    pub mac: Option<Mac>,
    /// Its MTU; 0: whatever it is.
    pub mtu: u32,
}

/// What a namespace should hold. Everything else of the same kinds is removed: the namespace is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// Devices that exist and should be up.
    pub links: BTreeMap<String, LinkWant>,
    /// Addresses of `lo`.
    pub lo: BTreeSet<String>,
    /// The rest of the `ip route` line, or one of [`UNREACHABLE`], [`BLACKHOLE`], [`THROW`].
    pub routes: BTreeMap<RouteKey, String>,
    /// Which packets are led to which table, before the main one.
    pub rules: BTreeSet<Lead>,
    /// The same of IPv6 packets.
    pub rules6: BTreeSet<Lead>,
    /// (device, address) to MAC.
    pub neighbours: BTreeMap<(String, String), String>,
    /// MAC to underlay address.
    pub fdb: BTreeMap<String, String>,
    /// Devices on which the router has the address [`GATEWAY6`].
    pub routers6: BTreeSet<String>,
}

/// Commands, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Devices to delete first.
    pub delete: Vec<String>,
    /// Lines for `ip -6 -batch`, before all others: a table is not led to any more before it is emptied.
    pub unled6: Vec<String>,
    /// Lines for `ip -batch`.
    pub ip: Vec<String>,
    /// Lines for `ip -6 -batch`, after those: a table is led to when it is whole.
    pub led6: Vec<String>,
    /// Lines for `bridge -batch`, after those.
    pub bridge: Vec<String>,
}

/// The MAC of a node's end of the overlay.
#[must_use]
pub fn vtep_mac(vtep: Ipv4Addr) -> Mac {
    let [a, b, c, d] = vtep.octets();
    Mac([0x02, 0x76, a, b, c, d])
}

/// The MAC at which the node that holds a port takes packets that routes lead to it. Unique in a VPC, as its address is, and
/// the same to whoever sends.
#[must_use]
pub fn hop_mac(ip: Ipv4Addr) -> Mac {
    let [a, b, c, d] = ip.octets();
    Mac([0x02, 0x6e, a, b, c, d])
}

/// A next-hop address per underlay address. They stand for nodes inside a VPC's namespace, whose tenants may use any
/// ordinary address, so they come from the never-used class E.
#[must_use]
pub fn hops(vteps: &BTreeSet<Ipv4Addr>) -> BTreeMap<Ipv4Addr, Ipv4Addr> {
    let mut used = BTreeSet::new();
    let mut hops = BTreeMap::new();
    for vtep in vteps {
        let mut low = u32::from(*vtep) & 0x0fff_ffff;
        while low == 0x0fff_ffff || !used.insert(low) {
            low = (low + 1) & 0x0fff_ffff;
        }
        hops.insert(*vtep, Ipv4Addr::from(0xf000_0000 | low));
    }
    hops
}

fn block(net: ipnet::Ipv4Net) -> String {
    if net.prefix_len() == 32 { net.addr().to_string() } else { net.to_string() }
}

/// What a VPC's namespace should hold, given the devices that are there (a port without its tap has no route).
#[must_use]
pub fn vpc_desired(vpc: &Vpc, config: &NetConfig, present: &Observed) -> Desired {
    let mut want = Desired::default();
    want.lo.extend([METADATA_IP.to_string(), DNS_IP.to_string(), vpc.dns().to_string()]);
    for own in vpc.blocks() {
        want.routes.insert(main_route(&block(own)), UNREACHABLE.to_owned());
    }
    for subnet in &vpc.subnets {
        want.lo.insert(subnet.gateway.to_string());
        want.routes.insert(main_route(&block(subnet.cidr)), UNREACHABLE.to_owned());
    }
    for (device, port) in &vpc.ports {
        if present.links.contains_key(device) {
            want.links.insert(device.clone(), LinkWant { mac: Some(GATEWAY_MAC), mtu: MTU });
            for (ip, _) in port.addresses() {
                want.routes.insert(main_route(&ip.to_string()), format!("dev {device}"));
                want.neighbours.insert((device.clone(), ip.to_string()), port.mac.to_string());
            }
        }
    }
    plan6::inside(vpc, &mut want);
    if vpc.has_overlay() && present.links.contains_key("vx") {
        want.links.insert("vx".to_owned(), LinkWant { mac: Some(vtep_mac(config.vtep)), mtu: MTU });
        elsewhere(&nodes(vpc), vpc.remotes.iter(), &mut want);
        plan6::elsewhere(vpc, &mut want);
    }
    let igw = vpc.has_public() && present.links.contains_key("igw");
    if igw {
        want.links.insert("igw".to_owned(), LinkWant { mac: Some(IGW_MAC), mtu: MTU });
        want.neighbours.insert(("igw".to_owned(), UP_HOP.to_owned()), EDGE_MAC.to_string());
    }
    for device in vpc.peerings.keys().filter(|device| present.links.contains_key(*device)) {
        want.links.insert(device.clone(), LinkWant { mac: Some(PEERING_MAC), mtu: MTU });
        want.neighbours.insert((device.clone(), UP_HOP.to_owned()), PEERING_MAC.to_string());
    }
    arrivals(vpc, present, &mut want);
    for (number, ways) in &vpc.tables {
        want.rules.insert(Lead::Mark(*number));
        // The VPC's own addresses are in the main table; only a route to fewer of them goes before it, or one to a port that
        // takes the place of this.
        for own in vpc.blocks() {
            want.routes.insert((*number, block(own)), THROW.to_owned());
        }
        for (to, way) in ways {
            let rest = match way {
                Way::Internet | Way::Peering(_) if vpc.blocks().any(|own| own == *to) => continue,
                // Of IPv6 only.
                Way::EgressOnly => UNREACHABLE.to_owned(),
                Way::Internet if igw => format!("via {UP_HOP} dev igw onlink"),
                Way::Internet => UNREACHABLE.to_owned(),
                Way::Peering(device) if want.links.contains_key(device) => format!("via {UP_HOP} dev {device} onlink"),
                Way::Peering(_) => UNREACHABLE.to_owned(),
                Way::Hop(ip) => next_hop(vpc, *ip, &mut want).unwrap_or_else(|| BLACKHOLE.to_owned()),
                Way::Blackhole => BLACKHOLE.to_owned(),
            };
            let name = if to.prefix_len() == 0 { "default".to_owned() } else { block(*to) };
            if let Way::Hop(ip) = way {
                if rest != BLACKHOLE {
                    want.routes.insert((*number, format!("{name}{LAST}")), BLACKHOLE.to_owned());
                }
                // Its own addresses are at the port even where it takes nothing else.
                let own = vpc.port_by_ip(*ip).into_iter().flat_map(Port::addresses).map(|(ip, _)| ip);
                for ip in own.filter(|ip| rest == BLACKHOLE && to.contains(ip)) {
                    want.routes.entry((*number, ip.to_string())).or_insert_with(|| THROW.to_owned());
                }
            }
            want.routes.insert((*number, name), rest);
        }
    }
    plan6::tables(vpc, &mut want);
    want
}

/// The other nodes that have ports of a VPC, each with the next hop that stands for it.
pub(crate) fn nodes(vpc: &Vpc) -> BTreeMap<Ipv4Addr, Ipv4Addr> {
    let mut vteps = BTreeSet::new();
    vteps.extend(vpc.remotes.values().chain(vpc.remotes6.values()));
    hops(&vteps)
}

/// The way to these nodes, and by them to these addresses.
pub(crate) fn elsewhere<'a>(
    nodes: &BTreeMap<Ipv4Addr, Ipv4Addr>,
    remotes: impl Iterator<Item = (&'a Ipv4Addr, &'a Ipv4Addr)>,
    want: &mut Desired,
) {
    for (vtep, hop) in nodes {
        let mac = vtep_mac(*vtep).to_string();
        want.neighbours.insert(("vx".to_owned(), hop.to_string()), mac.clone());
        want.fdb.insert(mac, vtep.to_string());
    }
    for (ip, vtep) in remotes {
        if let Some(hop) = nodes.get(vtep) {
            want.routes.insert(main_route(&ip.to_string()), format!("via {hop} dev vx onlink"));
        }
    }
}

/// What comes by the overlay for a port that routes lead to goes there, whatever address it is for; with the source check on
/// the port takes nothing but its own.
fn arrivals(vpc: &Vpc, present: &Observed, want: &mut Desired) {
    if !want.links.contains_key("vx") {
        return;
    }
    for (device, port) in vpc.hops().filter(|(device, _)| present.links.contains_key(*device)) {
        // The kernel's number of the table is the address: far above those of route tables.
        let Some(number) = u32::from(port.ip).checked_sub(TABLE_BASE) else { continue };
        want.links.insert(device.clone(), LinkWant { mac: Some(hop_mac(port.ip)), mtu: MTU });
        want.rules.insert(Lead::From(device.clone(), number));
        // Never an empty table: what is not led by it would go by the main one, past the port.
        want.routes.insert((number, format!("default{LAST}")), UNREACHABLE.to_owned());
        if !want.links.contains_key(&port.device) {
            continue;
        }
        for (ip, _) in port.addresses() {
            want.routes.insert((number, ip.to_string()), format!("dev {}", port.device));
        }
        if !port.source_dest_check {
            want.routes.insert((number, "default".to_owned()), format!("via {} dev {} onlink", port.ip, port.device));
        }
    }
}

/// The way to the port with this address: its device, or the node that has it. `None`: it is nowhere, or takes nothing.
fn next_hop(vpc: &Vpc, ip: Ipv4Addr, want: &mut Desired) -> Option<String> {
    if let Some(port) = vpc.port_by_ip(ip) {
        let takes = !port.source_dest_check && want.links.contains_key(&port.device);
        return takes.then(|| format!("via {ip} dev {} onlink", port.device));
    }
    let vtep = vpc.remotes.get(&ip).filter(|_| want.links.contains_key("vx"))?;
    let mac = hop_mac(ip).to_string();
    want.neighbours.insert(("vx".to_owned(), ip.to_string()), mac.clone());
    want.fdb.insert(mac, vtep.to_string());
    Some(format!("via {ip} dev vx onlink"))
}

fn route_line(verb: &str, (table, to): &RouteKey, rest: &str) -> String {
    let table = if *table == 0 { String::new() } else { format!(" table {}", TABLE_BASE + table) };
    match rest {
        UNREACHABLE | BLACKHOLE | THROW => format!("route {verb} {rest} {to}{table}"),
        _ => format!("route {verb} {to} {rest}{table}"),
    }
}

fn rule_line(verb: &str, lead: &Lead) -> String {
    match lead {
        Lead::Mark(number) => {
            let table = TABLE_BASE + number;
            format!("rule {verb} pref {RULE_PREFERENCE} fwmark {number:#x}/{MAX_TABLE:#x} lookup {table}")
        }
        Lead::From(device, number) => {
            format!("rule {verb} pref {HOP_PREFERENCE} iif {device} lookup {}", TABLE_BASE + number)
        }
    }
}

/// The commands from what is there to what should be. `ours` tells the devices that may be removed when unwanted.
#[must_use]
pub fn diff(want: &Desired, seen: &Observed, ours: impl Fn(&str) -> bool) -> Plan {
    let delete = seen.links.keys().filter(|name| !want.links.contains_key(*name) && ours(name)).cloned().collect();
    let mut plan = Plan { delete, ..Plan::default() };
    let ip = &mut plan.ip;
    let gone = |device: &str| !want.links.contains_key(device) && ours(device);
    if !seen.links.get("lo").is_some_and(crate::observe::Link::up) {
        ip.push("link set lo up".to_owned());
    }
    // A device that comes up has lost its routes: those are then set whatever was seen.
    let mut fresh = BTreeSet::new();
    // Nothing is to come by a device before the rule that leads it.
    let led = |name: &str| want.rules.iter().any(|lead| matches!(lead, Lead::From(device, _) if device == name));
    let mut last = Vec::new();
    for (name, link) in &want.links {
        let Some(have) = seen.links.get(name) else { continue };
        let mac = link.mac.map(|m| m.to_string()).filter(|m| *m != have.address);
        let mtu = (link.mtu != 0 && link.mtu != have.mtu).then_some(link.mtu);
        if mac.is_some() || mtu.is_some() || !have.up() {
            let mac = mac.map(|m| format!(" address {m}")).unwrap_or_default();
            let mtu = mtu.map(|m| format!(" mtu {m}")).unwrap_or_default();
            let list = if led(name) { &mut last } else { &mut *ip };
            list.push(format!("link set {name}{mac}{mtu} up"));
        }
        if !have.up() {
            fresh.insert(name.as_str());
        }
    }
    ip.extend(want.lo.difference(&seen.lo).map(|a| format!("addr add {a}/32 dev lo")));
    // Nobody else can have it: no other device of the namespace is on the port's link.
    let routers = want.routers6.iter().filter(|name| fresh.contains(name.as_str()) || !seen.routers6.contains(*name));
    ip.extend(routers.map(|name| format!("addr replace {GATEWAY6}/64 dev {name} nodad")));
    for ((device, address), mac) in &want.neighbours {
        let same = seen.neighbours.get(&(device.clone(), address.clone())) == Some(mac);
        if !same || fresh.contains(device.as_str()) {
            ip.push(format!("neigh replace {address} lladdr {mac} dev {device} nud permanent"));
        }
    }
    for (key, rest) in &want.routes {
        let on_fresh = fresh.iter().any(|name| rest.split(' ').any(|word| word == *name));
        if seen.routes.get(key) != Some(rest) || on_fresh {
            ip.push(route_line("replace", key, rest));
        }
    }
    // A table is led to when it is whole, and not any more before it is emptied.
    ip.extend(want.rules.difference(&seen.rules).map(|lead| rule_line("add", lead)));
    ip.extend(seen.rules.difference(&want.rules).map(|lead| rule_line("del", lead)));
    ip.append(&mut last);
    for (key, rest) in seen.routes.iter().filter(|(key, _)| !want.routes.contains_key(*key)) {
        // A route over a device removed above went with it.
        if !rest.split(' ').any(gone) {
            ip.push(route_line("del", key, rest));
        }
    }
    for (device, address) in seen.neighbours.keys().filter(|key| !want.neighbours.contains_key(*key)) {
        if !gone(device) {
            ip.push(format!("neigh del {address} dev {device}"));
        }
    }
    ip.extend(seen.lo.difference(&want.lo).map(|a| format!("addr del {a}/32 dev lo")));
    let routers = seen.routers6.difference(&want.routers6).filter(|name| !gone(name));
    ip.extend(routers.map(|name| format!("addr del {GATEWAY6}/64 dev {name}")));
    plan.led6 = want.rules6.difference(&seen.rules6).map(|lead| rule_line("add", lead)).collect();
    plan.unled6 = seen.rules6.difference(&want.rules6).map(|lead| rule_line("del", lead)).collect();
    for (mac, vtep) in &want.fdb {
        match seen.fdb.get(mac) {
            Some(have) if have == vtep => {}
            Some(_) | None => plan.bridge.push(format!("fdb replace {mac} dev vx self permanent dst {vtep}")),
        }
    }
    if want.links.contains_key("vx") {
        for mac in seen.fdb.keys().filter(|mac| !want.fdb.contains_key(*mac)) {
            plan.bridge.push(format!("fdb del {mac} dev vx self"));
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_differ_in_the_top_bits_get_different_hops() {
        let vteps = ["10.0.0.1", "26.0.0.1", "42.0.0.1"].map(|a| a.parse().unwrap()).into();
        let hops: BTreeSet<Ipv4Addr> = hops(&vteps).into_values().collect();
        assert_eq!(hops.len(), 3);
    }

    #[test]
    fn nothing_to_do_is_no_command_and_strangers_stay() {
        let mut seen = Observed::default();
        for (name, flags) in [("lo", vec!["UP".to_owned()]), ("tunl0", vec![])] {
            let link = crate::observe::Link { name: name.to_owned(), flags, ..Default::default() };
            seen.links.insert(name.to_owned(), link);
        }
        seen.routes.insert(main_route("10.0.0.0/24"), UNREACHABLE.to_owned());
        let mut want = Desired::default();
        want.routes.insert(main_route("10.0.0.0/24"), UNREACHABLE.to_owned());
        assert_eq!(diff(&want, &seen, |name| name == "vx"), Plan::default());
    }
}
