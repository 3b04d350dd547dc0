//! IPv6 in a VPC's packet filter. Of a VPC without IPv6 everything of it is dropped at once, and the rest of the rules does not
//! speak of it. It moves inside the VPC only: what comes from a peer or the world, or goes there, is dropped.

use crate::check::MAX_PORTS;
use crate::model::{Port, Reach, Vpc};
use crate::names::rule_name;
use crate::nft::{list, peer_group};
use crate::plan::GATEWAY6;
use ipnet::Ipv6Net;
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// How often in a second, and how often at once, a guest may ask for its router: each question is an announcement.
const ROUTER_ASKED: (u32, u32) = (2, 10);
/// The same of DHCPv6.
const DHCP_ASKED: (u32, u32) = (10, 40);

/// Of link-local addresses that guests make otherwise than of their MAC (RFC 7217): how many a guest may begin with in a minute,
/// and at once. Each may become a neighbour of the router's, and the host's list of those is one and short.
const LINKS: (u32, u32) = (1, 2);
/// How many are known in a VPC here, and for how long.
const MAX_LINKS: usize = 4 * MAX_PORTS;
const LINKS_KEPT: &str = "1h";
/// The first half of a link-local address.
const LINK: &str = "0xfe80000000000000";

/// What of it does not enter the namespace at all. `outside`: devices behind which there is no port.
pub(crate) fn raw(vpc: &Vpc, outside: &str) -> String {
    if !vpc.six() {
        return "\t\tmeta nfproto ipv6 counter drop\n".to_owned();
    }
    let leads6 = |device: &str| match device.trim_matches('"') {
        "vx" => true,
        "igw" => !vpc.world6.is_empty(),
        other => vpc.peerings.get(other).is_some_and(|peering| !peering.blocks6.is_empty()),
    };
    let strange = outside.split(", ").filter(|device| !leads6(device)).collect::<Vec<_>>().join(", ");
    let mut out = String::new();
    if !strange.is_empty() {
        putln!(out, "\t\tmeta nfproto ipv6 iifname {{ {strange} }} counter drop");
    }
    // Routers and nodes are told of each other by the engine: on the overlay nobody asks for anybody.
    out.push_str("\t\tiifname \"vx\" ip6 saddr fe80::/10 counter drop\n");
    if !vpc.world6.is_empty() {
        // As of IPv4: the world has none of the VPC's own addresses, and speaks to those only that are led to it.
        let own = blocks(&vpc.blocks6);
        putln!(out, "\t\tiifname \"igw\" ip6 saddr {{ fe80::/10, {own} }} counter drop");
        putln!(out, "\t\tiifname \"igw\" ip6 daddr != @world6 counter drop");
    }
    for (device, peering) in vpc.peerings.iter().filter(|(_, peering)| !peering.blocks6.is_empty()) {
        let theirs = blocks(&peering.blocks6);
        putln!(out, "\t\tiifname \"{device}\" ip6 saddr != {{ {theirs} }} counter drop");
        // What is not for a port here only passes; the rest as in `peering`.
        putln!(out, "\t\tiifname \"{device}\" ip6 daddr != @here6 notrack accept");
    }
    out
}

