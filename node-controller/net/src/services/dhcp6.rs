//! DHCPv6: every guest gets the addresses its port has. As with DHCPv4 there is no pool and no lease to keep.

use super::{Served, ask6};
use crate::exec::inside;
use crate::model::{Port, Vpc};
use crate::observe;
use crate::plan::{GATEWAY_MAC, GATEWAY6};
use dhcproto::Encodable as _;
use dhcproto::v6::{DhcpOption, DhcpOptions, IAAddr, IANA, IAPD, Message, MessageType, OptionCode, Status, StatusCode};
use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket as StdSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::{debug, warn};

/// Lease time, seconds, as of DHCPv4.
const LEASE_SECONDS: u32 = 3600;
/// Longest message taken.
const MAX_MESSAGE: usize = 1500;
/// Room for the ancillary data of one packet.
const MAX_CONTROL: usize = 128;
/// Most IAs of one message that are answered.
const MAX_IAS: usize = 8;

/// The socket, made in the VPC's namespace.
pub(super) fn open() -> std::io::Result<StdSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6RecvPacketInfo, &true)?;
    socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 547, 0, 0).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The router's name to clients: its MAC.
fn server_id() -> Vec<u8> {
    [&[0, 3, 0, 1][..], &GATEWAY_MAC.0].concat()
}

fn status(status: Status) -> DhcpOption {
    DhcpOption::StatusCode(StatusCode { status, msg: String::new() })
}

fn address(addr: Ipv6Addr, life: u32) -> DhcpOption {
    DhcpOption::IAAddr(IAAddr { addr, preferred_life: life, valid_life: life, opts: DhcpOptions::default() })
}

/// The answer to a message of this port's guest; `None`: none.
pub(super) fn reply(vpc: &Vpc, port: &Port, request: &Message) -> Option<Message> {
    if port.ipv6.is_empty() {
        return None;
    }
    let opts = request.opts();
    let chosen = match opts.get(OptionCode::ServerId) {
        Some(DhcpOption::ServerId(id)) => Some(id == &server_id()),
        _ => None,
    };
    let rapid = opts.get(OptionCode::RapidCommit).is_some();
    // Of some messages it must be said whom they are for, of some it must not (RFC 8415, 16).
    let (kind, gives) = match (request.msg_type(), chosen) {
        (MessageType::Solicit, None) if rapid => (MessageType::Reply, true),
        (MessageType::Solicit, None) => (MessageType::Advertise, true),
        (MessageType::Request | MessageType::Renew, Some(true)) | (MessageType::Rebind, None) => {
            (MessageType::Reply, true)
        }
        (MessageType::Confirm, None)
        | (MessageType::Release | MessageType::Decline, Some(true))
        | (MessageType::InformationRequest, None | Some(true)) => (MessageType::Reply, false),
        _ => return None,
    };
    let mut message = Message::new_with_id(kind, request.xid());
    match opts.get(OptionCode::ClientId) {
        Some(client @ DhcpOption::ClientId(_)) => message.opts_mut().insert(client.clone()),
        _ if request.msg_type() == MessageType::InformationRequest => {}
        _ => return None,
    }
    message.opts_mut().insert(DhcpOption::ServerId(server_id()));
    if kind == MessageType::Reply && gives && rapid && request.msg_type() == MessageType::Solicit {
        message.opts_mut().insert(DhcpOption::RapidCommit);
    }
    match request.msg_type() {
        _ if gives => give(&mut message, port, opts),
        // Of nothing it cannot be said where it is (RFC 8415, 18.3.3), and who asks for no address names none (16.12).
        MessageType::Confirm if asked(opts).flat_map(|ia| told(&ia.opts)).next().is_none() => return None,
        MessageType::InformationRequest if wants_any(opts) => return None,
        MessageType::Confirm => {
            let on_link = asked(opts).flat_map(|ia| told(&ia.opts)).all(|ip| port.ipv6.contains(&ip));
            message.opts_mut().insert(status(if on_link { Status::Success } else { Status::NotOnLink }));
        }
        MessageType::Release | MessageType::Decline => message.opts_mut().insert(status(Status::Success)),
        _ => {}
    }
    // Of one domain only DHCPv4 has an option of its own.
    let one = vpc.dhcp.domain_name.iter().filter(|_| vpc.dhcp.search.is_empty());
    let search: Vec<_> = vpc.dhcp.search.iter().cloned().chain(one.filter_map(|name| name.parse().ok())).collect();
    if !search.is_empty() {
        message.opts_mut().insert(DhcpOption::DomainSearchList(search));
    }
    Some(message)
}

