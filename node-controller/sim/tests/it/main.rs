//! The node controller's core on simulated hosts, against a cluster controller played by the tests, over real gRPC.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cluster;
mod disorder;
mod faults;
mod images;
mod lifecycle;
mod sessions;
mod setup;
mod sweeping;
