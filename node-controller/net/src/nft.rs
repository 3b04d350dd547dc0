//! The packet filter of one VPC namespace as text: a pure function of the model. `swap` loads it.
//!
//! Ports are told by device name, never by address, so that the dispatch also holds where source checks are off.
//! A device nobody told us about matches nothing and is dropped. A new text keeps tracked flows.

use crate::acl;
use crate::check::MAX_PORTS;
use crate::fragments;
use crate::model::{Peer, Port, Rule, Vpc};
use crate::names::rule_name;
use crate::peering::{self, quoted};
use crate::rules6 as six;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Most tracked connections one port may hold open from inside, where its view has no figure of its own: one instance must
/// not fill the host's table.
const MAX_FLOWS_PER_PORT: u32 = 20_000;
/// Ports of one VPC whose connections are counted: all that may be here, twice, as those that went are forgotten with the
/// next change.
const MAX_COUNTED: usize = 2 * MAX_PORTS;
/// Packets' marks bear this when a port sends in another's name: its source check is off. No route table's number reaches
/// so far.
const FOREIGN: u32 = 0x1000;
/// Addresses per line of a generated set.
const PER_LINE: usize = 16;
/// Where instances find the metadata service.
pub const METADATA_IP: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The resolver's address that is the same in every VPC.
pub const DNS_IP: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// What a new namespace is loaded with before it gets its first device: nothing passes.
pub const DROP_ALL: &str = "\
table inet vpc {
\tchain raw { type filter hook prerouting priority raw; policy drop; }
\tchain leave { type filter hook forward priority filter; policy drop; }
\tchain input { type filter hook input priority filter; policy drop; }
}
table arp vpc {
\tchain in { type filter hook input priority filter; policy drop; }
}
";

/// The rule set of a namespace in two: what tells packets apart, and the addresses of groups' members, which may be very
/// many and change by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Tables, but for the sets of members that its rules name.
    pub structure: String,
    /// Those sets, all of the table [`MEMBERS_TABLE`], by name.
    pub members: BTreeMap<String, Arc<BTreeSet<Ipv4Addr>>>,
}

/// Family and name of the table in which the sets of members are.
pub const MEMBERS_TABLE: &str = "inet vpc";

impl Rules {
    /// The rules of a VPC. `connlimit`: the kernel can cap flows per port.
    #[must_use]
    pub fn of(vpc: &Vpc, connlimit: bool) -> Self {
        Self { structure: structure(vpc, connlimit), members: member_sets(vpc) }
    }

    /// Rules without sets of members.
    #[must_use]
    pub fn plain(structure: String) -> Self {
        Self { structure, members: BTreeMap::new() }
    }

    /// All of it as one text, without the sets of members that `leave_out` tells.
    #[must_use]
    pub fn text(&self, leave_out: impl Fn(&String) -> bool) -> String {
        let mut out = String::with_capacity(self.structure.len());
        let mut sets = self.members.iter().filter(|(name, _)| !leave_out(name)).peekable();
        if sets.peek().is_some() {
            putln!(out, "table {MEMBERS_TABLE} {{");
            sets.for_each(|(name, members)| putln!(out, "\tset {name} {{ type ipv4_addr;{} }}", list(members.iter())));
            out.push_str("}\n");
        }
        out + &self.structure
    }
}

/// The sets of members that the rules of a VPC's groups name; a group that nobody has told of has none.
#[must_use]
pub fn member_sets(vpc: &Vpc) -> BTreeMap<String, Arc<BTreeSet<Ipv4Addr>>> {
    let named: BTreeSet<&String> = vpc.groups.values().flatten().filter_map(peer_group).collect();
    let members = |id: &String| vpc.members.get(id).cloned().unwrap_or_default();
    named.into_iter().map(|id| (format!("m_{}", rule_name(id)), members(id))).collect()
}

