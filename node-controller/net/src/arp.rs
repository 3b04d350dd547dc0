//! ARP about public addresses on the host's own network (RFC 826): announcing them, and asking whether another host still
//! answers for them.

use crate::exec::failed;
use mallee_node_core::network::NetworkError;
use pnet_datalink::{Channel, Config, DataLinkReceiver, DataLinkSender, MacAddr, NetworkInterface};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use tracing::debug;

/// Ethernet type of ARP.
const ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet and IPv4, with addresses of six bytes and four.
const KINDS: [u8; 6] = [0, 1, 0x08, 0, 6, 4];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// Length of an Ethernet header and of an ARP packet about IPv4.
const FRAME: usize = 14 + 28;
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
    /// Whom questions are from.
    source: Ipv4Addr,
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
        let config = Config { read_timeout: Some(ROUND / 4), promiscuous: false, ..Config::default() };
        let Ok(Channel::Ethernet(send, receive)) = pnet_datalink::channel(&device, config) else {
            return Err(failed(format!("cannot send frames on {name}")));
        };
        Ok(Self { name: name.to_owned(), own, source: first.unwrap_or(source), send, receive })
    }

    fn send(&mut self, frame: &[u8], what: &str, address: Ipv4Addr) -> Result<(), NetworkError> {
        let name = &self.name;
        match self.send.send_to(frame, None) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(failed(format!("{what} {address} on {name}: {error}"))),
            None => Err(failed(format!("{what} {address} on {name}: no room"))),
        }
    }

    /// Tells the network that these addresses are here: a question and an answer, as some learn from the one, some from
    /// the other.
    pub(crate) fn announce(&mut self, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
        for address in addresses {
            debug!(%address, link = self.name, "announcing");
            for operation in [REQUEST, REPLY] {
                let frame = packet(self.own, operation, *address, *address);
                self.send(&frame, "announce", *address)?;
            }
        }
        Ok(())
    }

    /// Which of these addresses others answer for, and who. Takes two rounds where nobody does, at most five.
    pub(crate) fn held(&mut self, addresses: &[Ipv4Addr]) -> Result<BTreeMap<Ipv4Addr, MacAddr>, NetworkError> {
        let mut open: BTreeMap<Ipv4Addr, (u32, Option<MacAddr>)> =
            addresses.iter().map(|address| (*address, (0, None))).collect();
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            for address in open.keys() {
                let frame = packet(self.own, REQUEST, self.source, *address);
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
    fn listen(&mut self, about: &BTreeSet<Ipv4Addr>) -> Result<BTreeMap<Ipv4Addr, MacAddr>, NetworkError> {
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

/// An ARP packet for everybody. In an announcement sender and target are the same (RFC 5227, 3).
fn packet(own: MacAddr, operation: u8, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let (mac, source, target) = (own.octets(), source.octets(), target.octets());
    let parts: [&[u8]; 9] = [&[0xff; 6], &mac, &ARP, &KINDS, &[0, operation], &mac, &source, &[0xff; 6], &target];
    parts.concat()
}

/// What the sender of an ARP packet says of itself; `None` for other frames.
fn sender(frame: &[u8]) -> Option<(MacAddr, Ipv4Addr)> {
    let frame = frame.get(..FRAME)?;
    if frame[12..14] != ARP || frame[14..20] != KINDS {
        return None;
    }
    let mac: [u8; 6] = frame[22..28].try_into().ok()?;
    let ip: [u8; 4] = frame[28..32].try_into().ok()?;
    Some((MacAddr::from(mac), Ipv4Addr::from(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);

    #[test]
    fn an_announcement_is_about_itself_and_for_everybody() {
        let address = Ipv4Addr::new(192, 0, 2, 7);
        let frame = packet(OWN, REQUEST, address, address);
        assert_eq!(frame.len(), FRAME);
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6]);
        assert_eq!(frame[14..22], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(frame[28..32], frame[38..42], "sender and target are the same address");
    }

    #[test]
    fn what_a_sender_says_is_read_from_arp_only() {
        let (own, other) = (Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 8));
        let frame = packet(OWN, REPLY, own, other);
        assert_eq!(sender(&frame), Some((OWN, own)));
        assert_eq!(sender(&[&frame[..], &[0; 18]].concat()), Some((OWN, own)), "padded to the least of Ethernet");
        assert_eq!(sender(&frame[..FRAME - 1]), None);
        let mut ip = frame;
        ip[12] = 0x86;
        assert_eq!(sender(&ip), None);
    }
}
