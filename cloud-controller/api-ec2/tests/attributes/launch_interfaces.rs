//! Network interfaces in launches: what is refused of them. Dry runs need no node.

use crate::fixture::Fixture;
use mallee_app::test_support::config;
use mallee_store::test_support::TestDb;
use mallee_store::*;

async fn dry_run(f: &Fixture, image: &str, more: &[(&str, &str)]) -> (&'static str, String) {
    let plain = [("ImageId", image), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    f.error("RunInstances", &[&plain[..], &[("DryRun", "true")], more].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interface_has_groups_of_its_own_vpc_and_not_too_many() {
    let f = Fixture::new().await;
    let image = f.image("launched").await;
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.9.0.0/16")], "vpcId").await.remove(0);
    let group = async |vpc: &str| {
        let new = [("GroupName", "web"), ("GroupDescription", "web"), ("VpcId", vpc)];
        f.texts("CreateSecurityGroup", &new, "groupId").await.remove(0)
    };
    let own = f.texts("DescribeVpcs", &[("Filter.1.Name", "is-default"), ("Filter.1.Value.1", "true")], "vpcId").await;
    let (own, other) = (group(&own[0]).await, group(&vpc).await);
    let two = [("NetworkInterface.1.DeviceIndex", "0"), ("NetworkInterface.2.DeviceIndex", "1")];
    let with = |id: &str, count: usize| -> Vec<(String, String)> {
        (1..=count).map(|n| (format!("NetworkInterface.2.SecurityGroupId.{n}"), id.to_owned())).collect()
    };
    let mut seen = Vec::new();
    for groups in [with(&own, 1), with(&other, 1), with(&own, 17)] {
        let groups: Vec<(&str, &str)> = groups.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
        seen.push(dry_run(&f, &image, &[&two[..], &groups].concat()).await.0);
    }
    assert_eq!(seen, ["DryRunOperation", "InvalidParameter", "SecurityGroupsPerInterfaceLimitExceeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_with_more_addresses_than_the_type_takes_is_not_launched_with() {
    let f = Fixture::new().await;
    let image = f.image("launched").await;
    let subnet = subnet_list(&f.store, f.cx.account(), None, None, None, 1).await.unwrap().remove(0);
    let mut seen = Vec::new();
    for more in ["1", "2"] {
        let new = [("SubnetId", subnet.id.as_str()), ("SecondaryPrivateIpAddressCount", more)];
        let eni = f.texts("CreateNetworkInterface", &new, "networkInterfaceId").await.remove(0);
        let existing = [("NetworkInterface.1.DeviceIndex", "0"), ("NetworkInterface.1.NetworkInterfaceId", &eni)];
        seen.push(dry_run(&f, &image, &existing).await.0);
    }
    assert_eq!(seen, ["DryRunOperation", "PrivateIpAddressLimitExceeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_with_its_own_interface_goes_where_that_is() {
    let mut two = config();
    two.zones = vec!["zone-a".parse().unwrap(), "zone-b".parse().unwrap()];
    let f = Fixture::with(TestDb::sqlite().await, two).await;
    let image = f.image("launched").await;
    let launched_with = async |subnet: &str, zone: Option<&str>| {
        let eni = f.texts("CreateNetworkInterface", &[("SubnetId", subnet)], "networkInterfaceId").await.remove(0);
        let mut given =
            vec![("NetworkInterface.1.DeviceIndex", "0"), ("NetworkInterface.1.NetworkInterfaceId", eni.as_str())];
        given.extend(zone.map(|zone| ("Placement.AvailabilityZone", zone)));
        dry_run(&f, &image, &given).await.0
    };
    let zone = "zone-a".parse().unwrap();
    let subnet = subnet_default(&f.store, f.cx.account(), &zone).await.unwrap().unwrap();
    assert_eq!(launched_with(subnet.id.as_str(), Some("zone-a")).await, "DryRunOperation");
    assert_eq!(launched_with(subnet.id.as_str(), Some("zone-b")).await, "InvalidParameterValue");
    // In a VPC and zone for which there is no default subnet any more.
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.9.0.0/16")], "vpcId").await.remove(0);
    let own = [("VpcId", vpc.as_str()), ("CidrBlock", "10.9.1.0/24"), ("AvailabilityZone", "zone-b")];
    let own = f.texts("CreateSubnet", &own, "subnetId").await.remove(0);
    let zone = "zone-b".parse().unwrap();
    let gone = subnet_default(&f.store, f.cx.account(), &zone).await.unwrap().unwrap();
    f.call("DeleteSubnet", &[("SubnetId", gone.id.as_str())]).await.unwrap();
    assert_eq!(launched_with(&own, Some("zone-b")).await, "DryRunOperation");
}
