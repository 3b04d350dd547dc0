//! Routes of IPv6, and egress-only internet gateways.

use crate::fixture::{Fixture, texts};
use mallee_app::CloudConfig;
use mallee_app::test_support::config;
use mallee_store::test_support::TestDb;

mallee_store::store_test_suite!(a_gateway_is_of_one_vpc_and_goes_before_it, routes_lead_ipv6_where_it_can_go);

async fn world(db: TestDb) -> Fixture {
    Fixture::with(db, CloudConfig { public_pool_v6: Some("2001:db8::/40".parse().unwrap()), ..config() }).await
}

const CREATE: &str = "CreateEgressOnlyInternetGateway";
const DESCRIBE: &str = "DescribeEgressOnlyInternetGateways";
const DELETE: &str = "DeleteEgressOnlyInternetGateway";

async fn vpc(f: &Fixture, block: &str) -> String {
    let new = [("CidrBlock", block), ("AmazonProvidedIpv6CidrBlock", "true")];
    f.texts("CreateVpc", &new, "vpcId").await.remove(0)
}

async fn a_gateway_is_of_one_vpc_and_goes_before_it(db: TestDb) {
    let f = world(db).await;
    let vpc = vpc(&f, "10.2.0.0/16").await;
    let new = [
        ("VpcId", vpc.as_str()),
        ("ClientToken", "once"),
        ("TagSpecification.1.ResourceType", "egress-only-internet-gateway"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "out"),
    ];
    let made = f.call(CREATE, &new).await.unwrap();
    let id = texts(&made, "egressOnlyInternetGatewayId").remove(0);
    assert!(id.starts_with("eigw-"), "{id}");
    assert_eq!((texts(&made, "state"), texts(&made, "vpcId")), (vec!["attached".to_owned()], vec![vpc.clone()]));
    assert_eq!((texts(&made, "value"), texts(&made, "clientToken")), (vec!["out".to_owned()], vec!["once".to_owned()]));
    assert_eq!(f.texts(CREATE, &new, "egressOnlyInternetGatewayId").await, [id.as_str()], "the same once more");
    let (code, text) = f.error(CREATE, &[("VpcId", &vpc)]).await;
    assert_eq!(code, "InvalidParameterValue");
    assert_eq!(text, format!("Network {vpc} already has an egress-only internet gateway attached"));
    assert_eq!(f.error(CREATE, &[]).await.0, "MissingParameter");
    assert_eq!(f.error(CREATE, &[("VpcId", "vpc-12345678")]).await.0, "InvalidVpcID.NotFound");
    assert_eq!(f.error(CREATE, &[("VpcId", &vpc), ("DryRun", "true")]).await.0, "DryRunOperation");

    let found = async |by: &[(&str, &str)]| f.texts(DESCRIBE, by, "egressOnlyInternetGatewayId").await;
    assert_eq!(found(&[]).await, [id.as_str()]);
    assert_eq!(found(&[("EgressOnlyInternetGatewayId.1", &id)]).await, [id.as_str()]);
    assert_eq!(found(&[("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", "out")]).await, [id.as_str()]);
    assert!(found(&[("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", "in")]).await.is_empty());
    assert!(
        found(&[("EgressOnlyInternetGatewayId.1", "eigw-12345678")]).await.is_empty(),
        "clients wait so for its end"
    );
    f.call("CreateTags", &[("ResourceId.1", &id), ("Tag.1.Key", "Env"), ("Tag.1.Value", "prod")]).await.unwrap();
    assert_eq!(f.texts(DESCRIBE, &[], "key").await, ["Env", "Name"]);
    assert!(texts(&f.call_as(&f.other, DESCRIBE, &[]).await.unwrap(), "vpcId").is_empty());
    assert_eq!(
        f.error_as(&f.other, DELETE, &[("EgressOnlyInternetGatewayId", &id)]).await.0,
        "InvalidGatewayID.NotFound"
    );

    assert_eq!(f.error("DeleteVpc", &[("VpcId", &vpc)]).await.0, "DependencyViolation");
    assert_eq!(f.texts(DELETE, &[("EgressOnlyInternetGatewayId", &id)], "returnCode").await, ["true"]);
    assert_eq!(f.error(DELETE, &[("EgressOnlyInternetGatewayId", &id)]).await.0, "InvalidGatewayID.NotFound");
    assert_eq!(f.error(DELETE, &[("EgressOnlyInternetGatewayId", "x")]).await.0, "InvalidGatewayID.NotFound");
    assert!(
        f.texts("DescribeTags", &[("Filter.1.Name", "resource-id"), ("Filter.1.Value.1", &id)], "key").await.is_empty()
    );
    f.call("DeleteVpc", &[("VpcId", &vpc)]).await.unwrap();
}