fn structure(vpc: &Vpc, connlimit: bool) -> String {
    let mut out = String::with_capacity(8192);
    out.push_str("table inet vpc {\n");
    sets(&mut out, vpc);
    if connlimit {
        // The name says the number: what is counted of a port stays through every swap, and so would an old number.
        let caps: BTreeSet<u32> = vpc.ports.values().map(cap).chain([MAX_FLOWS_PER_PORT]).collect();
        for cap in caps {
            putln!(out, "\tset conns{cap} {{ type ifname; size {MAX_COUNTED}; flags dynamic; }}");
        }
    }
    six::sets(&mut out, vpc);
    out.push_str(&fragments::rules(vpc));
    groups(&mut out, vpc);
    for port in vpc.ports.values() {
        port_chains(&mut out, port, vpc, connlimit);
    }
    dispatch(&mut out, "anti", "sp", vpc);
    dispatch(&mut out, "egress", "eg", vpc);
    let own: Vec<String> = vpc.blocks().map(|block| block.to_string()).collect();
    let own = own.join(", ");
    // The world has none of the VPC's own addresses, nor of those inside one link: such a source is forged, to pass for a
    // member of a group.
    let outside = peering::outside(vpc);
    let overlay = overlay(vpc);
    let six_from_outside = six::raw(vpc, &outside);
    let known = quoted(["lo", "vx", "igw"].into_iter().chain(vpc.hops().map(|(device, _)| device.as_str())));
    put!(
        out,
        "\tchain raw {{ type filter hook prerouting priority raw; policy drop;\n\
         {six_from_outside}\
         \t\tiifname \"igw\" ip saddr {{ 169.254.0.0/16, {own} }} counter drop\n\
         \t\tiifname {{ {known} }} accept\n\
         {}\
         \t\tiifname vmap @anti\n\t\tcounter drop\n\t}}\n",
        peering::enters(vpc),
    );
    dispatch(&mut out, "ingress", "in", vpc);
    acl::chains(&mut out, vpc);
    // A tracked flow remembers its translation; when the public address has moved on since, the flow ends (`pairs`).
    // Two base chains, not one: "accept" in the first only means "on to the next", so no rule of the way out leads into
    // the rules of the way in, and the kernel's loop check stays linear in the number of ports.
    put!(
        out,
        "\tchain leave {{ type filter hook forward priority filter; policy drop;\n\
         {}\
         \t\tip daddr 169.254.0.0/16 counter drop\n\
         \t\toifname \"igw\" ip saddr != @public counter drop\n\
         \t\tct status snat oifname \"igw\" ip saddr . ct reply ip daddr != @pairs counter drop\n\
         \t\tct status snat iifname \"igw\" ip daddr . ct reply ip daddr != @pairs counter drop\n\
         \t\tct status dnat oifname \"igw\" ip saddr . ct original ip daddr != @pairs counter drop\n\
         \t\tct status dnat iifname \"igw\" ip daddr . ct original ip daddr != @pairs counter drop\n\
         {}\
         \t\tct state established,related accept\n\
         {}\
         {}\
         \t\tiifname {{ {outside} }} oifname {{ {outside} }} counter drop\n\
         \t\tiifname {overlay} accept\n\
         {}\
         \t\tiifname \"igw\" ct status dnat accept\n\
         {}\
         \t\tiifname vmap @egress\n\
         \t\tcounter drop\n\t}}\n\
         \tchain enter {{ type filter hook forward priority filter + 10; policy drop;\n\
         {}\
         \t\tct state established,related accept\n\
         \t\toifname {{ {outside} }} accept\n\
         \t\toifname vmap @ingress\n\
         \t\tcounter drop\n\t}}\n",
        acl::ask(vpc, true),
        impostors(&overlay) + &six::leave(vpc, &overlay),
        unfollowed(vpc),
        peering::passes(vpc),
        peering::arrives(vpc),
        six::begun(vpc),
        acl::ask(vpc, false),
    );
    put!(
        out,
        "\tchain input {{ type filter hook input priority filter; policy drop;\n\
         \t\tiifname \"lo\" accept\n\
         \t\tiifname {{ {outside} }} counter drop\n\
         \t\tct state established accept\n\
         \t\tudp dport 67 accept\n\
         \t\tip daddr {METADATA_IP} tcp dport 80 accept\n\
         \t\tip daddr {{ {DNS_IP}, {} }} meta l4proto {{ tcp, udp }} th dport 53 accept\n\
         \t\ticmp type echo-request limit rate 200/second accept\n\
         {}\
         \t\tcounter drop\n\t}}\n",
        vpc.dns(),
        six::input(vpc)
    );
    out.push_str(
        "\tchain dnat_in { type nat hook prerouting priority dstnat; policy accept;\n\
         \t\tiifname \"igw\" dnat ip to ip daddr map @to_private\n\t}\n\
         \tchain snat_out { type nat hook postrouting priority srcnat; policy accept;\n\
         \t\toifname \"igw\" snat ip to ip saddr map @to_public\n\t}\n}\n",
    );
    arp(&mut out, vpc);
    out
}

