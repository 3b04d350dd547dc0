//! The way between public addresses and the world: the edge namespace, one veth pair to the host, one route per pool
//! and one small table there. Address translation itself happens in each VPC's namespace.

use crate::config::{MTU, NetConfig};
use crate::edge6;
use crate::exec::{delete_links, failed, ip_batch, nft, sysctls};
use crate::foreign::{self, IP6TABLES, IPTABLES};
use crate::model::{Model, Vpc};
use crate::names::Names;
use crate::nft::{Rules, list};
use crate::ns;
use crate::observe;
use crate::plan::{
    DOWN_HOP, Desired, EDGE_MAC, EDGE_UP_MAC, HOST_MAC, IGW_MAC, LinkWant, UNREACHABLE, UP_HOP, diff, main_route,
};
use crate::swap;
use mallee_node_core::network::NetworkError;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tracing::info;

/// Marks our routes in the host's table.
pub(crate) const ROUTE_PROTOCOL: u8 = 188;
/// What the host speaks to instances from (RFC 7335: for use inside one host).
pub const HOST_SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);

/// What the edge depends on; equal means nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EdgeWant {
    /// Public address to the edge's device toward its VPC.
    pub(crate) public: BTreeMap<Ipv4Addr, String>,
    /// The same of IPv6.
    pub(crate) public6: BTreeMap<Ipv6Addr, String>,
}

impl EdgeWant {
    pub(crate) fn of(model: &Model, names: &Names) -> Self {
        let open = model.vpcs.values().filter(|vpc| vpc.internet_gateway);
        let ports = open.flat_map(|vpc| vpc.ports.values().map(move |port| (vpc, port)));
        let addresses = ports.flat_map(|(vpc, port)| port.addresses().map(move |(_, public)| (vpc, public)));
        let public = addresses.filter_map(|(vpc, public)| Some((public?, names.edge_link(&vpc.id)))).collect();
        let of = |vpc: &Vpc| names.edge_link(&vpc.id);
        let public6 = model.vpcs.values().flat_map(|vpc| vpc.world6.keys().map(move |ip| (*ip, of(vpc)))).collect();
        Self { public, public6 }
    }

    /// Whether nothing needs the edge.
    pub(crate) fn is_empty(&self) -> bool {
        self.public.is_empty() && self.public6.is_empty()
    }

    /// Every address, with the edge's device toward its VPC.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (IpAddr, &String)> {
        let four = self.public.iter().map(|(ip, device)| (IpAddr::from(*ip), device));
        four.chain(self.public6.iter().map(|(ip, device)| (IpAddr::from(*ip), device)))
    }

    /// The edge's device toward the VPC of this address.
    pub(crate) fn device(&self, address: IpAddr) -> Option<&String> {
        match address {
            IpAddr::V4(ip) => self.public.get(&ip),
            IpAddr::V6(ip) => self.public6.get(&ip),
        }
    }
}

/// The edge's own filter: a packet from a VPC bears a public address of that VPC, or is dropped. Nothing is tracked.
pub(crate) fn edge_rules(want: &EdgeWant) -> String {
    let pairs = list(want.public.iter().map(|(ip, device)| format!("{ip} . \"{device}\"")));
    let (set6, none6, six) = if want.public6.is_empty() {
        (String::new(), "\t\tmeta nfproto ipv6 counter drop\n", "")
    } else {
        let pairs = list(want.public6.iter().map(|(ip, device)| format!("{ip} . \"{device}\"")));
        let set = format!("\tset owners6 {{ type ipv6_addr . ifname;{pairs} }}\n");
        (set, "", "\t\tip6 saddr . iifname @owners6 notrack accept\n")
    };
    format!(
        "table inet edge {{\n\
         \tset owners {{ type ipv4_addr . ifname;{pairs} }}\n{set6}\
         \tchain raw {{ type filter hook prerouting priority raw; policy drop;\n{none6}\
         \t\tiifname \"uplink\" notrack accept\n\
         \t\tip saddr . iifname @owners notrack accept\n{six}\
         \t\tcounter drop\n\t}}\n\
         \tchain input {{ type filter hook input priority filter; policy drop; }}\n\
         }}\n"
    )
}

/// The table of IPv4 in the host's namespace.
pub(crate) fn host_rules(config: &NetConfig, names: &Names) -> String {
    let (table, link) = (names.host_table(), names.host_link());
    let pools: Vec<String> = config.public_pool.iter().map(ToString::to_string).collect();
    let ports: Vec<String> = config.guest_host_ports.iter().map(ToString::to_string).collect();
    let mut out = format!("table ip {table} {{\n");
    putln!(out, "\tset pool {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {} }}; }}", pools.join(", "));
    if config.uplink_nat && config.public_link.is_none() {
        putln!(
            out,
            "\tchain masquerade_out {{ type nat hook postrouting priority srcnat; policy accept;\n\
             \t\toifname != \"{link}\" ip saddr @pool masquerade\n\t}}"
        );
    }
    putln!(
        out,
        "\tchain forward {{ type filter hook forward priority filter; policy accept;\n\
         \t\tiifname \"{link}\" ip saddr != @pool counter drop\n\t}}\n\
         \tchain input {{ type filter hook input priority filter; policy accept;\n\
         \t\tiifname \"{link}\" goto guest\n\t}}\n\tchain guest {{\n\
         \t\tct state established,related accept\n\
         \t\ticmp type echo-request limit rate 200/second accept"
    );
    if !ports.is_empty() {
        putln!(out, "\t\ttcp dport {{ {} }} accept", ports.join(", "));
    }
    out.push_str("\t\tcounter drop\n\t}\n}\n");
    out
}

