//! The registry of nodes: who is connected, what they have, when they were last heard.

use super::orders::Outbox;
use super::{ClusterState, LifeKey, NodeIndex, Now};
use crate::settings::limits::{CACHED_IMAGES_MAX, NODES_MAX, PORT_ERRORS_MAX, WARNINGS_MAX};
use mallee_network::Told;
use mallee_proto::v1::{
    Capacity, GatewayStatus, Heartbeat, NetworkApplied, NodeHello, NodeState, NodeStatus, PeerNode,
};
use mallee_proto::{Kind, WireError, view};
use mallee_scheduler as sched;
use mallee_types::{InstanceId, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// One node.
#[derive(Debug)]
pub(super) struct NodeEntry {
    pub(super) id: NodeId,
    /// The session it speaks on.
    pub(super) session: Option<u64>,
    /// It has told all it holds, in this session.
    pub(super) resynced: bool,
    /// The run of the node its observations come from.
    pub(super) boot: String,
    /// Its observations are known up to here.
    pub(super) observed_seq: u64,
    /// The highest epoch it has taken orders from.
    pub(super) order_epoch: u64,
    pub(super) hypervisor: String,
    pub(super) version: String,
    pub(super) vtep: String,
    pub(super) warnings: Vec<String>,
    pub(super) heard_mono_ms: u64,
    pub(super) heard_wall_ms: i64,
    /// Instances whose intent names it.
    pub(super) instances: BTreeSet<InstanceId>,
    /// Lives it reported and that are not over.
    pub(super) holds: BTreeSet<LifeKey>,
    /// In a session that began without a cursor: what it has reported so far.
    pub(super) reported: Option<BTreeSet<LifeKey>>,
    pub(super) out: Outbox,
    pub(super) told: Told,
    /// (epoch, generation, hash) of the view it says it holds; taken when the next view is made.
    pub(super) held_view: Option<(u64, u64, Vec<u8>)>,
    /// Its own ports changed.
    pub(super) view_due: bool,
    /// It has to learn of others.
    pub(super) learn_due: bool,
    /// The newest format of views that it reads.
    pub(super) view_format: u32,
    /// Its view would be of a newer one: it keeps the last that it was told.
    pub(super) outdated: bool,
    /// How often on end its view was not what was meant, and when it gets it whole again.
    pub(super) mismatches: u32,
    pub(super) whole_at_ms: Option<u64>,
    pub(super) applied_generation: u64,
    pub(super) port_errors: BTreeMap<String, String>,
    /// What it has said of its NAT gateways.
    pub(super) gateways: Vec<GatewayStatus>,
    images: Vec<String>,
    /// Where the cloud says it is since it is of another zone.
    elsewhere: Option<String>,
}

impl NodeEntry {
    fn new(id: NodeId) -> Self {
        Self {
            id,
            session: None,
            resynced: false,
            boot: String::new(),
            observed_seq: 0,
            order_epoch: 0,
            hypervisor: String::new(),
            version: String::new(),
            vtep: String::new(),
            warnings: Vec::new(),
            heard_mono_ms: 0,
            heard_wall_ms: 0,
            instances: BTreeSet::new(),
            holds: BTreeSet::new(),
            reported: None,
            out: Outbox::default(),
            told: Told::default(),
            held_view: None,
            view_due: false,
            learn_due: false,
            view_format: 0,
            outdated: false,
            mismatches: 0,
            whole_at_ms: None,
            applied_generation: 0,
            port_errors: BTreeMap::new(),
            gateways: Vec::new(),
            images: Vec::new(),
            elsewhere: None,
        }
    }

    const fn state(&self) -> NodeState {
        match (self.session, self.resynced) {
            (None, _) => NodeState::Offline,
            (Some(_), false) => NodeState::WarmingUp,
            (Some(_), true) => NodeState::Ready,
        }
    }

    pub(super) fn status(&self, fleet: &sched::Node) -> NodeStatus {
        NodeStatus {
            node_id: self.id.to_string(),
            state: self.state().into(),
            total: Some(capacity(fleet.total)),
            used: Some(capacity(fleet.used.plus(fleet.reserved))),
            hypervisor: self.hypervisor.clone(),
            version: self.version.clone(),
            vtep: self.vtep.clone(),
            last_seen_ms: self.heard_wall_ms,
            warnings: self.warnings.iter().cloned().chain(self.outdated.then(outdated)).collect(),
            zone: fleet.zone.to_string(),
            instances: fleet.instances,
            gateways: self.gateways.clone(),
        }
    }
}

fn outdated() -> String {
    "its version does not know what its network is to do now; it keeps the network it has, and gets no new instances, \
     until it is upgraded"
        .to_owned()
}

const fn capacity(of: sched::Resources) -> Capacity {
    Capacity { vcpus: of.vcpus, memory_mib: of.memory_mib, disk_bytes: of.disk_bytes }
}

impl ClusterState {
    /// The place of a node; one that was never heard of gets one, offline and empty.
    ///
    /// # Errors
    /// `Capacity` when there are as many nodes as a zone may have.
    pub(super) fn node_index(&mut self, id: &NodeId) -> Result<NodeIndex, WireError> {
        if let Some(index) = self.by_name.get(id) {
            return Ok(*index);
        }
        if self.nodes.len() >= NODES_MAX {
            return Err(WireError::new(
                Kind::Capacity,
                format!("zone {} has {NODES_MAX} nodes, the most it may have", self.settings.zone),
            ));
        }
        let index = self.nodes.len();
        self.nodes.push(NodeEntry::new(id.clone()));
        self.fleet.push(sched::Node::new(id.clone(), self.settings.zone.clone()));
        self.by_name.insert(id.clone(), index);
        self.node_changed(index);
        Ok(index)
    }

    /// A node has connected. Its session's number is needed for everything it says; an earlier session ends.
    ///
    /// # Errors
    /// `Invalid` for a node id that is none; `Capacity` for one node too many.
    pub fn node_hello(&mut self, hello: NodeHello, now: Now) -> Result<(usize, u64), WireError> {
        let id: NodeId = hello.node_id.parse().map_err(|error| WireError::new(Kind::Invalid, format!("{error}")))?;
        let index = self.node_index(&id)?;
        let session = self.next_session();
        let node = &mut self.nodes[index];
        if node.boot != hello.boot {
            node.boot = hello.boot;
            node.observed_seq = 0;
        }
        node.session = Some(session);
        node.resynced = false;
        node.reported = (node.observed_seq == 0).then(BTreeSet::new);
        node.order_epoch = hello.epoch;
        node.hypervisor = hello.hypervisor;
        node.version = hello.version;
        node.warnings = hello.warnings;
        node.warnings.truncate(WARNINGS_MAX);
        node.held_view = Some((hello.view_epoch, hello.view_generation, hello.view_hash));
        node.view_due = true;
        node.view_format = hello.view_format;
        node.outdated = hello.view_format < view::LEAST_FORMAT;
        (node.mismatches, node.whole_at_ms) = (0, None);
        node.port_errors.clear();
        // It says in this session what it has applied.
        node.applied_generation = 0;
        (node.heard_mono_ms, node.heard_wall_ms) = (now.mono_ms, now.wall_ms);
        node.out = Outbox::fresh();
        let total = hello.capacity.unwrap_or_default();
        node.vtep = hello.vtep;
        node.elsewhere = None;
        self.model.set_node(id.as_str(), &node.vtep);
        let fleet = &mut self.fleet[index];
        fleet.total =
            sched::Resources { vcpus: total.vcpus, memory_mib: total.memory_mib, disk_bytes: total.disk_bytes };
        self.open_orders(index);
        self.node_changed(index);
        if hello.epoch > self.epoch && self.synced.is_some() {
            tracing::warn!(node = %id, epoch = hello.epoch, ours = self.epoch,
                "node has taken orders of a later epoch; it gets none from here until the cloud controller shows that epoch");
        }
        Ok((index, session))
    }

    /// A node of another zone. One that is connected here says itself where it is; what the cloud says counts when it has
    /// gone.
    pub(super) fn set_peer_node(&mut self, peer: &PeerNode) {
        let own = peer.id.parse::<NodeId>().ok().and_then(|id| self.by_name.get(&id).copied());
        match own.map(|index| &mut self.nodes[index]) {
            Some(node) if node.session.is_some() => node.elsewhere = Some(peer.vtep.clone()),
            _ => self.model.set_node(&peer.id, &peer.vtep),
        }
    }

    /// A session of a node has ended. Nothing happens if it was not its current one.
    pub fn node_ended(&mut self, index: usize, session: u64) {
        if self.nodes.get(index).is_some_and(|node| node.session == Some(session)) {
            let node = &mut self.nodes[index];
            node.session = None;
            node.resynced = false;
            node.out = Outbox::default();
            if let Some(vtep) = node.elsewhere.take() {
                self.model.set_node(node.id.as_str(), &vtep);
            }
            self.node_changed(index);
        }
    }

    /// The node of a session that is still current.
    ///
    /// # Errors
    /// `Conflict` when another session has taken its place.
    pub(super) fn current(&mut self, index: usize, session: u64, now: Now) -> Result<&mut NodeEntry, WireError> {
        match self.nodes.get_mut(index) {
            Some(node) if node.session == Some(session) => {
                (node.heard_mono_ms, node.heard_wall_ms) = (now.mono_ms, now.wall_ms);
                Ok(node)
            }
            _ => Err(WireError::new(
                Kind::Conflict,
                "this session of the node has been replaced or given up; connect again",
            )),
        }
    }

    /// A node lives; its heartbeat is answered, so that it knows the same of us.
    ///
    /// # Errors
    /// `Conflict` when the session is not current.
    pub fn node_heartbeat(&mut self, index: usize, session: u64, beat: Heartbeat, now: Now) -> Result<(), WireError> {
        let node = self.current(index, session, now)?;
        node.out.heartbeat = true;
        let mut images = beat.cached_images;
        images.truncate(CACHED_IMAGES_MAX);
        if images != node.images {
            node.images.clone_from(&images);
            self.fleet[index].set_images(images.iter().map(String::as_str));
        }
        self.wake.nodes.insert(index);
        Ok(())
    }

    /// A node says what of its view it has applied.
    ///
    /// # Errors
    /// `Conflict` when the session is not current.
    pub fn node_applied(
        &mut self,
        index: usize,
        session: u64,
        applied: NetworkApplied,
        now: Now,
    ) -> Result<(), WireError> {
        let node = self.current(index, session, now)?;
        node.applied_generation = applied.generation;
        node.mismatches = 0;
        node.port_errors = applied.port_errors.into_iter().take(PORT_ERRORS_MAX).collect();
        self.look_at_gateways(index);
        Ok(())
    }

    /// Gives up sessions whose node was silent too long.
    pub(super) fn give_up_silent(&mut self, now: Now) {
        let limit = u64::try_from(self.settings.offline_after.as_millis()).unwrap_or(u64::MAX);
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let silent = now.mono_ms.saturating_sub(node.heard_mono_ms);
            if let Some(session) = node.session.filter(|_| silent > limit) {
                tracing::warn!(node = %node.id, silent_ms = silent, "node is silent; taking it as offline");
                self.node_ended(index, session);
            }
        }
    }

    /// The node's state changed: the scheduler and the cloud are to know.
    pub(super) fn node_changed(&mut self, index: NodeIndex) {
        self.fleet[index].state = match self.nodes[index].state() {
            NodeState::Ready if self.nodes[index].outdated => sched::NodeState::Outdated,
            NodeState::Ready => sched::NodeState::Ready,
            NodeState::WarmingUp => sched::NodeState::WarmingUp,
            NodeState::Offline | NodeState::Unspecified => sched::NodeState::Offline,
        };
        self.wake.nodes.insert(index);
        if let Some(cloud) = &mut self.cloud {
            cloud.changed_nodes.insert(index);
            self.wake.cloud = true;
        }
    }
}
