//! Nobody speaks in another's name. Each refusal raises its counter, and has a control that passes.

use crate::lab::{delivers, ok};
use crate::scene::{place, scene};
use crate::world::World;

/// Packets that the port of an instance was refused: what its own anti-spoofing chain has counted.
fn refused(world: &World, id: &str) -> u64 {
    let (n, port) = world.port(id);
    let lab = &world.nodes[n].lab;
    let line = format!("nft list chain inet vpc sp_{}", lab.names.tap(&port.interface_id));
    let chain = ok(Some(&lab.names.vpc_ns("vpc-a")), &line);
    let drops = chain.lines().filter(|line| line.trim_end().ends_with("drop"));
    let count = |line: &str| line.split("counter packets ").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    drops.filter_map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_packets_reach_nobody_on_any_node() {
    let mut world = scene().await;
    let (a1, a2, b1) = (world.ns("a1").to_owned(), world.ns("a2").to_owned(), world.ns("b1").to_owned());
    // Everything is open between the two: what does not arrive is not the groups' doing.
    for id in ["a1", "a2"] {
        world.set(id, |intent| intent.spec.as_mut().unwrap().ports[0].group_ids = vec!["sg-a-open".to_owned()]);
    }
    world.tell().await;
    ok(Some(&a1), "ip addr add 10.0.1.77/32 dev lo; ip addr add 10.0.2.13/32 dev lo; ip addr add 192.0.2.77/32 dev lo");
    assert!(delivers(&a1, "10.0.1.11", &a2, "10.0.1.12"), "control: its own address");
    for forged in ["10.0.1.77", "10.0.2.13", "192.0.2.77"] {
        let before = refused(&world, "a1");
        assert!(!delivers(&a1, forged, &a2, "10.0.1.12"), "{forged}");
        assert_eq!(refused(&world, "a1"), before + 1, "{forged} is counted");
    }
    // With the check off, the same packet passes: an appliance may forward.
    world.set("a1", |intent| intent.spec.as_mut().unwrap().ports[0].source_dest_check = false);
    world.tell().await;
    assert!(delivers(&a1, "192.0.2.77", &a2, "10.0.1.12"), "control: the check is off");
    world.set("a1", |intent| intent.spec.as_mut().unwrap().ports[0].source_dest_check = true);
    world.tell().await;
    assert!(!delivers(&a1, "192.0.2.77", &a2, "10.0.1.12"), "and on again");

    // In the name of an instance of another node, to a neighbour of that one: its "answer" would pass the victim's groups.
    world.set("a1", |intent| intent.spec.as_mut().unwrap().ports[0].source_dest_check = false);
    place(&mut world, "a7", 1, "10.0.1.17", "plain", "");
    world.tell().await;
    world.boot("a7").await;
    ok(Some(&a1), "ip addr add 10.0.1.17/32 dev lo");
    assert!(!delivers(&a1, "10.0.1.17", &a2, "10.0.1.12"), "a7 is where a2 is: nobody else begins in its name");
    assert!(delivers(&a1, "192.0.2.77", &a2, "10.0.1.12"), "control: of somebody who is not there");
    world.set("a1", |intent| intent.spec.as_mut().unwrap().ports[0].source_dest_check = true);
    world.tell().await;

    // Its own address with another MAC.
    ok(
        Some(&a1),
        "ip link set eth0 down; ip link set eth0 address 02:66:66:66:66:66; ip link set eth0 up; \
         ip route add default via 10.0.1.1; ip neigh replace 10.0.1.1 lladdr 02:00:00:00:00:01 dev eth0; \
         ip neigh replace 10.0.1.12 lladdr 02:00:00:00:00:01 dev eth0",
    );
    assert!(!delivers(&a1, "10.0.1.11", &a2, "10.0.1.12"), "another's MAC");
    ok(
        Some(&a1),
        "ip link set eth0 down; ip link set eth0 address 02:aa:61:00:01:0b; ip link set eth0 up; \
         ip route replace default via 10.0.1.1",
    );
    assert!(delivers(&a1, "10.0.1.11", &a2, "10.0.1.12"), "control: its own");

    // B's instance of the same address reaches B's network only.
    assert!(delivers(&b1, "10.0.1.11", world.ns("b2"), "10.0.1.12"), "control");
    assert!(!delivers(&b1, "10.0.1.11", &a2, "10.0.1.12"));
    world.settled();
}
