//! Quotas of one request, as the front door found them: checked in the transaction that writes, by its own rows.

use serde::{Deserialize, Serialize};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limited {
    /// Buckets of the account.
    Buckets,
    /// Objects of the bucket that is written to, with their older versions.
    BucketObjects,
    /// Bytes of that bucket.
    BucketBytes,
    /// Bytes of all buckets of the account.
    TotalBytes,
}

/// One quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What it limits.
    pub what: Limited,
    /// Most there may be after the request.
    pub max: u64,
    /// It counts the buckets that the caller made, not all of the account's.
    pub own: bool,
    /// Which quota it is and where it comes from, for the refusal.
    pub origin: String,
}

/// The quotas of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The unique id of the user or role that makes the request; none: the account itself.
    pub creator: Option<String>,
    /// All of them must hold.
    pub list: Vec<Limit>,
}
