//! Routes to an instance that forwards, wherever it is: by it in every placing, after it moved, and never past it.

use crate::lab::{connect, delivers, ok, sh};
use crate::scene::{place, scene};
use crate::world::World;
use mallee_proto::v1::route::Target;
use mallee_proto::v1::{Route, RouteTable, Subnet};

/// Sender, box and receiver, in subnets of their own.
const SENDER: (&str, &str) = ("a6", "10.0.1.16");
const BOX: (&str, &str) = ("a7", "10.0.3.17");
const RECEIVER: (&str, &str) = ("a8", "10.0.2.18");
const STEPS: [&str; 11] =
    ["withdraw", "withdrawn", "remove", "namespace", "rules", "devices", "hops", "routes", "services", "edge", "offer"];

/// Table `number` of VPC A gets these routes by the box, besides its own way out.
fn table(world: &mut World, number: u32, generation: u64, to: &[&str]) {
    let by_box = |to: &&str| Route {
        destination: (*to).to_owned(),
        target: Some(Target::NetworkInterfaceId(format!("eni-{}", BOX.0))),
    };
    let out =
        Route { destination: "0.0.0.0/0".to_owned(), target: Some(Target::InternetGatewayId("igw-a".to_owned())) };
    let routes = to.iter().map(by_box).chain((number == 1).then_some(out)).collect();
    let id = format!("rtb-a-{number}");
    world.model.set_route_table(RouteTable { id, generation, vpc_id: "vpc-a".to_owned(), number, routes });
}

fn place_box(world: &mut World, node: usize, incarnation: u64) {
    place(world, BOX.0, node, BOX.1, "open", "");
    world.set(BOX.0, |intent| {
        intent.incarnation = incarnation;
        intent.spec.as_mut().unwrap().ports[0].source_dest_check = false;
    });
}

/// The three on these nodes. What is for the receiver's subnet goes by the box; answers come straight.
async fn placed(nodes: [usize; 3]) -> World {
    let mut world = scene().await;
    world.model.set_subnet(Subnet {
        id: "subnet-a-3".to_owned(),
        generation: 1,
        vpc_id: "vpc-a".to_owned(),
        cidr: "10.0.3.0/24".to_owned(),
        zone: "zone1".to_owned(),
        route_table_id: "rtb-a-3".to_owned(),
        ..Subnet::default()
    });
    table(&mut world, 3, 1, &[]);
    table(&mut world, 1, 2, &["10.0.2.0/24"]);
    place(&mut world, SENDER.0, nodes[0], SENDER.1, "open", "");
    place(&mut world, RECEIVER.0, nodes[2], RECEIVER.1, "open", "");
    place_box(&mut world, nodes[1], 1);
    world.tell().await;
    for id in [SENDER.0, BOX.0, RECEIVER.0] {
        world.boot(id).await;
    }
    world.serve(RECEIVER.0, 80);
    forwards(&world, true);
    world
}

fn forwards(world: &World, yes: bool) {
    let filter = "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0";
    ok(Some(world.ns(BOX.0)), &format!("sysctl -qw net.ipv4.ip_forward={} {filter}", u8::from(yes)));
}

fn reached(world: &World) -> bool {
    connect(world.ns(SENDER.0), RECEIVER.1, 80).as_deref() == Some(SENDER.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_box_in_every_placing() {
    for nodes in [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0], [0, 1, 2]] {
        let mut world = placed(nodes).await;
        assert!(reached(&world), "{nodes:?}: answers come straight");
        forwards(&world, false);
        assert!(!reached(&world), "{nodes:?}: not past the box");
        forwards(&world, true);
        table(&mut world, 2, 2, &["10.0.1.0/24"]);
        world.tell().await;
        assert!(reached(&world), "{nodes:?}: answers come by the box, too");
        let full = format!("busybox ping -c 1 -W 1 -s 1422 {}", RECEIVER.1);
        assert!(sh(Some(world.ns(SENDER.0)), &full).status.success(), "{nodes:?}: a full packet");
        // Only of the table's own subnet, and only of its own VPC.
        assert!(delivers(world.ns("b1"), "10.0.1.11", world.ns("b2"), "10.0.1.12"));
        world.settled();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_moves_is_found_and_one_that_is_gone_is_no_way() {
    let mut world = placed([0, 1, 2]).await;
    for (life, node) in [2, 0, 1].into_iter().enumerate() {
        place_box(&mut world, node, 2 + u64::try_from(life).unwrap());
        world.tell().await;
        world.boot(BOX.0).await;
        forwards(&world, true);
        assert!(reached(&world), "on node {node}");
        world.settled();
    }
    // The check is on again: it is no way for others.
    world.set(BOX.0, |intent| intent.spec.as_mut().unwrap().ports[0].source_dest_check = true);
    world.tell().await;
    assert!(!reached(&world));
    assert!(sh(Some(world.ns(SENDER.0)), &format!("busybox ping -c 1 -W 1 {}", BOX.1)).status.success());
    world.set(BOX.0, |intent| intent.spec.as_mut().unwrap().ports[0].source_dest_check = false);
    world.tell().await;
    assert!(reached(&world));
    world.end(BOX.0);
    world.tell().await;
    assert!(!reached(&world), "it is gone, and nothing goes past it");
    table(&mut world, 1, 3, &[]);
    world.tell().await;
    assert!(reached(&world), "control: straight");
    world.settled();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_the_way_by_a_box_is_there_after_the_next() {
    let mut world = placed([0, 1, 2]).await;
    let mut generation = 2;
    for step in STEPS {
        for n in 0..3 {
            for to in [&[][..], &["10.0.2.0/24"]] {
                generation += 1;
                table(&mut world, 1, generation, to);
                world.take(n);
                world.die_at(n, &format!("net.apply.{step}")).await;
                // Half a change never leads past the box: what is not by it is not there yet, or straight by right.
                world.tell().await;
            }
        }
        assert!(reached(&world), "{step}");
        forwards(&world, false);
        assert!(!reached(&world), "{step}: not past the box");
        forwards(&world, true);
    }
    world.settled();
}
