mod acls;
mod flow_logs;
mod ipv6;
mod moves;
mod names;
mod peerings;
mod targets;
mod transit;

use super::{Model, Told};
use mallee_proto::v1::{
    DhcpOptions, GroupRule, InstanceIntent, InstanceSpec, Metadata, NatGateway, NodeView, ObjectKind, PeerInstance,
    PeerPort, Port, PortAddress, Route, RouteTable, RouteTarget, RunIntent, SecurityGroup, Subnet, Vpc,
    group_rule::Peer, route::Target,
};
use mallee_proto::view;
use proptest::prelude::*;

/// The view with lists in place of sections.
fn compile(model: &Model, node: &str) -> NodeView {
    view::listed(&super::compile(model, node)).into_owned()
}

fn vpc(n: u32, generation: u64) -> Vpc {
    Vpc {
        id: format!("vpc-{n}"),
        generation,
        account_id: "000000000001".into(),
        cidr: "10.0.0.0/16".into(),
        vni: 100 + n,
        dns_domain: "internal".into(),
        // It comes and goes.
        internet_gateway_id: if generation.is_multiple_of(2) { String::new() } else { format!("igw-{n}") },
        main_route_table_id: format!("rtb-{n}-1"),
        // One of three names its public addresses, one has no resolver.
        dns_off: generation.is_multiple_of(3),
        public_names_off: generation % 3 != 1,
        // Of two, one has a set of its own.
        dhcp_options: generation
            .is_multiple_of(2)
            .then(|| DhcpOptions { domain_name: format!("g{generation}.example"), ..DhcpOptions::default() }),
        // Its third has a further block.
        more_cidrs: if generation.is_multiple_of(3) { vec!["10.9.0.0/16".into()] } else { Vec::new() },
        // As some have of IPv6.
        ipv6_cidrs: if generation.is_multiple_of(4) { vec![format!("2001:db8:{n}::/56")] } else { Vec::new() },
        egress_only_gateway_id: if generation.is_multiple_of(2) { format!("eigw-{n}") } else { String::new() },
    }
}

/// With routes to this gateway, and to one that is gone.
fn route_table(vpc: u32, number: u32, generation: u64, gateway: u32) -> RouteTable {
    let route = |to: &str, gateway: u32| Route {
        destination: to.into(),
        target: Some(Target::InternetGatewayId(format!("igw-{gateway}"))),
    };
    let mut routes = vec![route("0.0.0.0/0", gateway), route("192.0.2.0/24", 77)];
    if generation.is_multiple_of(3) {
        // To an instance, too, which comes and goes.
        let target = Some(Target::NetworkInterfaceId(format!("eni-{gateway}")));
        routes.push(Route { destination: "198.51.100.0/24".into(), target });
    }
    RouteTable { id: format!("rtb-{vpc}-{number}"), generation, vpc_id: format!("vpc-{vpc}"), number, routes }
}

fn subnet(n: u32, generation: u64) -> Subnet {
    let (vpc_id, cidr) = (format!("vpc-{n}"), format!("10.0.{n}.0/24"));
    // It has its own table now and then.
    let route_table_id = if generation.is_multiple_of(2) { format!("rtb-{n}-2") } else { String::new() };
    // So it has an ACL.
    let network_acl_id = if generation > 2 { format!("acl-{n}-1") } else { String::new() };
    let (id, zone) = (format!("subnet-{n}"), "local-1a".into());
    let ipv6_cidr = if generation > 1 { format!("2001:db8:{n}:7::/64") } else { String::new() };
    Subnet { id, generation, vpc_id, cidr, zone, route_table_id, network_acl_id, ipv6_cidr }
}

fn group(vpc: u32, n: u32, generation: u64, peers: &[u32]) -> SecurityGroup {
    let rule = |peer: &u32| GroupRule {
        id: format!("sgr-{n}-{peer}"),
        protocol: 6,
        from_port: 22,
        to_port: 22,
        peer: Some(Peer::GroupId(format!("sg-{vpc}-{peer}"))),
        ..GroupRule::default()
    };
    let rules = peers.iter().map(rule).collect();
    SecurityGroup { id: format!("sg-{vpc}-{n}"), generation, vpc_id: format!("vpc-{vpc}"), name: "g".into(), rules }
}

