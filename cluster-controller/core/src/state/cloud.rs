//! The cloud controller's session: intent down by epoch and position, observations up by cursor.

use super::{ClusterState, NodeIndex, Now, Pulled};
use crate::settings::limits::{OBSERVATIONS_PER_MESSAGE_MAX, PULL_MAX};
use mallee_proto::v1::{
    CloudHello, ClusterHello, ClusterToCloud, Cursor, IntentChange, ObjectKind, Observed, Removed, SnapshotBegin,
    SnapshotEnd, cluster_to_cloud::Message, intent_change::Object,
};
use mallee_proto::{Kind, WireError};
use mallee_types::InstanceId;
use std::collections::{BTreeSet, HashSet};

/// What one session of the cloud has said and heard.
#[derive(Debug)]
pub(super) struct CloudSession {
    id: u64,
    pub(super) epoch: u64,
    hello_due: bool,
    /// Observations were sent up to here.
    sent_seq: u64,
    resync_end_due: bool,
    /// Nodes whose state it has not heard.
    pub(super) changed_nodes: BTreeSet<NodeIndex>,
    snapshot: Option<Snapshot>,
}

/// What a snapshot in progress has named.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    objects: HashSet<(ObjectKind, String)>,
    peers: HashSet<String>,
}

impl Snapshot {
    /// Notes an object; instances of this zone bear a mark instead.
    fn name(&mut self, object: &Object) {
        let (kind, id) = match object {
            Object::Vpc(vpc) => (ObjectKind::Vpc, &vpc.id),
            Object::Subnet(subnet) => (ObjectKind::Subnet, &subnet.id),
            Object::Group(group) => (ObjectKind::Group, &group.id),
            Object::RouteTable(table) => (ObjectKind::RouteTable, &table.id),
            Object::NetworkAcl(acl) => (ObjectKind::NetworkAcl, &acl.id),
            Object::VpcPeering(peering) => (ObjectKind::VpcPeering, &peering.id),
            Object::FlowLog(log) => (ObjectKind::FlowLog, &log.id),
            Object::NatGateway(gateway) => (ObjectKind::NatGateway, &gateway.id),
            Object::TransitGateway(gateway) => (ObjectKind::TransitGateway, &gateway.id),
            Object::Capacity(reservation) => (ObjectKind::Capacity, &reservation.id),
            Object::Host(host) => (ObjectKind::Host, &host.id),
            Object::PeerInstance(peer) => {
                self.peers.insert(peer.id.clone());
                return;
            }
            Object::Instance(_) | Object::PeerNode(_) | Object::Removed(_) => return,
        };
        self.objects.insert((kind, id.clone()));
    }

    /// Whether it was named.
    pub(super) fn has(&self, kind: ObjectKind, id: &str) -> bool {
        self.objects.contains(&(kind, id.to_owned()))
    }
}

impl ClusterState {
    /// A cloud controller has opened a session; an earlier one, of an older epoch or the same, ends.
    ///
    /// # Errors
    /// `StaleEpoch` when a later leader is known.
    pub fn cloud_hello(&mut self, hello: &CloudHello) -> Result<u64, WireError> {
        self.check_epoch(hello.epoch)?;
        let id = self.next_session();
        let observed = hello.observed.clone().unwrap_or_default();
        let sent_seq = if observed.boot == self.observations.boot() { observed.seq } else { 0 };
        self.cloud = Some(CloudSession {
            id,
            epoch: hello.epoch,
            hello_due: true,
            sent_seq: sent_seq.min(self.observations.seq()),
            resync_end_due: true,
            changed_nodes: (0..self.nodes.len()).collect(),
            snapshot: None,
        });
        self.wake.cloud = true;
        Ok(id)
    }

    /// A session of the cloud has ended. Nothing happens if it was not the current one.
    pub fn cloud_ended(&mut self, session: u64) {
        if self.cloud.as_ref().is_some_and(|cloud| cloud.id == session) {
            self.cloud = None;
        }
    }

    fn cloud_session(&mut self, session: u64) -> Result<&mut CloudSession, WireError> {
        match &mut self.cloud {
            Some(cloud) if cloud.id == session => Ok(cloud),
            Some(_) => Err(WireError::new(Kind::StaleEpoch, "another session of the cloud controller has taken over")),
            None => Err(WireError::new(Kind::Unavailable, "this session has been given up; connect again")),
        }
    }

    /// The cloud's intent follows whole.
    ///
    /// # Errors
    /// When the session is not current.
    pub fn snapshot_begin(&mut self, session: u64, _begin: SnapshotBegin) -> Result<(), WireError> {
        self.cloud_session(session)?.snapshot = Some(Snapshot::default());
        self.marks += 1;
        Ok(())
    }

    /// The cloud's intent was told whole: what it did not name is forgotten, and nodes get their orders.
    ///
    /// # Errors
    /// When the session is not current, or no snapshot had begun.
    pub fn snapshot_end(&mut self, session: u64, end: SnapshotEnd, now: Now) -> Result<(), WireError> {
        let cloud = self.cloud_session(session)?;
        let epoch = cloud.epoch;
        let Some(named) = cloud.snapshot.take() else {
            return Err(WireError::new(Kind::Invalid, "the end of a snapshot that has not begun"));
        };
        let mark = self.marks;
        let swept: Vec<InstanceId> = self
            .instances
            .iter()
            .filter(|(_, instance)| instance.intent.is_some() && instance.mark != mark)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &swept {
            self.remove_intent(id);
        }
        self.sweep_kept(&named);
        for (kind, id) in self.model.objects().into_iter().filter(|object| !named.objects.contains(object)) {
            self.model.remove_object(kind, &id);
        }
        let peers = self.model.peer_instances();
        peers.iter().filter(|id| !named.peers.contains(*id)).for_each(|id| self.model.remove_instance(id));
        self.applied_seq = end.seq;
        if self.synced.is_none() {
            let warm_up = u64::try_from(self.settings.warm_up.as_millis()).unwrap_or(u64::MAX);
            self.settle_deadline_ms = now.mono_ms.saturating_add(warm_up);
        }
        self.synced = Some(epoch);
        for index in 0..self.nodes.len() {
            self.open_orders(index);
        }
        self.settle(now);
        Ok(())
    }

