//! VPCs and subnets of users: made, changed, deleted, refused.

use crate::fixture::Fixture;
use mallee_store::*;
use mallee_types::*;

async fn vpc(f: &Fixture, cidr: &str) -> String {
    f.texts("CreateVpc", &[("CidrBlock", cidr)], "vpcId").await.remove(0)
}

async fn subnet(f: &Fixture, vpc: &str, cidr: &str) -> String {
    f.texts("CreateSubnet", &[("VpcId", vpc), ("CidrBlock", cidr)], "subnetId").await.remove(0)
}

async fn attribute(f: &Fixture, vpc: &str, name: &str) -> String {
    f.texts("DescribeVpcAttribute", &[("VpcId", vpc), ("Attribute", name)], "value").await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vpc_is_made_whole_and_goes_whole() {
    let f = Fixture::new().await;
    let new = [
        ("CidrBlock", "10.1.2.3/16"),
        ("InstanceTenancy", "dedicated"),
        ("TagSpecification.1.ResourceType", "vpc"),
        ("TagSpecification.1.Tag.1.Key", "Env"),
        ("TagSpecification.1.Tag.1.Value", "prod"),
    ];
    let dry = [new.as_slice(), &[("DryRun", "true")]].concat();
    assert_eq!(f.error("CreateVpc", &dry).await.0, "DryRunOperation");
    let id = f.texts("CreateVpc", &new, "vpcId").await.remove(0);
    let by_tag = [("Filter.1.Name", "tag:Env"), ("Filter.1.Value.1", "prod")];
    assert_eq!(f.texts("DescribeVpcs", &by_tag, "vpcId").await, [id.as_str()]);
    let by_id = [("VpcId.1", id.as_str())];
    // Twice: of the VPC and of the association of its one block.
    assert_eq!(f.texts("DescribeVpcs", &by_id, "cidrBlock").await, ["10.1.0.0/16", "10.1.0.0/16"]);
    assert_eq!(f.texts("DescribeVpcs", &by_id, "instanceTenancy").await, ["dedicated"]);
    assert_eq!(f.texts("DescribeVpcs", &by_id, "isDefault").await, ["false"]);
    let in_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", id.as_str())];
    assert_eq!(f.texts("DescribeSecurityGroups", &in_vpc, "groupName").await[0], "default");

    let made = subnet(&f, &id, "10.1.0.0/24").await;
    let needed = ("DependencyViolation", format!("The vpc '{id}' has dependencies and cannot be deleted."));
    assert_eq!(f.error("DeleteVpc", &[("VpcId", &id)]).await, needed);
    f.call("DeleteSubnet", &[("SubnetId", &made)]).await.unwrap();
    let group = [("GroupName", "web"), ("GroupDescription", "d"), ("VpcId", id.as_str())];
    let group = f.texts("CreateSecurityGroup", &group, "groupId").await.remove(0);
    assert_eq!(f.error("DeleteVpc", &[("VpcId", &id)]).await, needed);
    f.call("DeleteSecurityGroup", &[("GroupId", &group)]).await.unwrap();
    let (row, gateway) = (id.parse::<VpcId>().unwrap(), InternetGatewayId::from_random(1));
    let mut tx = f.store.write().await.unwrap();
    let new = InternetGatewayRow {
        id: gateway.clone(),
        account_id: f.cx.account().clone(),
        vpc_id: Some(row.clone()),
        created_ms: 1,
    };
    internet_gateway_insert(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.error("DeleteVpc", &[("VpcId", &id)]).await, needed);
    let mut tx = f.store.write().await.unwrap();
    assert!(internet_gateway_detach(&mut tx, &gateway, &row).await.unwrap());
    let table = RouteTableRow {
        id: RouteTableId::from_random(1),
        account_id: f.cx.account().clone(),
        vpc_id: row.clone(),
        number: route_table_number(&mut tx, &row).await.unwrap(),
        generation: Generation(1),
        created_ms: 1,
    };
    route_table_insert(&mut tx, &table).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.error("DeleteVpc", &[("VpcId", &id)]).await, needed);
    let mut tx = f.store.write().await.unwrap();
    assert!(route_table_delete(&mut tx, &table.id).await.unwrap());
    tx.commit().await.unwrap();

    assert_eq!(f.error("DeleteVpc", &[("VpcId", &id), ("DryRun", "true")]).await.0, "DryRunOperation");
    assert_eq!(f.texts("DeleteVpc", &[("VpcId", &id)], "return").await, ["true"]);
    assert_eq!(f.error("DeleteVpc", &[("VpcId", &id)]).await.0, "InvalidVpcID.NotFound");
    assert!(f.texts("DescribeSecurityGroups", &in_vpc, "groupName").await.is_empty());
    assert!(
        f.texts("DescribeTags", &[("Filter.1.Name", "resource-id"), ("Filter.1.Value.1", &id)], "key").await.is_empty()
    );
    let filter = RouteTableFilter { vpcs: Some(std::slice::from_ref(&row)), ..Default::default() };
    assert!(route_table_list(&f.store, filter, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_vpc_cannot_have_is_refused_by_name() {
    let f = Fixture::new().await;
    let range = |cidr: &str| ("InvalidVpc.Range", format!("The CIDR '{cidr}' is invalid."));
    for cidr in ["10.0.0.0/15", "10.0.0.0/29", "169.254.0.0/16", "127.0.0.0/16", "224.0.0.0/16"] {
        assert_eq!(f.error("CreateVpc", &[("CidrBlock", cidr)]).await, range(cidr));
    }
    let text = "Value (10.0.0) for parameter cidrBlock is invalid. This is not a valid CIDR block.";
    assert_eq!(f.error("CreateVpc", &[("CidrBlock", "10.0.0")]).await, ("InvalidParameterValue", text.into()));
    assert_eq!(f.error("CreateVpc", &[]).await.0, "MissingParameter");
    for (name, value) in [
        ("AmazonProvidedIpv6CidrBlock", "true"),
        ("Ipv4IpamPoolId", "ipam-pool-1"),
        ("Ipv4NetmaskLength", "20"),
        ("Ipv6CidrBlock", "fd00::/56"),
        ("Ipv6CidrBlockNetworkBorderGroup", "eu-1"),
        ("Ipv6IpamPoolId", "ipam-pool-1"),
        ("Ipv6NetmaskLength", "56"),
        ("Ipv6Pool", "pool-1"),
    ] {
        let (code, text) = f.error("CreateVpc", &[("CidrBlock", "10.0.0.0/16"), (name, value)]).await;
        assert_eq!(code, "Unsupported");
        assert!(text.contains(name), "{text}");
    }
    let host = [("CidrBlock", "10.0.0.0/16"), ("InstanceTenancy", "host")];
    assert_eq!(f.error("CreateVpc", &host).await.0, "InvalidParameterValue");
    assert_eq!(f.texts("DescribeVpcs", &[], "vpcId").await.len(), 1, "nothing was made");

    let id = vpc(&f, "10.0.0.0/20").await;
    for (name, value) in [
        ("Ipv4IpamPoolId", "ipam-pool-1"),
        ("Ipv6CidrBlock", "fd00::/64"),
        ("Ipv6Native", "true"),
        ("OutpostArn", "arn:aws:outposts:x"),
    ] {
        let (code, text) =
            f.error("CreateSubnet", &[("VpcId", &id), ("CidrBlock", "10.0.0.0/24"), (name, value)]).await;
        assert_eq!(code, "Unsupported");
        assert!(text.contains(name), "{text}");
    }
    let subnet_range = |cidr: &str| ("InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid."));
    for cidr in ["10.0.16.0/24", "10.0.0.0/19", "10.0.0.0/29", "192.168.0.0/24"] {
        assert_eq!(f.error("CreateSubnet", &[("VpcId", &id), ("CidrBlock", cidr)]).await, subnet_range(cidr));
    }
    let zone = [("VpcId", id.as_str()), ("CidrBlock", "10.0.0.0/24"), ("AvailabilityZone", "mars-1a")];
    let (code, text) = f.error("CreateSubnet", &zone).await;
    assert_eq!(code, "InvalidParameterValue");
    assert!(text.contains("Subnets can currently only be created in the following availability zones"), "{text}");
    assert_eq!(
        f.error("CreateSubnet", &[("VpcId", "vpc-12345678"), ("CidrBlock", "10.0.0.0/24")]).await.0,
        "InvalidVpcID.NotFound"
    );

    let id = subnet(&f, &id, "10.0.0.0/24").await;
    for name in ["AssignIpv6AddressOnCreation.Value", "EnableDns64.Value", "MapCustomerOwnedIpOnLaunch.Value"] {
        let (code, text) = f.error("ModifySubnetAttribute", &[("SubnetId", &id), (name, "true")]).await;
        assert_eq!(code, "Unsupported");
        assert!(text.contains(name.trim_end_matches(".Value")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subnets_never_overlap_however_many_come_at_once() {
    let f = std::sync::Arc::new(Fixture::new().await);
    let id = vpc(&f, "10.0.0.0/16").await;
    let calls: Vec<_> = (0..16)
        .map(|n| {
            let (f, id) = (std::sync::Arc::clone(&f), id.clone());
            // Each overlaps every other, and none is the same block.
            let cidr = format!("10.0.0.0/{}", 16 + n % 12);
            tokio::spawn(async move { f.call("CreateSubnet", &[("VpcId", &id), ("CidrBlock", &cidr)]).await })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code().as_str(), "InvalidSubnet.Conflict"),
        }
    }
    assert_eq!(made, 1);
    let in_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", id.as_str())];
    let there = f.texts("DescribeSubnets", &in_vpc, "subnetId").await;
    assert_eq!(there.len(), 1);
    assert_eq!(f.texts("DescribeSubnets", &in_vpc, "mapPublicIpOnLaunch").await, ["false"]);
    f.call("DeleteSubnet", &[("SubnetId", &there[0])]).await.unwrap();
    subnet(&f, &id, "10.0.0.0/28").await;
    assert_eq!(f.texts("DescribeSubnets", &in_vpc, "availableIpAddressCount").await, ["11"]);
    let text = "The CIDR '10.0.0.0/24' conflicts with another subnet";
    let again = f.error("CreateSubnet", &[("VpcId", &id), ("CidrBlock", "10.0.0.0/24")]).await;
    assert_eq!(again, ("InvalidSubnet.Conflict", text.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_what_the_row_says() {
    let f = Fixture::new().await;
    let id = vpc(&f, "10.0.0.0/16").await;
    assert_eq!(attribute(&f, &id, "enableDnsSupport").await, "true");
    assert_eq!(attribute(&f, &id, "enableDnsHostnames").await, "false", "as on AWS");
    let set = async |name: &str, value: &str| f.call("ModifyVpcAttribute", &[("VpcId", &id), (name, value)]).await;
    set("EnableDnsHostnames.Value", "true").await.unwrap();
    assert_eq!(attribute(&f, &id, "enableDnsHostnames").await, "true");
    set("EnableDnsHostnames.Value", "false").await.unwrap();
    set("EnableDnsSupport.Value", "false").await.unwrap();
    assert_eq!(attribute(&f, &id, "enableDnsSupport").await, "false");
    let refused = set("EnableDnsHostnames.Value", "true").await.unwrap_err();
    assert_eq!(refused.code().as_str(), "InvalidParameterCombination");
    assert_eq!(attribute(&f, &id, "enableDnsHostnames").await, "false");
    let generation = vpc_fetch(&f.store, &id.parse().unwrap()).await.unwrap().generation;
    set("EnableDnsSupport.Value", "false").await.unwrap();
    assert_eq!(vpc_fetch(&f.store, &id.parse().unwrap()).await.unwrap().generation, generation, "nothing changed");
    let both = [("VpcId", id.as_str()), ("EnableDnsHostnames.Value", "true"), ("EnableDnsSupport.Value", "true")];
    let text = "Fields for multiple attribute types specified: enableDnsHostnames, enableDnsSupport";
    assert_eq!(f.error("ModifyVpcAttribute", &both).await, ("InvalidParameterCombination", text.into()));
    let metrics = [("VpcId", id.as_str()), ("EnableNetworkAddressUsageMetrics.Value", "true")];
    assert_eq!(f.error("ModifyVpcAttribute", &metrics).await.0, "Unsupported");

    let dedicated = [("CidrBlock", "10.0.0.0/16"), ("InstanceTenancy", "dedicated")];
    let id = f.texts("CreateVpc", &dedicated, "vpcId").await.remove(0);
    let back = |tenancy: &'static str| [("VpcId", id.clone()), ("InstanceTenancy", tenancy.to_owned())];
    let as_refs = |p: &[(&'static str, String)]| -> Vec<(&'static str, String)> { p.to_vec() };
    for (tenancy, good) in [("dedicated", false), ("default", true)] {
        let parameters = as_refs(&back(tenancy));
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(f.call("ModifyVpcTenancy", &parameters).await.is_ok(), good, "{tenancy}");
    }
    assert_eq!(f.texts("DescribeVpcs", &[("VpcId.1", &id)], "instanceTenancy").await, ["default"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_with_interfaces_stays_and_terminated_instances_do_not_hold_it() {
    let f = Fixture::new().await;
    let id = f.texts("DescribeSubnets", &[], "subnetId").await.remove(0);
    let instance = f.instance(1, InstanceState::Running).await;
    let text = format!("The subnet '{id}' has dependencies and cannot be deleted.");
    assert_eq!(f.error("DeleteSubnet", &[("SubnetId", &id)]).await, ("DependencyViolation", text));
    let interfaces = InterfaceFilter { instances: Some(std::slice::from_ref(&instance)), ..Default::default() };
    let interface = interface_list(&f.store, interfaces, 1).await.unwrap().remove(0);
    let mut tx = f.store.write().await.unwrap();
    interface_delete(&mut tx, &interface.id).await.unwrap();
    let row = instance_fetch(&mut tx, &instance).await.unwrap();
    let ended = InstanceRow { intent: RunIntent::Terminate, ..row };
    instance_intent_update(&mut tx, &ended).await.unwrap();
    let row = instance_fetch(&mut tx, &instance).await.unwrap();
    let ended = InstanceRow { state: InstanceState::Terminated, released: true, terminated_ms: Some(1), ..row };
    instance_observe(&mut tx, &ended).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(f.texts("DescribeInstances", &[], "instanceId").await.len(), 1);
    f.call("DeleteSubnet", &[("SubnetId", &id)]).await.unwrap();
    assert!(f.texts("DescribeInstances", &[], "instanceId").await.is_empty(), "forgotten with the subnet");
    assert_eq!(f.error("DeleteSubnet", &[("SubnetId", &id)]).await.0, "InvalidSubnetID.NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_network_is_made_again_only_when_asked() {
    let f = Fixture::new().await;
    let vpc_id = f.texts("DescribeVpcs", &[], "vpcId").await.remove(0);
    let subnet_id = f.texts("DescribeSubnets", &[], "subnetId").await.remove(0);
    let zone = f.texts("DescribeSubnets", &[], "availabilityZone").await.remove(0);
    assert_eq!(f.error("CreateDefaultVpc", &[]).await.0, "DefaultVpcAlreadyExists");
    let exists =
        ("DefaultSubnetAlreadyExistsInAvailabilityZone", format!("A default subnet already exists in '{zone}'."));
    assert_eq!(f.error("CreateDefaultSubnet", &[("AvailabilityZone", &zone)]).await, exists);
    f.call("DeleteSubnet", &[("SubnetId", &subnet_id)]).await.unwrap();
    // The place of the first default subnet is taken in part.
    subnet(&f, &vpc_id, "172.31.15.0/24").await;
    assert_eq!(f.error("CreateDefaultSubnet", &[]).await.0, "MissingParameter");
    let blocks = f.texts("CreateDefaultSubnet", &[("AvailabilityZone", &zone)], "cidrBlock").await;
    assert_eq!(blocks, ["172.31.16.0/20"]);
    let by_zone = [("Filter.1.Name", "default-for-az"), ("Filter.1.Value.1", "true")];
    assert_eq!(f.texts("DescribeSubnets", &by_zone, "mapPublicIpOnLaunch").await, ["true"]);

    for id in f.texts("DescribeSubnets", &[], "subnetId").await {
        f.call("DeleteSubnet", &[("SubnetId", &id)]).await.unwrap();
    }
    let vpc_row = vpc_id.parse::<VpcId>().unwrap();
    let gateways =
        internet_gateway_list_attached(&f.store, Some(std::slice::from_ref(&vpc_row)), None, 10).await.unwrap();
    let mut tx = f.store.write().await.unwrap();
    for gateway in gateways {
        assert!(internet_gateway_detach(&mut tx, &gateway.id, &vpc_row).await.unwrap());
        assert!(internet_gateway_delete(&mut tx, &gateway.id).await.unwrap());
    }
    tx.commit().await.unwrap();
    f.call("DeleteVpc", &[("VpcId", &vpc_id)]).await.unwrap();
    assert_eq!(f.error("CreateDefaultSubnet", &[("AvailabilityZone", &zone)]).await.0, "DefaultVpcDoesNotExist");
    f.start_again().await;
    assert!(f.texts("DescribeVpcs", &[], "vpcId").await.is_empty(), "a start does not bring back what was deleted");
    let made = f.texts("CreateDefaultVpc", &[], "vpcId").await;
    assert_eq!(
        f.texts("DescribeVpcs", &[("Filter.1.Name", "is-default"), ("Filter.1.Value.1", "true")], "vpcId").await,
        made
    );
    assert_eq!(f.texts("DescribeSubnets", &[], "defaultForAz").await, ["true"]);
    let gateways = internet_gateway_list_attached(&f.store, None, None, 10).await.unwrap();
    assert_eq!(gateways.len(), 1, "it leads to the world, as the first one did");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold() {
    let f = Fixture::new().await;
    let set = async |code: &str, value: u64| {
        let row = QuotaSettingRow {
            account_id: f.cx.account().clone(),
            service: "vpc".into(),
            code: code.into(),
            value,
            set_ms: 1,
        };
        let mut tx = f.store.write().await.unwrap();
        quota_setting_put(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
    };
    set("L-F678F1CE", 2).await;
    set("L-407747CB", 1).await;
    let id = vpc(&f, "10.0.0.0/16").await;
    assert_eq!(f.error("CreateVpc", &[("CidrBlock", "10.0.0.0/16")]).await.0, "VpcLimitExceeded");
    let first = subnet(&f, &id, "10.0.0.0/24").await;
    let second = [("VpcId", id.as_str()), ("CidrBlock", "10.0.1.0/24")];
    assert_eq!(f.error("CreateSubnet", &second).await.0, "SubnetLimitExceeded");
    f.call("DeleteSubnet", &[("SubnetId", &first)]).await.unwrap();
    f.call("CreateSubnet", &second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_and_touch_none_of_it() {
    let f = Fixture::new().await;
    let id = vpc(&f, "10.0.0.0/16").await;
    let own = subnet(&f, &id, "10.0.0.0/24").await;
    for (action, parameters, code) in [
        ("DeleteVpc", vec![("VpcId", id.as_str())], "InvalidVpcID.NotFound"),
        ("CreateSubnet", vec![("VpcId", id.as_str()), ("CidrBlock", "10.0.1.0/24")], "InvalidVpcID.NotFound"),
        (
            "ModifyVpcAttribute",
            vec![("VpcId", id.as_str()), ("EnableDnsSupport.Value", "false")],
            "InvalidVpcID.NotFound",
        ),
        ("ModifyVpcTenancy", vec![("VpcId", id.as_str()), ("InstanceTenancy", "default")], "InvalidVpcID.NotFound"),
        ("DeleteSubnet", vec![("SubnetId", own.as_str())], "InvalidSubnetID.NotFound"),
        (
            "ModifySubnetAttribute",
            vec![("SubnetId", own.as_str()), ("MapPublicIpOnLaunch.Value", "true")],
            "InvalidSubnetID.NotFound",
        ),
    ] {
        assert_eq!(f.error_as(&f.other, action, &parameters).await.0, code, "{action}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_names_groups_of_its_own_vpc_only() {
    let f = Fixture::new().await;
    let other = vpc(&f, "10.1.0.0/16").await;
    let (here, there) = (
        [("GroupName", "here"), ("GroupDescription", "d")],
        [("GroupName", "there"), ("GroupDescription", "d"), ("VpcId", other.as_str())],
    );
    let here = f.texts("CreateSecurityGroup", &here, "groupId").await.remove(0);
    let there = f.texts("CreateSecurityGroup", &there, "groupId").await.remove(0);
    let rule = |peer| {
        [("GroupId", here.as_str()), ("IpPermissions.1.IpProtocol", "-1"), ("IpPermissions.1.Groups.1.GroupId", peer)]
    };
    let text = format!("You have specified two resources that belong to different networks: {here} and {there}.");
    let refused = ("InvalidGroup.NotFound", text);
    assert_eq!(f.error("AuthorizeSecurityGroupIngress", &rule(&there)).await, refused);
    let id = f.texts("AuthorizeSecurityGroupIngress", &rule(&here), "securityGroupRuleId").await.remove(0);
    let change = [
        ("GroupId", here.as_str()),
        ("SecurityGroupRule.1.SecurityGroupRuleId", id.as_str()),
        ("SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "-1"),
        ("SecurityGroupRule.1.SecurityGroupRule.ReferencedGroupId", there.as_str()),
    ];
    assert_eq!(f.error("ModifySecurityGroupRules", &change).await, refused);
}
