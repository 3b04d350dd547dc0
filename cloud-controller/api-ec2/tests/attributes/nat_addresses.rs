//! Addresses of NAT gateways besides their primary ones: how they come, drain and go, and whose they are meanwhile.

use crate::fixture::{Fixture, texts};
use crate::nat_gateways::{NODE, create, elastic, findings, says, subnet};
use mallee_app::load::Snapshot;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{GatewayStatus, NatGateway, NodeStatus};
use mallee_store::test_support::TestDb;
use mallee_store::*;

mallee_store::store_test_suite!(
    an_elastic_ip_comes_to_a_gateway_drains_and_is_free,
    private_addresses_come_and_go,
    a_gateway_is_made_with_several_addresses,
    a_gateway_that_cannot_have_its_addresses_has_none,
    what_a_gateway_cannot_have_is_refused,
    nobody_takes_an_address_from_a_gateway
);

/// The node has applied the gateway as of this generation.
async fn has(f: &Fixture, id: &str, generation: u64) {
    let gateway = GatewayStatus { id: id.into(), incarnation: 1, up: true, generation, ..Default::default() };
    let status = NodeStatus { node_id: NODE.into(), gateways: vec![gateway], ..Default::default() };
    mallee_app::nat_gateways::observe(&f.cloud, &[status]).await.unwrap();
}

/// What nodes are told of the gateway.
async fn told(f: &Fixture, id: &str) -> NatGateway {
    let mut pages = Snapshot::new("local-1a".parse().unwrap());
    loop {
        let objects = pages.next(&f.store, f.cloud.identity_key()).await.unwrap().unwrap();
        let of = |object| match object {
            Object::NatGateway(gateway) if gateway.id == id => Some(gateway),
            _ => None,
        };
        if let Some(gateway) = objects.into_iter().find_map(of) {
            return gateway;
        }
    }
}

/// Each address: its private one, and how it is.
async fn shown(f: &Fixture, id: &str) -> Vec<(String, String)> {
    let gateway = f.call("DescribeNatGateways", &[("NatGatewayId.1", id)]).await.unwrap();
    let status = texts(&gateway, "status");
    assert_eq!(texts(&gateway, "isPrimary").iter().filter(|is| *is == "true").count(), 1);
    texts(&gateway, "privateIp").into_iter().zip(status).collect()
}

async fn an_elastic_ip_comes_to_a_gateway_drains_and_is_free(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let (first, second, third) = (elastic(&f).await, elastic(&f).await, elastic(&f).await);
    let id = create(&f, &subnet, &first).await;
    let more = [("NatGatewayId", id.as_str()), ("AllocationId.1", second.as_str())];
    assert_eq!(f.error("AssociateNatGatewayAddress", &more).await.0, "IncorrectState", "it is pending");
    says(&f, NODE, &id, true, false).await;
    let dry = [more[0], more[1], ("DryRun", "true")];
    assert_eq!(f.error("AssociateNatGatewayAddress", &dry).await.0, "DryRunOperation");
    assert_eq!(f.error_as(&f.other, "AssociateNatGatewayAddress", &more).await.0, "NatGatewayNotFound");
    let made = f.call("AssociateNatGatewayAddress", &more).await.unwrap();
    assert_eq!((texts(&made, "status"), texts(&made, "isPrimary")), (vec!["associating".into()], vec!["false".into()]));
    let (own, association) = (texts(&made, "privateIp").remove(0), texts(&made, "associationId").remove(0));
    // It is the gateway's, and nobody else's.
    assert_eq!(f.error("AssociateNatGatewayAddress", &more).await.0, "AddressLimitExceeded", "two are the quota");
    assert_eq!(f.error("ReleaseAddress", &[("AllocationId", &second)]).await.0, "InvalidIPAddress.InUse");
    assert_eq!(f.error("DisassociateAddress", &[("AssociationId", &association)]).await.0, "AuthFailure");
    let port = told(&f, &id).await;
    let (secondary, draining) = (port.port.clone().unwrap().secondary, port.draining);
    assert_eq!((secondary[0].private_ip.as_str(), draining.len()), (own.as_str(), 0));
    assert!(!secondary[0].public_ip.is_empty());
    // Until its node has it as of then, it is on its way.
    has(&f, &id, port.generation - 1).await;
    assert_eq!(shown(&f, &id).await[1], (own.clone(), "associating".into()));
    has(&f, &id, port.generation).await;
    assert_eq!(shown(&f, &id).await[1], (own.clone(), "succeeded".into()));
    assert_eq!(findings(&f).await, []);
    // It takes no new flow for so long, whatever is said meanwhile.
    let leave = [("NatGatewayId", id.as_str()), ("AssociationId.1", &association), ("MaxDrainDurationSeconds", "60")];
    let left = f.call("DisassociateNatGatewayAddress", &leave).await.unwrap();
    assert_eq!(texts(&left, "status"), ["disassociating"]);
    let until = nat_address_list(&f.store, &[id.parse().unwrap()]).await.unwrap().remove(0).drained_ms;
    f.db.clock.shift_ms(30 * 1000);
    let again = f.call("DisassociateNatGatewayAddress", &leave).await.unwrap();
    assert_eq!(texts(&again, "privateIp"), std::slice::from_ref(&own));
    assert_eq!(nat_address_list(&f.store, &[id.parse().unwrap()]).await.unwrap()[0].drained_ms, until);
    mallee_app::nat_gateways::keep_drains(&f.cloud).await.unwrap();
    let now = told(&f, &id).await;
    assert_eq!((now.draining, now.port.unwrap().secondary.len()), (vec![own.clone()], 1));
    has(&f, &id, now.generation).await;
    assert_eq!(shown(&f, &id).await.len(), 2, "its flows go on");
    // Then nodes are told of it no more, and when its node has let go of it, it is free.
    f.db.clock.shift_ms(31 * 1000);
    mallee_app::nat_gateways::keep_drains(&f.cloud).await.unwrap();
    let now = told(&f, &id).await;
    assert_eq!((now.draining.len(), now.port.unwrap().secondary.len()), (0, 0));
    assert_eq!(f.error("ReleaseAddress", &[("AllocationId", &second)]).await.0, "InvalidIPAddress.InUse");
    has(&f, &id, now.generation - 1).await;
    assert_eq!(shown(&f, &id).await.len(), 2, "its node may have it");
    has(&f, &id, now.generation).await;
    assert_eq!(shown(&f, &id).await.len(), 1);
    f.call("ReleaseAddress", &[("AllocationId", &second)]).await.unwrap();
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 1);
    // A gateway that goes takes all of its addresses with it.
    f.call("AssociateNatGatewayAddress", &[more[0], ("AllocationId.1", &third)]).await.unwrap();
    f.call("DeleteNatGateway", &[more[0]]).await.unwrap();
    says(&f, NODE, &id, false, true).await;
    for elastic in [&first, &third] {
        f.call("ReleaseAddress", &[("AllocationId", elastic)]).await.unwrap();
    }
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 0);
    assert_eq!(findings(&f).await, []);
}

