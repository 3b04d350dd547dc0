//! A checked view: addresses parsed, every id and number within limits.

use crate::dhcp::DhcpOptions;
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

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
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nowhere: packets are dropped.
    Blackhole,
    /// To the world.
    Internet,
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
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A block of addresses.
    Cidr(Ipv4Net),
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
    /// Its block.
    pub cidr: Ipv4Net,
    /// Overlay network number.
    pub vni: u32,
    /// Domain of instance names.
    pub domain: String,
    /// In the view's order.
    pub subnets: Vec<Subnet>,
    /// Route tables by number: where packets to these addresses go, unless the VPC's own block covers them.
    pub tables: BTreeMap<u32, BTreeMap<Ipv4Net, Way>>,
    /// Network ACLs by id: of the entries of one direction the first that matches decides, without one nothing passes.
    pub acls: BTreeMap<String, Vec<AclEntry>>,
    /// There is a way between public addresses and the world.
    pub internet_gateway: bool,
    /// By device name.
    pub ports: BTreeMap<String, Port>,
    /// Rules by group id.
    pub groups: BTreeMap<String, Vec<Rule>>,
    /// Addresses by group id.
    pub members: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// Underlay address by interface address.
    pub remotes: BTreeMap<Ipv4Addr, Ipv4Addr>,
    /// Its resolver does not answer.
    pub dns_off: bool,
    /// Its public addresses have no names.
    pub public_names_off: bool,
    /// What its guests are told.
    pub dhcp: DhcpOptions,
}

impl Vpc {
    /// The resolver's address: the VPC's base plus two.
    #[must_use]
    pub fn dns(&self) -> Ipv4Addr {
        offset(self.cidr, 2)
    }

    /// Whether the VPC needs its way to the world: it may have one, and a port has a public address.
    #[must_use]
    pub fn has_public(&self) -> bool {
        self.internet_gateway && self.ports.values().any(|port| port.public_ip.is_some())
    }

    /// The port with this private address.
    #[must_use]
    pub fn port_by_ip(&self, ip: Ipv4Addr) -> Option<&Port> {
        self.ports.values().find(|port| port.ip == ip)
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
    pub vpcs: BTreeMap<String, Vpc>,
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
