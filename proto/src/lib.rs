//! The gRPC contracts between the tiers: generated messages and services, the typed error that travels with a
//! failed call, and conversions to the types of `mallee-types`. Nothing else.

mod convert;
mod error;
mod secret;
pub mod view;

pub use error::{Kind, WireError};

/// Messages and services as generated from `mallee/v1/*.proto`; their documentation stands there.
#[allow(missing_docs, missing_debug_implementations, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("mallee.v1");
}
