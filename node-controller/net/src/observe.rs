//! What one namespace holds, read with one `ip` and at most one `bridge` process.

use crate::exec::{failed, run};
use crate::plan::{BLACKHOLE, GATEWAY6, Lead, RouteKey, TABLE_BASE, THROW, UNREACHABLE};
use mallee_node_core::network::NetworkError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Link {
    #[serde(rename = "ifname")]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) address: String,
    #[serde(default)]
    pub(crate) mtu: u32,
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    #[serde(default)]
    pub(crate) ifalias: String,
    #[serde(default)]
    pub(crate) ifindex: u32,
    #[serde(default)]
    pub(crate) qdisc: String,
    #[serde(default)]
    pub(crate) linkinfo: LinkInfo,
}

/// What kind of device it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct LinkInfo {
    #[serde(default)]
    pub(crate) info_kind: String,
    #[serde(default)]
    pub(crate) info_data: LinkData,
}

/// The part of a VXLAN's settings that we choose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct LinkData {
    #[serde(default)]
    pub(crate) id: u32,
    #[serde(default)]
    pub(crate) local: String,
    #[serde(default)]
    pub(crate) port: u16,
}

impl Link {
    pub(crate) fn up(&self) -> bool {
        self.flags.iter().any(|f| f == "UP")
    }
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    ifname: String,
    #[serde(default)]
    addr_info: Vec<AddressInfo>,
}

#[derive(Deserialize)]
struct AddressInfo {
    #[serde(default)]
    family: String,
    #[serde(default)]
    local: String,
}

#[derive(Deserialize)]
struct Route {
    #[serde(rename = "type", default)]
    kind: String,
    dst: String,
    #[serde(default)]
    table: String,
    #[serde(default)]
    gateway: String,
    #[serde(default)]
    dev: String,
    #[serde(default)]
    metric: u32,
    #[serde(default)]
    protocol: String,
}

impl Route {
    /// What follows its destination in `ip route`, or the kind of route that it is.
    fn rest(&self) -> String {
        match (self.kind.as_str(), self.gateway.as_str()) {
            (kind @ (UNREACHABLE | BLACKHOLE | THROW), _) => kind.to_owned(),
            (_, "") => format!("dev {}", self.dev),
            (_, gateway) => format!("via {gateway} dev {} onlink", self.dev),
        }
    }
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    fwmark: String,
    #[serde(default)]
    iif: String,
    table: String,
}

impl Rule {
    /// What it leads where, if it is one of ours.
    fn lead(&self) -> Option<Lead> {
        let number = table_number(&self.table)?;
        match (self.fwmark.is_empty(), self.iif.is_empty()) {
            (false, _) => Some(Lead::Mark(number)),
            (true, false) => Some(Lead::From(self.iif.clone(), number)),
            (true, true) => None,
        }
    }
}

#[derive(Deserialize)]
struct Neigh {
    dst: String,
    #[serde(default)]
    dev: String,
    #[serde(default)]
    lladdr: String,
}

#[derive(Deserialize)]
struct Fdb {
    mac: String,
    #[serde(default)]
    dst: String,
}

/// Whether a namespace has no IPv6.
const IPV6_OFF: &str = "/proc/sys/net/ipv6/conf/all/disable_ipv6";

/// What is there. Routes, neighbours and forwarding entries are kept in the words [`crate::plan`] uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// By name.
    pub links: BTreeMap<String, Link>,
    /// Addresses of `lo`.
    pub lo: BTreeSet<String>,
    /// What follows a destination in `ip route`, or the kind of route that it is.
    pub routes: BTreeMap<RouteKey, String>,
    /// Which packets are led to which table.
    pub rules: BTreeSet<Lead>,
    /// The same of IPv6 packets.
    pub rules6: BTreeSet<Lead>,
    /// (device, address) to MAC; permanent ones only.
    pub neighbours: BTreeMap<(String, String), String>,
    /// MAC to underlay address, on `vx`.
    pub fdb: BTreeMap<String, String>,
    /// Devices on which the router has its IPv6 address.
    pub routers6: BTreeSet<String>,
}

/// 0 for the main table, the number of one of ours; `None` for any other.
fn table_number(name: &str) -> Option<u32> {
    match name {
        "" | "main" => Some(0),
        other => other.parse::<u32>().ok()?.checked_sub(TABLE_BASE).filter(|number| *number > 0),
    }
}

