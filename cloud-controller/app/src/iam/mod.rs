//! IAM's use cases.

pub mod base;
pub mod instance_profiles;
pub mod roles;
pub mod tags;
