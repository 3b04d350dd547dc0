//! Instances: the intent of highest generation, what it takes of its node, whether its ports are up.

use super::capacity::Terms;
use super::groups::{Membership, membership};
use super::{ClusterState, LifeKey, NodeIndex, Seen};
use mallee_proto::WireError;
use mallee_proto::v1::{DomainPhase, InstanceIntent, RunIntent};
use mallee_scheduler::Resources;
use mallee_types::{InstanceId, NodeId};

/// One instance: something is wanted of it, or a node still holds something of it.
#[derive(Debug, Default)]
pub(super) struct Instance {
    pub(super) intent: Option<InstanceIntent>,
    /// What it takes, and of which node.
    charge: Option<(NodeIndex, Resources)>,
    /// The placement group it takes that as a member of.
    group: Option<Membership>,
    /// The terms on which it takes it.
    terms: Terms,
    /// Lives that nodes have reported, oldest first.
    pub(super) lives: Vec<u64>,
    /// The latest life that the cloud has confirmed to be over; nothing more is kept of it.
    pub(super) over: Option<u64>,
    /// The last snapshot that named it.
    pub(super) mark: u64,
}

impl ClusterState {
    /// The cloud's intent for an instance; one that is not newer than the one held changes nothing.
    pub(super) fn set_intent(&mut self, intent: InstanceIntent) -> Result<(), WireError> {
        let Ok(id) = intent.id.parse::<InstanceId>() else {
            tracing::warn!(id = intent.id, "the cloud named an instance by an id that is none; ignored");
            return Ok(());
        };
        let mark = self.marks;
        let held = self.instances.entry(id.clone()).or_default();
        held.mark = mark;
        if held.intent.as_ref().is_some_and(|held| !intent.is_newer_than(held)) {
            return Ok(());
        }
        let before = held.intent.as_ref().and_then(|held| held.node_id.parse::<NodeId>().ok());
        let node = if intent.node_id.is_empty() { None } else { intent.node_id.parse::<NodeId>().ok() };
        let generation = intent.generation;
        let index = node.as_ref().map(|node| self.node_index(node)).transpose()?;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.intent = Some(intent);
        }
        if let Some(old) = before.filter(|before| Some(before) != node.as_ref()) {
            let old = self.node_index(&old)?;
            self.nodes[old].instances.remove(&id);
            self.order_forget(old, &id, generation);
        }
        if let Some(index) = index {
            self.nodes[index].instances.insert(id.clone());
            self.order(index, &id);
        }
        self.release_hold(&id);
        self.refresh_instance(&id);
        Ok(())
    }

    /// The cloud wants nothing of the instance any more: whoever holds something of it gives it up.
    pub(super) fn remove_intent(&mut self, id: &InstanceId) {
        let Some(intent) = self.instances.get_mut(id).and_then(|instance| instance.intent.take()) else { return };
        if let Some(index) = intent.node_id.parse::<NodeId>().ok().and_then(|node| self.by_name.get(&node).copied()) {
            self.nodes[index].instances.remove(id);
            self.order_forget(index, id, intent.generation);
        }
        let lives = self.instances.get(id).map(|instance| instance.lives.clone()).unwrap_or_default();
        for incarnation in lives {
            if let Some(node) = self.observations.get(&(id.clone(), incarnation)).map(|seen| seen.node) {
                self.forget_if_orphan(node, id, incarnation);
            }
        }
        self.refresh_instance(id);
    }

    /// What is known of one life of an instance.
    pub(super) fn seen(&self, id: &InstanceId, incarnation: u64) -> Option<&Seen> {
        let key: LifeKey = (id.clone(), incarnation);
        self.observations.get(&key)
    }

    /// A node holds a life that no intent names, or that a later one has replaced: it is told to give it up. Only
    /// when the cloud's intent is known whole.
    pub(super) fn forget_if_orphan(&mut self, index: NodeIndex, id: &InstanceId, incarnation: u64) {
        if self.synced.is_none() {
            return;
        }
        let Some(seen) = self.seen(id, incarnation).filter(|seen| !seen.observation.gone) else { return };
        let observed_generation = seen.observation.generation;
        let generation = match self.instances.get(id).and_then(|instance| instance.intent.as_ref()) {
            None => Some(observed_generation),
            Some(intent) if intent.incarnation > incarnation && intent.node_id != self.nodes[index].id.as_str() => {
                Some(intent.generation)
            }
            Some(_) => None,
        };
        if let Some(generation) = generation {
            self.order_forget(index, id, generation);
        }
    }

    /// Brings usage and network in line with intent and observation; drops the instance when neither is left.
    pub(super) fn refresh_instance(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let (charge, live) = match &instance.intent {
            Some(intent) => {
                let seen = self.seen(id, intent.incarnation).map(|seen| &seen.observation);
                let phase = seen.map_or(DomainPhase::Unspecified, |o| o.phase());
                let gone = seen.map_or(instance.over >= Some(intent.incarnation), |o| o.gone);
                let index = intent.node_id.parse::<NodeId>().ok().and_then(|node| self.by_name.get(&node).copied());
                let takes = takes(intent, phase, gone);
                (index.zip(takes), is_live(intent.intent(), phase, gone))
            }
            // What it took stays taken until its node has nothing of it any more.
            None if instance.lives.iter().any(|life| self.seen(id, *life).is_some_and(|s| !s.observation.gone)) => {
                (instance.charge, false)
            }
            None => (None, false),
        };
        let group = match &instance.intent {
            Some(intent) => membership(intent.spec.as_ref().and_then(|spec| spec.group.as_ref())),
            None => instance.group.clone(),
        };
        let terms = match &instance.intent {
            Some(intent) => Terms::of_intent(intent),
            None => instance.terms.clone(),
        };
        self.set_charge(id, charge, group.filter(|_| charge.is_some()), terms);
        let Some(instance) = self.instances.get(id) else { return };
        match &instance.intent {
            Some(intent) => self.model.set_instance(intent, live),
            None => self.model.remove_instance(id.as_str()),
        }
        if instance.intent.is_none() && instance.lives.is_empty() {
            self.instances.remove(id);
        }
    }

    fn set_charge(
        &mut self,
        id: &InstanceId,
        charge: Option<(NodeIndex, Resources)>,
        group: Option<Membership>,
        terms: Terms,
    ) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.group != group {
            let before = std::mem::replace(&mut instance.group, group.clone());
            self.note_member(id, before.as_ref(), group.as_ref());
        }
        let Some(instance) = self.instances.get_mut(id) else { return };
        if instance.charge == charge && instance.terms == terms {
            return;
        }
        let before = std::mem::replace(&mut instance.charge, charge);
        let terms_before = std::mem::replace(&mut instance.terms, terms.clone());
        if let Some((index, resources)) = before {
            self.leave_terms(index, &terms_before, resources.vcpus > 0, true);
            let fleet = &mut self.fleet[index];
            fleet.used = fleet.used.minus(resources);
            fleet.instances -= 1;
        }
        if let Some((index, resources)) = charge {
            let fleet = &mut self.fleet[index];
            fleet.used = fleet.used.plus(resources);
            fleet.instances += 1;
            self.take_terms(index, &terms, resources.vcpus > 0, true);
        }
    }

    /// The terms on which an instance is on its node.
    #[cfg(test)]
    pub(super) fn terms_of(&self, id: &InstanceId) -> Terms {
        self.instances.get(id).map(|instance| instance.terms.clone()).unwrap_or_default()
    }

    /// The node of a member of a placement group, and its partition.
    pub(super) fn member_at(&self, id: &InstanceId) -> Option<(NodeIndex, u32)> {
        let instance = self.instances.get(id)?;
        Some((instance.charge?.0, instance.group.as_ref()?.1))
    }

    /// What the instance takes of a node now.
    pub(super) fn charge_of(&self, id: &InstanceId) -> Option<(NodeIndex, Resources)> {
        self.instances.get(id).and_then(|instance| instance.charge)
    }
}

