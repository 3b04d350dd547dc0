//! Who reaches whom: within a VPC, across nodes, from and to the world; and who does not.

use crate::lab::{connect, ok, ping, sh};
use crate::scene::scene;
use crate::world::{WORLD, World};

fn pings(world: &World, from: &str, to: &str) -> bool {
    ping(world.ns(from), to)
}

/// Whom the server at an address sees, if the connection succeeds.
fn sees(world: &World, from: &str, to: &str, port: u16) -> String {
    connect(world.ns(from), to, port).unwrap_or_default()
}

/// One echo of this many bytes that must not be taken apart, and its TTL.
fn echo(world: &World, from: &str, to: &str, bytes: usize) -> Option<u8> {
    let line = format!("ping -n -c 1 -W 1 -M do -s {bytes} {to}");
    let out = sh(Some(world.ns(from)), &line);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let ttl = text.split_whitespace().find_map(|word| word.strip_prefix("ttl="))?;
    Some(ttl.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_go_where_the_vpc_leads_them_and_nowhere_else() {
    let world = scene().await;
    let world = &world;
    // The overlay.
    assert!(pings(world, "a1", "10.0.1.12"), "same subnet, other node");
    assert!(!pings(world, "a1", "10.0.1.15"), "same subnet and node, but a5's group has no ICMP");
    assert!(pings(world, "a1", "10.0.2.13"), "other subnet, other node");
    assert!(pings(world, "a2", "10.0.2.14"), "other subnet, from the second node to the third");
    assert_eq!(echo(world, "a1", "10.0.2.13", 8), Some(62), "a router at either end");
    assert!(echo(world, "a1", "10.0.1.12", 1422).is_some(), "a full packet of 1450 bytes");
    assert_eq!(echo(world, "a1", "10.0.1.12", 1423), None, "one more does not fit");

    // Equal addresses of two VPCs.
    assert!(pings(world, "b1", "10.0.1.12"));
    assert_eq!(sees(world, "b1", "10.0.1.12", 80), "10.0.1.11");
    assert_eq!(sees(world, "a1", "10.0.1.12", 80), "10.0.1.11");
    assert!(!pings(world, "b1", "10.0.2.13"), "B has nobody there, A has");
    let counters = |node: usize, vpc: &str| {
        ok(Some(&world.nodes[node].lab.names.vpc_ns(vpc)), "ip -s -o link show dev vx | tr -s ' \\\\\\n' ' '")
    };
    let before = counters(1, "vpc-a");
    assert!(pings(world, "b1", "10.0.1.12"));
    assert_eq!(counters(1, "vpc-a"), before, "none of B's packets came to A's network");

    // Security groups and network ACLs.
    assert_eq!(sees(world, "a1", "10.0.2.13", 5432), "10.0.1.11", "a member of the group that the rule names");
    assert_eq!(sees(world, "a5", "10.0.2.13", 5432), "", "no member");
    assert_eq!(sees(world, "a4", "10.0.2.13", 5432), "", "of another group, in the same subnet, on another node");
    assert_eq!(sees(world, "a1", "10.0.2.13", 22), "", "a port that no rule opens");
    assert_eq!(sees(world, "a3", "10.0.1.12", 80), "10.0.2.13", "answers need no rule");
    assert_eq!(sees(world, "a1", "10.0.2.13", 9999), "", "the ACL denies what the group allows");
    assert_eq!(sees(world, "a4", "10.0.2.13", 9999), "10.0.2.14", "control: within the subnet no ACL is asked");

    // Public addresses.
    assert_eq!(sees(world, "world", "203.0.113.151", 80), "203.0.113.9", "in, and the source is preserved");
    assert_eq!(sees(world, "a1", WORLD, 80), "203.0.113.151", "out");
    assert_eq!(sees(world, "b1", WORLD, 80), "203.0.113.161", "the same private address, another public one");
    assert!(!pings(world, "a2", WORLD), "no public address, no way out");
    assert!(!pings(world, "a3", WORLD) && !pings(world, "a4", WORLD), "no route, no way out");
    assert_eq!(sees(world, "b1", "203.0.113.151", 80), "203.0.113.161", "from VPC to VPC by public addresses");
    assert_eq!(sees(world, "a5", "203.0.113.151", 80), "203.0.113.155", "and within a VPC");
    let known = ok(Some(&world.world), "ip neigh show 203.0.113.151 dev br0");
    let host = ok(Some(&world.nodes[0].lab.host), "ip -br link show s0 | awk '{print $3}'");
    assert!(known.contains(host.trim()), "the node that has it answers for it: {known}");
    world.settled();
}
