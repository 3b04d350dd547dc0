//! A checked view: addresses parsed, every id and number within limits.

use crate::dhcp::DhcpOptions;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

/// Six bytes of Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Parses `02:00:00:00:00:01`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = parts.next().filter(|p| p.len() == 2).and_then(|p| u8::from_str_radix(p, 16).ok())?;
        }
        (parts.next().is_none() && bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(Self(bytes))
    }

    /// The link-local address that a guest with this MAC makes of it (EUI-64).
    #[must_use]
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, g] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, g])
    }

    /// The twelve hex digits without separators.
    #[must_use]
    pub fn hex(self) -> String {
        hex::encode(self.0)
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A subnet and the address that plays its router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// `subnet-…`.
    pub id: String,
    /// Its block.
    pub cidr: Ipv4Net,
    /// First address after the network's.
    pub gateway: Ipv4Addr,
    /// Number of its route table; 0: none, nothing leaves the VPC.
    pub table: u32,
    /// Its network ACL; `None`: everything passes.
    pub acl: Option<String>,
    /// Its IPv6 block.
    pub cidr6: Option<Ipv6Net>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Nowhere: packets are dropped.
    Blackhole,
    /// To the world.
    Internet,
    /// To the world, for what the VPC begins: of IPv6 only.
    EgressOnly,
    /// To another VPC, by this device.
    Peering(String),
    /// To the port that has this address, here or on another node.
    Hop(Ipv4Addr),
}

/// A peering connection between two VPCs that are both here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peering {
    /// The VPC at the other end.
    pub peer_vpc: String,
    /// Its namespace.
    pub peer_ns: String,
    /// Its blocks: nothing else comes from there.
    pub blocks: Vec<Ipv4Net>,
    /// Its IPv6 blocks, likewise.
    pub blocks6: Vec<Ipv6Net>,
}

/// An instance's interface on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// `eni-…`.
    pub interface_id: String,
    /// The instance that has it.
    pub instance_id: String,
    /// The kernel's name of it.
    pub device: String,
    /// The guest's own MAC.
    pub mac: Mac,
    /// Private address.
    pub ip: Ipv4Addr,
    /// Its subnet.
    pub subnet: Subnet,
    /// Security groups.
    pub groups: Vec<String>,
    /// Public address, if any.
    pub public_ip: Option<Ipv4Addr>,
    /// Off: the guest may send packets with sources other than its own address.
    pub source_dest_check: bool,
    /// Short host name, may be empty.
    pub hostname: String,
    /// Its other private addresses, each with its public one, if any.
    pub secondary: Vec<(Ipv4Addr, Option<Ipv4Addr>)>,
    /// A flow log wants its traffic counted.
    pub flow_log: bool,
    /// Where packets arrive from other nodes that routes lead to it: a device on the overlay. `None`: no route does.
    pub hop: Option<String>,
    /// Behind it is a NAT gateway, in this namespace; `None`: an instance.
    pub nat: Option<String>,
    /// Of its secondary addresses, those that take no new flow of the NAT gateway.
    pub nat_draining: Vec<Ipv4Addr>,
    /// Most that passes each way, in kbit/s; `None`: no limit.
    pub bandwidth: Option<NonZeroU64>,
    /// Most connections it may hold open from inside; `None`: as many as every port.
    pub flows: Option<NonZeroU32>,
    /// Its IPv6 addresses; none: it has no IPv6 at all.
    pub ipv6: BTreeSet<Ipv6Addr>,
}

impl Port {
    /// Every private address with its public one, the primary first.
    pub fn addresses(&self) -> impl Iterator<Item = (Ipv4Addr, Option<Ipv4Addr>)> {
        std::iter::once((self.ip, self.public_ip)).chain(self.secondary.iter().copied())
    }

    /// Whether it has this private address.
    #[must_use]
    pub fn has(&self, ip: Ipv4Addr) -> bool {
        self.addresses().any(|(own, _)| own == ip)
    }

    /// Whether the world reaches one of its addresses.
    #[must_use]
    pub fn has_public(&self) -> bool {
        self.addresses().any(|(_, public)| public.is_some())
    }
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A block of addresses, of one family.
    Cidr(IpNet),
    /// The members of a group; an unknown group has none.
    Group(String),
}

