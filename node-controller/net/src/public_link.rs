//! Public addresses on the host's own network: with several hosts, each answers there for the addresses of its instances, and
//! for no others. Without a public link the host keeps the whole pool to itself (see `edge`).
//!
//! The host answers ARP for an address in its own name (proxy ARP, RFC 1027), and says so unasked when it begins to
//! (RFC 5227, 3): whoever had learnt another place forgets it. It begins when the way to the instance stands, and ends before
//! that goes.

use crate::config::NetConfig;
use crate::edge::{EdgeWant, HOST_SOURCE, ROUTE_PROTOCOL};
use crate::exec::{failed, inside, ip_batch, run, sysctls};
use crate::names::Names;
use crate::ns;
use crate::observe;
use crate::plan::DOWN_HOP;
use ipnet::Ipv4Net;
use mallee_node_core::network::NetworkError;
use pnet_datalink::{Channel, MacAddr, NetworkInterface};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;
use tracing::{debug, warn};

/// Ethernet type of ARP.
const ARP: [u8; 2] = [0x08, 0x06];
/// Between the two announcements of an address (RFC 5227: ANNOUNCE_INTERVAL).
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// A question and an answer: some learn from the one, some from the other.
const OPERATIONS: [u8; 2] = [1, 2];

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

/// Answers for what is wanted, whose way stands by now, and says so. Which of it is new. In the host's namespace.
pub(crate) fn offer(want: &EdgeWant, config: &NetConfig, names: &Names) -> Result<Vec<Ipv4Addr>, NetworkError> {
    let Some(link) = &config.public_link else { return Ok(Vec::new()) };
    let seen = see(config, names)?;
    sysctls(&[
        (format!("ipv4/conf/{link}/forwarding"), "1"),
        // Else the kernel waits before it answers for another.
        (format!("ipv4/neigh/{link}/proxy_delay"), "0"),
    ])?;
    let mut lines = Vec::new();
    let mut fresh = Vec::new();
    for (link, address) in wanted(want, config) {
        if !seen.routes.contains(&Ipv4Net::from(address)) {
            let edge = names.host_link();
            lines.push(format!(
                "route replace {address} via {DOWN_HOP} dev {edge} onlink src {HOST_SOURCE} proto {ROUTE_PROTOCOL}"
            ));
        }
        if !seen.proxies.contains(&(link.clone(), address)) {
            lines.push(format!("neigh replace proxy {address} dev {link}"));
            fresh.push(address);
        }
    }
    ip_batch(&lines)?;
    say(link, &fresh);
    Ok(fresh)
}

/// Says once more, some time later, what is new: whoever had an address before may have answered for it meanwhile. Not what
/// has gone again by then, and not after the engine has ended (`held`).
pub(crate) fn say_again(config: &NetConfig, fresh: Vec<Ipv4Addr>, held: Weak<Mutex<BTreeSet<Ipv4Addr>>>) {
    let (Some(link), false) = (config.public_link.clone(), fresh.is_empty()) else { return };
    let host = config.host_netns.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ANNOUNCE_INTERVAL).await;
        let Some(held) = held.upgrade() else { return };
        let job = move || {
            // Nothing is withdrawn while this is said.
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let still: Vec<Ipv4Addr> = fresh.into_iter().filter(|address| held.contains(address)).collect();
            say(&link, &still);
            Ok(())
        };
        drop(inside(host.as_deref(), job).await);
    });
}

fn say(link: &str, addresses: &[Ipv4Addr]) {
    if let Err(error) = announce(link, addresses) {
        // Whoever has learnt another place asks again by itself, some time later.
        warn!(%error, "public addresses could not be announced");
    }
}

/// Tells the network of the device that these addresses are here.
fn announce(link: &str, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let unknown = || failed(format!("no network interface {link} with a hardware address"));
    let device: NetworkInterface =
        pnet_datalink::interfaces().into_iter().find(|device| device.name == link).ok_or_else(unknown)?;
    let own = device.mac.ok_or_else(unknown)?;
    let channel = pnet_datalink::channel(&device, pnet_datalink::Config::default());
    let Ok(Channel::Ethernet(mut send, _)) = channel else {
        return Err(failed(format!("cannot send frames on {link}")));
    };
    for address in addresses {
        debug!(%address, link, "announcing");
        for operation in OPERATIONS {
            match send.send_to(&gratuitous(own, *address, operation), None) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(failed(format!("announce {address} on {link}: {error}"))),
                None => return Err(failed(format!("announce {address} on {link}: no room"))),
            }
        }
    }
    Ok(())
}

/// An ARP packet about an address, in which sender and target are the same (RFC 826, RFC 5227).
fn gratuitous(own: MacAddr, address: Ipv4Addr, operation: u8) -> Vec<u8> {
    let (mac, ip) = (own.octets(), address.octets());
    // Ethernet and IPv4, with addresses of six bytes and four.
    let kinds = [0, 1, 0x08, 0, 6, 4, 0, operation];
    let parts: [&[u8]; 8] = [&[0xff; 6], &mac, &ARP, &kinds, &mac, &ip, &[0xff; 6], &ip];
    parts.concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_about_itself_and_for_everybody() {
        let frame = gratuitous(MacAddr::new(2, 0, 0, 0, 0, 9), Ipv4Addr::new(192, 0, 2, 7), 1);
        assert_eq!(frame.len(), 14 + 28);
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6]);
        assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[28..32], frame[38..42], "sender and target are the same address");
    }
}
