//! The virtual network as a cluster knows it, and the view of it that each node is given. Pure.
//!
//! [`Model`] holds VPCs, subnets, security groups and the live ports of instances; [`compile`] makes of it what one
//! node must know. [`Told`] remembers what a node was told, and makes the next update from it: at once and small for
//! what the node's own ports need, of everything when the rest of the VPC is to be learnt too. Long lists that nodes have
//! alike are sections of the view: the model keeps them, and tells all nodes of a change of one in the same words.
//!
//! The model notes what a change touches: nodes whose own ports are concerned (told at once), and VPCs of which
//! other nodes should learn (told in batches, so that a burst of launches does not compile every view every time).

mod compile;
mod flow_logs;
mod gateways;
mod model;
mod peering;
mod ports;
mod sections;
mod told;
mod transit;

pub use compile::{bare, compile};
pub use model::Model;
pub use told::Told;

#[cfg(test)]
mod tests;
