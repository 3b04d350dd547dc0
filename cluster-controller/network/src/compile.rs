//! From the model to what one node must know: a pure function.

use crate::Model;
use crate::model::VpcEntry;
use mallee_proto::v1::{
    GroupMembers, GroupView, NetworkAcl, NetworkAclEntry, NetworkAclView, NodeView, PortView, Remote, Route,
    RouteTable, RouteTableView, RouteTarget, RouteView, Subnet, SubnetView, Vpc, VpcView, group_rule::Peer,
    route::Target,
};
use mallee_proto::view;
use std::collections::{BTreeMap, BTreeSet};

/// All addresses.
const EVERYWHERE: &str = "0.0.0.0/0";

/// Everything `node` must know, in canonical form, with epoch and generation 0: the VPCs it has a port in, their
/// subnets, its ports, the groups these are in, the members of groups those name, and who else is where.
#[must_use]
pub fn compile(model: &Model, node: &str) -> NodeView {
    let vpcs = node_vpcs(model, node).map(|(vpc, entry)| {
        let mut view = local(model, node, vpc, entry);
        view.members = peers(&view.groups).iter().map(|group| members(model, group)).collect();
        view.remotes = places(model, node, entry).into_iter().map(remote).collect();
        view
    });
    let mut view = NodeView { epoch: 0, generation: 0, vpcs: vpcs.collect() };
    view::canonicalise(&mut view);
    view
}

/// The VPCs a node has ports in, in order. A VPC that only its ports name so far is left out until it is known.
pub(crate) fn node_vpcs<'a>(model: &'a Model, node: &str) -> impl Iterator<Item = (&'a Vpc, &'a VpcEntry)> {
    let ids = model.nodes.get(node).into_iter().flat_map(|node| node.vpcs.keys());
    ids.filter_map(|id| model.vpcs.get(id)).filter_map(|entry| Some((entry.vpc.as_ref()?, entry)))
}

/// A VPC's head, the node's ports, and their groups; members and remotes are left empty.
pub(crate) fn local(model: &Model, node: &str, vpc: &Vpc, entry: &VpcEntry) -> VpcView {
    let keys = model.nodes.get(node).and_then(|node| node.vpcs.get(&vpc.id));
    let ports: Vec<PortView> =
        keys.into_iter().flatten().filter_map(|key| entry.ports.get(key)).map(|port| port.view.clone()).collect();
    let groups: BTreeSet<&String> = ports.iter().flat_map(|port| &port.group_ids).collect();
    let groups = groups.into_iter().map(|id| GroupView {
        id: id.clone(),
        // A group that is not known has no rules, so nothing passes by it.
        rules: model.groups.get(id).and_then(|entry| entry.group.as_ref()).map_or_else(Vec::new, |g| g.rules.clone()),
    });
    let used: BTreeSet<&String> = ports.iter().map(|port| &port.subnet_id).collect();
    VpcView {
        vpc_id: vpc.id.clone(),
        cidr: vpc.cidr.clone(),
        vni: vpc.vni,
        dns_domain: vpc.dns_domain.clone(),
        subnets: entry.subnets.values().map(|subnet| subnet_view(vpc, entry, subnet, &used)).collect(),
        route_tables: route_tables(vpc, entry, &used),
        network_acls: network_acls(entry, &used),
        internet_gateway: !vpc.internet_gateway_id.is_empty(),
        routed: true,
        groups: groups.collect(),
        ports,
        members: Vec::new(),
        remotes: Vec::new(),
        dns_off: vpc.dns_off,
        public_names_off: vpc.public_names_off,
        dhcp_options: vpc.dhcp_options.clone(),
    }
}

fn subnet_view(vpc: &Vpc, entry: &VpcEntry, subnet: &Subnet, used: &BTreeSet<&String>) -> SubnetView {
    let table = table_of(vpc, entry, subnet).map_or(0, |table| table.number);
    let acl = Some(subnet).filter(|subnet| used.contains(&subnet.id)).and_then(|subnet| acl_of(entry, subnet));
    SubnetView {
        id: subnet.id.clone(),
        cidr: subnet.cidr.clone(),
        route_table: table,
        network_acl: acl.cloned().unwrap_or_default(),
    }
}

/// The subnet's network ACL; `None`: everything passes. One that is not known stops everything.
fn acl_of<'a>(entry: &VpcEntry, subnet: &'a Subnet) -> Option<&'a String> {
    let id = Some(&subnet.network_acl_id).filter(|id| !id.is_empty())?;
    let passes = entry.acls.get(id).is_some_and(|acl| [false, true].iter().all(|egress| passes_all(acl, *egress)));
    (!passes).then_some(id)
}

