//! What a node has to be sent: kept as marks on things, not as a queue of messages, so that it cannot grow.

use super::{ClusterState, NodeIndex, Now, Pulled};
use crate::settings::limits::{NODE_REQUESTS_MAX, PULL_MAX};
use mallee_proto::v1::cluster_to_node::Message;
use mallee_proto::v1::{ClusterToNode, Cursor, DesiredEnd, ForgetInstance, Heartbeat, Welcome};
use mallee_proto::{Kind, WireError, view};
use mallee_types::InstanceId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What one session of a node has not heard yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    welcome: bool,
    /// Orders are being given in this session.
    open: bool,
    pub(super) heartbeat: bool,
    questions: VecDeque<ClusterToNode>,
    desired: BTreeSet<InstanceId>,
    desired_end: bool,
    forget: BTreeMap<InstanceId, u64>,
}

impl Outbox {
    /// Of a session that has just begun.
    pub(super) fn fresh() -> Self {
        Self { welcome: true, ..Self::default() }
    }
}

impl ClusterState {
    /// Whether this controller may tell the node what to do: it knows all of the cloud's intent, and the node has
    /// not taken orders from a later leader.
    pub(super) fn may_order(&self, index: NodeIndex) -> bool {
        let node = &self.nodes[index];
        node.session.is_some() && self.synced.is_some() && self.epoch >= node.order_epoch
    }

    /// Starts giving orders in the node's session, if it may: everything it should have, and the end mark.
    pub(super) fn open_orders(&mut self, index: NodeIndex) {
        if !self.may_order(index) || self.nodes[index].out.open {
            return;
        }
        let orphans: Vec<_> = self.nodes[index].holds.iter().cloned().collect();
        let node = &mut self.nodes[index];
        node.out.open = true;
        node.out.desired = node.instances.clone();
        node.out.desired_end = true;
        self.wake.nodes.insert(index);
        for (id, incarnation) in orphans {
            self.forget_if_orphan(index, &id, incarnation);
        }
    }

    /// The cloud has a new leader: every connected node that does not know its epoch is welcomed again, in the new epoch, before it gets another
    /// order, and refuses the old leader from then on. Nodes that waited for this epoch get their orders.
    pub(super) fn announce_epoch(&mut self) {
        for index in 0..self.nodes.len() {
            // One that knows this epoch, or a later one, has nothing to hear.
            if self.nodes[index].session.is_some() && self.epoch > self.nodes[index].order_epoch {
                self.nodes[index].out.welcome = true;
                self.wake.nodes.insert(index);
            }
            self.open_orders(index);
        }
    }

    /// The instance's intent changed: its node is to hear it.
    pub(super) fn order(&mut self, index: NodeIndex, id: &InstanceId) {
        let out = &mut self.nodes[index].out;
        if out.open {
            out.forget.remove(id);
            out.desired.insert(id.clone());
            self.wake.nodes.insert(index);
        }
    }

    /// The node is to give up what it has of an instance. When it is not connected, the end mark of its next
    /// session says the same.
    pub(super) fn order_forget(&mut self, index: NodeIndex, id: &InstanceId, generation: u64) {
        let out = &mut self.nodes[index].out;
        if out.open {
            out.desired.remove(id);
            out.forget.insert(id.clone(), generation);
            self.wake.nodes.insert(index);
        }
    }

    /// Queues a question for a node.
    ///
    /// # Errors
    /// `Unavailable` when the node is not connected or has too many questions waiting.
    pub fn ask(&mut self, index: usize, question: ClusterToNode) -> Result<(), WireError> {
        let Some(node) = self.nodes.get_mut(index).filter(|node| node.session.is_some()) else {
            let name = self.nodes.get(index).map_or("", |node| node.id.as_str());
            return Err(WireError::new(Kind::Unavailable, format!("node {name} is offline")));
        };
        if node.out.questions.len() >= NODE_REQUESTS_MAX {
            return Err(WireError::new(
                Kind::Unavailable,
                format!("node {} has too many questions waiting; try again", node.id),
            ));
        }
        node.out.questions.push_back(question);
        self.wake.nodes.insert(index);
        Ok(())
    }

    /// What the node's session is to send next.
    pub fn pull_node(&mut self, index: usize, session: u64, now: Now) -> Pulled<ClusterToNode> {
        let (epoch, settings) = (self.epoch, &self.settings);
        let Some(node) = self.nodes.get_mut(index).filter(|node| node.session == Some(session)) else {
            return Pulled::Ended;
        };
        let mut messages = Vec::new();
        let mut push = |message| messages.push(ClusterToNode { message: Some(message) });
        if std::mem::take(&mut node.out.welcome) {
            push(Message::Welcome(Welcome {
                // Never lower than what the node has seen: it is not to refuse a session in which it gets no orders.
                epoch: epoch.max(node.order_epoch),
                observed: Some(Cursor { boot: node.boot.clone(), seq: node.observed_seq }),
                heartbeat_ms: millis(settings.heartbeat),
                sweep_grace_ms: millis(settings.sweep_grace),
            }));
        }
        if std::mem::take(&mut node.out.heartbeat) {
            push(Message::Heartbeat(Heartbeat { sent_at_ms: now.wall_ms, cached_images: Vec::new() }));
        }
        messages.extend(node.out.questions.drain(..));
        let mut push = |message| messages.push(ClusterToNode { message: Some(message) });
        for _ in 0..PULL_MAX {
            let Some((id, generation)) = node.out.forget.pop_first() else { break };
            push(Message::Forget(ForgetInstance { id: id.into(), generation }));
        }
        for _ in 0..PULL_MAX {
            let Some(id) = node.out.desired.pop_first() else { break };
            if let Some(intent) = self.instances.get(&id).and_then(|instance| instance.intent.clone()) {
                push(Message::Instance(intent));
            }
        }
        if node.out.desired_end && node.out.desired.is_empty() {
            node.out.desired_end = false;
            let instance_ids = node.instances.iter().map(ToString::to_string).collect();
            push(Message::DesiredEnd(DesiredEnd { instance_ids }));
        }
        if let Some(update) = self.next_view(index) {
            // One message, unless it is a large view told whole.
            let parts = view::split(update).into_iter();
            messages.extend(parts.map(|part| ClusterToNode { message: Some(Message::View(part)) }));
        }
        self.look_at_gateways(index);
        Pulled::Messages(messages)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
