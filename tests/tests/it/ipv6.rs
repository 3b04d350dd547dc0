//! IPv6 addresses of instances: launched with, shown, told to their nodes, and free again when the instance is gone.

use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{RouteTarget, VpcView};
use mallee_tests::{Reply, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// A VPC with a subnet of this block, which gives new interfaces an address.
struct World {
    cloud: TestCloud,
    subnet: String,
    block: ipnet::Ipv6Net,
}

async fn world(postgres: bool) -> World {
    let pool = Some("2001:db8::/40".parse().expect("a network"));
    let mut cloud = TestCloud::with(Setup { public_pool_v6: pool, postgres, ..Setup::default() }).await;
    let vpc = cloud.insist("CreateVpc", &[("CidrBlock", "10.5.0.0/16"), ("AmazonProvidedIpv6CidrBlock", "true")]).await;
    let (vpc, block) = (first(&vpc, "vpcId"), first(&vpc, "ipv6CidrBlock"));
    let block: ipnet::Ipv6Net = block.replace("/56", "/64").parse().expect("a block");
    let text = block.to_string();
    let new = [("VpcId", vpc.as_str()), ("CidrBlock", "10.5.1.0/24"), ("Ipv6CidrBlock", &text)];
    let subnet = first(&cloud.insist("CreateSubnet", &new).await, "subnetId");
    let on = [("SubnetId", subnet.as_str()), ("AssignIpv6AddressOnCreation.Value", "true")];
    cloud.insist("ModifySubnetAttribute", &on).await;
    World { cloud, subnet, block }
}

fn first(reply: &Reply, element: &str) -> String {
    reply.first(element).unwrap_or_else(|| panic!("no {element}")).to_owned()
}

impl World {
    async fn launch(&mut self, token: &str, more: &[(&str, &str)]) -> InstanceId {
        let subnet = self.subnet.clone();
        let by_interface = more.iter().any(|(name, _)| name.starts_with("NetworkInterface."));
        let place: &[(&str, &str)] = if by_interface { &[] } else { &[("SubnetId", &subnet)] };
        self.cloud.launch_with(token, &[place, more].concat()).await
    }

    /// Every address that is shown of the instance: its own one twice.
    async fn shown(&mut self, id: &InstanceId) -> Vec<String> {
        let reply = self.cloud.insist("DescribeInstances", &[("InstanceId.1", id.as_str())]).await;
        reply.all("ipv6Address").into_iter().map(str::to_owned).collect()
    }

    /// Waits until the node of the instance has been told of all its addresses, and of the blocks that they are of.
    async fn until_told(&mut self, id: &InstanceId) {
        let shown: BTreeSet<String> = self.shown(id).await.into_iter().collect();
        let block = self.block;
        self.cloud
            .until("the node to have the IPv6 addresses", async |cloud| {
                let view = cloud.host_of(id).await.view().ok_or("the node has no view")?;
                let ports =
                    |vpc: &VpcView| vpc.ports.clone().into_iter().filter(|port| port.instance_id == id.as_str());
                let has = |vpc: &&VpcView| ports(vpc).next().is_some();
                let vpc = view.vpcs.iter().find(has).ok_or("the node has no port of it")?;
                let found: BTreeSet<String> = ports(vpc).flat_map(|port| port.ipv6_addresses).collect();
                let cidrs: Vec<&str> = vpc.subnets.iter().map(|subnet| subnet.ipv6_cidr.as_str()).collect();
                let whole = found == shown && cidrs == [block.to_string().as_str()] && vpc.ipv6_cidrs.len() == 1;
                if whole {
                    Ok(())
                } else {
                    Err(format!("{found:?} of {cidrs:?} of {:?}, not {shown:?}", vpc.ipv6_cidrs))
                }
            })
            .await;
    }

    /// Which instance a filter finds.
    async fn found(&mut self, filter: &str, value: &str) -> String {
        let by = [("Filter.1.Name", filter), ("Filter.1.Value.1", value)];
        first(&self.cloud.insist("DescribeInstances", &by).await, "instanceId")
    }

    async fn terminate(&mut self, id: &InstanceId) {
        self.cloud.act("TerminateInstances", id).await;
        self.cloud.until_state(id, InstanceState::Terminated).await;
    }
}

async fn instances_have_ipv6_addresses(postgres: bool) {
    let mut w = world(postgres).await;
    let (block, subnet) = (w.block, w.subnet.clone());
    // As its subnet says, by a launch that says nothing.
    let plain = w.launch("plain", &[]).await;
    let shown = w.shown(&plain).await;
    assert!(shown.len() == 2 && shown[0] == shown[1], "{shown:?}");
    let own = shown[0].clone();
    assert!(block.contains(&own.parse::<Ipv6Addr>().expect("an address")), "{own}");
    w.until_told(&plain).await;
    for filter in ["ipv6-address", "network-interface.ipv6-addresses.ipv6-address"] {
        assert_eq!(w.found(filter, &own).await, plain.as_str(), "{filter}");
    }
    // What the launch says counts: none, so many, these.
    let none = w.launch("none", &[("Ipv6AddressCount", "0")]).await;
    assert!(w.shown(&none).await.is_empty());
    let nine = Ipv6Addr::from(u128::from(block.network()) | 9).to_string();
    let named = w.launch("named", &[("Ipv6Address.1.Ipv6Address", &nine)]).await;
    assert_eq!(w.shown(&named).await, [nine.as_str(), nine.as_str()]);
    let two = [
        ("NetworkInterface.1.DeviceIndex", "0"),
        ("NetworkInterface.1.SubnetId", subnet.as_str()),
        ("NetworkInterface.1.Ipv6AddressCount", "1"),
        ("NetworkInterface.2.DeviceIndex", "1"),
        ("NetworkInterface.2.SubnetId", subnet.as_str()),
    ];
    let two = w.launch("two", &two).await;
    let enis = w
        .cloud
        .insist(
            "DescribeNetworkInterfaces",
            &[("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", two.as_str())],
        )
        .await;
    let mut addresses = enis.all("ipv6Address");
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 2, "each interface has one: {addresses:?}");
    // One that is taken, and one that is nobody's in this subnet.
    let image = w.cloud.image().await;
    let run = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    for (address, code) in [(nine.as_str(), "InvalidIPAddress.InUse"), ("2001:db9::9", "InvalidParameterValue")] {
        let given = [&run[..], &[("SubnetId", subnet.as_str()), ("Ipv6Address.1.Ipv6Address", address)]].concat();
        let error = w.cloud.call("RunInstances", &given).await.expect_err("refused");
        assert_eq!(error.code(), code, "{address}: {error}");
    }
    let several =
        [&run[..3], &[("MaxCount", "2"), ("SubnetId", &subnet), ("Ipv6Address.1.Ipv6Address", &nine)]].concat();
    assert_eq!(
        w.cloud.call("RunInstances", &several).await.expect_err("refused").code(),
        "InvalidParameterCombination"
    );

    // More on the running one; its intent is a new one, for its node to hear.
    let before = w.cloud.rows().await.into_iter().find(|row| row.id == plain).expect("its row").generation;
    let eni = w.cloud.insist("DescribeInstances", &[("InstanceId.1", plain.as_str())]).await;
    let eni = first(&eni, "networkInterfaceId");
    w.cloud.insist("AssignIpv6Addresses", &[("NetworkInterfaceId", &eni), ("Ipv6AddressCount", "1")]).await;
    let after = w.cloud.rows().await.into_iter().find(|row| row.id == plain).expect("its row").generation;
    assert!(after > before, "{before:?} {after:?}");
    assert_eq!(w.shown(&plain).await.len(), 3);
    w.until_told(&plain).await;
    assert_eq!(w.found("ipv6-address", &own).await, plain.as_str(), "the first one stays its own");
    w.cloud.sound().await;

    // Everything dies and comes back; a terminated instance gives them back at once.
    w.cloud.kill().await;
    w.cloud.boot().await;
    w.until_told(&plain).await;
    for id in [&named, &none, &two, &plain] {
        w.terminate(id).await;
    }
    let again = w.launch("again", &[("Ipv6Address.1.Ipv6Address", &nine)]).await;
    assert_eq!(w.shown(&again).await, [nine.as_str(), nine.as_str()]);
    w.terminate(&again).await;
    let subnets = w.cloud.insist("DescribeSubnets", &[("SubnetId.1", &subnet)]).await;
    w.cloud.insist("DisassociateSubnetCidrBlock", &[("AssociationId", &first(&subnets, "associationId"))]).await;
    w.cloud.sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_have_ipv6_addresses_on_sqlite() {
    instances_have_ipv6_addresses(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_have_ipv6_addresses_on_postgres() {
    instances_have_ipv6_addresses(true).await;
}

/// Where the node of an instance leads its IPv6, by destination.
async fn led(cloud: &TestCloud, id: &InstanceId) -> Option<Vec<(String, RouteTarget)>> {
    let view = cloud.host_of(id).await.view()?;
    let vpc = view.vpcs.iter().find(|vpc| vpc.ports.iter().any(|port| port.instance_id == id.as_str()))?;
    let port = vpc.ports.iter().find(|port| port.instance_id == id.as_str())?;
    let subnet = vpc.subnets.iter().find(|subnet| subnet.id == port.subnet_id)?;
    let table = vpc.route_tables.iter().find(|table| table.number == subnet.route_table)?;
    Some(table.ipv6_routes.iter().map(|route| (route.destination.clone(), route.target())).collect())
}

async fn until_led(w: &mut World, id: &InstanceId, wanted: &[(&str, RouteTarget)]) {
    let wanted: Vec<_> = wanted.iter().map(|(to, target)| ((*to).to_owned(), *target)).collect();
    w.cloud
        .until("the node to lead IPv6 so", async |cloud| {
            let found = led(cloud, id).await.ok_or("the node knows no table")?;
            if found == wanted { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ways_to_the_world_are_what_nodes_are_told_also_after_everything_was_killed() {
    let mut w = world(false).await;
    let id = w.launch("led", &[]).await;
    until_led(&mut w, &id, &[]).await;
    let subnet = w.cloud.insist("DescribeSubnets", &[("SubnetId.1", &w.subnet.clone())]).await;
    let vpc = first(&subnet, "vpcId");
    let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let table = first(&w.cloud.insist("DescribeRouteTables", &of_vpc).await, "routeTableId");
    let made = w.cloud.insist("CreateEgressOnlyInternetGateway", &[("VpcId", &vpc)]).await;
    let outward = first(&made, "egressOnlyInternetGatewayId");
    let gateway = first(&w.cloud.insist("CreateInternetGateway", &[]).await, "internetGatewayId");
    let attach = [("InternetGatewayId", gateway.as_str()), ("VpcId", vpc.as_str())];
    let everywhere = [("RouteTableId", table.as_str()), ("DestinationIpv6CidrBlock", "::/0")];
    let by_outward = [&everywhere[..], &[("EgressOnlyInternetGatewayId", outward.as_str())]].concat();
    w.cloud.insist("CreateRoute", &by_outward).await;
    until_led(&mut w, &id, &[("::/0", RouteTarget::EgressOnly)]).await;
    w.cloud.insist("AttachInternetGateway", &attach).await;
    let part = [("RouteTableId", table.as_str()), ("DestinationIpv6CidrBlock", "3fff::/20"), ("GatewayId", &gateway)];
    w.cloud.insist("CreateRoute", &part).await;
    let both = [("3fff::/20", RouteTarget::Internet), ("::/0", RouteTarget::EgressOnly)];
    until_led(&mut w, &id, &both).await;
    // Everything dies: what is told anew is the same.
    w.cloud.kill().await;
    w.cloud.boot().await;
    until_led(&mut w, &id, &both).await;
    // A gateway that goes leaves a route to nowhere.
    w.cloud.insist("DeleteEgressOnlyInternetGateway", &[("EgressOnlyInternetGatewayId", &outward)]).await;
    until_led(&mut w, &id, &[both[0], ("::/0", RouteTarget::Blackhole)]).await;
    w.cloud.insist("DetachInternetGateway", &attach).await;
    w.cloud.insist("DeleteRoute", &everywhere).await;
    until_led(&mut w, &id, &[("3fff::/20", RouteTarget::Blackhole)]).await;
    w.cloud.sound().await;
}

/// From where the groups of the node let something of IPv6 in.
async fn open_to(cloud: &TestCloud, id: &InstanceId) -> Option<BTreeSet<String>> {
    let view = cloud.host_of(id).await.view()?;
    let rules = view.vpcs.iter().flat_map(|vpc| &vpc.groups).flat_map(|group| &group.rules);
    let peers = rules.filter(|rule| !rule.egress).filter_map(|rule| match &rule.peer {
        Some(Peer::Cidr(cidr)) if cidr.contains(':') => Some(cidr.clone()),
        _ => None,
    });
    Some(peers.collect())
}

async fn until_listed(w: &mut World, id: &InstanceId, rules: &[&str], routes: &[&str]) {
    let wanted: BTreeSet<String> = rules.iter().map(|text| (*text).to_owned()).collect();
    w.cloud
        .until("the node to open IPv6 so", async |cloud| {
            let found = open_to(cloud, id).await.ok_or("the node knows nothing")?;
            if found == wanted { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
        })
        .await;
    let routes: Vec<_> = routes.iter().map(|to| (*to, RouteTarget::EgressOnly)).collect();
    until_led(w, id, &routes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_list_of_ipv6_is_what_nodes_are_told_also_after_everything_was_killed() {
    let mut w = world(false).await;
    let id = w.launch("listed", &[]).await;
    until_listed(&mut w, &id, &[], &[]).await;
    let subnet = w.cloud.insist("DescribeSubnets", &[("SubnetId.1", &w.subnet.clone())]).await;
    let vpc = first(&subnet, "vpcId");
    let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
    let table = first(&w.cloud.insist("DescribeRouteTables", &of_vpc).await, "routeTableId");
    let group = first(&w.cloud.insist("DescribeSecurityGroups", &of_vpc).await, "groupId");
    let made = w.cloud.insist("CreateEgressOnlyInternetGateway", &[("VpcId", &vpc)]).await;
    let outward = first(&made, "egressOnlyInternetGatewayId");
    let own = w.block.to_string();
    let new = [
        ("PrefixListName", "offices"),
        ("AddressFamily", "IPv6"),
        ("MaxEntries", "10"),
        ("Entry.1.Cidr", "3fff::/20"),
        // Of the VPC's own: a rule has it, a route does not.
        ("Entry.2.Cidr", own.as_str()),
    ];
    let list = first(&w.cloud.insist("CreateManagedPrefixList", &new).await, "prefixListId");
    let rule = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "-1"),
        ("IpPermissions.1.PrefixListIds.1.PrefixListId", list.as_str()),
    ];
    w.cloud.insist("AuthorizeSecurityGroupIngress", &rule).await;
    let route = [("RouteTableId", table.as_str()), ("DestinationPrefixListId", list.as_str())];
    let to = [&route[..], &[("EgressOnlyInternetGatewayId", outward.as_str())]].concat();
    w.cloud.insist("CreateRoute", &to).await;
    until_listed(&mut w, &id, &[&own, "3fff::/20"], &["3fff::/20"]).await;
    let change = [
        ("PrefixListId", list.as_str()),
        ("CurrentVersion", "1"),
        ("AddEntry.1.Cidr", "::/1"),
        ("RemoveEntry.1.Cidr", "3fff::/20"),
    ];
    w.cloud.insist("ModifyManagedPrefixList", &change).await;
    until_listed(&mut w, &id, &[&own, "::/1"], &["::/1"]).await;
    // Everything dies: what is told anew is the same.
    w.cloud.kill().await;
    w.cloud.boot().await;
    until_listed(&mut w, &id, &[&own, "::/1"], &["::/1"]).await;
    // Another block of the VPC, out of what the list has: its part is passed over from then on, and led again later.
    let more = [("VpcId", vpc.as_str()), ("AmazonProvidedIpv6CidrBlock", "true")];
    let block = w.cloud.insist("AssociateVpcCidrBlock", &more).await;
    let (block, association) = (first(&block, "ipv6CidrBlock"), first(&block, "associationId"));
    let add = [("PrefixListId", list.as_str()), ("AddEntry.1.Cidr", block.as_str())];
    w.cloud.insist("ModifyManagedPrefixList", &add).await;
    until_listed(&mut w, &id, &[&own, "::/1", &block], &["::/1"]).await;
    w.cloud.insist("DisassociateVpcCidrBlock", &[("AssociationId", &association)]).await;
    until_listed(&mut w, &id, &[&own, "::/1", &block], &[&block, "::/1"]).await;
    w.cloud.insist("RevokeSecurityGroupIngress", &rule).await;
    w.cloud.insist("DeleteRoute", &route).await;
    until_listed(&mut w, &id, &[], &[]).await;
    w.cloud.insist("DeleteManagedPrefixList", &[("PrefixListId", &list)]).await;
    w.cloud.sound().await;
}
