//! Three hosts on one underlay and one public segment, and what a cluster controller knows of them.

use crate::lab::{Lab, ok, sh};
use mallee_network::{Model, Told, compile};
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::{InstanceIntent, NodeView, PortView, RunIntent};
use mallee_proto::view;
use mallee_runtime::FaultAction;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Public addresses of instances; the segment has others, too.
const POOL: &str = "203.0.113.128/25";
/// The router of the public segment, and beyond it a server of the world.
pub const ROUTER: &str = "203.0.113.9";
pub const WORLD: &str = "198.51.100.1";

pub struct Node {
    pub name: String,
    pub lab: Lab,
    told: Told,
    held: NodeView,
    /// A view from before, which may come once more.
    before: NodeView,
}

pub struct World {
    pub model: Model,
    pub nodes: Vec<Node>,
    /// The namespace of the public segment's router.
    pub world: String,
    /// Guests by instance id: their namespace and the node.
    pub guests: BTreeMap<String, (String, usize)>,
    intents: BTreeMap<String, InstanceIntent>,
}

impl World {
    pub fn new() -> Self {
        let vtep = |n: usize| format!("192.0.2.{}", n + 1);
        let mut labs: Vec<Lab> = (0..3).map(|n| Lab::with_vtep(&vtep(n))).collect();
        // They go with the first lab.
        let (underlay, world) = (format!("{}-und", labs[0].prefix), format!("{}-seg", labs[0].prefix));
        for ns in [&underlay, &world] {
            ok(None, &format!("ip netns add {ns}; ip -n {ns} link add br0 type bridge; ip -n {ns} link set br0 up"));
        }
        ok(
            Some(&world),
            &format!(
                "ip link set lo up; ip addr add {ROUTER}/24 dev br0; ip addr add {WORLD}/32 dev lo; \
                 sysctl -qw net.ipv4.ip_forward=1"
            ),
        );
        for (n, lab) in labs.iter_mut().enumerate() {
            for (device, net, address) in [("u0", &underlay, vtep(n)), ("s0", &world, format!("203.0.113.{}", n + 1))] {
                ok(None, &format!("ip -n {} link add {device} type veth peer name p{n} netns {net}", lab.host));
                ok(Some(net), &format!("ip link set p{n} master br0 up"));
                ok(Some(&lab.host), &format!("ip addr add {address}/24 dev {device}; ip link set {device} up"));
            }
            ok(Some(&lab.host), &format!("ip route add default via {ROUTER}"));
            lab.config.public_pool = vec![POOL.parse().unwrap()];
            lab.config.public_link = Some("s0".to_owned());
            lab.restart();
        }
        let mut model = Model::default();
        let node = |(n, lab)| {
            let name = format!("node{n}");
            model.set_node(&name, &vtep(n));
            Node { name, lab, told: Told::default(), held: NodeView::default(), before: NodeView::default() }
        };
        let nodes = labs.into_iter().enumerate().map(node).collect();
        Self { model, nodes, world, guests: BTreeMap::new(), intents: BTreeMap::new() }
    }

    /// Tells every node what it does not know yet, and waits until all of it stands.
    pub async fn tell(&mut self) {
        for n in 0..self.nodes.len() {
            self.take(n);
            let node = &self.nodes[n];
            let applied = node.lab.engine().apply(Arc::new(node.held.clone())).await.unwrap();
            assert_eq!(applied, Default::default(), "{}", node.name);
        }
        drop((self.model.take_touched_nodes(), self.model.take_learning_nodes()));
    }

    /// The node is sent what it does not know yet, and has not applied it.
    pub fn take(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if let Some(update) = node.told.learn_all(&self.model, &node.name, 1) {
            let next = view::apply(&node.held, &update).unwrap();
            // It comes twice: the second is of the base that is not held any more.
            assert!(view::apply(&next, &update).is_err() || update.base_generation == 0);
            node.before = std::mem::replace(&mut node.held, next);
        }
    }

