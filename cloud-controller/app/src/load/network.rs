//! Of the virtual network: VPCs, subnets, route tables, network ACLs, security groups.

use super::prefix_lists::{Lists, rules};
use super::{found, peerings, removed, transit};
use crate::dhcp;
use crate::network::dns_domain;
use ipnet::{IpNet, Ipv4Net};
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::route::Target;
use mallee_proto::v1::{
    DhcpOptions, FlowLog, NetworkAcl, NetworkAclEntry, ObjectKind, Route, RouteTable, SecurityGroup, Subnet, Vpc,
};
use mallee_store::{
    DhcpOptionsDoc, EgressOnlyGatewayFilter, FlowLogFilter, FlowLogRow, NetworkAclAssociationFilter,
    NetworkAclEntryRow, NetworkAclFilter, NetworkAclRow, RouteAssociationFilter, RouteRow, RouteTableFilter,
    RouteTableRow, SecurityGroupRow, SecurityGroupRuleRow, Store, StoreError, SubnetIpv6CidrRow, SubnetRow,
    TO_EGRESS_ONLY_GATEWAY, TO_INTERNET_GATEWAY, TO_NAT_GATEWAY, TO_NETWORK_INTERFACE, TO_TRANSIT_GATEWAY,
    TO_VPC_PEERING, Tx, VpcIpv6CidrRow, VpcRow, dhcp_options_list_used, egress_only_gateway_list, flow_log_list,
    internet_gateway_list_attached, network_acl_association_list, network_acl_entry_list, network_acl_list,
    route_association_list, route_list, route_table_list, security_group_fetch, security_group_list_all,
    security_group_rule_list_all, security_group_rules_of, subnet_fetch, subnet_ipv6_cidr_list, subnet_list_all,
    vpc_blocks, vpc_cidr_list, vpc_fetch, vpc_ipv6_cidr_list, vpc_list_all,
};
use mallee_types::{
    DhcpOptionsId, EgressOnlyGatewayId, FlowLogId, GroupId, InternetGatewayId, NetworkAclId, RouteTableId, SubnetId,
    VpcId,
};
use std::collections::BTreeMap;

/// Rows read at once.
const PAGE: u32 = 1000;

/// What belongs to a VPC's row.
#[derive(Debug, Default)]
struct Parts<'a> {
    gateway: Option<&'a InternetGatewayId>,
    main: Option<&'a RouteTableId>,
    /// Of a set that is no default one.
    dhcp: Option<&'a DhcpOptionsDoc>,
    /// Blocks besides the first.
    more: &'a [Ipv4Net],
    /// IPv6 blocks.
    ipv6: &'a [VpcIpv6CidrRow],
    /// By which IPv6 leaves, and the world begins nothing.
    outward: Option<&'a EgressOnlyGatewayId>,
}

fn dhcp_options(doc: &DhcpOptionsDoc) -> DhcpOptions {
    DhcpOptions {
        domain_name: doc.domain_name.clone().unwrap_or_default(),
        domain_name_servers: doc.domain_name_servers.clone(),
        ntp_servers: doc.ntp_servers.iter().map(ToString::to_string).collect(),
        netbios_name_servers: doc.netbios_name_servers.iter().map(ToString::to_string).collect(),
        netbios_node_type: doc.netbios_node_type.unwrap_or_default().into(),
    }
}

