//! IPv6 inside a VPC: who is told what of it, and when.

use super::acls::{acl, entry};
use super::{compile, instance, route_table, small, subnet, vpc};
use crate::{Model, Told};
use mallee_proto::v1::{
    InstanceIntent, NodeView, PeerInstance, PeerPort, Route, RouteTarget, Subnet, TransitAttachment, TransitGateway,
    Vpc, VpcPeering, route::Target,
};
use mallee_proto::view;

const BLOCK: &str = "2001:db8:1::/56";
const OWN: &str = "2001:db8:1:7::/64";

/// With these IPv6 addresses.
fn with(n: u32, node: &str, groups: &[u32], addresses: &[&str]) -> InstanceIntent {
    let mut intent = instance(n, node, 1, groups, 1);
    let port = &mut intent.spec.as_mut().unwrap().ports[0];
    port.ipv6_addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    intent
}

fn six(generation: u64, blocks: &[&str]) -> Vpc {
    let ipv6_cidrs = blocks.iter().map(|block| (*block).to_owned()).collect();
    Vpc { generation, ipv6_cidrs, ..vpc(1, 1) }
}

fn subnet_with(generation: u64, block: &str) -> Subnet {
    Subnet { generation, ipv6_cidr: block.into(), ..subnet(1, 1) }
}

/// Two instances on two nodes, with an IPv6 address each.
fn dual() -> Model {
    let mut model = small();
    model.set_vpc(six(2, &[BLOCK]));
    model.set_subnet(subnet_with(2, OWN));
    model.set_instance(&with(1, "a", &[1], &["2001:db8:1:7::11"]), true);
    model.set_instance(&with(2, "b", &[1, 2], &["2001:db8:1:7::22", "2001:db8:1:7::21"]), true);
    model
}

#[test]
fn the_view_of_a_node_of_both_families() {
    insta::assert_debug_snapshot!(compile(&dual(), "a"));
}

#[test]
fn a_view_of_ipv6_is_of_a_format_that_knows_it() {
    assert!(view::format_of(&super::super::compile(&small(), "a")) < 4);
    assert_eq!(view::format_of(&super::super::compile(&dual(), "a")), 4);
}

/// Where these addresses are, as a node is told, and those that are in its first peer group.
fn places(model: &Model, node: &str) -> Vec<String> {
    let view = compile(model, node).vpcs.remove(0);
    view.remotes.into_iter().map(|remote| remote.address).filter(|address| address.contains(':')).collect()
}

#[test]
fn what_is_of_another_zone_is_reached_and_is_a_member_by_its_ipv6_addresses() {
    let mut model = dual();
    let port = PeerPort {
        interface_id: "eni-9".into(),
        vpc_id: "vpc-1".into(),
        private_ip: "10.0.1.9".into(),
        group_ids: vec!["sg-1-1".into()],
        ipv6_addresses: vec!["2001:db8:1:7::99".into()],
        ..PeerPort::default()
    };
    let before = compile(&model, "a");
    let peer = PeerInstance { id: "i-9".into(), incarnation: 1, node_id: "b".into(), ports: vec![port] };
    model.set_peer_instance(&peer);
    assert_eq!(places(&model, "a"), ["2001:db8:1:7::21", "2001:db8:1:7::22", "2001:db8:1:7::99"]);
    let view = &compile(&model, "a").vpcs[0];
    let members = view.members.iter().find(|members| members.group_id == "sg-1-1").unwrap();
    assert!(members.addresses.contains(&"2001:db8:1:7::99".to_owned()), "{members:?}");
    model.remove_instance("i-9");
    assert_eq!(compile(&model, "a"), before);
}

/// The VPC, its subnet and its instances are told in any order, and one may be told long before another.
#[test]
fn a_port_has_an_address_once_its_block_is_known() {
    let own = |model: &Model| compile(model, "a").vpcs[0].ports[0].ipv6_addresses.clone();
    let cidr = |model: &Model| compile(model, "a").vpcs[0].subnets[0].ipv6_cidr.clone();
    let address = "2001:db8:1:7::11";
    let mut model = small();
    model.set_instance(&with(1, "a", &[1], &[address]), true);
    assert_eq!((own(&model), cidr(&model)), (vec![], String::new()));
    model.set_subnet(subnet_with(2, OWN));
    assert_eq!((own(&model), cidr(&model)), (vec![], String::new()), "a block that its VPC does not have");
    drop(model.take_touched_nodes());
    model.set_vpc(six(2, &[BLOCK]));
    assert_eq!((own(&model), cidr(&model)), (vec![address.to_owned()], OWN.to_owned()));
    assert_eq!(model.take_touched_nodes(), ["a", "b"], "all of its nodes are told at once");
    // Another block takes the place of the first: the address is none of it.
    model.set_vpc(six(3, &["2001:db8:2::/56"]));
    model.set_subnet(subnet_with(3, "2001:db8:2:1::/64"));
    assert_eq!((own(&model), cidr(&model)), (vec![], "2001:db8:2:1::/64".to_owned()));
}