/// A private gateway that is up.
async fn private(f: &Fixture, subnet: &SubnetRow) -> String {
    let new = [("SubnetId", subnet.id.as_str()), ("ConnectivityType", "private")];
    let id = f.texts("CreateNatGateway", &new, "natGatewayId").await.remove(0);
    says(f, NODE, &id, true, false).await;
    id
}

async fn private_addresses_come_and_go(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let id = private(&f, &subnet).await;
    let of = ("NatGatewayId", id.as_str());
    let wanted = std::net::Ipv4Addr::from(u32::from(subnet.cidr.network()) + 77).to_string();
    let made = f.call("AssignPrivateNatGatewayAddress", &[of, ("PrivateIpAddress.1", &wanted)]).await.unwrap();
    assert_eq!((texts(&made, "privateIp"), texts(&made, "status")), (vec![wanted.clone()], vec!["assigning".into()]));
    assert!(texts(&made, "publicIp").is_empty());
    let again = f.error("AssignPrivateNatGatewayAddress", &[of, ("PrivateIpAddress.1", &wanted)]).await.0;
    assert_eq!(again, "InvalidIPAddress.InUse");
    let count = ("PrivateIpAddressCount", "6");
    assert_eq!(f.texts("AssignPrivateNatGatewayAddress", &[of, count], "privateIp").await.len(), 6);
    let over = f.error("AssignPrivateNatGatewayAddress", &[of, ("PrivateIpAddressCount", "1")]).await.0;
    assert_eq!(over, "PrivateIpAddressLimitExceeded", "eight are the quota");
    has(&f, &id, told(&f, &id).await.generation).await;
    assert!(shown(&f, &id).await.iter().all(|(_, status)| status == "succeeded"));
    let left = f.call("UnassignPrivateNatGatewayAddress", &[of, ("PrivateIpAddress.1", &wanted)]).await.unwrap();
    assert_eq!(texts(&left, "status"), ["unassigning"]);
    f.db.clock.shift_ms(349 * 1000);
    mallee_app::nat_gateways::keep_drains(&f.cloud).await.unwrap();
    assert_eq!(told(&f, &id).await.draining, std::slice::from_ref(&wanted), "350 seconds if nothing is said");
    f.db.clock.shift_ms(2 * 1000);
    mallee_app::nat_gateways::keep_drains(&f.cloud).await.unwrap();
    let now = told(&f, &id).await;
    assert_eq!((now.draining.len(), now.port.unwrap().secondary.len()), (0, 6));
    has(&f, &id, now.generation).await;
    assert_eq!(shown(&f, &id).await.len(), 7);
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 7);
    assert_eq!(findings(&f).await, []);
}

