//! What lists of a bucket's objects tell.

use super::listing::prefix_successor;
use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use mallee_types::AccountId;

record! {
    /// A version of an object, or a delete marker, as lists tell of it.
    pub struct S3InventoryRow {
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
        /// How it is retained, if it is.
        lock_mode: Option<String>,
        /// Until when it is retained.
        lock_until_ms: Option<i64>,
        /// It is on legal hold.
        legal_hold: bool,
        /// How its bytes are encrypted, JSON; none: they are not.
        enc: Option<String>,
        /// State of its replication, if a rule asks for one.
        repl: Option<String>,
        /// In how many pieces its bytes are, if they were uploaded in parts.
        pieces: u32,
    }
}

macro_rules! told {
    ($tail:literal) => {
        concat!(
            "SELECT key, rank, vid, latest, marker, size_bytes, etag, modified_ms, class, owner, checksums, lock_mode, \
             lock_until_ms, legal_hold, enc, repl, pieces FROM s3_versions \
             WHERE bucket_id = $1 AND (key, rank) > ($2, $3) ",
            $tail
        )
    };
}

sql! {
    ALL = told!("ORDER BY key, rank LIMIT $4 + 0");
    BELOW = told!("AND key < $5 ORDER BY key, rank LIMIT $4 + 0");
}

/// Versions and delete markers of a bucket by key, of a key the newest first, whose keys begin with this prefix, after this
/// key and rank.
pub async fn s3_inventory_list<'a>(
    exec: impl Into<Exec<'a>>,
    bucket_id: i64,
    prefix: &str,
    after: (&str, i64),
    limit: u32,
) -> Result<Vec<S3InventoryRow>, StoreError> {
    let (key, rank) = if after.0 < prefix { (prefix, i64::MIN) } else { after };
    match prefix_successor(prefix.as_bytes()) {
        Some(end) => exec.into().all(BELOW, args![bucket_id, key.as_bytes(), rank, limit, end]).await,
        None => exec.into().all(ALL, args![bucket_id, key.as_bytes(), rank, limit]).await,
    }
}