fn blocks(blocks: &[Ipv6Net]) -> String {
    blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Sets of addresses that are here, and of members of the groups that rules name.
pub(crate) fn sets(out: &mut String, vpc: &Vpc) {
    if !vpc.six() {
        return;
    }
    putln!(
        out,
        "\tset links6 {{ type ifname . ipv6_addr; size {MAX_LINKS}; flags dynamic,timeout; timeout {LINKS_KEPT}; }}"
    );
    putln!(out, "\tset here6 {{ type ipv6_addr;{} }}", list(vpc.devices6.keys()));
    if !vpc.world6.is_empty() {
        let open = vpc.world6.iter().filter(|(_, reach)| **reach == Reach::BothWays).map(|(ip, _)| ip);
        putln!(out, "\tset world6 {{ type ipv6_addr;{} }}", list(vpc.world6.keys()));
        putln!(out, "\tset open6 {{ type ipv6_addr;{} }}", list(open));
    }
    let named: BTreeSet<&String> = vpc.groups.values().flatten().filter_map(peer_group).collect();
    for id in named {
        let members = vpc.members6.get(id).cloned().unwrap_or_default();
        putln!(out, "\tset m6_{} {{ type ipv6_addr;{} }}", rule_name(id), list(members.iter()));
    }
}

/// The line of a port's chain of anti-spoofing that leads IPv6 to its own chain.
pub(crate) fn of_port(vpc: &Vpc, port: &Port) -> String {
    match (vpc.six(), port.ipv6.is_empty()) {
        (false, _) => String::new(),
        (true, true) => "\t\tmeta nfproto ipv6 counter drop\n".to_owned(),
        (true, false) => format!("\t\tmeta nfproto ipv6 goto s6_{}\n", port.device),
    }
}

fn hex(ip: &Ipv6Addr) -> String {
    format!("0x{:032x}", u128::from(*ip))
}

/// What may come from a port: in its own names, those of its addresses and link-local ones, or, while it has none yet, a
/// question. No announcements of routers, redirects or answers of DHCP servers, and as its neighbour's nothing but itself.
/// (Its router is told of its addresses, and does not learn them; this also counts who tries.) On its link is nobody but the
/// router: what is for others there would make the router look for them. Whatever the source check says: no route leads the
/// IPv6 of others to a port.
pub(crate) fn port(vpc: &Vpc, port: &Port) -> String {
    if port.ipv6.is_empty() {
        return String::new();
    }
    let Port { device, mac, ipv6, .. } = port;
    let (asks, asks_burst) = ROUTER_ASKED;
    let (dhcp, dhcp_burst) = DHCP_ASKED;
    let (links, links_burst) = LINKS;
    let own = ipv6.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    // 64 bits into ICMPv6: whom a solicitation or an advertisement is about.
    let targets = ipv6.iter().map(hex).collect::<Vec<_>>().join(", ");
    let (router, link_local) = (hex(&GATEWAY6), mac.link_local());
    let to = format!("ip6 daddr {{ {GATEWAY6}, ff02::/16 }}");
    // The mark names the route table of its subnet, as of IPv4.
    let table = port.subnet.table;
    let mark = if vpc.tables6.contains_key(&table) { format!("meta mark set {table:#x} ") } else { String::new() };
    format!(
        "\tchain s6_{device} {{\n\
         \t\tip6 saddr {GATEWAY6} counter drop\n\
         \t\tip6 daddr fe80::/10 ip6 daddr != {GATEWAY6} counter drop\n\
         \t\ticmpv6 type nd-router-solicit limit rate over {asks}/second burst {asks_burst} packets counter drop\n\
         \t\tip6 saddr fe80::/10 udp dport 547 limit rate over {dhcp}/second burst {dhcp_burst} packets counter drop\n\
         \t\ticmpv6 type nd-router-advert counter drop\n\
         \t\ticmpv6 type nd-redirect counter drop\n\
         \t\tudp sport 547 counter drop\n\
         \t\tudp dport 546 counter drop\n\
         \t\ticmpv6 type nd-neighbor-advert @th,64,128 {router} counter drop\n\
         \t\ticmpv6 type nd-neighbor-advert @th,64,64 != {LINK} @th,64,128 != {{ {targets} }} counter drop\n\
         \t\tip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,64 {LINK} accept\n\
         \t\tip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 {{ {targets} }} accept\n\
         \t\tip6 saddr :: icmpv6 type nd-router-solicit accept\n\
         \t\tip6 saddr {{ {own} }} {mark}accept\n\
         \t\tip6 saddr {link_local} {to} accept\n\
         \t\tiifname . ip6 saddr @links6 {to} accept\n\
         \t\tip6 saddr fe80::/64 {to} limit rate {links}/minute burst {links_burst} packets \
         add @links6 {{ iifname . ip6 saddr }} accept\n\
         \t\tcounter drop\n\t}}\n"
    )
}

/// What of it does not leave the VPC, and flows that are not known; of these also see `impostors`.
pub(crate) fn leave(vpc: &Vpc, overlay: &str) -> String {
    if !vpc.six() {
        return String::new();
    }
    let not_out = if vpc.world6.is_empty() { "" } else { "ip6 saddr != @world6 " };
    format!(
        "\t\tmeta nfproto ipv6 oifname \"igw\" {not_out}counter drop\n\
         \t\tiifname {overlay} ct state new ip6 saddr @here6 ct status & confirmed == 0 counter drop\n\
         \t\tmeta nfproto ipv6 ct state invalid counter drop\n"
    )
}

/// What a guest may ask of its router: who it is, whether it is there, and for its address.
pub(crate) fn input(vpc: &Vpc) -> &'static str {
    if !vpc.six() {
        return "";
    }
    "\t\ticmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept\n\
     \t\tip6 saddr fe80::/10 udp sport 546 udp dport 547 accept\n\
     \t\ticmpv6 type echo-request limit rate 200/second accept\n"
}

/// What the world may begin: with those whose table leads to it both ways.
pub(crate) fn begun(vpc: &Vpc) -> &'static str {
    if vpc.world6.is_empty() { "" } else { "\t\tiifname \"igw\" ip6 daddr @open6 accept\n" }
}
