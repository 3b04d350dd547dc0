//! When a node is told about its network: its own ports at once, others in rounds.

use super::{ClusterState, NodeIndex, Now};
use crate::settings::limits::{LEARN_AFTER, LEARN_AFTER_MAX, LEARN_COST_PER_NODE, WHOLE_AGAIN, WHOLE_AGAIN_MAX};
use mallee_network::bare;
use mallee_proto::v1::{NodeView, NodeViewUpdate};
use mallee_proto::{WireError, view};
use mallee_types::NodeId;
use std::time::Duration;

/// A round of telling is followed by a pause of this many times its cost.
const PAUSE_PER_COST: u32 = 4;

impl ClusterState {
    /// The update the node is to get now. Before the zone has settled there is none: a view made of half the
    /// knowledge would cut instances off that the node's last view still reaches.
    pub(super) fn next_view(&mut self, index: NodeIndex) -> Option<NodeViewUpdate> {
        if !self.settled || !self.may_order(index) {
            return None;
        }
        let (model, epoch, node) = (&self.model, self.epoch, &mut self.nodes[index]);
        if let Some((held_epoch, generation, hash)) = node.held_view.take() {
            node.told.node_holds(model, node.id.as_str(), held_epoch, generation, &hash);
            node.learn_due = true;
        }
        let (all, local) = (std::mem::take(&mut node.learn_due), std::mem::take(&mut node.view_due));
        let update = if all {
            node.told.learn_all(model, node.id.as_str(), epoch)
        } else if local {
            node.told.learn_local(model, node.id.as_str(), epoch)
        } else {
            None
        };
        update.as_ref()?;
        let unread = view::format_of(node.told.view()) > node.view_format;
        if unread {
            // It was not told: whatever it can read again is told it whole.
            node.told.distrust();
        }
        let outdated = unread || node.view_format < view::LEAST_FORMAT;
        if outdated != std::mem::replace(&mut node.outdated, outdated) {
            self.node_changed(index);
        }
        update.filter(|_| !unread)
    }

    /// A node's view is not what it should be: it gets it whole. If that does not help, it gets it again after a while,
    /// and later each time: no node is to be told the same without end.
    ///
    /// # Errors
    /// `Conflict` when the session is not current.
    pub fn node_view_mismatch(&mut self, index: usize, session: u64, now: Now) -> Result<(), WireError> {
        let node = self.current(index, session, now)?;
        node.told.distrust();
        node.mismatches = node.mismatches.saturating_add(1);
        let again = u64::try_from(WHOLE_AGAIN.as_millis()).unwrap_or(u64::MAX);
        let longest = u64::try_from(WHOLE_AGAIN_MAX.as_millis()).unwrap_or(u64::MAX);
        match node.mismatches.checked_sub(2) {
            None => {
                node.learn_due = true;
                self.wake.nodes.insert(index);
            }
            Some(times) => {
                tracing::warn!(node = %node.id, times = node.mismatches, "its view is never what was meant");
                let pause = again.saturating_mul(1 << times.min(16)).min(longest);
                node.whole_at_ms = Some(now.mono_ms.saturating_add(pause));
            }
        }
        Ok(())
    }

    /// Has nodes told their views whole whose time it is.
    pub(super) fn tell_whole_again(&mut self, now: Now) {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if node.whole_at_ms.take_if(|at| *at <= now.mono_ms).is_some() {
                node.learn_due = true;
                self.wake.nodes.insert(index);
            }
        }
    }

    /// The hash of the view that the node should have applied: what the model says now, under the epoch and generation
    /// it was told last. Empty when there is nothing to compare: it is still to be told something, or was told nothing.
    #[must_use]
    pub fn wanted_view_hash(&self, node_id: &str) -> Vec<u8> {
        let index = node_id.parse::<NodeId>().ok().and_then(|id| self.by_name.get(&id).copied());
        let Some(node) = index.and_then(|index| self.nodes.get(index)) else { return Vec::new() };
        let telling = node.view_due || node.learn_due || self.model.has_touched_vpcs();
        let told = node.told.view();
        if telling || !self.settled || told.generation == 0 {
            return Vec::new();
        }
        let wanted = NodeView { epoch: told.epoch, generation: told.generation, ..bare(&self.model, node_id) };
        view::hash(&wanted).to_vec()
    }

    /// How long to gather before the next [`Self::learn`].
    #[must_use]
    pub fn learn_in(&self, now: Now) -> Duration {
        LEARN_AFTER.max(Duration::from_millis(self.learn_not_before_ms.saturating_sub(now.mono_ms)))
    }

    /// Lets connected nodes learn what changed on others since the last time.
    pub fn learn(&mut self, now: Now) {
        let mut nodes = 0;
        for name in self.model.take_learning_nodes() {
            let Some(index) = name.parse::<NodeId>().ok().and_then(|id| self.by_name.get(&id).copied()) else {
                continue;
            };
            // A node that is not connected gets everything when it is.
            if self.nodes[index].session.is_some() {
                self.nodes[index].learn_due = true;
                nodes += 1;
                self.wake.nodes.insert(index);
            }
        }
        let pause = LEARN_COST_PER_NODE.saturating_mul(nodes).saturating_mul(PAUSE_PER_COST).min(LEARN_AFTER_MAX);
        self.learn_not_before_ms = now.mono_ms + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    }
}