    /// One thing changed, or is part of a snapshot. What was applied before changes nothing.
    ///
    /// # Errors
    /// When the session is not current, or the change needs one node more than a zone may have.
    pub fn intent_change(&mut self, session: u64, change: IntentChange) -> Result<(), WireError> {
        let cloud = self.cloud_session(session)?;
        let epoch = cloud.epoch;
        if let Some(snapshot) = &mut cloud.snapshot {
            change.object.iter().for_each(|object| snapshot.name(object));
        } else if self.synced == Some(epoch) {
            if change.seq <= self.applied_seq {
                return Ok(());
            }
            self.applied_seq = change.seq;
        }
        match change.object {
            Some(Object::Instance(intent)) => self.set_intent(intent)?,
            Some(Object::Vpc(vpc)) => self.model.set_vpc(vpc),
            Some(Object::Subnet(subnet)) => self.model.set_subnet(subnet),
            Some(Object::Group(group)) => self.model.set_group(group),
            Some(Object::RouteTable(table)) => self.model.set_route_table(table),
            Some(Object::NetworkAcl(acl)) => self.model.set_network_acl(acl),
            Some(Object::VpcPeering(peering)) => self.model.set_peering(peering),
            Some(Object::FlowLog(log)) => self.model.set_flow_log(log),
            Some(Object::NatGateway(gateway)) => self.set_nat_gateway(gateway)?,
            Some(Object::TransitGateway(gateway)) => self.model.set_transit_gateway(gateway),
            Some(Object::Capacity(reservation)) => self.set_reservation(reservation)?,
            Some(Object::Host(host)) => self.set_host(host)?,
            Some(Object::PeerInstance(peer)) => self.model.set_peer_instance(&peer),
            Some(Object::PeerNode(peer)) => self.set_peer_node(&peer),
            Some(Object::Removed(removed)) => self.remove(&removed),
            None => tracing::warn!(seq = change.seq, "the cloud sent a change without an object; ignored"),
        }
        Ok(())
    }

    fn remove(&mut self, removed: &Removed) {
        match removed.kind() {
            ObjectKind::Instance => {
                if self.model.is_peer_instance(&removed.id) {
                    self.model.remove_instance(&removed.id);
                } else if let Ok(id) = removed.id.parse() {
                    self.remove_intent(&id);
                }
            }
            ObjectKind::Capacity => self.remove_reservation(&removed.id),
            ObjectKind::Host => self.remove_host(&removed.id),
            kind => {
                if !self.model.remove_object(kind, &removed.id) {
                    tracing::warn!(id = removed.id, "the cloud removed an object of no kind; ignored");
                }
            }
        }
    }

    /// The cloud has stored every observation up to the cursor.
    ///
    /// # Errors
    /// When the session is not current.
    pub fn cloud_observed(&mut self, session: u64, cursor: &Cursor) -> Result<(), WireError> {
        self.cloud_session(session)?;
        self.confirm_observed(&cursor.boot, cursor.seq);
        Ok(())
    }

    /// What the cloud's session is to send next.
    pub fn pull_cloud(&mut self, session: u64) -> Pulled<ClusterToCloud> {
        let Some(cloud) = self.cloud.as_mut().filter(|cloud| cloud.id == session) else { return Pulled::Ended };
        let mut messages = Vec::new();
        if std::mem::take(&mut cloud.hello_due) {
            // A log position means something only within one epoch: a new leader sends everything.
            let applied_seq = if self.synced == Some(cloud.epoch) { self.applied_seq } else { 0 };
            let (zone, boot) = (self.settings.zone.to_string(), self.observations.boot().to_owned());
            messages.push(Message::Hello(ClusterHello { zone, boot, applied_seq }));
        }
        let mut changed = Vec::new();
        while changed.len() < PULL_MAX {
            let Some(index) = cloud.changed_nodes.pop_first() else { break };
            changed.push(index);
        }
        let boot = self.observations.boot().to_owned();
        let (seq, seen) = self.observations.since(&boot, cloud.sent_seq, OBSERVATIONS_PER_MESSAGE_MAX);
        let resynced = seen.len() < OBSERVATIONS_PER_MESSAGE_MAX && cloud.changed_nodes.is_empty();
        cloud.sent_seq = seq;
        let cursor = Cursor { boot, seq };
        let end = (resynced && std::mem::take(&mut cloud.resync_end_due)).then(|| Message::ResyncEnd(cursor.clone()));
        messages.extend(changed.into_iter().map(|index| Message::Node(self.status_of(index))));
        if !seen.is_empty() {
            let instances = seen.into_iter().map(|seen| seen.observation).collect();
            messages.push(Message::Observed(Observed { cursor: Some(cursor), instances }));
        }
        messages.extend(end);
        Pulled::Messages(messages.into_iter().map(|message| ClusterToCloud { message: Some(message) }).collect())
    }
}