async fn routes_lead_ipv6_where_it_can_go(db: TestDb) {
    let f = world(db).await;
    let (vpc, other) = (vpc(&f, "10.2.0.0/16").await, vpc(&f, "10.3.0.0/16").await);
    let own = f.texts("DescribeVpcs", &[("VpcId.1", &vpc)], "ipv6CidrBlock").await.remove(0);
    let in_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let table = f.texts("DescribeRouteTables", &in_vpc, "routeTableId").await.remove(0);
    let eigw = f.texts(CREATE, &[("VpcId", &vpc)], "egressOnlyInternetGatewayId").await.remove(0);
    let strange = f.texts(CREATE, &[("VpcId", &other)], "egressOnlyInternetGatewayId").await.remove(0);
    let igw = f.texts("CreateInternetGateway", &[], "internetGatewayId").await.remove(0);
    f.call("AttachInternetGateway", &[("InternetGatewayId", &igw), ("VpcId", &vpc)]).await.unwrap();
    let route = async |operation: &str, more: &[(&str, &str)]| {
        let all = [&[("RouteTableId", table.as_str())], more].concat();
        f.call(operation, &all).await.map(drop).map_err(|error| error.code().as_str())
    };
    let everywhere = ("DestinationIpv6CidrBlock", "::/0");
    let outward = ("EgressOnlyInternetGatewayId", eigw.as_str());
    route("CreateRoute", &[everywhere, outward]).await.unwrap();
    route("CreateRoute", &[("DestinationIpv6CidrBlock", "2001:DB8:ff00::9/40"), ("GatewayId", &igw)]).await.unwrap();
    let shown = f.call("DescribeRouteTables", &[("RouteTableId.1", &table)]).await.unwrap();
    assert_eq!(texts(&shown, "destinationIpv6CidrBlock"), [own.as_str(), "2001:db8:ff00::/40", "::/0"]);
    assert_eq!(texts(&shown, "egressOnlyInternetGatewayId"), [eigw.as_str()]);
    assert_eq!(
        texts(&shown, "state"),
        ["associated", "active", "active", "active", "active"],
        "the local ones with them"
    );
    for (name, value, found) in [
        ("route.egress-only-internet-gateway-id", eigw.as_str(), 1),
        ("route.destination-ipv6-cidr-block", "::/0", 1),
        ("route.destination-ipv6-cidr-block", "::/1", 0),
    ] {
        let by = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        assert_eq!(f.texts("DescribeRouteTables", &by, "vpcId").await.len(), found, "{name} {value}");
    }
    // What cannot be.
    for (code, more) in [
        ("RouteAlreadyExists", [everywhere, outward]),
        ("RouteAlreadyExists", [("DestinationIpv6CidrBlock", own.as_str()), outward]),
        ("InvalidParameterValue", [("DestinationIpv6CidrBlock", &own.replace("/56", "/64")), outward]),
        ("InvalidParameterValue", [("DestinationCidrBlock", "0.0.0.0/0"), outward]),
        ("InvalidParameterValue", [("DestinationIpv6CidrBlock", "10.0.0.0/8"), outward]),
        ("InvalidParameterValue", [("DestinationIpv6CidrBlock", "::/1"), ("EgressOnlyInternetGatewayId", &strange)]),
        (
            "InvalidGatewayID.NotFound",
            [("DestinationIpv6CidrBlock", "::/1"), ("EgressOnlyInternetGatewayId", "eigw-1")],
        ),
        ("Unsupported", [("DestinationIpv6CidrBlock", "64:ff9b::/96"), ("NatGatewayId", "nat-12345678")]),
        ("Unsupported", [("DestinationIpv6CidrBlock", "::/1"), ("NetworkInterfaceId", "eni-12345678")]),
    ] {
        assert_eq!(route("CreateRoute", &more).await.unwrap_err(), code, "{more:?}");
    }
    let two = [everywhere, ("DestinationCidrBlock", "0.0.0.0/0"), outward];
    assert_eq!(route("CreateRoute", &two).await.unwrap_err(), "InvalidParameterCombination");
    let two = [("DestinationIpv6CidrBlock", "::/1"), outward, ("GatewayId", &igw)];
    assert_eq!(route("CreateRoute", &two).await.unwrap_err(), "InvalidParameterCombination");
    let local = [("DestinationIpv6CidrBlock", own.as_str())];
    assert_eq!(route("DeleteRoute", &local).await.unwrap_err(), "InvalidParameterValue");
    // From the one gateway to the other and back; the local route is to itself as it was.
    route("ReplaceRoute", &[everywhere, ("GatewayId", &igw)]).await.unwrap();
    assert!(f.texts("DescribeRouteTables", &in_vpc, "egressOnlyInternetGatewayId").await.is_empty());
    route("ReplaceRoute", &[everywhere, outward]).await.unwrap();
    route("ReplaceRoute", &[local[0], ("LocalTarget", "true")]).await.unwrap();
    assert_eq!(route("ReplaceRoute", &[local[0], outward]).await.unwrap_err(), "InvalidParameterValue");
    // To a peer, which shows its blocks.
    let theirs = f.texts("DescribeVpcs", &[("VpcId.1", &other)], "ipv6CidrBlock").await.remove(0);
    let ask = [("VpcId", vpc.as_str()), ("PeerVpcId", other.as_str())];
    let peering = f.texts("CreateVpcPeeringConnection", &ask, "vpcPeeringConnectionId").await.remove(0);
    f.call("AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)]).await.unwrap();
    let shown = f.texts("DescribeVpcPeeringConnections", &[], "ipv6CidrBlock").await;
    assert_eq!(shown, [theirs.as_str(), own.as_str()], "the accepter's first");
    let to_peer = [("DestinationIpv6CidrBlock", theirs.as_str()), ("VpcPeeringConnectionId", peering.as_str())];
    route("CreateRoute", &to_peer).await.unwrap();
    let by = [("Filter.1.Name", "route.vpc-peering-connection-id"), ("Filter.1.Value.1", peering.as_str())];
    assert!(f.texts("DescribeRouteTables", &by, "destinationIpv6CidrBlock").await.contains(&theirs));
    f.call("DeleteVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)]).await.unwrap();
    route("DeleteRoute", &to_peer[..1]).await.unwrap();
    // The gateway goes, and its route leads nowhere.
    f.call(DELETE, &[("EgressOnlyInternetGatewayId", &eigw)]).await.unwrap();
    let by = [("Filter.1.Name", "route.state"), ("Filter.1.Value.1", "blackhole")];
    assert_eq!(f.texts("DescribeRouteTables", &by, "egressOnlyInternetGatewayId").await, [eigw.as_str()]);
    route("DeleteRoute", &[everywhere]).await.unwrap();
    assert_eq!(route("DeleteRoute", &[everywhere]).await.unwrap_err(), "InvalidRoute.NotFound");
    assert!(f.texts("DescribeRouteTables", &by, "vpcId").await.is_empty());
}