fn instance(n: u32, node: &str, vpc: u32, groups: &[u32], incarnation: u64) -> InstanceIntent {
    let port = Port {
        interface_id: format!("eni-{n}"),
        mac: format!("02:00:00:00:00:{n:02x}"),
        private_ip: format!("10.0.{vpc}.{n}"),
        vpc_id: format!("vpc-{vpc}"),
        subnet_id: format!("subnet-{vpc}"),
        group_ids: groups.iter().map(|g| format!("sg-{vpc}-{g}")).collect(),
        source_dest_check: true,
        ipv6_addresses: if n == 6 { vec![format!("2001:db8:{vpc}:7::{n}")] } else { Vec::new() },
        ..Port::default()
    };
    let metadata = Metadata { hostname: format!("ip-{n}"), ..Metadata::default() };
    InstanceIntent {
        id: format!("i-{n}"),
        generation: 1,
        incarnation,
        node_id: node.into(),
        intent: RunIntent::Run.into(),
        spec: Some(InstanceSpec { ports: vec![port], metadata: Some(metadata), ..InstanceSpec::default() }),
        ..InstanceIntent::default()
    }
}

fn small() -> Model {
    let mut model = Model::default();
    model.set_vpc(vpc(1, 1));
    model.set_subnet(subnet(1, 1));
    model.set_route_table(route_table(1, 1, 1, 1));
    model.set_route_table(route_table(1, 2, 1, 2));
    model.set_group(group(1, 1, 1, &[1, 2, 9]));
    model.set_group(group(1, 2, 1, &[]));
    model.set_node("a", "192.0.2.1");
    model.set_node("b", "192.0.2.2");
    model.set_instance(&instance(1, "a", 1, &[1], 1), true);
    model.set_instance(&instance(2, "b", 1, &[1, 2], 1), true);
    model
}

#[test]
fn the_view_of_a_node() {
    insta::assert_debug_snapshot!(compile(&small(), "a"));
}

#[test]
fn further_blocks_are_told_and_a_vpc_without_them_is_as_it_was() {
    let mut model = small();
    let before = compile(&model, "a");
    drop(model.take_touched_nodes());
    let more = vec!["10.8.0.0/16".to_owned(), "100.64.0.0/24".to_owned()];
    model.set_vpc(Vpc { generation: 7, more_cidrs: more.clone(), ..vpc(1, 1) });
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
    let with = compile(&model, "a");
    assert_eq!(with.vpcs[0].more_cidrs, more, "in the order that the cloud tells");
    // What changes is told, and leads there; so does their end.
    for (old, new) in [(&before, &with), (&with, &before)] {
        let old = NodeView { generation: 1, ..old.clone() };
        let new = NodeView { generation: 2, ..new.clone() };
        assert_eq!(view::apply(&old, &view::diff(&old, &new)).unwrap(), new);
    }
    model.set_vpc(Vpc { generation: 8, ..vpc(1, 1) });
    assert_eq!(view::hash(&compile(&model, "a")), view::hash(&before));
}

#[test]
fn a_node_without_ports_knows_nothing() {
    let mut model = small();
    model.set_node("c", "192.0.2.3");
    assert_eq!(compile(&model, "c"), NodeView::default());
    model.set_instance(&instance(1, "a", 1, &[1], 1), false);
    assert_eq!(compile(&model, "a"), NodeView::default(), "a stopped instance has no live port");
    let b = compile(&model, "b");
    assert!(b.vpcs[0].remotes.is_empty());
    assert_eq!(b.vpcs[0].members[0].addresses, ["10.0.1.2"]);
}

#[test]
fn a_vpc_or_a_tunnel_address_that_is_not_known_yet_is_left_out_until_it_is() {
    let mut model = Model::default();
    model.set_instance(&instance(1, "a", 1, &[1], 1), true);
    model.set_instance(&instance(2, "b", 1, &[1], 1), true);
    assert!(compile(&model, "a").vpcs.is_empty());
    model.set_vpc(vpc(1, 1));
    let view = compile(&model, "a");
    assert_eq!(view.vpcs[0].ports.len(), 1);
    assert!(view.vpcs[0].remotes.is_empty() && view.vpcs[0].groups[0].rules.is_empty());
    drop(model.take_learning_nodes());
    model.set_node("b", "192.0.2.2");
    assert_eq!(model.take_learning_nodes(), ["a", "b"]);
    assert_eq!(compile(&model, "a").vpcs[0].remotes[0].vtep, "192.0.2.2");
}

