//! Fragments of packets. The kernel puts them together before the rules are asked, by what they say of themselves, and of the
//! whole the first one is judged, as of the port by which the last one came. So each is to be in its own port's name before
//! that: else a guest puts pieces of its own into what another sends, or has that thrown away. A port whose source check is off speaks
//! for others anyway, IPv4.

use crate::model::{Port, Vpc};
use crate::nft::list;

/// Sets of what ports may send fragments as, and the chain that asks them.
pub(crate) fn rules(vpc: &Vpc) -> String {
    let mut out = String::new();
    let checked = || vpc.ports.values().filter(|port| port.source_dest_check);
    let own = |port: &Port, ip: &str| format!("\"{}\" . {ip}", port.device);
    putln!(out, "\tset checked {{ type ifname;{} }}", list(checked().map(|port| format!("\"{}\"", port.device))));
    let pairs = checked().flat_map(|port| port.addresses().map(|(ip, _)| own(port, &ip.to_string())));
    putln!(out, "\tset own {{ type ifname . ipv4_addr;{} }}", list(pairs));
    let mut six = "";
    if vpc.six() {
        let pairs = vpc.ports.values().flat_map(|port| port.ipv6.iter().map(|ip| own(port, &ip.to_string())));
        putln!(out, "\tset own6 {{ type ifname . ipv6_addr;{} }}", list(pairs));
        // Nothing that is said on a link is so long.
        six = "\t\tiifname != { \"lo\", \"vx\" } exthdr frag exists iifname . ip6 saddr != @own6 counter drop\n";
    }
    // Before what puts fragments together (-400).
    put!(
        out,
        "\tchain pieces {{ type filter hook prerouting priority -450; policy accept;\n\
         \t\tip frag-off & 0x3fff != 0 iifname @checked iifname . ip saddr != @own counter drop\n{six}\t}}\n"
    );
    out
}
