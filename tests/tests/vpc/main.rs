//! The virtual network on three nodes, with real packets: what the cloud knows goes through the cluster controller's compiler
//! and the views' updates to three engines, each in a namespace that stands for a host. The checks are those of
//! `design/network.md`. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::let_underscore_must_use,
    clippy::disallowed_methods,
    missing_docs,
    // Each test crate that takes the lab uses what it needs of it.
    dead_code
)]

#[path = "../../../node-controller/net/tests/kernel/guest6.rs"]
mod guest6;
#[path = "../../../node-controller/net/tests/kernel/lab.rs"]
mod lab;

mod changes;
mod ipv6;
mod middlebox;
mod nat;
mod peering;
mod reach;
mod scene;
mod spoof;
mod transit;
mod world;