#[test]
fn while_an_address_moves_its_newest_life_counts() {
    let mut model = small();
    let mut moved = instance(3, "c", 1, &[1], 2);
    moved.spec.as_mut().unwrap().ports[0].private_ip = "10.0.1.2".into();
    model.set_node("c", "192.0.2.3");
    model.set_instance(&moved, true);
    assert_eq!(compile(&model, "a").vpcs[0].remotes[0].vtep, "192.0.2.3");
    assert!(compile(&model, "c").vpcs[0].remotes.iter().all(|r| r.address != "10.0.1.2"));
    assert_eq!(compile(&model, "a").vpcs[0].members[0].addresses, ["10.0.1.1", "10.0.1.2"]);
}

#[test]
fn a_change_touches_the_nodes_it_concerns() {
    let mut model = small();
    model.set_vpc(vpc(2, 1));
    model.set_instance(&instance(7, "z", 2, &[1], 1), true);
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    model.set_instance(&instance(3, "a", 1, &[2], 1), true);
    assert_eq!(model.take_touched_nodes(), ["a"]);
    assert_eq!(model.take_learning_nodes(), ["a", "b"]);
    model.set_instance(&instance(3, "a", 1, &[2], 1), true);
    assert!(model.take_touched_nodes().is_empty() && !model.has_touched_vpcs(), "a repeat touches nothing");
    model.set_group(group(1, 2, 2, &[1]));
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
    model.set_group(group(1, 2, 1, &[]));
    assert!(model.take_touched_nodes().is_empty(), "an older generation changes nothing");
}

#[test]
fn an_instance_of_another_zone_is_reached_and_is_a_member_of_its_groups() {
    let mut here = small();
    let mut whole = small();
    here.set_node("z", "192.0.2.77");
    whole.set_node("z", "192.0.2.77");
    let intent = instance(40, "z", 1, &[1, 2], 3);
    whole.set_instance(&intent, true);
    let port = &intent.spec.as_ref().unwrap().ports[0];
    let port = PeerPort {
        public_ip: String::new(),
        interface_id: port.interface_id.clone(),
        vpc_id: port.vpc_id.clone(),
        private_ip: port.private_ip.clone(),
        group_ids: port.group_ids.clone(),
        ..PeerPort::default()
    };
    let peer = PeerInstance { id: intent.id.clone(), incarnation: 3, node_id: "z".into(), ports: vec![port] };
    here.take_learning_nodes();
    here.set_peer_instance(&peer);
    assert!(!here.take_learning_nodes().is_empty(), "nodes here are to hear of it");
    for node in ["a", "b", "c"] {
        assert_eq!(compile(&here, node), compile(&whole, node), "{node}");
    }
    assert_eq!(here.peer_instances(), [intent.id.as_str()]);
    here.set_peer_instance(&peer);
    assert!(here.take_learning_nodes().is_empty(), "nothing changed");
    here.set_peer_instance(&PeerInstance { ports: Vec::new(), ..peer });
    assert_eq!(compile(&here, "a"), compile(&small(), "a"));
    assert!(here.peer_instances().is_empty());
}

#[test]
fn a_subnet_has_its_own_table_or_the_main_one() {
    let mut model = small();
    let routes = |model: &Model| {
        let vpc = compile(model, "a").vpcs.remove(0);
        assert!(vpc.routed && vpc.subnets[0].route_table == vpc.route_tables.first().map_or(0, |table| table.number));
        let routes = vpc.route_tables.into_iter().flat_map(|table| table.routes);
        routes.map(|route| (route.destination.clone(), route.target())).collect::<Vec<_>>()
    };
    let gone = ("192.0.2.0/24".to_owned(), RouteTarget::Blackhole);
    let all = |target| ("0.0.0.0/0".to_owned(), target);
    assert_eq!(routes(&model), [all(RouteTarget::Internet), gone.clone()]);
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    model.set_subnet(subnet(1, 2));
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
    assert_eq!(routes(&model), [all(RouteTarget::Blackhole), gone.clone()], "to the gateway of another VPC");
    model.set_route_table(route_table(1, 2, 2, 1));
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
    assert_eq!(routes(&model), [all(RouteTarget::Internet), gone.clone()]);
    model.set_route_table(route_table(1, 2, 1, 2));
    assert!(model.take_touched_nodes().is_empty(), "an older generation changes nothing");
    model.set_vpc(vpc(1, 2));
    assert_eq!(routes(&model), [all(RouteTarget::Blackhole), gone], "the gateway is detached");
    assert!(!compile(&model, "a").vpcs[0].internet_gateway);
    model.remove_route_table("rtb-1-2");
    assert_eq!(routes(&model), [], "a table that is not known leads nowhere");
}

