//! DHCPv4: every guest gets the one address its port has. There is no pool and no lease to keep.

use super::Served;
use crate::config::MTU;
use crate::model::{Mac, Port, Vpc};
use crate::nft::METADATA_IP;
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable as _, Decoder, Encodable as _};
use ipnet::Ipv4Net;
use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::{debug, warn};

/// Lease time, seconds. The address never changes; the lease is a heartbeat for changed options.
const LEASE_SECONDS: u32 = 3600;
/// Longest message taken.
const MAX_MESSAGE: usize = 1500;
/// Room for the ancillary data of one packet.
const MAX_CONTROL: usize = 128;

/// What to send where.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) message: Message,
    /// A broadcast, or the guest's address, whose neighbour entry is fixed, so that no question is asked for it.
    pub(super) to: Ipv4Addr,
    pub(super) from: Ipv4Addr,
}

/// A guest's message, with what the answer depends on: the library's reader takes every option apart, and counts on its being
/// long enough.
fn read(bytes: &[u8]) -> Option<Message> {
    /// Bytes before the first option; options that are read, with their length; what is no option, and what ends them.
    const FIXED: usize = 240;
    const READ: [(u8, u8); 3] = [(50, 4), (53, 1), (54, 4)];
    const PAD: u8 = 0;
    const END: u8 = 255;
    let (fixed, mut rest) = bytes.split_at_checked(FIXED)?;
    let mut plain = fixed.to_vec();
    loop {
        match rest {
            [PAD, after @ ..] => rest = after,
            [code, len, after @ ..] if *code != END => {
                let Some((value, after)) = after.split_at_checked((*len).into()) else { break };
                if READ.contains(&(*code, *len)) {
                    plain.extend([*code, *len]);
                    plain.extend(value);
                }
                rest = after;
            }
            _ => break,
        }
    }
    plain.push(END);
    Message::decode(&mut Decoder::new(&plain)).ok()
}

/// The answer to one message; `None`: none. The packet filter made sure that `chaddr` is the sender's own MAC.
pub(super) fn reply(vpc: &Vpc, request: &Message) -> Option<Reply> {
    if request.opcode() != Opcode::BootRequest || request.hlen() != 6 || request.giaddr() != Ipv4Addr::UNSPECIFIED {
        return None;
    }
    let mac = Mac(request.chaddr().get(..6)?.try_into().ok()?);
    let port = vpc.ports.values().find(|port| port.mac == mac)?;
    let gateway = port.subnet.gateway;
    let opts = request.opts();
    let chosen = match opts.get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(id)) => Some(*id),
        _ => None,
    };
    let wanted = match opts.get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(ip)) => *ip,
        _ => request.ciaddr(),
    };
    let kind = match opts.msg_type()? {
        MessageType::Discover => MessageType::Offer,
        // The guest took another server's offer; there is none, but that is its business.
        MessageType::Request if chosen.is_some_and(|id| id != gateway) => return None,
        MessageType::Request if wanted != port.ip => MessageType::Nak,
        MessageType::Request | MessageType::Inform => MessageType::Ack,
        _ => return None,
    };
    let inform = opts.msg_type() == Some(MessageType::Inform);
    let mut message = Message::default();
    message.set_opcode(Opcode::BootReply).set_xid(request.xid()).set_flags(request.flags()).set_chaddr(&mac.0);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    message.opts_mut().insert(DhcpOption::ServerIdentifier(gateway));
    if kind == MessageType::Nak {
        return Some(Reply { message, to: Ipv4Addr::BROADCAST, from: gateway });
    }
    message.set_ciaddr(request.ciaddr());
    if !inform {
        message.set_yiaddr(port.ip);
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(LEASE_SECONDS));
        message.opts_mut().insert(DhcpOption::Renewal(LEASE_SECONDS / 2));
        message.opts_mut().insert(DhcpOption::Rebinding(LEASE_SECONDS / 8 * 7));
    }
    options(&mut message, port, vpc);
    let addressed = request.ciaddr() == port.ip;
    let to = if request.flags().broadcast() && !addressed { Ipv4Addr::BROADCAST } else { port.ip };
    Some(Reply { message, to, from: gateway })
}