fn vpc(row: &VpcRow, region: &str, parts: &Parts<'_>) -> Object {
    // As on AWS: without a set guests are told of a resolver by the address that it has everywhere.
    let without_set =
        || DhcpOptions { domain_name_servers: vec![dhcp::LINK_LOCAL_DNS.to_string()], ..Default::default() };
    let dhcp_options = match (&row.dhcp_options_id, parts.dhcp) {
        (None, _) => Some(without_set()),
        (Some(_), Some(doc)) => Some(dhcp_options(doc)),
        (Some(_), None) => None,
    };
    Object::Vpc(Vpc {
        id: row.id.to_string(),
        generation: row.generation.0,
        account_id: row.account_id.to_string(),
        cidr: row.cidr.to_string(),
        vni: row.vni,
        dns_domain: dns_domain(region),
        dns_off: !row.dns_support,
        public_names_off: !row.names_public(),
        internet_gateway_id: parts.gateway.map(ToString::to_string).unwrap_or_default(),
        main_route_table_id: parts.main.map(ToString::to_string).unwrap_or_default(),
        dhcp_options,
        more_cidrs: parts.more.iter().map(ToString::to_string).collect(),
        ipv6_cidrs: parts.ipv6.iter().map(|block| block.cidr.to_string()).collect(),
        egress_only_gateway_id: parts.outward.map(ToString::to_string).unwrap_or_default(),
    })
}

fn subnet(
    row: &SubnetRow,
    table: Option<&RouteTableId>,
    acl: Option<&NetworkAclId>,
    ipv6: Option<&SubnetIpv6CidrRow>,
) -> Object {
    Object::Subnet(Subnet {
        id: row.id.to_string(),
        generation: row.generation.0,
        vpc_id: row.vpc_id.to_string(),
        cidr: row.cidr.to_string(),
        zone: row.zone.to_string(),
        route_table_id: table.map(ToString::to_string).unwrap_or_default(),
        network_acl_id: acl.map(ToString::to_string).unwrap_or_default(),
        ipv6_cidr: ipv6.map(|block| block.cidr.to_string()).unwrap_or_default(),
    })
}

/// All blocks of a VPC.
fn own_blocks(four: &[Ipv4Net], six: &[VpcIpv6CidrRow]) -> Vec<IpNet> {
    four.iter().copied().map(IpNet::V4).chain(six.iter().map(|row| row.cidr.into())).collect()
}

fn route_table(row: &RouteTableRow, own: &[IpNet], routes: &[RouteRow], lists: &Lists) -> Object {
    let target = |route: &RouteRow| match route.target_kind.as_str() {
        TO_INTERNET_GATEWAY => Some(Target::InternetGatewayId(route.target_id.clone())),
        TO_EGRESS_ONLY_GATEWAY => Some(Target::EgressOnlyGatewayId(route.target_id.clone())),
        TO_VPC_PEERING => Some(Target::VpcPeeringId(route.target_id.clone())),
        TO_TRANSIT_GATEWAY => Some(Target::TransitGatewayId(route.target_id.clone())),
        TO_NAT_GATEWAY => Some(Target::NatGatewayId(route.target_id.clone())),
        TO_NETWORK_INTERFACE => Some(Target::NetworkInterfaceId(route.target_id.clone())),
        _ => None,
    };
    let routes = lists.routes(own, routes).into_iter();
    let routes = routes.map(|(to, route)| Route { destination: to.to_string(), target: target(route) });
    Object::RouteTable(RouteTable {
        id: row.id.to_string(),
        generation: row.generation.0,
        vpc_id: row.vpc_id.to_string(),
        number: row.number,
        routes: routes.collect(),
    })
}

/// A port, or a type or code of ICMP; -1: all.
fn port(port: Option<i64>) -> i32 {
    port.and_then(|p| i32::try_from(p).ok()).unwrap_or(-1)
}

fn network_acl(row: &NetworkAclRow, entries: &[NetworkAclEntryRow]) -> Object {
    let entries = entries.iter().map(|entry| NetworkAclEntry {
        number: entry.number,
        egress: entry.egress,
        allow: entry.allow,
        protocol: i32::try_from(entry.protocol).unwrap_or(-1),
        cidr: entry.cidr.to_string(),
        from_port: port(entry.from_port),
        to_port: port(entry.to_port),
    });
    Object::NetworkAcl(NetworkAcl {
        id: row.id.to_string(),
        generation: row.generation.0,
        vpc_id: row.vpc_id.to_string(),
        entries: entries.collect(),
    })
}

