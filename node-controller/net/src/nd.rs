//! Neighbour discovery about IPv6 addresses on the host's own network (RFC 4861): what announces them, and what asks whether
//! another host still answers for them.

use pnet_datalink::MacAddr;
use std::net::Ipv6Addr;

/// Ethernet type of IPv6, and IPv6's number of ICMPv6.
const IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
/// Types of ICMPv6.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// The option that names the MAC of an advertised address.
const TARGET_MAC: u8 = 2;
/// "Override": whoever has learnt another MAC forgets it.
const OVERRIDE: u8 = 0x20;
/// Only what has not been forwarded has it: nobody from beyond the link speaks of neighbours.
const HOPS: u8 = 255;
/// All nodes of a link.
const ALL: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Lengths of the headers of Ethernet and IPv6, and of an advertisement without options.
const ETHERNET: usize = 14;
const HEADER: usize = 40;
const MESSAGE: usize = 24;

/// Who has this address? From nobody, as by those who make sure that an address is free (RFC 4862, 5.4): the answer is for all.
pub(crate) fn question(own: MacAddr, address: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = address.octets();
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    packet(own, Ipv6Addr::UNSPECIFIED, to, &[&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0], &address.octets()])
}

/// That this address is here: unasked, for all.
pub(crate) fn announcement(own: MacAddr, source: Ipv6Addr, address: Ipv6Addr) -> Vec<u8> {
    let message: [&[u8]; 4] =
        [&[ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0], &address.octets(), &[TARGET_MAC, 1], &own.octets()];
    packet(own, source, ALL, &message)
}

/// A frame with this message, its checksum still 0.
fn packet(own: MacAddr, source: Ipv6Addr, to: Ipv6Addr, message: &[&[u8]]) -> Vec<u8> {
    let mut message = message.concat();
    let length = u16::try_from(message.len()).unwrap_or_default();
    let pseudo: [&[u8]; 4] = [&source.octets(), &to.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, ICMPV6]];
    let sum = checksum(&[&pseudo.concat(), message.as_slice()].concat());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let [.., a, b, c, d] = to.octets();
    let parts: [&[u8]; 9] = [
        &[0x33, 0x33, a, b, c, d],
        &own.octets(),
        &IPV6,
        &[0x60, 0, 0, 0],
        &length.to_be_bytes(),
        &[ICMPV6, HOPS],
        &source.octets(),
        &to.octets(),
        &message,
    ];
    parts.concat()
}

/// Of the Internet (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | two.get(1).copied().map_or(0, u32::from));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap_or_default()
}

/// Who advertises which address in a frame; `None` for other frames.
pub(crate) fn sender(frame: &[u8]) -> Option<(MacAddr, Ipv6Addr)> {
    let frame = frame.get(..ETHERNET + HEADER + MESSAGE)?;
    let (header, message) = (&frame[ETHERNET..ETHERNET + HEADER], &frame[ETHERNET + HEADER..]);
    if frame[12..14] != IPV6 || header[6..8] != [ICMPV6, HOPS] || message[..2] != [ADVERTISEMENT, 0] {
        return None;
    }
    let mac: [u8; 6] = frame[6..12].try_into().ok()?;
    let ip: [u8; 16] = message[8..24].try_into().ok()?;
    Some((MacAddr::from(mac), Ipv6Addr::from(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);

    #[test]
    fn an_announcement_is_for_all_and_read_as_what_it_is() {
        let (source, address) = ("fe80::9".parse().unwrap(), "2001:db8::a:b:c".parse().unwrap());
        let frame = announcement(OWN, source, address);
        assert_eq!(frame[..14], [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x86, 0xdd]);
        assert_eq!(frame.len(), 14 + 40 + 32);
        assert_eq!(frame[18..22], [0, 32, 58, 255]);
        assert_eq!(sender(&frame), Some((OWN, address)));
        assert_eq!(sender(&frame[..14 + 40 + 23]), None, "cut short");
        let mut forwarded = frame;
        forwarded[21] = 254;
        assert_eq!(sender(&forwarded), None, "from beyond the link");
    }

    #[test]
    fn a_question_goes_to_the_group_of_the_address_and_is_no_answer() {
        let frame = question(OWN, "2001:db8::a:b1b2:c3c4".parse().unwrap());
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0xb2, 0xc3, 0xc4]);
        assert_eq!(frame[22..38], [0; 16], "from nobody");
        assert_eq!(sender(&frame), None);
    }

    #[test]
    fn the_sum_of_a_packet_with_its_checksum_is_nothing() {
        let frame = announcement(OWN, "fe80::9".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let whole = [&frame[22..54], &[0, 0, 0, 32, 0, 0, 0, ICMPV6], &frame[54..]].concat();
        assert_eq!(checksum(&whole), 0);
        assert_eq!(checksum(&[0x01]), !0x0100);
    }
}
