//! IAM's use cases.

pub mod base;
pub mod labels;
pub mod roles;
