//! Prefix lists of IPv6: their entries, and the rules and routes that name one.

use crate::fixture::{Fixture, texts};
use mallee_app::CloudConfig;
use mallee_app::test_support::config;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::RouteTableId;

mallee_store::store_test_suite!(
    entries_are_of_the_family_of_their_list,
    routes_to_a_list_lead_ipv6_where_it_can_go,
    a_list_counts_in_its_own_family,
    a_block_of_the_vpc_is_every_tables_news
);

const CREATE: &str = "CreateManagedPrefixList";
const MODIFY: &str = "ModifyManagedPrefixList";

async fn world(db: TestDb) -> Fixture {
    Fixture::with(db, CloudConfig { public_pool_v6: Some("2001:db8::/40".parse().unwrap()), ..config() }).await
}

async fn list(f: &Fixture, family: &str, size: &str) -> String {
    let params = [("PrefixListName", "of tests"), ("MaxEntries", size), ("AddressFamily", family)];
    f.texts(CREATE, &params, "prefixListId").await.remove(0)
}

async fn held(f: &Fixture, list: &str) -> Vec<String> {
    f.texts("GetManagedPrefixListEntries", &[("PrefixListId", list)], "cidr").await
}

async fn entries_are_of_the_family_of_their_list(db: TestDb) {
    let f = world(db).await;
    let new = [
        ("PrefixListName", "six"),
        ("MaxEntries", "3"),
        ("AddressFamily", "IPv6"),
        ("Entry.1.Cidr", "2001:DB8:0:0::9/32"),
        ("Entry.2.Cidr", "::/0"),
    ];
    let made = f.call(CREATE, &new).await.unwrap();
    let id = texts(&made, "prefixListId").remove(0);
    assert_eq!(texts(&made, "addressFamily"), ["IPv6"]);
    assert_eq!(held(&f, &id).await, ["2001:db8::/32", "::/0"], "in their canonical form");
    assert_eq!(f.texts("DescribeManagedPrefixLists", &[("PrefixListId.1", &id)], "addressFamily").await, ["IPv6"]);
    let four = list(&f, "IPv4", "3").await;
    for (of, family, cidr) in [(&id, "IPv6", "10.0.0.0/8"), (&four, "IPv4", "2001:db8::/32")] {
        for name in ["AddEntry.1.Cidr", "RemoveEntry.1.Cidr"] {
            let (code, text) = f.error(MODIFY, &[("PrefixListId", of), (name, cidr)]).await;
            assert_eq!(code, "InvalidParameterValue", "{name} {cidr}");
            assert!(text.contains(cidr) && text.contains(family), "{text}");
        }
        let new = [("PrefixListName", "n"), ("MaxEntries", "3"), ("AddressFamily", family), ("Entry.1.Cidr", cidr)];
        assert_eq!(f.error(CREATE, &new).await.0, "InvalidParameterValue", "{cidr}");
    }
    for cidr in ["2001:db8::/129", "2001:db8::", "fe80::1%eth0/64", ""] {
        assert_eq!(
            f.error(MODIFY, &[("PrefixListId", &id), ("AddEntry.1.Cidr", cidr)]).await.0,
            "InvalidParameterValue"
        );
    }
    // The same block twice, however it is written.
    let twice = [("PrefixListId", id.as_str()), ("AddEntry.1.Cidr", "a::/16"), ("AddEntry.2.Cidr", "A:0::7/16")];
    assert_eq!(f.error(MODIFY, &twice).await.0, "InvalidParameterValue");
    let again = [("PrefixListId", id.as_str()), ("AddEntry.1.Cidr", "2001:db8:0::/32")];
    assert_eq!(f.error(MODIFY, &again).await.0, "InvalidRequest");
    let swap = [("PrefixListId", id.as_str()), ("AddEntry.1.Cidr", "a::/16"), ("RemoveEntry.1.Cidr", "0::/0")];
    f.call(MODIFY, &swap).await.unwrap();
    assert_eq!(held(&f, &id).await, ["2001:db8::/32", "a::/16"]);
    let back = [("PrefixListId", id.as_str()), ("PreviousVersion", "1"), ("CurrentVersion", "2")];
    f.call("RestoreManagedPrefixListVersion", &back).await.unwrap();
    // A page at a time: blocks have colons, and so have the pages' tokens.
    let page = [("PrefixListId", id.as_str()), ("MaxResults", "1")];
    assert_eq!(f.texts("GetManagedPrefixListEntries", &page, "cidr").await, ["2001:db8::/32"]);
    let token = f.texts("GetManagedPrefixListEntries", &page, "nextToken").await.remove(0);
    let next = [("PrefixListId", id.as_str()), ("NextToken", token.as_str())];
    assert_eq!(f.texts("GetManagedPrefixListEntries", &next, "cidr").await, ["::/0"]);
    for family in ["ipv6", "IPX", ""] {
        let new = [("PrefixListName", "n"), ("MaxEntries", "3"), ("AddressFamily", family)];
        assert_eq!(f.error(CREATE, &new).await.0, "InvalidParameterValue", "{family}");
    }
    f.call("DeleteManagedPrefixList", &[("PrefixListId", &id)]).await.unwrap();
}

