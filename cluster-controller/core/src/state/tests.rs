//! Whatever is said, in whatever order, however often: the books balance.

use super::*;
use mallee_network::compile;
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::*;
use mallee_scheduler::Resources;
use proptest::collection::vec;
use proptest::prelude::*;

const NODES: u8 = 3;

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a few dozen per case")]
enum Event {
    CloudHello { newer: bool },
    Snapshot(Vec<InstanceIntent>),
    BrokenSnapshot(Vec<InstanceIntent>),
    Intent(InstanceIntent),
    Reserve(CapacityReservation),
    Unreserve(u8),
    Host { host: u8, generation: u64, node: u8 },
    Unhost(u8),
    RemoveInstance(u8),
    Confirm,
    Hello { node: u8, boot: u8 },
    Resynced(u8),
    Observe { node: u8, seq: u64, observation: InstanceObservation },
    Ended(u8),
    Place { request: u8, instance: u8, count: u8, kind: u8 },
    Unplace(u8),
    Pass(u64),
    PullNode(u8),
    PullCloud,
}

fn id(n: u8) -> String {
    format!("i-{n:017x}")
}

/// One in three is in no group, one in a spread group, one in a partition group.
fn group(n: u8, partition: u32) -> Option<PlacementGroup> {
    let (strategy, partition_count, partition) = match n % 3 {
        0 => return None,
        1 => (GroupStrategy::Spread, 0, 0),
        _ => (GroupStrategy::Partition, 2, partition),
    };
    Some(PlacementGroup { id: format!("pg-{}", n % 3), strategy: strategy.into(), partition_count, partition })
}

fn any_intent() -> impl Strategy<Value = InstanceIntent> {
    (0u8..6, 1u64..5, 1u64..3, 0u8..=NODES, 1i32..4, 0u8..4).prop_map(
        |(n, generation, incarnation, node, intent, terms)| {
            let port = Port {
                interface_id: format!("eni-{n}"),
                private_ip: format!("10.0.0.{n}"),
                vpc_id: "vpc-1".into(),
                ..Port::default()
            };
            let ports = vec![port];
            InstanceIntent {
                id: id(n),
                generation,
                incarnation,
                node_id: if node == NODES { String::new() } else { format!("n-{node}") },
                intent,
                spec: Some(InstanceSpec {
                    vcpus: 1,
                    memory_mib: 10,
                    root_disk_bytes: 100,
                    ports,
                    group: group(n, u32::from(n % 2) + 1),
                    capacity_reservation_id: if terms < 2 { format!("cr-{terms}") } else { String::new() },
                    tenancy: if terms == 3 { Tenancy::Dedicated } else { Tenancy::Shared }.into(),
                    ..Default::default()
                }),
                ..InstanceIntent::default()
            }
        },
    )
}

