//! Memory of many nodes, measured in a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "it/cluster.rs"]
#[allow(dead_code)]
mod cluster;
#[path = "it/crowd.rs"]
mod crowd;
#[path = "it/setup.rs"]
#[allow(dead_code)]
mod setup;
