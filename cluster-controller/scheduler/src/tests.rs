use super::{Strategy, *};
use mallee_types::{NodeId, ZoneName};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Instant;

fn node(n: usize, vcpus: u32) -> Node {
    let id: NodeId = format!("node-{n:05}").parse().unwrap();
    let zone: ZoneName = "local-1a".parse().unwrap();
    let total = Resources { vcpus, memory_mib: u64::from(vcpus) * 4096, disk_bytes: u64::from(vcpus) << 34 };
    let mut node = Node::new(id, zone);
    node.state = NodeState::Ready;
    node.total = total;
    node
}

fn request(vcpus: u32) -> Request {
    let resources = Resources { vcpus, memory_mib: u64::from(vcpus) * 1024, disk_bytes: 8 << 30 };
    Request {
        resources,
        image: None,
        zone: None,
        node: None,
        group: None,
        slots: None,
        sharing: Sharing::Shared,
        strategy: Strategy::Spread,
    }
}

fn place(nodes: &mut [Node], request: &Request, index: usize) {
    nodes[index].used = nodes[index].used.plus(request.resources);
    nodes[index].instances += 1;
}

#[test]
fn every_refusal_names_filter_and_numbers() {
    let mut nodes: Vec<Node> = (0..5).map(|n| node(n, 4)).collect();
    nodes[0].state = NodeState::Offline;
    nodes[1].state = NodeState::WarmingUp;
    nodes[2].used.vcpus = 3;
    nodes[3].reserved.memory_mib = 16_000;
    nodes[4].used.disk_bytes = nodes[4].total.disk_bytes;
    let decision = decide(&request(2), &nodes);
    assert_eq!(decision.chosen, None);
    let got: Vec<_> = decision
        .rows()
        .map(|row| match &row.verdict {
            Verdict::Refused { filter, reason } => (filter.name(), reason.as_str()),
            Verdict::Passed { .. } => panic!("nothing passes"),
        })
        .collect();
    assert_eq!(
        got,
        [
            ("online", "is offline"),
            ("warm", "is connected but has not yet told all it holds"),
            ("vcpus", "1 of 4 vcpus free, 2 needed"),
            ("memory", "384 of 16384 MiB memory free, 2048 needed"),
            ("disk", "0 of 65536 MiB disk free, 8192 needed"),
        ]
    );
}

#[test]
fn zone_and_node_can_be_asked_for() {
    let mut nodes: Vec<Node> = (0..3).map(|n| node(n, 4)).collect();
    nodes[2].zone = "local-1b".parse().unwrap();
    let zone = Request { zone: Some("local-1b".parse().unwrap()), ..request(1) };
    assert_eq!(decide(&zone, &nodes).chosen, Some(2));
    let named = Request { node: Some("node-00001".parse().unwrap()), ..request(1) };
    let decision = decide(&named, &nodes);
    assert_eq!((decision.chosen, decision.omitted(Filter::Node)), (Some(1), 2));
    let unknown = Request { node: Some("node-7".parse().unwrap()), ..request(1) };
    assert_eq!(decide(&unknown, &nodes).chosen, None);
}