/// Nobody but a port of this node begins a flow in its name: else what its peer sends to it would count as an answer, which
/// no group is asked about. What a port with the source check off forwards for a neighbour has begun there, and is known.
fn impostors(overlay: &str) -> String {
    let begins = "ct state new ip saddr @here ct status & confirmed == 0 counter drop";
    format!("\t\tmeta mark & {FOREIGN:#x} != 0 {begins}\n\t\tiifname {overlay} {begins}\n")
}

/// What fits no flow that is known is dropped. Of a flow by a box whose answers go straight, the box's node sees one way only,
/// and so nothing of TCP fits after the first packet: what came to a box by a route, and what it forwards, then needs leave
/// of the groups, packet by packet. The flows of ports of this node are seen whole.
fn unfollowed(vpc: &Vpc) -> String {
    if vpc.hops().next().is_none() {
        return "\t\tct state invalid counter drop\n".to_owned();
    }
    let hops = quoted(vpc.hops().map(|(device, _)| device));
    format!(
        "\t\tct state invalid ip saddr @here counter drop\n\
         \t\tct state invalid iifname != {{ {hops} }} meta mark & {FOREIGN:#x} == 0 counter drop\n"
    )
}

/// The devices by which packets of ports of other nodes come, as a rule matches them.
fn overlay(vpc: &Vpc) -> String {
    if vpc.hops().next().is_none() {
        return "\"vx\"".to_owned();
    }
    format!("{{ {} }}", quoted(std::iter::once("vx").chain(vpc.hops().map(|(device, _)| device.as_str()))))
}

pub(crate) fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|i| i.to_string()).collect();
    if items.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = items.chunks(PER_LINE).map(|c| c.join(", ")).collect();
    format!(" elements = {{ {} }};", lines.join(",\n\t\t"))
}

fn sets(out: &mut String, vpc: &Vpc) {
    let here = vpc.ports.values().flat_map(Port::addresses).map(|(ip, _)| ip);
    putln!(out, "\tset here {{ type ipv4_addr;{} }}", list(here));
    let public: Vec<(Ipv4Addr, Ipv4Addr)> = {
        let shown = vpc.ports.values().flat_map(Port::addresses);
        shown.filter_map(|(ip, public)| Some((public?, ip))).collect()
    };
    putln!(out, "\tset public {{ type ipv4_addr;{} }}", list(public.iter().map(|(_, ip)| ip)));
    let pairs = |a: Ipv4Addr, b: Ipv4Addr| format!("{a} : {b}");
    let both = list(public.iter().map(|(public, ip)| format!("{ip} . {public}")));
    putln!(out, "\tset pairs {{ type ipv4_addr . ipv4_addr;{both} }}");
    let to_private = list(public.iter().map(|(public, ip)| pairs(*public, *ip)));
    let to_public = list(public.iter().map(|(public, ip)| pairs(*ip, *public)));
    putln!(out, "\tmap to_private {{ type ipv4_addr : ipv4_addr;{to_private} }}");
    putln!(out, "\tmap to_public {{ type ipv4_addr : ipv4_addr;{to_public} }}");
}

