//! What an analysis says, as it is kept: fields may be added, never renamed.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Ports, both ends included.
pub type Range = (u16, u16);

/// The head of a packet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// From this address.
    pub source: Option<Ipv4Addr>,
    /// To this one.
    pub destination: Option<Ipv4Addr>,
    /// From one of these ports.
    pub source_ports: Vec<Range>,
    /// To one of these.
    pub destination_ports: Vec<Range>,
    /// IANA number.
    pub protocol: u8,
}

/// A rule of a security group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownRule {
    /// About what leaves.
    pub egress: bool,
    /// The peer as a block.
    pub cidr: Option<String>,
    /// The list that has it.
    pub list: Option<String>,
    /// The peer as a group.
    pub group: Option<String>,
    /// IANA number; -1: all.
    pub protocol: i64,
    /// None: all.
    pub ports: Option<Range>,
}

/// An entry of a network ACL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownEntry {
    /// Its place.
    pub number: u32,
    /// About what leaves the subnet.
    pub egress: bool,
    /// It lets pass.
    pub allow: bool,
    /// The other side.
    pub cidr: String,
    /// IANA number; -1: all.
    pub protocol: i64,
    /// None: all.
    pub ports: Option<Range>,
}

/// A route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownRoute {
    /// The addresses it is for.
    pub cidr: String,
    /// The list that has them.
    pub list: Option<String>,
    /// `local`, or the id of where it leads.
    pub target: String,
    /// Its target is there.
    pub active: bool,
}

/// One station of a way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Component {
    /// Its id.
    pub id: String,
    /// Its name, where it has one of its own.
    pub name: Option<String>,
    /// What it belongs to: the interface of a group, the VPC of a gateway.
    pub attached_to: Option<String>,
    /// The subnet.
    pub subnet: Option<String>,
    /// The VPC.
    pub vpc: Option<String>,
    /// What lets pass, of a group.
    pub rule: Option<ShownRule>,
    /// What lets pass, of a network ACL.
    pub entry: Option<ShownEntry>,
    /// What leads on, of a table.
    pub route: Option<ShownRoute>,
    /// Packets as they come.
    pub inbound: Option<Header>,
    /// Packets as they go.
    pub outbound: Option<Header>,
}

/// Why there is no way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Why {
    /// AWS's code.
    pub code: String,
    /// Of what leaves, of what enters; none: neither.
    pub egress: Option<bool>,
    /// What it is about, where no field below says so.
    pub component: Option<String>,
    /// What that is attached to.
    pub attached_to: Option<String>,
    /// The state it is in.
    pub state: Option<String>,
    /// The interface.
    pub interface: Option<String>,
    /// Its groups.
    pub groups: Vec<String>,
    /// The network ACL.
    pub acl: Option<String>,
    /// What denies, if it is not the last entry.
    pub entry: Option<ShownEntry>,
    /// The subnet.
    pub subnet: Option<String>,
    /// The VPC.
    pub vpc: Option<String>,
    /// The route table.
    pub table: Option<String>,
    /// The route.
    pub route: Option<ShownRoute>,
    /// The internet gateway.
    pub gateway: Option<String>,
    /// The peering connection.
    pub peering: Option<String>,
    /// Where it was to lead.
    pub destination: Option<String>,
    /// The address that does not fit.
    pub address: Option<Ipv4Addr>,
}

impl Why {
    /// With this code.
    pub(super) fn new(code: &str) -> Self {
        Self { code: code.to_owned(), ..Self::default() }
    }
}

/// What an analysis says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// There is a way, and one back.
    pub found: bool,
    /// The way.
    pub forward: Vec<Component>,
    /// The way back.
    pub back: Vec<Component>,
    /// Why there is none.
    pub why: Vec<Why>,
    /// What the answer does not take into account.
    pub warning: Option<String>,
    /// Why nothing can be said.
    pub failed: Option<String>,
}