fn group(row: &SecurityGroupRow, rows: &[SecurityGroupRuleRow], lists: &Lists) -> Object {
    Object::Group(SecurityGroup {
        id: row.id.to_string(),
        generation: row.generation.0,
        vpc_id: row.vpc_id.to_string(),
        name: row.name.clone(),
        rules: rows.iter().flat_map(|rule| rules(lists, rule)).collect(),
    })
}

/// One VPC as it is now, or its removal.
pub(super) async fn vpc_object(store: &Store, id: &VpcId, region: &str) -> Result<Object, StoreError> {
    let Some(row) = found(vpc_fetch(store, id).await)? else { return Ok(removed(ObjectKind::Vpc, id)) };
    let gateway = internet_gateway_list_attached(store, Some(std::slice::from_ref(id)), None, 1).await?.pop();
    let filter = RouteAssociationFilter { vpc: Some(id), main: true, ..Default::default() };
    let main = route_association_list(store, filter).await?.pop();
    let set = row.dhcp_options_id.as_slice();
    let dhcp = dhcp_options_list_used(store, Some(set), None, 1).await?.pop();
    let blocks = vpc_blocks(store, &row).await?;
    let ipv6 = vpc_ipv6_cidr_list(store, Some(std::slice::from_ref(id))).await?;
    let filter = EgressOnlyGatewayFilter { vpcs: Some(std::slice::from_ref(id)), ..Default::default() };
    let outward = egress_only_gateway_list(store, filter, 1).await?.pop();
    let parts = Parts {
        outward: outward.as_ref().map(|gateway| &gateway.id),
        gateway: gateway.as_ref().map(|gateway| &gateway.id),
        main: main.as_ref().map(|main| &main.table_id),
        dhcp: dhcp.as_ref().map(|set| &set.doc.0),
        more: blocks.get(1..).unwrap_or_default(),
        ipv6: &ipv6,
    };
    Ok(vpc(&row, region, &parts))
}

/// One subnet as it is now, or its removal.
pub(super) async fn subnet_object(store: &Store, id: &SubnetId) -> Result<Object, StoreError> {
    let Some(row) = found(subnet_fetch(store, id).await)? else { return Ok(removed(ObjectKind::Subnet, id)) };
    let filter = RouteAssociationFilter { subnet: Some(id), ..Default::default() };
    let own = route_association_list(store, filter).await?.pop();
    let filter = NetworkAclAssociationFilter { subnet: Some(id), ..Default::default() };
    let acl = network_acl_association_list(store, filter).await?.pop();
    let ipv6 = subnet_ipv6_cidr_list(store, Some(std::slice::from_ref(id))).await?.pop();
    Ok(subnet(&row, own.as_ref().map(|own| &own.table_id), acl.as_ref().map(|acl| &acl.acl_id), ipv6.as_ref()))
}

/// One network ACL as it is now, or its removal.
pub(super) async fn network_acl_object(store: &Store, id: &NetworkAclId) -> Result<Object, StoreError> {
    let ids = std::slice::from_ref(id);
    let filter = NetworkAclFilter { ids: Some(ids), ..Default::default() };
    let Some(row) = network_acl_list(store, filter, 1).await?.pop() else {
        return Ok(removed(ObjectKind::NetworkAcl, id));
    };
    Ok(network_acl(&row, &network_acl_entry_list(store, ids).await?))
}

/// Every network ACL of the cloud.
async fn all_network_acls(tx: &mut Tx) -> Result<Vec<Object>, StoreError> {
    let mut out = Vec::new();
    let mut after = None;
    loop {
        let filter = NetworkAclFilter { after: after.as_ref(), ..Default::default() };
        let page = network_acl_list(&mut *tx, filter, PAGE).await?;
        let Some(last) = page.last() else { return Ok(out) };
        after = Some(last.id.clone());
        let ids: Vec<NetworkAclId> = page.iter().map(|row| row.id.clone()).collect();
        let mut entries: BTreeMap<NetworkAclId, Vec<_>> = BTreeMap::new();
        for entry in network_acl_entry_list(&mut *tx, &ids).await? {
            entries.entry(entry.acl_id.clone()).or_default().push(entry);
        }
        out.extend(page.iter().map(|row| network_acl(row, entries.get(&row.id).map_or(&[], Vec::as_slice))));
    }
}

