//! Tells guests of their IPv6 router: when they ask, when they get IPv6, and now and then. Addresses are had by DHCPv6; nothing is on the link but
//! the router, so no prefix is told.

use super::Served;
use crate::config::MTU;
use crate::exec::inside;
use crate::observe;
use crate::plan::{GATEWAY_MAC, GATEWAY6};
use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::collections::BTreeSet;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket as StdSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::{debug, warn};

/// How often guests are told without asking.
const EVERY: Duration = Duration::from_secs(60);
/// For how long they believe it, seconds: while the agent is away, too.
const LIFETIME: u16 = 9000;
/// ICMPv6 types: a guest asks; the answer.
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// Addresses and all else are had by DHCPv6.
const MANAGED_AND_OTHER: u8 = 0xc0;
/// Longest message looked at.
const MAX_MESSAGE: usize = 1500;
/// Room for the ancillary data of one packet.
const MAX_CONTROL: usize = 128;
/// Where guests ask for any DHCPv6 server.
const AGENTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// All nodes of a link.
const ALL: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What the socket hears, as the kernel's filter language says it: questions. Nobody is woken by anything else of ICMPv6 that
/// guests say to their router, which is neither asked for nor limited.
fn questions() -> [SockFilter; 4] {
    /// Loads the byte at an offset of the message; goes on so many steps where it is so or is not; takes so many bytes.
    const LOAD_BYTE: u16 = 0x30;
    const IF_EQUAL: u16 = 0x15;
    const TAKE: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 0),
        SockFilter::new(IF_EQUAL, 0, 1, SOLICITATION.into()),
        SockFilter::new(TAKE, 0, 0, u32::MAX),
        SockFilter::new(TAKE, 0, 0, 0),
    ]
}

/// The socket, made in the VPC's namespace: a raw one, in the type of sockets of datagrams, as which it is waited for.
pub(super) fn open() -> std::io::Result<StdSocket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.attach_filter(&questions())?;
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6RecvPacketInfo, &true)?;
    // Whoever hears of a router from further away than the link does not believe it.
    socket.set_multicast_hops_v6(255)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The socket of DHCPv6, and the devices by which it hears guests that ask for any server. A guest looks for its router first.
pub(super) struct Ears {
    socket: StdSocket,
    devices: BTreeSet<u32>,
}

impl Ears {
    pub(super) const fn new(socket: StdSocket) -> Self {
        Self { socket, devices: BTreeSet::new() }
    }

    /// Hears by this device, whatever has been of it: the kernel forgets where IPv6 was off, and does not say so.
    fn open(&mut self, device: u32) {
        self.close(device);
        match self.socket.join_multicast_v6(&AGENTS, device) {
            Ok(()) => drop(self.devices.insert(device)),
            // Gone meanwhile.
            Err(error) => debug!(device, %error, "not heard"),
        }
    }

    fn close(&mut self, device: u32) {
        if self.devices.remove(&device)
            && let Err(error) = self.socket.leave_multicast_v6(&AGENTS, device)
        {
            debug!(device, %error, "was not heard");
        }
    }

    /// Those of these devices by which it does not hear yet.
    fn new_of(&self, devices: Vec<u32>) -> Vec<u32> {
        devices.into_iter().filter(|device| !self.devices.contains(device)).collect()
    }

    /// Of devices that are gone nothing stays.
    fn keep_only(&mut self, devices: &[u32]) {
        let gone: Vec<u32> = self.devices.iter().filter(|device| !devices.contains(device)).copied().collect();
        gone.into_iter().for_each(|device| self.close(device));
    }
}

/// What is told; the kernel adds the checksum.
fn advertisement() -> Vec<u8> {
    let [high, low] = LIFETIME.to_be_bytes();
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 64, MANAGED_AND_OTHER, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
    // The router's own MAC, and the MTU.
    message.extend([1, 1]);
    message.extend(GATEWAY_MAC.0);
    message.extend([5, 1, 0, 0]);
    message.extend(MTU.to_be_bytes());
    message
}

/// Serves one VPC until its task is ended.
pub(super) async fn serve(socket: UdpSocket, mut ears: Ears, served: Arc<Served>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut buffer = vec![0u8; MAX_MESSAGE];
    loop {
        let devices = tokio::select! {
            _ = every.tick() => {
                let devices = devices(&served).await;
                ears.keep_only(&devices);
                devices
            }
            () = served.changed6.notified() => {
                let devices = devices(&served).await;
                ears.keep_only(&devices);
                ears.new_of(devices)
            }
            asked = socket.async_io(Interest::READABLE, || asked(&socket, &mut buffer)) => match asked {
                Ok(device) => device.into_iter().collect(),
                Err(error) => {
                    warn!(%error, "router socket");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            },
        };
        if !served.vpc().six() {
            continue;
        }
        for device in devices {
            ears.open(device);
            // A port that goes meanwhile, or has no IPv6, is told nothing.
            if let Err(error) = tell(&socket, device) {
                debug!(device, %error, "no router told");
            }
        }
    }
}

/// The numbers of the devices of ports that have IPv6.
async fn devices(served: &Served) -> Vec<u32> {
    let vpc = served.vpc();
    if !vpc.six() {
        return Vec::new();
    }
    let ns = vpc.ns.clone();
    let found = inside(Some(&ns), move || {
        let ports = vpc.ports.values().filter(|port| !port.ipv6.is_empty());
        Ok(ports.filter_map(|port| observe::index(&port.device)).collect())
    });
    found.await.unwrap_or_default()
}

/// By which device a guest asked; `None`: it was something else.
fn asked(socket: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<Option<u32>> {
    let mut control = vec![0u8; MAX_CONTROL];
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let device = message.cmsgs()?.find_map(|c| match c {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_ifindex),
        _ => None,
    });
    let asks = message.bytes >= 8 && message.iovs().next().and_then(|part| part.first().copied()) == Some(SOLICITATION);
    Ok(device.filter(|_| asks))
}

/// Tells all of a port's link.
fn tell(socket: &UdpSocket, device: u32) -> std::io::Result<()> {
    let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: GATEWAY6.octets() }, ipi6_ifindex: device };
    let to = SockaddrIn6::from(SocketAddrV6::new(ALL, 0, 0, device));
    let control = [ControlMessage::Ipv6PacketInfo(&info)];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(&advertisement())], &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};

    /// In a namespace of its own, which the tests of this crate can make.
    #[test]
    fn of_all_that_is_said_to_a_router_its_socket_hears_the_questions() {
        let heard = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            crate::exec::ip_batch(&["link set lo up".to_owned()]).unwrap();
            let socket = open().unwrap();
            let sender = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap();
            for kind in [128, 130, SOLICITATION, ADVERTISEMENT, 135, 136, SOLICITATION] {
                let message = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &[0; 16]].concat();
                sender.send_to(&message, &SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0).into()).unwrap();
            }
            let mut heard = Vec::new();
            let mut buffer = [0; MAX_MESSAGE];
            while let Ok((len, _)) = socket.recv_from(&mut buffer) {
                heard.push((buffer[0], len));
            }
            heard
        });
        assert_eq!(heard.join().unwrap(), [(SOLICITATION, 24); 2]);
    }
}