#[test]
fn a_vpc_without_blocks_is_as_it_was_whatever_else_is_said() {
    let without = small();
    let mut model = dual();
    model.set_vpc(six(3, &[]));
    for node in ["a", "b"] {
        let (view, was) = (super::super::compile(&model, node), super::super::compile(&without, node));
        assert_eq!(view.vpcs, was.vpcs, "{node}");
        assert_eq!(view::format_of(&view), view::format_of(&was));
    }
    model.set_instance(&instance(1, "a", 1, &[1], 1), true);
    model.set_instance(&instance(2, "b", 1, &[1, 2], 1), true);
    assert_eq!(view::hash(&compile(&model, "a")), view::hash(&compile(&without, "a")));
}

#[test]
fn addresses_that_come_and_go_are_told_by_themselves() {
    let mut model = dual();
    let mut told = Told::default();
    let held = view::apply(&NodeView::default(), &told.learn_all(&model, "a", 1).unwrap()).unwrap();
    model.set_instance(&with(2, "b", &[1, 2], &["2001:db8:1:7::22", "2001:db8:1:7::33"]), true);
    let update = told.learn_all(&model, "a", 1).unwrap();
    assert!(update.vpcs.is_empty(), "what nodes have alike changed only");
    let held = view::apply(&held, &update).unwrap();
    let now = NodeView { epoch: 0, generation: 0, ..view::listed(&held).into_owned() };
    assert_eq!(now, compile(&model, "a"));
    assert_eq!(places(&model, "a"), ["2001:db8:1:7::22", "2001:db8:1:7::33"]);
}

#[test]
fn an_acl_passes_everything_if_it_does_of_each_family_that_there_is() {
    let four = [entry(false, 100, true, -1, "0.0.0.0/0"), entry(true, 100, true, -1, "0.0.0.0/0")];
    let both = [&four[..], &[entry(false, 101, true, -1, "::/0"), entry(true, 101, true, -1, "::/0")]].concat();
    let denies_six = [&[entry(false, 7, false, -1, "::/0")][..], &both].concat();
    let denies_four = [&[entry(true, 7, false, 6, "10.0.0.0/8")][..], &both].concat();
    let told = |blocks: &[&str], entries: &[_]| {
        let mut model = small();
        model.set_vpc(six(2, blocks));
        model.set_network_acl(acl(1, 1, 1, entries.to_vec()));
        model.set_subnet(Subnet { network_acl_id: "acl-1-1".into(), ..subnet_with(3, OWN) });
        !compile(&model, "a").vpcs[0].network_acls.is_empty()
    };
    let cases = [&four[..], &both, &denies_six, &denies_four];
    assert_eq!(cases.map(|entries| told(&[BLOCK], entries)), [true, false, true, true]);
    assert_eq!(cases.map(|entries| told(&[], entries)), [false, false, false, true]);
}

/// Routes of the main table, and where a node is told that they lead.
fn led(model: &mut Model, generation: u64, routes: &[(&str, Target)]) -> Vec<(String, RouteTarget)> {
    let mut table = route_table(1, 1, generation, 1);
    let route = |(to, target): &(&str, Target)| Route { destination: (*to).into(), target: Some(target.clone()) };
    table.routes = routes.iter().map(route).collect();
    model.set_route_table(table);
    let view = compile(model, "a").vpcs.remove(0);
    let told = view.route_tables.into_iter().find(|table| table.number == 1).unwrap().ipv6_routes;
    told.into_iter().map(|route| (route.destination.clone(), route.target())).collect()
}

