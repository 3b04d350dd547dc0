//! I3, I6 and I10 of NAT gateways: one that is live has an interface as it says, and that its elastic IP; its node has no
//! trouble with it; what it has had is not its own when it is gone; none is on its way for ever.

use crate::Cloud;
use crate::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_proto::v1::GatewayStatus;
use mallee_store::{
    InterfaceKind, InterfaceRow, NatGatewayFilter, NatGatewayRow, NatGatewayState, PAGE_ROWS_MAX, PublicAddressRow,
    interface_address_list, nat_address_list, nat_gateway_list, public_address_list,
};
use mallee_types::{AddressId, InterfaceId, NatGatewayId, NodeId, VpcId};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Gateways whose further addresses are read at once: all of theirs are fewer than a page has.
const GATEWAYS_AT_ONCE: usize = 25;
/// A state that is passed through lasts no longer, in milliseconds.
const TRANSITION_MS_MAX: i64 = 30 * 60 * 1000;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Gateways looked at.
    pub checked: usize,
    /// What is wrong: which invariant, about which, and why.
    pub wrong: Vec<(&'static str, String, String)>,
    /// The VPC of each live gateway.
    pub vpcs: BTreeMap<NatGatewayId, VpcId>,
    /// Which node has the port of each live gateway's interface.
    pub ports: BTreeMap<InterfaceId, NodeId>,
}

