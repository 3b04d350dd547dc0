//! Ways between the tiers of one process.

use async_trait::async_trait;
use mallee_app::cluster_link::ClusterConnector;
use mallee_app::images::WalrusConnector;
use mallee_cluster_controller::{Peer, PeerIdentity, PeerRole};
use mallee_node_core::{ConnectError, Connector};
use mallee_pki::{Dialler, Gate, Identity, Role, peer_identity};
use mallee_proto::{Kind, WireError};
use mallee_types::ZoneName;
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::transport::Channel;

/// The gates in the links between the tiers; all open unless a test shuts them.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// From the cloud controller to the cluster controllers.
    pub cloud: Gate,
    /// From simulated nodes, by name, to their cluster controller.
    pub nodes: BTreeMap<String, Gate>,
    /// From the cloud controller to Walrus.
    pub walrus: Gate,
}

/// The cloud controller's way to each zone's cluster controller.
#[derive(Debug)]
pub(crate) struct LocalClusters {
    pub(crate) zones: BTreeMap<ZoneName, Dialler>,
    pub(crate) identity: Identity,
}

#[async_trait]
impl ClusterConnector for LocalClusters {
    async fn connect(&self, zone: &ZoneName) -> Result<Channel, WireError> {
        let dialler = self.zones.get(zone).ok_or_else(|| {
            WireError::new(Kind::Unavailable, format!("zone {zone} has no cluster controller in this process"))
        })?;
        dialler.connect(&self.identity).await.map_err(|e| WireError::new(Kind::Unavailable, format!("{zone}: {e}")))
    }
}

/// The way to Walrus.
#[derive(Debug, Clone)]
pub(crate) struct LocalWalrus {
    pub(crate) dialler: Dialler,
    pub(crate) identity: Identity,
}

#[async_trait]
impl WalrusConnector for LocalWalrus {
    async fn connect(&self) -> Result<Channel, WireError> {
        let channel = self.dialler.connect(&self.identity).await;
        channel.map_err(|e| WireError::new(Kind::Unavailable, format!("walrus: {e}")))
    }
}

/// A node's way to a tier of this process.
#[derive(Debug)]
pub(super) struct LocalPeer {
    pub(super) dialler: Dialler,
    pub(super) identity: Identity,
}

#[async_trait]
impl Connector for LocalPeer {
    async fn connect(&self) -> Result<Channel, ConnectError> {
        self.dialler.connect(&self.identity).await.map_err(|e| ConnectError(e.to_string()))
    }
}

/// Reads who calls a cluster controller from what the transport proved.
pub(crate) fn cluster_peers() -> PeerIdentity {
    Arc::new(|extensions| {
        let identity = peer_identity(extensions)?;
        let role = match identity.role {
            Role::Cloud => PeerRole::Cloud,
            Role::Node => PeerRole::Node,
            Role::Cluster | Role::Walrus | Role::Block => PeerRole::Other,
        };
        Some(Peer { role, id: identity.id.clone() })
    })
}
