use super::*;
use crate::v1::{
    DhcpOptions, NetworkAclEntry, NetworkAclView, PeeringView, PortAddress, PublicName, RouteTarget, RouteView,
    SubnetView, group_rule::Peer,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn id(kind: &'static str) -> impl Strategy<Value = String> {
    (0u8..6).prop_map(move |n| format!("{kind}-{n}"))
}

prop_compose! {
    fn port()(interface_id in id("eni"), instance_id in id("i"), incarnation in 0u64..3, group_ids in vec(id("sg"), 0..3),
        ipv6_addresses in vec(id("2001:db8"), 0..3)) -> PortView {
        PortView { interface_id, instance_id, incarnation, group_ids, ipv6_addresses, ..PortView::default() }
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
        peers in vec((id("pcx"), id("vpc"), vec(id("10.1.0"), 0..3)), 0..3),
        sections in vec(id("in/sg"), 0..3), six in vec(id("2001:db8"), 0..3),
    ) -> VpcView {
        let route = |destination| RouteView { destination, target: RouteTarget::Internet.into(), ..RouteView::default() };
        let table = |(number, to): (u32, Vec<String>)| {
            let routes: Vec<RouteView> = to.into_iter().map(route).collect();
            RouteTableView { number, ipv6_routes: routes.clone(), routes }
        };
        let entry = |(number, egress, allow)| NetworkAclEntry { number, egress, allow, ..NetworkAclEntry::default() };
        let acl = |(id, entries): (String, Vec<_>)| {
            NetworkAclView { id, entries: entries.into_iter().map(entry).collect() }
        };
        let subnet = |id: String| SubnetView {
            network_acl: id.replace("subnet", "acl"), id, cidr: "10.0.0.0/24".into(), route_table: 1,
            ipv6_cidr: if dns_off { String::new() } else { "2001:db8::/64".into() },
        };
        VpcView {
            vpc_id, vni, ports, groups, dns_off, public_names_off,
            dhcp_options: options.map(|domain_name| DhcpOptions { domain_name, ..DhcpOptions::default() }),
            cidr: "10.0.0.0/16".into(),
            ipv6_cidrs: six,
            more_cidrs: dns_off.then(|| "10.1.0.0/16".into()).into_iter().collect(),
            dns_domain: String::new(),
            subnets: subnets.into_iter().map(subnet).collect(),
            route_tables: tables.into_iter().map(table).collect(),
            network_acls: acls.into_iter().map(acl).collect(),
            internet_gateway: vni == 1,
            routed: true,
            members: members.into_iter().map(|(group_id, addresses)| GroupMembers { group_id, addresses }).collect(),
            public_names: peers.iter().map(|(_, vpc, _)| PublicName {
                public_ip: vpc.clone(), private_ip: String::new(),
            }).collect(),
            peerings: peers.into_iter().map(|(id, peer_vpc_id, peer_cidrs)| PeeringView {
                id, peer_vpc_id, peer_ipv6_cidrs: peer_cidrs.clone(), peer_cidrs,
            }).collect(),
            remotes: remotes.into_iter().map(|(address, vtep)| Remote { address, vtep }).collect(),
            sections,
        }
    }
}

prop_compose! {
    fn view()(
        epoch in 1u64..3, generation in 0u64..4, vpcs in vec(vpc(), 0..4), items in btree_map(id("in/sg"), items(), 6..7),
    ) -> NodeView {
        let mut view = NodeView { epoch, generation, vpcs, sections: Vec::new() };
        canonicalise(&mut view);
        let named: BTreeSet<&String> = view.vpcs.iter().flat_map(|vpc| &vpc.sections).collect();
        let nobody = BTreeMap::new();
        view.sections = named.into_iter().map(|key| section_of(key, items.get(key).unwrap_or(&nobody))).collect();
        view
    }
}

fn items() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(id("10.0.3"), id("192.0.2"), 0..5)
}

fn section_of_items(encoded: &[u8]) -> BTreeMap<String, String> {
    section::items(encoded).map(|(address, vtep)| (address.to_owned(), vtep.into_owned())).collect()
}