/// Reads the namespace of the calling thread.
pub(crate) fn observe() -> Result<Observed, NetworkError> {
    // Addresses first: after `link show`, ip leaves them out for the rest of a batch.
    let out = run(
        "ip",
        &["-j", "-d", "-4", "-batch", "-"],
        "addr show dev lo\nlink show\nroute show table all\nneigh show nud permanent\nrule show\n",
    )?;
    let mut parts = parts(&out)?;
    let (rules, neigh) = (parts.pop(), parts.pop());
    let (routes, links, lo) = (parts.pop(), parts.pop(), parts.pop());
    let mut seen = Observed::default();
    for link in typed::<Link>(links)? {
        seen.links.insert(link.name.clone(), link);
    }
    let infos = typed::<Address>(lo)?.into_iter().flat_map(|a| a.addr_info);
    seen.lo = infos.filter(|i| i.family == "inet").map(|i| i.local).filter(|a| a != "127.0.0.1").collect();
    for route in typed::<Route>(routes)? {
        // The kernel's own table of local addresses is not our business.
        let Some(table) = table_number(&route.table) else { continue };
        let rest = route.rest();
        let to = if route.metric == 0 { route.dst } else { format!("{} metric {}", route.dst, route.metric) };
        seen.routes.insert((table, to), rest);
    }
    seen.rules = typed::<Rule>(rules)?.iter().filter_map(Rule::lead).collect();
    for n in typed::<Neigh>(neigh)? {
        seen.neighbours.insert((n.dev, n.dst), n.lladdr);
    }
    if std::fs::read_to_string(IPV6_OFF).is_ok_and(|off| off.trim() == "0") {
        observe6(&mut seen)?;
    }
    if seen.links.contains_key("vx") {
        let out = run("bridge", &["-j", "fdb", "show", "dev", "vx"], "")?;
        for entry in typed::<Fdb>(parts_of(&out)?.pop())? {
            if !entry.dst.is_empty() {
                seen.fdb.insert(entry.mac, entry.dst);
            }
        }
    }
    Ok(seen)
}

/// The IPv6 part of what is there. Routes that the kernel makes of addresses are its own.
fn observe6(seen: &mut Observed) -> Result<(), NetworkError> {
    let questions = "addr show\nroute show table all\nneigh show nud permanent\nrule show\n";
    let mut parts = parts_of(&run("ip", &["-j", "-6", "-batch", "-"], questions)?)?;
    if parts.len() != 4 {
        return Err(failed(format!("ip answered {} of 4 questions", parts.len())));
    }
    let (rules, neigh, routes, addresses) = (parts.pop(), parts.pop(), parts.pop(), parts.pop());
    let gateway = GATEWAY6.to_string();
    let routers = typed::<Address>(addresses)?.into_iter().filter(|a| a.addr_info.iter().any(|i| i.local == gateway));
    seen.routers6 = routers.map(|a| a.ifname).collect();
    for route in typed::<Route>(routes)?.into_iter().filter(|route| route.protocol != "kernel") {
        let Some(table) = table_number(&route.table) else { continue };
        let rest = route.rest();
        // What IPv4 calls by the same name is another.
        let to = if route.dst == "default" { "::/0".to_owned() } else { route.dst };
        seen.routes.insert((table, to), rest);
    }
    seen.rules6 = typed::<Rule>(rules)?.iter().filter_map(Rule::lead).collect();
    for n in typed::<Neigh>(neigh)? {
        seen.neighbours.insert((n.dev, n.dst), n.lladdr);
    }
    Ok(())
}

/// The names of the devices in the calling thread's namespace; a system call, no process.
pub(crate) fn names() -> Result<Vec<String>, NetworkError> {
    let list = nix::net::if_::if_nameindex().map_err(|e| failed(format!("list devices: {e}")))?;
    Ok(list.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect())
}

/// The number of a device of the calling thread's namespace.
pub(crate) fn index(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

/// The device of the calling thread's namespace that has this number.
pub(crate) fn name(index: u32) -> Option<String> {
    nix::net::if_::if_indextoname(index).ok()?.into_string().ok()
}

/// Whether a device is in the calling thread's namespace.
pub(crate) fn has(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

/// The devices of the calling thread's namespace.
pub(crate) fn links() -> Result<Vec<Link>, NetworkError> {
    let out = run("ip", &["-j", "-d", "link", "show"], "")?;
    typed(parts_of(&out)?.pop())
}

pub(crate) fn parts_of(out: &[u8]) -> Result<Vec<serde_json::Value>, NetworkError> {
    let read: Result<Vec<_>, _> = serde_json::Deserializer::from_slice(out).into_iter().collect();
    read.map_err(|e| failed(format!("the answer of ip or bridge is not JSON: {e}")))
}

fn parts(out: &[u8]) -> Result<Vec<serde_json::Value>, NetworkError> {
    let parts = parts_of(out)?;
    if parts.len() == 5 { Ok(parts) } else { Err(failed(format!("ip answered {} of 5 questions", parts.len()))) }
}

pub(crate) fn typed<T: DeserializeOwned>(part: Option<serde_json::Value>) -> Result<Vec<T>, NetworkError> {
    // iproute2 prints an object without members where a filter hides one.
    let mut list = part.unwrap_or_else(|| serde_json::Value::Array(Vec::new()));
    if let Some(items) = list.as_array_mut() {
        items.retain(|item| item.as_object().is_some_and(|o| !o.is_empty()));
    }
    serde_json::from_value(list).map_err(|e| failed(format!("the answer of ip or bridge is unknown: {e}")))
}