/// One permission of a security group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Out of the instance, else into it.
    pub egress: bool,
    /// IANA number; `None` = all.
    pub protocol: Option<u8>,
    /// First port or ICMP type; -1 = all.
    pub from: i32,
    /// Last port or ICMP code; -1 = all.
    pub to: i32,
    /// The other side.
    pub peer: Peer,
}

/// One entry of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry {
    /// What it is about: the peer is a block.
    pub rule: Rule,
    /// Such packets pass, else they are dropped.
    pub allow: bool,
}

/// One VPC as this node needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpc {
    /// `vpc-…`.
    pub id: String,
    /// Its namespace.
    pub ns: String,
    /// Its first block.
    pub cidr: Ipv4Net,
    /// Its other blocks; no two of all overlap.
    pub more: Vec<Ipv4Net>,
    /// Overlay network number.
    pub vni: u32,
    /// Domain of instance names.
    pub domain: String,
    /// In the view's order.
    pub subnets: Vec<Subnet>,
    /// Route tables by number: where packets to these addresses go, unless the VPC's own blocks cover them.
    pub tables: BTreeMap<u32, BTreeMap<Ipv4Net, Way>>,
    /// Network ACLs by id: of the entries of one direction the first that matches decides, without one nothing passes.
    pub acls: BTreeMap<String, Vec<AclEntry>>,
    /// There is a way between public addresses and the world.
    pub internet_gateway: bool,
    /// By device name; see [`Vpc::add`].
    pub ports: BTreeMap<String, Port>,
    /// Devices of `ports` by private address.
    pub devices: BTreeMap<Ipv4Addr, String>,
    /// Rules by group id.
    pub groups: BTreeMap<String, Vec<Rule>>,
    /// Addresses by group id.
    pub members: BTreeMap<String, Arc<BTreeSet<Ipv4Addr>>>,
    /// Underlay address by interface address.
    pub remotes: Arc<BTreeMap<Ipv4Addr, Ipv4Addr>>,
    /// Its resolver does not answer.
    pub dns_off: bool,
    /// Its public addresses have no names.
    pub public_names_off: bool,
    /// What its guests are told.
    pub dhcp: DhcpOptions,
    /// By device name.
    pub peerings: BTreeMap<String, Peering>,
    /// Private addresses by the public ones whose names mean them here: of the whole VPC, and of peers that allow it.
    pub public_names: Arc<BTreeMap<Ipv4Addr, Ipv4Addr>>,
    /// Its IPv6 blocks, no two of which overlap; none: no IPv6 passes.
    pub blocks6: Vec<Ipv6Net>,
    /// Devices of `ports` by IPv6 address.
    pub devices6: BTreeMap<Ipv6Addr, String>,
    /// IPv6 addresses by group id.
    pub members6: BTreeMap<String, Arc<BTreeSet<Ipv6Addr>>>,
    /// Underlay address by the interface's IPv6 address.
    pub remotes6: Arc<BTreeMap<Ipv6Addr, Ipv4Addr>>,
    /// Route tables of IPv6, as `tables`. Those without a route are not among them.
    pub tables6: BTreeMap<u32, BTreeMap<Ipv6Net, Way>>,
    /// Of the IPv6 addresses here those that the table of their subnet leads to the world, and how.
    pub world6: BTreeMap<Ipv6Addr, Reach>,
}

/// How an IPv6 address and the world reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Either may begin.
    BothWays,
    /// The world answers, and begins nothing.
    Outward,
}

impl Vpc {
    /// All its blocks, the first one first.
    pub fn blocks(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        std::iter::once(self.cidr).chain(self.more.iter().copied())
    }

    /// Whether this is one of its own addresses, or a block of them.
    #[must_use]
    pub fn covers(&self, net: impl Into<Ipv4Net>) -> bool {
        let net = net.into();
        self.blocks().any(|block| block.contains(&net))
    }

    /// Whether it has IPv6.
    #[must_use]
    pub fn six(&self) -> bool {
        !self.blocks6.is_empty()
    }

