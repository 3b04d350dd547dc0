//! DHCP, DNS and instance metadata of every VPC, in one process. Sockets are opened inside each VPC's namespace; after
//! that they work from any thread. Who asks is told by (namespace, source address), which the packet filter vouches
//! for, and never by anything in the request.

mod ask6;
mod dhcp;
mod dhcp6;
mod dns;
mod forward;
mod http;
mod router6;
#[cfg(test)]
mod samples;
mod token;
mod tree;

use crate::config::NetConfig;
use crate::exec::{failed, inside};
use crate::model::Vpc;
use crate::nft::{DNS_IP, METADATA_IP};
use ipnet::Ipv4Net;
use mallee_node_core::network::{MetadataSource, NetworkError};
use mallee_runtime::{Clock, Rng};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Connections waiting to be taken from a listener.
const BACKLOG: i32 = 128;

/// What the services of all VPCs share.
#[derive(Debug)]
pub(crate) struct Shared {
    metadata: Arc<dyn MetadataSource>,
    pub(crate) clock: Clock,
    tokens: token::Tokens,
    forwarder: forward::Forwarder,
    /// The cloud's public addresses.
    public_pool: Vec<Ipv4Net>,
    rng: Rng,
}

impl Shared {
    pub(crate) fn new(config: Arc<NetConfig>, metadata: Arc<dyn MetadataSource>, clock: Clock, rng: Rng) -> Self {
        let public_pool = config.public_pool.clone();
        let forwarder = forward::Forwarder::new(config);
        Self { tokens: token::Tokens::new(&rng), forwarder, public_pool, metadata, clock, rng }
    }
}

/// One VPC as its services see it: the latest applied model.
#[derive(Debug)]
pub(crate) struct Served {
    vpc: RwLock<Arc<Vpc>>,
    /// Other ports have IPv6 than before, or have other addresses.
    changed6: Notify,
    shared: Arc<Shared>,
}

impl Served {
    fn vpc(&self) -> Arc<Vpc> {
        Arc::clone(&self.vpc.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The running services of one VPC. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Services {
    served: Arc<Served>,
    tasks: JoinSet<()>,
}

struct Sockets {
    dhcp: UdpSocket,
    dns: Vec<(UdpSocket, TcpListener)>,
    metadata: TcpListener,
    dhcp6: UdpSocket,
    router6: UdpSocket,
}

impl Services {
    /// Opens the sockets in the VPC's namespace, whose addresses exist by now, and serves.
    pub(crate) async fn start(vpc: &Arc<Vpc>, shared: &Arc<Shared>) -> Result<Self, NetworkError> {
        let resolvers = [vpc.dns(), DNS_IP];
        let sockets =
            inside(Some(&vpc.ns), move || open(&resolvers).map_err(|e| failed(format!("open service sockets: {e}"))))
                .await?;
        let served =
            Arc::new(Served { vpc: RwLock::new(Arc::clone(vpc)), changed6: Notify::new(), shared: Arc::clone(shared) });
        let mut tasks = JoinSet::new();
        let register = |e| failed(format!("service socket: {e}"));
        let dhcp = tokio::net::UdpSocket::from_std(sockets.dhcp).map_err(register)?;
        tasks.spawn(dhcp::serve(dhcp, Arc::clone(&served)));
        let ears = router6::Ears::new(sockets.dhcp6.try_clone().map_err(register)?);
        let dhcp6 = tokio::net::UdpSocket::from_std(sockets.dhcp6).map_err(register)?;
        tasks.spawn(dhcp6::serve(dhcp6, Arc::clone(&served)));
        let router6 = tokio::net::UdpSocket::from_std(sockets.router6).map_err(register)?;
        tasks.spawn(router6::serve(router6, ears, Arc::clone(&served)));
        for (udp, tcp) in sockets.dns {
            let udp = tokio::net::UdpSocket::from_std(udp).map_err(register)?;
            let tcp = tokio::net::TcpListener::from_std(tcp).map_err(register)?;
            tasks.spawn(dns::serve_udp(udp, Arc::clone(&served)));
            tasks.spawn(dns::serve_tcp(tcp, Arc::clone(&served)));
        }
        let metadata = tokio::net::TcpListener::from_std(sockets.metadata).map_err(register)?;
        tasks.spawn(http::serve(metadata, Arc::clone(&served)));
        Ok(Self { served, tasks })
    }

    /// From now on the services answer from this model.
    pub(crate) fn update(&self, vpc: &Arc<Vpc>) {
        let mut served = self.served.vpc.write().unwrap_or_else(PoisonError::into_inner);
        let same6 = served.devices6 == vpc.devices6;
        *served = Arc::clone(vpc);
        if !same6 {
            self.served.changed6.notify_one();
        }
    }

    /// Ends the services; their sockets are closed when this returns, so that the namespace can go.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

fn open(resolvers: &[Ipv4Addr]) -> std::io::Result<Sockets> {
    let dhcp = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    dhcp.set_reuse_address(true)?;
    dhcp.set_broadcast(true)?;
    nix::sys::socket::setsockopt(&dhcp, nix::sys::socket::sockopt::Ipv4PacketInfo, &true)?;
    dhcp.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67).into())?;
    dhcp.set_nonblocking(true)?;
    let mut dns = Vec::new();
    for ip in resolvers {
        let udp = UdpSocket::bind((*ip, 53))?;
        udp.set_nonblocking(true)?;
        dns.push((udp, listen(*ip, 53)?));
    }
    let (dhcp6, router6) = (dhcp6::open()?, router6::open()?);
    Ok(Sockets { dhcp: dhcp.into(), dns, metadata: listen(METADATA_IP, 80)?, dhcp6, router6 })
}

fn listen(ip: Ipv4Addr, port: u16) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(ip, port).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Bounds what runs at once: so much in all, so much for one source.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    total: Arc<Semaphore>,
    each: usize,
    sources: Arc<Mutex<BTreeMap<Ipv4Addr, usize>>>,
}

/// Leave to do one thing; given back when dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Gate,
    source: Ipv4Addr,
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(total: usize, each: usize) -> Self {
        Self { total: Arc::new(Semaphore::new(total)), each, sources: Arc::default() }
    }

    /// `None`: this source, or all together, has as much as it may.
    pub(crate) fn enter(&self, source: Ipv4Addr) -> Option<Pass> {
        let permit = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Pass { gate: self.clone(), source, _permit: permit })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut sources = self.gate.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}
