//! Peering connections between VPCs whose instances are on three nodes, and further addresses of interfaces.

use crate::lab::{all_out, connect, delivers, ok, ping, rule};
use crate::scene::{place, scene, vpc};
use crate::world::{WORLD, World};
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::route::Target;
use mallee_proto::v1::{PortAddress, Route, RouteTable, SecurityGroup, Subnet, Vpc, VpcPeering};

fn table(world: &mut World, vpc: &str, generation: u64, peer: Option<&str>) {
    let route = |to: &str, target| Route { destination: to.to_owned(), target: Some(target) };
    let mut routes = vec![route("0.0.0.0/0", Target::InternetGatewayId(format!("igw-{vpc}")))];
    routes.extend(peer.map(|peer| route(peer, Target::VpcPeeringId("pcx-1".to_owned()))));
    let (id, vpc_id) = (format!("rtb-{vpc}-1"), format!("vpc-{vpc}"));
    world.model.set_route_table(RouteTable { id, generation, vpc_id, number: 1, routes });
}

/// A and C with a connection and routes from their first subnets.
async fn joined() -> World {
    let mut world = scene().await;
    world.model.set_peering(VpcPeering {
        id: "pcx-1".to_owned(),
        generation: 1,
        requester_vpc_id: "vpc-a".to_owned(),
        accepter_vpc_id: "vpc-c".to_owned(),
        ..VpcPeering::default()
    });
    table(&mut world, "a", 2, Some("10.2.0.0/16"));
    table(&mut world, "c", 2, Some("10.0.0.0/16"));
    world.tell().await;
    world
}

