//! Why an instance is where it is, and what it waits for; and the zone at a glance.

use super::{ClusterState, NodeIndex};
use mallee_proto::v1::{ClusterStatusReply, DomainPhase, ExplainReply, InstanceIntent, RunIntent};
use mallee_proto::{Kind, WireError};
use mallee_runtime::clock::from_unix_ms;
use mallee_types::{InstanceId, NodeId};

impl ClusterState {
    /// The zone and its nodes.
    #[must_use]
    pub fn status(&self) -> ClusterStatusReply {
        let (capacity, hosts) = self.kept_status();
        ClusterStatusReply {
            capacity,
            hosts,
            zone: self.settings.zone.to_string(),
            epoch: self.epoch,
            nodes: (0..self.nodes.len()).map(|index| self.status_of(index)).collect(),
            applied_seq: self.applied_seq,
        }
    }

    /// What is known of an instance, and what it waits for.
    ///
    /// # Errors
    /// `Invalid` for an id that is none, `NotFound` when nothing is known of it here.
    pub fn explain(&self, instance_id: &str) -> Result<ExplainReply, WireError> {
        let id: InstanceId = instance_id.parse().map_err(|error| WireError::new(Kind::Invalid, format!("{error}")))?;
        let mut notes = Vec::new();
        if let Some((node, request)) = self.hold_of(&id) {
            notes.push(format!(
                "capacity is reserved on node {node} by placement request {request}; the launch is not committed yet"
            ));
        }
        let instance = self.instances.get(&id);
        if instance.is_none() && notes.is_empty() {
            let text = format!("zone {} knows nothing of instance {id}", self.settings.zone);
            return Err(WireError::new(Kind::NotFound, text));
        }
        let intent = instance.and_then(|instance| instance.intent.clone());
        let life = match (&intent, instance) {
            (Some(intent), _) => Some(intent.incarnation),
            (None, Some(instance)) => instance.lives.last().copied(),
            (None, None) => None,
        };
        let observation = life.and_then(|life| self.seen(&id, life)).map(|seen| seen.observation.clone());
        match &intent {
            Some(intent) => notes.extend(self.notes(&id, intent)),
            None if instance.is_some() => {
                notes.push("no intent of the cloud names it: its node has been told to give it up".to_owned());
            }
            None => {}
        }
        for life in instance.map(|instance| instance.lives.as_slice()).unwrap_or_default() {
            let seen = self.seen(&id, *life).filter(|seen| !seen.observation.gone);
            if let (Some(seen), Some(intent)) = (seen, &intent)
                && *life != intent.incarnation
            {
                notes.push(format!("node {} still holds incarnation {life}", self.nodes[seen.node].id));
            }
        }
        // Whoever explains has no business with the instance's credentials.
        let intent = intent.map(|intent| InstanceIntent { credentials: None, ..intent });
        Ok(ExplainReply { intent, observation, notes })
    }

    fn notes(&self, id: &InstanceId, intent: &InstanceIntent) -> Vec<String> {
        let index = intent.node_id.parse::<NodeId>().ok().and_then(|node| self.by_name.get(&node).copied());
        let Some(index) = index else { return vec!["it is not placed on a node".to_owned()] };
        let (mut notes, node) = (Vec::new(), &self.nodes[index]);
        if node.session.is_none() {
            notes.push(self.offline_note(index));
            if intent.intent() == RunIntent::Terminate {
                notes.push(format!(
                    "termination is finished when node {} returns and confirms that nothing is left",
                    node.id
                ));
            }
        } else if !node.resynced {
            notes.push(format!("waiting for node {}: it is connected and has not yet told all it holds", node.id));
        } else if self.epoch < node.order_epoch {
            notes.push(format!(
                "node {} has taken orders of epoch {}, the cloud controller shows epoch {}: it gets none from here",
                node.id, node.order_epoch, self.epoch
            ));
        }
        if !self.settled {
            notes.push("the zone is starting: networks are not changed until every node has reported".to_owned());
        }
        match self.seen(id, intent.incarnation).map(|seen| &seen.observation) {
            None => notes.push(format!("node {} has reported nothing of it yet", node.id)),
            Some(seen) => {
                if seen.generation < intent.generation {
                    notes.push(format!(
                        "node {} has carried out generation {} of {}",
                        node.id, seen.generation, intent.generation
                    ));
                }
                if !seen.activity.is_empty() {
                    notes.push(format!("node {}: {}", node.id, seen.activity));
                }
                if let Some(reason) = seen.reason.as_ref().filter(|reason| !reason.message.is_empty()) {
                    notes.push(format!("node {}: {}", node.id, reason.message));
                }
                if seen.phase() == DomainPhase::Running && !seen.network_applied && intent.intent() == RunIntent::Run {
                    notes.push(format!(
                        "node {} has applied view {} of {}; the port is not up yet",
                        node.id,
                        node.applied_generation,
                        node.told.generation()
                    ));
                }
            }
        }
        let ports = intent.spec.as_ref().map_or(&[][..], |spec| spec.ports.as_slice());
        for port in ports {
            if let Some(error) = node.port_errors.get(&port.interface_id) {
                notes.push(format!("node {}, port {}: {error}", node.id, port.interface_id));
            }
        }
        notes
    }

    fn offline_note(&self, index: NodeIndex) -> String {
        let node = &self.nodes[index];
        if node.heard_wall_ms == 0 {
            format!("waiting for node {}: it has not connected since this cluster controller started", node.id)
        } else {
            // The text form of a time in UTC: `2026-01-02 3:04:05.678 +00:00:00`.
            let since = from_unix_ms(node.heard_wall_ms);
            format!("waiting for node {}: offline since {since}", node.id)
        }
    }

    /// The node that a question about an instance goes to: the one named, or the one its intent names.
    ///
    /// # Errors
    /// `NotFound` when it is on no node that is known.
    pub fn node_for(&self, instance_id: &str, node_id: &str) -> Result<usize, WireError> {
        let named = if node_id.is_empty() {
            let instance = instance_id.parse::<InstanceId>().ok().and_then(|id| self.instances.get(&id));
            instance.and_then(|instance| instance.intent.as_ref()).map(|intent| intent.node_id.as_str())
        } else {
            Some(node_id)
        };
        let index =
            named.and_then(|node| node.parse::<NodeId>().ok()).and_then(|node| self.by_name.get(&node).copied());
        index.ok_or_else(|| {
            WireError::new(
                Kind::NotFound,
                format!("instance {instance_id} is on no node of zone {}", self.settings.zone),
            )
        })
    }

    /// Every connected node.
    #[must_use]
    pub fn connected(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].session.is_some()).collect()
    }
}
