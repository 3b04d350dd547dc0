//! The part of a network that an analysis looks at, as it was at one moment. Ids are texts: an answer is made of them.

use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// A VPC.
#[derive(Debug, Clone, Default)]
pub struct Vpc {
    /// Whose.
    pub account: String,
    /// Its addresses.
    pub blocks: Vec<Ipv4Net>,
    /// The internet gateway that is attached.
    pub gateway: Option<String>,
}

/// A subnet, with what decides about it.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// Its VPC.
    pub vpc: String,
    /// Its addresses.
    pub cidr: Ipv4Net,
    /// The table that it has, or the VPC's main one.
    pub table: Option<String>,
    /// Its network ACL; none: everything passes.
    pub acl: Option<String>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To an internet gateway.
    Gateway(String),
    /// Over a peering connection.
    Peering(String),
    /// To something that the analysis does not follow.
    Other(String),
}

/// A route besides the local ones.
#[derive(Debug, Clone)]
pub struct Route {
    /// Which packets it is for.
    pub destination: Ipv4Net,
    /// The prefix list that has the block.
    pub list: Option<String>,
    /// Where they go.
    pub target: Target,
}

/// Which packets a rule or entry is about.
#[derive(Debug, Clone)]
pub struct Match {
    /// IANA number; -1: all.
    pub protocol: i64,
    /// First port; below 0: all.
    pub from: i32,
    /// Last port; below 0: all.
    pub to: i32,
}

/// Whom a rule of a group is about.
#[derive(Debug, Clone)]
pub enum Peer {
    /// These addresses, which a prefix list may have.
    Block(Ipv4Net, Option<String>),
    /// The members of a group.
    Group(String),
}

/// A rule of a security group.
#[derive(Debug, Clone)]
pub struct GroupRule {
    /// About what leaves.
    pub egress: bool,
    /// Which packets.
    pub packets: Match,
    /// To or from whom.
    pub peer: Peer,
}

/// A security group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Each with one block or group.
    pub rules: Vec<GroupRule>,
}

/// The members of a group that a rule names.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// The group's VPC.
    pub vpc: String,
    /// Addresses of interfaces that are up.
    pub addresses: BTreeSet<Ipv4Addr>,
}

/// An entry of a network ACL.
#[derive(Debug, Clone)]
pub struct AclEntry {
    /// Its place: the lowest that matches decides.
    pub number: u32,
    /// About what leaves the subnet.
    pub egress: bool,
    /// It lets pass.
    pub allow: bool,
    /// Which packets.
    pub packets: Match,
    /// The other side.
    pub cidr: Ipv4Net,
}

/// Why an interface sends and gets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// It is not attached, or on its way off.
    Attachment,
    /// Its instance is in this state.
    Instance(String),
}

/// A network interface.
#[derive(Debug, Clone)]
pub struct Interface {
    /// Its id.
    pub id: String,
    /// Its VPC.
    pub vpc: String,
    /// Its subnet.
    pub subnet: String,
    /// Its instance.
    pub instance: Option<String>,
    /// None: it is up.
    pub down: Option<Down>,
    /// Its private addresses, the primary one first, each with the public one that leads to it.
    pub addresses: Vec<(Ipv4Addr, Option<Ipv4Addr>)>,
    /// Its groups.
    pub groups: Vec<String>,
    /// What is not from or to its addresses is dropped.
    pub source_dest_check: bool,
}

/// A peering connection.
#[derive(Debug, Clone)]
pub struct Peering {
    /// The VPCs that it joins.
    pub vpcs: [String; 2],
    /// It has been accepted and not ended.
    pub active: bool,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Net {
    /// By id; those at other ends of peering connections with them.
    pub vpcs: BTreeMap<String, Vpc>,
    /// Of the interfaces.
    pub subnets: BTreeMap<String, Subnet>,
    /// Of those subnets, each with its routes.
    pub tables: BTreeMap<String, Vec<Route>>,
    /// Of those subnets, each with its entries in the order of their numbers.
    pub acls: BTreeMap<String, Vec<AclEntry>>,
    /// Of the interfaces.
    pub groups: BTreeMap<String, Group>,
    /// Of the groups that rules name.
    pub members: BTreeMap<String, Members>,
    /// Those at the ends.
    pub interfaces: BTreeMap<String, Interface>,
    /// Of the VPCs at the ends.
    pub peerings: BTreeMap<String, Peering>,
}

/// What a subnet's table does with an address.
#[derive(Debug, Clone, Copy)]
pub enum Routed<'a> {
    /// It is within the VPC: the block.
    Local(Ipv4Net),
    /// The longest route for it.
    By(&'a Route),
    /// There is none.
    Nowhere,
}

impl Net {
    /// Whether an address is one of a VPC's own.
    #[must_use]
    pub fn is_in(&self, vpc: &str, address: Ipv4Addr) -> bool {
        self.vpcs.get(vpc).is_some_and(|vpc| vpc.blocks.iter().any(|block| block.contains(&address)))
    }

