//! Of the virtual network: VPCs, subnets, route tables, security groups.

use super::prefix_lists::{Lists, rules};
use super::{found, removed};
use crate::network::dns_domain;
use ipnet::Ipv4Net;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::route::Target;
use mallee_proto::v1::{ObjectKind, Route, RouteTable, SecurityGroup, Subnet, Vpc};
use mallee_store::{
    RouteAssociationFilter, RouteRow, RouteTableFilter, RouteTableRow, SecurityGroupRow, SecurityGroupRuleRow, Store,
    StoreError, SubnetRow, TO_INTERNET_GATEWAY, VpcRow, internet_gateway_list_attached, route_association_list,
    route_list, route_table_list, security_group_fetch, security_group_list_all, security_group_rule_list_all,
    security_group_rules_of, subnet_fetch, subnet_list_all, vpc_fetch, vpc_list_all,
};
use mallee_types::{GroupId, InternetGatewayId, RouteTableId, SubnetId, VpcId};
use std::collections::BTreeMap;

/// Rows read at once.
const PAGE: u32 = 1000;

fn vpc(row: &VpcRow, region: &str, gateway: Option<&InternetGatewayId>, main: Option<&RouteTableId>) -> Object {
    Object::Vpc(Vpc {
        id: row.id.to_string(),
        generation: row.generation.0,
        account_id: row.account_id.to_string(),
        cidr: row.cidr.to_string(),
        vni: row.vni,
        dns_domain: dns_domain(region),
        dns_off: !row.dns_support,
        public_names_off: !row.names_public(),
        internet_gateway_id: gateway.map(ToString::to_string).unwrap_or_default(),
        main_route_table_id: main.map(ToString::to_string).unwrap_or_default(),
    })
}

fn subnet(row: &SubnetRow, table: Option<&RouteTableId>) -> Object {
    Object::Subnet(Subnet {
        id: row.id.to_string(),
        generation: row.generation.0,
        vpc_id: row.vpc_id.to_string(),
        cidr: row.cidr.to_string(),
        zone: row.zone.to_string(),
        route_table_id: table.map(ToString::to_string).unwrap_or_default(),
    })
}

fn route_table(row: &RouteTableRow, own: &[Ipv4Net], routes: &[RouteRow], lists: &Lists) -> Object {
    let routes = lists.routes(own, routes).into_iter().map(|(destination, route)| Route {
        destination: destination.to_string(),
        target: (route.target_kind == TO_INTERNET_GATEWAY).then(|| Target::InternetGatewayId(route.target_id.clone())),
    });
    Object::RouteTable(RouteTable {
        id: row.id.to_string(),
        generation: row.generation.0,
        vpc_id: row.vpc_id.to_string(),
        number: row.number,
        routes: routes.collect(),
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
    Ok(vpc(&row, region, gateway.as_ref().map(|gateway| &gateway.id), main.as_ref().map(|main| &main.table_id)))
}

/// One subnet as it is now, or its removal.
pub(super) async fn subnet_object(store: &Store, id: &SubnetId) -> Result<Object, StoreError> {
    let Some(row) = found(subnet_fetch(store, id).await)? else { return Ok(removed(ObjectKind::Subnet, id)) };
    let filter = RouteAssociationFilter { subnet: Some(id), ..Default::default() };
    let own = route_association_list(store, filter).await?.pop();
    Ok(subnet(&row, own.as_ref().map(|own| &own.table_id)))
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
    let own: Vec<Ipv4Net> = found(vpc_fetch(store, &row.vpc_id).await)?.into_iter().map(|vpc| vpc.cidr).collect();
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

/// All of the virtual network.
pub(super) async fn all_objects(store: &Store, region: &str) -> Result<Vec<Object>, StoreError> {
    let mut gateways: BTreeMap<VpcId, InternetGatewayId> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = internet_gateway_list_attached(store, None, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        gateways.extend(page.into_iter().filter_map(|gateway| Some((gateway.vpc_id?, gateway.id))));
    }
    let (mut mains, mut own) = (BTreeMap::new(), BTreeMap::new());
    for row in route_association_list(store, RouteAssociationFilter::default()).await? {
        match row.subnet_id {
            Some(subnet) => drop(own.insert(subnet, row.table_id)),
            None => drop(mains.insert(row.vpc_id, row.table_id)),
        }
    }
    let vpcs = vpc_list_all(store).await?;
    let blocks: BTreeMap<&VpcId, Ipv4Net> = vpcs.iter().map(|vpc| (&vpc.id, vpc.cidr)).collect();
    let lists = Lists::all(store).await?;
    let mut out: Vec<Object> =
        vpcs.iter().map(|row| vpc(row, region, gateways.get(&row.id), mains.get(&row.id))).collect();
    out.extend(subnet_list_all(store).await?.iter().map(|row| subnet(row, own.get(&row.id))));
    let mut after = None;
    loop {
        let filter = RouteTableFilter { after: after.as_ref(), ..Default::default() };
        let page = route_table_list(store, filter, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        let ids: Vec<RouteTableId> = page.iter().map(|row| row.id.clone()).collect();
        let mut routes: BTreeMap<RouteTableId, Vec<RouteRow>> = BTreeMap::new();
        for route in route_list(store, &ids).await? {
            routes.entry(route.table_id.clone()).or_default().push(route);
        }
        out.extend(page.iter().map(|row| {
            let own = blocks.get(&row.vpc_id).map_or(&[][..], std::slice::from_ref);
            route_table(row, own, routes.get(&row.id).map_or(&[], Vec::as_slice), &lists)
        }));
    }
    let mut rules: BTreeMap<GroupId, Vec<_>> = BTreeMap::new();
    for rule in security_group_rule_list_all(store).await? {
        rules.entry(rule.group_id.clone()).or_default().push(rule);
    }
    for row in security_group_list_all(store).await? {
        out.push(group(&row, rules.get(&row.id).map(Vec::as_slice).unwrap_or_default(), &lists));
    }
    Ok(out)
}
