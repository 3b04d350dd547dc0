//! IPv6 in a VPC's packet filter. Of a VPC without IPv6 everything of it is dropped at once, and the rest of the rules does not
//! speak of it. It moves inside the VPC only: what comes from a peer or the world, or goes there, is dropped.

use crate::check::MAX_PORTS;
use crate::model::{Port, Vpc};
use crate::names::rule_name;
use crate::nft::{list, peer_group};
use crate::plan::GATEWAY6;
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
    let strange = outside.split(", ").filter(|device| *device != "\"vx\"").collect::<Vec<_>>().join(", ");
    // Routers and nodes are told of each other by the engine: on the overlay nobody asks for anybody.
    format!(
        "\t\tmeta nfproto ipv6 iifname {{ {strange} }} counter drop\n\
         \t\tiifname \"vx\" ip6 saddr fe80::/10 counter drop\n"
    )
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
pub(crate) fn port(port: &Port) -> String {
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
         \t\tip6 saddr {{ {own} }} accept\n\
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
    format!(
        "\t\tmeta nfproto ipv6 oifname \"igw\" counter drop\n\
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
