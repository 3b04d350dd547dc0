//! The node controller as a daemon: puts drivers, the core and the way to the cluster controller together.
//!
//! `mallee node` and `mallee up` call [`run`]; the test harness calls [`start`] and keeps the handle. Which drivers a node
//! has is decided here and nowhere else: [`simulated`] or [`real`].

mod connect;
pub mod real;
pub mod simulated;

pub use connect::FnConnector;
pub use mallee_node_core::{
    ConnectError, Connector, Drivers, FileImageCache, GrpcImageSource, HeldInstances, NodeHandle, Patience, Place,
    Settings, StartError, Surroundings,
};

use mallee_runtime::Shutdown;
use mallee_types::NodeId;
use std::path::Path;
use std::sync::Arc;

/// The ledger's directory in a node's state directory.
const LEDGER_DIR: &str = "ledger";

/// Who a node is, how it behaves and where its last orders are.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Name, addresses, patience, limits.
    pub settings: Settings,
    /// Where the last orders are kept.
    pub ledger: Place,
}

impl NodeConfig {
    /// A node that keeps its state under `state_dir`; `vtep` is the address other nodes reach its overlay by.
    #[must_use]
    pub fn new(node_id: NodeId, vtep: impl Into<String>, state_dir: &Path) -> Self {
        let ledger = Place::Dir(state_dir.join(LEDGER_DIR));
        Self { settings: Settings::new(node_id, vtep.into()), ledger }
    }
}

/// Starts a node controller and returns; its tasks end with `shutdown` or through the handle.
///
/// # Errors
/// [`StartError`]: the ledger's directory is unusable.
pub async fn start(
    config: NodeConfig,
    drivers: Drivers,
    connector: Arc<dyn Connector>,
    around: Surroundings,
    shutdown: &Shutdown,
) -> Result<NodeHandle, StartError> {
    mallee_node_core::Node::start(config.settings, config.ledger, drivers, connector, around, shutdown).await
}

/// Runs a node controller until `shutdown`. Its guests run on.
///
/// # Errors
/// [`StartError`]: the ledger's directory is unusable.
pub async fn run(
    config: NodeConfig,
    drivers: Drivers,
    connector: Arc<dyn Connector>,
    around: Surroundings,
    shutdown: Shutdown,
) -> Result<(), StartError> {
    let node = start(config, drivers, connector, around, &shutdown).await?;
    shutdown.stopped().await;
    node.stop().await;
    Ok(())
}