/// One route table as it is now, or its removal.
pub(super) async fn route_table_object(store: &Store, id: &RouteTableId) -> Result<Object, StoreError> {
    let ids = std::slice::from_ref(id);
    let filter = RouteTableFilter { ids: Some(ids), ..Default::default() };
    let Some(row) = route_table_list(store, filter, 1).await?.pop() else {
        return Ok(removed(ObjectKind::RouteTable, id));
    };
    let routes = route_list(store, ids).await?;
    let lists = Lists::named(store, routes.iter().filter_map(|route| route.destination.list())).await?;
    // A table whose VPC has just gone is about to go as well.
    let four = match found(vpc_fetch(store, &row.vpc_id).await)? {
        Some(vpc) => vpc_blocks(store, &vpc).await?,
        None => Vec::new(),
    };
    let own = own_blocks(&four, &vpc_ipv6_cidr_list(store, Some(std::slice::from_ref(&row.vpc_id))).await?);
    Ok(route_table(&row, &own, &routes, &lists))
}

/// One security group as it is now, or its removal.
pub(super) async fn group_object(store: &Store, id: &GroupId) -> Result<Object, StoreError> {
    Ok(match found(security_group_fetch(store, id).await)? {
        Some(row) => {
            let rules = security_group_rules_of(store, id).await?;
            let lists = Lists::named(store, rules.iter().filter_map(|rule| rule.prefix_list.as_ref())).await?;
            group(&row, &rules, &lists)
        }
        None => removed(ObjectKind::Group, id),
    })
}

/// Nothing of a flow log that a cluster knows ever changes.
fn flow_log(row: &FlowLogRow) -> Object {
    Object::FlowLog(FlowLog {
        id: row.id.to_string(),
        generation: 1,
        vpc_id: row.vpc_id.to_string(),
        resource_id: row.resource_id.clone(),
    })
}

pub(super) async fn flow_log_object(store: &Store, id: &FlowLogId) -> Result<Object, StoreError> {
    let filter = FlowLogFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
    let found = flow_log_list(store, filter, 1).await?.pop();
    Ok(found.map_or_else(|| removed(ObjectKind::FlowLog, id), |row| flow_log(&row)))
}

