//! NAT gateways: what they are made of, how they come and go, and that nobody else has what is theirs.

use crate::fixture::{Fixture, texts};
use crate::routes::{allow, at_once};
use mallee_proto::v1::{GatewayStatus, NodeStatus};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::sync::Arc;

mallee_store::store_test_suite!(
    a_gateway_comes_and_goes_with_its_address,
    what_keeps_a_gateway_from_being_is_told_by_it,
    a_token_makes_one_gateway,
    a_gateway_is_routed_to,
    no_zone_has_more_gateways_than_it_may
);

pub(crate) const NODE: &str = "n-1";

async fn node(f: &Fixture, name: &str, zone: &ZoneName) {
    let mut tx = f.store.write().await.unwrap();
    let row = NodeRow {
        id: name.parse().unwrap(),
        zone: zone.clone(),
        registered_ms: 1,
        last_state: "ready".into(),
        last_state_ms: 1,
        doc: Json(NodeDoc { vtep: "192.0.2.1".into() }),
    };
    node_put(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

/// The default subnet, with a node in its zone.
pub(crate) async fn subnet(f: &Fixture) -> SubnetRow {
    let subnet = subnet_list(&f.store, f.cx.account(), None, None, None, 1).await.unwrap().remove(0);
    node(f, NODE, &subnet.zone).await;
    subnet
}

pub(crate) async fn elastic(f: &Fixture) -> String {
    f.texts("AllocateAddress", &[("Domain", "vpc")], "allocationId").await.remove(0)
}

pub(crate) async fn create(f: &Fixture, subnet: &SubnetRow, elastic: &str) -> String {
    let new = [("SubnetId", subnet.id.as_str()), ("AllocationId", elastic)];
    f.texts("CreateNatGateway", &new, "natGatewayId").await.remove(0)
}

async fn states(f: &Fixture, id: &str) -> Vec<String> {
    f.texts("DescribeNatGateways", &[("NatGatewayId.1", id)], "state").await
}

pub(crate) async fn says(f: &Fixture, node: &str, id: &str, up: bool, gone: bool) {
    let gateway = GatewayStatus { id: id.into(), incarnation: 1, up, gone, ..Default::default() };
    let status = NodeStatus { node_id: node.into(), gateways: vec![gateway], ..Default::default() };
    mallee_app::nat_gateways::observe(&f.cloud, &[status]).await.unwrap();
}

pub(crate) async fn findings(f: &Fixture) -> Vec<(String, String)> {
    let report = mallee_app::check::look_once(&f.cloud).await.unwrap();
    // There is no cluster controller.
    let of = report.findings.into_iter().filter(|finding| finding.invariant != "I1");
    of.map(|finding| (finding.subject, finding.problem)).collect()
}

/// Those about a gateway or its interface.
pub(crate) async fn of_gateway(f: &Fixture, id: &str, eni: &str) -> Vec<(String, String)> {
    findings(f).await.into_iter().filter(|(subject, _)| subject == id || subject == eni).collect()
}

async fn a_gateway_comes_and_goes_with_its_address(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let eip = elastic(&f).await;
    let new = [
        ("SubnetId", subnet.id.as_str()),
        ("AllocationId", eip.as_str()),
        ("TagSpecification.1.ResourceType", "natgateway"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "way out"),
    ];
    let dry = new.into_iter().chain([("DryRun", "true")]).collect::<Vec<_>>();
    assert_eq!(f.error("CreateNatGateway", &dry).await.0, "DryRunOperation");
    let made = f.call("CreateNatGateway", &new).await.unwrap();
    let id = texts(&made, "natGatewayId").remove(0);
    assert_eq!(texts(&made, "state"), ["pending"]);
    assert_eq!(
        (texts(&made, "connectivityType"), texts(&made, "vpcId")),
        (vec!["public".into()], vec![subnet.vpc_id.to_string()])
    );
    let (eni, public) = (texts(&made, "networkInterfaceId").remove(0), texts(&made, "publicIp").remove(0));
    // The interface is shown, and is nobody else's.
    let shown = f.call("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", &eni)]).await.unwrap();
    for (element, value) in [
        ("interfaceType", "nat_gateway"),
        ("requesterManaged", "true"),
        ("sourceDestCheck", "false"),
        ("instanceOwnerId", "amazon-aws"),
        ("deviceIndex", "1"),
    ] {
        assert_eq!(texts(&shown, element), [value], "{element}");
    }
    assert!(texts(&shown, "status").contains(&"in-use".to_owned()));
    assert_eq!(texts(&shown, "description"), [format!("Interface for NAT Gateway {id}")]);
    assert!(texts(&shown, "groupId").is_empty());
    for (name, value) in
        [("interface-type", "nat_gateway"), ("requester-managed", "true"), ("attachment.status", "attached")]
    {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        assert_eq!(
            f.texts("DescribeNetworkInterfaces", &filter, "networkInterfaceId").await,
            std::slice::from_ref(&eni),
            "{name}"
        );
    }
    let attachment = texts(&shown, "attachmentId").remove(0);
    let association = texts(&made, "associationId").remove(0);
    let instance = f.instance(1, InstanceState::Running).await;
    let other = f.texts("AllocateAddress", &[], "allocationId").await.remove(0);
    let eni_is = ("NetworkInterfaceId", eni.as_str());
    for (action, params, code) in [
        ("DeleteNetworkInterface", vec![eni_is], "InvalidParameterValue"),
        ("DetachNetworkInterface", vec![("AttachmentId", attachment.as_str())], "OperationNotPermitted"),
        (
            "AttachNetworkInterface",
            vec![eni_is, ("InstanceId", instance.as_str()), ("DeviceIndex", "1")],
            "InvalidNetworkInterface.InUse",
        ),
        ("ModifyNetworkInterfaceAttribute", vec![eni_is, ("SourceDestCheck.Value", "true")], "AuthFailure"),
        ("ModifyNetworkInterfaceAttribute", vec![eni_is, ("Description.Value", "mine")], "AuthFailure"),
        ("AssignPrivateIpAddresses", vec![eni_is, ("SecondaryPrivateIpAddressCount", "1")], "AuthFailure"),
        ("AssociateAddress", vec![eni_is, ("AllocationId", &other), ("AllowReassociation", "true")], "AuthFailure"),
        (
            "AssociateAddress",
            vec![("InstanceId", instance.as_str()), ("AllocationId", &eip), ("AllowReassociation", "true")],
            "AuthFailure",
        ),
        ("DisassociateAddress", vec![("AssociationId", association.as_str())], "AuthFailure"),
        ("ReleaseAddress", vec![("AllocationId", eip.as_str())], "InvalidIPAddress.InUse"),
        ("DeleteSubnet", vec![("SubnetId", subnet.id.as_str())], "DependencyViolation"),
    ] {
        assert_eq!(f.error(action, &params).await.0, code, "{action}");
    }
    // Only its own node makes it available.
    says(&f, "n-2", &id, true, false).await;
    assert_eq!(states(&f, &id).await, ["pending"]);
    says(&f, NODE, &id, false, true).await;
    assert_eq!(states(&f, &id).await, ["pending"], "nobody wants it to go");
    says(&f, NODE, &id, true, false).await;
    assert_eq!(states(&f, &id).await, ["available"]);
    assert_eq!(of_gateway(&f, &id, &eni).await, []);
    for (name, value) in [("state", "available"), ("tag:Name", "way out"), ("subnet-id", subnet.id.as_str())] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        assert_eq!(f.texts("DescribeNatGateways", &filter, "natGatewayId").await, std::slice::from_ref(&id), "{name}");
    }
    let pending = [("Filter.1.Name", "state"), ("Filter.1.Value.1", "pending")];
    assert!(f.texts("DescribeNatGateways", &pending, "natGatewayId").await.is_empty());
    // It goes when its node has let go of it; the elastic IP stays its account's.
    assert_eq!(f.error_as(&f.other, "DeleteNatGateway", &[("NatGatewayId", &id)]).await.0, "NatGatewayNotFound");
    f.call("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap();
    f.call("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap();
    assert_eq!(states(&f, &id).await, ["deleting"]);
    says(&f, NODE, &id, true, false).await;
    assert_eq!(states(&f, &id).await, ["deleting"]);
    says(&f, NODE, &id, false, true).await;
    assert_eq!(states(&f, &id).await, ["deleted"]);
    assert_eq!(
        f.texts("DescribeNatGateways", &[("NatGatewayId.1", &id)], "publicIp").await,
        std::slice::from_ref(&public)
    );
    assert_eq!(
        f.error("DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", &eni)]).await.0,
        "InvalidNetworkInterfaceID.NotFound"
    );
    assert_eq!(of_gateway(&f, &id, &eni).await, []);
    f.call("ReleaseAddress", &[("AllocationId", &eip)]).await.unwrap();
    // For an hour it is shown.
    f.db.clock.shift_ms(3500 * 1000);
    mallee_app::instances::purge::purge(&f.cloud).await.unwrap();
    assert_eq!(states(&f, &id).await, ["deleted"]);
    f.db.clock.shift_ms(200 * 1000);
    mallee_app::instances::purge::purge(&f.cloud).await.unwrap();
    assert_eq!(f.error("DescribeNatGateways", &[("NatGatewayId.1", &id)]).await.0, "NatGatewayNotFound");
}

