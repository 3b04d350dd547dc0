//! IPv6 inside a VPC: who is told what of it, and when.

use super::acls::{acl, entry};
use super::{compile, instance, small, subnet, vpc};
use crate::{Model, Told};
use mallee_proto::v1::{InstanceIntent, NodeView, PeerInstance, PeerPort, Subnet, Vpc};
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
