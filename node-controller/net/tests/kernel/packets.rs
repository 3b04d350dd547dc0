//! Packets made byte by byte, for what a kernel would not send.

use crate::lab::within;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Sends a whole packet out of a guest's `eth0`, or where its routes lead.
pub fn send_raw(guest: &str, to: &str, packet: &[u8]) {
    let to: IpAddr = to.parse().unwrap();
    let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    within(guest, || {
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        // With this protocol the kernel takes the header as it is.
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(255))).unwrap();
        let to = match to {
            IpAddr::V4(ip) => SocketAddr::from((ip, 0)),
            IpAddr::V6(ip) => {
                let on_link = ip.is_multicast() || ip.is_unicast_link_local();
                SocketAddrV6::new(ip, 0, 0, if on_link { index } else { 0 }).into()
            }
        };
        socket.send_to(packet, &to.into()).unwrap();
    });
}

/// A packet with this next header.
pub fn v6(source: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x60, 0, 0, 0][..], &len, &[next, hops], &source.octets(), &to.octets(), payload].concat()
}

/// A piece of a UDP datagram, its place counted in eight bytes.
pub fn v4(source: Ipv4Addr, to: Ipv4Addr, id: u16, place: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 20).unwrap().to_be_bytes();
    let start = [&[0x45, 0][..], &len, &id.to_be_bytes(), &place.to_be_bytes(), &[64, 17, 0, 0]].concat();
    [&start[..], &source.octets(), &to.octets(), payload].concat()
}

/// A message of this protocol with its checksum, which stands so many bytes into it.
pub fn with_sum(source: Ipv6Addr, to: Ipv6Addr, protocol: u8, at: usize, message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut all = [&source.octets()[..], &to.octets(), &len, &[0, 0, 0, protocol], message].concat();
    all.resize(all.len().next_multiple_of(2), 0);
    let mut sum: u32 = all.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let mut message = message.to_vec();
    message[at..at + 2].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    message
}

/// An ICMPv6 message as a packet.
pub fn icmp6(source: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    v6(source, to, 58, 255, &with_sum(source, to, 58, 2, message))
}
