//! Public addresses on the host's own network: with several hosts, each answers there for the addresses of its instances, and
//! for no others. Without a public link the host keeps the whole pool to itself (see `edge`).
//!
//! The host answers for an address in its own name (proxy ARP, RFC 1027; of IPv6 by neighbour discovery, RFC 4389), and says so
//! unasked when it begins to (RFC 5227, 3; RFC 4861, 7.2.6): whoever had learnt another place forgets it. It begins when the way to the instance stands, and ends before
//! that goes. While another host answers for an address it does not begin: one that lost its controllers knows no better, and
//! an address with two hosts would be of use to nobody.

use crate::announce::Link;
use crate::config::NetConfig;
use crate::edge::{EdgeWant, HOST_SOURCE, ROUTE_PROTOCOL};
use crate::edge6::HOST_SOURCE6;
use crate::exec::{failed, inside, ip_batch, run, sysctls};
use crate::names::Names;
use crate::ns;
use crate::observe;
use crate::plan::DOWN_HOP;
use crate::plan6::DOWN_HOP6;
use ipnet::IpNet;
use mallee_node_core::network::NetworkError;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;
use tracing::warn;

/// Between the two announcements of an address (RFC 5227: ANNOUNCE_INTERVAL).
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Proxy {
    #[serde(default)]
    dst: String,
    #[serde(default)]
    dev: String,
}

#[derive(Deserialize)]
struct Route {
    #[serde(default)]
    dst: String,
}

/// What the host's namespace holds of public links.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// (device, address) that is answered for.
    proxies: BTreeSet<(String, IpAddr)>,
    /// Destinations that our routes lead to the edge.
    routes: BTreeSet<IpNet>,
}

/// The options of `ip` for the two families.
const FAMILIES: [&str; 2] = ["-4", "-6"];

fn see(config: &NetConfig, names: &Names) -> Result<Seen, NetworkError> {
    let link = names.host_link();
    let ours = |address: &IpAddr| match address {
        IpAddr::V4(ip) => config.public_pool.iter().any(|pool| pool.contains(ip)),
        IpAddr::V6(ip) => config.public_pool6.iter().any(|pool| pool.contains(ip)),
    };
    let (mut seen, there) = (Seen::default(), observe::has(&link));
    for family in FAMILIES {
        let proxies: Vec<Proxy> =
            observe::typed(observe::parts_of(&run("ip", &["-j", family, "neigh", "show", "proxy"], "")?)?.pop())?;
        // Of another device or not: whatever of the pool is answered for is ours.
        let proxies = proxies.into_iter().filter_map(|proxy| Some((proxy.dev, proxy.dst.parse().ok()?)));
        seen.proxies.extend(proxies.filter(|(_, address)| ours(address)));
        if there {
            let protocol = ROUTE_PROTOCOL.to_string();
            let out = run("ip", &["-j", family, "route", "show", "dev", &link, "proto", &protocol], "")?;
            let routes: Vec<Route> = observe::typed(observe::parts_of(&out)?.pop())?;
            let net = |text: &str| text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)));
            seen.routes.extend(routes.iter().filter_map(|route| net(&route.dst)));
        }
    }
    Ok(seen)
}

/// How a host leads one of its addresses to the edge.
fn way(address: IpAddr, link: &str) -> String {
    let (hop, source): (&str, IpAddr) = match address {
        IpAddr::V4(_) => (DOWN_HOP, HOST_SOURCE.into()),
        IpAddr::V6(_) => (DOWN_HOP6, HOST_SOURCE6.into()),
    };
    format!("route replace {address} via {hop} dev {link} onlink src {source} proto {ROUTE_PROTOCOL}")
}

/// The addresses to answer for, and the device on which; none without a public link.
fn wanted<'a>(want: &'a EdgeWant, config: &'a NetConfig) -> impl Iterator<Item = (&'a String, IpAddr)> {
    config.public_link.iter().flat_map(|link| want.addresses().map(move |(address, _)| (link, address)))
}

/// Ends answering for what is not wanted any more, and takes away its route: to be done before its way goes. In the host's
/// namespace.
pub(crate) fn withdraw(want: &EdgeWant, config: &NetConfig, names: &Names) -> Result<(), NetworkError> {
    let seen = see(config, names)?;
    let keep: BTreeSet<(String, IpAddr)> =
        wanted(want, config).map(|(link, address)| (link.clone(), address)).collect();
    let mut lines: Vec<String> =
        seen.proxies.difference(&keep).map(|(link, address)| format!("neigh del proxy {address} dev {link}")).collect();
    if config.public_link.is_some() {
        let stale = seen.routes.iter().filter(|net| !keep.iter().any(|(_, ip)| IpNet::from(*ip) == **net));
        lines.extend(stale.map(|net| format!("route del {net} dev {} proto {ROUTE_PROTOCOL}", names.host_link())));
    }
    ip_batch(&lines)
}

