//! IAM's use cases.

pub mod base;
pub mod instance_profiles;
pub mod password;
pub mod qr;
pub mod roles;
pub mod tags;
pub mod totp;
pub mod x509;
