//! The IPv6 blocks of a VPC: out of the cloud's pool, if it has one.

use crate::fixture::{Fixture, texts};
use mallee_app::CloudConfig;
use mallee_app::test_support::config;
use mallee_store::test_support::TestDb;

mallee_store::store_test_suite!(a_vpc_has_ipv6_blocks_of_the_pool, a_pool_ends_and_its_blocks_come_back);

async fn world(db: TestDb, pool: &str) -> Fixture {
    Fixture::with(db, CloudConfig { public_pool_v6: Some(pool.parse().unwrap()), ..config() }).await
}

const IPV6: (&str, &str) = ("AmazonProvidedIpv6CidrBlock", "true");

async fn a_vpc_has_ipv6_blocks_of_the_pool(db: TestDb) {
    let f = world(db, "2001:db8::/40").await;
    let made = f.call("CreateVpc", &[("CidrBlock", "10.2.0.0/16"), IPV6]).await.unwrap();
    let id = texts(&made, "vpcId").remove(0);
    let first = texts(&made, "ipv6CidrBlock").remove(0);
    assert!(first.starts_with("2001:db8:") && first.ends_with("::/56"), "{first}");
    assert_eq!(texts(&made, "state"), ["associated", "associating", "pending"]);
    // One more.
    let more = f.call("AssociateVpcCidrBlock", &[("VpcId", &id), IPV6]).await.unwrap();
    assert_eq!(texts(&more, "vpcId"), [id.as_str()]);
    assert_eq!(texts(&more, "state"), ["associating"]);
    assert_eq!(texts(&more, "ipv6Pool"), ["Amazon"]);
    assert_eq!(texts(&more, "networkBorderGroup"), ["eu-1"]);
    assert!(texts(&more, "cidrBlock").is_empty());
    let second = texts(&more, "ipv6CidrBlock").remove(0);
    let association = texts(&more, "associationId").remove(0);
    assert!(first != second && association.starts_with("vpc-cidr-assoc-"), "{second} {association}");
    let by = |name: &'static str, value: String| {
        let f = &f;
        async move { f.texts("DescribeVpcs", &[("Filter.1.Name", name), ("Filter.1.Value.1", &value)], "vpcId").await }
    };
    assert_eq!(by("ipv6-cidr-block-association.ipv6-cidr-block", first.clone()).await, [id.as_str()]);
    assert_eq!(by("ipv6-cidr-block-association.association-id", association.clone()).await, [id.as_str()]);
    assert_eq!(by("ipv6-cidr-block-association.state", "associated".into()).await, [id.as_str()]);
    let mut shown = f.texts("DescribeVpcs", &[("VpcId.1", &id)], "ipv6CidrBlock").await;
    shown.sort_unstable();
    let mut both = [first.clone(), second.clone()];
    both.sort_unstable();
    assert_eq!(shown, both);
    // Every table leads there.
    let in_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", id.as_str())];
    let mut local = f.texts("DescribeRouteTables", &in_vpc, "destinationIpv6CidrBlock").await;
    local.sort_unstable();
    assert_eq!(local, both);
    let to = [("Filter.1.Name", "route.destination-ipv6-cidr-block"), ("Filter.1.Value.1", second.as_str())];
    assert_eq!(f.texts("DescribeRouteTables", &to, "vpcId").await, [id.as_str()]);
    // One goes, to nobody of another account.
    let gone = [("AssociationId", association.as_str())];
    let code = "InvalidVpcCidrBlockAssociationID.NotFound";
    assert_eq!(f.error_as(&f.other, "DisassociateVpcCidrBlock", &gone).await.0, code);
    let answer = f.call("DisassociateVpcCidrBlock", &gone).await.unwrap();
    assert_eq!(texts(&answer, "state"), ["disassociating"]);
    assert_eq!(texts(&answer, "ipv6CidrBlock"), [second.as_str()]);
    assert_eq!(f.texts("DescribeVpcs", &[("VpcId.1", &id)], "ipv6CidrBlock").await, [first.as_str()]);
    assert_eq!(f.texts("DescribeRouteTables", &in_vpc, "destinationIpv6CidrBlock").await, [first.as_str()]);
    assert_eq!(f.error("DisassociateVpcCidrBlock", &gone).await.0, code);
    // Five at most, and of one kind at a time.
    for _ in 1..5 {
        f.call("AssociateVpcCidrBlock", &[("VpcId", &id), IPV6]).await.unwrap();
    }
    assert_eq!(f.error("AssociateVpcCidrBlock", &[("VpcId", &id), IPV6]).await.0, "CidrLimitExceeded");
    let two = [("VpcId", id.as_str()), ("CidrBlock", "10.3.0.0/16"), IPV6];
    assert_eq!(f.error("AssociateVpcCidrBlock", &two).await.0, "InvalidParameterCombination");
    assert_eq!(f.error("AssociateVpcCidrBlock", &[("VpcId", "vpc-12345678"), IPV6]).await.0, "InvalidVpcID.NotFound");
}

async fn a_pool_ends_and_its_blocks_come_back(db: TestDb) {
    let f = world(db, "2001:db8:0:fe00::/55").await;
    let make = [("CidrBlock", "10.2.0.0/16"), IPV6];
    let (one, two) = (f.call("CreateVpc", &make).await.unwrap(), f.call("CreateVpc", &make).await.unwrap());
    let mut given = [texts(&one, "ipv6CidrBlock").remove(0), texts(&two, "ipv6CidrBlock").remove(0)];
    given.sort_unstable();
    assert_eq!(given, ["2001:db8:0:fe00::/56", "2001:db8:0:ff00::/56"]);
    let before = f.texts("DescribeVpcs", &[], "vpcId").await.len();
    let (code, text) = f.error("CreateVpc", &make).await;
    assert!(code == "InsufficientAddressCapacity" && text.contains("2001:db8:0:fe00::/55"), "{code}: {text}");
    assert_eq!(f.texts("DescribeVpcs", &[], "vpcId").await.len(), before, "nothing is left of it");
    f.call("DeleteVpc", &[("VpcId", &texts(&one, "vpcId").remove(0))]).await.unwrap();
    let again = f.texts("CreateVpc", &make, "ipv6CidrBlock").await;
    assert_eq!(again, [texts(&one, "ipv6CidrBlock").remove(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pool_nobody_is_given_any() {
    let f = Fixture::new().await;
    let (code, text) = f.error("CreateVpc", &[("CidrBlock", "10.2.0.0/16"), IPV6]).await;
    assert!(code == "Unsupported" && text.contains("AmazonProvidedIpv6CidrBlock"), "{code}: {text}");
}
