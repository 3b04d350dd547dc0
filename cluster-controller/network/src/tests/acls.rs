//! Network ACLs: which of them a node is told, and that the others cost nothing.

use super::{compile, instance, small, subnet};
use crate::Model;
use mallee_proto::v1::{NetworkAcl, NetworkAclEntry, NetworkAclView, Subnet};
use mallee_proto::view;

pub(super) fn entry(egress: bool, number: u32, allow: bool, protocol: i32, cidr: &str) -> NetworkAclEntry {
    NetworkAclEntry { number, egress, allow, protocol, cidr: cidr.into(), from_port: -1, to_port: -1 }
}

fn all(egress: bool, number: u32, allow: bool) -> NetworkAclEntry {
    entry(egress, number, allow, -1, "0.0.0.0/0")
}

pub(super) fn acl(vpc: u32, n: u32, generation: u64, entries: Vec<NetworkAclEntry>) -> NetworkAcl {
    NetworkAcl { id: format!("acl-{vpc}-{n}"), generation, vpc_id: format!("vpc-{vpc}"), entries }
}

/// The subnet of [`small`] with this ACL, which its nodes then know or not.
fn with(acl_id: &str, known: Option<NetworkAcl>) -> Model {
    let mut model = small();
    model.set_subnet(Subnet { network_acl_id: acl_id.into(), generation: 3, ..subnet(1, 1) });
    known.into_iter().for_each(|acl| model.set_network_acl(acl));
    model
}

fn told(model: &Model) -> (String, Vec<NetworkAclView>) {
    let vpc = compile(model, "a").vpcs.remove(0);
    (vpc.subnets[0].network_acl.clone(), vpc.network_acls)
}

#[test]
fn an_acl_through_which_everything_passes_is_not_told() {
    let without = compile(&with("", None), "a");
    let open = [all(false, 100, true), all(true, 100, true)];
    let with_more = [&open[..], &[entry(true, 7, true, 6, "10.0.0.0/8"), all(false, 200, false)]].concat();
    for entries in [open.to_vec(), with_more] {
        let view = compile(&with("acl-1-1", Some(acl(1, 1, 1, entries))), "a");
        assert_eq!((view::hash(&view), &view), (view::hash(&without), &without));
    }
    let closed: [Vec<NetworkAclEntry>; 5] = [
        vec![],
        vec![all(false, 100, true)],
        vec![all(false, 100, true), entry(true, 100, true, 6, "0.0.0.0/0")],
        vec![all(false, 100, true), entry(true, 100, true, -1, "10.0.0.0/8")],
        vec![all(false, 100, true), all(true, 100, true), entry(true, 99, false, 6, "10.0.0.0/8")],
    ];
    for entries in closed {
        let view = NetworkAclView { id: "acl-1-1".into(), entries: entries.clone() };
        let mut view = (view.id.clone(), vec![view]);
        view.1[0].entries.sort_by_key(|entry| (entry.egress, entry.number));
        assert_eq!(told(&with("acl-1-1", Some(acl(1, 1, 1, entries)))), view);
    }
}

#[test]
fn an_acl_that_is_not_known_lets_nothing_through() {
    let none = NetworkAclView { id: "acl-1-9".into(), entries: vec![] };
    assert_eq!(told(&with("acl-1-9", None)), ("acl-1-9".to_owned(), vec![none]));
}

#[test]
fn an_acl_stays_until_the_one_in_its_place_is_known() {
    let tcp = vec![entry(false, 5, true, 6, "10.0.0.0/8")];
    let mut model = with("acl-1-1", Some(acl(1, 1, 1, tcp)));
    let now = told(&model);
    let named = |acl: &str, generation| Subnet { network_acl_id: acl.into(), generation, ..subnet(1, 1) };
    model.set_subnet(named("acl-1-8", 4));
    assert_eq!(told(&model), now, "the new one is not known yet");
    model.set_subnet(named("acl-1-9", 5));
    assert_eq!(told(&model), now, "neither is the next");
    let closed = ("acl-1-9".to_owned(), vec![NetworkAclView { id: "acl-1-9".into(), entries: vec![] }]);
    model.set_network_acl(acl(1, 9, 1, vec![]));
    assert_eq!(told(&model), closed);
    model.remove_network_acl("acl-1-9");
    assert_eq!(told(&model), closed, "what was before does not come back");
}

#[test]
fn a_node_is_told_the_acls_of_its_own_ports() {
    let mut model = with("acl-1-1", Some(acl(1, 1, 1, vec![])));
    let other =
        Subnet { id: "subnet-2".into(), cidr: "10.0.2.0/24".into(), network_acl_id: "acl-1-2".into(), ..subnet(1, 1) };
    model.set_subnet(other);
    model.set_network_acl(acl(1, 2, 1, vec![]));
    let subnets = |model: &Model, node: &str| {
        let vpc = compile(model, node).vpcs.remove(0);
        let acls: Vec<String> = vpc.network_acls.into_iter().map(|acl| acl.id).collect();
        (vpc.subnets.into_iter().map(|subnet| subnet.network_acl).collect::<Vec<_>>(), acls)
    };
    assert_eq!(subnets(&model, "a"), (vec!["acl-1-1".into(), String::new()], vec!["acl-1-1".to_owned()]));
    let mut there = instance(3, "a", 1, &[1], 1);
    let port = &mut there.spec.as_mut().unwrap().ports[0];
    (port.subnet_id, port.private_ip) = ("subnet-2".into(), "10.0.2.3".into());
    model.set_instance(&there, true);
    let both = vec!["acl-1-1".to_owned(), "acl-1-2".to_owned()];
    assert_eq!(subnets(&model, "a"), (both.clone(), both));
    assert_eq!(subnets(&model, "b").1, ["acl-1-1"]);
}

#[test]
fn a_change_of_an_acl_touches_the_nodes_of_its_vpc() {
    let mut model = with("acl-1-1", Some(acl(1, 1, 2, vec![])));
    drop((model.take_touched_nodes(), model.take_learning_nodes()));
    model.set_network_acl(acl(1, 1, 1, vec![all(true, 1, true)]));
    assert!(model.take_touched_nodes().is_empty(), "an older generation changes nothing");
    model.set_network_acl(acl(1, 1, 3, vec![all(true, 1, true)]));
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
    assert_eq!(told(&model).1[0].entries, [all(true, 1, true)]);
    model.remove_network_acl("acl-1-1");
    assert_eq!(model.take_touched_nodes(), ["a", "b"]);
    assert_eq!(told(&model).1[0].entries, []);
}
