//! Limits of route tables and routes, however many calls come at once.

use crate::fixture::{Fixture, texts};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::sync::Arc;

pub async fn allow(f: &Fixture, code: &str, value: u64) {
    let mut tx = f.store.write().await.unwrap();
    let account_id = f.cx.account().clone();
    let row = QuotaSettingRow { account_id, service: "vpc".into(), code: code.into(), value, set_ms: 1 };
    quota_setting_put(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

/// Sixteen calls at once: how many succeed, and that the others are refused by this code.
pub async fn at_once(
    f: &Arc<Fixture>,
    action: &'static str,
    refused: &str,
    params: impl Fn(u32) -> Vec<(String, String)>,
) -> u32 {
    let calls: Vec<_> = (0..16)
        .map(|n| {
            let (f, params) = (Arc::clone(f), params(n));
            tokio::spawn(async move {
                let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                f.call(action, &params).await
            })
        })
        .collect();
    let mut made = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.code().as_str(), refused),
        }
    }
    made
}

mallee_store::store_test_suite!(
    no_limit_is_passed_by_calls_that_come_at_once,
    routes_lead_to_interfaces_and_instances,
    a_local_route_is_led_to_an_interface_and_back
);

async fn no_limit_is_passed_by_calls_that_come_at_once(db: TestDb) {
    let f = Arc::new(Fixture::on(db).await);
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId").await.remove(0);
    let gateway = f.texts("CreateInternetGateway", &[], "internetGatewayId").await.remove(0);
    f.call("AttachInternetGateway", &[("InternetGatewayId", &gateway), ("VpcId", &vpc)]).await.unwrap();
    // The main table counts.
    allow(&f, "L-589F43AA", 4).await;
    let of_vpc = |_| vec![("VpcId".to_owned(), vpc.clone())];
    assert_eq!(at_once(&f, "CreateRouteTable", "RouteTableLimitExceeded", of_vpc).await, 3);
    let in_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let tables = f.texts("DescribeRouteTables", &in_vpc, "routeTableId").await;
    let table = tables.last().unwrap();
    allow(&f, "L-93826ACB", 5).await;
    let route = |n| {
        let to = format!("192.0.{n}.0/24");
        [("RouteTableId", table.as_str()), ("DestinationCidrBlock", &to), ("GatewayId", &gateway)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    assert_eq!(at_once(&f, "CreateRoute", "RouteLimitExceeded", route).await, 5);
}

/// The default VPC and its main table, an instance there, and the blocks of VPC and first subnet.
async fn of_default(f: &Fixture, state: InstanceState) -> (String, InstanceId, String, String) {
    let instance = f.instance(1, state).await;
    let row = f.row(&instance).await;
    let vpc = vpc_fetch(&f.store, &row.vpc_id).await.unwrap();
    let subnet = subnet_fetch(&f.store, &row.subnet_id).await.unwrap();
    let of = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.id.as_str())];
    let table = f.texts("DescribeRouteTables", &of, "routeTableId").await.remove(0);
    (table, instance, vpc.cidr.to_string(), subnet.cidr.to_string())
}

/// What the routes of a table show of this.
async fn shown(f: &Fixture, table: &str, element: &str) -> Vec<String> {
    let all = f.call("DescribeRouteTables", &[("RouteTableId.1", table)]).await.unwrap();
    let routes = all.children.iter().find(|child| child.name == "routeTableSet").unwrap();
    let routes = routes.children[0].children.iter().find(|child| child.name == "routeSet").unwrap();
    texts(routes, element)
}

