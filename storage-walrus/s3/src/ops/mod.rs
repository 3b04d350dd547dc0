//! The operations, a file for each kind.

pub(crate) mod access;
pub(crate) mod acl;
pub(crate) mod attributes;
pub(crate) mod buckets;
pub(crate) mod complete;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod durability;
pub(crate) mod encryption;
pub(crate) mod get;
pub(crate) mod inventory;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod logging;
pub(crate) mod notification;
pub(crate) mod parts;
pub(crate) mod policy;
pub(crate) mod put;
pub(crate) mod refused;
pub(crate) mod tagging;
pub(crate) mod uploads;
pub(crate) mod versioning;
pub(crate) mod versions;
