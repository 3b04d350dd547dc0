//! From the model to what one node must know: a pure function.

use crate::Model;
use crate::model::VpcEntry;
use crate::peering;
use crate::ports::LivePort;
use crate::transit;
use ipnet::Ipv6Net;
use mallee_proto::v1::{
    GroupView, NetworkAcl, NetworkAclEntry, NetworkAclView, NodeView, PortView, Route, RouteTable, RouteTableView,
    RouteTarget, RouteView, Subnet, SubnetView, Vpc, VpcView, group_rule::Peer, route::Target,
};
use mallee_proto::view;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

/// All addresses, of one family and the other.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// Everything `node` must know, in canonical form, with epoch and generation 0: the VPCs it has a port in, their
/// subnets, its ports, the groups these are in, the members of groups those name, and who is where.
#[must_use]
pub fn compile(model: &Model, node: &str) -> NodeView {
    let mut view = bare(model, node);
    for section in &mut view.sections {
        *section = model.sections.whole(&section.key);
    }
    view
}

/// As [`compile`], without the items of sections. It hashes the same, and costs little however large a VPC is.
#[must_use]
pub fn bare(model: &Model, node: &str) -> NodeView {
    let vpcs: Vec<VpcView> =
        node_vpcs(model, node).map(|(vpc, entry)| keyed(model, local(model, node, vpc, entry))).collect();
    let keys: BTreeSet<&String> = vpcs.iter().flat_map(|vpc| &vpc.sections).collect();
    let sections = keys.into_iter().map(|key| model.sections.bare(key)).collect();
    let mut view = NodeView { epoch: 0, generation: 0, vpcs, sections };
    view::canonicalise(&mut view);
    view
}

/// Names the sections that a VPC's part of a view needs. (A group that is of no peer is none of its business.)
fn keyed(model: &Model, mut view: VpcView) -> VpcView {
    let named = peers(&view.groups).into_iter().filter(|group| peering::reaches(model, &view.vpc_id, group));
    let names = peering::named(model, &view.vpc_id).into_iter().map(view::names_of);
    let names = names.filter(|_| !view.ports.is_empty());
    let places = std::iter::once(view::places_of(&view.vpc_id));
    view.sections = places.chain(named.map(|group| view::members_of(&group))).chain(names).collect();
    view
}

/// The VPCs a node has ports in, and those at the other ends of their peering connections.
pub(crate) fn view_vpcs<'a>(model: &'a Model, node: &str) -> BTreeSet<&'a str> {
    let own: BTreeSet<&str> =
        model.nodes.get(node).into_iter().flat_map(|node| node.vpcs.keys()).map(String::as_str).collect();
    let peers: Vec<&str> = own.iter().flat_map(|id| model.peerings.of(id)).map(|(_, peer)| peer).collect();
    own.into_iter().chain(peers).collect()
}

/// The VPCs in a node's view, in order. A VPC that only its ports name so far is left out until it is known.
fn node_vpcs<'a>(model: &'a Model, node: &str) -> impl Iterator<Item = (&'a Vpc, &'a VpcEntry)> {
    let ids = view_vpcs(model, node).into_iter();
    ids.filter_map(|id| model.vpcs.get(id)).filter_map(|entry| Some((entry.vpc.as_ref()?, entry)))
}

/// A VPC's head, the node's ports, and their groups; without the keys of sections.
fn local(model: &Model, node: &str, vpc: &Vpc, entry: &VpcEntry) -> VpcView {
    let keys = model.nodes.get(node).and_then(|node| node.vpcs.get(&vpc.id));
    if keys.is_none() {
        // Packets of peers pass through here to where its ports are; nothing else of it matters.
        let peerings = peering::views(model, node, &vpc.id);
        let six = peerings.iter().any(|peering| !peering.peer_ipv6_cidrs.is_empty());
        return VpcView {
            vpc_id: vpc.id.clone(),
            cidr: vpc.cidr.clone(),
            vni: vpc.vni,
            routed: true,
            more_cidrs: vpc.more_cidrs.clone(),
            ipv6_cidrs: if six { vpc.ipv6_cidrs.clone() } else { Vec::new() },
            peerings,
            ..VpcView::default()
        };
    }
    let seen = |port: &LivePort| PortView {
        flow_log: model.is_logged(&vpc.id, &port.view),
        routed_to: model.is_target(&vpc.id, &port.view),
        ipv6_addresses: ipv6_addresses(vpc, entry, &port.view),
        ..port.view.clone()
    };
    let ports: Vec<PortView> = keys.into_iter().flatten().filter_map(|key| entry.ports.get(key)).map(seen).collect();
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
        route_tables: route_tables(model, vpc, entry, &used),
        network_acls: network_acls(vpc, entry, &used),
        internet_gateway: !vpc.internet_gateway_id.is_empty(),
        routed: true,
        groups: groups.collect(),
        ports,
        dns_off: vpc.dns_off,
        public_names_off: vpc.public_names_off,
        dhcp_options: vpc.dhcp_options.clone(),
        more_cidrs: vpc.more_cidrs.clone(),
        ipv6_cidrs: vpc.ipv6_cidrs.clone(),
        peerings: peering::views(model, node, &vpc.id),
        // Of earlier formats, and said by sections.
        ..VpcView::default()
    }
}

