//! I3 of the network's own rows: every VPC is whole, and no address is in two subnets.

use super::overlap;
use crate::Cloud;
use crate::fail::OrFail as _;
use crate::groups::DEFAULT_GROUP;
use ipnet::Ipv4Net;
use mallee_awswire::ApiError;
use mallee_store::{
    InterfaceRow, NetworkAclAssociationFilter, NetworkAclFilter, NetworkAclRow, PAGE_ROWS_MAX, RouteAssociationFilter,
    SubnetRow, VpcCidrRow, VpcRow, network_acl_association_list, network_acl_list, route_association_list,
    security_group_by_name, subnet_ipv6_cidr_list, subnet_list_all, vpc_cidr_list, vpc_ipv6_cidr_list, vpc_list_all,
    vpc_list_strange_dhcp,
};
use std::collections::BTreeMap;

/// How many VPCs there are, and what is wrong: about whom, and why.
pub(crate) async fn differences<'a>(
    cloud: &Cloud,
    interfaces: impl Iterator<Item = &'a InterfaceRow>,
) -> Result<(usize, Vec<(String, String)>), ApiError> {
    let store = cloud.store();
    let vpcs = vpc_list_all(store).await.or_fail()?;
    let subnets = subnet_list_all(store).await.or_fail()?;
    let more = vpc_cidr_list(store, None).await.or_fail()?;
    let mut found = of_rows(&vpcs, &more, &subnets, interfaces);
    let ipv6 = vpc_ipv6_cidr_list(store, None).await.or_fail()?;
    found.extend(super::ipv6::differences(&ipv6));
    let parts = subnet_ipv6_cidr_list(store, None).await.or_fail()?;
    found.extend(super::subnet_ipv6::differences(&ipv6, &subnets, &parts));
    let associations = network_acl_association_list(store, NetworkAclAssociationFilter::default()).await.or_fail()?;
    let with_acl: BTreeMap<&str, &str> =
        associations.iter().map(|row| (row.subnet_id.as_str(), row.acl_id.as_str())).collect();
    let strange = vpc_list_strange_dhcp(store).await.or_fail()?;
    found.extend(strange.into_iter().map(|vpc| (vpc.to_string(), "has dhcp options of another account".to_owned())));
    for vpc in &vpcs {
        let filter = NetworkAclFilter { vpcs: Some(std::slice::from_ref(&vpc.id)), ..Default::default() };
        let acls = network_acl_list(store, filter, PAGE_ROWS_MAX).await.or_fail()?;
        found.extend(of_acls(vpc, &acls, &subnets, &with_acl));
        let filter = RouteAssociationFilter { vpc: Some(&vpc.id), ..Default::default() };
        let associations = route_association_list(store, filter).await.or_fail()?;
        if !associations.iter().any(|association| association.subnet_id.is_none()) {
            found.push((vpc.id.to_string(), "has no main route table".to_owned()));
        }
        if security_group_by_name(store, &vpc.id, DEFAULT_GROUP).await.or_fail()?.is_none() {
            found.push((vpc.id.to_string(), "has no default security group".to_owned()));
        }
    }
    Ok((vpcs.len(), found))
}

/// Every VPC has a default ACL, and every subnet of it one of its ACLs.
fn of_acls(
    vpc: &VpcRow,
    acls: &[NetworkAclRow],
    subnets: &[SubnetRow],
    with_acl: &BTreeMap<&str, &str>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if !acls.iter().any(|acl| acl.is_default) {
        found.push((vpc.id.to_string(), "has no default network ACL".to_owned()));
    }
    for subnet in subnets.iter().filter(|subnet| subnet.vpc_id == vpc.id) {
        match with_acl.get(subnet.id.as_str()) {
            None => found.push((subnet.id.to_string(), "has no network ACL".to_owned())),
            Some(id) if !acls.iter().any(|acl| acl.id.as_str() == *id) => {
                found.push((subnet.id.to_string(), format!("has network ACL {id}, which is not one of {}", vpc.id)));
            }
            Some(_) => {}
        }
    }
    found
}

