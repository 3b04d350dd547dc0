//! What this replica knows of a zone right now: its session, its nodes, and what is wrong with it.

use crate::Cloud;
use crate::cluster_link::client;
use mallee_proto::v1::{ClusterStatusRequest, NodeState, NodeStatus};
use mallee_types::{Epoch, ZoneName};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tonic::Request;
use tonic::transport::Channel;

/// Longest wait for a cluster controller to say how its nodes are.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
struct Inner {
    /// When its controller came or went last, Unix milliseconds; 0: never since this start.
    since_ms: i64,
    session: Option<(Channel, Epoch)>,
    trouble: Option<String>,
    nodes: BTreeMap<String, NodeStatus>,
}

/// The live state of one zone. Nothing here is truth: after a restart it is heard again.
#[derive(Debug)]
pub struct ZoneState {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

impl Default for ZoneState {
    fn default() -> Self {
        let inner = Inner { trouble: Some("its cluster controller has not connected yet".into()), ..Inner::default() };
        Self { inner: Mutex::new(inner), changed: watch::Sender::new(0) }
    }
}

impl ZoneState {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn update<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        let out = self.with(f);
        self.changed.send_modify(|n| *n += 1);
        out
    }

    /// A session stands.
    pub fn connected(&self, channel: Channel, epoch: Epoch, now_ms: i64) {
        self.update(|inner| {
            inner.since_ms = now_ms;
            inner.session = Some((channel, epoch));
            inner.trouble = None;
        });
    }

    /// No session stands; `why` names the cause.
    pub fn disconnected(&self, why: String, now_ms: i64) {
        self.update(|inner| {
            if inner.session.take().is_some() {
                inner.since_ms = now_ms;
            }
            inner.trouble = Some(why);
        });
    }

    /// The cluster has told everything it holds.
    pub fn resynced(&self) {
        self.update(|_| ());
    }

    /// A node came, went, or changed.
    pub fn node(&self, status: NodeStatus) {
        self.update(|inner| {
            inner.nodes.insert(status.node_id.clone(), status);
        });
    }

    /// The channel to the zone's cluster controller and the epoch to act in.
    #[must_use]
    pub fn session(&self) -> Option<(Channel, Epoch)> {
        self.with(|inner| inner.session.clone())
    }

    /// Since when its cluster controller has been connected, or away; `None`: away since this replica started.
    #[must_use]
    pub fn since_ms(&self) -> Option<i64> {
        self.with(|inner| (inner.since_ms != 0).then_some(inner.since_ms))
    }

    /// What keeps the zone from taking instances, in words; `None`: it can.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.with(|inner| match &inner.trouble {
            Some(trouble) => Some(trouble.clone()),
            None if inner.nodes.values().any(|n| n.state() == NodeState::Ready) => None,
            None if inner.nodes.is_empty() => Some("no node has joined".into()),
            None => Some("no node is ready".into()),
        })
    }

    /// Every node heard of in this session or an earlier one.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.with(|inner| inner.nodes.values().cloned().collect())
    }

    /// Wakes on every change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl Cloud {
    /// The zone's nodes and what is taken of them, as its cluster controller knows them now; as last heard, when it does
    /// not answer. (It tells by itself only that a node came or went, not every launch.)
    pub async fn zone_nodes(&self, zone: &ZoneName) -> Vec<NodeStatus> {
        let state = self.zone_state(zone);
        if let Some((channel, _)) = state.session() {
            let mut request = Request::new(ClusterStatusRequest {});
            request.set_timeout(STATUS_TIMEOUT);
            match client(channel).status(request).await {
                Ok(reply) => return reply.into_inner().nodes,
                Err(status) => tracing::info!(%zone, error = %status.message(), "nodes are shown as last heard"),
            }
        }
        state.nodes()
    }
}