/// Whether it is the text of an IPv6 block.
fn is_six(block: &str) -> bool {
    block.contains(':')
}

/// Whether one block is a part of another. What is no IPv6 block is of none.
fn is_within(part: &str, block: &str) -> bool {
    let parsed = |text: &str| text.parse::<Ipv6Net>().ok();
    parsed(part).zip(parsed(block)).is_some_and(|(part, block)| block.contains(&part))
}

/// A subnet's IPv6 block, once its VPC is known to have it.
fn ipv6_cidr<'a>(vpc: &Vpc, subnet: &'a Subnet) -> Option<&'a String> {
    Some(&subnet.ipv6_cidr).filter(|cidr| vpc.ipv6_cidrs.iter().any(|block| is_within(cidr, block)))
}

/// A port's IPv6 addresses, as far as its subnet is known to have their block: which of the two is told first is open.
fn ipv6_addresses(vpc: &Vpc, entry: &VpcEntry, port: &PortView) -> Vec<String> {
    if vpc.ipv6_cidrs.is_empty() || port.ipv6_addresses.is_empty() {
        return Vec::new();
    }
    let cidr = entry.subnets.get(&port.subnet_id).and_then(|subnet| ipv6_cidr(vpc, subnet));
    let Some(cidr) = cidr.and_then(|cidr| cidr.parse::<Ipv6Net>().ok()) else { return Vec::new() };
    let own = |address: &&String| address.parse().is_ok_and(|address: Ipv6Addr| cidr.contains(&address));
    port.ipv6_addresses.iter().filter(own).cloned().collect()
}

fn subnet_view(vpc: &Vpc, entry: &VpcEntry, subnet: &Subnet, used: &BTreeSet<&String>) -> SubnetView {
    let table = table_of(vpc, entry, subnet).map_or(0, |table| table.number);
    let acl = Some(subnet).filter(|subnet| used.contains(&subnet.id)).and_then(|subnet| acl_of(vpc, entry, subnet));
    SubnetView {
        id: subnet.id.clone(),
        cidr: subnet.cidr.clone(),
        route_table: table,
        network_acl: acl.cloned().unwrap_or_default(),
        ipv6_cidr: ipv6_cidr(vpc, subnet).cloned().unwrap_or_default(),
    }
}

/// The subnet's network ACL; `None`: everything passes. One that is not known stops everything.
fn acl_of<'a>(vpc: &Vpc, entry: &'a VpcEntry, subnet: &'a Subnet) -> Option<&'a String> {
    let id = Some(entry.named_by(subnet).1).filter(|id| !id.is_empty())?;
    // Where there is no IPv6, what an ACL says of it is no matter.
    let families = if vpc.ipv6_cidrs.is_empty() { &EVERYWHERE[..1] } else { &EVERYWHERE[..] };
    let ways = || [false, true].into_iter();
    let passes_both = |acl: &NetworkAcl| families.iter().all(|all| ways().all(|egress| passes_all(acl, egress, all)));
    let passes = entry.acls.get(id).is_some_and(passes_both);
    (!passes).then_some(id)
}

/// Whether an ACL lets everything of the family that `everywhere` is of through one way: what comes first, of what denies
/// and what allows all.
fn passes_all(acl: &NetworkAcl, egress: bool, everywhere: &str) -> bool {
    let all = |entry: &&NetworkAclEntry| entry.protocol == -1 && entry.cidr == everywhere;
    let of_family = |entry: &&NetworkAclEntry| is_six(&entry.cidr) == is_six(everywhere);
    let decides = |entry: &&NetworkAclEntry| entry.egress == egress && of_family(entry) && (!entry.allow || all(entry));
    acl.entries.iter().filter(decides).min_by_key(|entry| entry.number).is_some_and(|entry| entry.allow)
}