/// Whether an ACL lets everything through one way: what comes first, of what denies and what allows all.
fn passes_all(acl: &NetworkAcl, egress: bool) -> bool {
    let all = |entry: &&NetworkAclEntry| entry.protocol == -1 && entry.cidr == EVERYWHERE;
    let decides = |entry: &&NetworkAclEntry| entry.egress == egress && (!entry.allow || all(entry));
    acl.entries.iter().filter(decides).min_by_key(|entry| entry.number).is_some_and(|entry| entry.allow)
}

/// The ACLs of these subnets that stop something.
fn network_acls(entry: &VpcEntry, subnets: &BTreeSet<&String>) -> Vec<NetworkAclView> {
    let subnets = subnets.iter().filter_map(|id| entry.subnets.get(*id));
    let ids: BTreeSet<&String> = subnets.filter_map(|subnet| acl_of(entry, subnet)).collect();
    let entries = |id: &String| entry.acls.get(id).map_or_else(Vec::new, |acl| acl.entries.clone());
    ids.into_iter().map(|id| NetworkAclView { id: id.clone(), entries: entries(id) }).collect()
}

/// The subnet's own table, or the VPC's main one; `None` while it is on its way.
fn table_of<'a>(vpc: &Vpc, entry: &'a VpcEntry, subnet: &Subnet) -> Option<&'a RouteTable> {
    let own = Some(&subnet.route_table_id).filter(|id| !id.is_empty());
    entry.tables.get(own.unwrap_or(&vpc.main_route_table_id))
}

/// The tables of these subnets.
fn route_tables(vpc: &Vpc, entry: &VpcEntry, subnets: &BTreeSet<&String>) -> Vec<RouteTableView> {
    let subnets = subnets.iter().filter_map(|id| entry.subnets.get(*id));
    let tables: BTreeMap<u32, &RouteTable> =
        subnets.filter_map(|subnet| table_of(vpc, entry, subnet)).map(|table| (table.number, table)).collect();
    let view = |(number, table): (u32, &RouteTable)| RouteTableView {
        number,
        routes: table.routes.iter().map(|route| route_view(vpc, route)).collect(),
    };
    tables.into_iter().map(view).collect()
}

fn route_view(vpc: &Vpc, route: &Route) -> RouteView {
    let target = match &route.target {
        Some(Target::InternetGatewayId(id)) if !id.is_empty() && *id == vpc.internet_gateway_id => {
            RouteTarget::Internet
        }
        Some(Target::InternetGatewayId(_)) | None => RouteTarget::Blackhole,
    };
    RouteView { destination: route.destination.clone(), target: target.into() }
}

/// The groups that rules of `groups` name, in order.
pub(crate) fn peers(groups: &[GroupView]) -> BTreeSet<String> {
    let peers = groups.iter().flat_map(|group| &group.rules).filter_map(|rule| match &rule.peer {
        Some(Peer::GroupId(id)) => Some(id.clone()),
        Some(Peer::Cidr(_)) | None => None,
    });
    peers.collect()
}

/// The addresses in a group, in order; of an unknown group none.
pub(crate) fn member_addresses<'a>(model: &'a Model, group: &str) -> Vec<&'a str> {
    let members = model.groups.get(group).into_iter().flat_map(|entry| &entry.members);
    let mut addresses: Vec<&str> = members.map(|(address, _)| address.as_str()).collect();
    addresses.dedup();
    addresses
}

/// As the node is told of them.
pub(crate) fn members(model: &Model, group: &str) -> GroupMembers {
    let addresses = member_addresses(model, group).into_iter().map(str::to_owned).collect();
    GroupMembers { group_id: group.to_owned(), addresses }
}

/// Where an address of the VPC is: itself, and its node's underlay address.
pub(crate) type Place<'a> = (&'a str, &'a str);

/// The VPC's ports on other nodes, in order of address. While an address moves, its newest incarnation counts; an
/// address of the node itself is never remote; a node whose underlay address is not known cannot be reached yet.
pub(crate) fn places<'a>(model: &'a Model, node: &str, entry: &'a VpcEntry) -> Vec<Place<'a>> {
    let mut places: Vec<(Place<'a>, u64)> = Vec::with_capacity(entry.ports.len());
    for ((address, _), port) in &entry.ports {
        let vtep =
            if port.node == node { "" } else { model.nodes.get(&port.node).map_or("", |node| node.vtep.as_str()) };
        let newest = ((address.as_str(), vtep), port.view.incarnation);
        match places.last_mut() {
            Some(last) if last.0.0 == address => {
                let own = last.0.1.is_empty() || vtep.is_empty();
                if own {
                    last.0.1 = "";
                } else if newest.1 > last.1 {
                    *last = newest;
                }
            }
            _ => places.push(newest),
        }
    }
    places.into_iter().map(|(place, _)| place).filter(|(_, vtep)| !vtep.is_empty()).collect()
}

/// As the node is told of it.
pub(crate) fn remote((address, vtep): Place<'_>) -> Remote {
    Remote { address: address.to_owned(), vtep: vtep.to_owned() }
}
