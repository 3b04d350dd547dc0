use super::*;
use crate::v1::{DhcpOptions, NetworkAclEntry, NetworkAclView, RouteTarget, RouteView, SubnetView, group_rule::Peer};
use proptest::collection::vec;
use proptest::prelude::*;

fn id(kind: &'static str) -> impl Strategy<Value = String> {
    (0u8..6).prop_map(move |n| format!("{kind}-{n}"))
}

prop_compose! {
    fn port()(interface_id in id("eni"), instance_id in id("i"), incarnation in 0u64..3, group_ids in vec(id("sg"), 0..3))
        -> PortView {
        PortView { interface_id, instance_id, incarnation, group_ids, ..PortView::default() }
    }
}

prop_compose! {
    fn group()(id in id("sg"), ports in vec((0u8..3, 0i32..4), 0..4)) -> GroupView {
        let rule = |(n, port): (u8, i32)| GroupRule {
            id: if n == 0 { String::new() } else { format!("sgr-{n}") },
            from_port: port,
            peer: Some(Peer::Cidr(format!("10.{port}.0.0/16"))),
            ..GroupRule::default()
        };
        GroupView { id, rules: ports.into_iter().map(rule).collect() }
    }
}

prop_compose! {
    fn vpc()(
        vpc_id in id("vpc"), vni in 1u32..3, subnets in vec(id("subnet"), 0..3), ports in vec(port(), 0..5),
        groups in vec(group(), 0..4), members in vec((id("sg"), vec(id("10.0.0"), 0..4)), 0..4),
        remotes in vec((id("10.0.1"), id("192.0.2")), 0..5), dns_off: bool, public_names_off: bool,
        options in proptest::option::of(id("example")),
        tables in vec((1u32..4, vec(id("10.0.2"), 0..3)), 0..3),
        acls in vec((id("acl"), vec((0u32..4, any::<bool>(), any::<bool>()), 0..4)), 0..3),
    ) -> VpcView {
        let route = |destination| RouteView { destination, target: RouteTarget::Internet.into() };
        let table = |(number, to): (u32, Vec<String>)| {
            RouteTableView { number, routes: to.into_iter().map(route).collect() }
        };
        let entry = |(number, egress, allow)| NetworkAclEntry { number, egress, allow, ..NetworkAclEntry::default() };
        let acl = |(id, entries): (String, Vec<_>)| {
            NetworkAclView { id, entries: entries.into_iter().map(entry).collect() }
        };
        let subnet = |id: String| SubnetView {
            network_acl: id.replace("subnet", "acl"), id, cidr: "10.0.0.0/24".into(), route_table: 1,
        };
        VpcView {
            vpc_id, vni, ports, groups, dns_off, public_names_off,
            dhcp_options: options.map(|domain_name| DhcpOptions { domain_name, ..DhcpOptions::default() }),
            cidr: "10.0.0.0/16".into(),
            dns_domain: String::new(),
            subnets: subnets.into_iter().map(subnet).collect(),
            route_tables: tables.into_iter().map(table).collect(),
            network_acls: acls.into_iter().map(acl).collect(),
            internet_gateway: vni == 1,
            routed: true,
            members: members.into_iter().map(|(group_id, addresses)| GroupMembers { group_id, addresses }).collect(),
            remotes: remotes.into_iter().map(|(address, vtep)| Remote { address, vtep }).collect(),
        }
    }
}

prop_compose! {
    fn view()(epoch in 1u64..3, generation in 0u64..4, vpcs in vec(vpc(), 0..4)) -> NodeView {
        NodeView { epoch, generation, vpcs }
    }
}

proptest! {
    #[test]
    fn an_update_leads_from_any_view_to_any_other(old in view(), mut new in view()) {
        let update = diff(&old, &new);
        canonicalise(&mut new);
        prop_assert_eq!(apply(&old, &update).unwrap(), new);
    }

    #[test]
    fn order_does_not_change_the_hash(mut v in view()) {
        // Equal keys are resolved by order, so make them unique first.
        canonicalise(&mut v);
        let mut turned = v.clone();
        turned.vpcs.reverse();
        for vpc in &mut turned.vpcs {
            vpc.ports.reverse();
            vpc.remotes.reverse();
            vpc.groups.reverse();
            for group in &mut vpc.groups { group.rules.reverse(); }
            for members in &mut vpc.members { members.addresses.reverse(); }
        }
        prop_assert_eq!(hash(&v), hash(&turned));
    }

    #[test]
    fn an_update_of_another_view_is_refused_or_right(held in view(), old in view(), mut new in view()) {
        let update = diff(&old, &new);
        canonicalise(&mut new);
        if let Ok(result) = apply(&held, &update) {
            prop_assert_eq!(result, new);
        }
    }
}

#[test]
fn an_update_names_only_what_changed() {
    let port = |n: u32| PortView { interface_id: format!("eni-{n}"), ..PortView::default() };
    let remote = |n: u32| Remote { address: format!("10.0.0.{n}"), vtep: "192.0.2.1".into() };
    let base = VpcView {
        vpc_id: "vpc-1".into(),
        ports: vec![port(1), port(2)],
        remotes: vec![remote(1)],
        ..VpcView::default()
    };
    let old = NodeView { epoch: 1, generation: 7, vpcs: vec![base.clone()] };
    let new = NodeView { epoch: 1, generation: 8, vpcs: vec![VpcView { ports: vec![port(2), port(3)], ..base }] };
    let update = diff(&old, &new);
    assert_eq!(update.base_generation, 7);
    let part = &update.vpcs[0];
    let upsert = part.upsert.as_ref().unwrap();
    assert_eq!(upsert.ports, [port(3)]);
    assert!(upsert.remotes.is_empty(), "an unchanged address travels for nothing");
    assert_eq!(part.removed_ports, ["eni-1"]);
    assert_eq!(apply(&new, &update), Err(Mismatch::Base { held: 8, wanted: 7 }));
    assert_eq!(apply(&NodeView::default(), &whole(&new)), Ok(new));
}

#[test]
fn a_forged_hash_and_a_nameless_part_are_refused() {
    let new = NodeView { epoch: 1, generation: 1, vpcs: vec![] };
    let mut update = whole(&new);
    update.hash = vec![0; 32];
    assert_eq!(apply(&NodeView::default(), &update), Err(Mismatch::Hash { generation: 1 }));
    update.vpcs.push(VpcUpdate::default());
    assert_eq!(apply(&NodeView::default(), &update), Err(Mismatch::Malformed));
}