/// The ACLs of these subnets that stop something.
fn network_acls(vpc: &Vpc, entry: &VpcEntry, subnets: &BTreeSet<&String>) -> Vec<NetworkAclView> {
    let subnets = subnets.iter().filter_map(|id| entry.subnets.get(*id));
    let ids: BTreeSet<&String> = subnets.filter_map(|subnet| acl_of(vpc, entry, subnet)).collect();
    let entries = |id: &String| entry.acls.get(id).map_or_else(Vec::new, |acl| acl.entries.clone());
    ids.into_iter().map(|id| NetworkAclView { id: id.clone(), entries: entries(id) }).collect()
}

/// The subnet's own table, or the VPC's main one; `None` while it is on its way.
fn table_of<'a>(vpc: &Vpc, entry: &'a VpcEntry, subnet: &'a Subnet) -> Option<&'a RouteTable> {
    let own = Some(entry.named_by(subnet).0).filter(|id| !id.is_empty());
    entry.tables.get(own.unwrap_or(&vpc.main_route_table_id))
}

/// The tables of these subnets.
fn route_tables(model: &Model, vpc: &Vpc, entry: &VpcEntry, subnets: &BTreeSet<&String>) -> Vec<RouteTableView> {
    let subnets = subnets.iter().filter_map(|id| entry.subnets.get(*id));
    let tables: BTreeMap<u32, &RouteTable> =
        subnets.filter_map(|subnet| table_of(vpc, entry, subnet)).map(|table| (table.number, table)).collect();
    let view = |(number, table): (u32, &RouteTable)| RouteTableView {
        number,
        routes: routes(model, vpc, entry, table, false),
        ipv6_routes: if vpc.ipv6_cidrs.is_empty() { Vec::new() } else { routes(model, vpc, entry, table, true) },
    };
    tables.into_iter().map(view).collect()
}

/// A table's routes to blocks of one family.
fn routes(model: &Model, vpc: &Vpc, entry: &VpcEntry, table: &RouteTable, six: bool) -> Vec<RouteView> {
    let views = |route: &Route| match transit::gateway_of(route) {
        Some(gateway) => transit::routes(model, vpc, table, route, gateway),
        None => vec![route_view(model, vpc, entry, route)],
    };
    table.routes.iter().filter(|route| is_six(&route.destination) == six).flat_map(views).collect()
}

/// Where an interface is, its VPC's nodes know from its address: when it moves, no route changes.
fn route_view(model: &Model, vpc: &Vpc, entry: &VpcEntry, route: &Route) -> RouteView {
    let mut view = RouteView { destination: route.destination.clone(), ..RouteView::default() };
    let six = is_six(&route.destination);
    let hop = match &route.target {
        // A next hop has an IPv4 address, and takes nothing else.
        _ if six => None,
        Some(Target::NetworkInterfaceId(id)) => entry.interfaces.get(id).map(|(address, _)| address),
        Some(Target::NatGatewayId(id)) => model.nat_hop(&vpc.id, id),
        _ => None,
    };
    let target = match &route.target {
        Some(Target::VpcPeeringId(id)) if peering::leads(model, &vpc.id, id, six) => {
            view.peering_id.clone_from(id);
            RouteTarget::Peering
        }
        Some(Target::InternetGatewayId(id)) if !id.is_empty() && *id == vpc.internet_gateway_id => {
            RouteTarget::Internet
        }
        Some(Target::EgressOnlyGatewayId(id)) if six && !id.is_empty() && *id == vpc.egress_only_gateway_id => {
            RouteTarget::EgressOnly
        }
        _ => match hop {
            Some(hop) => {
                view.next_hop.clone_from(hop);
                RouteTarget::Interface
            }
            None => RouteTarget::Blackhole,
        },
    };
    view.set_target(target);
    view
}

/// The groups that rules of `groups` name, in order.
fn peers(groups: &[GroupView]) -> BTreeSet<String> {
    let peers = groups.iter().flat_map(|group| &group.rules).filter_map(|rule| match &rule.peer {
        Some(Peer::GroupId(id)) => Some(id.clone()),
        Some(Peer::Cidr(_)) | None => None,
    });
    peers.collect()
}