/// Compares gateways with the interfaces there are.
pub(crate) async fn differences(
    cloud: &Cloud,
    interfaces: &BTreeMap<InterfaceId, InterfaceRow>,
) -> Result<Found, ApiError> {
    let mut found = Found::default();
    let mut live: BTreeMap<InterfaceId, NatGatewayRow> = BTreeMap::new();
    let mut after: Option<NatGatewayId> = None;
    loop {
        let filter = NatGatewayFilter { live: true, after: after.as_ref(), ..Default::default() };
        let rows = nat_gateway_list(cloud.store(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        let Some(last) = rows.last() else { break };
        found.checked += rows.len();
        after = Some(last.id.clone());
        let ids: Vec<InterfaceId> = rows.iter().filter_map(|row| row.interface_id.clone()).collect();
        for some in ids.chunks(mallee_store::FILTER_VALUES_MAX) {
            let shown = public_address_list(cloud.store(), Some(some), None, PAGE_ROWS_MAX).await.or_fail()?;
            let shown: BTreeMap<&InterfaceId, &PublicAddressRow> =
                shown.iter().filter(|row| row.private_ip.is_none()).map(|row| (&row.interface_id, row)).collect();
            for row in rows.iter().filter(|row| row.interface_id.as_ref().is_some_and(|id| some.contains(id))) {
                let interface = row.interface_id.as_ref();
                let shown = interface.and_then(|id| shown.get(id)).copied();
                if let Some(problem) = of_row(row, interface.and_then(|id| interfaces.get(id)), shown) {
                    found.wrong.push(("I3", row.id.to_string(), problem));
                }
            }
        }
        for some in rows.chunks(GATEWAYS_AT_ONCE) {
            further(cloud, some, &mut found).await?;
        }
        live.extend(rows.into_iter().filter_map(|row| Some((row.interface_id.clone()?, row))));
    }
    let now_ms = cloud.clock().now_ms();
    for row in live.values() {
        let on = row.node_id.as_ref().map_or("no node", |node| node.as_str());
        // Since when one is about to go is not kept; nobody notes one that is gone sooner.
        if row.state == NatGatewayState::Pending && now_ms - row.created_ms > TRANSITION_MS_MAX {
            let problem = format!("has been pending on {on} for more than 30 minutes");
            found.wrong.push(("I10", row.id.to_string(), problem));
        }
    }
    for (id, row) in interfaces {
        if row.kind == InterfaceKind::NatGateway && !live.contains_key(id) {
            found.wrong.push(("I3", id.to_string(), "is a NAT gateway's, and none has it".to_owned()));
        }
    }
    for zone in cloud.zones() {
        for node in cloud.zone_nodes(zone).await {
            let troubled = node.gateways.iter().filter(|gateway| !gateway.problem.is_empty());
            let told = |gateway: &GatewayStatus| format!("is not whole on {}: {}", node.node_id, gateway.problem);
            found.wrong.extend(troubled.map(|gateway| ("I6", gateway.id.clone(), told(gateway))));
        }
    }
    found.vpcs = live.values().map(|row| (row.id.clone(), row.vpc_id.clone())).collect();
    found.ports = live.into_iter().filter_map(|(id, row)| Some((id, row.node_id?))).collect();
    Ok(found)
}

/// Compares the further addresses of these gateways with those of their interfaces.
async fn further(cloud: &Cloud, rows: &[NatGatewayRow], found: &mut Found) -> Result<(), ApiError> {
    let ids: Vec<NatGatewayId> = rows.iter().map(|row| row.id.clone()).collect();
    let interfaces: Vec<InterfaceId> = rows.iter().filter_map(|row| row.interface_id.clone()).collect();
    let noted = nat_address_list(cloud.store(), &ids).await.or_fail()?;
    let has = interface_address_list(cloud.store(), Some(&interfaces), None, PAGE_ROWS_MAX).await.or_fail()?;
    let shown = public_address_list(cloud.store(), Some(&interfaces), None, PAGE_ROWS_MAX).await.or_fail()?;
    for row in rows {
        let Some(interface) = &row.interface_id else { continue };
        let noted = noted.iter().filter(|noted| noted.gateway_id == row.id);
        let noted: BTreeMap<Ipv4Addr, Option<&AddressId>> =
            noted.map(|noted| (noted.address, noted.association_id.as_ref())).collect();
        let led = |address: Ipv4Addr| {
            let of = shown.iter().find(|shown| shown.interface_id == *interface && shown.private_ip == Some(address));
            of.and_then(|shown| shown.association_id.as_ref())
        };
        let has = has.iter().filter(|has| has.interface_id == *interface);
        let has: BTreeMap<Ipv4Addr, Option<&AddressId>> = has.map(|has| (has.address, led(has.address))).collect();
        found.wrong.extend(of_further(&noted, &has).map(|problem| ("I3", row.id.to_string(), problem)));
    }
    Ok(())
}

/// A gateway's further addresses with the associations of their elastic IPs: as it notes them, and as its interface has them.
fn of_further(
    noted: &BTreeMap<Ipv4Addr, Option<&AddressId>>,
    has: &BTreeMap<Ipv4Addr, Option<&AddressId>>,
) -> Option<String> {
    (noted != has).then(|| format!("has the further addresses {noted:?}, its interface {has:?}"))
}

fn of_row(row: &NatGatewayRow, interface: Option<&InterfaceRow>, shown: Option<&PublicAddressRow>) -> Option<String> {
    if !row.state.is_live() {
        return Some(format!("is {}, and has an interface", row.state.word()));
    }
    let Some(interface) = interface else { return Some("has an interface that is gone".to_owned()) };
    let same = interface.kind == InterfaceKind::NatGateway
        && interface.subnet_id == row.subnet_id
        && interface.account_id == row.account_id
        && Some(interface.private_ip) == row.private_ip;
    if !same || interface.source_dest_check || interface.instance_id.is_some() {
        return Some(format!("has the interface {}, which is not as a gateway's", interface.id));
    }
    let led = shown.and_then(|shown| shown.association_id.as_ref());
    if led != row.association_id.as_ref() || row.private != row.association_id.is_none() {
        return Some(format!("has the association {:?}, its interface shows {led:?}", row.association_id));
    }
    row.node_id.is_none().then(|| "is on no node".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::{AllocationId, Generation, Incarnation, MacAddress, SubnetId};

    #[test]
    fn a_gateway_and_its_interface_agree() {
        let account: mallee_types::AccountId = "123456789012".parse().unwrap();
        let interface = InterfaceRow {
            id: InterfaceId::from_random(1),
            account_id: account.clone(),
            vpc_id: VpcId::from_random(1),
            subnet_id: SubnetId::from_random(1),
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
            kind: InterfaceKind::NatGateway,
        };
        let row = NatGatewayRow {
            id: NatGatewayId::from_random(1),
            account_id: account.clone(),
            vpc_id: interface.vpc_id.clone(),
            subnet_id: interface.subnet_id.clone(),
            zone: interface.zone.clone(),
            private: false,
            interface_id: Some(interface.id.clone()),
            private_ip: Some(interface.private_ip),
            allocation_id: Some(AllocationId::from_random(1)),
            association_id: Some(AddressId::from_random(1)),
            public_ip: Some("192.0.2.1".parse().unwrap()),
            state: NatGatewayState::Available,
            failure_code: None,
            failure_message: None,
            node_id: Some("n-1".parse().unwrap()),
            incarnation: Incarnation(1),
            generation: Generation(1),
            created_ms: 0,
            ended_ms: None,
        };
        let shown = PublicAddressRow {
            address: "192.0.2.1".parse().unwrap(),
            interface_id: interface.id.clone(),
            account_id: account,
            allocated_ms: 1,
            allocation_id: row.allocation_id.clone(),
            association_id: row.association_id.clone(),
            private_ip: None,
        };
        assert_eq!(of_row(&row, Some(&interface), Some(&shown)), None);
        assert!(of_row(&row, Some(&interface), None).unwrap().contains("association"));
        assert!(of_row(&row, None, Some(&shown)).unwrap().contains("gone"));
        let users = InterfaceRow { kind: InterfaceKind::Interface, ..interface.clone() };
        assert!(of_row(&row, Some(&users), Some(&shown)).unwrap().contains("not as a gateway's"));
        let ended = NatGatewayRow { state: NatGatewayState::Deleted, ..row.clone() };
        assert!(of_row(&ended, Some(&interface), Some(&shown)).unwrap().contains("deleted"));
        let nowhere = NatGatewayRow { node_id: None, ..row };
        assert!(of_row(&nowhere, Some(&interface), Some(&shown)).unwrap().contains("no node"));
    }

    #[test]
    fn further_addresses_are_those_of_the_interface() {
        let (one, other) = (AddressId::from_random(1), AddressId::from_random(2));
        fn of<'a>(all: &[(&str, Option<&'a AddressId>)]) -> BTreeMap<Ipv4Addr, Option<&'a AddressId>> {
            all.iter().map(|(ip, led)| (ip.parse().unwrap(), *led)).collect()
        }
        let (one, other) = (&one, &other);
        let noted = of(&[("10.0.0.7", Some(one)), ("10.0.0.8", None)]);
        assert_eq!(of_further(&noted, &noted), None);
        for has in [
            of(&[("10.0.0.7", Some(one))]),
            of(&[("10.0.0.7", Some(other)), ("10.0.0.8", None)]),
            of(&[("10.0.0.7", Some(one)), ("10.0.0.8", None), ("10.0.0.9", None)]),
        ] {
            assert!(of_further(&noted, &has).is_some(), "{has:?}");
        }
    }
}
