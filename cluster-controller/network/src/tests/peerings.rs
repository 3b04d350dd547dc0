//! Peering connections in views: who hears of which VPC, and of what in it.

use super::{compile, instance, route_table, subnet, vpc};
use crate::{Model, Told};
use mallee_proto::v1::{
    GroupRule, NodeView, Route, RouteTarget, SecurityGroup, VpcPeering, VpcView, group_rule::Peer, route::Target,
};
use mallee_proto::view;

fn peering(generation: u64, requester_dns: bool) -> VpcPeering {
    VpcPeering {
        id: "pcx-1".into(),
        generation,
        requester_vpc_id: "vpc-1".into(),
        accepter_vpc_id: "vpc-2".into(),
        requester_dns,
        accepter_dns: false,
        transit: false,
    }
}

/// Instance 1 of VPC 1 on node a; instances 2 and 3 of VPC 2 on node b.
fn model() -> Model {
    let mut model = Model::default();
    for n in [1, 2] {
        model.set_vpc(mallee_proto::v1::Vpc { cidr: format!("10.{n}.0.0/16"), ..vpc(n, 1) });
        model.set_subnet(subnet(n, 1));
        let mut table = route_table(n, 1, 1, n);
        let over = Some(Target::VpcPeeringId("pcx-1".into()));
        table.routes.push(Route { destination: format!("10.{}.0.0/16", 3 - n), target: over });
        model.set_route_table(table);
    }
    let rule = GroupRule {
        id: "sgr-1".into(),
        protocol: -1,
        from_port: -1,
        to_port: -1,
        peer: Some(Peer::GroupId("sg-2-1".into())),
        ..GroupRule::default()
    };
    let of = |vpc: u32, rules: Vec<GroupRule>| SecurityGroup {
        id: format!("sg-{vpc}-1"),
        generation: 1,
        vpc_id: format!("vpc-{vpc}"),
        name: "g".into(),
        rules,
    };
    model.set_group(of(1, vec![rule]));
    model.set_group(of(2, vec![]));
    model.set_node("a", "192.0.2.1");
    model.set_node("b", "192.0.2.2");
    model.set_instance(&instance(1, "a", 1, &[1], 1), true);
    model.set_instance(&instance(2, "b", 2, &[1], 1), true);
    model
}

fn of<'a>(view: &'a NodeView, vpc: &str) -> Option<&'a VpcView> {
    view.vpcs.iter().find(|view| view.vpc_id == vpc)
}

fn target(view: &NodeView) -> RouteTarget {
    of(view, "vpc-1").unwrap().route_tables[0].routes.iter().find(|r| r.destination == "10.2.0.0/16").unwrap().target()
}

#[test]
fn a_node_with_ports_of_one_vpc_knows_the_way_through_the_other() {
    let mut model = model();
    let before = compile(&model, "a");
    assert!(of(&before, "vpc-2").is_none());
    assert_eq!(target(&before), RouteTarget::Blackhole);
    assert!(of(&before, "vpc-1").unwrap().members.is_empty(), "no peer, no members");
    model.set_peering(peering(1, false));
    let view = compile(&model, "a");
    assert_eq!(target(&view), RouteTarget::Peering);
    let (own, transit) = (of(&view, "vpc-1").unwrap(), of(&view, "vpc-2").unwrap());
    assert_eq!(own.peerings[0].peer_cidrs, ["10.2.0.0/16"]);
    assert_eq!(own.members[0].addresses, ["10.0.2.2"], "of the peer's group");
    assert_eq!((transit.remotes[0].address.as_str(), transit.remotes[0].vtep.as_str()), ("10.0.2.2", "192.0.2.2"));
    assert_eq!(transit.peerings[0].peer_cidrs, ["10.1.0.0/16"]);
    assert!(transit.ports.is_empty() && transit.subnets.is_empty() && transit.groups.is_empty());
    assert!(own.public_names.is_empty());
    model.remove_peering("pcx-1");
    assert_eq!(compile(&model, "a"), before, "as if it had never been");
}

#[test]
fn a_third_vpc_is_no_business_of_a_node_with_ports_of_the_first() {
    let mut model = model();
    model.set_vpc(vpc(3, 1));
    model.set_peering(peering(1, false));
    let further = VpcPeering { id: "pcx-2".into(), requester_vpc_id: "vpc-3".into(), ..peering(1, false) };
    model.set_peering(further);
    let view = compile(&model, "a");
    assert!(of(&view, "vpc-3").is_none());
    assert_eq!(of(&view, "vpc-2").unwrap().peerings.len(), 1);
    assert_eq!(of(&compile(&model, "b"), "vpc-2").unwrap().peerings.len(), 2);
}

#[test]
fn what_changes_in_one_vpc_reaches_the_nodes_of_the_other() {
    let mut model = model();
    let mut told = Told::default();
    let mut held = NodeView::default();
    let mut learn = |model: &mut Model, all: bool| {
        let touched = model.take_touched_nodes().contains(&"a".to_owned());
        let learning = model.take_learning_nodes().contains(&"a".to_owned());
        let update = if all { told.learn_all(model, "a", 1) } else { told.learn_local(model, "a", 1) };
        if let Some(update) = update {
            held = view::apply(&held, &update).unwrap();
        }
        (touched, learning, view::listed(&held).into_owned())
    };
    learn(&mut model, true);
    model.set_peering(peering(1, false));
    let (touched, learning, _) = learn(&mut model, false);
    assert!(touched && learning, "at once, and of the groups' members in a batch");
    let (_, _, view) = learn(&mut model, true);
    assert_eq!(view.vpcs, compile(&model, "a").vpcs);
    model.set_instance(&instance(3, "b", 2, &[1], 1), true);
    let (touched, learning, view) = learn(&mut model, true);
    assert!(!touched && learning);
    assert_eq!(of(&view, "vpc-2").unwrap().remotes.len(), 2);
    assert_eq!(view.vpcs, compile(&model, "a").vpcs);
    model.set_node("b", "192.0.2.9");
    assert!(learn(&mut model, true).1, "it is reached elsewhere");
    model.set_vpc(mallee_proto::v1::Vpc { cidr: "10.2.0.0/16".into(), vni: 777, ..vpc(2, 3) });
    let (touched, _, view) = learn(&mut model, false);
    assert!(touched);
    assert_eq!(of(&view, "vpc-2").unwrap().vni, 777);
    model.remove_peering("pcx-1");
    let (touched, _, view) = learn(&mut model, false);
    assert!(touched);
    assert!(of(&view, "vpc-2").is_none());
}