/// A VPC with an IPv6 block, its main table and an attached gateway.
async fn vpc(f: &Fixture, cidr: &str) -> (String, String, String) {
    let new = [("CidrBlock", cidr), ("AmazonProvidedIpv6CidrBlock", "true")];
    let vpc = f.texts("CreateVpc", &new, "vpcId").await.remove(0);
    let of = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let table = f.texts("DescribeRouteTables", &of, "routeTableId").await.remove(0);
    let gateway = f.texts("CreateInternetGateway", &[], "internetGatewayId").await.remove(0);
    f.call("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &vpc)]).await.unwrap();
    (vpc, table, gateway)
}

async fn routes_to_a_list_lead_ipv6_where_it_can_go(db: TestDb) {
    let f = world(db).await;
    let (vpc_id, table, gateway) = vpc(&f, "10.2.0.0/16").await;
    let (other, ..) = vpc(&f, "10.3.0.0/16").await;
    let (four, six) = (list(&f, "IPv4", "2").await, list(&f, "IPv6", "2").await);
    let outward =
        f.texts("CreateEgressOnlyInternetGateway", &[("VpcId", &vpc_id)], "egressOnlyInternetGatewayId").await;
    let ask = [("VpcId", vpc_id.as_str()), ("PeerVpcId", other.as_str())];
    let peering = f.texts("CreateVpcPeeringConnection", &ask, "vpcPeeringConnectionId").await.remove(0);
    f.call("AcceptVpcPeeringConnection", &[("VpcPeeringConnectionId", &peering)]).await.unwrap();
    let route = async |operation: &str, list: &str, more: &[(&str, &str)]| {
        let to = [("RouteTableId", table.as_str()), ("DestinationPrefixListId", list)];
        f.call(operation, &[&to[..], more].concat())
            .await
            .map(drop)
            .map_err(|error| (error.code().as_str(), error.to_string()))
    };
    let outward = ("EgressOnlyInternetGatewayId", outward[0].as_str());
    let error = route("CreateRoute", &four, &[outward]).await.unwrap_err();
    assert_eq!(error.0, "InvalidParameterValue");
    for target in [
        ("NatGatewayId", "nat-12345678"),
        ("NetworkInterfaceId", "eni-12345678"),
        ("InstanceId", "i-12345678"),
        ("TransitGatewayId", "tgw-12345678"),
    ] {
        let error = route("CreateRoute", &six, &[target]).await.unwrap_err();
        assert_eq!(error.0, "Unsupported", "{target:?}");
        assert!(error.1.contains("DestinationPrefixListId"), "{error:?}");
    }
    // One route after another, to each that takes IPv6.
    route("CreateRoute", &six, &[outward]).await.unwrap();
    assert_eq!(route("CreateRoute", &six, &[outward]).await.unwrap_err().0, "RouteAlreadyExists");
    let replace = "ReplaceRoute";
    assert_eq!(route(replace, &six, &[("NatGatewayId", "nat-12345678")]).await.unwrap_err().0, "Unsupported");
    for target in [("GatewayId", gateway.as_str()), ("VpcPeeringConnectionId", &peering), outward] {
        route(replace, &six, &[target]).await.unwrap();
        let of = [("RouteTableId.1", table.as_str())];
        let shown = f.call("DescribeRouteTables", &of).await.unwrap();
        assert_eq!(texts(&shown, "destinationPrefixListId"), [six.as_str()]);
        assert!(texts(&shown, "state").iter().all(|state| state != "blackhole"), "{target:?}");
    }
    let uses = f.texts("GetManagedPrefixListAssociations", &[("PrefixListId", &six)], "resourceId").await;
    assert_eq!(uses, [table.as_str()]);
    assert_eq!(f.error("DeleteManagedPrefixList", &[("PrefixListId", &six)]).await.0, "DependencyViolation");
    route("DeleteRoute", &six, &[]).await.unwrap();
    f.call("DeleteManagedPrefixList", &[("PrefixListId", &six)]).await.unwrap();
}

async fn allow(f: &Fixture, code: &str, value: u64) {
    let mut tx = f.store.write().await.unwrap();
    let account_id = f.cx.account().clone();
    let row = QuotaSettingRow { account_id, service: "vpc".into(), code: code.into(), value, set_ms: 1 };
    quota_setting_put(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

async fn a_list_counts_in_its_own_family(db: TestDb) {
    let f = world(db).await;
    let (vpc_id, table, gateway) = vpc(&f, "10.2.0.0/16").await;
    let group = [("GroupName", "g"), ("GroupDescription", "d"), ("VpcId", vpc_id.as_str())];
    let group = f.texts("CreateSecurityGroup", &group, "groupId").await.remove(0);
    let (four, six, more) = (list(&f, "IPv4", "10").await, list(&f, "IPv6", "9").await, list(&f, "IPv6", "2").await);
    allow(&f, "L-0EA8095F", 10).await;
    allow(&f, "L-93826ACB", 10).await;
    let open = |list: &str| {
        [
            ("GroupId", group.clone()),
            ("IpPermissions.1.IpProtocol", "-1".to_owned()),
            ("IpPermissions.1.PrefixListIds.1.PrefixListId", list.to_owned()),
        ]
    };
    let lead = |list: &str| {
        [("RouteTableId", table.clone()), ("DestinationPrefixListId", list.to_owned()), ("GatewayId", gateway.clone())]
    };
    let call = async |operation: &str, params: [(&'static str, String); 3]| {
        let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
        f.call(operation, &params).await.map(drop).map_err(|error| error.code().as_str())
    };
    // Each family is full, or nearly so, by itself.
    for list in [&four, &six] {
        call("AuthorizeSecurityGroupIngress", open(list)).await.unwrap();
        call("CreateRoute", lead(list)).await.unwrap();
    }
    let rule = "RulesPerSecurityGroupLimitExceeded";
    assert_eq!(call("AuthorizeSecurityGroupIngress", open(&more)).await.unwrap_err(), rule);
    assert_eq!(call("CreateRoute", lead(&more)).await.unwrap_err(), "RouteLimitExceeded");
    let one = [("GroupId", group.as_str()), ("IpPermissions.1.IpProtocol", "tcp"), ("IpPermissions.1.FromPort", "22")];
    let one = [&one[..], &[("IpPermissions.1.ToPort", "22")]].concat();
    let of_four = [&one[..], &[("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8")]].concat();
    let of_six = [&one[..], &[("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "2001:db8::/32")]].concat();
    assert_eq!(f.error("AuthorizeSecurityGroupIngress", &of_four).await.0, rule);
    f.call("AuthorizeSecurityGroupIngress", &of_six).await.unwrap();
    // It grows as far as its own family has room.
    let grow = |size| [("PrefixListId", six.as_str()), ("MaxEntries", size)];
    assert_eq!(f.error(MODIFY, &grow("10")).await.0, rule);
    f.call("RevokeSecurityGroupIngress", &of_six).await.unwrap();
    f.call(MODIFY, &grow("10")).await.unwrap();
    assert_eq!(f.error(MODIFY, &grow("11")).await.0, rule);
}

async fn generation(f: &Fixture, table: &str) -> u64 {
    let tables: [RouteTableId; 1] = [table.parse().unwrap()];
    let filter = RouteTableFilter { ids: Some(&tables), ..Default::default() };
    route_table_list(&f.store, filter, 1).await.unwrap().remove(0).generation.0
}

async fn a_block_of_the_vpc_is_every_tables_news(db: TestDb) {
    let f = world(db).await;
    let (vpc_id, table, gateway) = vpc(&f, "10.2.0.0/16").await;
    let six = list(&f, "IPv6", "2").await;
    let to = [("RouteTableId", table.as_str()), ("DestinationPrefixListId", six.as_str()), ("GatewayId", &gateway)];
    f.call("CreateRoute", &to).await.unwrap();
    // What the list has of the VPC's own addresses is passed over: with each block that is other.
    let before = generation(&f, &table).await;
    let more = [("VpcId", vpc_id.as_str()), ("AmazonProvidedIpv6CidrBlock", "true")];
    let block = f.texts("AssociateVpcCidrBlock", &more, "associationId").await.remove(0);
    let with = generation(&f, &table).await;
    assert!(with > before, "{before} {with}");
    f.call("DisassociateVpcCidrBlock", &[("AssociationId", &block)]).await.unwrap();
    assert!(generation(&f, &table).await > with);
}
