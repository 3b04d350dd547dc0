//! IPv6 in a VPC's packet filter. Of a VPC without IPv6 everything of it is dropped at once, and the rest of the rules does not
//! speak of it. It moves inside the VPC only: what comes from a peer or the world, or goes there, is dropped.

use crate::model::{Port, Vpc};
use crate::names::rule_name;
use crate::nft::{list, peer_group};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

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

/// What may come from a port: in its own names, those of its addresses and the link-local one that its MAC makes. No
/// announcements of routers, redirects or answers of DHCP servers, and as its neighbour's nothing but itself. (Its router's
/// neighbours are told by the engine and are not learnt; this also counts who tries.) Whatever the source check says: no
/// route leads the IPv6 of others to a port.
pub(crate) fn port(port: &Port) -> String {
    if port.ipv6.is_empty() {
        return String::new();
    }
    let Port { device, mac, ipv6, .. } = port;
    let link_local = mac.link_local();
    let own = ipv6.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    // 64 bits into ICMPv6: whom a solicitation or an advertisement is about.
    let targets = ipv6.iter().chain([&link_local]).map(hex).collect::<Vec<_>>().join(", ");
    format!(
        "\tchain s6_{device} {{\n\
         \t\ticmpv6 type nd-router-advert counter drop\n\
         \t\ticmpv6 type nd-redirect counter drop\n\
         \t\tudp sport 547 counter drop\n\
         \t\ticmpv6 type nd-neighbor-advert @th,64,128 != {{ {targets} }} counter drop\n\
         \t\tip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 {{ {targets} }} accept\n\
         \t\tip6 saddr {{ {own} }} accept\n\
         \t\tip6 saddr {link_local} ip6 daddr {{ fe80::/10, ff02::/16 }} accept\n\
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
