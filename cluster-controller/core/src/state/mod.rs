//! The state of a zone. See the crate's documentation for how sessions use it.

mod capacity;
mod cloud;
mod explain;
mod gateways;
mod groups;
mod holds;
mod instances;
mod nodes;
mod observe;
mod orders;
mod place;
mod preempt;
mod views;

use crate::Settings;
use holds::Reservations;
use instances::Instance;
use mallee_network::Model;
use mallee_proto::v1::{InstanceObservation, NodeStatus};
use mallee_proto::{Kind, WireError};
use mallee_runtime::Journal;
use mallee_scheduler as sched;
use mallee_types::{InstanceId, NodeId};
use nodes::NodeEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A node's place in the state's lists. Nodes are never removed while the controller runs.
pub(crate) type NodeIndex = usize;

/// Both clocks, read once per message.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic, in milliseconds since the controller started: for deadlines.
    pub mono_ms: u64,
    /// Wall clock, in milliseconds since 1970: for people.
    pub wall_ms: i64,
}

/// What a session is to send next.
#[derive(Debug)]
pub enum Pulled<M> {
    /// These, in order; none means: wait to be woken.
    Messages(Vec<M>),
    /// Another session took this one's place, or it was given up: end it.
    Ended,
}

/// Who has something new to send.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pub(crate) nodes: BTreeSet<NodeIndex>,
    pub(crate) cloud: bool,
    /// Nodes have something to learn about other nodes: flush soon.
    pub(crate) learn: bool,
}

/// An observation with its place in the stream of the node it came from.
#[derive(Debug, Clone)]
struct Seen {
    observation: InstanceObservation,
    node: NodeIndex,
    boot: String,
    seq: u64,
    /// Its position in the journal.
    position: u64,
}

/// One life of one instance.
type LifeKey = (InstanceId, u64);

/// What this zone's controller knows.
#[derive(Debug)]
pub struct ClusterState {
    settings: Settings,
    /// The highest epoch any cloud controller has shown.
    epoch: u64,
    /// The epoch of the last snapshot that was heard whole.
    synced: Option<u64>,
    /// The last change applied, of the log as it was in `synced`'s epoch.
    applied_seq: u64,
    /// Placing has begun: a snapshot is whole, and the nodes it names have told what they hold or are offline.
    settled: bool,
    settle_deadline_ms: u64,
    fleet: Vec<sched::Node>,
    nodes: Vec<NodeEntry>,
    by_name: HashMap<NodeId, NodeIndex>,
    instances: HashMap<InstanceId, Instance>,
    members: groups::Members,
    observations: Journal<LifeKey, Seen>,
    /// Lives that are over, by journal position: dropped when the cloud has confirmed to know.
    gone: BTreeMap<u64, LifeKey>,
    reservations: Reservations,
    kept: capacity::Kept,
    model: Model,
    cloud: Option<cloud::CloudSession>,
    sessions: u64,
    marks: u64,
    learn_not_before_ms: u64,
    wake: Wake,
}

impl ClusterState {
    /// Empty; `boot` names this run of the controller.
    #[must_use]
    pub fn new(settings: Settings, boot: impl Into<String>) -> Self {
        Self {
            settings,
            epoch: 0,
            synced: None,
            applied_seq: 0,
            settled: false,
            settle_deadline_ms: 0,
            fleet: Vec::new(),
            nodes: Vec::new(),
            by_name: HashMap::new(),
            instances: HashMap::new(),
            members: HashMap::new(),
            observations: Journal::new(boot),
            gone: BTreeMap::new(),
            reservations: Reservations::default(),
            kept: capacity::Kept::default(),
            model: Model::default(),
            cloud: None,
            sessions: 0,
            marks: 0,
            learn_not_before_ms: 0,
            wake: Wake::default(),
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether placing has begun.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Who has to be woken after the last messages.
    pub(crate) fn take_wake(&mut self) -> Wake {
        self.mark_touched();
        self.wake.learn |= self.settled && self.model.has_touched_vpcs();
        std::mem::take(&mut self.wake)
    }

    /// Marks nodes whose own ports the last messages changed: their views are due. The shell has this done after
    /// every message.
    pub fn mark_touched(&mut self) {
        for node in self.model.take_touched_nodes() {
            if let Some(index) = node.parse::<NodeId>().ok().and_then(|id| self.by_name.get(&id).copied()) {
                self.nodes[index].view_due = true;
                self.wake.nodes.insert(index);
            }
        }
    }

    const fn next_session(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }

    fn check_epoch(&mut self, epoch: u64) -> Result<(), WireError> {
        if epoch < self.epoch {
            let text = format!("epoch {epoch} is over: zone {} follows epoch {}", self.settings.zone, self.epoch);
            return Err(WireError::new(Kind::StaleEpoch, text));
        }
        if epoch > self.epoch {
            self.epoch = epoch;
            if self.cloud.as_ref().is_some_and(|session| session.epoch < epoch) {
                self.cloud = None;
                self.wake.cloud = true;
            }
            self.announce_epoch();
        }
        Ok(())
    }

    /// Placing, and changing what nodes do to their network, begins when the cloud's intent is whole and every node
    /// that it names (and every node that connected) has told what it holds, or has had its time.
    fn settle(&mut self, now: Now) {
        if self.settled || self.synced.is_none() {
            return;
        }
        if now.mono_ms < self.settle_deadline_ms && !self.awaited().is_empty() {
            return;
        }
        let late = self.awaited();
        if !late.is_empty() {
            tracing::warn!(nodes = ?late, "nodes did not report in time; they are offline until they do");
        }
        self.settled = true;
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.view_due = true;
            self.wake.nodes.insert(index);
        }
        tracing::info!(zone = %self.settings.zone, nodes = self.nodes.len(), instances = self.instances.len(), "zone is ready");
    }

    /// Nodes that still have to tell what they hold.
    fn awaited(&self) -> Vec<NodeId> {
        let waiting = self
            .nodes
            .iter()
            .filter(|n| !n.resynced && (n.session.is_some() || !n.instances.is_empty() || self.has_gateways(n)));
        waiting.map(|node| node.id.clone()).collect()
    }

    fn has_gateways(&self, node: &NodeEntry) -> bool {
        self.model.nat_gateways_on(node.id.as_str()).next().is_some()
    }

    /// Time has passed: gives up nodes that were silent too long, and reservations that ran out.
    pub fn tick(&mut self, now: Now) {
        self.give_up_silent(now);
        self.expire_reservations(now.mono_ms);
        self.tell_whole_again(now);
        self.settle(now);
    }

    fn status_of(&self, index: NodeIndex) -> NodeStatus {
        self.nodes[index].status(&self.fleet[index])
    }
}

#[cfg(test)]
mod tests;