#[test]
fn routes_lead_ipv6_to_the_gateways_that_the_vpc_has() {
    let mut model = dual();
    let (open, one_way) = (Target::InternetGatewayId("igw-1".into()), Target::EgressOnlyGatewayId("eigw-1".into()));
    let routes = [("2001:db8:f::/48", one_way.clone()), ("::/0", open.clone()), ("0.0.0.0/0", open.clone())];
    let targets = |led: Vec<(String, RouteTarget)>| led.into_iter().map(|(_, target)| target).collect::<Vec<_>>();
    model.set_vpc(Vpc { internet_gateway_id: String::new(), ..six(3, &[BLOCK]) });
    let nowhere = led(&mut model, 8, &routes);
    assert_eq!(nowhere.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(), ["2001:db8:f::/48", "::/0"]);
    assert_eq!(targets(nowhere), [RouteTarget::Blackhole; 2], "neither is there");
    model.set_vpc(six(4, &[BLOCK]));
    assert_eq!(targets(led(&mut model, 9, &routes)), [RouteTarget::Blackhole, RouteTarget::Internet]);
    model.set_vpc(Vpc { egress_only_gateway_id: "eigw-1".into(), ..six(5, &[BLOCK]) });
    assert_eq!(targets(led(&mut model, 10, &routes))[0], RouteTarget::EgressOnly);
    // What takes IPv4 only takes none of it.
    let others = [
        ("2001:db8:1::/64", Target::NatGatewayId("nat-1".into())),
        ("2001:db8:2::/64", Target::NetworkInterfaceId("eni-2".into())),
        ("2001:db8:3::/64", Target::TransitGatewayId("tgw-1".into())),
        ("2001:db8:4::/64", Target::EgressOnlyGatewayId("eigw-9".into())),
    ];
    let attachment =
        TransitAttachment { id: "tgw-attach-1".into(), vpc_id: "vpc-1".into(), ..TransitAttachment::default() };
    model.set_transit_gateway(TransitGateway {
        id: "tgw-1".into(),
        generation: 1,
        attachments: vec![attachment],
        ..TransitGateway::default()
    });
    assert_eq!(targets(led(&mut model, 11, &others)), [RouteTarget::Blackhole; 4]);
    // And one to all of IPv4 by the one-way gateway leads nowhere.
    led(&mut model, 12, &[("0.0.0.0/0", one_way)]);
    assert_eq!(compile(&model, "a").vpcs[0].route_tables[0].routes[0].target(), RouteTarget::Blackhole);
    model.set_vpc(six(6, &[]));
    assert!(led(&mut model, 13, &routes).is_empty(), "where there is no IPv6, nothing is said of it");
}

#[test]
fn peers_that_both_have_ipv6_are_led_to_each_other_and_passed_through() {
    let mut model = dual();
    let second = |generation: u64, blocks: &[&str]| Vpc {
        id: "vpc-2".into(),
        cidr: "10.2.0.0/16".into(),
        vni: 102,
        main_route_table_id: "rtb-2-1".into(),
        ..six(generation, blocks)
    };
    model.set_vpc(second(1, &[]));
    model.set_subnet(Subnet { ipv6_cidr: "2001:db8:2:5::/64".into(), ..subnet(2, 1) });
    let mut far = instance(5, "b", 2, &[], 1);
    far.spec.as_mut().unwrap().ports[0].ipv6_addresses = vec!["2001:db8:2:5::5".into()];
    model.set_instance(&far, true);
    model.set_peering(VpcPeering {
        id: "pcx-1".into(),
        generation: 1,
        requester_vpc_id: "vpc-1".into(),
        accepter_vpc_id: "vpc-2".into(),
        ..VpcPeering::default()
    });
    let routes = [("2001:db8:2::/56", Target::VpcPeeringId("pcx-1".into()))];
    let to = |target| [("2001:db8:2::/56".to_owned(), target)];
    assert_eq!(led(&mut model, 8, &routes), to(RouteTarget::Blackhole), "the peer has none");
    let passed = |model: &Model| {
        let view = compile(model, "a");
        let peer = view.vpcs.iter().find(|vpc| vpc.vpc_id == "vpc-2").unwrap();
        (peer.ipv6_cidrs.clone(), peer.peerings[0].peer_ipv6_cidrs.clone(), view.vpcs[0].peerings[0].clone())
    };
    let (blocks, of_peer, own) = passed(&model);
    assert!(blocks.is_empty() && of_peer.is_empty() && own.peer_ipv6_cidrs.is_empty());
    model.set_vpc(second(2, &["2001:db8:2::/56"]));
    assert_eq!(led(&mut model, 9, &routes), to(RouteTarget::Peering));
    let (blocks, of_peer, own) = passed(&model);
    assert_eq!((blocks, of_peer), (vec!["2001:db8:2::/56".to_owned()], vec![BLOCK.to_owned()]));
    assert_eq!(own.peer_ipv6_cidrs, ["2001:db8:2::/56"]);
    // The first has none any more: it is as if the second had none either.
    model.set_vpc(six(6, &[]));
    let (blocks, of_peer, own) = passed(&model);
    assert!(blocks.is_empty() && of_peer.is_empty() && own.peer_ipv6_cidrs.is_empty());
}