/// One of ten thousand is found, and no other.
#[test]
fn one_item_that_changed_is_found_among_ten_thousand() {
    let mut says: BTreeMap<String, String> =
        (0..10_000u32).map(|n| (format!("10.0.{}.{}", n >> 8, n & 255), "192.0.2.1".to_owned())).collect();
    let before = section_of("at/vpc-1", &says).items;
    says.insert("10.0.17.4".into(), "192.0.2.2".into());
    let after = section_of("at/vpc-1", &says).items;
    let (gone, come) = changed(&before, &after);
    let (gone, come): (Vec<_>, Vec<_>) = (section::items(gone).collect(), section::items(come).collect());
    assert_eq!((gone, come), (vec![("10.0.17.4", "192.0.2.1".into())], vec![("10.0.17.4", "192.0.2.2".into())]));
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

    /// However the updates of a history are cut into parts, repeated and turned round, what is taken is a view that was
    /// meant, whole and with its hash; and who asks for it whole when one does not fit ends with the last.
    #[test]
    fn a_history_in_any_disorder_ends_with_its_last_view(
        views in vec(view(), 1..5), order in vec((0usize..5, 1usize..200, 1usize..3), 0..12),
    ) {
        let mut views = views;
        for (n, view) in (1..).zip(&mut views) {
            (view.epoch, view.generation) = (1, n);
            canonicalise(view);
        }
        let updates: Vec<NodeViewUpdate> =
            views.iter().enumerate().map(|(n, new)| n.checked_sub(1).map_or_else(|| whole(new), |old| diff(&views[old], new))).collect();
        let (mut held, mut parts) = (NodeView::default(), Parts::default());
        for (n, most, times) in order {
            for part in parts::split_at(updates[n % updates.len()].clone(), most) {
                for _ in 0..times {
                    let Ok(Some(update)) = parts.take(part.clone()) else { continue };
                    if update.generation > held.generation && let Ok(next) = apply(&held, &update) {
                        prop_assert_eq!(&next, &views[usize::try_from(update.generation).unwrap() - 1]);
                        prop_assert_eq!(&hash(&next)[..], &update.hash[..]);
                        held = next;
                    }
                }
            }
        }
        let last = views.last().unwrap();
        if held.generation < last.generation {
            held = apply(&held, &whole(last)).unwrap();
        }
        prop_assert_eq!(&held, last);
    }

    /// What is held of a section is the whole of it, whatever it was before.
    #[test]
    fn a_section_is_led_from_any_state_to_any_other(old in items(), new in items(), other in items()) {
        let [old, new, other] = [old, new, other].map(|items| section_of("at/vpc-1", &items));
        let update = section::diff(Some(&old), &new);
        prop_assert_eq!(section::apply(Some(&old), &update), Ok(new.clone()));
        prop_assert_eq!(section::apply(None, &section::diff(None, &new)), Ok(new));
        let mismatch = Mismatch::Section { key: "at/vpc-1".into() };
        prop_assert_eq!(section::apply(Some(&other), &update).is_ok(), old == other);
        prop_assert_eq!(section::apply(None, &update), Err(mismatch));
    }

    /// Who reads only what changed of a section has read all of it.
    #[test]
    fn what_changed_of_a_section_is_all_that_makes_the_difference(old in items(), new in items()) {
        let (before, after) = (section_of("at/vpc-1", &old).items, section_of("at/vpc-1", &new).items);
        let (gone, come) = changed(&before, &after);
        let mut read = old.clone();
        read.retain(|address, _| !section::items(gone).any(|(other, _)| other == address));
        read.extend(section::items(come).map(|(address, vtep)| (address.to_owned(), vtep.into_owned())));
        prop_assert_eq!(read, new);
        prop_assert_eq!(old == section_of_items(&after), gone.is_empty() && come.is_empty());
    }

    /// Of what is no section nothing is read, and it does no harm.
    #[test]
    fn what_is_no_section_changes_nothing(one in vec(any::<u8>(), 0..40), other in vec(any::<u8>(), 0..40)) {
        let (gone, come) = changed(&one, &other);
        prop_assert!(section::items(gone).count() <= one.len() && section::items(come).count() <= other.len());
    }

    /// No bytes that come are more than refused.
    #[test]
    fn what_is_no_section_is_refused(bytes in vec(any::<u8>(), 0..40), based: bool) {
        let held = section_of("at/vpc-1", &BTreeMap::from([("10.0.0.1".to_owned(), "192.0.2.1".to_owned())]));
        let base = if based { held.hash.clone() } else { Bytes::new() };
        let update = SectionUpdate { key: held.key.clone(), base, hash: vec![1; 32].into(), items: bytes.into() };
        prop_assert!(section::apply(Some(&held), &update).is_err());
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
    let old = NodeView { epoch: 1, generation: 7, vpcs: vec![base.clone()], sections: vec![] };
    let vpcs = vec![VpcView { ports: vec![port(2), port(3)], ..base }];
    let new = NodeView { epoch: 1, generation: 8, vpcs, sections: vec![] };
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
    let new = NodeView { epoch: 1, generation: 1, ..NodeView::default() };
    let mut update = whole(&new);
    update.hash = vec![0; 32];
    assert_eq!(apply(&NodeView::default(), &update), Err(Mismatch::Hash { generation: 1 }));
    update.vpcs.push(VpcUpdate::default());
    assert_eq!(apply(&NodeView::default(), &update), Err(Mismatch::Malformed));
}

#[test]
fn a_view_without_sections_hashes_as_ever_and_one_with_them_by_their_sums() {
    let vpc = VpcView {
        vpc_id: "vpc-1".into(),
        sections: vec![places_of("vpc-1"), members_of("sg-1")],
        ..VpcView::default()
    };
    let at = |items: &[(&str, &str)]| items.iter().map(|(a, v)| ((*a).to_owned(), (*v).to_owned())).collect();
    let places = section_of("at/vpc-1", &at(&[("10.0.0.1", "192.0.2.1"), ("10.0.0.2", "192.0.2.2")]));
    let members = section_of("in/sg-1", &at(&[("10.0.0.1", ""), ("10.0.0.2", "")]));
    let view = NodeView { epoch: 1, generation: 1, vpcs: vec![vpc], sections: vec![places, members] };
    let before = NodeView { sections: vec![], ..view.clone() };
    assert_eq!(hash(&before)[..], Sha256::digest(before.encode_to_vec())[..]);
    assert_eq!(hash(&view), hash(&bare(&view)));
    assert_ne!(hash(&view), hash(&before));
    assert_eq!((format_of(&before), format_of(&view)), (0, 2));
    // Who goes through all of it sees lists; what is here is nowhere else.
    let mut own = view.clone();
    own.vpcs[0].ports = vec![PortView { private_ip: "10.0.0.1".into(), ..PortView::default() }];
    let listed = listed(&own);
    assert_eq!(listed.vpcs[0].remotes, [Remote { address: "10.0.0.2".into(), vtep: "192.0.2.2".into() }]);
    assert_eq!(listed.vpcs[0].members[0].addresses, ["10.0.0.1", "10.0.0.2"]);
    // A section that a VPC names and nobody told is asked for.
    let update = NodeViewUpdate { sections: vec![], ..whole(&view) };
    assert_eq!(apply(&NodeView::default(), &update), Err(Mismatch::Section { key: "at/vpc-1".into() }));
}

#[test]
fn ipv6_needs_a_node_that_knows_it_and_none_encodes_as_ever() {
    let at = |blocks: &[&str]| {
        let ipv6_cidrs = blocks.iter().map(|block| (*block).to_owned()).collect();
        let vpc = VpcView { vpc_id: "vpc-1".into(), ipv6_cidrs, ..VpcView::default() };
        NodeView { epoch: 1, generation: 1, vpcs: vec![vpc], ..NodeView::default() }
    };
    assert_eq!([at(&[]), at(&["2001:db8::/56"])].map(|view| format_of(&view)), [0, 4]);
    assert_ne!(hash(&at(&[])), hash(&at(&["2001:db8::/56"])));
    assert_eq!(at(&[]).encode_to_vec(), b"\x08\x01\x10\x01\x1a\x07\x0a\x05vpc-1");
    // In whatever order they are told.
    assert_eq!(hash(&at(&["2001:db8:1::/56", "2001:db8::/56"])), hash(&at(&["2001:db8::/56", "2001:db8:1::/56"])));
    // What is here is nowhere else.
    let mut view = at(&["2001:db8::/56"]);
    let says = [("2001:db8::1".to_owned(), "192.0.2.1".to_owned()), ("2001:db8::2".to_owned(), "192.0.2.2".to_owned())];
    view.sections = vec![section_of("at/vpc-1", &says.into())];
    view.vpcs[0].sections = vec![places_of("vpc-1")];
    view.vpcs[0].ports = vec![PortView { ipv6_addresses: vec!["2001:db8::1".into()], ..PortView::default() }];
    let remote = Remote { address: "2001:db8::2".into(), vtep: "192.0.2.2".into() };
    assert_eq!(listed(&view).vpcs[0].remotes, [remote]);
}

#[test]
fn limits_of_ports_need_a_node_that_knows_them_and_no_limits_encode_as_ever() {
    let at = |bandwidth_kbps, flows_max| {
        let port = PortView { interface_id: "eni-1".into(), bandwidth_kbps, flows_max, ..PortView::default() };
        let vpc = VpcView { vpc_id: "vpc-1".into(), ports: vec![port], ..VpcView::default() };
        NodeView { epoch: 1, generation: 1, vpcs: vec![vpc], ..NodeView::default() }
    };
    assert_eq!([at(0, 0), at(50_000, 0), at(0, 20)].map(|view| format_of(&view)), [0, 3, 3]);
    assert_ne!(hash(&at(0, 0)), hash(&at(50_000, 0)));
    // Numbers 160 and 161 as they are on the wire.
    let tagged = |view: &NodeView| {
        view.encode_to_vec().windows(2).filter(|two| [[0x80, 0x0a], [0x88, 0x0a]].contains(&[two[0], two[1]])).count()
    };
    assert_eq!([at(0, 0), at(50_000, 0), at(50_000, 20)].map(|view| tagged(&view)), [0, 1, 2]);
}

#[test]
fn several_addresses_of_a_nat_gateway_need_a_node_that_spreads_over_them() {
    let at = |nat, secondary: &[&str], draining: &[&str]| {
        let address = |ip: &&str| PortAddress { private_ip: (*ip).to_owned(), ..PortAddress::default() };
        let port = PortView {
            interface_id: "eni-1".into(),
            nat,
            secondary: secondary.iter().map(address).collect(),
            nat_draining: draining.iter().map(|ip| (*ip).to_owned()).collect(),
            ..PortView::default()
        };
        let vpc = VpcView { vpc_id: "vpc-1".into(), ports: vec![port], ..VpcView::default() };
        NodeView { epoch: 1, generation: 1, vpcs: vec![vpc], ..NodeView::default() }
    };
    assert_eq!(format_of(&at(true, &[], &[])), 1);
    assert_eq!(format_of(&at(false, &["10.0.0.7"], &[])), 0, "an instance's are as ever");
    assert_eq!(format_of(&at(true, &["10.0.0.7"], &[])), 3);
    assert_ne!(hash(&at(true, &["10.0.0.7"], &[])), hash(&at(true, &["10.0.0.7"], &["10.0.0.7"])));
    let mut mixed = at(true, &["10.0.0.7", "10.0.0.8"], &["10.0.0.8", "10.0.0.7", "10.0.0.8"]);
    canonicalise(&mut mixed);
    assert_eq!(mixed.vpcs[0].ports[0].nat_draining, ["10.0.0.7", "10.0.0.8"]);
}