async fn what_a_gateway_cannot_have_is_refused(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let (first, second) = (elastic(&f).await, elastic(&f).await);
    let public = create(&f, &subnet, &first).await;
    says(&f, NODE, &public, true, false).await;
    let inner = private(&f, &subnet).await;
    let shown = f.call("DescribeNatGateways", &[("NatGatewayId.1", &public)]).await.unwrap();
    let primary = texts(&shown, "associationId").remove(0);
    let own = f.texts("DescribeNatGateways", &[("NatGatewayId.1", &inner)], "privateIp").await.remove(0);
    let (of, of_inner) = (("NatGatewayId", public.as_str()), ("NatGatewayId", inner.as_str()));
    let (eip, used) = (("AllocationId.1", second.as_str()), ("AllocationId.1", first.as_str()));
    let none = "eipassoc-00000000000000001";
    for (action, params, code) in [
        ("AssociateNatGatewayAddress", vec![of], "MissingParameter"),
        ("AssociateNatGatewayAddress", vec![eip], "MissingParameter"),
        ("AssociateNatGatewayAddress", vec![("NatGatewayId", "nat-x"), eip], "NatGatewayMalformed"),
        ("AssociateNatGatewayAddress", vec![of_inner, eip], "OperationNotPermitted"),
        ("AssociateNatGatewayAddress", vec![of, used], "Resource.AlreadyAssociated"),
        ("AssociateNatGatewayAddress", vec![of, eip, ("PrivateIpAddress.1", "192.0.2.9")], "InvalidParameterValue"),
        ("AssignPrivateNatGatewayAddress", vec![of, ("PrivateIpAddressCount", "1")], "OperationNotPermitted"),
        ("AssignPrivateNatGatewayAddress", vec![of_inner], "MissingParameter"),
        ("AssignPrivateNatGatewayAddress", vec![of_inner, ("PrivateIpAddressCount", "32")], "InvalidParameterValue"),
        ("DisassociateNatGatewayAddress", vec![of, ("AssociationId.1", &primary)], "OperationNotPermitted"),
        ("DisassociateNatGatewayAddress", vec![of, ("AssociationId.1", none)], "InvalidAssociationID.NotFound"),
        (
            "DisassociateNatGatewayAddress",
            vec![of, ("AssociationId.1", none), ("MaxDrainDurationSeconds", "4001")],
            "InvalidParameterValue",
        ),
        ("UnassignPrivateNatGatewayAddress", vec![of_inner, ("PrivateIpAddress.1", &own)], "OperationNotPermitted"),
        (
            "UnassignPrivateNatGatewayAddress",
            vec![of_inner, ("PrivateIpAddress.1", "192.0.2.9")],
            "InvalidParameterValue",
        ),
    ] {
        assert_eq!(f.error(action, &params).await.0, code, "{action} {params:?}");
    }
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 2, "nothing was kept of it");
    assert_eq!(findings(&f).await, []);
}

async fn a_gateway_is_made_with_several_addresses(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let (first, second) = (elastic(&f).await, elastic(&f).await);
    let at = ("SubnetId", subnet.id.as_str());
    let eighty = std::net::Ipv4Addr::from(u32::from(subnet.cidr.network()) + 80).to_string();
    let new = [
        at,
        ("AllocationId", first.as_str()),
        ("SecondaryAllocationId.1", second.as_str()),
        ("SecondaryPrivateIpAddress.1", eighty.as_str()),
        ("ClientToken", "once"),
    ];
    let id = f.texts("CreateNatGateway", &new, "natGatewayId").await.remove(0);
    assert_eq!(f.texts("CreateNatGateway", &new, "natGatewayId").await, [id.as_str()], "once");
    let before = shown(&f, &id).await;
    assert_eq!(before[1], (eighty.clone(), "associating".into()));
    let port = told(&f, &id).await;
    assert_eq!(port.port.unwrap().secondary[0].private_ip, eighty, "its node hears of both at once");
    has(&f, &id, port.generation).await;
    assert!(shown(&f, &id).await.iter().all(|(_, status)| status == "succeeded"));
    let public = f.texts("DescribeNatGateways", &[("NatGatewayId.1", &id)], "publicIp").await;
    assert_eq!(public.len(), 2);
    // A private one: these, or so many.
    let inner = [at, ("ConnectivityType", "private"), ("SecondaryPrivateIpAddressCount", "2")];
    let inner = f.texts("CreateNatGateway", &inner, "natGatewayId").await.remove(0);
    assert_eq!(shown(&f, &inner).await.len(), 3);
    says(&f, NODE, &inner, true, false).await;
    has(&f, &inner, 1).await;
    f.call("DeleteNatGateway", &[("NatGatewayId", &inner)]).await.unwrap();
    says(&f, NODE, &inner, false, true).await;
    // One that goes takes all of its own with it.
    f.call("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap();
    says(&f, NODE, &id, false, true).await;
    for elastic in [&first, &second] {
        f.call("ReleaseAddress", &[("AllocationId", elastic)]).await.unwrap();
    }
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 0);
    assert_eq!(findings(&f).await, []);
}

