//! What the background work reads and keeps: where it was, which buckets have something for it, and versions by age.

use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;

record! {
    /// What counts of a version where rules decide what becomes of it.
    pub struct S3AgingRow {
        /// Its key.
        key: S3Key,
        /// Its place among the key's versions.
        rank: i64,
        /// Random part of its id; 0: null.
        vid: i64,
        /// It is a delete marker.
        marker: bool,
        /// Unique to this writing of the key.
        write_id: String,
        /// Its size.
        size_bytes: u64,
        /// When it was written.
        modified_ms: i64,
        /// Its storage class.
        class: String,
        /// Its tags, JSON; empty for none.
        tags: String,
        /// Until when it is retained.
        lock_until_ms: Option<i64>,
        /// It is on legal hold.
        legal_hold: bool,
    }
}

sql! {
    AGING = "SELECT key, rank, vid, marker, write_id, size_bytes, modified_ms, class, tags, lock_until_ms, legal_hold
        FROM s3_versions WHERE bucket_id = $1 AND (key, rank) > ($2, $3) ORDER BY key, rank LIMIT $4 + 0";
    CONFIGURED = "SELECT b.name FROM s3_bucket_docs d JOIN s3_buckets b ON b.id = d.bucket_id
        WHERE d.kind = $1 AND b.name > $2 GROUP BY b.name ORDER BY b.name LIMIT $3 + 0";
    FETCH = "SELECT state FROM s3_jobs WHERE name = $1";
    PUT = "INSERT INTO s3_jobs (name, state, updated_ms) VALUES ($1, $2, $3)
        ON CONFLICT (name) DO UPDATE SET state = excluded.state, updated_ms = excluded.updated_ms";
}

/// Versions and delete markers of a bucket by key, of a key the newest first, after this key and rank.
pub async fn s3_aging_list<'a>(
    exec: impl Into<Exec<'a>>,
    bucket_id: i64,
    after: (&str, i64),
    limit: u32,
) -> Result<Vec<S3AgingRow>, StoreError> {
    let (key, rank) = after;
    exec.into().all(AGING, args![bucket_id, key.as_bytes(), rank, limit]).await
}

/// Names of buckets with a document of this kind, after a name.
pub async fn s3_configured_list<'a>(
    exec: impl Into<Exec<'a>>,
    kind: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    Ok(exec
        .into()
        .all::<(String,)>(CONFIGURED, args![kind, after, limit])
        .await?
        .into_iter()
        .map(|(name,)| name)
        .collect())
}

/// Where a job was.
pub async fn s3_job_fetch<'a>(exec: impl Into<Exec<'a>>, name: &str) -> Result<Option<String>, StoreError> {
    Ok(exec.into().maybe::<(String,)>(FETCH, args![name]).await?.map(|(state,)| state))
}

/// Notes where a job is.
pub async fn s3_job_put(tx: &mut Tx, name: &str, state: &str) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    Exec::Tx(tx).run(PUT, args![name, state, now_ms]).await.map(drop)
}