#[test]
fn everything_removed_leaves_nothing() {
    let mut model = small();
    model.remove_instance("i-1");
    model.remove_instance("i-2");
    model.remove_group("sg-1-1");
    model.remove_group("sg-1-2");
    model.remove_subnet("subnet-1");
    model.remove_route_table("rtb-1-1");
    model.remove_route_table("rtb-1-2");
    model.set_network_acl(acls::acl(1, 1, 1, vec![]));
    model.remove_network_acl("acl-1-1");
    model.remove_vpc("vpc-1");
    assert!(model.vpcs.is_empty() && model.groups.is_empty() && model.sections.is_empty());
    assert_eq!(compile(&model, "a"), NodeView::default());
}

#[test]
fn a_node_that_returns_with_the_right_view_is_told_nothing() {
    let model = small();
    let mut told = Told::default();
    told.node_holds(&model, "a", 0, 0, &[]);
    let update = told.learn_all(&model, "a", 3).unwrap();
    let held = view::apply(&NodeView::default(), &update).unwrap();
    assert_eq!((held.epoch, held.generation), (3, 1));
    // A restarted cluster controller hears from the node what it holds.
    let mut restarted = Told::default();
    restarted.node_holds(&model, "a", 3, 1, &update.hash);
    assert_eq!(restarted.learn_all(&model, "a", 4), None);
    // With another view it is told whole, in a later generation.
    let mut other = Told::default();
    other.node_holds(&model, "a", 3, 9, b"else");
    let update = other.learn_local(&model, "a", 4).unwrap();
    assert_eq!((update.base_generation, update.generation), (0, 10));
    // A node that lost its disk never sees a generation twice.
    told.node_holds(&model, "a", 0, 0, &[]);
    let again = told.learn_all(&model, "a", 4).unwrap();
    assert_eq!((again.base_generation, again.generation), (0, 2));
}

#[derive(Debug, Clone)]
enum Change {
    Instance { n: u32, node: u8, vpc: u32, groups: Vec<u32>, incarnation: u64, live: bool },
    RemoveInstance(u32),
    Vpc(u32, u64),
    RemoveVpc(u32),
    Subnet(u32, u64),
    Table { vpc: u32, number: u32, generation: u64, gateway: u32 },
    RemoveTable(u32, u32),
    Acl { vpc: u32, generation: u64 },
    RemoveAcl(u32),
    Group { vpc: u32, n: u32, generation: u64, peers: Vec<u32> },
    RemoveGroup(u32, u32),
    Tell { node: u8, all: bool },
    Lost(u8),
}

fn any_change() -> impl Strategy<Value = Change> {
    let few = || proptest::collection::btree_set(0u32..3, 0..3).prop_map(|s| s.into_iter().collect::<Vec<_>>());
    prop_oneof![
        6 => (0u32..8, 0u8..3, 0u32..2, few(), 0u64..3, any::<bool>()).prop_map(
            |(n, node, vpc, groups, incarnation, live)| Change::Instance { n, node, vpc, groups, incarnation, live }),
        2 => (0u32..8).prop_map(Change::RemoveInstance),
        2 => (0u32..2, 0u64..5).prop_map(|(n, g)| Change::Vpc(n, g)),
        1 => (0u32..2).prop_map(Change::RemoveVpc),
        1 => (0u32..2, 0u64..5).prop_map(|(n, g)| Change::Subnet(n, g)),
        2 => (0u32..2, 1u32..3, 0u64..5, 0u32..2).prop_map(
            |(vpc, number, generation, gateway)| Change::Table { vpc, number, generation, gateway }),
        1 => (0u32..2, 1u32..3).prop_map(|(vpc, number)| Change::RemoveTable(vpc, number)),
        2 => (0u32..2, 0u64..5).prop_map(|(vpc, generation)| Change::Acl { vpc, generation }),
        1 => (0u32..2).prop_map(Change::RemoveAcl),
        3 => (0u32..2, 0u32..3, 0u64..9, few()).prop_map(|(vpc, n, generation, peers)| Change::Group { vpc, n, generation, peers }),
        1 => (0u32..2, 0u32..3).prop_map(|(vpc, n)| Change::RemoveGroup(vpc, n)),
        5 => (0u8..3, any::<bool>()).prop_map(|(node, all)| Change::Tell { node, all }),
        1 => (0u8..3).prop_map(Change::Lost),
    ]
}

