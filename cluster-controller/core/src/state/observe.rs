//! Observations from nodes: kept as the newest per life of an instance, and passed on through the journal.

use super::{ClusterState, LifeKey, NodeIndex, Now, Seen};
use mallee_proto::WireError;
use mallee_proto::v1::{DomainPhase, InstanceObservation, NodeObserved, StateReason};
use mallee_types::InstanceId;

impl ClusterState {
    /// A node reports. What is older than what is known changes nothing.
    ///
    /// # Errors
    /// `Conflict` when the session is not current.
    pub fn node_observed(
        &mut self,
        index: usize,
        session: u64,
        batch: NodeObserved,
        now: Now,
    ) -> Result<(), WireError> {
        let node = self.current(index, session, now)?;
        let cursor = batch.cursor.unwrap_or_default();
        let boot = node.boot.clone();
        if cursor.boot == boot {
            node.observed_seq = node.observed_seq.max(cursor.seq);
        }
        for observation in batch.instances {
            self.observe(index, observation, &boot, cursor.seq);
        }
        Ok(())
    }

    /// The node has reported everything it holds, in this session.
    ///
    /// # Errors
    /// `Conflict` when the session is not current.
    pub fn node_resynced(&mut self, index: usize, session: u64, now: Now) -> Result<(), WireError> {
        let node = self.current(index, session, now)?;
        let first = !std::mem::replace(&mut node.resynced, true);
        // A full report that lacks a life which nobody wants any more: the node has lost it, so it is over.
        if let Some(reported) = node.reported.take() {
            let boot = node.boot.clone();
            let lost: Vec<LifeKey> = node.holds.difference(&reported).cloned().collect();
            for (id, incarnation) in lost {
                if self.instances.get(&id).is_none_or(|instance| instance.intent.is_none()) {
                    self.record_lost(index, &id, incarnation, &boot, now);
                }
            }
        }
        if first {
            self.node_changed(index);
        }
        self.settle(now);
        Ok(())
    }

    fn record_lost(&mut self, index: NodeIndex, id: &InstanceId, incarnation: u64, boot: &str, now: Now) {
        let generation = self.seen(id, incarnation).map_or(0, |seen| seen.observation.generation);
        let message = format!("node {} holds nothing of it any more", self.nodes[index].id);
        let observation = InstanceObservation {
            id: id.to_string(),
            incarnation,
            node_id: self.nodes[index].id.to_string(),
            generation,
            phase: DomainPhase::Absent.into(),
            reason: Some(StateReason { code: "Server.InternalError".to_owned(), message }),
            observed_at_ms: now.wall_ms,
            gone: true,
            ..InstanceObservation::default()
        };
        let seq = self.nodes[index].observed_seq;
        self.observe(index, observation, boot, seq);
    }

    fn observe(&mut self, index: NodeIndex, observation: InstanceObservation, boot: &str, seq: u64) {
        let node = &mut self.nodes[index];
        if observation.node_id != node.id.as_str() {
            tracing::warn!(node = %node.id, claimed = observation.node_id, "a node may only report for itself; ignored");
            return;
        }
        let Ok(id) = observation.id.parse::<InstanceId>() else {
            tracing::warn!(node = %node.id, id = observation.id, "a node named an instance by an id that is none; ignored");
            return;
        };
        let incarnation = observation.incarnation;
        let key: LifeKey = (id.clone(), incarnation);
        if let Some(reported) = &mut node.reported {
            reported.insert(key.clone());
        }
        if let Some(seen) = self.observations.get(&key) {
            let late = seen.node == index
                && seen.boot == boot
                && (seq < seen.seq || observation.generation < seen.observation.generation);
            // One life is bound to one node for ever.
            let foreign = seen.node != index && !seen.observation.gone;
            if foreign {
                tracing::warn!(node = %self.nodes[index].id, other = %self.nodes[seen.node].id, instance = %id,
                    "two nodes report the same life of an instance; the later report is ignored");
            }
            if late || foreign || seen.observation == observation {
                return;
            }
        }
        let node = &mut self.nodes[index];
        let gone = observation.gone;
        if gone {
            node.holds.remove(&key);
        } else {
            node.holds.insert(key.clone());
        }
        let instance = self.instances.entry(id.clone()).or_default();
        if let Err(place) = instance.lives.binary_search(&incarnation) {
            instance.lives.insert(place, incarnation);
        }
        let position = self.observations.seq() + 1;
        let seen = Seen { observation, node: index, boot: boot.to_owned(), seq, position };
        self.observations.put(key.clone(), seen);
        if gone {
            self.gone.insert(position, key);
        }
        self.wake.cloud = true;
        self.forget_if_orphan(index, &id, incarnation);
        self.refresh_instance(&id);
    }

    /// The cloud has every observation up to `seq`: lives that are over need not be kept any longer.
    pub(super) fn confirm_observed(&mut self, boot: &str, seq: u64) {
        if boot != self.observations.boot() {
            return;
        }
        let later = self.gone.split_off(&seq.saturating_add(1));
        for (position, key) in std::mem::replace(&mut self.gone, later) {
            // It may have been reported again since.
            if self.observations.get(&key).is_some_and(|seen| seen.position == position) {
                self.observations.remove(&key);
                let (id, incarnation) = key;
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.lives.retain(|life| *life != incarnation);
                    instance.over = instance.over.max(Some(incarnation));
                }
                self.refresh_instance(&id);
            }
        }
    }
}
