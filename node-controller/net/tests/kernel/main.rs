//! The engine on a real kernel: routers, filters, services and overlay in namespaces made for each test. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::let_underscore_must_use,
    clippy::disallowed_methods,
    missing_docs
)]

mod acl;
mod addresses;
mod cap;
mod crowd;
mod delta;
mod faults;
mod flows;
mod groups;
mod guest6;
mod hops;
mod ipv6;
mod lab;
mod link6;
mod nat;
mod overlay;
mod packets;
mod peering;
mod pieces;
mod public;
mod public_link;
mod routes;
mod routing;
mod scale;
mod services;
mod services6;
mod shape;
mod spoof;
mod spoof6;
mod world6;
