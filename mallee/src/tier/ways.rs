//! Ways to the other tiers: the address from the database or the Directory, the proof from the certificate.

use super::directory::Whereabouts;
use async_trait::async_trait;
use mallee_app::cluster_link::ClusterConnector;
use mallee_app::images::WalrusConnector;
use mallee_cloud_controller::enrol::WALRUS_ENDPOINT;
use mallee_node_core::{ConnectError, Connector};
use mallee_pki::{CredentialStore, Role, connect};
use mallee_proto::{Kind, WireError};
use mallee_store::{Store, StoreError, cluster_list, setting_fetch};
use mallee_types::ZoneName;
use std::sync::Arc;
use tonic::transport::Channel;

/// The cloud controller's ways: it keeps the addresses itself.
#[derive(Debug, Clone)]
pub(super) struct FromStore {
    pub store: Store,
    pub credentials: CredentialStore,
}

fn unavailable(text: String) -> WireError {
    WireError::new(Kind::Unavailable, text)
}

fn database(error: &StoreError) -> WireError {
    unavailable(format!("the database: {error}"))
}

#[async_trait]
impl ClusterConnector for FromStore {
    async fn connect(&self, zone: &ZoneName) -> Result<Channel, WireError> {
        let clusters = cluster_list(&self.store).await.map_err(|e| database(&e))?;
        let cluster = clusters
            .into_iter()
            .find(|cluster| cluster.zone == *zone)
            .ok_or_else(|| unavailable(format!("no cluster controller has joined for zone {zone} yet")))?;
        let channel = connect(&cluster.endpoint, &self.credentials, Role::Cluster, Some(zone.as_str())).await;
        channel.map_err(|e| unavailable(e.to_string()))
    }
}

#[async_trait]
impl WalrusConnector for FromStore {
    async fn connect(&self) -> Result<Channel, WireError> {
        let uri = setting_fetch(&self.store, WALRUS_ENDPOINT).await.map_err(|e| database(&e))?;
        let uri = uri.ok_or_else(|| unavailable("no walrus has joined yet".to_owned()))?;
        connect(&uri, &self.credentials, Role::Walrus, None).await.map_err(|e| unavailable(e.to_string()))
    }
}

/// A node's way to one tier.
#[derive(Debug)]
pub(super) struct FromDirectory {
    pub whereabouts: Arc<Whereabouts>,
    pub credentials: CredentialStore,
    pub role: Role,
    /// Of a cluster controller; empty for others.
    pub zone: String,
}

#[async_trait]
impl Connector for FromDirectory {
    async fn connect(&self) -> Result<Channel, ConnectError> {
        let uri = self.whereabouts.find(self.role, &self.zone).await.map_err(|e| ConnectError(e.message))?;
        let id = Some(self.zone.as_str()).filter(|zone| !zone.is_empty());
        connect(&uri, &self.credentials, self.role, id).await.map_err(|e| ConnectError(e.to_string()))
    }
}
