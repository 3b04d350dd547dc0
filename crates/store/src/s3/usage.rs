//! What buckets hold, counted in the transactions that change it.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;

/// Rows that a bucket's counters are spread over on PostgreSQL, where writers would wait for each other's row.
const SLOTS: i64 = 16;

record! {
    /// What a bucket holds, or by how much that changes.
    #[derive(Copy, Default)]
    pub struct S3Usage {
        /// Objects that a listing shows.
        objects: i64,
        /// Their bytes.
        bytes: i64,
        /// All versions, with delete markers.
        versions: i64,
        /// Their bytes.
        version_bytes: i64,
        /// Bytes of parts of uploads that are not complete.
        part_bytes: i64,
    }
}

sql! {
    ADD = "INSERT INTO s3_usage (bucket_id, slot, class, objects, bytes, versions, version_bytes, part_bytes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (bucket_id, slot, class) DO UPDATE SET
        objects = s3_usage.objects + excluded.objects, bytes = s3_usage.bytes + excluded.bytes,
        versions = s3_usage.versions + excluded.versions,
        version_bytes = s3_usage.version_bytes + excluded.version_bytes,
        part_bytes = s3_usage.part_bytes + excluded.part_bytes";
    SUM = "SELECT CAST(COALESCE(SUM(objects), 0) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT),
        CAST(COALESCE(SUM(versions), 0) AS BIGINT), CAST(COALESCE(SUM(version_bytes), 0) AS BIGINT),
        CAST(COALESCE(SUM(part_bytes), 0) AS BIGINT) FROM s3_usage WHERE bucket_id = $1";
    BY_CLASS = "SELECT class, CAST(SUM(objects) AS BIGINT), CAST(SUM(bytes) AS BIGINT), CAST(SUM(versions) AS BIGINT),
        CAST(SUM(version_bytes) AS BIGINT), CAST(SUM(part_bytes) AS BIGINT)
        FROM s3_usage WHERE bucket_id = $1 GROUP BY class ORDER BY class";
}

impl S3Usage {
    /// A version comes (`by` 1) or goes (-1); `listed`: a listing shows it.
    pub(super) fn version(&mut self, by: i64, size_bytes: u64, listed: bool) {
        self.versions += by;
        self.version_bytes += by * signed(size_bytes);
        if listed {
            self.listed(by, size_bytes);
        }
    }

    /// A version is shown by listings from now on (1), or no more (-1).
    pub(super) fn listed(&mut self, by: i64, size_bytes: u64) {
        self.objects += by;
        self.bytes += by * signed(size_bytes);
    }
}

pub(super) fn signed(size_bytes: u64) -> i64 {
    i64::try_from(size_bytes).unwrap_or(i64::MAX)
}

/// Changes a bucket's counters. One transaction always takes the same slot.
pub(super) async fn add(tx: &mut Tx, bucket_id: i64, class: &str, by: &S3Usage) -> Result<(), StoreError> {
    if *by == S3Usage::default() {
        return Ok(());
    }
    let slot = if tx.is_sqlite() { 0 } else { tx.number().rem_euclid(SLOTS) };
    let S3Usage { objects, bytes, versions, version_bytes, part_bytes } = *by;
    let values = args![bucket_id, slot, class, objects, bytes, versions, version_bytes, part_bytes];
    tx.later(ADD, values).await
}

/// What a bucket holds.
pub async fn s3_usage<'a>(exec: impl Into<Exec<'a>>, bucket_id: i64) -> Result<S3Usage, StoreError> {
    exec.into().one(SUM, args![bucket_id], bucket_id).await
}

record! {
    /// What a bucket holds of one storage class.
    pub struct S3ClassUsage {
        /// The class.
        class: String,
        /// Objects that a listing shows.
        objects: i64,
        /// Their bytes.
        bytes: i64,
        /// All versions, with delete markers.
        versions: i64,
        /// Their bytes.
        version_bytes: i64,
        /// Bytes of parts of uploads that are not complete: all are counted as STANDARD.
        part_bytes: i64,
    }
}

/// What a bucket holds of each storage class that it ever held anything of, by class.
pub async fn s3_usage_by_class<'a>(exec: impl Into<Exec<'a>>, bucket_id: i64) -> Result<Vec<S3ClassUsage>, StoreError> {
    exec.into().all(BY_CLASS, args![bucket_id]).await
}