pub(crate) fn peer_group(rule: &Rule) -> Option<&String> {
    match &rule.peer {
        Peer::Group(id) => Some(id),
        Peer::Cidr(_) => None,
    }
}

fn groups(out: &mut String, vpc: &Vpc) {
    for (id, rules) in &vpc.groups {
        for (egress, start) in [(false, "si"), (true, "se")] {
            putln!(out, "\tchain {start}_{} {{", rule_name(id));
            for rule in rules.iter().filter(|rule| rule.egress == egress) {
                for matches in matches(rule, vpc.six()) {
                    putln!(out, "\t\t{matches}accept");
                }
            }
            out.push_str("\t}\n");
        }
    }
}

/// The match part of a rule, ending in a space unless it matches everything; of a group in a VPC that has IPv6 (`six`) one for
/// each family. Where no IPv6 gets this far, all of IPv4 is everything, and nothing is said of IPv6.
pub(crate) fn matches(rule: &Rule, six: bool) -> Vec<String> {
    let side = if rule.egress { "daddr" } else { "saddr" };
    let peers = match &rule.peer {
        Peer::Cidr(IpNet::V6(_)) if !six => Vec::new(),
        Peer::Cidr(IpNet::V4(net)) if net.prefix_len() == 0 && !six => vec![String::new()],
        Peer::Cidr(IpNet::V4(net)) if net.prefix_len() == 0 => vec!["meta nfproto ipv4 ".to_owned()],
        Peer::Cidr(IpNet::V6(net)) if net.prefix_len() == 0 => vec!["meta nfproto ipv6 ".to_owned()],
        Peer::Cidr(IpNet::V4(net)) => vec![format!("ip {side} {net} ")],
        Peer::Cidr(IpNet::V6(net)) => vec![format!("ip6 {side} {net} ")],
        Peer::Group(id) => {
            let id = rule_name(id);
            let six = six.then(|| format!("ip6 {side} @m6_{id} "));
            std::iter::once(format!("ip {side} @m_{id} ")).chain(six).collect()
        }
    };
    let what = matches_what(rule);
    peers.into_iter().map(|peer| peer + &what).collect()
}

/// As [`matches`], without the other side.
fn matches_what(rule: &Rule) -> String {
    let mut text = String::new();
    let ports = match (rule.from, rule.to) {
        (..=-1, _) | (_, ..=-1) | (0, 65535) => None,
        (from, to) if from == to => Some(from.to_string()),
        (from, to) => Some(format!("{from}-{to}")),
    };
    match (rule.protocol, ports) {
        (None, _) => {}
        (Some(1), _) => {
            text.push_str("meta l4proto icmp ");
            if rule.from >= 0 {
                put!(text, "icmp type {} ", rule.from);
                if rule.to >= 0 {
                    put!(text, "icmp code {} ", rule.to);
                }
            }
        }
        (Some(58), _) => {
            text.push_str("meta l4proto ipv6-icmp ");
            if rule.from >= 0 {
                put!(text, "icmpv6 type {} ", rule.from);
                if rule.to >= 0 {
                    put!(text, "icmpv6 code {} ", rule.to);
                }
            }
        }
        (Some(protocol @ (6 | 17 | 132)), Some(ports)) => put!(text, "meta l4proto {protocol} th dport {ports} "),
        (Some(protocol), _) => put!(text, "meta l4proto {protocol} "),
    }
    text
}

/// A port's addresses as the elements of a set.
fn own_addresses(port: &Port) -> String {
    port.addresses().map(|(ip, _)| ip.to_string()).collect::<Vec<_>>().join(", ")
}

/// How many connections a port may hold open from inside.
fn cap(port: &Port) -> u32 {
    port.flows.map_or(MAX_FLOWS_PER_PORT, NonZeroU32::get)
}

