//! The blocks of a VPC: which it may have, who learns of them, and what keeps them.

use crate::fixture::Fixture;
use crate::routes::{allow, at_once};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::sync::Arc;

mallee_store::store_test_suite!(no_block_overlaps_another_however_many_calls_come_at_once);

async fn vpc(f: &Fixture, cidr: &str) -> String {
    f.texts("CreateVpc", &[("CidrBlock", cidr)], "vpcId").await.remove(0)
}

async fn associate(f: &Fixture, vpc: &str, cidr: &str) -> String {
    let params = [("VpcId", vpc), ("CidrBlock", cidr)];
    f.texts("AssociateVpcCidrBlock", &params, "associationId").await.remove(0)
}

async fn refused(f: &Fixture, vpc: &str, cidr: &str) -> (&'static str, String) {
    f.error("AssociateVpcCidrBlock", &[("VpcId", vpc), ("CidrBlock", cidr)]).await
}

/// What the change log says since then.
async fn told(f: &Fixture, since: u64) -> Vec<(String, String)> {
    let changes = changes_since(&f.store, since, 100).await.unwrap();
    changes.into_iter().map(|change| (change.kind, change.id)).collect()
}

async fn generation(f: &Fixture, vpc: &str) -> Generation {
    vpc_fetch(&f.store, &vpc.parse().unwrap()).await.unwrap().generation
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_the_vpcs_own_everywhere() {
    let f = Fixture::new().await;
    let id = vpc(&f, "10.2.0.0/16").await;
    let before = generation(&f, &id).await;
    let (_, newest) = changes_bounds(&f.store).await.unwrap();
    // As it says, and in its canonical form.
    let params = [("VpcId", id.as_str()), ("CidrBlock", "10.3.0.9/20")];
    let made = f.call("AssociateVpcCidrBlock", &params).await.unwrap();
    assert_eq!(crate::fixture::texts(&made, "state"), ["associating"]);
    assert_eq!(crate::fixture::texts(&made, "cidrBlock"), ["10.3.0.0/20"]);
    assert_eq!(crate::fixture::texts(&made, "vpcId"), [id.as_str()]);
    let association = crate::fixture::texts(&made, "associationId").remove(0).to_owned();
    assert_eq!(generation(&f, &id).await, Generation(before.0 + 1));
    let shown = |name: &'static str, value: String| {
        let f = &f;
        async move { f.texts("DescribeVpcs", &[("Filter.1.Name", name), ("Filter.1.Value.1", &value)], "vpcId").await }
    };
    assert_eq!(
        f.texts("DescribeVpcs", &[("VpcId.1", &id)], "cidrBlock").await,
        ["10.2.0.0/16", "10.2.0.0/16", "10.3.0.0/20"]
    );
    assert_eq!(shown("cidr-block-association.cidr-block", "10.3.0.0/20".into()).await, [id.as_str()]);
    assert_eq!(shown("cidr-block-association.association-id", association.clone()).await, [id.as_str()]);
    assert!(shown("cidr", "10.3.0.0/20".into()).await.is_empty(), "which is the first block");
    // Every table leads there, and none elsewhere.
    let in_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", id.as_str())];
    assert_eq!(f.texts("DescribeRouteTables", &in_vpc, "destinationCidrBlock").await, ["10.2.0.0/16", "10.3.0.0/20"]);
    let table = f.texts("DescribeRouteTables", &in_vpc, "routeTableId").await.remove(0);
    // Clusters hear of both, the VPC first.
    let both = [("vpc", &id), ("route-table", &table)].map(|(kind, id)| (kind.to_owned(), id.clone()));
    assert_eq!(told(&f, newest).await, both);
    let gateway = f.texts("CreateInternetGateway", &[], "internetGatewayId").await.remove(0);
    f.call("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &id)]).await.unwrap();
    let route = |to| [("RouteTableId", table.as_str()), ("DestinationCidrBlock", to), ("GatewayId", gateway.as_str())];
    for inside in ["10.3.0.0/20", "10.3.1.0/24"] {
        let (code, text) = f.error("CreateRoute", &route(inside)).await;
        assert!(code == "InvalidParameterValue" && text.contains("equal to or more specific"), "{text}");
    }
    f.call("CreateRoute", &route("10.3.0.0/16")).await.unwrap();
    let local = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "10.3.0.0/20")];
    assert!(f.error("DeleteRoute", &local).await.1.contains("cannot remove local route"));
    f.call("ReplaceRoute", &[local[0], local[1], ("LocalTarget", "true")]).await.unwrap();
    // A subnet may be in it, and keeps it.
    let subnet = [("VpcId", id.as_str()), ("CidrBlock", "10.3.4.0/24")];
    let subnet = f.texts("CreateSubnet", &subnet, "subnetId").await.remove(0);
    let gone = [("AssociationId", association.as_str())];
    let text = format!("The vpc {id} currently has a subnet within CIDR block 10.3.0.0/20");
    assert_eq!(f.error("DisassociateVpcCidrBlock", &gone).await, ("InvalidCidrBlock.InUse", text));
    f.call("DeleteSubnet", &[("SubnetId", &subnet)]).await.unwrap();
    assert_eq!(f.texts("DisassociateVpcCidrBlock", &gone, "state").await, ["disassociating"]);
    let text = format!("The vpc CIDR block association ID '{association}' does not exist");
    assert_eq!(f.error("DisassociateVpcCidrBlock", &gone).await, ("InvalidVpcCidrBlockAssociationID.NotFound", text));
    let subnet = [("VpcId", id.as_str()), ("CidrBlock", "10.3.4.0/24")];
    assert_eq!(f.error("CreateSubnet", &subnet).await.0, "InvalidSubnet.Range");
    f.call("CreateRoute", &route("10.3.1.0/24")).await.unwrap();
    // A VPC goes with its blocks.
    let other = vpc(&f, "10.4.0.0/16").await;
    associate(&f, &other, "10.5.0.0/16").await;
    f.call("DeleteVpc", &[("VpcId", &other)]).await.unwrap();
    assert!(vpc_cidr_list(&f.store, None).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_is_refused() {
    let f = Fixture::new().await;
    let id = vpc(&f, "10.2.0.0/16").await;
    for cidr in ["10.4.0.0/15", "10.4.0.0/29", "169.254.8.0/24", "127.0.0.0/16", "224.1.0.0/16"] {
        assert_eq!(refused(&f, &id, cidr).await, ("InvalidVpc.Range", format!("The CIDR '{cidr}' is invalid.")));
    }
    assert_eq!(refused(&f, &id, "nonsense").await.0, "InvalidParameterValue");
    let (code, text) = refused(&f, &id, "192.168.0.0/16").await;
    assert!(code == "InvalidVpc.Range" && text.starts_with("The CIDR '192.168.0.0/16' is restricted."), "{text}");
    assert_eq!(refused(&f, "vpc-12345678", "10.4.0.0/16").await.0, "InvalidVpcID.NotFound");
    associate(&f, &id, "100.64.0.0/16").await;
    for cidr in ["10.2.0.0/16", "10.2.9.0/24", "100.64.1.0/24"] {
        let (code, text) = refused(&f, &id, cidr).await;
        assert!(code == "InvalidVpc.Range" && text.contains("conflicts with"), "{text}");
    }
    // A route elsewhere keeps its addresses; within it there is room.
    let in_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", id.as_str())];
    let table = f.texts("DescribeRouteTables", &in_vpc, "routeTableId").await.remove(0);
    let gateway = f.texts("CreateInternetGateway", &[], "internetGatewayId").await.remove(0);
    f.call("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &id)]).await.unwrap();
    let to = |to| [("RouteTableId", table.as_str()), ("DestinationCidrBlock", to), ("GatewayId", gateway.as_str())];
    f.call("CreateRoute", &to("0.0.0.0/0")).await.unwrap();
    f.call("CreateRoute", &to("10.8.0.0/24")).await.unwrap();
    let text = |net| {
        format!(
            "The CIDR '{net}' is the same as or larger than 10.8.0.0/24, the destination of a route in route table {table} \
             to {gateway}."
        )
    };
    for net in ["10.8.0.0/24", "10.8.0.0/16"] {
        assert_eq!(refused(&f, &id, net).await, ("InvalidVpc.Range", text(net)));
    }
    associate(&f, &id, "10.8.0.128/25").await;
    for (parameter, value) in [
        ("AmazonProvidedIpv6CidrBlock", "true"),
        ("Ipv4IpamPoolId", "ipam-pool-1"),
        ("Ipv4NetmaskLength", "24"),
        ("Ipv6CidrBlock", "2001:db8::/56"),
        ("Ipv6CidrBlockNetworkBorderGroup", "x"),
        ("Ipv6IpamPoolId", "ipam-pool-1"),
        ("Ipv6NetmaskLength", "56"),
        ("Ipv6Pool", "x"),
    ] {
        let (code, text) = f.error("AssociateVpcCidrBlock", &[("VpcId", &id), (parameter, value)]).await;
        assert!(code == "Unsupported" && text.contains(parameter), "{code}: {text}");
    }
    assert_eq!(f.error("AssociateVpcCidrBlock", &[("VpcId", &id)]).await.0, "MissingParameter");
    // The first block stays.
    let first = id.replacen("vpc-", "vpc-cidr-assoc-", 1);
    let (code, text) = f.error("DisassociateVpcCidrBlock", &[("AssociationId", &first)]).await;
    assert!(code == "OperationNotPermitted" && text.contains("It is the primary IPv4 CIDR block"), "{text}");
    for strange in ["vpc-cidr-assoc-12345678", "nonsense"] {
        let error = f.error("DisassociateVpcCidrBlock", &[("AssociationId", strange)]).await;
        assert_eq!(error.0, "InvalidVpcCidrBlockAssociationID.NotFound");
    }
    // With its three, there is room for two more.
    associate(&f, &id, "10.10.0.0/16").await;
    associate(&f, &id, "10.11.0.0/16").await;
    let (code, text) = refused(&f, &id, "10.12.0.0/16").await;
    assert!(code == "CidrLimitExceeded" && text.contains("maximum number of allowed CIDRs"), "{text}");
    allow(&f, "L-83CA0A9D", 6).await;
    associate(&f, &id, "10.12.0.0/16").await;
}

async fn no_block_overlaps_another_however_many_calls_come_at_once(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let id = vpc(&f, "10.2.0.0/16").await;
    let block = |n: u32| {
        [("VpcId", id.clone()), ("CidrBlock", format!("10.3.0.0/{}", 16 + n % 12))]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    };
    assert_eq!(at_once(&f, "AssociateVpcCidrBlock", "InvalidVpc.Range", block).await, 1);
    let different = |n: u32| {
        [("VpcId", id.clone()), ("CidrBlock", format!("10.{}.0.0/16", 20 + n))]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    };
    assert_eq!(at_once(&f, "AssociateVpcCidrBlock", "CidrLimitExceeded", different).await, 3);
}
