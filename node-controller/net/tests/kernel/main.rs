//! The engine on a real kernel: routers, filters, services and overlay in namespaces made for each test. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::let_underscore_must_use,
    clippy::disallowed_methods,
    missing_docs
)]

mod acl;
mod faults;
mod groups;
mod lab;
mod overlay;
mod public;
mod public_link;
mod routes;
mod routing;
mod services;
mod spoof;
