//! The IPv6 blocks of subnets: a /64 of their VPC's, given, shown and taken away.

use crate::fixture::{Fixture, texts};
use mallee_app::CloudConfig;
use mallee_app::test_support::config;
use mallee_store::changes_bounds;
use mallee_store::test_support::TestDb;

mallee_store::store_test_suite!(
    a_subnet_is_made_with_an_ipv6_block,
    a_subnet_gets_an_ipv6_block_and_loses_it,
    a_blocks_end_is_refused_while_something_is_in_it,
);

/// A VPC with an IPv6 block, in a cloud that has a pool.
pub(crate) struct World {
    pub(crate) f: Fixture,
    pub(crate) vpc: String,
    /// The VPC's block without its last group: `2001:db8:0:12` and a digit or two.
    prefix: String,
}

impl World {
    pub(crate) async fn new(db: TestDb) -> Self {
        let pool = Some("2001:db8::/40".parse().unwrap());
        let f = Fixture::with(db, CloudConfig { public_pool_v6: pool, ..config() }).await;
        let new = [("CidrBlock", "10.2.0.0/16"), ("AmazonProvidedIpv6CidrBlock", "true")];
        let made = f.call("CreateVpc", &new).await.unwrap();
        let (vpc, block) = (texts(&made, "vpcId").remove(0), texts(&made, "ipv6CidrBlock").remove(0));
        let net: ipnet::Ipv6Net = block.parse().unwrap();
        let [a, b, c, d, ..] = net.network().segments();
        let prefix = format!("{a:x}:{b:x}:{c:x}:{:x}", d >> 8);
        Self { f, vpc, prefix }
    }

    /// The nth /64 of the VPC's block, as everybody writes it.
    pub(crate) fn part(&self, n: u8) -> String {
        let text = format!("{}{n:02x}::/64", self.prefix);
        text.parse::<ipnet::Ipv6Net>().unwrap().to_string()
    }

    /// A subnet with the nth parts of the VPC's blocks.
    pub(crate) async fn subnet(&self, n: u8) -> String {
        let (v4, v6) = (format!("10.2.{n}.0/24"), self.part(n));
        let new = [("VpcId", self.vpc.as_str()), ("CidrBlock", &v4), ("Ipv6CidrBlock", &v6)];
        self.f.texts("CreateSubnet", &new, "subnetId").await.remove(0)
    }

    async fn shown(&self, subnet: &str, element: &str) -> Vec<String> {
        self.f.texts("DescribeSubnets", &[("SubnetId.1", subnet)], element).await
    }
}

async fn a_subnet_is_made_with_an_ipv6_block(db: TestDb) {
    let w = World::new(db).await;
    let block = w.part(1);
    let new = [("VpcId", w.vpc.as_str()), ("CidrBlock", "10.2.1.0/24"), ("Ipv6CidrBlock", &block)];
    let dry = [&new[..], &[("DryRun", "true")]].concat();
    assert_eq!(w.f.error("CreateSubnet", &dry).await.0, "DryRunOperation");
    let made = w.f.call("CreateSubnet", &new).await.unwrap();
    assert_eq!(texts(&made, "ipv6CidrBlock"), [block.as_str()]);
    assert!(texts(&made, "state").contains(&"associating".to_owned()));
    assert_eq!(texts(&made, "assignIpv6AddressOnCreation"), ["false"]);
    let id = texts(&made, "subnetId").remove(0);
    let association = w.shown(&id, "associationId").await.remove(0);
    assert!(association.starts_with("subnet-cidr-assoc-"), "{association}");
    for (name, value) in [
        ("ipv6-cidr-block-association.ipv6-cidr-block", block.as_str()),
        ("ipv6-cidr-block-association.association-id", &association),
        ("ipv6-cidr-block-association.state", "associated"),
    ] {
        let by = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        assert_eq!(w.f.texts("DescribeSubnets", &by, "subnetId").await, [id.as_str()], "{name}");
    }
    // What no subnet of the VPC can have, and what this one has.
    let before = w.f.texts("DescribeSubnets", &[], "subnetId").await.len();
    let error = async |cidr: &str| {
        let new = [("VpcId", w.vpc.as_str()), ("CidrBlock", "10.2.2.0/24"), ("Ipv6CidrBlock", cidr)];
        w.f.error("CreateSubnet", &new).await
    };
    let (code, text) = error(&block).await;
    assert_eq!((code, text), ("InvalidSubnet.Conflict", format!("The CIDR '{block}' conflicts with another subnet")));
    assert_eq!(error("2001:db9::/64").await.0, "InvalidSubnet.Range");
    assert_eq!(error(&w.part(2).replace("/64", "/63")).await.0, "InvalidSubnet.Range");
    assert_eq!(error("nonsense").await.0, "InvalidParameterValue");
    assert_eq!(w.f.texts("DescribeSubnets", &[], "subnetId").await.len(), before, "nothing is left of them");
}