async fn routes_lead_to_interfaces_and_instances(db: TestDb) {
    let f = Fixture::on(db).await;
    let (table, instance, block, subnet) = of_default(&f, InstanceState::Running).await;
    let of_table = ("RouteTableId", table.as_str());
    let to = ("DestinationCidrBlock", "192.0.2.0/24");
    let by_instance = ("InstanceId", instance.as_str());
    f.call("CreateRoute", &[of_table, to, by_instance]).await.unwrap();
    let interface = InterfaceId::from_random(1).to_string();
    assert_eq!(shown(&f, &table, "networkInterfaceId").await, [interface.as_str()]);
    assert_eq!(shown(&f, &table, "instanceId").await, [instance.as_str()]);
    assert_eq!(shown(&f, &table, "instanceOwnerId").await, [f.cx.account().as_str()]);
    assert_eq!(shown(&f, &table, "state").await, ["active"; 3]);
    for (name, value) in [("route.instance-id", instance.as_str()), ("route.network-interface-id", &interface)] {
        let filter = [("Filter.1.Name", name), ("Filter.1.Value.1", value)];
        assert_eq!(f.texts("DescribeRouteTables", &filter, "routeTableId").await[0], table);
        let filter = [filter[0], ("Filter.1.Value.1", "x")];
        assert!(f.texts("DescribeRouteTables", &filter, "routeTableId").await.is_empty());
    }
    // What it can not be.
    let other = ("DestinationCidrBlock", "198.51.100.0/24");
    let two = [of_table, other, by_instance, ("NetworkInterfaceId", interface.as_str())];
    assert_eq!(f.error("CreateRoute", &two).await.0, "InvalidParameterCombination");
    let gone = [("NetworkInterfaceId", "eni-0123456789abcdef0"), ("InstanceId", "i-0123456789abcdef0")];
    for (one, code) in gone.into_iter().zip(["InvalidNetworkInterfaceID.NotFound", "InvalidInstanceID.NotFound"]) {
        assert_eq!(f.error("CreateRoute", &[of_table, other, one]).await.0, code);
    }
    let vpc = f.texts("CreateVpc", &[("CidrBlock", "10.0.0.0/16")], "vpcId").await.remove(0);
    let far = f.texts("CreateRouteTable", &[("VpcId", &vpc)], "routeTableId").await.remove(0);
    let (code, text) = f.error("CreateRoute", &[("RouteTableId", &far), other, by_instance]).await;
    assert_eq!(code, "InvalidParameterValue");
    assert_eq!(text, format!("route table {far} and interface {interface} belong to different networks"));
    // Of the VPC's own addresses, one whole subnet.
    let inside = ("DestinationCidrBlock", subnet.as_str());
    let gateway = shown(&f, &table, "gatewayId").await.into_iter().find(|id| id.starts_with("igw-")).unwrap();
    let by_gateway = ("GatewayId", gateway.as_str());
    assert_eq!(f.error("CreateRoute", &[of_table, inside, by_gateway]).await.0, "InvalidParameterValue");
    let part = format!("{}/30", subnet.split('/').next().unwrap());
    let part = [of_table, ("DestinationCidrBlock", part.as_str()), by_instance];
    assert_eq!(f.error("CreateRoute", &part).await.0, "InvalidParameterValue");
    let whole = [of_table, ("DestinationCidrBlock", block.as_str()), by_instance];
    assert_eq!(f.error("CreateRoute", &whole).await.0, "RouteAlreadyExists");
    f.call("CreateRoute", &[of_table, inside, by_instance]).await.unwrap();
    assert_eq!(f.error("ReplaceRoute", &[of_table, inside, by_gateway]).await.0, "InvalidParameterValue");
    f.call("DeleteRoute", &[of_table, inside]).await.unwrap();
    // Several interfaces: which one is meant must be said.
    let of_subnet = f.row(&instance).await.subnet_id.to_string();
    let of_subnet = [("SubnetId", of_subnet.as_str())];
    let second = f.texts("CreateNetworkInterface", &of_subnet, "networkInterfaceId").await.remove(0);
    let free = [of_table, other, ("NetworkInterfaceId", second.as_str())];
    f.call("CreateRoute", &free).await.unwrap();
    assert_eq!(
        shown(&f, &table, "state").await.iter().filter(|state| *state == "blackhole").count(),
        1,
        "not attached"
    );
    let place = [by_instance, free[2], ("DeviceIndex", "1")];
    f.call("AttachNetworkInterface", &place).await.unwrap();
    assert_eq!(shown(&f, &table, "state").await, ["active"; 4]);
    let third = ("DestinationCidrBlock", "203.0.113.0/24");
    let (code, text) = f.error("CreateRoute", &[of_table, third, by_instance]).await;
    assert!(code == "InvalidInstanceID" && text.starts_with("There are multiple interfaces"), "{text}");
    f.call("ReplaceRoute", &[of_table, to, free[2]]).await.unwrap();
    assert_eq!(shown(&f, &table, "networkInterfaceId").await, [second.clone(), second]);
}

async fn a_local_route_is_led_to_an_interface_and_back(db: TestDb) {
    let f = Fixture::on(db).await;
    let (table, instance, block, _) = of_default(&f, InstanceState::Stopped).await;
    let local = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", block.as_str())];
    let interface = InterfaceId::from_random(1).to_string();
    let to = [local[0], local[1], ("NetworkInterfaceId", interface.as_str())];
    assert_eq!(f.error("ReplaceRoute", &[to[0], to[1], to[2], ("DryRun", "true")]).await.0, "DryRunOperation");
    for _ in 0..2 {
        f.call("ReplaceRoute", &to).await.unwrap();
        assert_eq!(shown(&f, &table, "networkInterfaceId").await, [interface.as_str()]);
        assert_eq!(shown(&f, &table, "destinationCidrBlock").await.iter().filter(|to| **to == block).count(), 1);
    }
    let states = shown(&f, &table, "state").await;
    assert!(states.contains(&"blackhole".to_owned()), "{instance} is stopped: {states:?}");
    assert_eq!(f.error("DeleteRoute", &local).await.0, "InvalidParameterValue");
    for _ in 0..2 {
        f.call("ReplaceRoute", &[local[0], local[1], ("LocalTarget", "true")]).await.unwrap();
        assert!(shown(&f, &table, "networkInterfaceId").await.is_empty());
        assert_eq!(shown(&f, &table, "destinationCidrBlock").await.iter().filter(|to| **to == block).count(), 1);
    }
    let elsewhere = [local[0], ("DestinationCidrBlock", "192.0.2.0/24"), ("LocalTarget", "true")];
    assert_eq!(f.error("ReplaceRoute", &elsewhere).await.0, "InvalidParameterValue");
    // A further block, with what took the place of its route, goes without a trace.
    let vpc = f.row(&instance).await.vpc_id.to_string();
    let more = [("VpcId", vpc.as_str()), ("CidrBlock", "100.64.0.0/16")];
    let association = f.texts("AssociateVpcCidrBlock", &more, "associationId").await.remove(0);
    let of_more = [local[0], ("DestinationCidrBlock", "100.64.0.0/16"), to[2]];
    f.call("ReplaceRoute", &of_more).await.unwrap();
    assert_eq!(shown(&f, &table, "networkInterfaceId").await, [interface.as_str()]);
    f.call("DisassociateVpcCidrBlock", &[("AssociationId", &association)]).await.unwrap();
    assert!(shown(&f, &table, "networkInterfaceId").await.is_empty());
    assert!(!shown(&f, &table, "destinationCidrBlock").await.contains(&"100.64.0.0/16".to_owned()));
}
