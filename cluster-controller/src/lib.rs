//! The cluster controller daemon of one availability zone, as a library: what it is configured with, the gRPC
//! services to mount on a transport, and a handle to end it. `mallee up`, `mallee cluster` and the tests mount the
//! same services; only their transports differ.
//!
//! ```no_run
//! # use mallee_cluster_controller::{ClusterConfig, ClusterController, PeerIdentity};
//! # use mallee_runtime::{Clock, Faults, Rng};
//! # async fn example(identity: PeerIdentity) -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClusterConfig::for_zone("local-1a");
//! let controller = ClusterController::new(&config, identity, Clock::system(), Rng::system(), Faults::none())?;
//! let (cluster, nodes) = (controller.cluster_service(), controller.node_gateway());
//! // … mount both on a tonic server …
//! controller.stop().await;
//! # drop((cluster, nodes)); Ok(())
//! # }
//! ```

mod config;
mod controller;

pub use config::{ClusterConfig, ConfigError};
pub use controller::ClusterController;
pub use mallee_cluster_core::{CloudFacing, NodeFacing, Peer, PeerIdentity, PeerRole};