fn options(message: &mut Message, port: &Port, vpc: &Vpc) {
    let gateway = port.subnet.gateway;
    let opts = message.opts_mut();
    opts.insert(DhcpOption::SubnetMask(port.subnet.cidr.netmask()));
    opts.insert(DhcpOption::BroadcastAddr(port.subnet.cidr.broadcast()));
    opts.insert(DhcpOption::Router(vec![gateway]));
    let told = &vpc.dhcp;
    let mut servers = |of: fn(Vec<Ipv4Addr>) -> DhcpOption, ips: &[Ipv4Addr]| {
        if !ips.is_empty() {
            opts.insert(of(ips.to_vec()));
        }
    };
    servers(DhcpOption::DomainNameServer, &told.resolvers);
    servers(DhcpOption::NtpServers, &told.time_servers);
    servers(DhcpOption::NetBiosNameServers, &told.netbios_servers);
    if let Some(kind) = told.netbios_node_type {
        opts.insert(DhcpOption::NetBiosNodeType(kind.into()));
    }
    if let Some(name) = &told.domain_name {
        opts.insert(DhcpOption::DomainName(name.clone()));
    }
    // AWS stops at option 15, with spaces in it, which is one odd domain to many clients; this is how RFC 3397 has it.
    if !told.search.is_empty() {
        opts.insert(DhcpOption::DomainSearch(told.search.clone()));
    }
    opts.insert(DhcpOption::InterfaceMtu(u16::try_from(MTU).unwrap_or(u16::MAX)));
    opts.insert(DhcpOption::Hostname(super::dns::host_name(port)));
    // A client that reads this option ignores the plain router option, so the default route is here too (RFC 3442).
    let metadata = Ipv4Net::new_assert(METADATA_IP, 32);
    opts.insert(DhcpOption::ClasslessStaticRoute(vec![(metadata, gateway), (Ipv4Net::default(), gateway)]));
}

/// Serves one VPC until its task is ended.
pub(super) async fn serve(socket: UdpSocket, served: Arc<Served>) {
    let mut buffer = vec![0u8; MAX_MESSAGE];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer)).await;
        let (len, device) = match received {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "dhcp socket");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        let Some(request) = buffer.get(..len).and_then(read) else { continue };
        let vpc = served.vpc();
        let Some(reply) = reply(&vpc, &request) else { continue };
        let Ok(bytes) = reply.message.to_vec() else { continue };
        debug!(vpc = %vpc.id, to = %reply.to, kind = ?reply.message.opts().msg_type(), "dhcp");
        if let Err(error) = send(&socket, &bytes, &reply, device) {
            warn!(vpc = %vpc.id, to = %reply.to, %error, "dhcp answer not sent");
        } else if reply.message.opts().msg_type() == Some(MessageType::Ack)
            && let Some(port) =
                vpc.ports.values().find(|port| port.mac.0 == reply.message.chaddr().get(..6).unwrap_or_default())
        {
            served.shared.metadata.heard(&port.instance_id);
        }
    }
}

/// One message and the index of the device it came in by.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<(usize, i32)> {
    let mut control = vec![0u8; MAX_CONTROL];
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let device = message.cmsgs()?.find_map(|c| match c {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(info.ipi_ifindex),
        _ => None,
    });
    Ok((message.bytes, device.unwrap_or(0)))
}

/// Sends out of the device the question came in by, from the gateway's address.
fn send(socket: &UdpSocket, bytes: &[u8], reply: &Reply, device: i32) -> std::io::Result<()> {
    let info = libc::in_pktinfo {
        ipi_ifindex: device,
        ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(reply.from.octets()) },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let to = SockaddrIn::from(SocketAddrV4::new(reply.to, 68));
    let control = [ControlMessage::Ipv4PacketInfo(&info)];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
    Ok(())
}

#[cfg(test)]
#[path = "dhcp_tests.rs"]
mod tests;