async fn a_subnet_gets_an_ipv6_block_and_loses_it(db: TestDb) {
    let w = World::new(db).await;
    let new = [("VpcId", w.vpc.as_str()), ("CidrBlock", "10.2.1.0/24")];
    let id = w.f.texts("CreateSubnet", &new, "subnetId").await.remove(0);
    let me = ("SubnetId", id.as_str());
    let on = [me, ("AssignIpv6AddressOnCreation.Value", "true")];
    let (code, text) = w.f.error("ModifySubnetAttribute", &on).await;
    assert!(code == "InvalidParameterValue" && text.contains("has no IPv6 CIDR block"), "{code}: {text}");

    let (block, other) = (w.part(7), w.part(8));
    let (_, newest) = changes_bounds(&w.f.store).await.unwrap();
    let made = w.f.call("AssociateSubnetCidrBlock", &[me, ("Ipv6CidrBlock", &block)]).await.unwrap();
    assert_eq!((texts(&made, "subnetId"), texts(&made, "state")), (vec![id.clone()], vec!["associating".to_owned()]));
    assert_eq!(texts(&made, "ipv6CidrBlock"), [block.as_str()]);
    assert!(changes_bounds(&w.f.store).await.unwrap().1 > newest, "clusters are told");
    assert_eq!(w.shown(&id, "ipv6CidrBlock").await, [block.as_str()]);
    let again = [me, ("Ipv6CidrBlock", other.as_str())];
    assert_eq!(w.f.error("AssociateSubnetCidrBlock", &again).await.0, "CidrLimitExceeded");
    assert_eq!(w.f.error("AssociateSubnetCidrBlock", &[me]).await.0, "MissingParameter");
    let strange = [("SubnetId", "subnet-12345678"), ("Ipv6CidrBlock", other.as_str())];
    assert_eq!(w.f.error("AssociateSubnetCidrBlock", &strange).await.0, "InvalidSubnetID.NotFound");
    assert_eq!(w.f.error_as(&w.f.other, "AssociateSubnetCidrBlock", &again).await.0, "InvalidSubnetID.NotFound");

    w.f.call("ModifySubnetAttribute", &on).await.unwrap();
    w.f.call("ModifySubnetAttribute", &on).await.unwrap();
    assert_eq!(w.shown(&id, "assignIpv6AddressOnCreation").await, ["true"]);
    let both = [&on[..], &[("MapPublicIpOnLaunch.Value", "true")]].concat();
    assert_eq!(w.f.error("ModifySubnetAttribute", &both).await.0, "InvalidParameterCombination");
    w.f.call("ModifySubnetAttribute", &[me, ("AssignIpv6AddressOnCreation.Value", "false")]).await.unwrap();
    assert_eq!(w.shown(&id, "assignIpv6AddressOnCreation").await, ["false"]);

    let association = texts(&made, "associationId").remove(0);
    let gone = [("AssociationId", association.as_str())];
    let code = "InvalidSubnetCidrBlockAssociationID.NotFound";
    assert_eq!(w.f.error_as(&w.f.other, "DisassociateSubnetCidrBlock", &gone).await.0, code);
    let answer = w.f.call("DisassociateSubnetCidrBlock", &gone).await.unwrap();
    assert_eq!(
        (texts(&answer, "subnetId"), texts(&answer, "state")),
        (vec![id.clone()], vec!["disassociating".into()])
    );
    assert!(w.shown(&id, "ipv6CidrBlock").await.is_empty());
    assert_eq!(w.f.error("DisassociateSubnetCidrBlock", &gone).await.0, code);
    assert_eq!(w.f.error("DisassociateSubnetCidrBlock", &[("AssociationId", "x")]).await.0, code);
    // It is free for another.
    w.f.call("AssociateSubnetCidrBlock", &[me, ("Ipv6CidrBlock", &block)]).await.unwrap();
}

async fn a_blocks_end_is_refused_while_something_is_in_it(db: TestDb) {
    let w = World::new(db).await;
    let subnet = w.subnet(1).await;
    let shown = w.f.call("DescribeVpcs", &[("VpcId.1", &w.vpc)]).await.unwrap();
    let v6 = texts(&shown, "ipv6CidrBlock").remove(0);
    // The other is of the VPC's first IPv4 block, and has its number.
    let first = w.vpc.replacen("vpc-", "vpc-cidr-assoc-", 1);
    let association = texts(&shown, "associationId").into_iter().find(|id| *id != first).unwrap();
    let of_vpc = [("AssociationId", association.as_str())];
    let (code, text) = w.f.error("DisassociateVpcCidrBlock", &of_vpc).await;
    assert_eq!(
        (code, text),
        ("InvalidCidrBlock.InUse", format!("The vpc {} currently has a subnet within CIDR block {v6}", w.vpc))
    );
    assert_eq!(w.f.error("DeleteVpc", &[("VpcId", &w.vpc)]).await.0, "DependencyViolation");
    w.f.call("DeleteSubnet", &[("SubnetId", &subnet)]).await.unwrap();
    w.f.call("DisassociateVpcCidrBlock", &of_vpc).await.unwrap();
    w.f.call("DeleteVpc", &[("VpcId", &w.vpc)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pool_no_subnet_is_given_any() {
    let f = Fixture::new().await;
    let subnet = f.texts("DescribeSubnets", &[], "subnetId").await.remove(0);
    let me = ("SubnetId", subnet.as_str());
    for (action, given) in [
        ("AssociateSubnetCidrBlock", ("Ipv6CidrBlock", "2001:db8::/64")),
        ("ModifySubnetAttribute", ("AssignIpv6AddressOnCreation.Value", "true")),
    ] {
        let (code, text) = f.error(action, &[me, given]).await;
        assert!(code == "Unsupported" && text.contains(given.0.trim_end_matches(".Value")), "{action}: {code}: {text}");
    }
}