#[test]
fn pack_fills_one_node_first_and_spread_goes_round() {
    let mut packed: Vec<Node> = (0..3).map(|n| node(n, 4)).collect();
    let pack = Request { strategy: Strategy::Pack, ..request(1) };
    let mut chosen = Vec::new();
    for _ in 0..5 {
        let index = decide(&pack, &packed).chosen.unwrap();
        place(&mut packed, &pack, index);
        chosen.push(index);
    }
    assert_eq!(chosen, [0, 0, 0, 0, 1]);
    let spread: Vec<Node> = (0..3).map(|n| node(n, 4)).collect();
    let chosen: Vec<_> = decide_many(&request(1), &spread, 6).iter().map(|d| d.chosen.unwrap()).collect();
    assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_cached_image_sways_among_like_loads_only() {
    let mut nodes: Vec<Node> = (0..3).map(|n| node(n, 64)).collect();
    nodes[2].set_images(["feed"].into_iter());
    let wants = Request { image: Some(ImageKey::of("feed")), ..request(1) };
    assert_eq!(decide(&wants, &nodes).chosen, Some(2));
    nodes[2].used.vcpus = 32;
    assert_eq!(decide(&wants, &nodes).chosen, Some(0), "a busy node is not preferred for its cache");
}

#[test]
fn a_batch_stops_where_nothing_fits_and_says_why() {
    let nodes: Vec<Node> = (0..2).map(|n| node(n, 4)).collect();
    let decisions = decide_many(&request(2), &nodes, 6);
    assert_eq!(decisions.len(), 5);
    let last = decisions.last().unwrap();
    assert_eq!((last.chosen, last.refused[Filter::Vcpus.index()]), (None, 2));
    assert!(matches!(&last.refused_rows[0].verdict,
        Verdict::Refused { reason, .. } if reason == "0 of 4 vcpus free, 2 needed"));
}

#[test]
fn rows_are_bounded_and_the_rest_is_counted() {
    let mut nodes: Vec<Node> = (0..10_000).map(|n| node(n, 8)).collect();
    nodes.iter_mut().take(5_000).for_each(|n| n.state = NodeState::Offline);
    let decision = decide(&request(1), &nodes);
    assert!(decision.rows().count() <= ROWS_MAX);
    let shown = u32::try_from(decision.refused_rows.len()).unwrap();
    assert_eq!(decision.omitted(Filter::Online), 5_000 - shown);
    assert_eq!(decision.omitted_passed() as usize, 5_000 - PASSED_ROWS_MAX);
}

#[test]
fn ten_thousand_nodes_are_decided_quickly() {
    let nodes: Vec<Node> = (0..10_000).map(|n| node(n, 64)).collect();
    let start = Instant::now();
    let rounds = 20;
    for _ in 0..rounds {
        assert!(decide(&request(1), &nodes).chosen.is_some());
    }
    let one = start.elapsed() / rounds;
    let start = Instant::now();
    assert_eq!(decide_many(&request(1), &nodes, 1000).len(), 1000);
    let batch = start.elapsed();
    println!("10,000 nodes: one decision {one:?}, a batch of 1,000 {batch:?}");
    // Unoptimised builds on a busy machine: the bound only catches a change of complexity.
    assert!(one.as_millis() < 250 && batch.as_millis() < 1500, "{one:?} {batch:?}");
}

prop_compose! {
    fn any_nodes()(sizes in proptest::collection::vec((1u32..32, 0u32..32, 0u8..4, any::<bool>()), 1..24)) -> Vec<Node> {
        sizes.into_iter().enumerate().map(|(n, (vcpus, used, state, cached))| {
            let mut node = node(n, vcpus);
            node.used.vcpus = used.min(vcpus);
            node.reserved.memory_mib = u64::from(used) * 512;
            node.state = match state { 0 => NodeState::Offline, 1 => NodeState::WarmingUp, _ => NodeState::Ready };
            if cached { node.set_images(["feed"].into_iter()); }
            node
        }).collect()
    }
}

proptest! {
    #[test]
    fn never_overcommits_and_repeats_itself(
        nodes in any_nodes(), vcpus in 1u32..8, count in 1usize..40, pack in any::<bool>(), cached in any::<bool>(),
    ) {
        let request = Request {
            strategy: if pack { Strategy::Pack } else { Strategy::Spread },
            image: cached.then(|| ImageKey::of("feed")),
            ..request(vcpus)
        };
        let decisions = decide_many(&request, &nodes, count);
        prop_assert_eq!(&decisions, &decide_many(&request, &nodes, count));
        let mut after = nodes;
        for decision in &decisions {
            match decision.chosen {
                Some(index) => {
                    prop_assert!(Filter::first_refusing(&request, &after[index], Planned::default()).is_none());
                    // The batch chooses what one-by-one placement would.
                    prop_assert_eq!(decide(&request, &after).chosen, Some(index));
                    place(&mut after, &request, index);
                }
                None => prop_assert_eq!(decide(&request, &after).chosen, None),
            }
            prop_assert!(decision.rows().count() <= ROWS_MAX);
        }
        for node in &after {
            prop_assert!(node.used.vcpus <= node.total.vcpus);
        }
    }

    #[test]
    fn spread_balances_equal_nodes(count in 1usize..200, size in 2usize..12) {
        let nodes: Vec<Node> = (0..size).map(|n| node(n, 256)).collect();
        let mut per_node = vec![0usize; size];
        for decision in decide_many(&request(1), &nodes, count) {
            per_node[decision.chosen.unwrap()] += 1;
        }
        let (least, most) = (per_node.iter().min().unwrap(), per_node.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{per_node:?}");
    }
}

/// Places `count` members one after the other and gives the nodes they went to.
fn grow(nodes: &mut [Node], group: &mut Group, strategy: Strategy, count: usize) -> Vec<usize> {
    let mut chosen = Vec::new();
    for _ in 0..count {
        let request = Request { group: Some(group.clone()), strategy, ..request(1) };
        let Some(index) = decide(&request, nodes).chosen else { break };
        group.add(nodes[index].id.clone(), group.partition);
        place(nodes, &request, index);
        chosen.push(index);
    }
    chosen
}

#[test]
fn a_spread_group_never_puts_two_on_one_node() {
    let mut nodes: Vec<Node> = (0..3).map(|n| node(n, 16)).collect();
    let mut group = Group::new(GroupStrategy::Spread, 0);
    group.add(nodes[1].id.clone(), 0);
    let batch = Request { group: Some(group.clone()), ..request(1) };
    let decisions = decide_many(&batch, &nodes, 3);
    assert_eq!(decisions.iter().map(|d| d.chosen).collect::<Vec<_>>(), [Some(0), Some(2), None]);
    let last = decisions.last().unwrap();
    assert_eq!(last.refused[Filter::Group.index()], 3);
    let Verdict::Refused { filter, reason } = &last.refused_rows[0].verdict else { panic!("nothing passes") };
    assert_eq!(
        (filter.name(), reason.as_str()),
        ("placement-group", "holds an instance of the same spread placement group")
    );
    assert_eq!(grow(&mut nodes, &mut group, Strategy::Pack, 5), [0, 2]);
}

#[test]
fn a_cluster_group_stays_together_while_there_is_room() {
    let mut nodes: Vec<Node> = (0..4).map(|n| node(n, 4)).collect();
    // The fullest node is not the group's.
    let other = request(1);
    place(&mut nodes, &other, 3);
    let mut group = Group::new(GroupStrategy::Cluster, 0);
    group.add(nodes[1].id.clone(), 0);
    let chosen = grow(&mut nodes, &mut group, Strategy::Pack, 6);
    assert_eq!(chosen, [1, 1, 1, 1, 3, 3], "then where it is fullest, and on with that node");
    let empty =
        Request { group: Some(Group::new(GroupStrategy::Cluster, 0)), strategy: Strategy::Spread, ..request(1) };
    let fresh: Vec<Node> = (0..4).map(|n| node(n, 4)).collect();
    let batch: BTreeSet<_> = decide_many(&empty, &fresh, 4).iter().map(|d| d.chosen).collect();
    assert_eq!(batch.len(), 1, "a batch stays together too");
}

proptest! {
    /// Whatever comes in whatever order: no node serves two partitions of one group.
    #[test]
    fn partitions_have_disjoint_nodes(wishes in proptest::collection::vec(1u32..4, 1..40), size in 2usize..8) {
        let mut nodes: Vec<Node> = (0..size).map(|n| node(n, 8)).collect();
        let mut homes: std::collections::BTreeMap<usize, u32> = Default::default();
        let mut members: Vec<(usize, u32)> = Vec::new();
        for partition in wishes {
            let mut group = Group::new(GroupStrategy::Partition, partition);
            members.iter().for_each(|(index, of)| group.add(nodes[*index].id.clone(), *of));
            let request = Request { group: Some(group), ..request(1) };
            if let Some(index) = decide(&request, &nodes).chosen {
                prop_assert_eq!(*homes.entry(index).or_insert(partition), partition);
                place(&mut nodes, &request, index);
                members.push((index, partition));
            } else {
                let could = nodes.iter().enumerate().any(|(index, node)| {
                    node.free().vcpus > 0 && homes.get(&index).is_none_or(|home| *home == partition)
                });
                prop_assert!(!could, "there was a node for partition {}", partition);
            }
        }
    }
}

fn slots(nodes: &[(usize, u32)]) -> Slots {
    let size = request(2).resources;
    let slots = |count| NodeSlots { count, open: count, disks: count, taken: 0 };
    let nodes = nodes.iter().map(|(n, count)| (node(*n, 1).id, slots(*count))).collect();
    Slots { size, needs_disk: true, nodes }
}

fn hold(nodes: &mut [Node], of: &Slots) {
    for node in nodes {
        for _ in 0..of.on(&node.id).open {
            node.reserved = node.reserved.plus(of.size);
        }
    }
}

#[test]
fn what_is_reserved_is_for_those_it_is_reserved_for() {
    let mut nodes: Vec<Node> = (0..2).map(|n| node(n, 4)).collect();
    let reserved = slots(&[(0, 2), (1, 1)]);
    hold(&mut nodes, &reserved);
    let others: Vec<_> = decide_many(&request(2), &nodes, 3).iter().map(|d| d.chosen).collect();
    assert_eq!(others, [Some(1), None], "the one room that nobody reserved");
    let own = Request { slots: Some(reserved), ..request(2) };
    let decisions = decide_many(&own, &nodes, 4);
    let mut chosen: Vec<_> = decisions.iter().filter_map(|d| d.chosen).collect();
    chosen.sort_unstable();
    assert_eq!((chosen, decisions.len()), (vec![0, 0, 1], 4));
    let Verdict::Refused { filter, reason } = &decisions[3].refused_rows[0].verdict else { panic!("nothing passes") };
    assert_eq!((filter.name(), reason.as_str()), ("capacity-reservation", "0 of 2 reserved slots free"));
}

#[test]
fn a_slot_whose_disk_is_not_free_gives_none() {
    let mut nodes = vec![node(0, 4)];
    let mut reserved = slots(&[(0, 1)]);
    reserved.nodes.get_mut(&nodes[0].id).unwrap().disks = 0;
    let disk = reserved.size.disk_bytes;
    nodes[0].used.disk_bytes = nodes[0].total.disk_bytes;
    nodes[0].reserved = Resources { disk_bytes: 0, ..reserved.size };
    let refused = decide(&Request { slots: Some(reserved.clone()), ..request(2) }, &nodes);
    assert_eq!((refused.chosen, refused.refused[Filter::Disk.index()]), (None, 1), "{disk} bytes are kept");
    // The one that keeps it there starts again.
    reserved.needs_disk = false;
    let mut again = Request { slots: Some(reserved), ..request(2) };
    again.resources.disk_bytes = 0;
    assert_eq!(decide(&again, &nodes).chosen, Some(0));
}

#[test]
fn who_may_share_a_node() {
    let mut nodes: Vec<Node> = (0..4).map(|n| node(n, 8)).collect();
    nodes[0].guests.add(None);
    nodes[0].instances = 1;
    nodes[1].guests.add(Some("a"));
    nodes[1].instances = 1;
    nodes[2].host = Some("h-1".into());
    let who = |sharing: Sharing| {
        let request = Request { sharing, ..request(1) };
        let may = |(n, node): (usize, &Node)| {
            Filter::first_refusing(&request, node, Planned::default()).is_none().then_some(n)
        };
        nodes.iter().enumerate().filter_map(may).collect::<Vec<_>>()
    };
    assert_eq!(who(Sharing::Shared), [0, 3]);
    assert_eq!(who(Sharing::Dedicated("a".into())), [1, 3]);
    assert_eq!(who(Sharing::Dedicated("b".into())), [3]);
    assert_eq!(who(Sharing::Hosts(["h-1".into()].into())), [2]);
    assert_eq!(who(Sharing::Hosts(["h-2".into()].into())), [0usize; 0]);
    assert_eq!(who(Sharing::Nobody), [3]);
    let two = decide_many(&Request { sharing: Sharing::Nobody, ..request(1) }, &nodes, 2);
    assert_eq!(two.iter().map(|d| d.chosen).collect::<Vec<_>>(), [Some(3), None], "a host is a whole node");
}
