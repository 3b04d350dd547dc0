use super::*;
use crate::{Sharing, Strategy};
use mallee_types::NodeId;
use proptest::prelude::*;

const GIB: u64 = 1 << 30;

fn size(vcpus: u32) -> Resources {
    Resources { vcpus, memory_mib: u64::from(vcpus) * 1024, disk_bytes: u64::from(vcpus) * GIB }
}

/// A full node of `vcpus`.
fn full(n: usize, vcpus: u32) -> Node {
    let id: NodeId = format!("node-{n:05}").parse().unwrap();
    let mut node = Node::new(id, "local-1a".parse().unwrap());
    node.state = NodeState::Ready;
    node.total = size(vcpus);
    node.used = size(vcpus);
    node
}

fn request(vcpus: u32) -> Request {
    Request {
        resources: size(vcpus),
        image: None,
        zone: None,
        node: None,
        group: None,
        slots: None,
        sharing: Sharing::Shared,
        strategy: Strategy::Spread,
    }
}

const fn spot(node: usize, frees: Resources, started_ms: i64) -> Preemptible {
    Preemptible { node, frees, started_ms, leaving: false }
}

fn victims(request: &Request, nodes: &[Node], from: &[Preemptible], count: usize) -> Option<Vec<usize>> {
    make_room(request, nodes, from, count).map(|room| room.victims)
}

#[test]
fn as_few_as_possible_and_of_these_the_youngest() {
    let nodes = [full(0, 8), full(1, 8)];
    let from = [spot(0, size(1), 10), spot(0, size(1), 90), spot(1, size(2), 20), spot(1, size(2), 30)];
    assert_eq!(victims(&request(1), &nodes, &from, 1), Some(vec![1]), "the youngest of all that do alone");
    assert_eq!(victims(&request(2), &nodes, &from, 1), Some(vec![3]), "one, not two younger ones");
    assert_eq!(victims(&request(3), &nodes, &from, 1), Some(vec![2, 3]));
    assert_eq!(victims(&request(2), &nodes, &from, 2), Some(vec![3, 2]), "one for each");
    assert_eq!(victims(&request(2), &nodes, &from, 3), Some(vec![3, 2, 0, 1]));
    assert_eq!(victims(&request(2), &nodes, &from, 4), None, "for some of a launch room is not made");
    assert_eq!(victims(&request(5), &nodes, &from, 1), None);
    assert_eq!(victims(&request(1), &nodes, &from, 0), None);
}

#[test]
fn what_is_free_and_what_is_leaving_counts() {
    let mut nodes = [full(0, 8), full(1, 8)];
    let mut from = [spot(0, size(2), 10), spot(1, size(2), 20)];
    nodes[0].used = size(6);
    assert_eq!(victims(&request(4), &nodes, &from, 1), Some(vec![0]));
    from[0].leaving = true;
    let room = make_room(&request(4), &nodes, &from, 1).unwrap();
    assert_eq!((room.victims, room.leaving), (vec![], vec![0]), "nobody else has to go");
    let room = make_room(&request(2), &nodes, &from, 3).unwrap();
    assert_eq!((room.victims, room.leaving), (vec![1], vec![0]));
}

#[test]
fn a_node_that_is_refused_for_another_reason_is_no_help() {
    let mut nodes = [full(0, 4), full(1, 4), full(2, 4)];
    nodes[0].state = NodeState::Offline;
    let from = [spot(0, size(4), 50), spot(1, size(4), 10), spot(2, size(4), 20)];
    assert_eq!(victims(&request(1), &nodes, &from, 1), Some(vec![2]));
    let there = Request { node: Some("node-00001".parse().unwrap()), ..request(1) };
    assert_eq!(victims(&there, &nodes, &from, 1), Some(vec![1]));
    let mut group = Group::new(GroupStrategy::Spread, 0);
    group.add(nodes[2].id.clone(), 0);
    let apart = Request { group: Some(group), ..request(1) };
    assert_eq!(victims(&apart, &nodes, &from, 1), Some(vec![1]));
    assert_eq!(victims(&apart, &nodes, &from, 2), None);
}

#[test]
fn a_stopped_instance_leaves_its_disk() {
    let mut nodes = [full(0, 4)];
    let stays = Resources { disk_bytes: 0, ..size(4) };
    assert_eq!(victims(&request(2), &nodes, &[spot(0, stays, 1)], 1), None, "the disk is full");
    nodes[0].used.disk_bytes = 0;
    assert_eq!(victims(&request(2), &nodes, &[spot(0, stays, 1)], 1), Some(vec![0]));
}

proptest! {
    /// On one node, with sizes in proportion: never more than any choice needs, and none that can be spared.
    #[test]
    fn no_smaller_choice_exists(sizes in proptest::collection::vec(1u32..6, 1..9), want in 1u32..20) {
        let nodes = [full(0, 64)];
        let from: Vec<Preemptible> =
            sizes.iter().enumerate().map(|(at, vcpus)| spot(0, size(*vcpus), i64::try_from(at).unwrap())).collect();
        let got = victims(&request(want), &nodes, &from, 1);
        let sum = |set: u32| (0..sizes.len()).filter(|at| set >> at & 1 == 1).map(|at| sizes[at]).sum::<u32>();
        let least = (1u32..1 << sizes.len()).filter(|set| sum(*set) >= want).map(u32::count_ones).min();
        prop_assert_eq!(got.as_ref().map(|v| u32::try_from(v.len()).unwrap()), least);
        if let Some(got) = got {
            let all: u32 = got.iter().map(|at| sizes[*at]).sum();
            prop_assert!(all >= want && got.iter().all(|at| all - sizes[*at] < want));
        }
    }
}
