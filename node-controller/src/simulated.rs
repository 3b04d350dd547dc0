//! Nodes without a hypervisor: faithful, fast, thousands to a process.

use crate::NodeConfig;
use mallee_node_core::{Drivers, Place, Settings};
use mallee_sim::{SimHost, SimHypervisor, SimImages, SimNetwork};
use mallee_types::NodeId;
use std::sync::Arc;

pub use mallee_sim::{Guest, Latency, SimConfig, SimFault};

/// The drivers of a simulated host. The host outlives them, as a real one does.
#[must_use]
pub fn drivers(host: &SimHost) -> Drivers {
    Drivers {
        hypervisor: Arc::new(SimHypervisor::new(host.clone())),
        network: Arc::new(SimNetwork::new(host.clone())),
        images: Arc::new(SimImages::new(host.clone())),
        held: Arc::default(),
    }
}

/// The configuration of a node on a simulated host: its ledger is on the host's own memory disk, so that it survives
/// the node controller.
#[must_use]
pub fn config(node_id: NodeId, vtep: impl Into<String>, host: &SimHost) -> NodeConfig {
    NodeConfig { settings: Settings::new(node_id, vtep.into()), ledger: Place::Memory(host.ledger_disk()) }
}
