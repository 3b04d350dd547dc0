//! IAM's use cases.

pub mod accounts;
pub mod base;
pub mod boundary;
pub mod builtin;
pub mod certificates;
pub mod credential_report;
pub mod details;
pub mod effective;
pub mod groups;
pub mod import;
pub mod inline;
pub mod instance_profiles;
pub mod key_uses;
pub mod keys;
pub mod labels;
pub mod logins;
pub mod managed;
pub mod mfa_devices;
pub mod oidc;
pub mod on_principals;
pub mod password;
pub mod qr;
pub mod roles;
pub mod simulate;
pub mod ssh_keys;
pub mod summary;
pub mod totp;
pub mod users;
pub mod versions;
pub mod x509;

pub use effective::{EffectivePolicies, EffectivePolicy, PolicyCache, policies_of};
