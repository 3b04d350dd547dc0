//! Public addresses on the host's own network: with several hosts, each answers there for the addresses of its instances, and
//! for no others. Without a public link the host keeps the whole pool to itself (see `edge`).
//!
//! The host answers ARP for an address in its own name (proxy ARP, RFC 1027), and says so unasked when it begins to
//! (RFC 5227, 3): whoever had learnt another place forgets it. It begins when the way to the instance stands, and ends before
//! that goes. While another host answers for an address it does not begin: one that lost its controllers knows no better, and
//! an address with two hosts would be of use to nobody.

use crate::arp::Link;
use crate::config::NetConfig;
use crate::edge::{EdgeWant, HOST_SOURCE, ROUTE_PROTOCOL};
use crate::exec::{failed, inside, ip_batch, run, sysctls};
use crate::names::Names;
use crate::ns;
use crate::observe;
use crate::plan::DOWN_HOP;
use ipnet::Ipv4Net;
use mallee_node_core::network::NetworkError;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
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
    /// (device, address) that ARP is answered for.
    proxies: BTreeSet<(String, Ipv4Addr)>,
    /// Destinations that our routes lead to the edge.
    routes: BTreeSet<Ipv4Net>,
}

fn see(config: &NetConfig, names: &Names) -> Result<Seen, NetworkError> {
    let link = names.host_link();
    let proxies: Vec<Proxy> =
        observe::typed(observe::parts_of(&run("ip", &["-j", "-4", "neigh", "show", "proxy"], "")?)?.pop())?;
    // Of another device or not: whatever of the pool is answered for is ours.
    let proxies = proxies.into_iter().filter_map(|proxy| Some((proxy.dev, proxy.dst.parse().ok()?)));
    let ours = |address: &Ipv4Addr| config.public_pool.iter().any(|pool| pool.contains(address));
    let mut seen = Seen { proxies: proxies.filter(|(_, address)| ours(address)).collect(), ..Seen::default() };
    if observe::has(&link) {
        let protocol = ROUTE_PROTOCOL.to_string();
        let out = run("ip", &["-j", "-4", "route", "show", "dev", &link, "proto", &protocol], "")?;
        let routes: Vec<Route> = observe::typed(observe::parts_of(&out)?.pop())?;
        let net = |text: &str| text.parse().ok().or_else(|| Some(Ipv4Net::from(text.parse::<Ipv4Addr>().ok()?)));
        seen.routes = routes.iter().filter_map(|route| net(&route.dst)).collect();
    }
    Ok(seen)
}

/// The addresses to answer for, and the device on which; none without a public link.
fn wanted<'a>(want: &'a EdgeWant, config: &'a NetConfig) -> impl Iterator<Item = (&'a String, Ipv4Addr)> {
    config.public_link.iter().flat_map(|link| want.public.keys().map(move |address| (link, *address)))
}

/// Ends answering for what is not wanted any more, and takes away its route: to be done before its way goes. In the host's
/// namespace.
pub(crate) fn withdraw(want: &EdgeWant, config: &NetConfig, names: &Names) -> Result<(), NetworkError> {
    let seen = see(config, names)?;
    let keep: BTreeSet<(String, Ipv4Addr)> =
        wanted(want, config).map(|(link, address)| (link.clone(), address)).collect();
    let mut lines: Vec<String> =
        seen.proxies.difference(&keep).map(|(link, address)| format!("neigh del proxy {address} dev {link}")).collect();
    if config.public_link.is_some() {
        let stale = seen.routes.iter().filter(|net| !keep.iter().any(|(_, ip)| Ipv4Net::from(*ip) == **net));
        lines.extend(stale.map(|net| format!("route del {net} dev {} proto {ROUTE_PROTOCOL}", names.host_link())));
    }
    ip_batch(&lines)
}

/// What came of offering addresses.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    /// What this host answers for from now on.
    pub(crate) fresh: Vec<Ipv4Addr>,
    /// What it does not answer for, and why.
    pub(crate) held: BTreeMap<Ipv4Addr, String>,
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
    let answered = |address: &Ipv4Addr| seen.proxies.contains(&(link.clone(), *address));
    let stands = |address: &Ipv4Addr| want.public.get(address).is_some_and(|device| standing.contains(device));
    let mut fresh: Vec<Ipv4Addr> = wanted(want, config).map(|(_, address)| address).collect();
    fresh.retain(|address| !answered(address) && stands(address));
    let held = ask(config, link, &fresh);
    fresh.retain(|address| !held.contains_key(address));
    let mut lines = Vec::new();
    for (_, address) in wanted(want, config) {
        let ours = answered(&address) || fresh.contains(&address);
        if ours && !seen.routes.contains(&Ipv4Net::from(address)) {
            let edge = names.host_link();
            lines.push(format!(
                "route replace {address} via {DOWN_HOP} dev {edge} onlink src {HOST_SOURCE} proto {ROUTE_PROTOCOL}"
            ));
        }
    }
    lines.extend(fresh.iter().map(|address| format!("neigh replace proxy {address} dev {link}")));
    ip_batch(&lines)?;
    say(config, link, &fresh);
    Ok(Offered { fresh, held })
}

/// Which of these addresses other hosts answer for.
fn ask(config: &NetConfig, link: &str, fresh: &[Ipv4Addr]) -> BTreeMap<Ipv4Addr, String> {
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
pub(crate) fn say_again(config: &NetConfig, fresh: Vec<Ipv4Addr>, held: Weak<Mutex<BTreeSet<Ipv4Addr>>>) {
    let (Some(link), false) = (config.public_link.clone(), fresh.is_empty()) else { return };
    let (host, config) = (config.host_netns.clone(), config.clone());
    tokio::spawn(async move {
        tokio::time::sleep(ANNOUNCE_INTERVAL).await;
        let Some(held) = held.upgrade() else { return };
        let job = move || {
            // Nothing is withdrawn while this is said.
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let still: Vec<Ipv4Addr> = fresh.into_iter().filter(|address| held.contains(address)).collect();
            say(&config, &link, &still);
            Ok(())
        };
        drop(inside(host.as_deref(), job).await);
    });
}

fn say(config: &NetConfig, link: &str, addresses: &[Ipv4Addr]) {
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