/// What came of offering addresses.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    /// What this host answers for from now on.
    pub(crate) fresh: Vec<IpAddr>,
    /// What it does not answer for, and why.
    pub(crate) held: BTreeMap<IpAddr, String>,
}

/// Answers for what is wanted whose way stands by now (that of the devices `standing`), and says so. What was answered for
/// before stays. In the host's namespace.
pub(crate) fn offer(
    want: &EdgeWant,
    standing: &BTreeSet<String>,
    config: &NetConfig,
    names: &Names,
) -> Result<Offered, NetworkError> {
    let Some(link) = &config.public_link else { return Ok(Offered::default()) };
    let seen = see(config, names)?;
    sysctls(&[
        (format!("ipv4/conf/{link}/forwarding"), "1"),
        // Else the kernel waits before it answers for another.
        (format!("ipv4/neigh/{link}/proxy_delay"), "0"),
    ])?;
    if !want.public6.is_empty() {
        sysctls(&[
            (format!("ipv6/conf/{link}/proxy_ndp"), "1"),
            (format!("ipv6/neigh/{link}/proxy_delay"), "0"),
            (format!("ipv6/conf/{link}/forwarding"), "1"),
        ])?;
    }
    let answered = |address: &IpAddr| seen.proxies.contains(&(link.clone(), *address));
    let stands = |address: &IpAddr| want.device(*address).is_some_and(|device| standing.contains(device));
    let mut fresh: Vec<IpAddr> = wanted(want, config).map(|(_, address)| address).collect();
    fresh.retain(|address| !answered(address) && stands(address));
    let held = ask(config, link, &fresh);
    fresh.retain(|address| !held.contains_key(address));
    let mut lines = Vec::new();
    for (_, address) in wanted(want, config) {
        let ours = answered(&address) || fresh.contains(&address);
        if ours && !seen.routes.contains(&IpNet::from(address)) {
            lines.push(way(address, &names.host_link()));
        }
    }
    lines.extend(fresh.iter().map(|address| format!("neigh replace proxy {address} dev {link}")));
    ip_batch(&lines)?;
    say(config, link, &fresh);
    Ok(Offered { fresh, held })
}

/// Which of these addresses other hosts answer for.
fn ask(config: &NetConfig, link: &str, fresh: &[IpAddr]) -> BTreeMap<IpAddr, String> {
    if fresh.is_empty() {
        return BTreeMap::new();
    }
    let held = Link::open(link, config.vtep).and_then(|mut link| link.held(fresh));
    let held = held.unwrap_or_else(|error| {
        // A link that is down has nobody who could answer.
        warn!(%error, "whether other hosts answer for public addresses is not known");
        BTreeMap::new()
    });
    let why = |mac| format!("another host ({mac}) answers for it on {link}; this one begins when that one has ended");
    held.into_iter().map(|(address, mac)| (address, why(mac))).collect()
}

/// Says once more, some time later, what is new: whoever had an address before may have answered for it meanwhile. Not what
/// has gone again by then, and not after the engine has ended (`held`).
pub(crate) fn say_again(config: &NetConfig, fresh: Vec<IpAddr>, held: Weak<Mutex<BTreeSet<IpAddr>>>) {
    let (Some(link), false) = (config.public_link.clone(), fresh.is_empty()) else { return };
    let (host, config) = (config.host_netns.clone(), config.clone());
    tokio::spawn(async move {
        tokio::time::sleep(ANNOUNCE_INTERVAL).await;
        let Some(held) = held.upgrade() else { return };
        let job = move || {
            // Nothing is withdrawn while this is said.
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let still: Vec<IpAddr> = fresh.into_iter().filter(|address| held.contains(address)).collect();
            say(&config, &link, &still);
            Ok(())
        };
        drop(inside(host.as_deref(), job).await);
    });
}

fn say(config: &NetConfig, link: &str, addresses: &[IpAddr]) {
    if addresses.is_empty() {
        return;
    }
    if let Err(error) = Link::open(link, config.vtep).and_then(|mut link| link.announce(addresses)) {
        // Whoever has learnt another place asks again by itself, some time later.
        warn!(%error, "public addresses could not be announced");
    }
}

/// The public link must be there from the start: a name that is mistyped is said at once.
pub(crate) fn check(config: &NetConfig) -> Result<(), NetworkError> {
    let Some(link) = &config.public_link else { return Ok(()) };
    let there = || config.host_netns.as_deref().map_or(Ok(()), ns::enter).map(|()| observe::has(link));
    // On a thread of its own, which may go into the host's namespace.
    let there = std::thread::scope(|scope| scope.spawn(there).join());
    if there.map_err(|_| failed("a network job died"))?? {
        return Ok(());
    }
    let text = format!("this host has no network interface {link} to show public addresses on; `ip link` lists them");
    Err(NetworkError::Invalid(text))
}