async fn what_keeps_a_gateway_from_being_is_told_by_it(db: TestDb) {
    let f = Fixture::on(db).await;
    let first = subnet_list(&f.store, f.cx.account(), None, None, None, 1).await.unwrap().remove(0);
    let eip = elastic(&f).await;
    let failed = async |subnet: &str, eip: Option<&str>| {
        let kind = if eip.is_some() { "public" } else { "private" };
        let mut new = vec![("SubnetId", subnet), ("ConnectivityType", kind)];
        new.extend(eip.map(|eip| ("AllocationId", eip)));
        let made = f.call("CreateNatGateway", &new).await.unwrap();
        assert_eq!(texts(&made, "state"), ["failed"]);
        (texts(&made, "natGatewayId").remove(0), texts(&made, "failureCode").remove(0))
    };
    let early = [("SubnetId", first.id.as_str()), ("AllocationId", eip.as_str())];
    assert_eq!(f.error("CreateNatGateway", &early).await.0, "Unavailable", "there is no node");
    node(&f, NODE, &first.zone).await;
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId").await.remove(0);
    let inside = f.texts("CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", "10.0.0.0/28")], "subnetId").await.remove(0);
    assert_eq!(failed(&inside, Some(&eip)).await.1, "Gateway.NotAttached");
    create(&f, &first, &eip).await;
    let (id, code) = failed(first.id.as_str(), Some(&eip)).await;
    assert_eq!(code, "Resource.AlreadyAssociated");
    // Of the sixteen addresses eleven can be had.
    for _ in 0..11 {
        f.call("CreateNetworkInterface", &[("SubnetId", &inside)]).await.unwrap();
    }
    assert_eq!(failed(&inside, None).await.1, "InsufficientFreeAddressesInSubnet");
    assert_eq!(findings(&f).await, []);
    f.call("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap();
    assert_eq!(states(&f, &id).await, ["deleted"]);
    let subnet = ("SubnetId", first.id.as_str());
    for (params, code) in [
        (vec![subnet], "MissingParameter"),
        (vec![("AllocationId", eip.as_str())], "MissingParameter"),
        (vec![subnet, ("AllocationId", &eip), ("ConnectivityType", "private")], "InvalidParameterCombination"),
        (vec![subnet, ("AllocationId", &eip), ("ConnectivityType", "both")], "InvalidParameterValue"),
        (vec![subnet, ("AllocationId", "eipalloc-00000000000000001")], "InvalidAllocationID.NotFound"),
        (vec![("SubnetId", "subnet-00000000000000001"), ("AllocationId", &eip)], "InvalidSubnetID.NotFound"),
        (vec![subnet, ("AllocationId", &eip), ("PrivateIpAddress", "192.0.2.9")], "InvalidParameterValue"),
        (vec![subnet, ("AllocationId", &eip), ("SecondaryAllocationId.1", &eip)], "InvalidParameterValue"),
        (vec![subnet, ("AllocationId", &eip), ("AvailabilityMode", "regional")], "Unsupported"),
    ] {
        let said = f.error("CreateNatGateway", &params).await.0;
        assert!(
            said == code || code == "UnsupportedParameter" && said.starts_with("Unsupported"),
            "{params:?}: {said}"
        );
    }
    assert_eq!(f.error("DescribeNatGateways", &[("NatGatewayId.1", "nat-x")]).await.0, "NatGatewayMalformed");
}

