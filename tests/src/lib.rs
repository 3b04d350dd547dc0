//! A whole cloud in one process, for tests: real HTTP port, real gRPC between the tiers, real database; simulated hosts.
//!
//! [`TestCloud`] owns a state directory and hosts that outlive the process playing the cloud. That process is a Tokio
//! runtime of its own, so that a kill drops every task of every tier where it stands, as kill -9 does. A client of the
//! cloud ([`TestCloud::call`], [`TestCloud::insist`]) speaks signed HTTP and retries as an SDK does. [`TestCloud::sound`]
//! compares the database, the cluster's books, and the hosts (`design/reliability.md` A5).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a harness: what fails here fails the test, with its reason"
)]

mod audit;
mod client;
mod cloud;
mod drive;
mod process;

pub use audit::{Rows, wanted_network};
pub use client::{CallError, Client, Reply};
pub use cloud::{BOUND, Setup, TestCloud};
pub use drive::Step;
