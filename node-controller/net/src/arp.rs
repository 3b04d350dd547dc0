//! ARP about public addresses on the host's own network (RFC 826): what announces them, and what asks whether another host
//! still answers for them.

use pnet_datalink::MacAddr;
use std::net::Ipv4Addr;

/// Ethernet type of ARP.
const ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet and IPv4, with addresses of six bytes and four.
const KINDS: [u8; 6] = [0, 1, 0x08, 0, 6, 4];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// Length of an Ethernet header and of an ARP packet about IPv4.
const FRAME: usize = 14 + 28;

/// Who has this address? `source`: who asks.
pub(crate) fn question(own: MacAddr, source: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    packet(own, REQUEST, source, address)
}

/// That this address is here: a question and an answer, as some learn from the one, some from the other.
pub(crate) fn announcements(own: MacAddr, address: Ipv4Addr) -> [Vec<u8>; 2] {
    [REQUEST, REPLY].map(|operation| packet(own, operation, address, address))
}

/// An ARP packet for everybody. In an announcement sender and target are the same (RFC 5227, 3).
fn packet(own: MacAddr, operation: u8, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let (mac, source, target) = (own.octets(), source.octets(), target.octets());
    let parts: [&[u8]; 9] = [&[0xff; 6], &mac, &ARP, &KINDS, &[0, operation], &mac, &source, &[0xff; 6], &target];
    parts.concat()
}

/// What the sender of an ARP packet says of itself; `None` for other frames.
pub(crate) fn sender(frame: &[u8]) -> Option<(MacAddr, Ipv4Addr)> {
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
