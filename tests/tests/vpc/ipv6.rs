//! IPv6 inside a VPC: from what the cloud tells a cluster to packets between three nodes.

use crate::guest6::{connects6, listen6, ping6, ping6_once, set_address};
use crate::lab::{all_out, cidr, connect, rule};
use crate::scene::{scene, vpc};
use crate::world::World;
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{GroupRule, NetworkAcl, NetworkAclEntry, SecurityGroup, Subnet, Vpc};

/// Gives an instance an address, or takes what it has.
fn give(world: &mut World, id: &str, address: Option<&str>) {
    world.set(id, |intent| {
        let port = &mut intent.spec.as_mut().unwrap().ports[0];
        port.ipv6_addresses = address.map(str::to_owned).into_iter().collect();
    });
}

/// A VPC and its subnets have IPv6: `2001:db8:<letter>:<number>::/64`.
fn six(world: &mut World, letter: &str, vni: u32) {
    let block = format!("2001:db8:{letter}::/56");
    world.model.set_vpc(Vpc { generation: 2, ipv6_cidrs: vec![block], ..vpc(letter, vni, "10.0.0.0/16") });
    for number in 1..3 {
        world.model.set_subnet(Subnet {
            id: format!("subnet-{letter}-{number}"),
            generation: 2,
            vpc_id: format!("vpc-{letter}"),
            cidr: format!("10.0.{number}.0/24"),
            zone: "zone1".to_owned(),
            route_table_id: if number == 1 { String::new() } else { format!("rtb-{letter}-{number}") },
            network_acl_id: if number == 1 { String::new() } else { format!("acl-{letter}") },
            ipv6_cidr: format!("2001:db8:{letter}:{number}::/64"),
        });
    }
}

/// A group of VPC A with these rules, and leave to send anything of both families.
fn group(world: &mut World, name: &str, mut rules: Vec<GroupRule>) {
    rules.extend([all_out(), rule(true, -1, -1, -1, cidr("::/0"))]);
    for (n, rule) in rules.iter_mut().enumerate() {
        rule.id = format!("sgr-a-{name}-6{n}");
    }
    let (id, vpc_id) = (format!("sg-a-{name}"), "vpc-a".to_owned());
    world.model.set_group(SecurityGroup { id, generation: 2, vpc_id, name: name.to_owned(), rules });
}

/// The ACL of the second subnets: all of IPv4, and of IPv6 all but this port.
fn acl(world: &mut World, generation: u64, closed: i32) {
    let entry = |egress, number, allow, protocol, text: &str, port| NetworkAclEntry {
        number,
        egress,
        allow,
        protocol,
        cidr: text.to_owned(),
        from_port: port,
        to_port: port,
    };
    let both = |text: &str, number| [false, true].map(|egress| entry(egress, number, true, -1, text, -1));
    let mut entries = [both("0.0.0.0/0", 100), both("::/0", 101)].concat();
    entries.push(entry(false, 50, false, 6, "::/0", closed));
    let (id, vpc_id) = ("acl-a".to_owned(), "vpc-a".to_owned());
    world.model.set_network_acl(NetworkAcl { id, generation, vpc_id, entries });
}

fn pings(world: &World, from: &str, to: &str) -> bool {
    ping6(world.ns(from), to)
}

fn stays_out(world: &World, from: &str, to: &str) -> bool {
    !ping6_once(world.ns(from), to)
}

const A1: &str = "2001:db8:a:1::11";
const A2: &str = "2001:db8:a:1::12";
const A4: &str = "2001:db8:a:2::14";
const A5: &str = "2001:db8:a:1::15";

#[tokio::test(flavor = "multi_thread")]
async fn instances_with_ipv6_reach_each_other_on_three_nodes_as_their_groups_say() {
    let mut world = scene().await;
    // Told while everything runs, the interfaces before the blocks.
    for (id, address) in [("a1", A1), ("a2", A2), ("a4", A4), ("a5", A5)] {
        give(&mut world, id, Some(address));
    }
    give(&mut world, "b1", Some("2001:db8:b:1::11"));
    give(&mut world, "b2", Some("2001:db8:b:1::12"));
    world.tell().await;
    assert!(world.port("a1").1.ipv6_addresses.is_empty(), "of a subnet without a block");
    six(&mut world, "a", 5001);
    six(&mut world, "b", 5002);
    let ping = || rule(false, 58, -1, -1, cidr("::/0"));
    let web = cidr("2001:db8:a:1::/64");
    let members = || Peer::GroupId("sg-a-web".to_owned());
    group(&mut world, "web", vec![ping(), rule(false, 6, 81, 81, web)]);
    group(&mut world, "db", vec![ping(), rule(false, 6, 83, 83, members()), rule(false, 6, 82, 82, members())]);
    acl(&mut world, 2, 82);
    world.tell().await;
    for id in ["a1", "a2", "a4", "a5", "b1", "b2"] {
        set_address(world.ns(id), &world.port(id).1);
    }

    assert!(pings(&world, "a1", A2), "same subnet, other node");
    assert!(pings(&world, "a2", A4) && pings(&world, "a4", A1), "other subnet, other nodes, both ways");
    assert!(pings(&world, "a1", "fe80::1"), "their router");
    assert!(stays_out(&world, "a1", A5), "a5's group has no rule of IPv6");
    assert_eq!(connect(world.ns("a1"), "10.0.1.15", 80).as_deref(), Some("10.0.1.11"), "IPv4 is as it was");
    let reached = |from: &str, to: &str, port| connects6(world.ns(from), to, port);
    let _listeners = [("a2", 81), ("a4", 83), ("a4", 82)].map(|(id, port)| listen6(world.ns(id), port));
    assert!(reached("a1", A2, 81), "by a block of IPv6");
    assert!(!reached("a4", A2, 81), "which does not have the other subnet's");
    assert!(reached("a1", A4, 83), "as a member of a group, from another node");
    assert!(!reached("a5", A4, 83), "which a5 is none of");
    assert!(!reached("a1", A4, 82), "its group lets it, its subnet's ACL does not");
    assert!(stays_out(&world, "a1", "2001:db8:b:1::11"), "another VPC");
    assert!(stays_out(&world, "b1", "2001:db8:b:1::12"), "a group of before knows nothing of IPv6");
    world.settled();

    // Its address goes, another instance has it, on another node.
    give(&mut world, "a2", None);
    world.tell().await;
    assert!(stays_out(&world, "a1", A2));
    give(&mut world, "a4", Some(A4));
    give(&mut world, "a1", None);
    world.tell().await;
    give(&mut world, "a2", Some(A1));
    world.tell().await;
    set_address(world.ns("a2"), &world.port("a2").1);
    assert!(pings(&world, "a4", A1), "where it is now");

    // What an engine left is taken over; without blocks nothing of it is left.
    for n in 0..3 {
        world.restart(n);
    }
    world.tell().await;
    assert!(pings(&world, "a2", A4));
    world.settled();
    world.model.set_vpc(Vpc { generation: 3, ..vpc("a", 5001, "10.0.0.0/16") });
    world.tell().await;
    assert!(stays_out(&world, "a2", A4));
    assert_eq!(connect(world.ns("a1"), "10.0.1.15", 80).as_deref(), Some("10.0.1.11"));
    world.settled();
}