const fn is_up(phase: DomainPhase) -> bool {
    matches!(phase, DomainPhase::Preparing | DomainPhase::Running | DomainPhase::Stopping)
}

/// A stopped instance keeps its disk; what is to be terminated keeps all until its node has confirmed.
fn takes(intent: &InstanceIntent, phase: DomainPhase, gone: bool) -> Option<Resources> {
    let spec = intent.spec.as_ref()?;
    let all = Resources { vcpus: spec.vcpus, memory_mib: spec.memory_mib, disk_bytes: spec.root_disk_bytes };
    match intent.intent() {
        RunIntent::Run | RunIntent::Unspecified => Some(all),
        RunIntent::Stop if is_up(phase) => Some(all),
        RunIntent::Stop => Some(Resources { disk_bytes: spec.root_disk_bytes, ..Resources::default() }),
        RunIntent::Terminate if gone => None,
        RunIntent::Terminate => Some(all),
    }
}

/// Ports stay up while the guest does: it may need the network to end in order.
const fn is_live(intent: RunIntent, phase: DomainPhase, gone: bool) -> bool {
    match intent {
        RunIntent::Run => true,
        RunIntent::Stop | RunIntent::Terminate => {
            !gone && matches!(phase, DomainPhase::Running | DomainPhase::Stopping)
        }
        RunIntent::Unspecified => false,
    }
}
