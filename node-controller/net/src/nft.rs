//! The packet filter of one VPC namespace as text: a pure function of the model. `swap` loads it.
//!
//! Ports are told by device name, never by address, so that the dispatch also holds where source checks are off.
//! A device nobody told us about matches nothing and is dropped. A new text keeps tracked flows.

use crate::acl;
use crate::model::{Peer, Port, Rule, Vpc};
use crate::names::rule_name;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Most tracked connections one port may hold open from inside: one instance must not fill the host's table.
const MAX_FLOWS_PER_PORT: u32 = 20_000;
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

/// The whole rule set of a VPC's namespace. `connlimit`: the kernel can cap flows per port.
#[must_use]
pub fn vpc_rules(vpc: &Vpc, connlimit: bool) -> String {
    let mut out = String::with_capacity(8192);
    out.push_str("table inet vpc {\n");
    sets(&mut out, vpc);
    groups(&mut out, vpc);
    for port in vpc.ports.values() {
        port_chains(&mut out, port, vpc, connlimit);
    }
    dispatch(&mut out, "anti", "sp", vpc);
    dispatch(&mut out, "egress", "eg", vpc);
    // The world has none of the VPC's own addresses, nor of those inside one link: such a source is forged, to pass for a
    // member of a group.
    put!(
        out,
        "\tchain raw {{ type filter hook prerouting priority raw; policy drop;\n\
         \t\tmeta nfproto ipv6 counter drop\n\
         \t\tiifname \"igw\" ip saddr {{ 169.254.0.0/16, {} }} counter drop\n\
         \t\tiifname {{ \"lo\", \"vx\", \"igw\" }} accept\n\
         \t\tiifname vmap @anti\n\t\tcounter drop\n\t}}\n",
        vpc.cidr
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
         \t\tct state established,related accept\n\
         \t\tct state invalid counter drop\n\
         \t\tiifname {{ \"vx\", \"igw\" }} oifname {{ \"vx\", \"igw\" }} counter drop\n\
         \t\tiifname \"vx\" accept\n\
         \t\tiifname \"igw\" ct status dnat accept\n\
         \t\tiifname vmap @egress\n\
         \t\tcounter drop\n\t}}\n\
         \tchain enter {{ type filter hook forward priority filter + 10; policy drop;\n\
         {}\
         \t\tct state established,related accept\n\
         \t\toifname {{ \"vx\", \"igw\" }} accept\n\
         \t\toifname vmap @ingress\n\
         \t\tcounter drop\n\t}}\n",
        acl::ask(vpc, true),
        acl::ask(vpc, false),
    );
    put!(
        out,
        "\tchain input {{ type filter hook input priority filter; policy drop;\n\
         \t\tiifname \"lo\" accept\n\
         \t\tiifname {{ \"vx\", \"igw\" }} counter drop\n\
         \t\tct state established accept\n\
         \t\tudp dport 67 accept\n\
         \t\tip daddr {METADATA_IP} tcp dport 80 accept\n\
         \t\tip daddr {{ {DNS_IP}, {} }} meta l4proto {{ tcp, udp }} th dport 53 accept\n\
         \t\ticmp type echo-request limit rate 200/second accept\n\
         \t\tcounter drop\n\t}}\n",
        vpc.dns()
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

pub(crate) fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|i| i.to_string()).collect();
    if items.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = items.chunks(PER_LINE).map(|c| c.join(", ")).collect();
    format!(" elements = {{ {} }};", lines.join(",\n\t\t"))
}

fn sets(out: &mut String, vpc: &Vpc) {
    let public: Vec<(Ipv4Addr, Ipv4Addr)> = vpc.ports.values().filter_map(|p| Some((p.public_ip?, p.ip))).collect();
    putln!(out, "\tset public {{ type ipv4_addr;{} }}", list(public.iter().map(|(_, ip)| ip)));
    let pairs = |a: Ipv4Addr, b: Ipv4Addr| format!("{a} : {b}");
    let both = list(public.iter().map(|(public, ip)| format!("{ip} . {public}")));
    putln!(out, "\tset pairs {{ type ipv4_addr . ipv4_addr;{both} }}");
    let to_private = list(public.iter().map(|(public, ip)| pairs(*public, *ip)));
    let to_public = list(public.iter().map(|(public, ip)| pairs(*ip, *public)));
    putln!(out, "\tmap to_private {{ type ipv4_addr : ipv4_addr;{to_private} }}");
    putln!(out, "\tmap to_public {{ type ipv4_addr : ipv4_addr;{to_public} }}");
    let used: BTreeSet<&String> = vpc.groups.values().flatten().filter_map(peer_group).collect();
    for id in used {
        let members = vpc.members.get(id).into_iter().flatten();
        putln!(out, "\tset m_{} {{ type ipv4_addr;{} }}", rule_name(id), list(members));
    }
}

fn peer_group(rule: &Rule) -> Option<&String> {
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
                putln!(out, "\t\t{}accept", matches(rule));
            }
            out.push_str("\t}\n");
        }
    }
}