/// The identity associations for addresses that a message has.
fn asked(opts: &DhcpOptions) -> impl Iterator<Item = &IANA> {
    let all = opts.iter().filter_map(|option| if let DhcpOption::IANA(ia) = option { Some(ia) } else { None });
    all.take(MAX_IAS)
}

/// Whether a message has associations, of whatever kind.
fn wants_any(opts: &DhcpOptions) -> bool {
    let kinds = [OptionCode::IANA, OptionCode::IATA, OptionCode::IAPD];
    kinds.into_iter().any(|kind| opts.get(kind).is_some())
}

/// The addresses that an association names.
fn told(opts: &DhcpOptions) -> impl Iterator<Item = Ipv6Addr> + '_ {
    opts.iter().filter_map(|option| if let DhcpOption::IAAddr(of) = option { Some(of.addr) } else { None })
}

/// The first association gets all of the port's addresses, and what is none of them ends. There are no prefixes.
fn give(message: &mut Message, port: &Port, opts: &DhcpOptions) {
    for (n, ia) in asked(opts).enumerate() {
        let mut inner = DhcpOptions::new();
        let own = port.ipv6.iter().filter(|_| n == 0);
        own.clone().for_each(|ip| inner.insert(address(*ip, LEASE_SECONDS)));
        told(&ia.opts).filter(|ip| !own.clone().any(|own| own == ip)).for_each(|ip| inner.insert(address(ip, 0)));
        if n > 0 {
            inner.insert(status(Status::NoAddrsAvail));
        }
        let (t1, t2) = (LEASE_SECONDS / 2, LEASE_SECONDS / 8 * 7);
        message.opts_mut().insert(DhcpOption::IANA(IANA { id: ia.id, t1, t2, opts: inner }));
    }
    let prefixes = opts.iter().filter_map(|option| if let DhcpOption::IAPD(ia) = option { Some(ia.id) } else { None });
    for id in prefixes.take(MAX_IAS) {
        let mut inner = DhcpOptions::new();
        inner.insert(status(Status::NoPrefixAvail));
        message.opts_mut().insert(DhcpOption::IAPD(IAPD { id, t1: 0, t2: 0, opts: inner }));
    }
}

/// Serves one VPC until its task is ended.
pub(super) async fn serve(socket: UdpSocket, served: Arc<Served>) {
    let mut buffer = vec![0u8; MAX_MESSAGE];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer)).await;
        let (len, from, device) = match received {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "dhcpv6 socket");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        let Some(from) = from else { continue };
        let Some(request) = buffer.get(..len).and_then(ask6::read) else { continue };
        let vpc = served.vpc();
        // Whose a link-local address is says the device only: guests choose them.
        let name = inside(Some(&vpc.ns), move || Ok(observe::name(device))).await.ok().flatten();
        let Some(port) = name.and_then(|name| vpc.ports.get(&name)) else { continue };
        let Some(message) = reply(&vpc, port, &request) else { continue };
        let Ok(bytes) = message.to_vec() else { continue };
        debug!(vpc = %vpc.id, to = %from, kind = ?message.msg_type(), "dhcpv6");
        if let Err(error) = send(&socket, &bytes, from, device) {
            warn!(vpc = %vpc.id, to = %from, %error, "dhcpv6 answer not sent");
        }
    }
}

/// One message, who sent it, and the index of the device it came in by.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<(usize, Option<Ipv6Addr>, u32)> {
    let mut control = vec![0u8; MAX_CONTROL];
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let device = message.cmsgs()?.find_map(|c| match c {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_ifindex),
        _ => None,
    });
    Ok((message.bytes, message.address.map(|from| from.ip()), device.unwrap_or(0)))
}

/// Sends out of the device the question came in by, from the router's address.
fn send(socket: &UdpSocket, bytes: &[u8], to: Ipv6Addr, device: u32) -> std::io::Result<()> {
    let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: GATEWAY6.octets() }, ipi6_ifindex: device };
    let to = SockaddrIn6::from(SocketAddrV6::new(to, 546, 0, device));
    let control = [ControlMessage::Ipv6PacketInfo(&info)];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
    Ok(())
}

#[cfg(test)]
#[path = "dhcp6_tests.rs"]
mod tests;