async fn a_token_makes_one_gateway(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let wanted = std::net::Ipv4Addr::from(u32::from(subnet.cidr.network()) + 77).to_string();
    let new = [
        ("SubnetId", subnet.id.as_str()),
        ("ConnectivityType", "private"),
        ("PrivateIpAddress", wanted.as_str()),
        ("ClientToken", "once"),
    ];
    let made = f.call("CreateNatGateway", &new).await.unwrap();
    assert_eq!(
        (texts(&made, "privateIp"), texts(&made, "clientToken")),
        (vec![wanted.clone()], vec!["once".to_owned()])
    );
    let again = f.call("CreateNatGateway", &new).await.unwrap();
    assert_eq!(texts(&again, "natGatewayId"), texts(&made, "natGatewayId"));
    let taken = [new[0], new[1], new[2]];
    assert_eq!(f.error("CreateNatGateway", &taken).await.0, "InvalidIPAddress.InUse");
    let other = [new[0], new[1], new[3]];
    assert_eq!(f.error("CreateNatGateway", &other).await.0, "IdempotentParameterMismatch");
    assert_eq!(f.texts("DescribeNatGateways", &[], "natGatewayId").await.len(), 1);
    // The next goes where there are fewer.
    node(&f, "n-2", &subnet.zone).await;
    f.call("CreateNatGateway", &[new[0], new[1]]).await.unwrap();
    let rows = nat_gateway_list(&f.store, NatGatewayFilter::default(), 10).await.unwrap();
    let mut nodes: Vec<String> = rows.iter().flat_map(|row| &row.node_id).map(ToString::to_string).collect();
    nodes.sort();
    assert_eq!(nodes, [NODE, "n-2"]);
    // Tags on it, later.
    let id = texts(&made, "natGatewayId").remove(0);
    f.call("CreateTags", &[("ResourceId.1", &id), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")]).await.unwrap();
    let of = [("Filter.1.Name", "resource-type"), ("Filter.1.Value.1", "natgateway")];
    assert_eq!(f.texts("DescribeTags", &of, "resourceId").await, [id]);
}

async fn a_gateway_is_routed_to(db: TestDb) {
    let f = Fixture::on(db).await;
    let subnet = subnet(&f).await;
    let eip = elastic(&f).await;
    let id = create(&f, &subnet, &eip).await;
    let table = f.texts("CreateRouteTable", &[("VpcId", subnet.vpc_id.as_str())], "routeTableId").await.remove(0);
    let to = |block: &'static str| {
        [("RouteTableId", table.as_str()), ("DestinationCidrBlock", block), ("NatGatewayId", &id)]
    };
    f.call("CreateRoute", &to("0.0.0.0/0")).await.unwrap();
    let of = [("Filter.1.Name", "route.nat-gateway-id"), ("Filter.1.Value.1", id.as_str())];
    let shown = f.call("DescribeRouteTables", &of).await.unwrap();
    assert_eq!(
        (texts(&shown, "natGatewayId"), texts(&shown, "state")),
        (vec![id.clone()], vec!["active".into(), "active".into()])
    );
    let rows = route_list(&f.store, &[table.parse().unwrap()]).await.unwrap();
    assert_eq!(rows[0].target_kind, TO_NAT_GATEWAY);
    // A subnet of the VPC may be led there; two targets are one too many; another VPC has none of it.
    let block = subnet.cidr.to_string();
    f.call("CreateRoute", &[("RouteTableId", &table), ("DestinationCidrBlock", &block), ("NatGatewayId", &id)])
        .await
        .unwrap();
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId").await.remove(0);
    let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let other = f.texts("DescribeRouteTables", &of_vpc, "routeTableId").await.remove(0);
    let elsewhere = [("RouteTableId", other.as_str()), ("DestinationCidrBlock", "0.0.0.0/0"), ("NatGatewayId", &id)];
    assert_eq!(f.error("CreateRoute", &elsewhere).await.0, "InvalidParameterValue");
    f.call("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap();
    let shown = f.call("DescribeRouteTables", &of).await.unwrap();
    assert!(texts(&shown, "state").contains(&"blackhole".to_owned()), "it is about to go");
    assert_eq!(f.error("ReplaceRoute", &to("0.0.0.0/0")).await.0, "InvalidNatGatewayID.NotFound");
}

async fn no_zone_has_more_gateways_than_it_may(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let subnet = subnet(&f).await;
    allow(&f, "L-FE5A380F", 3).await;
    let private = |_| {
        [("SubnetId", subnet.id.as_str()), ("ConnectivityType", "private")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    assert_eq!(at_once(&f, "CreateNatGateway", "NatGatewayLimitExceeded", private).await, 3);
    assert_eq!(findings(&f).await, []);
    // What goes leaves no address behind.
    for id in f.texts("DescribeNatGateways", &[], "natGatewayId").await {
        f.call("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap();
        says(&f, NODE, &id, false, true).await;
    }
    assert_eq!(private_address_count(&f.store, &subnet.id).await.unwrap(), 0);
    assert_eq!(findings(&f).await, []);
    assert_eq!(at_once(&f, "CreateNatGateway", "NatGatewayLimitExceeded", private).await, 3);
}
