//! IPv6 at the edge and on the host. Nothing is translated in between: an instance's address is what the world knows it by.
//! Without a public link the host leads the whole pool to the edge, and its instances are in the rest of the world as the host.

use crate::config::{MTU, NetConfig};
use crate::edge::{EdgeWant, ROUTE_PROTOCOL};
use crate::exec::{failed, sysctls};
use crate::names::Names;
use crate::plan::{Desired, EDGE_MAC, EDGE_UP_MAC, HOST_MAC, IGW_MAC, LinkWant, UNREACHABLE, main_route};
use crate::plan6::{DOWN_HOP6, UP_HOP6};
use mallee_node_core::network::NetworkError;
use std::net::Ipv6Addr;
use tracing::info;

/// What the host speaks to instances from: an address that no network routes (RFC 4193), the same on every host, so that
/// instances can name it in a security group.
pub const HOST_SOURCE6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x616c, 0x6c66, 0, 0, 0, 0, 1);

/// Settings of the edge's namespace: no IPv6 there unless something needs it.
pub(crate) fn edge_settings(want: &EdgeWant) -> Vec<(String, &'static str)> {
    let six = !want.public6.is_empty();
    let mut settings = Vec::new();
    for scope in ["all", "default"] {
        if six {
            // Neighbours are told, and nobody is asked.
            settings.push((format!("ipv6/conf/{scope}/addr_gen_mode"), "1"));
            settings.push((format!("ipv6/conf/{scope}/accept_ra"), "0"));
        }
        settings.push((format!("ipv6/conf/{scope}/disable_ipv6"), if six { "0" } else { "1" }));
    }
    settings
}

/// What the edge holds of IPv6 besides its devices. `there`: whether a device is.
pub(crate) fn edge_desired(
    want: &EdgeWant,
    config: &NetConfig,
    there: impl Fn(&String) -> bool,
    desired: &mut Desired,
) {
    if want.public6.is_empty() {
        return;
    }
    desired.routes.insert(main_route("::/0"), format!("via {UP_HOP6} dev uplink onlink"));
    desired.neighbours.insert(("uplink".to_owned(), UP_HOP6.to_owned()), HOST_MAC.to_string());
    // Behind a public link other hosts have the rest of the pool.
    for pool in config.public_pool6.iter().filter(|_| config.public_link.is_none()) {
        desired.routes.insert(main_route(&pool.trunc().to_string()), UNREACHABLE.to_owned());
    }
    for (ip, device) in want.public6.iter().filter(|(_, device)| there(device)) {
        desired.links.insert(device.clone(), LinkWant { mac: Some(EDGE_MAC), mtu: MTU });
        desired.routes.insert(main_route(&ip.to_string()), format!("via {DOWN_HOP6} dev {device} onlink"));
        desired.neighbours.insert((device.clone(), DOWN_HOP6.to_owned()), IGW_MAC.to_string());
    }
}

/// The host's table of IPv6, as [`crate::edge::host_rules`].
pub(crate) fn host_rules(config: &NetConfig, names: &Names) -> String {
    let (table, link) = (names.host_table(), names.host_link());
    let pools: Vec<String> = config.public_pool6.iter().map(ToString::to_string).collect();
    let ports: Vec<String> = config.guest_host_ports.iter().map(ToString::to_string).collect();
    let mut out = format!("table ip6 {table} {{\n");
    let elements = if pools.is_empty() { String::new() } else { format!(" elements = {{ {} }};", pools.join(", ")) };
    putln!(out, "\tset pool {{ type ipv6_addr; flags interval; auto-merge;{elements} }}");
    if config.uplink_nat && config.public_link.is_none() {
        putln!(
            out,
            "\tchain masquerade_out {{ type nat hook postrouting priority srcnat; policy accept;\n\
             \t\toifname != \"{link}\" ip6 saddr @pool masquerade\n\t}}"
        );
    }
    putln!(
        out,
        "\tchain forward {{ type filter hook forward priority filter; policy accept;\n\
         \t\tiifname \"{link}\" ip6 saddr != @pool counter drop\n\t}}\n\
         \tchain input {{ type filter hook input priority filter; policy accept;\n\
         \t\tiifname \"{link}\" goto guest\n\t}}\n\tchain guest {{\n\
         \t\tct state established,related accept\n\
         \t\ticmpv6 type echo-request limit rate 200/second accept"
    );
    if !ports.is_empty() {
        putln!(out, "\t\ttcp dport {{ {} }} accept", ports.join(", "));
    }
    out.push_str("\t\tcounter drop\n\t}\n}\n");
    out
}

/// Whether the host's end of the pair has had IPv6 before.
pub(crate) fn on_host(link: &str) -> bool {
    std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6")).is_ok_and(|off| off.trim() == "0")
}

/// The host's end of the pair: on the link is nobody but the edge.
pub(crate) fn host_link_settings(want: &EdgeWant, link: &str) -> Vec<(String, &'static str)> {
    if want.public6.is_empty() {
        return vec![(format!("ipv6/conf/{link}/disable_ipv6"), "1")];
    }
    let own = |key: &str| format!("ipv6/conf/{link}/{key}");
    vec![(own("addr_gen_mode"), "1"), (own("accept_ra"), "0"), (own("accept_dad"), "0"), (own("disable_ipv6"), "0")]
}

/// Lines for `ip` on the host: the neighbour, its own address, and, without a public link, the way to the pool.
pub(crate) fn host_lines(want: &EdgeWant, config: &NetConfig, link: &str) -> Vec<String> {
    if want.public6.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        format!("neigh replace {DOWN_HOP6} lladdr {EDGE_UP_MAC} dev {link} nud permanent"),
        format!("addr replace {HOST_SOURCE6}/128 dev {link} nodad"),
    ];
    for pool in config.public_pool6.iter().filter(|_| config.public_link.is_none()) {
        let to = pool.trunc();
        lines.push(format!(
            "route replace {to} via {DOWN_HOP6} dev {link} onlink src {HOST_SOURCE6} proto {ROUTE_PROTOCOL}"
        ));
    }
    lines
}

/// Switches on the host's forwarding of IPv6. A host that forwards does not listen to routers any more, and would lose its own
/// way by one: the interfaces that did, do so still.
pub(crate) fn host_forwards() -> Result<(), NetworkError> {
    let conf = "/proc/sys/net/ipv6/conf";
    let read = |path: String| std::fs::read_to_string(&path).map_err(|e| failed(format!("{path}: {e}")));
    if read(format!("{conf}/all/forwarding"))?.trim() == "1" {
        return Ok(());
    }
    let entries = std::fs::read_dir(conf).map_err(|e| failed(format!("{conf}: {e}")))?;
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        // An interface that has just gone listens to nobody.
        if read(format!("{conf}/{name}/accept_ra")).is_ok_and(|now| now.trim() == "1") {
            drop(sysctls(&[(format!("ipv6/conf/{name}/accept_ra"), "2")]));
        }
    }
    sysctls(&[("ipv6/conf/all/forwarding".to_owned(), "1")])?;
    info!("switched on IPv6 forwarding: instances with IPv6 reach the world through this host");
    Ok(())
}