    /// Whether this is one of its own IPv6 addresses, or a block of them.
    #[must_use]
    pub fn covers6(&self, net: impl Into<Ipv6Net>) -> bool {
        let net = net.into();
        self.blocks6.iter().any(|block| block.contains(&net))
    }

    /// The resolver's address: the base of the VPC's first block plus two.
    #[must_use]
    pub fn dns(&self) -> Ipv4Addr {
        offset(self.cidr, 2)
    }

    /// Whether the VPC needs its way to the world: it may have one, and a port has an address for it.
    #[must_use]
    pub fn has_public(&self) -> bool {
        self.has_public4() || !self.world6.is_empty()
    }

    /// As [`Vpc::has_public`], of IPv4.
    #[must_use]
    pub fn has_public4(&self) -> bool {
        self.internet_gateway && self.ports.values().any(Port::has_public)
    }

    /// The addresses by which the world knows a port.
    pub fn shown<'a>(&'a self, port: &'a Port) -> impl Iterator<Item = IpAddr> + 'a {
        let four = port.addresses().filter_map(|(_, public)| public).filter(|_| self.internet_gateway);
        let six = port.ipv6.iter().filter(|ip| self.world6.contains_key(ip));
        four.map(IpAddr::from).chain(six.copied().map(IpAddr::from))
    }

    /// The ports that routes lead to, each with the device at which packets for it arrive; without an overlay none do.
    pub fn hops(&self) -> impl Iterator<Item = (&String, &Port)> {
        let ports = self.ports.values().filter(|_| self.has_overlay());
        ports.filter_map(|port| Some((port.hop.as_ref()?, port)))
    }

    /// Whether the VPC has ports on other nodes, or is sent packets by other nodes: answers of a peer's come from where the
    /// peer's ports are.
    #[must_use]
    pub fn has_overlay(&self) -> bool {
        !(self.remotes.is_empty() && self.remotes6.is_empty()) || (!self.ports.is_empty() && !self.peerings.is_empty())
    }

    /// Whether a route of the subnet's table leads addresses of the subnet itself away from the VPC's own ways.
    #[must_use]
    pub fn leads_within(&self, subnet: &Subnet) -> bool {
        let ways = self.tables.get(&subnet.table).into_iter().flat_map(BTreeMap::keys);
        let own = |to: &Ipv4Net| to.contains(&subnet.cidr) || subnet.cidr.contains(to);
        ways.into_iter().any(|to| own(to) && self.covers(*to))
    }

    /// Takes a port among its own.
    pub fn add(&mut self, port: Port) {
        self.devices6.extend(port.ipv6.iter().map(|ip| (*ip, port.device.clone())));
        self.devices.extend(port.addresses().map(|(ip, _)| (ip, port.device.clone())));
        self.ports.insert(port.device.clone(), port);
    }

    /// The port with this private address.
    #[must_use]
    pub fn port_by_ip(&self, ip: Ipv4Addr) -> Option<&Port> {
        self.ports.get(self.devices.get(&ip)?)
    }

    /// Whether the two differ in nothing but who is elsewhere: members of groups, ports of other nodes, and names.
    #[must_use]
    pub fn same_here(&self, other: &Self) -> bool {
        let (members, remotes) = (other.members.clone(), Arc::clone(&other.remotes));
        Self { members, remotes, public_names: Arc::clone(&other.public_names), ..self.clone() } == *other
    }

    /// Whether the address belongs to a known interface of the VPC, on whatever node.
    #[must_use]
    pub fn knows(&self, ip: Ipv4Addr) -> bool {
        self.remotes.contains_key(&ip) || self.port_by_ip(ip).is_some()
    }
}

/// What came of checking a view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// By VPC id.
    pub vpcs: BTreeMap<String, Arc<Vpc>>,
    /// By interface id: why the port is left out, or its public address is.
    pub port_errors: BTreeMap<String, String>,
    /// What else was left out, for the log.
    pub warnings: Vec<String>,
}

/// The `n`th address of a block.
#[must_use]
pub fn offset(net: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.network()).wrapping_add(n))
}
