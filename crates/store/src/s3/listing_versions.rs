//! Listing of versions and delete markers: by key, and within a key the newest first, as the primary key has them.

use super::listing::{S3ListFrom, lower_bound, prefix_successor};
use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::PAGE_ROWS_MAX;
use mallee_types::AccountId;

record! {
    /// What a listing shows of a version.
    pub struct S3ListedVersionRow {
        /// Its key.
        key: S3Key,
        /// Its place among the key's versions.
        rank: i64,
        /// Random part of its id; 0: null.
        vid: i64,
        /// It is what the key stands for.
        latest: bool,
        /// It is a delete marker.
        marker: bool,
        /// Its size.
        size_bytes: u64,
        /// Without quotes.
        etag: String,
        /// When it was written.
        modified_ms: i64,
        /// Its storage class.
        class: String,
        /// Whose it is.
        owner: AccountId,
        /// Its checksums, as text.
        checksums: String,
    }
}

macro_rules! listed {
    ($tail:literal) => {
        concat!(
            "SELECT key, rank, vid, latest, marker, size_bytes, etag, modified_ms, class, owner, checksums FROM s3_versions \
             WHERE bucket_id = (SELECT id FROM s3_buckets WHERE name = $1) AND ",
            $tail
        )
    };
}

sql! {
    FROM_KEY = listed!("key >= $2 AND key < $3 ORDER BY key, rank LIMIT $4 + 0");
    FROM_KEY_OPEN = listed!("key >= $2 ORDER BY key, rank LIMIT $3 + 0");
    AFTER = listed!("(key, rank) > ($2, $3) AND key < $4 ORDER BY key, rank LIMIT $5 + 0");
    AFTER_OPEN = listed!("(key, rank) > ($2, $3) ORDER BY key, rank LIMIT $4 + 0");
}

/// Where a listing of versions goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3VersionsFrom<'a> {
    /// As a listing of objects does: keys are shown with all their versions, or not at all.
    Keys(S3ListFrom<'a>),
    /// After one version of a key.
    AfterVersion {
        /// The key.
        key: &'a str,
        /// The version's rank.
        rank: i64,
    },
}

/// Versions whose key begins with `prefix`, at most `limit`.
pub async fn s3_version_list<'a>(
    exec: impl Into<Exec<'a>>,
    bucket: &str,
    prefix: &str,
    from: S3VersionsFrom<'_>,
    limit: u32,
) -> Result<Vec<S3ListedVersionRow>, StoreError> {
    let limit = limit.min(PAGE_ROWS_MAX);
    let high = prefix_successor(prefix.as_bytes());
    let from = match from {
        S3VersionsFrom::AfterVersion { key, rank } if key.as_bytes() >= prefix.as_bytes() => {
            return match high {
                Some(high) => exec.into().all(AFTER, args![bucket, key.as_bytes(), rank, high, limit]).await,
                None => exec.into().all(AFTER_OPEN, args![bucket, key.as_bytes(), rank, limit]).await,
            };
        }
        S3VersionsFrom::AfterVersion { .. } => S3ListFrom::Start,
        S3VersionsFrom::Keys(from) => from,
    };
    let Some(low) = lower_bound(prefix, from) else { return Ok(Vec::new()) };
    match high {
        Some(high) => exec.into().all(FROM_KEY, args![bucket, low, high, limit]).await,
        None => exec.into().all(FROM_KEY_OPEN, args![bucket, low, limit]).await,
    }
}