fn sees(world: &World, from: &str, to: &str, port: u16) -> String {
    connect(world.ns(from), to, port).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peering_leads_from_any_node_to_any_other_and_no_further() {
    let mut world = joined().await;
    assert_eq!(sees(&world, "a1", "10.2.1.11", 80), "10.0.1.11", "from the first node to the third");
    assert_eq!(sees(&world, "c1", "10.0.1.12", 80), "10.2.1.11", "from the third to the second, which has none of C");
    assert_eq!(sees(&world, "c2", "10.0.1.11", 80), "10.2.1.12", "within a node");
    assert_eq!(sees(&world, "a2", "10.2.1.12", 80), "10.0.1.12");
    assert!(!ping(world.ns("a3"), "10.2.1.11"), "a subnet without a route");
    assert!(!ping(world.ns("c1"), "10.0.2.13"), "which has no way back either");
    assert!(!ping(world.ns("b1"), "10.2.1.11"), "a VPC that is no peer, with the same addresses as one");
    assert_eq!(sees(&world, "b1", "10.0.1.12", 80), "10.0.1.11", "and keeps its own");
    assert!(!ping(world.ns("c1"), WORLD), "the peer's gateway is not for it");
    // In another's name nothing comes over.
    world.set("a2", |intent| intent.spec.as_mut().unwrap().ports[0].group_ids = vec!["sg-a-open".to_owned()]);
    world.tell().await;
    assert!(delivers(world.ns("c1"), "10.2.1.11", world.ns("a2"), "10.0.1.12"), "control: in its own");
    ok(Some(world.ns("c1")), "ip addr add 10.0.1.99/32 dev lo");
    assert!(!delivers(world.ns("c1"), "10.0.1.99", world.ns("a2"), "10.0.1.12"));
    // It ends: what it led to is reached no more, from nowhere, and nothing of it is left.
    world.model.remove_peering("pcx-1");
    world.tell().await;
    for (from, to) in [("a1", "10.2.1.11"), ("c1", "10.0.1.12"), ("c2", "10.0.1.11")] {
        assert_eq!(sees(&world, from, to, 80), "", "{from} to {to}");
    }
    for node in &world.nodes {
        let spaces = ["vpc-a", "vpc-c"].map(|vpc| node.lab.names.vpc_ns(vpc));
        for ns in spaces.iter().filter(|ns| std::path::Path::new(&format!("/run/netns/{ns}")).exists()) {
            assert!(!ok(Some(ns), "ip -br link").contains("mp"), "{} keeps a pair", node.name);
        }
    }
    world.settled();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_address_is_reached_from_everywhere_as_the_first_is() {
    let mut world = joined().await;
    let further = |public: &str| PortAddress {
        private_ip: "10.0.1.50".to_owned(),
        public_ip: public.to_owned(),
        ..PortAddress::default()
    };
    world.set("a2", |intent| intent.spec.as_mut().unwrap().ports[0].secondary = vec![further("203.0.113.152")]);
    world.tell().await;
    ok(Some(world.ns("a2")), "ip addr add 10.0.1.50/24 dev eth0");
    assert_eq!(sees(&world, "a1", "10.0.1.50", 80), "10.0.1.11", "from another node");
    assert_eq!(sees(&world, "c1", "10.0.1.50", 80), "10.2.1.11", "from a peer");
    assert_eq!(sees(&world, "world", "203.0.113.152", 80), "203.0.113.9", "by its own public address");
    assert!(!ping(world.ns("world"), "203.0.113.153"), "control: nobody's");
    world.set("a2", |intent| intent.spec.as_mut().unwrap().ports[0].secondary = vec![]);
    world.tell().await;
    assert_eq!(sees(&world, "a1", "10.0.1.50", 80), "");
    assert_eq!(sees(&world, "a1", "10.0.1.12", 80), "10.0.1.11", "control: the first one stays");
    world.settled();
}

/// A node that has nothing of the peer leads to the peer's further blocks, too, and answers from there find their way.
#[tokio::test(flavor = "multi_thread")]
async fn a_further_block_of_a_peer_is_reached_as_the_first_is() {
    let mut world = joined().await;
    let block = "100.64.0.0/16";
    let vpc = vpc("c", 5003, "10.2.0.0/16");
    world.model.set_vpc(Vpc { generation: 2, more_cidrs: vec![block.to_owned()], ..vpc });
    world.model.set_subnet(Subnet {
        id: "subnet-c-7".to_owned(),
        generation: 1,
        vpc_id: "vpc-c".to_owned(),
        cidr: "100.64.7.0/24".to_owned(),
        zone: "zone1".to_owned(),
        ..Subnet::default()
    });
    place(&mut world, "c7", 2, "100.64.7.20", "open", "");
    table(&mut world, "a", 3, Some(block));
    world.tell().await;
    world.boot("c7").await;
    world.serve("c7", 80);
    assert_eq!(sees(&world, "a2", "100.64.7.20", 80), "10.0.1.12", "from a node that has none of C");
    assert_eq!(sees(&world, "a1", "100.64.7.20", 80), "10.0.1.11", "and from one that has");
    assert_eq!(sees(&world, "c7", "10.0.1.12", 80), "100.64.7.20", "and the other way");
    world.settled();
}

/// A rule that names a group of a peer lets that group's members in, from any node, for as long as the two are peers.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_peers_group_are_let_in_while_it_is_a_peer() {
    let mut world = joined().await;
    let by_group = |world: &mut World, generation| {
        let peer = Peer::GroupId("sg-c-web".to_owned());
        let mut rules = vec![rule(false, 6, 80, 80, peer), all_out()];
        for (n, rule) in rules.iter_mut().enumerate() {
            rule.id = format!("sgr-a-friends-{n}");
        }
        let (id, name) = ("sg-a-friends".to_owned(), "friends".to_owned());
        world.model.set_group(SecurityGroup { id, generation, vpc_id: "vpc-a".to_owned(), name, rules });
    };
    by_group(&mut world, 1);
    world.set("a2", |intent| intent.spec.as_mut().unwrap().ports[0].group_ids = vec!["sg-a-friends".to_owned()]);
    world.set("c2", |intent| intent.spec.as_mut().unwrap().ports[0].group_ids = vec!["sg-c-open".to_owned()]);
    world.tell().await;
    assert_eq!(sees(&world, "c1", "10.0.1.12", 80), "10.2.1.11", "a member on another node");
    assert_eq!(sees(&world, "c2", "10.0.1.12", 80), "", "who is in another group of the peer");
    assert_eq!(sees(&world, "a1", "10.0.1.12", 80), "", "and who is of the same VPC, in a group of that name");
    world.set("c2", |intent| intent.spec.as_mut().unwrap().ports[0].group_ids = vec!["sg-c-web".to_owned()]);
    world.tell().await;
    assert_eq!(sees(&world, "c2", "10.0.1.12", 80), "10.2.1.12", "it became a member");
    // Without the connection the group has no members there, whoever then has such an address: the rule is stale.
    world.model.remove_peering("pcx-1");
    world.tell().await;
    let (node, _) = world.port("a2");
    let names = &world.nodes[node].lab.names;
    let rules = ok(Some(&names.vpc_ns("vpc-a")), "nft list ruleset");
    assert!(!rules.contains("10.2.1.1"), "members of the peer's group are gone: {rules}");
    assert_eq!(sees(&world, "c1", "10.0.1.12", 80), "");
    // It is a peer again, and then the group goes from the peer.
    world.model.set_peering(VpcPeering {
        id: "pcx-2".to_owned(),
        generation: 1,
        requester_vpc_id: "vpc-c".to_owned(),
        accepter_vpc_id: "vpc-a".to_owned(),
        ..VpcPeering::default()
    });
    let to =
        |peer: &str| Route { destination: peer.to_owned(), target: Some(Target::VpcPeeringId("pcx-2".to_owned())) };
    for (vpc, peer) in [("a", "10.2.0.0/16"), ("c", "10.0.0.0/16")] {
        let (id, vpc_id) = (format!("rtb-{vpc}-1"), format!("vpc-{vpc}"));
        world.model.set_route_table(RouteTable { id, generation: 3, vpc_id, number: 1, routes: vec![to(peer)] });
    }
    world.tell().await;
    assert_eq!(sees(&world, "c1", "10.0.1.12", 80), "10.2.1.11", "control: peers once more");
    for id in ["c1", "c2"] {
        world.set(id, |intent| intent.spec.as_mut().unwrap().ports[0].group_ids = vec!["sg-c-open".to_owned()]);
    }
    world.model.remove_group("sg-c-web");
    world.tell().await;
    assert_eq!(sees(&world, "c1", "10.0.1.12", 80), "");
    by_group(&mut world, 2);
    world.tell().await;
    assert_eq!(sees(&world, "c1", "10.0.1.12", 80), "", "a rule that names what is gone lets nobody in");
    assert_eq!(sees(&world, "a2", "10.2.1.11", 80), "10.0.1.12", "control: it is still a peer");
    world.settled();
}
