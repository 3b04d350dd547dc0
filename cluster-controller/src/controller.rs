//! The running controller: services to mount, and a handle to end it.

use crate::{ClusterConfig, ConfigError};
use mallee_cluster_core::{CloudFacing, Hub, NodeFacing, PeerIdentity};
use mallee_proto::v1::ClusterStatusReply;
use mallee_proto::v1::cluster_server::ClusterServer;
use mallee_proto::v1::node_gateway_server::NodeGatewayServer;
use mallee_runtime::{Clock, Faults, Rng};
use mallee_types::limits::GRPC_MESSAGE_BYTES_MAX;
use std::sync::Arc;

/// One zone's controller. Clones are handles to the same one.
#[derive(Clone)]
pub struct ClusterController {
    hub: Arc<Hub>,
    identity: PeerIdentity,
}

impl std::fmt::Debug for ClusterController {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterController").finish_non_exhaustive()
    }
}

impl ClusterController {
    /// Starts a controller that knows nothing yet; its tasks run in the current Tokio runtime. `identity` reads who
    /// calls from what the transport put into a request's extensions.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot be used.
    pub fn new(
        config: &ClusterConfig,
        identity: PeerIdentity,
        clock: Clock,
        rng: Rng,
        faults: Faults,
    ) -> Result<Self, ConfigError> {
        Ok(Self { hub: Hub::start(config.settings()?, clock, rng, faults), identity })
    }

    /// The service for the cloud controller.
    #[must_use]
    pub fn cluster_service(&self) -> ClusterServer<CloudFacing> {
        ClusterServer::new(CloudFacing::new(Arc::clone(&self.hub), Arc::clone(&self.identity)))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX)
    }

    /// The service for nodes.
    #[must_use]
    pub fn node_gateway(&self) -> NodeGatewayServer<NodeFacing> {
        NodeGatewayServer::new(NodeFacing::new(Arc::clone(&self.hub), Arc::clone(&self.identity)))
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX)
    }

    /// The zone and its nodes, as of now.
    #[must_use]
    pub fn status(&self) -> ClusterStatusReply {
        self.hub.with(|state, _| state.status())
    }

    /// Whether instances can be placed: the cloud's intent is known, and nodes have reported.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.hub.with(|state, _| state.is_settled())
    }

    /// Its fault points.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.hub.faults()
    }

    /// Ends sessions and tasks in order; instances are not touched. True if all ended by themselves.
    pub async fn stop(&self) -> bool {
        self.hub.stop().await
    }

    /// Drops everything where it stands, as a crash would.
    pub async fn kill(&self) {
        self.hub.kill().await;
    }
}
