//! The kernel network engine: converges one host's namespaces, routes, packet filters and per-VPC services to a
//! [`mallee_proto::v1::NodeView`].
//!
//! Per VPC there is one network namespace, the distributed router. Instance taps are routed ports of it. Nothing of
//! ours is in the packet path but the kernel; what runs here only serves DHCP, DNS and instance metadata.
//!
//! How it is put together: [`check`] turns a view into typed data; [`nft`] and [`plan`] are pure (view in,
//! text out); `observe`, `ns` and `exec` are the thin shells around `ip`, `bridge` and `nft`; `engine` orders the steps.

/// Appends formatted text to a `String`.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { $out.push_str(&format!($($text)*)) };
}

/// As `put!`, with a line end.
macro_rules! putln {
    ($out:expr, $($text:tt)*) => {{
        $out.push_str(&format!($($text)*));
        $out.push('\n');
    }};
}

mod acl;
mod announce;
mod arp;
mod check;
mod config;
mod delta;
pub mod dhcp;
mod edge;
mod edge6;
mod engine;
mod exec;
mod flowlog;
mod foreign;
mod fragments;
pub mod model;
mod names;
mod nat;
mod nd;
pub mod nft;
mod ns;
mod observe;
mod peering;
pub mod plan;
mod plan6;
mod ports;
mod probe;
mod public_link;
mod rules6;
mod sections;
mod services;
mod settings;
mod shape;
mod six;
mod swap;

pub use check::check;
pub use config::{NetConfig, PortKind};
pub use edge::HOST_SOURCE;
pub use engine::KernelNetwork;
pub use names::Names;
pub use observe::{Link, Observed};