fn name(node: u8) -> String {
    format!("n{node}")
}

proptest! {
    /// Whatever happens, each update leads the node to what the cluster thinks it holds; the node's own part is then
    /// right at once, and everything after a full round.
    #[test]
    fn nodes_follow_the_model(changes in proptest::collection::vec(any_change(), 1..60)) {
        let mut model = Model::default();
        let mut told: Vec<Told> = vec![Told::default(); 3];
        let mut held: Vec<NodeView> = vec![NodeView::default(); 3];
        for node in 0..3 { model.set_node(&name(node), &format!("192.0.2.{node}")); }
        let mut touched = std::collections::BTreeSet::new();
        let mut learning = std::collections::BTreeSet::new();
        let mut steps: Vec<Change> = changes;
        steps.extend((0..3).map(|node| Change::Tell { node, all: true }));
        for change in steps {
            match change {
                Change::Instance { n, node, vpc, groups, incarnation, live } =>
                    model.set_instance(&instance(n, &name(node), vpc, &groups, incarnation), live),
                Change::RemoveInstance(n) => model.remove_instance(&format!("i-{n}")),
                Change::Vpc(n, generation) => model.set_vpc(vpc(n, generation)),
                Change::RemoveVpc(n) => model.remove_vpc(&format!("vpc-{n}")),
                Change::Subnet(n, generation) => model.set_subnet(subnet(n, generation)),
                Change::Table { vpc, number, generation, gateway } =>
                    model.set_route_table(route_table(vpc, number, generation, gateway)),
                Change::RemoveTable(vpc, number) => model.remove_route_table(&format!("rtb-{vpc}-{number}")),
                Change::Acl { vpc, generation } => {
                    // Every other generation lets everything through.
                    let sides = [false, true].map(|egress| acls::entry(egress, 1, generation % 2 == 0, -1, "0.0.0.0/0"));
                    model.set_network_acl(acls::acl(vpc, 1, generation, sides.to_vec()));
                }
                Change::RemoveAcl(vpc) => model.remove_network_acl(&format!("acl-{vpc}-1")),
                Change::Group { vpc, n, generation, peers } => model.set_group(group(vpc, n, generation, &peers)),
                Change::RemoveGroup(vpc, n) => model.remove_group(&format!("sg-{vpc}-{n}")),
                Change::Lost(node) => {
                    let n = usize::from(node);
                    held[n] = NodeView::default();
                    told[n].node_holds(&model, &name(node), 0, 0, &[]);
                }
                Change::Tell { node, all } => {
                    let n = usize::from(node);
                    let before = held[n].generation;
                    let update = if all { told[n].learn_all(&model, &name(node), 1) } else { told[n].learn_local(&model, &name(node), 1) };
                    if let Some(update) = update {
                        prop_assert!(update.generation > before);
                        held[n] = view::apply(&held[n], &update).unwrap();
                    } else {
                        // Who has nothing new to hear was touched by nothing that mattered.
                        if all { learning.remove(&name(node)); }
                    }
                    prop_assert_eq!(&view::bare(&held[n]), told[n].view());
                    let want = super::compile(&model, &name(node));
                    prop_assert_eq!(view::hash(&want), view::hash(&super::bare(&model, &name(node))));
                    if all {
                        prop_assert_eq!(&held[n].vpcs, &want.vpcs);
                        prop_assert_eq!(&held[n].sections, &want.sections);
                        learning.remove(&name(node));
                    } else {
                        prop_assert_eq!(held[n].vpcs.len(), want.vpcs.len());
                        for (have, want) in held[n].vpcs.iter().zip(&want.vpcs) {
                            prop_assert_eq!(&have.ports, &want.ports);
                            prop_assert_eq!(&have.groups, &want.groups);
                            prop_assert_eq!(&have.subnets, &want.subnets);
                            prop_assert_eq!(&have.route_tables, &want.route_tables);
                            prop_assert_eq!(&have.network_acls, &want.network_acls);
                            prop_assert_eq!(&have.sections, &want.sections);
                        }
                    }
                    touched.remove(&name(node));
                }
            }
            touched.extend(model.take_touched_nodes());
            learning.extend(model.take_learning_nodes());
            // Nobody who is out of date goes unnoticed.
            for node in 0..3u8 {
                let n = usize::from(node);
                if !touched.contains(&name(node)) && !learning.contains(&name(node)) && held[n].generation > 0 {
                    let now = NodeView { epoch: 0, generation: 0, ..held[n].clone() };
                    prop_assert_eq!(now, super::compile(&model, &name(node)), "node {}", node);
                }
            }
        }
    }

    #[test]
    fn compiling_is_deterministic_and_canonical(changes in proptest::collection::vec(any_change(), 1..40)) {
        let mut models = [Model::default(), Model::default()];
        for change in &changes {
            if let Change::Instance { n, node, vpc: v, groups, incarnation, live } = change {
                for model in &mut models {
                    model.set_vpc(vpc(*v, 1));
                    model.set_node(&name(*node), &format!("192.0.2.{node}"));
                    model.set_instance(&instance(*n, &name(*node), *v, groups, *incarnation), *live);
                }
            }
        }
        for node in 0..3 {
            let compiled = super::compile(&models[0], &name(node));
            prop_assert_eq!(&compiled, &super::compile(&models[1], &name(node)));
            let mut canonical = compiled.clone();
            view::canonicalise(&mut canonical);
            prop_assert_eq!(compiled, canonical);
        }
    }
}

