//! DHCP option sets as calls make, give and show them.

use crate::fixture::Fixture;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use std::sync::Arc;

async fn made(f: &Fixture, parameters: &[(&str, &str)]) -> String {
    f.texts("CreateDhcpOptions", parameters, "dhcpOptionsId").await.remove(0)
}

const NTP: [(&str, &str); 2] =
    [("DhcpConfiguration.1.Key", "ntp-servers"), ("DhcpConfiguration.1.Value.1", "192.0.2.1")];

/// Grows when nodes are to hear of the VPC.
async fn told(f: &Fixture, vpc: &str) -> u64 {
    vpc_fetch(&f.store, &vpc.parse().unwrap()).await.unwrap().generation.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vpc_shows_the_set_it_has() {
    let f = Fixture::new().await;
    let vpc = f.texts("DescribeVpcs", &[], "vpcId").await.remove(0);
    let default = f.texts("DescribeVpcs", &[], "dhcpOptionsId").await.remove(0);
    assert_eq!(f.texts("DescribeDhcpOptions", &[], "dhcpOptionsId").await, [default.as_str()]);
    let keys = f.texts("DescribeDhcpOptions", &[], "key").await;
    assert_eq!(keys, ["domain-name", "domain-name-servers"]);
    let values = f.texts("DescribeDhcpOptions", &[], "value").await;
    assert!(values.iter().any(|value| value.ends_with(".compute.internal")), "{values:?}");
    assert!(values.contains(&"AmazonProvidedDNS".to_owned()), "{values:?}");

    let set = made(&f, &NTP).await;
    let before = told(&f, &vpc).await;
    let give = async |set: &str| {
        f.call("AssociateDhcpOptions", &[("DhcpOptionsId", set), ("VpcId", &vpc)]).await.unwrap();
        assert_eq!(f.texts("DescribeVpcs", &[], "dhcpOptionsId").await, [set]);
        let by = [("Filter.1.Name", "dhcp-options-id"), ("Filter.1.Value.1", set)];
        assert_eq!(f.texts("DescribeVpcs", &by, "vpcId").await, [vpc.as_str()]);
    };
    for set in [set.as_str(), set.as_str(), "default", "default", &default] {
        give(set).await;
    }
    assert_eq!(told(&f, &vpc).await, before + 3, "what is so already is not told again");
    let second = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "dhcpOptionsId").await;
    assert_eq!(second, [default]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_in_use_or_gone_is_refused() {
    let f = Fixture::new().await;
    let vpc = f.texts("DescribeVpcs", &[], "vpcId").await.remove(0);
    let set = made(&f, &NTP).await;
    f.call("AssociateDhcpOptions", &[("DhcpOptionsId", &set), ("VpcId", &vpc)]).await.unwrap();
    let in_use = ("DependencyViolation", format!("The dhcpOptions '{set}' has dependencies and cannot be deleted."));
    assert_eq!(f.error("DeleteDhcpOptions", &[("DhcpOptionsId", &set)]).await, in_use);
    f.call("AssociateDhcpOptions", &[("DhcpOptionsId", "default"), ("VpcId", &vpc)]).await.unwrap();
    f.call("DeleteDhcpOptions", &[("DhcpOptionsId", &set)]).await.unwrap();
    assert_eq!(f.error("DeleteDhcpOptions", &[("DhcpOptionsId", &set)]).await.0, "InvalidDhcpOptionsID.NotFound");
    let gone = ("InvalidDhcpOptionID.NotFound", format!("The dhcpOption ID '{set}' does not exist"));
    assert_eq!(f.error("AssociateDhcpOptions", &[("DhcpOptionsId", &set), ("VpcId", &vpc)]).await, gone);
    assert_eq!(f.error("DescribeDhcpOptions", &[("DhcpOptionsId.1", &set)]).await, gone);
    assert_eq!(f.error("DescribeDhcpOptions", &[("DhcpOptionsId.1", "x")]).await.0, "InvalidDhcpOptionsId.Malformed");
    let nowhere = [("DhcpOptionsId", "default"), ("VpcId", "vpc-00000000000000000")];
    assert_eq!(f.error("AssociateDhcpOptions", &nowhere).await.0, "InvalidVpcID.NotFound");
    for action in ["AssociateDhcpOptions", "CreateDhcpOptions", "DeleteDhcpOptions"] {
        assert_eq!(f.error(action, &[]).await.0, "MissingParameter", "{action}");
    }
    // The default one, too, once nobody has it; the next VPC brings another.
    let default = f.texts("DescribeDhcpOptions", &[], "dhcpOptionsId").await.remove(0);
    f.call("DeleteDhcpOptions", &[("DhcpOptionsId", &default)]).await.unwrap();
    assert!(f.texts("DescribeDhcpOptions", &[], "dhcpOptionsId").await.is_empty());
    let next = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "dhcpOptionsId").await;
    assert_eq!(f.texts("DescribeDhcpOptions", &[], "dhcpOptionsId").await, next);
    assert_ne!(next, [default]);
}

mallee_store::store_test_suite!(a_vpc_is_made_with_a_default_set_whoever_deletes_it);

async fn a_vpc_is_made_with_a_default_set_whoever_deletes_it(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let (vpc, own) = (f.texts("DescribeVpcs", &[], "vpcId").await.remove(0), made(&f, &NTP).await);
    f.call("AssociateDhcpOptions", &[("DhcpOptionsId", &own), ("VpcId", &vpc)]).await.unwrap();
    for n in 0..8 {
        let by = [("Filter.1.Name", "key"), ("Filter.1.Value.1", "domain-name")];
        let default = f.texts("DescribeDhcpOptions", &by, "dhcpOptionsId").await.remove(0);
        let calls: Vec<_> = (0..2)
            .map(|m| {
                let (f, cidr) = (Arc::clone(&f), format!("10.{n}.{m}.0/24"));
                tokio::spawn(async move { f.texts("CreateVpc", &[("CidrBlock", &cidr)], "vpcId").await.remove(0) })
            })
            .collect();
        match f.call("DeleteDhcpOptions", &[("DhcpOptionsId", &default)]).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.code().as_str(), "DependencyViolation"),
        }
        for call in calls {
            let made = call.await.unwrap();
            let set = f.texts("DescribeVpcs", &[("VpcId.1", &made)], "dhcpOptionsId").await;
            assert_eq!(f.texts("DescribeDhcpOptions", &by, "dhcpOptionsId").await, set);
            f.call("DeleteVpc", &[("VpcId", &made)]).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_of_sets_holds() {
    let f = Fixture::new().await;
    let mut tx = f.store.write().await.unwrap();
    let account_id = f.cx.account().clone();
    let code = "mallee-dhcp-options".into();
    let row = QuotaSettingRow { account_id, service: "vpc".into(), code, value: 2, set_ms: 1 };
    quota_setting_put(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    // The default one counts.
    made(&f, &NTP).await;
    assert_eq!(f.error("CreateDhcpOptions", &NTP).await.0, "DhcpOptionsLimitExceeded");
}
