//! What is known changes, nodes are away, processes end: at the end each node has what the model says, and flows that a change
//! does not concern never notice.

use crate::lab::{Pinger, connect, ping};
use crate::scene::{place, scene};
use crate::world::World;
use mallee_runtime::Rng;
use std::collections::BTreeMap;

/// Steps of an engine's apply.
const STEPS: [&str; 10] =
    ["withdraw", "withdrawn", "remove", "namespace", "rules", "devices", "routes", "services", "edge", "offer"];

#[tokio::test(flavor = "multi_thread")]
async fn fifty_changes_on_three_nodes_cut_no_flow_that_they_do_not_concern() {
    let mut world = scene().await;
    let (a1, b1) = (world.ns("a1").to_owned(), world.ns("b1").to_owned());
    world.set("a2", |intent| intent.spec.as_mut().unwrap().ports[0].group_ids.push("sg-a-open".to_owned()));
    world.tell().await;
    world.nodes[1].lab.udp_echo(world.ns("a2"), 7);
    world.nodes[2].lab.udp_echo(world.ns("b2"), 7);
    let pingers = [Pinger::start(&a1, "10.0.1.12:7"), Pinger::start(&b1, "10.0.1.12:7")];
    for round in 0..25u8 {
        // Somebody comes, somewhere, in a group that others name; then goes.
        let (node, address) = (usize::from(round) % 3, format!("10.0.1.{}", 100 + round));
        place(&mut world, "a9", node, &address, "web", if round % 2 == 0 { "203.0.113.170" } else { "" });
        world.tell().await;
        if round % 5 == 0 {
            world.restart(usize::from(round / 5) % 3);
        }
        world.end("a9");
        world.tell().await;
    }
    for pinger in pingers {
        let (sent, lost) = pinger.stop();
        assert!(sent > 200, "{sent}");
        assert_eq!(lost, [0; 0], "of {sent}");
    }
    world.settled();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_moves_is_found_and_what_it_was_in_is_known_everywhere() {
    let mut world = scene().await;
    assert_eq!(connect(world.ns("a2"), "10.0.2.13", 5432).as_deref(), Some("10.0.1.12"), "a2 is of the group web");
    // From node 1 to node 2: the second life of the same address.
    world.set("a2", |intent| {
        intent.node_id = "node2".to_owned();
        intent.incarnation = 2;
    });
    world.tell().await;
    world.boot("a2").await;
    world.serve("a2", 80);
    assert_eq!(world.port("a2").0, 2);
    assert_eq!(connect(world.ns("a1"), "10.0.1.12", 80).as_deref(), Some("10.0.1.11"));
    assert_eq!(connect(world.ns("a2"), "10.0.2.13", 5432).as_deref(), Some("10.0.1.12"), "with its group");
    // It leaves the group: new connections are refused on the other node.
    world.set("a2", |intent| intent.spec.as_mut().unwrap().ports[0].group_ids = vec!["sg-a-plain".to_owned()]);
    world.tell().await;
    assert_eq!(connect(world.ns("a2"), "10.0.2.13", 5432), None);
    // It ends: nobody leads there any more.
    world.end("a2");
    world.tell().await;
    assert!(!ping(world.ns("a1"), "10.0.1.12"));
    assert!(ping(world.ns("b1"), "10.0.1.12"), "control: B's has the same address, and stays");
    world.settled();
}

/// Instances of the random runs: name and address, and where each is, with its public address.
type Placed = BTreeMap<u8, (usize, bool)>;

fn name(n: u8) -> (String, String) {
    (format!("{}{}", if n.is_multiple_of(2) { "a" } else { "b" }, 20 + n), format!("10.0.1.{}", 20 + n))
}

/// One thing that users do.
fn change(world: &mut World, rng: &Rng, placed: &mut Placed) {
    let n = u8::try_from(rng.below(8)).unwrap();
    let (id, address) = name(n);
    if placed.contains_key(&n) && rng.below(3) == 0 {
        placed.remove(&n);
        world.end(&id);
        return;
    }
    // It comes, or gets or loses its public address; nobody changes hosts while it lives.
    let node = placed.get(&n).map_or_else(|| usize::try_from(rng.below(3)).unwrap(), |(node, _)| *node);
    let public = rng.below(2) == 0;
    let text = if public { format!("203.0.113.{}", 200 + n) } else { String::new() };
    place(world, &id, node, &address, "open", &text);
    placed.insert(n, (node, public));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_late_or_killed_in_the_end_each_node_has_what_the_model_says() {
    for seed in [1, 2] {
        let rng = Rng::seeded(seed);
        let mut world = scene().await;
        let mut placed = Placed::new();
        for _ in 0..30 {
            change(&mut world, &rng, &mut placed);
            let n = usize::try_from(rng.below(3)).unwrap();
            match rng.below(4) {
                // Nobody hears of it yet.
                0 => {}
                1 => {
                    world.take(n);
                    let step = STEPS[usize::try_from(rng.below(10)).unwrap()];
                    world.die_at(n, &format!("net.apply.{step}")).await;
                }
                2 => {
                    world.take(n);
                    world.late(n).await;
                }
                _ => world.tell().await,
            }
        }
        world.tell().await;
        world.settled();
        for n in placed.keys() {
            world.boot(&name(*n).0).await;
        }
        for (n, (_, public)) in &placed {
            let (id, address) = name(*n);
            let neighbour = if n % 2 == 0 { "a1" } else { "b1" };
            assert!(ping(world.ns(neighbour), &address), "seed {seed}: {id} at {address}");
            let outside = format!("203.0.113.{}", 200 + n);
            assert_eq!(ping(&world.world, &outside), *public, "seed {seed}: {id} at {outside}");
        }
        for n in (0..8).filter(|n| !placed.contains_key(n)) {
            let outside = format!("203.0.113.{}", 200 + n);
            assert!(!ping(&world.world, &outside), "seed {seed}: nobody's {outside}");
        }
    }
}
