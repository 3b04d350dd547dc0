//! Prefix lists over HTTP: what is in a list is what the node's view says of rules and routes, also after it changed and
//! after everything was killed.

use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{RouteTarget, VpcView};
use mallee_tests::TestCloud;
use mallee_types::InstanceId;
use std::collections::BTreeSet;

async fn vpc_of(cloud: &TestCloud, id: &InstanceId) -> Option<VpcView> {
    cloud.host_of(id).await.view()?.vpcs.first().cloned()
}

/// From where port 22 is open.
fn open_to(view: &VpcView) -> BTreeSet<String> {
    let rules = view.groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.from_port == 22 && !rule.egress);
    let cidr = rules.filter_map(|rule| match &rule.peer {
        Some(Peer::Cidr(cidr)) => Some(cidr.clone()),
        Some(Peer::GroupId(_)) | None => None,
    });
    cidr.collect()
}

/// Where routes lead to the world, besides everywhere.
fn routed(view: &VpcView) -> BTreeSet<String> {
    let routes = view.route_tables.iter().flat_map(|table| &table.routes);
    let out = routes.filter(|route| route.target() == RouteTarget::Internet && route.destination != "0.0.0.0/0");
    out.map(|route| route.destination.clone()).collect()
}

async fn until_told(cloud: &mut TestCloud, id: &InstanceId, rules: &[&str], routes: &[&str]) {
    let wanted = [rules, routes].map(|list| list.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>());
    cloud
        .until("the node to have the entries", async |cloud| {
            let view = vpc_of(cloud, id).await.ok_or("the node has no view")?;
            let found = [open_to(&view), routed(&view)];
            if found == wanted { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_list_is_what_nodes_are_told() {
    let mut cloud = TestCloud::start().await;
    let id = cloud.launch("listed").await;
    until_told(&mut cloud, &id, &[], &[]).await;
    let generation = cloud.rows().await[0].generation;
    let first = |reply: &mallee_tests::Reply, element: &str| reply.first(element).expect(element).to_owned();
    let group = vpc_of(&cloud, &id).await.expect("a view").ports[0].group_ids[0].clone();
    let table = first(&cloud.insist("DescribeRouteTables", &[]).await, "routeTableId");
    let gateway = first(&cloud.insist("DescribeInternetGateways", &[]).await, "internetGatewayId");

    let params = [
        ("PrefixListName", "offices"),
        ("AddressFamily", "IPv4"),
        ("MaxEntries", "10"),
        ("Entry.1.Cidr", "192.0.2.0/24"),
        // Of the VPC's own: a rule has it, a route does not.
        ("Entry.2.Cidr", "172.31.1.0/24"),
    ];
    let list = first(&cloud.insist("CreateManagedPrefixList", &params).await, "prefixListId");
    let rule = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "22"),
        ("IpPermissions.1.ToPort", "22"),
        ("IpPermissions.1.PrefixListIds.1.PrefixListId", list.as_str()),
    ];
    cloud.insist("AuthorizeSecurityGroupIngress", &rule).await;
    let route = [("RouteTableId", table.as_str()), ("DestinationPrefixListId", list.as_str()), ("GatewayId", &gateway)];
    cloud.insist("CreateRoute", &route).await;
    until_told(&mut cloud, &id, &["172.31.1.0/24", "192.0.2.0/24"], &["192.0.2.0/24"]).await;

    let change = [
        ("PrefixListId", list.as_str()),
        ("CurrentVersion", "1"),
        ("AddEntry.1.Cidr", "198.51.100.0/24"),
        ("RemoveEntry.1.Cidr", "172.31.1.0/24"),
    ];
    cloud.insist("ModifyManagedPrefixList", &change).await;
    let both = ["192.0.2.0/24", "198.51.100.0/24"];
    until_told(&mut cloud, &id, &both, &both).await;

    // Everything dies: what is told anew is the same.
    cloud.kill().await;
    cloud.boot().await;
    until_told(&mut cloud, &id, &both, &both).await;
    let back = [("PrefixListId", list.as_str()), ("PreviousVersion", "1"), ("CurrentVersion", "2")];
    cloud.insist("RestoreManagedPrefixListVersion", &back).await;
    until_told(&mut cloud, &id, &["172.31.1.0/24", "192.0.2.0/24"], &["192.0.2.0/24"]).await;

    cloud.insist("RevokeSecurityGroupIngress", &rule).await;
    cloud.insist("DeleteRoute", &route[..2]).await;
    until_told(&mut cloud, &id, &[], &[]).await;
    cloud.insist("DeleteManagedPrefixList", &[("PrefixListId", &list)]).await;
    assert_eq!(cloud.rows().await[0].generation, generation, "no order of an instance changes with a list");
    cloud.sound().await;
}
