//! What an operator (or a test) chooses about the network of one host.

use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, SocketAddr};

/// The MTU guests, ports and the overlay have: 1500 less the 50 bytes of VXLAN over IPv4.
pub const MTU: u32 = 1450;
/// Default UDP port of the overlay. Docker swarm uses 4789 too; change it where both run on one host.
pub const VXLAN_PORT: u16 = 4789;
/// The port of the cloud's API, which guests may reach on the host by default.
const API_PORT: u16 = 8773;

/// What an instance port is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PortKind {
    /// A persistent tap device, opened by the hypervisor.
    #[default]
    Tap,
    /// A veth pair: the port keeps its name, its other end is left in the host's namespace under
    /// [`crate::Names::veth_peer`], to be moved into a container or a test's stand-in for a guest.
    Veth,
}

/// The configuration of [`crate::KernelNetwork`].
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// This host's underlay address: the local end of the overlay.
    pub vtep: Ipv4Addr,
    /// UDP port of the overlay, the same on every node of a cloud.
    pub vxlan_port: u16,
    /// Where public addresses come from. Without a public link the host routes all of these to the edge namespace.
    pub public_pool: Vec<Ipv4Net>,
    /// Where the IPv6 blocks of VPCs come from; as `public_pool`.
    pub public_pool6: Vec<Ipv6Net>,
    /// The host's device on the network that the pool's addresses are of: there the host answers for those of its own
    /// instances, and other hosts for theirs. Nothing is translated behind the host's own address then.
    pub public_link: Option<String>,
    /// Without a public link: instances with a public address reach the rest of the world from behind the host's own
    /// address. Needs forwarding on the host, which is then switched on (for a public link always).
    pub uplink_nat: bool,
    /// TCP ports of the host itself that instances may reach; everything else on the host is closed to them.
    pub guest_host_ports: Vec<u16>,
    /// Start of every name this engine makes. Two clouds on one host must differ here.
    pub name_prefix: String,
    /// Where names outside the cloud are resolved. Empty: the `nameserver` lines of the host's `/etc/resolv.conf`.
    pub dns_upstreams: Vec<SocketAddr>,
    /// Tap, unless a container or test plays the guest.
    pub port_kind: PortKind,
    /// Name (under `/run/netns`) of the namespace that plays the host's; `None`: the one this process runs in.
    pub host_netns: Option<String>,
}

impl NetConfig {
    /// The defaults for a host with this underlay address: no public pool, NAT on.
    #[must_use]
    pub fn new(vtep: Ipv4Addr) -> Self {
        Self {
            vtep,
            vxlan_port: VXLAN_PORT,
            public_pool: Vec::new(),
            public_pool6: Vec::new(),
            public_link: None,
            uplink_nat: true,
            guest_host_ports: vec![API_PORT],
            name_prefix: "mallee".to_owned(),
            dns_upstreams: Vec::new(),
            port_kind: PortKind::Tap,
            host_netns: None,
        }
    }
}
