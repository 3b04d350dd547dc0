//! I3 of routes: an interface that one leads to is of the table's VPC, the VPC's own addresses lead to interfaces only, and
//! nothing leads to what takes none of its family.

use crate::Cloud;
use crate::fail::OrFail as _;
use crate::prefix_lists::{Sizes, sizes};
use ipnet::Ipv4Net;
use mallee_awswire::ApiError;
use mallee_store::{
    InterfaceRow, PAGE_ROWS_MAX, RouteDestination, RouteRow, RouteTableFilter, RouteTableRow, TO_EGRESS_ONLY_GATEWAY,
    TO_INTERNET_GATEWAY, TO_NAT_GATEWAY, TO_NETWORK_INTERFACE, TO_TRANSIT_GATEWAY, TO_VPC_PEERING, route_list,
    route_table_list, vpc_cidr_list, vpc_list_all,
};
use mallee_types::{InterfaceId, NatGatewayId, RouteTableId, VpcId};
use std::collections::BTreeMap;

/// How many tables there are, and what is wrong: about which, and why.
pub(crate) async fn differences(
    cloud: &Cloud,
    interfaces: &BTreeMap<InterfaceId, InterfaceRow>,
    gateways: &BTreeMap<NatGatewayId, VpcId>,
) -> Result<(usize, Vec<(String, String)>), ApiError> {
    let vpcs = vpc_list_all(cloud.store()).await.or_fail()?;
    let mut blocks: BTreeMap<VpcId, Vec<Ipv4Net>> = vpcs.into_iter().map(|vpc| (vpc.id, vec![vpc.cidr])).collect();
    for row in vpc_cidr_list(cloud.store(), None).await.or_fail()? {
        blocks.entry(row.vpc_id).or_default().push(row.cidr);
    }
    let (mut count, mut found) = (0, Vec::new());
    let mut after: Option<RouteTableId> = None;
    loop {
        let filter = RouteTableFilter { after: after.as_ref(), ..Default::default() };
        let tables = route_table_list(cloud.store(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        let Some(last) = tables.last() else { return Ok((count, found)) };
        count += tables.len();
        after = Some(last.id.clone());
        let ids: Vec<RouteTableId> = tables.iter().map(|table| table.id.clone()).collect();
        let routes = route_list(cloud.store(), &ids).await.or_fail()?;
        let mut tx = cloud.store().read().await.or_fail()?;
        let lists = sizes(&mut tx, routes.iter().filter_map(|route| route.destination.list())).await?;
        drop(tx);
        for route in routes {
            let table = tables.iter().find(|table| table.id == route.table_id);
            let problem = table.and_then(|table| {
                let own = blocks.get(&table.vpc_id).map_or(&[][..], Vec::as_slice);
                of_route(table, &route, own, &lists, interfaces, gateways)
            });
            found.extend(problem.map(|problem| (route.table_id.to_string(), problem)));
        }
    }
}

fn of_route(
    table: &RouteTableRow,
    route: &RouteRow,
    own: &[Ipv4Net],
    lists: &Sizes,
    interfaces: &BTreeMap<InterfaceId, InterfaceRow>,
    gateways: &BTreeMap<NatGatewayId, VpcId>,
) -> Option<String> {
    let RouteRow { destination, target_kind, target_id, .. } = route;
    let six = match destination {
        RouteDestination::Block(_) => false,
        RouteDestination::Ipv6(_) => true,
        RouteDestination::List(list) => lists.is_six(list),
    };
    let fits = match target_kind.as_str() {
        TO_EGRESS_ONLY_GATEWAY => six,
        TO_INTERNET_GATEWAY | TO_VPC_PEERING => true,
        _ => !six,
    };
    if !fits {
        return Some(format!("leads {destination} to {target_id}, which takes nothing of that family"));
    }
    let port = match target_kind.as_str() {
        TO_NETWORK_INTERFACE => Some(target_id.parse().ok().and_then(|id| interfaces.get(&id)).map(|row| &row.vpc_id)),
        TO_NAT_GATEWAY => Some(target_id.parse().ok().and_then(|id| gateways.get(&id))),
        _ => None,
    };
    if let Some(vpc) = port {
        let strange = vpc.filter(|vpc| **vpc != table.vpc_id);
        return strange.map(|vpc| format!("leads {destination} to {target_id}, which is of {vpc}"));
    }
    let within = matches!(destination, RouteDestination::Block(to) if own.iter().any(|block| block.contains(to)));
    let gateway = [TO_INTERNET_GATEWAY, TO_VPC_PEERING, TO_TRANSIT_GATEWAY].contains(&target_kind.as_str());
    (within && gateway).then(|| format!("leads {destination} of its own VPC to {target_id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipnet::Ipv6Net;
    use mallee_store::{InterfaceKind, PrefixListFamily, PrefixListRow, PrefixListState};
    use mallee_types::{Generation, MacAddress, PrefixListId, SubnetId};

    #[test]
    fn routes_to_interfaces_of_other_vpcs_and_own_addresses_by_a_gateway_are_found() {
        let account: mallee_types::AccountId = "123456789012".parse().unwrap();
        let table = RouteTableRow {
            id: RouteTableId::from_random(1),
            account_id: account.clone(),
            vpc_id: VpcId::from_random(1),
            number: 1,
            generation: Generation(1),
            created_ms: 0,
        };
        let interface = |n: u128| InterfaceRow {
            id: InterfaceId::from_random(n),
            account_id: account.clone(),
            vpc_id: VpcId::from_random(n),
            subnet_id: SubnetId::from_random(n),
            zone: "local-1a".parse().unwrap(),
            mac: MacAddress::from_random(1),
            private_ip: "10.0.0.9".parse().unwrap(),
            instance_id: None,
            attachment_id: None,
            device_index: None,
            source_dest_check: false,
            delete_on_termination: false,
            description: String::new(),
            created_ms: 0,
            kind: InterfaceKind::Interface,
        };
        let interfaces: BTreeMap<_, _> = [1, 2].map(interface).into_iter().map(|row| (row.id.clone(), row)).collect();
        let gateways = [1, 2].map(|n| (NatGatewayId::from_random(n), VpcId::from_random(n))).into_iter().collect();
        let own: [Ipv4Net; 1] = ["10.0.0.0/16".parse().unwrap()];
        let list = |n: u128, family| PrefixListRow {
            id: PrefixListId::from_random(n),
            account_id: account.clone(),
            name: "n".into(),
            max_entries: 1,
            version: 1,
            state: PrefixListState::Created,
            created_ms: 0,
            family,
        };
        let mut lists = Sizes::default();
        lists.add([list(1, PrefixListFamily::Ipv4), list(2, PrefixListFamily::Ipv6)]);
        let of_list = |n: u128| PrefixListId::from_random(n).to_string();
        let wrong = |to: &str, kind: &str, id: &str| {
            let four = to.parse::<Ipv4Net>().map(RouteDestination::from);
            let six = || to.parse::<Ipv6Net>().map(RouteDestination::from);
            let destination = four.or_else(|_| six()).unwrap_or_else(|_| RouteDestination::List(to.parse().unwrap()));
            let (table_id, target_kind) = (table.id.clone(), kind.to_owned());
            let route = RouteRow { table_id, destination, target_kind, target_id: id.to_owned() };
            of_route(&table, &route, &own, &lists, &interfaces, &gateways).is_some()
        };
        let id = |n: u128| InterfaceId::from_random(n).to_string();
        assert!(wrong("0.0.0.0/0", TO_NETWORK_INTERFACE, &id(2)));
        assert!(!wrong("10.0.1.0/24", TO_NETWORK_INTERFACE, &id(1)));
        assert!(!wrong("0.0.0.0/0", TO_NETWORK_INTERFACE, &id(3)), "one that is gone leads nowhere");
        let nat = |n: u128| NatGatewayId::from_random(n).to_string();
        assert!(wrong("0.0.0.0/0", TO_NAT_GATEWAY, &nat(2)));
        assert!(!wrong("0.0.0.0/0", TO_NAT_GATEWAY, &nat(1)) && !wrong("0.0.0.0/0", TO_NAT_GATEWAY, &nat(3)));
        assert!(
            wrong("10.0.1.0/24", TO_INTERNET_GATEWAY, "igw-1") && wrong("10.0.1.0/24", TO_TRANSIT_GATEWAY, "tgw-1")
        );
        assert!(!wrong("0.0.0.0/0", TO_INTERNET_GATEWAY, "igw-1"));
        assert!(!wrong("::/0", TO_INTERNET_GATEWAY, "igw-1") && !wrong("::/0", TO_EGRESS_ONLY_GATEWAY, "eigw-1"));
        let (four, six) = (of_list(1), of_list(2));
        assert!(wrong(&four, TO_EGRESS_ONLY_GATEWAY, "eigw-1") && !wrong(&six, TO_EGRESS_ONLY_GATEWAY, "eigw-1"));
        assert!(wrong(&six, TO_TRANSIT_GATEWAY, "tgw-1") && !wrong(&four, TO_TRANSIT_GATEWAY, "tgw-1"));
        assert!(!wrong(&six, TO_INTERNET_GATEWAY, "igw-1") && !wrong(&four, TO_INTERNET_GATEWAY, "igw-1"));
        assert!(wrong("0.0.0.0/0", TO_EGRESS_ONLY_GATEWAY, "eigw-1") && wrong("::/0", TO_NAT_GATEWAY, &nat(1)));
    }
}
