//! Daemons that prove who they are to each other, over real sockets on the loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod calls;
mod handshakes;
mod rotation;
mod world;
