//! Simulated hosts: a hypervisor, a network and an image store that hold state, take their time, and fail on request.
//!
//! A [`SimHost`] is the machine: it survives a restart of its node controller, as real guests do. The drivers
//! ([`SimHypervisor`], [`SimNetwork`], [`SimImages`]) are thin views of it. Thousands fit into one process.

mod config;
mod console;
mod host;
mod hypervisor;
mod images;
mod network;
mod screen;

pub use config::{Guest, Latency, SimConfig, SimFault};
pub use host::{SimDomain, SimHost};
pub use hypervisor::SimHypervisor;
pub use images::SimImages;
pub use network::SimNetwork;