/// The match part of a rule, ending in a space unless it matches everything.
pub(crate) fn matches(rule: &Rule) -> String {
    let side = if rule.egress { "daddr" } else { "saddr" };
    let mut text = match &rule.peer {
        Peer::Cidr(net) if net.prefix_len() == 0 => String::new(),
        Peer::Cidr(net) => format!("ip {side} {net} "),
        Peer::Group(id) => format!("ip {side} @m_{} ", rule_name(id)),
    };
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
        (Some(protocol @ (6 | 17 | 132)), Some(ports)) => put!(text, "meta l4proto {protocol} th dport {ports} "),
        (Some(protocol), _) => put!(text, "meta l4proto {protocol} "),
    }
    text
}

fn port_chains(out: &mut String, port: &Port, vpc: &Vpc, connlimit: bool) {
    let Port { device, mac, ip, .. } = port;
    // To the router itself a guest speaks in its own name even where the check is off: services tell guests by address.
    // The mark names the route table of its subnet.
    let mark = match port.subnet.table {
        0 => String::new(),
        table => format!("meta mark set {table:#x} "),
    };
    let source = if port.source_dest_check {
        format!("ip saddr {ip} {mark}accept\n\t\tcounter drop")
    } else {
        format!("ip saddr != {ip} fib daddr type local counter drop\n\t\t{mark}accept")
    };
    // 288 bits into UDP: the client's hardware address in a DHCP message, which must be the port's own.
    put!(
        out,
        "\tchain sp_{device} {{\n\t\tether saddr != {mac} counter drop\n\
         \t\tip saddr {{ 0.0.0.0, {ip} }} udp sport 68 udp dport 67 @th,288,48 0x{} accept\n\
         \t\tudp dport 67 counter drop\n\t\tudp sport 67 counter drop\n\t\t{source}\n\t}}\n",
        mac.hex()
    );
    let jumps = |start: &str| -> String {
        let known = port.groups.iter().filter(|id| vpc.groups.contains_key(*id));
        known.map(|id| format!("\t\tjump {start}_{}\n", rule_name(id))).collect()
    };
    let cap = if connlimit {
        format!("\t\tct state new ct count over {MAX_FLOWS_PER_PORT} counter drop\n")
    } else {
        String::new()
    };
    put!(
        out,
        "\tchain eg_{device} {{\n{cap}{}\t\tcounter drop\n\t}}\n\
         \tchain in_{device} {{\n{}\t\tcounter drop\n\t}}\n",
        jumps("se"),
        jumps("si"),
    );
}

fn dispatch(out: &mut String, map: &str, start: &str, vpc: &Vpc) {
    let elements = list(vpc.ports.keys().map(|device| format!("\"{device}\" : goto {start}_{device}")));
    putln!(out, "\tmap {map} {{ type ifname : verdict;{elements} }}");
}

fn arp(out: &mut String, vpc: &Vpc) {
    out.push_str("table arp vpc {\n");
    for Port { device, mac, ip, .. } in vpc.ports.values() {
        // 0.0.0.0 is what a guest asks with while it makes sure that nobody else has its address.
        put!(
            out,
            "\tchain sp_{device} {{\n\t\tether saddr != {mac} counter drop\n\t\tarp saddr ether != {mac} counter drop\n\
             \t\tarp saddr ip {{ 0.0.0.0, {ip} }} accept\n\t\tcounter drop\n\t}}\n",
        );
    }
    dispatch(out, "anti", "sp", vpc);
    out.push_str("\tchain in { type filter hook input priority filter; policy drop;\n\t\tiifname vmap @anti\n\t}\n}\n");
}