#[test]
fn every_address_of_an_interface_is_where_it_is_and_in_its_groups() {
    let secondary = |ip: &str| PortAddress { private_ip: ip.into(), ..PortAddress::default() };
    let with = |n: u32, node: &str, more: &[&str]| {
        let mut intent = instance(n, node, 1, &[1], 1);
        let port = &mut intent.spec.as_mut().unwrap().ports[0];
        port.secondary = more.iter().map(|ip| secondary(ip)).collect();
        intent
    };
    let mut model = small();
    let bare = compile(&model, "a");
    model.set_instance(&with(2, "b", &["10.0.1.22", "10.0.1.21"]), true);
    let view = &compile(&model, "a").vpcs[0];
    let at: Vec<&str> = view.remotes.iter().map(|remote| remote.address.as_str()).collect();
    assert_eq!(at, ["10.0.1.2", "10.0.1.21", "10.0.1.22"]);
    let members = view.members.iter().find(|members| members.group_id == "sg-1-1").unwrap();
    assert_eq!(members.addresses, ["10.0.1.1", "10.0.1.2", "10.0.1.21", "10.0.1.22"]);
    let own = &compile(&model, "b").vpcs[0].ports;
    assert_eq!(own.len(), 1, "one port, whatever addresses it has");
    let seconds: Vec<&str> = own[0].secondary.iter().map(|address| address.private_ip.as_str()).collect();
    assert_eq!(seconds, ["10.0.1.21", "10.0.1.22"]);
    // Of another zone it is the same.
    let peer = PeerPort {
        interface_id: "eni-9".into(),
        vpc_id: "vpc-1".into(),
        private_ip: "10.0.1.9".into(),
        group_ids: vec!["sg-1-1".into()],
        secondary: vec![PortAddress { private_ip: "10.0.1.99".into(), ..PortAddress::default() }],
        ..PeerPort::default()
    };
    let peer = PeerInstance { id: "i-9".into(), incarnation: 1, node_id: "b".into(), ports: vec![peer] };
    model.set_peer_instance(&peer);
    assert!(compile(&model, "a").vpcs[0].remotes.iter().any(|remote| remote.address == "10.0.1.99"));
    model.remove_instance("i-9");
    // An address that is given back is nowhere, and the next update says so.
    let mut told = Told::default();
    let held = view::apply(&NodeView::default(), &told.learn_all(&model, "a", 1).unwrap()).unwrap();
    model.set_instance(&instance(2, "b", 1, &[1, 2], 1), true);
    let update = told.learn_all(&model, "a", 1).unwrap();
    assert!(update.vpcs.is_empty(), "what nodes have alike changed only");
    let held = view::apply(&held, &update).unwrap();
    assert_eq!(NodeView { epoch: 0, generation: 0, ..view::listed(&held).into_owned() }, bare);
}