    /// The engine of a node is given what it was sent and dies at a step; one that never comes to it is through.
    pub async fn die_at(&mut self, n: usize, point: &str) {
        let node = &mut self.nodes[n];
        node.lab.faults.arm(point, FaultAction::Kill, 1);
        let view = Arc::new(node.held.clone());
        tokio::select! {
            applied = node.lab.engine().apply(view) => drop(applied.unwrap()),
            () = node.lab.faults.killed() => {}
        }
        node.lab.faults.clear();
        node.lab.restart();
    }

    /// An older view comes late, after the newest was applied: it is refused.
    pub async fn late(&self, n: usize) {
        let node = &self.nodes[n];
        if node.before.generation > 0 && node.before.generation < node.held.generation {
            node.lab.engine().apply(Arc::new(node.held.clone())).await.unwrap();
            node.lab.engine().apply(Arc::new(node.before.clone())).await.unwrap_err();
        }
    }

    /// Places an instance, or changes what is known of it; the nodes are not told yet.
    pub fn set(&mut self, id: &str, change: impl FnOnce(&mut InstanceIntent)) {
        let new = || InstanceIntent {
            id: id.to_owned(),
            incarnation: 1,
            intent: RunIntent::Run.into(),
            ..InstanceIntent::default()
        };
        let intent = self.intents.entry(id.to_owned()).or_insert_with(new);
        intent.generation += 1;
        change(intent);
        self.model.set_instance(intent, true);
    }

    /// The instance ends; the nodes are not told yet.
    pub fn end(&mut self, id: &str) {
        self.intents.remove(id);
        self.guests.remove(id);
        self.model.remove_instance(id);
    }

    /// The port of an instance as its node was told.
    pub fn port(&self, id: &str) -> (usize, PortView) {
        let of = |(n, node): (usize, &Node)| {
            let port = node.held.vpcs.iter().flat_map(|vpc| &vpc.ports).find(|port| port.instance_id == id)?;
            Some((n, port.clone()))
        };
        self.nodes.iter().enumerate().find_map(of).unwrap_or_else(|| panic!("no node was told of {id}"))
    }

    /// Starts the guest of an instance that its node was told of.
    pub async fn boot(&mut self, id: &str) {
        let (n, port) = self.port(id);
        let guest = self.nodes[n].lab.launch(&port).await;
        self.guests.insert(id.to_owned(), (guest, n));
    }

    /// The namespace of a guest; `world` is a machine somewhere else.
    pub fn ns(&self, id: &str) -> &str {
        if id == "world" { &self.world } else { &self.guests[id].0 }
    }

    /// A server of a guest that says who connects.
    pub fn serve(&self, id: &str, port: u16) {
        let n = self.guests.get(id).map_or(0, |(_, n)| *n);
        self.nodes[n].lab.tcp_server(self.ns(id), port);
    }

    /// The engine's process ends and another begins, over what it left.
    pub fn restart(&mut self, n: usize) {
        self.nodes[n].lab.restart();
    }

    /// What each node holds is what the model says, and its kernel has nothing for anybody else.
    pub fn settled(&self) {
        for node in &self.nodes {
            let wanted = NodeView { epoch: 1, generation: node.held.generation, ..compile(&self.model, &node.name) };
            assert_eq!(view::hash(&wanted), view::hash(&node.held), "{} was told otherwise", node.name);
            let names: Vec<String> = wanted.vpcs.iter().map(|vpc| node.lab.names.vpc_ns(&vpc.vpc_id)).collect();
            let edge = node.lab.names.edge_ns();
            let there = String::from_utf8(sh(None, "ip netns list").stdout).unwrap();
            let ours = there.split_whitespace().filter(|name| node.lab.names.is_ours_ns(name) && **name != edge);
            assert_eq!(ours.filter(|name| !names.iter().any(|n| n == name)).collect::<Vec<_>>(), [""; 0]);
        }
    }
}