/// In the edge's namespace: filter, addresses of the pairs, routes. The pairs themselves exist.
pub(crate) fn converge_edge(want: &EdgeWant, config: &NetConfig) -> Result<(), NetworkError> {
    let settings = [
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
    ];
    sysctls(&settings.map(|(k, v)| (k.to_owned(), v)))?;
    sysctls(&edge6::edge_settings(want))?;
    swap::load(&Rules::plain(edge_rules(want)), None)?;
    let seen = observe::observe()?;
    let mut desired = Desired::default();
    desired.links.insert("uplink".to_owned(), LinkWant { mac: Some(EDGE_UP_MAC), mtu: MTU });
    desired.routes.insert(main_route("default"), format!("via {UP_HOP} dev uplink onlink"));
    desired.neighbours.insert(("uplink".to_owned(), UP_HOP.to_owned()), HOST_MAC.to_string());
    // Behind a public link other hosts have the rest of the pool.
    for pool in config.public_pool.iter().filter(|_| config.public_link.is_none()) {
        let to = if pool.prefix_len() == 32 { pool.addr().to_string() } else { pool.trunc().to_string() };
        desired.routes.insert(main_route(&to), UNREACHABLE.to_owned());
    }
    for (ip, device) in &want.public {
        if seen.links.contains_key(device) {
            desired.links.insert(device.clone(), LinkWant { mac: Some(EDGE_MAC), mtu: MTU });
            desired.routes.insert(main_route(&ip.to_string()), format!("via {DOWN_HOP} dev {device} onlink"));
            desired.neighbours.insert((device.clone(), DOWN_HOP.to_owned()), IGW_MAC.to_string());
        }
    }
    edge6::edge_desired(want, config, |device| seen.links.contains_key(device), &mut desired);
    let plan = diff(&desired, &seen, |name| name.starts_with('v') && name.len() == 11);
    delete_links(plan.delete.into_iter())?;
    ip_batch(&plan.ip)?;
    // Last: nothing is forwarded before the filter and the routes stand.
    sysctls(&[("ipv4/ip_forward".to_owned(), "1")])?;
    if want.public6.is_empty() { Ok(()) } else { sysctls(&[("ipv6/conf/all/forwarding".to_owned(), "1")]) }
}

/// In the host's namespace: the table, the pair, the pool's route, and forwarding where it is needed.
pub(crate) fn converge_host(want: &EdgeWant, config: &NetConfig, names: &Names) -> Result<(), NetworkError> {
    let (link, edge) = (names.host_link(), names.edge_ns());
    let six = if want.public6.is_empty() { String::new() } else { edge6::host_rules(config, names) };
    if six.is_empty() && edge6::on_host(&link) {
        let table = names.host_table();
        nft(&format!("table ip6 {table} {{}}\ndelete table ip6 {table}\n"))?;
    }
    swap::load(&Rules::plain(host_rules(config, names) + &six), None)?;
    if !observe::has(&link) {
        ip_batch(&[format!("link add {link} type veth peer name uplink netns {edge}")])?;
    }
    sysctls(&[(format!("ipv4/conf/{link}/send_redirects"), "0")])?;
    sysctls(&edge6::host_link_settings(want, &link))?;
    let mut lines = vec![
        format!("link set {link} address {HOST_MAC} mtu {MTU} up"),
        format!("neigh replace {DOWN_HOP} lladdr {EDGE_UP_MAC} dev {link} nud permanent"),
    ];
    // One address of its own for the host, whatever others it has: instances can name it in a security group.
    lines.push(format!("addr replace {HOST_SOURCE}/32 dev {link}"));
    for pool in config.public_pool.iter().filter(|_| config.public_link.is_none()) {
        let to = pool.trunc();
        lines.push(format!(
            "route replace {to} via {DOWN_HOP} dev {link} onlink src {HOST_SOURCE} proto {ROUTE_PROTOCOL}"
        ));
    }
    lines.extend(edge6::host_lines(want, config, &link));
    ip_batch(&lines)?;
    if config.uplink_nat || config.public_link.is_some() {
        let path = "/proc/sys/net/ipv4/ip_forward";
        if std::fs::read_to_string(path).map_err(|e| failed(format!("{path}: {e}")))?.trim() != "1" {
            sysctls(&[("ipv4/ip_forward".to_owned(), "1")])?;
            info!("switched on IPv4 forwarding: instances with public addresses reach the world through this host");
        }
        foreign::pass(IPTABLES, &link);
        if !want.public6.is_empty() {
            edge6::host_forwards()?;
            foreign::pass(IP6TABLES, &link);
        }
    }
    Ok(())
}

/// Removes the edge and what the host's namespace holds of it; to be run in the host's namespace.
pub(crate) fn remove(names: &Names) -> Result<(), NetworkError> {
    let link = names.host_link();
    if observe::has(&link) {
        for program in [IPTABLES, IP6TABLES] {
            foreign::remove(program, &link);
        }
        delete_links(std::iter::once(link))?;
    }
    let table = names.host_table();
    for family in ["ip", "ip6"] {
        nft(&format!("table {family} {table} {{}}\ndelete table {family} {table}\n"))?;
    }
    ns::remove(&names.edge_ns())
}
