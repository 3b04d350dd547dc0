//! IAM's use cases.

pub mod accounts;
pub mod base;
pub mod boundary;
pub mod builtin;
pub mod details;
pub mod effective;
pub mod groups;
pub mod inline;
pub mod key_uses;
pub mod keys;
pub mod labels;
pub mod managed;
pub mod on_principals;
pub mod roles;
pub mod simulate;
pub mod summary;
pub mod users;
pub mod versions;

pub use effective::{EffectivePolicies, EffectivePolicy, PolicyCache, policies_of};