    /// The VPC at the other end of an active connection.
    #[must_use]
    pub fn across(&self, peering: &str, vpc: &str) -> Option<&str> {
        let peering = self.peerings.get(peering).filter(|peering| peering.active)?;
        let [one, other] = &peering.vpcs;
        match vpc {
            vpc if vpc == one => Some(other),
            vpc if vpc == other => Some(one),
            _ => None,
        }
    }

    /// Whether an active connection joins two VPCs.
    #[must_use]
    pub fn joins(&self, one: &str, other: &str) -> bool {
        self.peerings.keys().any(|id| self.across(id, one) == Some(other))
    }

    /// Where packets of a subnet to this address go. Within a subnet nothing is routed; a route that leads a block of the
    /// VPC or a part of it elsewhere (to a port that is a middlebox) goes before the block itself.
    #[must_use]
    pub fn routed(&self, subnet: &Subnet, address: Ipv4Addr) -> Routed<'_> {
        let blocks = self.vpcs.get(&subnet.vpc).into_iter().flat_map(|vpc| &vpc.blocks);
        let block = blocks.copied().filter(|block| block.contains(&address)).max_by_key(Ipv4Net::prefix_len);
        let routes = subnet.table.as_ref().and_then(|table| self.tables.get(table)).into_iter().flatten();
        let longest = routes
            .filter(|route| route.destination.contains(&address))
            .max_by_key(|route| route.destination.prefix_len());
        match (block, longest) {
            (Some(block), _) if subnet.cidr.contains(&address) => Routed::Local(block),
            (Some(block), Some(route)) if route.destination.prefix_len() < block.prefix_len() => Routed::Local(block),
            (Some(block), None) => Routed::Local(block),
            (_, Some(route)) => Routed::By(route),
            (None, None) => Routed::Nowhere,
        }
    }

    /// Whether an address is of a member of the group, to rules of a VPC: of the same one, or of a peer.
    #[must_use]
    pub fn is_member(&self, vpc: &str, group: &str, address: Ipv4Addr) -> bool {
        let members = self.members.get(group).filter(|members| members.vpc == vpc || self.joins(vpc, &members.vpc));
        members.is_some_and(|members| members.addresses.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_vpc_may_be_led_elsewhere_but_nothing_within_a_subnet() {
        let subnet = Subnet {
            vpc: "vpc-1".into(),
            cidr: "10.0.1.0/24".parse().unwrap(),
            table: Some("rtb-1".into()),
            acl: None,
        };
        let route =
            |to: &str| Route { destination: to.parse().unwrap(), list: None, target: Target::Other("eni-1".into()) };
        let mut net = Net::default();
        net.vpcs.insert("vpc-1".into(), Vpc { blocks: vec!["10.0.0.0/16".parse().unwrap()], ..Vpc::default() });
        let leads = |net: &Net, to: &str| match net.routed(&subnet, to.parse().unwrap()) {
            Routed::Local(_) => "local".to_owned(),
            Routed::By(route) => route.destination.to_string(),
            Routed::Nowhere => "nowhere".to_owned(),
        };
        assert_eq!(leads(&net, "10.0.2.9"), "local");
        let routes = ["0.0.0.0/0", "10.0.2.0/24", "10.0.1.0/24"].map(route).to_vec();
        net.tables.insert("rtb-1".into(), routes);
        assert_eq!(leads(&net, "10.0.2.9"), "10.0.2.0/24");
        assert_eq!(leads(&net, "10.0.3.9"), "local", "a wider route leads nothing of the VPC away");
        assert_eq!(leads(&net, "10.0.1.9"), "local", "within a subnet nothing is routed");
        assert_eq!(leads(&net, "192.0.2.9"), "0.0.0.0/0");
        net.tables.insert("rtb-1".into(), vec![route("10.0.0.0/16")]);
        assert_eq!(leads(&net, "10.0.3.9"), "10.0.0.0/16", "in the place of the local one");
    }
}
