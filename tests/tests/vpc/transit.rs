//! A transit gateway of three VPCs whose instances are on three nodes: two that meet the third and not each other.

use crate::lab::{Pinger, connect, ok, ping};
use crate::scene::{network, place, scene};
use crate::world::{WORLD, World};
use mallee_proto::v1::route::Target;
use mallee_proto::v1::{
    ObjectKind, Route, RouteTable, TransitAttachment, TransitGateway, TransitRoute, TransitRouteTable,
};

/// Blocks of the VPCs, which are what propagation makes known.
const BLOCKS: [(&str, &str); 3] = [("a", "10.0.0.0/16"), ("c", "10.2.0.0/16"), ("d", "10.3.0.0/16")];

/// A table of the gateway that leads to the blocks of these VPCs, and nowhere for these destinations.
fn table(id: &str, to: &str, nowhere: &[&str]) -> TransitRouteTable {
    let known = BLOCKS.iter().filter(|(vpc, _)| to.contains(vpc));
    let known = known.map(|(vpc, block)| (*block, format!("tgw-attach-{vpc}")));
    let routes = known.chain(nowhere.iter().map(|to| (*to, String::new())));
    let routes = routes.map(|(to, attachment_id)| TransitRoute { destination: to.to_owned(), attachment_id });
    TransitRouteTable { id: id.to_owned(), routes: routes.collect() }
}

/// The gateway with these tables; which decides about a VPC is said by (VPC, table).
fn gateway(world: &mut World, generation: u64, of: &[(&str, &str)], tables: Vec<TransitRouteTable>) {
    let attachments = of.iter().map(|(vpc, table)| TransitAttachment {
        id: format!("tgw-attach-{vpc}"),
        vpc_id: format!("vpc-{vpc}"),
        table_id: (*table).to_owned(),
        dns: true,
    });
    world.model.set_transit_gateway(TransitGateway {
        id: "tgw-1".to_owned(),
        generation,
        attachments: attachments.collect(),
        tables,
    });
}

/// D meets A and C, which do not meet each other. The first subnets of all lead to the gateway.
async fn star() -> World {
    let mut world = scene().await;
    network(&mut world, "d", 5004, "10.3.0.0/16");
    place(&mut world, "d1", 1, "10.3.1.11", "web", "");
    place(&mut world, "d2", 2, "10.3.1.12", "web", "");
    for (vpc, _) in BLOCKS {
        let route = |to: &str, target| Route { destination: to.to_owned(), target: Some(target) };
        let routes = vec![
            route("0.0.0.0/0", Target::InternetGatewayId(format!("igw-{vpc}"))),
            route("10.0.0.0/8", Target::TransitGatewayId("tgw-1".to_owned())),
        ];
        let (id, vpc_id) = (format!("rtb-{vpc}-1"), format!("vpc-{vpc}"));
        world.model.set_route_table(RouteTable { id, generation: 2, vpc_id, number: 1, routes });
    }
    gateway(&mut world, 1, &STAR, vec![table("hub", "acd", &[]), table("spoke", "d", &[])]);
    world.tell().await;
    for id in ["d1", "d2"] {
        world.boot(id).await;
        world.serve(id, 80);
    }
    world
}

const STAR: [(&str, &str); 3] = [("a", "spoke"), ("c", "spoke"), ("d", "hub")];

fn sees(world: &World, from: &str, to: &str) -> String {
    connect(world.ns(from), to, 80).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn vpcs_reach_each_other_as_the_tables_of_their_gateway_say() {
    let mut world = star().await;
    assert_eq!(sees(&world, "a1", "10.3.1.11"), "10.0.1.11", "from the first node to the second");
    assert_eq!(sees(&world, "d2", "10.0.1.11"), "10.3.1.12", "from the third to the first");
    assert_eq!(sees(&world, "d1", "10.2.1.11"), "10.3.1.11", "from the second to the third");
    assert_eq!(sees(&world, "c1", "10.3.1.12"), "10.2.1.11", "within a node");
    assert!(!ping(world.ns("a1"), "10.2.1.12"), "two that do not meet, on one node");
    assert!(!ping(world.ns("c1"), "10.0.1.12"), "and on two");
    assert!(!ping(world.ns("a3"), "10.3.1.11"), "a subnet without a route");
    assert!(!ping(world.ns("b1"), "10.3.1.11"), "a VPC that is not attached, with the addresses of one that is");
    assert_eq!(sees(&world, "b1", "10.0.1.12"), "10.0.1.11", "and keeps its own");
    assert_eq!(sees(&world, "a1", "10.0.1.12"), "10.0.1.11", "what is the VPC's own does not leave it");
    // What changes at the gateway cuts nothing that it does not concern.
    world.set("c1", |intent| intent.spec.as_mut().unwrap().ports[0].group_ids = vec!["sg-c-open".to_owned()]);
    world.tell().await;
    world.nodes[2].lab.udp_echo(world.ns("c1"), 9);
    let pinger = Pinger::start(world.ns("d1"), "10.2.1.11:9");
    gateway(&mut world, 2, &STAR, vec![table("hub", "cd", &[]), table("spoke", "d", &["10.3.1.12/32"])]);
    world.tell().await;
    assert!(!ping(world.ns("a1"), "10.3.1.11"), "the way back is not known");
    assert_eq!(sees(&world, "c1", "10.3.1.12"), "", "nor is one to an address that is dropped");
    gateway(&mut world, 3, &STAR, vec![table("hub", "acd", &[]), table("spoke", "acd", &[])]);
    world.tell().await;
    assert_eq!(sees(&world, "a1", "10.2.1.12"), "10.0.1.11", "control: all meet");
    assert_eq!(sees(&world, "c1", "10.3.1.12"), "10.2.1.11", "control");
    let (sent, lost) = pinger.stop();
    assert!(sent > 20 && lost.is_empty(), "{lost:?} of {sent}");
    // One leaves, and one has no table: neither reaches anything, and nothing reaches them.
    gateway(&mut world, 4, &[("a", ""), ("d", "hub")], vec![table("hub", "acd", &[])]);
    world.tell().await;
    for (from, to) in [("a1", "10.3.1.11"), ("d1", "10.0.1.11"), ("d1", "10.2.1.11"), ("c1", "10.3.1.11")] {
        assert_eq!(sees(&world, from, to), "", "{from} to {to}");
    }
    assert!(ping(world.ns("a1"), WORLD), "control: the world is where it was");
    assert!(world.model.remove_object(ObjectKind::TransitGateway, "tgw-1"));
    world.tell().await;
    for node in &world.nodes {
        let spaces = ["vpc-a", "vpc-c", "vpc-d"].map(|vpc| node.lab.names.vpc_ns(vpc));
        for ns in spaces.iter().filter(|ns| std::path::Path::new(&format!("/run/netns/{ns}")).exists()) {
            assert!(!ok(Some(ns), "ip -br link").contains("mp"), "{} keeps a pair", node.name);
        }
    }
    world.settled();
}