async fn a_gateway_that_cannot_have_its_addresses_has_none(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let (first, second, third) = (elastic(&f).await, elastic(&f).await, elastic(&f).await);
    let used = create(&f, &subnet, &third).await;
    says(&f, NODE, &used, true, false).await;
    let (at, eip) = (("SubnetId", subnet.id.as_str()), ("AllocationId", first.as_str()));
    let private = ("ConnectivityType", "private");
    let (more, taken) = (("SecondaryAllocationId.1", second.as_str()), ("SecondaryAllocationId.1", third.as_str()));
    for (params, code) in [
        (vec![at, eip, ("SecondaryAllocationId.1", &first)], "InvalidParameterValue"),
        (vec![at, eip, more, ("SecondaryAllocationId.2", &second)], "InvalidParameterValue"),
        (vec![at, eip, more, ("SecondaryAllocationId.2", &third)], "AddressLimitExceeded"),
        (vec![at, eip, ("SecondaryPrivateIpAddress.1", "192.0.2.9")], "MissingParameter"),
        (vec![at, eip, more, ("SecondaryPrivateIpAddress.1", "192.0.2.9")], "InvalidParameterValue"),
        (vec![at, eip, more, ("SecondaryPrivateIpAddressCount", "1")], "InvalidParameterCombination"),
        (vec![at, private, more], "InvalidParameterCombination"),
        (vec![at, private, ("SecondaryPrivateIpAddressCount", "8")], "PrivateIpAddressLimitExceeded"),
        (vec![at, private, ("SecondaryPrivateIpAddressCount", "0")], "InvalidParameterValue"),
        (
            vec![at, private, ("SecondaryPrivateIpAddressCount", "1"), ("SecondaryPrivateIpAddress.1", "192.0.2.9")],
            "InvalidParameterCombination",
        ),
        (vec![at, eip, ("SecondaryAllocationId.1", "eipalloc-00000000000000001")], "InvalidAllocationID.NotFound"),
    ] {
        assert_eq!(f.error("CreateNatGateway", &params).await.0, code, "{params:?}");
    }
    // What only shows when it is made is told by the gateway, which has nothing then.
    let failed = f.call("CreateNatGateway", &[at, eip, taken]).await.unwrap();
    assert_eq!(
        (texts(&failed, "state"), texts(&failed, "failureCode")),
        (vec!["failed".into()], vec!["Resource.AlreadyAssociated".into()])
    );
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 1, "that of the other gateway");
    for elastic in [&first, &second] {
        f.call("ReleaseAddress", &[("AllocationId", elastic)]).await.unwrap();
    }
    assert_eq!(findings(&f).await, []);
}

async fn nobody_takes_an_address_from_a_gateway(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let (first, second) = (elastic(&f).await, elastic(&f).await);
    let id = create(&f, &subnet, &first).await;
    says(&f, NODE, &id, true, false).await;
    let more = [("NatGatewayId", id.as_str()), ("AllocationId.1", second.as_str())];
    let own = f.texts("AssociateNatGatewayAddress", &more, "privateIp").await.remove(0);
    has(&f, &id, told(&f, &id).await.generation).await;
    let of = [("AllocationId.1", second.as_str())];
    let before = f.texts("DescribeAddresses", &of, "networkInterfaceId").await;
    let new = [("SubnetId", subnet.id.as_str())];
    let interface = f.texts("CreateNetworkInterface", &new, "networkInterfaceId").await.remove(0);
    let take =
        [("NetworkInterfaceId", interface.as_str()), ("PrivateIpAddress.1", &own), ("AllowReassignment", "true")];
    assert_eq!(f.error("AssignPrivateIpAddresses", &take).await.0, "InvalidParameterValue");
    assert_eq!(told(&f, &id).await.port.unwrap().secondary[0].private_ip, own);
    let now = f.texts("DescribeAddresses", &of, "networkInterfaceId").await;
    assert_eq!(now, before, "its elastic IP leads to the gateway");
    f.call("DeleteNatGateway", &[more[0]]).await.unwrap();
    assert!(shown(&f, &id).await.iter().all(|(_, status)| status == "disassociating"), "all of them go");
}
