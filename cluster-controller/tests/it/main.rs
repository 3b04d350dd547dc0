//! The cluster controller with a fake cloud and fake nodes, over gRPC in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its figures"
)]

mod fakes;
mod gateways;
mod launch;
mod rebuild;
mod scale;
mod sessions;