fn of_rows<'a>(
    vpcs: &[VpcRow],
    more: &[VpcCidrRow],
    subnets: &[SubnetRow],
    interfaces: impl Iterator<Item = &'a InterfaceRow>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut blocks: BTreeMap<&str, Vec<Ipv4Net>> = vpcs.iter().map(|vpc| (vpc.id.as_str(), vec![vpc.cidr])).collect();
    for row in more {
        let blocks = blocks.entry(row.vpc_id.as_str()).or_default();
        if let Some(other) = blocks.iter().find(|other| overlap(other, &row.cidr)) {
            found.push((row.id.to_string(), format!("{} overlaps {other} of {}", row.cidr, row.vpc_id)));
        }
        blocks.push(row.cidr);
    }
    let within = |subnet: &SubnetRow| {
        blocks.get(subnet.vpc_id.as_str()).is_some_and(|blocks| blocks.iter().any(|b| b.contains(&subnet.cidr)))
    };
    let vpcs: BTreeMap<&str, &VpcRow> = vpcs.iter().map(|vpc| (vpc.id.as_str(), vpc)).collect();
    let mut sorted: Vec<&SubnetRow> = subnets.iter().collect();
    // By where they begin, the larger first: of those that overlap, two stand side by side.
    sorted.sort_by_key(|subnet| (&subnet.vpc_id, subnet.cidr.network(), subnet.cidr.prefix_len()));
    for two in sorted.windows(2) {
        if two[0].vpc_id == two[1].vpc_id && overlap(&two[0].cidr, &two[1].cidr) {
            found.push((two[1].id.to_string(), format!("{} overlaps {} of {}", two[1].cidr, two[0].cidr, two[0].id)));
        }
    }
    for subnet in subnets {
        match vpcs.get(subnet.vpc_id.as_str()) {
            Some(vpc) if vpc.account_id != subnet.account_id => {
                found.push((subnet.id.to_string(), format!("is not of the account of its vpc {}", vpc.id)));
            }
            Some(vpc) if !within(subnet) => {
                found.push((subnet.id.to_string(), format!("{} is not within a block of {}", subnet.cidr, vpc.id)));
            }
            Some(_) => {}
            None => found.push((subnet.id.to_string(), format!("is in {}, which is gone", subnet.vpc_id))),
        }
    }
    let subnets: BTreeMap<&str, &SubnetRow> = subnets.iter().map(|subnet| (subnet.id.as_str(), subnet)).collect();
    for interface in interfaces {
        let subnet = subnets.get(interface.subnet_id.as_str());
        let fits =
            |subnet: &&&SubnetRow| subnet.cidr.contains(&interface.private_ip) && subnet.vpc_id == interface.vpc_id;
        if subnet.filter(fits).is_none() {
            let problem = format!("{} is not in its subnet {}", interface.private_ip, interface.subnet_id);
            found.push((interface.id.to_string(), problem));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::{Generation, NetworkAclId, SubnetId, VpcCidrAssociationId, VpcId};

    fn vpc() -> VpcRow {
        VpcRow {
            id: VpcId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            cidr: "10.0.0.0/16".parse().unwrap(),
            vni: 4096,
            is_default: false,
            dedicated: false,
            dns_support: true,
            dns_hostnames: false,
            dhcp_options_id: None,
            generation: Generation(1),
            created_ms: 0,
        }
    }

    fn subnet(n: u128, cidr: &str) -> SubnetRow {
        SubnetRow {
            id: SubnetId::from_random(n),
            account_id: vpc().account_id,
            vpc_id: vpc().id,
            zone: "zone-a".parse().unwrap(),
            cidr: cidr.parse().unwrap(),
            is_default: false,
            map_public_ip: false,
            generation: Generation(1),
            created_ms: 0,
        }
    }

    #[test]
    fn a_vpc_without_a_default_acl_and_subnets_with_none_of_its_own_are_found() {
        let acl = |n: u128, is_default| NetworkAclRow {
            id: NetworkAclId::from_random(n),
            account_id: vpc().account_id,
            vpc_id: vpc().id,
            is_default,
            generation: Generation(1),
            created_ms: 0,
        };
        let subnet = subnet(1, "10.0.0.0/24");
        let wrong = |acls: &[NetworkAclRow], held: Option<&NetworkAclRow>| {
            let with = held.map(|acl| (subnet.id.as_str(), acl.id.as_str())).into_iter().collect();
            let found = of_acls(&vpc(), acls, std::slice::from_ref(&subnet), &with);
            found.into_iter().map(|(_, why)| why).collect::<Vec<_>>()
        };
        let (default, other, strange) = (acl(1, true), acl(2, false), acl(3, false));
        let both = [default.clone(), other.clone()];
        assert_eq!(wrong(&both, Some(&default)), Vec::<String>::new());
        assert_eq!(wrong(&both, Some(&other)), Vec::<String>::new());
        assert_eq!(wrong(&both, None), ["has no network ACL"]);
        assert!(wrong(&both, Some(&strange))[0].contains("which is not one of"));
        assert_eq!(wrong(std::slice::from_ref(&other), Some(&other)), ["has no default network ACL"]);
    }

    #[test]
    fn subnets_that_overlap_or_lie_outside_are_found() {
        let wrong = |subnets: &[SubnetRow]| of_rows(&[vpc()], &[], subnets, std::iter::empty());
        assert_eq!(wrong(&[subnet(1, "10.0.0.0/24"), subnet(2, "10.0.1.0/24")]), []);
        let found = wrong(&[subnet(1, "10.0.1.0/24"), subnet(2, "10.0.0.0/20")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].1.contains("10.0.1.0/24 overlaps 10.0.0.0/20"), "{found:?}");
        assert!(wrong(&[subnet(1, "10.1.0.0/24")])[0].1.contains("is not within"));
        assert!(of_rows(&[], &[], &[subnet(1, "10.0.0.0/24")], std::iter::empty())[0].1.contains("gone"));
    }

    #[test]
    fn a_subnet_may_be_in_any_block_and_blocks_that_overlap_are_found() {
        let block = |n: u128, cidr: &str| VpcCidrRow {
            id: VpcCidrAssociationId::from_random(n),
            vpc_id: vpc().id,
            cidr: cidr.parse().unwrap(),
            created_ms: 0,
        };
        let second = subnet(1, "10.1.0.0/24");
        let wrong = |more: &[VpcCidrRow]| of_rows(&[vpc()], more, std::slice::from_ref(&second), std::iter::empty());
        assert_eq!(wrong(&[block(1, "10.1.0.0/16")]), []);
        assert!(wrong(&[block(1, "10.2.0.0/16")])[0].1.contains("is not within"));
        let found = wrong(&[block(1, "10.1.0.0/16"), block(2, "10.1.128.0/20")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].1.contains("10.1.128.0/20 overlaps 10.1.0.0/16"), "{found:?}");
        assert!(wrong(&[block(1, "10.1.0.0/16"), block(2, "10.0.128.0/20")])[0].1.contains("overlaps 10.0.0.0/16"));
    }
}
