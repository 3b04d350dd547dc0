//! Frames about public addresses on the host's own network: announcing them, and asking whether another host still answers for
//! them. By ARP of IPv4, by neighbour discovery of IPv6.

use crate::exec::failed;
use crate::model::Mac;
use crate::{arp, nd};
use mallee_node_core::network::NetworkError;
use pnet_datalink::{Channel, Config, DataLinkReceiver, DataLinkSender, MacAddr, NetworkInterface};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};
use tracing::debug;

/// How long a question waits for its answer. Our own hosts answer at once; RFC 5227 waits for seconds, for whatever a
/// network may hold.
const ROUND: Duration = Duration::from_millis(60);
/// As often an address is asked for; a host that is told to let go at the same moment has done so by then.
const ROUNDS: u32 = 5;
/// As often in a row nobody answers for what is nobody's.
const SILENT: u32 = 2;

/// A device, opened to send and receive frames.
pub(crate) struct Link {
    name: String,
    own: MacAddr,
    /// Whom questions by ARP are from.
    source: Ipv4Addr,
    /// Whom announcements by neighbour discovery are from.
    link_local: Ipv6Addr,
    send: Box<dyn DataLinkSender>,
    receive: Box<dyn DataLinkReceiver>,
}

impl Link {
    /// Opens a device of the namespace that the thread is in. Questions are from the device's first IPv4 address, or, where
    /// it has none, from `source`: a proxy answers no question that is from nobody.
    pub(crate) fn open(name: &str, source: Ipv4Addr) -> Result<Self, NetworkError> {
        let unknown = || failed(format!("no network interface {name} with a hardware address"));
        let device: NetworkInterface =
            pnet_datalink::interfaces().into_iter().find(|device| device.name == name).ok_or_else(unknown)?;
        let own = device.mac.ok_or_else(unknown)?;
        let first = device.ips.iter().find_map(|net| match net.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let link_local = device.ips.iter().find_map(|net| match net.ip() {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(ip),
            IpAddr::V6(_) | IpAddr::V4(_) => None,
        });
        // Whoever hears it looks at no more of it than that it is of the link.
        let link_local = link_local.unwrap_or_else(|| Mac(own.octets()).link_local());
        let config = Config { read_timeout: Some(ROUND / 4), promiscuous: false, ..Config::default() };
        let Ok(Channel::Ethernet(send, receive)) = pnet_datalink::channel(&device, config) else {
            return Err(failed(format!("cannot send frames on {name}")));
        };
        Ok(Self { name: name.to_owned(), own, source: first.unwrap_or(source), link_local, send, receive })
    }

    fn question(&self, address: IpAddr) -> Vec<u8> {
        match address {
            IpAddr::V4(ip) => arp::question(self.own, self.source, ip),
            IpAddr::V6(ip) => nd::question(self.own, ip),
        }
    }

    fn announcements(&self, address: IpAddr) -> Vec<Vec<u8>> {
        match address {
            IpAddr::V4(ip) => arp::announcements(self.own, ip).into(),
            IpAddr::V6(ip) => vec![nd::announcement(self.own, self.link_local, ip)],
        }
    }

    fn send(&mut self, frame: &[u8], what: &str, address: IpAddr) -> Result<(), NetworkError> {
        let name = &self.name;
        match self.send.send_to(frame, None) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(failed(format!("{what} {address} on {name}: {error}"))),
            None => Err(failed(format!("{what} {address} on {name}: no room"))),
        }
    }

    /// Tells the network that these addresses are here.
    pub(crate) fn announce(&mut self, addresses: &[IpAddr]) -> Result<(), NetworkError> {
        for address in addresses {
            debug!(%address, link = self.name, "announcing");
            for frame in self.announcements(*address) {
                self.send(&frame, "announce", *address)?;
            }
        }
        Ok(())
    }

    /// Which of these addresses others answer for, and who. Takes two rounds where nobody does, at most five.
    pub(crate) fn held(&mut self, addresses: &[IpAddr]) -> Result<BTreeMap<IpAddr, MacAddr>, NetworkError> {
        let mut open: BTreeMap<IpAddr, (u32, Option<MacAddr>)> =
            addresses.iter().map(|address| (*address, (0, None))).collect();
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            for address in open.keys() {
                let frame = self.question(*address);
                self.send(&frame, "ask for", *address)?;
            }
            let said = self.listen(&open.keys().copied().collect())?;
            open.retain(|address, (silent, last)| {
                *last = said.get(address).copied();
                *silent = if last.is_some() { 0 } else { *silent + 1 };
                *silent < SILENT
            });
        }
        Ok(open.into_iter().filter_map(|(address, (_, last))| Some((address, last?))).collect())
    }

    /// Who says in this round that these addresses are theirs.
    fn listen(&mut self, about: &BTreeSet<IpAddr>) -> Result<BTreeMap<IpAddr, MacAddr>, NetworkError> {
        let until = Instant::now() + ROUND;
        let mut said = BTreeMap::new();
        // Answered or not, the round is as long: a host that lets go meanwhile is given its time.
        while Instant::now() < until {
            match self.receive.next() {
                Ok(frame) => {
                    if let Some((mac, address)) = sender(frame)
                        && mac != self.own
                        && about.contains(&address)
                    {
                        said.insert(address, mac);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                Err(error) => return Err(failed(format!("listen on {}: {error}", self.name))),
            }
        }
        Ok(said)
    }
}

/// Who says in a frame that an address is theirs, and which.
fn sender(frame: &[u8]) -> Option<(MacAddr, IpAddr)> {
    let four = || arp::sender(frame).map(|(mac, ip)| (mac, ip.into()));
    four().or_else(|| nd::sender(frame).map(|(mac, ip)| (mac, ip.into())))
}
