//! Trails: an account's audit records, delivered to a bucket of it as CloudTrail delivers them.
//!
//! [`manage`] is what an account sets, [`deliver`] the background task that puts files into buckets, [`digest`] the signed
//! digests of them. Another tier's part is [`objects`]: writing an object. Everything else here is pure.

pub mod deliver;
pub mod digest;
mod file;
mod gather;
mod keys;
pub mod manage;
mod names;
pub mod objects;
mod selectors;

pub use deliver::Deliverer;
pub use keys::public_keys;
pub use names::arn;
pub use objects::{ObjectService, RemoteObjects};
pub use selectors::{DataResource, Selector};

/// Trails an account has at most (CloudTrail: 5 in a region).
pub const TRAILS_MAX: usize = 5;
/// Tags a trail has at most.
pub const TAGS_MAX: usize = 50;
/// Records of calls that end so soon after StopLogging are delivered still: that call's own among them.
pub(crate) const STOP_GRACE_MS: i64 = 1000;
