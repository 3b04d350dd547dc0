//! A NAT gateway on each of three nodes: out by its address, from every node, and in by nobody.

use crate::lab::{connect, ping};
use crate::scene::scene;
use crate::world::{WORLD, World};
use mallee_proto::v1::route::Target;
use mallee_proto::v1::{NatGateway, NetworkAcl, NetworkAclEntry, Port, Route, RouteTable};

const OWN: &str = "10.0.1.70";
const PUBLIC: &str = "203.0.113.170";

/// The gateway in the subnet that leads to the world, on this node; told as deleted, it is on none.
fn gateway(world: &mut World, generation: u64, node: usize, deleting: bool) {
    let port = Port {
        interface_id: "eni-nat".to_owned(),
        mac: "02:aa:61:00:01:46".to_owned(),
        private_ip: OWN.to_owned(),
        vpc_id: "vpc-a".to_owned(),
        subnet_id: "subnet-a-1".to_owned(),
        public_ip: PUBLIC.to_owned(),
        ..Port::default()
    };
    world.model.set_nat_gateway(NatGateway {
        id: "nat-a".to_owned(),
        generation,
        node_id: format!("node{node}"),
        incarnation: generation,
        port: Some(port),
        private: false,
        zone: "zone1".to_owned(),
        deleting,
        draining: Vec::new(),
    });
}

/// The subnet without a way out leads there.
fn route(world: &mut World) {
    let target = Some(Target::NatGatewayId("nat-a".to_owned()));
    let routes = vec![Route { destination: "0.0.0.0/0".to_owned(), target }];
    let (id, vpc_id) = ("rtb-a-2".to_owned(), "vpc-a".to_owned());
    world.model.set_route_table(RouteTable { id, generation: 2, vpc_id, number: 2, routes });
}

fn out(world: &World, from: &str) -> Option<String> {
    connect(world.ns(from), WORLD, 80)
}

/// The network ACL of the subnet behind lets everything pass, but for TCP to the world's port 80 if it is denied.
fn acl(world: &mut World, generation: u64, denied: bool) {
    let entry = |egress, number, allow, protocol, port: i32| NetworkAclEntry {
        number,
        egress,
        allow,
        protocol,
        cidr: "0.0.0.0/0".to_owned(),
        from_port: port,
        to_port: port,
    };
    let mut entries = vec![entry(false, 100, true, -1, -1), entry(true, 100, true, -1, -1)];
    entries.extend(denied.then(|| entry(true, 50, false, 6, 80)));
    let (id, vpc_id) = ("acl-a".to_owned(), "vpc-a".to_owned());
    world.model.set_network_acl(NetworkAcl { id, generation, vpc_id, entries });
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_all_nodes_reach_the_world_by_the_gateway_wherever_it_is() {
    let mut world = scene().await;
    route(&mut world);
    world.tell().await;
    assert_eq!((out(&world, "a3"), out(&world, "a4")), (None, None), "the gateway is not there");
    for (life, node) in [0, 1, 2].into_iter().enumerate() {
        gateway(&mut world, 1 + u64::try_from(life).unwrap(), node, false);
        world.tell().await;
        for from in ["a3", "a4"] {
            assert_eq!(out(&world, from).as_deref(), Some(PUBLIC), "{from}, by node {node}");
            assert!(ping(world.ns(from), WORLD), "{from}, by node {node}");
        }
        // Nobody begins anything with it, nor with those behind it.
        assert!(!ping(&world.world, PUBLIC) && connect(&world.world, PUBLIC, 80).is_none());
        assert!(!ping(world.ns("a1"), OWN) && connect(world.ns("a1"), OWN, 22).is_none());
        // Within the VPC nothing goes by it, and others have their own way out.
        assert_eq!(connect(world.ns("a3"), "10.0.1.12", 80).as_deref(), Some("10.0.2.13"));
        assert_eq!(out(&world, "a1").as_deref(), Some("203.0.113.151"));
        assert!(!ping(world.ns("b2"), WORLD), "another VPC with the same addresses has none of it");
    }
    // The ACL of the subnet behind it holds.
    acl(&mut world, 2, true);
    world.tell().await;
    assert!(out(&world, "a3").is_none() && ping(world.ns("a3"), WORLD));
    acl(&mut world, 3, false);
    world.tell().await;
    assert_eq!(out(&world, "a3").as_deref(), Some(PUBLIC));
    // Its agent starts again; it goes.
    world.restart(2);
    world.tell().await;
    assert_eq!(out(&world, "a3").as_deref(), Some(PUBLIC));
    gateway(&mut world, 4, 2, true);
    world.tell().await;
    assert_eq!((out(&world, "a3"), out(&world, "a4")), (None, None));
    world.settled();
}
