//! Route tables and internet gateways over HTTP: what a user sets is what the node's view says, also after everything was
//! killed.

use mallee_proto::v1::{RouteTarget, VpcView};
use mallee_tests::TestCloud;
use mallee_types::InstanceId;

/// The one VPC of the node that has the instance.
async fn vpc_of(cloud: &TestCloud, id: &InstanceId) -> Option<VpcView> {
    cloud.host_of(id).await.view()?.vpcs.first().cloned()
}

/// Where packets that no other route covers go; `None`: there is no such route, or no table.
fn default_route(view: &VpcView) -> Option<RouteTarget> {
    let subnet = view.subnets.iter().find(|subnet| view.ports.iter().any(|port| port.subnet_id == subnet.id))?;
    let table = view.route_tables.iter().find(|table| table.number == subnet.route_table)?;
    table.routes.iter().find(|route| route.destination == "0.0.0.0/0").map(|route| route.target())
}

async fn until_route(cloud: &mut TestCloud, id: &InstanceId, wanted: Option<RouteTarget>) {
    cloud
        .until("the node to have the routes", async |cloud| {
            let view = vpc_of(cloud, id).await.ok_or("the node has no view")?;
            let found = default_route(&view);
            if view.routed && found == wanted { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_routed_is_what_nodes_are_told() {
    let mut cloud = TestCloud::start().await;
    let id = cloud.launch("routed").await;
    until_route(&mut cloud, &id, Some(RouteTarget::Internet)).await;
    let generation = cloud.rows().await[0].generation;

    let tables = cloud.insist("DescribeRouteTables", &[]).await;
    let main = tables.first("routeTableId").expect("a main table").to_owned();
    let (vpc, gateway) = {
        let gateways = cloud.insist("DescribeInternetGateways", &[]).await;
        let text = |element| gateways.first(element).expect("a gateway").to_owned();
        (text("vpcId"), text("internetGatewayId"))
    };
    let subnet = vpc_of(&cloud, &id).await.expect("a view").ports[0].subnet_id.clone();

    // A table of its own, without a way out; then with one; then without the table.
    let made = cloud.insist("CreateRouteTable", &[("VpcId", &vpc)]).await;
    let table = made.first("routeTableId").expect("an id").to_owned();
    let params = [("RouteTableId", table.as_str()), ("SubnetId", subnet.as_str())];
    let association =
        cloud.insist("AssociateRouteTable", &params).await.first("associationId").expect("an id").to_owned();
    until_route(&mut cloud, &id, None).await;
    let everywhere = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "0.0.0.0/0"), ("GatewayId", &gateway)];
    cloud.insist("CreateRoute", &everywhere).await;
    until_route(&mut cloud, &id, Some(RouteTarget::Internet)).await;
    cloud.insist("DeleteRoute", &everywhere[..2]).await;
    until_route(&mut cloud, &id, None).await;

    // Everything dies: what is told anew is the same.
    cloud.kill().await;
    cloud.boot().await;
    until_route(&mut cloud, &id, None).await;
    cloud.insist("DisassociateRouteTable", &[("AssociationId", &association)]).await;
    until_route(&mut cloud, &id, Some(RouteTarget::Internet)).await;

    // The VPC gets another main table, and its own back.
    let filter = [("Filter.1.Name", "route-table-id"), ("Filter.1.Value.1", main.as_str())];
    let tables = cloud.insist("DescribeRouteTables", &filter).await;
    let first = tables.first("routeTableAssociationId").expect("the main one").to_owned();
    let params = [("AssociationId", first.as_str()), ("RouteTableId", table.as_str())];
    let now = cloud
        .insist("ReplaceRouteTableAssociation", &params)
        .await
        .first("newAssociationId")
        .expect("an id")
        .to_owned();
    until_route(&mut cloud, &id, None).await;
    cloud.insist("ReplaceRouteTableAssociation", &[("AssociationId", &now), ("RouteTableId", &main)]).await;
    until_route(&mut cloud, &id, Some(RouteTarget::Internet)).await;
    cloud.insist("DeleteRouteTable", &[("RouteTableId", &table)]).await;
    let rows = cloud.rows().await;
    assert_eq!(rows[0].generation, generation, "no order of an instance changes with its routes");
    cloud.sound().await;
}

/// A route to the instance itself: its node is told the address, and that a route leads to the port; stopped, it is no way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_to_an_instance_is_its_address_while_it_runs() {
    let mut cloud = TestCloud::start().await;
    let id = cloud.launch("routed").await;
    let other = cloud.launch("sender").await;
    until_route(&mut cloud, &other, Some(RouteTarget::Internet)).await;
    let tables = cloud.insist("DescribeRouteTables", &[]).await;
    let main = tables.first("routeTableId").expect("a main table").to_owned();
    let to = [("RouteTableId", main.as_str()), ("DestinationCidrBlock", "198.51.100.0/24")];
    cloud.insist("CreateRoute", &[to[0], to[1], ("InstanceId", id.as_str())]).await;
    let until = async |cloud: &mut TestCloud, wanted: RouteTarget| {
        cloud
            .until("the node to know the way", async |cloud| {
                let view = vpc_of(cloud, &other).await.ok_or("the node has no view")?;
                let mut routes = view.route_tables.iter().flat_map(|table| &table.routes);
                let route = routes.find(|route| route.destination == "198.51.100.0/24").ok_or("no route")?;
                let port = view.ports.iter().find(|port| port.instance_id == id.as_str());
                let told = port.is_none_or(|port| port.routed_to && port.private_ip == route.next_hop);
                let right = route.target() == wanted && (wanted != RouteTarget::Interface || told);
                if right { Ok(()) } else { Err(format!("{route:?} to {port:?}")) }
            })
            .await;
    };
    until(&mut cloud, RouteTarget::Interface).await;
    cloud.kill().await;
    cloud.boot().await;
    until(&mut cloud, RouteTarget::Interface).await;
    cloud.insist("TerminateInstances", &[("InstanceId.1", id.as_str())]).await;
    until(&mut cloud, RouteTarget::Blackhole).await;
    cloud.insist("DeleteRoute", &to).await;
    cloud.sound().await;
}