fn port_chains(out: &mut String, port: &Port, vpc: &Vpc, connlimit: bool) {
    let Port { device, mac, ip, .. } = port;
    // To the router itself a guest speaks in its own name even where the check is off: services tell guests by address.
    // The mark names the route table of its subnet. Within the subnet nothing is routed, so where a route leads some of the
    // subnet's own addresses elsewhere, what goes there is not marked.
    let table = port.subnet.table;
    let mark = |bits: u32| match bits {
        0 => String::new(),
        bits => format!("meta mark set {bits:#x} "),
    };
    let own = match port.secondary.as_slice() {
        [] => ip.to_string(),
        _ => format!("{{ {} }}", own_addresses(port)),
    };
    let subnet = port.subnet.cidr;
    let source = match (port.source_dest_check, vpc.leads_within(&port.subnet)) {
        (true, false) => format!("ip saddr {own} {}accept\n\t\tcounter drop", mark(table)),
        (true, true) => format!(
            "ip saddr {own} ip daddr {subnet} accept\n\t\tip saddr {own} {}accept\n\t\tcounter drop",
            mark(table)
        ),
        (false, within) => {
            let within = |bits: u32, sender: &str| match within {
                true => format!("{sender}ip daddr {subnet} {}accept\n\t\t", mark(bits)),
                false => String::new(),
            };
            let foreign = format!("ip saddr != {own} ");
            format!(
                "{foreign}fib daddr type local counter drop\n\t\t{}{foreign}{}accept\n\t\t{}{}accept",
                within(FOREIGN, &foreign),
                mark(table | FOREIGN),
                within(0, ""),
                mark(table)
            )
        }
    };
    // 288 bits into UDP: the client's hardware address in a DHCP message, which must be the port's own.
    put!(
        out,
        "{}\tchain sp_{device} {{\n\t\tether saddr != {mac} counter drop\n{}\
         \t\tip saddr {{ 0.0.0.0, {ip} }} udp sport 68 udp dport 67 @th,288,48 0x{} accept\n\
         \t\tudp dport 67 counter drop\n\t\tudp sport 67 counter drop\n\t\t{source}\n\t}}\n",
        six::port(vpc, port),
        six::of_port(vpc, port),
        mac.hex()
    );
    let jumps = |start: &str| -> String {
        let known = port.groups.iter().filter(|id| vpc.groups.contains_key(*id));
        known.map(|id| format!("\t\tjump {start}_{}\n", rule_name(id))).collect()
    };
    let (out_of, into) = if port.nat.is_some() {
        // It is in no group, and many use it. Nobody begins anything with the gateway itself.
        ("\t\taccept\n".to_owned(), format!("\t\tip daddr {own} counter drop\n\t\taccept\n"))
    } else {
        let cap = if connlimit {
            let cap = cap(port);
            format!("\t\tct state new add @conns{cap} {{ iifname ct count over {cap} }} counter drop\n")
        } else {
            String::new()
        };
        (format!("{cap}{}\t\tcounter drop\n", jumps("se")), format!("{}\t\tcounter drop\n", jumps("si")))
    };
    put!(out, "\tchain eg_{device} {{\n{out_of}\t}}\n\tchain in_{device} {{\n{into}\t}}\n");
}

fn dispatch(out: &mut String, map: &str, start: &str, vpc: &Vpc) {
    let elements = list(vpc.ports.keys().map(|device| format!("\"{device}\" : goto {start}_{device}")));
    putln!(out, "\tmap {map} {{ type ifname : verdict;{elements} }}");
}

fn arp(out: &mut String, vpc: &Vpc) {
    out.push_str("table arp vpc {\n");
    for port in vpc.ports.values() {
        let (Port { device, mac, .. }, own) = (port, own_addresses(port));
        // 0.0.0.0 is what a guest asks with while it makes sure that nobody else has its address.
        put!(
            out,
            "\tchain sp_{device} {{\n\t\tether saddr != {mac} counter drop\n\t\tarp saddr ether != {mac} counter drop\n\
             \t\tarp saddr ip {{ 0.0.0.0, {own} }} accept\n\t\tcounter drop\n\t}}\n",
        );
    }
    dispatch(out, "anti", "sp", vpc);
    out.push_str("\tchain in { type filter hook input priority filter; policy drop;\n\t\tiifname vmap @anti\n\t}\n}\n");
}