/// All of the virtual network, as it was at one moment: an object with the generation of one change and the contents of
/// another would be believed, and the right one of that generation would not.
pub(super) async fn all_objects(tx: &mut Tx, region: &str) -> Result<Vec<Object>, StoreError> {
    let mut gateways: BTreeMap<VpcId, InternetGatewayId> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = internet_gateway_list_attached(&mut *tx, None, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        gateways.extend(page.into_iter().filter_map(|gateway| Some((gateway.vpc_id?, gateway.id))));
    }
    let mut outward: BTreeMap<VpcId, EgressOnlyGatewayId> = BTreeMap::new();
    let mut after = None;
    loop {
        let filter = EgressOnlyGatewayFilter { after: after.as_ref(), ..Default::default() };
        let page = egress_only_gateway_list(&mut *tx, filter, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        outward.extend(page.into_iter().map(|gateway| (gateway.vpc_id, gateway.id)));
    }
    let (mut mains, mut own) = (BTreeMap::new(), BTreeMap::new());
    for row in route_association_list(&mut *tx, RouteAssociationFilter::default()).await? {
        match row.subnet_id {
            Some(subnet) => drop(own.insert(subnet, row.table_id)),
            None => drop(mains.insert(row.vpc_id, row.table_id)),
        }
    }
    let mut sets: BTreeMap<DhcpOptionsId, DhcpOptionsDoc> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = dhcp_options_list_used(&mut *tx, None, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        sets.extend(page.into_iter().map(|set| (set.id, set.doc.0)));
    }
    let vpcs = vpc_list_all(&mut *tx).await?;
    let mut blocks: BTreeMap<VpcId, Vec<Ipv4Net>> = vpcs.iter().map(|vpc| (vpc.id.clone(), vec![vpc.cidr])).collect();
    for row in vpc_cidr_list(&mut *tx, None).await? {
        if let Some(blocks) = blocks.get_mut(&row.vpc_id) {
            blocks.push(row.cidr);
        }
    }
    let mut of_six: BTreeMap<VpcId, Vec<VpcIpv6CidrRow>> = BTreeMap::new();
    for row in vpc_ipv6_cidr_list(&mut *tx, None).await? {
        of_six.entry(row.vpc_id.clone()).or_default().push(row);
    }
    let lists = Lists::all(tx).await?;
    let mut out: Vec<Object> = Vec::with_capacity(vpcs.len());
    out.extend(vpcs.iter().map(|row| {
        let parts = Parts {
            gateway: gateways.get(&row.id),
            outward: outward.get(&row.id),
            main: mains.get(&row.id),
            dhcp: row.dhcp_options_id.as_ref().and_then(|id| sets.get(id)),
            more: blocks.get(&row.id).and_then(|blocks| blocks.get(1..)).unwrap_or_default(),
            ipv6: of_six.get(&row.id).map(Vec::as_slice).unwrap_or_default(),
        };
        vpc(row, region, &parts)
    }));
    // After the VPCs they are between, before the routes that lead over them.
    out.extend(peerings::all(tx).await?);
    out.extend(transit::all(tx).await?);
    // Before the subnets that have them: while an ACL is not known, nothing passes.
    out.extend(all_network_acls(tx).await?);
    let acls = network_acl_association_list(&mut *tx, NetworkAclAssociationFilter::default()).await?;
    let acls: BTreeMap<SubnetId, NetworkAclId> = acls.into_iter().map(|row| (row.subnet_id, row.acl_id)).collect();
    let six = subnet_ipv6_cidr_list(&mut *tx, None).await?;
    let six: BTreeMap<&SubnetId, &SubnetIpv6CidrRow> = six.iter().map(|row| (&row.subnet_id, row)).collect();
    let subnets = subnet_list_all(&mut *tx).await?;
    let told = |row: &SubnetRow| subnet(row, own.get(&row.id), acls.get(&row.id), six.get(&row.id).copied());
    out.extend(subnets.iter().map(told));
    let mut after = None;
    loop {
        let filter = RouteTableFilter { after: after.as_ref(), ..Default::default() };
        let page = route_table_list(&mut *tx, filter, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        let ids: Vec<RouteTableId> = page.iter().map(|row| row.id.clone()).collect();
        let mut routes: BTreeMap<RouteTableId, Vec<RouteRow>> = BTreeMap::new();
        for route in route_list(&mut *tx, &ids).await? {
            routes.entry(route.table_id.clone()).or_default().push(route);
        }
        out.extend(page.iter().map(|row| {
            let four = blocks.get(&row.vpc_id).map_or(&[][..], Vec::as_slice);
            let own = own_blocks(four, of_six.get(&row.vpc_id).map_or(&[][..], Vec::as_slice));
            route_table(row, &own, routes.get(&row.id).map_or(&[], Vec::as_slice), &lists)
        }));
    }
    let mut after = None;
    loop {
        let filter = FlowLogFilter { after: after.as_ref(), ..Default::default() };
        let page = flow_log_list(&mut *tx, filter, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        out.extend(page.iter().map(flow_log));
    }
    let mut rules: BTreeMap<GroupId, Vec<_>> = BTreeMap::new();
    for rule in security_group_rule_list_all(&mut *tx).await? {
        rules.entry(rule.group_id.clone()).or_default().push(rule);
    }
    for row in security_group_list_all(&mut *tx).await? {
        out.push(group(&row, rules.get(&row.id).map(Vec::as_slice).unwrap_or_default(), &lists));
    }
    Ok(out)
}
