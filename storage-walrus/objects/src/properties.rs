//! What is said of a version besides its name and bytes, and may change after its writing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The storage class of everything that names none.
pub const STANDARD: &str = "STANDARD";

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// How a version is kept from being deleted until a time
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockMode {
    /// Whoever has the right to may pass it by.
    Governance,
    /// Nobody may.
    Compliance,
}

/// A retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Who may end it.
    pub mode: LockMode,
    /// Until when, in milliseconds since 1970.
    pub until_ms: i64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// Storage class.
    #[serde(default = "standard", skip_serializing_if = "is_standard")]
    pub class: String,
    /// The account that owns it; none: the bucket's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Access control list, as the protocol keeps it; none: the owner has full control, nobody else any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<String>,
    /// Retention, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Legal hold: kept from being deleted until it is lifted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legal_hold: bool,
    /// How the bytes are encrypted, JSON; none: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// State of its replication (`PENDING`, …), if a rule asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<String>,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            class: standard(),
            owner: None,
            tags: Tags::new(),
            acl: None,
            retention: None,
            legal_hold: false,
            encryption: None,
            replication: None,
        }
    }
}

fn standard() -> String {
    STANDARD.to_owned()
}

fn is_standard(class: &str) -> bool {
    class == STANDARD
}

/// Makes the new properties of a version from those it has, or says why it cannot have them. It is called within a
/// transaction that nobody else changes the version in.
pub type PropertyChange<'c> = dyn Fn(&crate::ObjectInfo) -> Result<Properties, crate::Error> + Send + Sync + 'c;
