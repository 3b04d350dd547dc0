//! The scene of the checks: VPCs A and B with the same addresses, and C.
//!
//! | instance | node | address | group | public |
//! |---|---|---|---|---|
//! | a1, a2 | 0, 1 | 10.0.1.11, 10.0.1.12 | web | a1: .151 |
//! | a3, a4 | 1, 2 | 10.0.2.13, 10.0.2.14: a subnet without a way out | db | |
//! | a5 | 0 | 10.0.1.15 | plain | .155 |
//! | b1, b2 | 0, 2 | 10.0.1.11, 10.0.1.12 | open | b1: .161 |
//! | c1, c2 | 2, 0 | 10.2.1.11, 10.2.1.12 | web | |

use crate::lab::{all_out, cidr, rule};
use crate::world::World;
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::route::Target;
use mallee_proto::v1::{
    GroupRule, InstanceSpec, NetworkAcl, NetworkAclEntry, Port, Route, RouteTable, SecurityGroup, Subnet, Vpc,
};

/// Everything of the scene with its guests, each with a server at port 80 (a3, a4: 22, 5432, 9999).
pub async fn scene() -> World {
    let mut world = World::new();
    for (vpc, vni, block) in [("a", 5001, "10.0.0.0/16"), ("b", 5002, "10.0.0.0/16"), ("c", 5003, "10.2.0.0/16")] {
        network(&mut world, vpc, vni, block);
    }
    place(&mut world, "a1", 0, "10.0.1.11", "web", "203.0.113.151");
    place(&mut world, "a2", 1, "10.0.1.12", "web", "");
    place(&mut world, "a3", 1, "10.0.2.13", "db", "");
    place(&mut world, "a4", 2, "10.0.2.14", "db", "");
    place(&mut world, "a5", 0, "10.0.1.15", "plain", "203.0.113.155");
    place(&mut world, "b1", 0, "10.0.1.11", "open", "203.0.113.161");
    place(&mut world, "b2", 2, "10.0.1.12", "open", "");
    place(&mut world, "c1", 2, "10.2.1.11", "web", "");
    place(&mut world, "c2", 0, "10.2.1.12", "web", "");
    world.tell().await;
    for id in ["a1", "a2", "a3", "a4", "a5", "b1", "b2", "c1", "c2"] {
        world.boot(id).await;
    }
    for id in ["a1", "a2", "a5", "b1", "b2", "c1", "c2", "world"] {
        world.serve(id, 80);
    }
    for id in ["a3", "a4"] {
        [22, 5432, 9999].into_iter().for_each(|port| world.serve(id, port));
    }
    world
}

/// A VPC by its letter, with an internet gateway.
pub fn vpc(letter: &str, vni: u32, block: &str) -> Vpc {
    Vpc {
        id: format!("vpc-{letter}"),
        generation: 1,
        account_id: "000000000001".to_owned(),
        cidr: block.to_owned(),
        vni,
        dns_domain: "zone1.internal".to_owned(),
        internet_gateway_id: format!("igw-{letter}"),
        main_route_table_id: format!("rtb-{letter}-1"),
        ..Vpc::default()
    }
}

/// A VPC with a subnet that leads to the world and one that does not, and the groups.
pub fn network(world: &mut World, vpc: &str, vni: u32, block: &str) {
    let model = &mut world.model;
    let vpc_id = format!("vpc-{vpc}");
    model.set_vpc(self::vpc(vpc, vni, block));
    let out =
        Route { destination: "0.0.0.0/0".to_owned(), target: Some(Target::InternetGatewayId(format!("igw-{vpc}"))) };
    for (number, routes) in [(1, vec![out]), (2, vec![])] {
        let id = format!("rtb-{vpc}-{number}");
        model.set_route_table(RouteTable { id, generation: 1, vpc_id: vpc_id.clone(), number, routes });
        model.set_subnet(Subnet {
            id: format!("subnet-{vpc}-{number}"),
            generation: 1,
            vpc_id: vpc_id.clone(),
            cidr: block.replace("0.0/16", &format!("{number}.0/24")),
            zone: "zone1".to_owned(),
            route_table_id: if number == 1 { String::new() } else { format!("rtb-{vpc}-{number}") },
            network_acl_id: if number == 1 { String::new() } else { format!("acl-{vpc}") },
            ..Subnet::default()
        });
    }
    let entry = |egress, number, allow, protocol, ports: (i32, i32)| NetworkAclEntry {
        number,
        egress,
        allow,
        protocol,
        cidr: "0.0.0.0/0".to_owned(),
        from_port: ports.0,
        to_port: ports.1,
    };
    let all = (-1, -1);
    model.set_network_acl(NetworkAcl {
        id: format!("acl-{vpc}"),
        generation: 1,
        vpc_id: vpc_id.clone(),
        entries: vec![
            entry(false, 50, false, 6, (9999, 9999)),
            entry(false, 100, true, -1, all),
            entry(true, 100, true, -1, all),
        ],
    });
    let ping = || rule(false, 1, -1, -1, cidr("0.0.0.0/0"));
    let tcp = |port, peer| rule(false, 6, port, port, peer);
    let anybody = || cidr("0.0.0.0/0");
    let web = Peer::GroupId(format!("sg-{vpc}-web"));
    group(world, vpc, "web", vec![ping(), tcp(80, anybody())]);
    group(world, vpc, "db", vec![ping(), tcp(5432, web), tcp(9999, anybody())]);
    group(world, vpc, "plain", vec![tcp(80, anybody())]);
    group(world, vpc, "open", vec![rule(false, -1, -1, -1, anybody())]);
}

fn group(world: &mut World, vpc: &str, name: &str, mut rules: Vec<GroupRule>) {
    rules.push(all_out());
    for (n, rule) in rules.iter_mut().enumerate() {
        rule.id = format!("sgr-{vpc}-{name}-{n}");
    }
    let (id, vpc_id) = (format!("sg-{vpc}-{name}"), format!("vpc-{vpc}"));
    world.model.set_group(SecurityGroup { id, generation: 1, vpc_id, name: name.to_owned(), rules });
}

/// An instance of one interface; its VPC is the first letter of its name.
pub fn place(world: &mut World, id: &str, node: usize, address: &str, group: &str, public: &str) {
    let vpc = &id[..1];
    let octets: Vec<u8> = address.split('.').map(|octet| octet.parse().unwrap()).collect();
    let port = Port {
        interface_id: format!("eni-{id}"),
        mac: format!("02:aa:{:02x}:{:02x}:{:02x}:{:02x}", vpc.as_bytes()[0], octets[1], octets[2], octets[3]),
        private_ip: address.to_owned(),
        vpc_id: format!("vpc-{vpc}"),
        subnet_id: format!("subnet-{vpc}-{}", octets[2]),
        group_ids: vec![format!("sg-{vpc}-{group}")],
        public_ip: public.to_owned(),
        source_dest_check: true,
        ..Port::default()
    };
    world.set(id, |intent| {
        intent.node_id = format!("node{node}");
        intent.spec = Some(InstanceSpec { ports: vec![port], ..InstanceSpec::default() });
    });
}