fn any_reservation() -> impl Strategy<Value = CapacityReservation> {
    (0u8..2, 1u64..5, vec((0..NODES, 0u32..3), 0..3)).prop_map(|(n, generation, slots)| CapacityReservation {
        id: format!("cr-{n}"),
        generation,
        account_id: "a".into(),
        vcpus: 1,
        memory_mib: 10,
        disk_bytes: 100,
        slots: slots
            .into_iter()
            .collect::<BTreeMap<u8, u32>>()
            .into_iter()
            .map(|(node, count)| NodeSlots { node_id: format!("n-{node}"), count, used: 0 })
            .collect(),
        tenancy: Tenancy::Shared.into(),
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let observation = (0u8..6, 0..NODES, 1u64..3, 0u64..5, 1i32..7, any::<bool>(), 0u64..20).prop_map(
        |(n, node, incarnation, generation, phase, gone, seq)| {
            let node_id = format!("n-{node}");
            let observation =
                InstanceObservation { id: id(n), incarnation, node_id, generation, phase, gone, ..Default::default() };
            Event::Observe { node, seq, observation }
        },
    );
    prop_oneof![
        1 => any::<bool>().prop_map(|newer| Event::CloudHello { newer }),
        2 => vec(any_intent(), 0..6).prop_map(Event::Snapshot),
        1 => vec(any_intent(), 0..6).prop_map(Event::BrokenSnapshot),
        6 => any_intent().prop_map(Event::Intent),
        2 => (0u8..6).prop_map(Event::RemoveInstance),
        2 => Just(Event::Confirm),
        3 => (0..NODES, 0u8..2).prop_map(|(node, boot)| Event::Hello { node, boot }),
        3 => (0..NODES).prop_map(Event::Resynced),
        8 => observation,
        1 => (0..NODES).prop_map(Event::Ended),
        4 => (0u8..4, 0u8..6, 1u8..4, 0u8..5)
            .prop_map(|(request, instance, count, kind)| Event::Place { request, instance, count, kind }),
        3 => any_reservation().prop_map(Event::Reserve),
        1 => (0u8..2).prop_map(Event::Unreserve),
        1 => (0u8..2, 1u64..4, 0..NODES).prop_map(|(host, generation, node)| Event::Host { host, generation, node }),
        1 => (0u8..2).prop_map(Event::Unhost),
        1 => (0u8..4).prop_map(Event::Unplace),
        1 => (1u64..9_000).prop_map(Event::Pass),
        3 => (0..NODES).prop_map(Event::PullNode),
        2 => Just(Event::PullCloud),
    ]
}

struct World {
    state: ClusterState,
    epoch: u64,
    cloud: u64,
    seq: u64,
    nodes: [(usize, u64); NODES as usize],
    now: Now,
}

impl World {
    fn new() -> Self {
        let mut state = ClusterState::new(Settings::for_zone("local-1a".parse().unwrap()), "boot");
        let cloud = state.cloud_hello(&CloudHello { epoch: 1, observed: None }).unwrap();
        let now = Now { mono_ms: 0, wall_ms: 1 };
        let vpc = Vpc { id: "vpc-1".into(), generation: 1, ..Vpc::default() };
        state.intent_change(cloud, IntentChange { seq: 1, object: Some(Object::Vpc(vpc)) }).unwrap();
        Self { state, epoch: 1, cloud, seq: 10, nodes: [(usize::MAX, 0); NODES as usize], now }
    }

    fn change(&mut self, object: Object) {
        self.seq += 1;
        let change = IntentChange { seq: self.seq, object: Some(object) };
        self.state.intent_change(self.cloud, change).unwrap();
    }

    fn apply(&mut self, event: Event) {
        let (now, state) = (self.now, &mut self.state);
        match event {
            Event::CloudHello { newer } => {
                self.epoch += u64::from(newer);
                self.cloud = state.cloud_hello(&CloudHello { epoch: self.epoch, observed: None }).unwrap();
                let old = CloudHello { epoch: self.epoch - 1, observed: None };
                assert_eq!(state.cloud_hello(&old).unwrap_err().kind, Kind::StaleEpoch);
            }
            Event::Snapshot(intents) | Event::BrokenSnapshot(intents) if intents.len() == 5 => {
                state.snapshot_begin(self.cloud, SnapshotBegin { seq: self.seq }).unwrap();
                intents.into_iter().for_each(|intent| self.change(Object::Instance(intent)));
            }
            Event::Snapshot(intents) | Event::BrokenSnapshot(intents) => {
                state.snapshot_begin(self.cloud, SnapshotBegin { seq: self.seq }).unwrap();
                self.change(Object::Vpc(Vpc { id: "vpc-1".into(), generation: 1, ..Vpc::default() }));
                let named: Vec<String> = intents.iter().map(|intent| intent.id.clone()).collect();
                intents.into_iter().for_each(|intent| self.change(Object::Instance(intent)));
                self.state.snapshot_end(self.cloud, SnapshotEnd { seq: self.seq }, now).unwrap();
                for (id, instance) in &self.state.instances {
                    assert!(instance.intent.is_none() || named.contains(&id.to_string()), "{id} was not named");
                }
            }
            Event::Intent(intent) => self.change(Object::Instance(intent)),
            Event::Reserve(reservation) => self.change(Object::Capacity(reservation)),
            Event::Unreserve(n) => {
                self.change(Object::Removed(Removed { kind: ObjectKind::Capacity.into(), id: format!("cr-{n}") }));
            }
            Event::Host { host, generation, node } => {
                // The cloud keeps one host on a node.
                let other = format!("h-{}", 1 - host);
                if !self
                    .state
                    .kept_status()
                    .1
                    .iter()
                    .any(|held| held.id == other && held.node_id == format!("n-{node}"))
                {
                    let (id, node_id) = (format!("h-{host}"), format!("n-{node}"));
                    self.change(Object::Host(DedicatedHost { id, generation, node_id, ..Default::default() }));
                }
            }
            Event::Unhost(n) => {
                self.change(Object::Removed(Removed { kind: ObjectKind::Host.into(), id: format!("h-{n}") }));
            }
            Event::RemoveInstance(n) => {
                self.change(Object::Removed(Removed { kind: ObjectKind::Instance.into(), id: id(n) }));
            }
            Event::Confirm => {
                let cursor = Cursor { boot: "boot".into(), seq: state.observations.seq() };
                state.cloud_observed(self.cloud, &cursor).unwrap();
                assert!(state.observations.iter().all(|(_, seen)| !seen.observation.gone));
            }
            Event::Hello { node, boot } => {
                let capacity = Some(Capacity { vcpus: 4, memory_mib: 40, disk_bytes: 400 });
                let hello = NodeHello {
                    node_id: format!("n-{node}"),
                    boot: format!("{boot}"),
                    capacity,
                    view_format: mallee_proto::view::FORMAT,
                    ..Default::default()
                };
                self.nodes[usize::from(node)] = state.node_hello(hello, now).unwrap();
            }
            Event::Resynced(node) => {
                let (index, session) = self.nodes[usize::from(node)];
                drop(state.node_resynced(index, session, now));
            }
            Event::Observe { node, seq, observation } => {
                let (index, session) = self.nodes[usize::from(node)];
                let boot = state.nodes.get(index).map(|node| node.boot.clone()).unwrap_or_default();
                let batch = NodeObserved { cursor: Some(Cursor { boot, seq }), instances: vec![observation] };
                drop(state.node_observed(index, session, batch, now));
            }
            Event::Ended(node) => {
                let (index, session) = self.nodes[usize::from(node)];
                state.node_ended(index, session);
            }
            Event::Place { request, instance, count, kind } => self.place(request, instance, count, kind),
            Event::Unplace(request) => {
                state.unplace(&UnplaceRequest { epoch: self.epoch, request_id: format!("r-{request}") }).unwrap();
            }
            Event::Pass(ms) => {
                self.now.mono_ms += ms;
                state.tick(self.now);
            }
            Event::PullNode(node) => {
                let (index, session) = self.nodes[usize::from(node)];
                if let Pulled::Messages(messages) = state.pull_node(index, session, now)
                    && state.synced.is_none()
                {
                    let orders =
                        messages.iter().filter(|m| !matches!(m.message, Some(cluster_to_node::Message::Welcome(_))));
                    assert_eq!(orders.count(), 0, "no orders before the cloud's intent is known");
                }
            }
            Event::PullCloud => drop(state.pull_cloud(self.cloud)),
        }
    }

    fn place(&mut self, request: u8, instance: u8, count: u8, kind: u8) {
        let request = PlaceRequest {
            epoch: self.epoch,
            request_id: format!("r-{request}"),
            vcpus: 1,
            memory_mib: 10,
            disk_bytes: 100,
            count_min: 1,
            count_max: count.into(),
            ttl_ms: 5_000,
            instance_ids: (instance..instance + count).map(id).collect(),
            group: if kind == 3 { None } else { group(request, 0) },
            capacity_reservations: if kind == 1 {
                (["cr-0", "cr-1"].map(|id| SlotsOf { id: id.into(), generation: 1 })).into()
            } else {
                Vec::new()
            },
            reserved_only: kind == 1 && request > 1,
            slots_of: (kind == 3).then(|| SlotsOf { id: "cr-1".into(), generation: 3 }),
            tenancy: if kind == 2 { Tenancy::Dedicated } else { Tenancy::Shared }.into(),
            account_id: "a".into(),
            ..PlaceRequest::default()
        };
        let before = self.state.fleet.clone();
        match self.state.place(request.clone(), self.now) {
            Ok(reply) => {
                let wish = request.group.clone();
                let again = self.state.place(request, self.now).unwrap();
                for (nth, one) in reply.placements.iter().enumerate() {
                    for other in reply.placements.iter().skip(nth + 1).filter(|other| other.node_id == one.node_id) {
                        let spread = wish.as_ref().is_some_and(|wish| wish.strategy() == GroupStrategy::Spread);
                        assert!(!spread, "two of a spread group on {}", one.node_id);
                        assert_eq!(one.partition, other.partition, "partitions share {}", one.node_id);
                    }
                    let parts = wish.as_ref().map_or(0, |wish| wish.partition_count);
                    assert!(if parts > 0 { (1..=parts).contains(&one.partition) } else { one.partition == 0 });
                }
                if !reply.placements.is_empty() {
                    assert_eq!(again, reply, "a repeat gets the same answer");
                }
                for (before, after) in before.iter().zip(&self.state.fleet) {
                    let grew = after.reserved.vcpus > before.reserved.vcpus;
                    let taken = after.used.plus(after.reserved);
                    assert!(!grew || (taken.vcpus <= after.total.vcpus && taken.disk_bytes <= after.total.disk_bytes));
                    // (A promise that was made before may go elsewhere.)
                    assert!(after.host.is_none() || !grew, "a dedicated host is nobody's");
                    assert!(!grew || after.state == sched::NodeState::Ready);
                }
            }
            Err(error) => assert!(matches!(error.kind, Kind::Unavailable | Kind::Conflict), "{error:?}"),
        }
    }

    /// Everything that is kept twice agrees.
    fn check(&self) {
        let state = &self.state;
        for (index, fleet) in state.fleet.iter().enumerate() {
            let node = &state.nodes[index];
            let charges: Vec<Resources> = state
                .instances
                .keys()
                .filter_map(|id| state.charge_of(id))
                .filter(|(on, _)| *on == index)
                .map(|(_, resources)| resources)
                .collect();
            let used = charges.iter().fold(Resources::default(), |sum, one| sum.plus(*one));
            assert_eq!(fleet.used, used, "usage of {}", node.id);
            let (held, holds) = state.held_on(index);
            assert_eq!(fleet.reserved, held.plus(state.kept_on(index)), "reservations on {}", node.id);
            let guests = fleet.guests.shared + fleet.guests.dedicated.values().sum::<u32>();
            assert_eq!(guests as usize, charges.len() + holds + state.reserving(index), "guests of {}", node.id);
            for id in ["cr-0", "cr-1"] {
                let of = |key: &&InstanceId| state.terms_of(key).reservation.as_deref() == Some(id);
                let charged = state.instances.keys().filter(of).filter_map(|key| state.charge_of(key));
                let on: Vec<Resources> = charged.filter(|(on, _)| *on == index).map(|(_, r)| r).collect();
                let running = on.iter().filter(|r| r.vcpus > 0).count() + state.promised_slots(id, index);
                let users = (
                    u32::try_from(running).unwrap(),
                    u32::try_from(on.len() + state.promised_slots(id, index)).unwrap(),
                );
                assert_eq!(state.users_on(id, index), users, "users of {id} on {}", node.id);
            }
            assert_eq!(fleet.instances as usize, charges.len() + holds);
            let named = state.instances.iter().filter(|(_, instance)| {
                instance.intent.as_ref().is_some_and(|intent| intent.node_id == node.id.as_str())
            });
            assert_eq!(node.instances, named.map(|(id, _)| id.clone()).collect());
            let holds = state.observations.iter().filter(|(_, seen)| seen.node == index && !seen.observation.gone);
            assert_eq!(node.holds, holds.map(|(key, _)| key.clone()).collect());
        }
        for (id, instance) in &state.instances {
            assert!(instance.intent.is_some() || !instance.lives.is_empty(), "{id} is kept for nothing");
            assert!(instance.lives.iter().all(|life| state.seen(id, *life).is_some()));
        }
        let members: usize = state.members.values().map(|members| members.len()).sum();
        let in_groups = state.instances.keys().filter(|id| state.member_at(id).is_some());
        assert_eq!(members, in_groups.count(), "members of groups");
        for id in state.members.values().flatten() {
            assert!(state.member_at(id).is_some(), "{id} takes nothing and counts as a member");
        }
        let lives: usize = state.instances.values().map(|instance| instance.lives.len()).sum();
        assert_eq!(lives, state.observations.len());
        // The network's ports are those of live, placed instances.
        for node in &state.nodes {
            let ports: usize = compile(&state.model, node.id.as_str()).vpcs.iter().map(|vpc| vpc.ports.len()).sum();
            let wanted = node.instances.iter().filter(|id| {
                let intent = state.instances[*id].intent.as_ref().unwrap();
                let seen = state.seen(id, intent.incarnation).map(|seen| &seen.observation);
                let up =
                    seen.is_some_and(|o| !o.gone && matches!(o.phase(), DomainPhase::Running | DomainPhase::Stopping));
                intent.intent() == RunIntent::Run || up
            });
            assert_eq!(ports, wanted.count(), "ports of {}", node.id);
        }
    }
}

#[test]
fn other_zones_are_known_as_the_cloud_last_told() {
    let mut state = ClusterState::new(Settings::for_zone("z".parse().unwrap()), "boot");
    let now = Now { mono_ms: 0, wall_ms: 0 };
    let node = |node: u8, vtep: &str| Object::PeerNode(PeerNode { id: format!("n-{node}"), vtep: vtep.into() });
    let peer = |n: u8| {
        let port = PeerPort { vpc_id: "vpc-1".into(), private_ip: format!("10.0.0.{n}"), ..PeerPort::default() };
        Object::PeerInstance(PeerInstance { id: id(n), node_id: "n-9".into(), ports: vec![port], incarnation: 1 })
    };
    let mut epoch = 0;
    let mut snapshot = |state: &mut ClusterState, objects: Vec<Object>| {
        epoch += 1;
        let session = state.cloud_hello(&CloudHello { epoch, observed: None }).unwrap();
        state.snapshot_begin(session, SnapshotBegin { seq: 5 }).unwrap();
        for object in objects {
            state.intent_change(session, IntentChange { seq: 5, object: Some(object) }).unwrap();
        }
        state.snapshot_end(session, SnapshotEnd { seq: 5 }, now).unwrap();
        session
    };
    let held = |state: &ClusterState| {
        let mut held = state.model.peer_instances();
        held.sort_unstable();
        held
    };
    let session = snapshot(&mut state, vec![node(9, "192.0.2.9"), peer(1), peer(2)]);
    assert_eq!(held(&state), [id(1), id(2)]);
    let gone = |n: u8| Object::Removed(Removed { kind: ObjectKind::Instance.into(), id: id(n) });
    state.intent_change(session, IntentChange { seq: 6, object: Some(gone(1)) }).unwrap();
    assert_eq!(held(&state), [id(2)]);
    snapshot(&mut state, vec![peer(3)]);
    assert_eq!(held(&state), [id(3)], "what a snapshot does not name is gone");

    // A node that has come over to this zone says itself where it is, whatever the cloud still says.
    let hello = NodeHello {
        node_id: "n-9".into(),
        boot: "b".into(),
        vtep: "192.0.2.90".into(),
        view_format: mallee_proto::view::FORMAT,
        ..Default::default()
    };
    let (index, of_node) = state.node_hello(hello, now).unwrap();
    let session = snapshot(&mut state, vec![node(9, "192.0.2.9")]);
    assert_eq!(state.model.vtep("n-9"), Some("192.0.2.90"));
    state.intent_change(session, IntentChange { seq: 7, object: Some(node(8, "192.0.2.8")) }).unwrap();
    assert_eq!(state.model.vtep("n-8"), Some("192.0.2.8"));
    assert_eq!(state.status_of(0).vtep, "192.0.2.90");
    assert_eq!(state.nodes.len(), 1, "a node of another zone is none of ours");
    // It leaves for another zone, where it has another address: the cloud says so before its session here ends, and after.
    state.intent_change(session, IntentChange { seq: 8, object: Some(node(9, "192.0.2.91")) }).unwrap();
    assert_eq!(state.model.vtep("n-9"), Some("192.0.2.90"));
    state.node_ended(index, of_node);
    assert_eq!(state.model.vtep("n-9"), Some("192.0.2.91"));
    state.intent_change(session, IntentChange { seq: 9, object: Some(node(9, "192.0.2.92")) }).unwrap();
    assert_eq!(state.model.vtep("n-9"), Some("192.0.2.92"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn the_books_balance(events in vec(any_event(), 1..80)) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
            world.check();
        }
    }
}
