//! What buckets hold, counted in the transactions that change it.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use mallee_types::AccountId;

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

/// The sums of usage rows `u`.
macro_rules! sums {
    () => {
        "CAST(COALESCE(SUM(u.objects), 0) AS BIGINT), CAST(COALESCE(SUM(u.bytes), 0) AS BIGINT),
         CAST(COALESCE(SUM(u.versions), 0) AS BIGINT), CAST(COALESCE(SUM(u.version_bytes), 0) AS BIGINT),
         CAST(COALESCE(SUM(u.part_bytes), 0) AS BIGINT)"
    };
}

/// Buckets on one page, those for which the condition holds.
macro_rules! buckets {
    ($condition:literal) => {
        concat!(
            "SELECT b.name, b.account_id, b.created_ms, ",
            sums!(),
            " FROM (SELECT id, name, account_id, created_ms FROM s3_buckets WHERE ",
            $condition,
            " AND name > $1 ORDER BY name LIMIT $2 + 0) b LEFT JOIN s3_usage u ON u.bucket_id = b.id
            GROUP BY b.name, b.account_id, b.created_ms ORDER BY b.name"
        )
    };
}

sql! {
    ADD = "INSERT INTO s3_usage (bucket_id, slot, class, objects, bytes, versions, version_bytes, part_bytes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (bucket_id, slot, class) DO UPDATE SET
        objects = s3_usage.objects + excluded.objects, bytes = s3_usage.bytes + excluded.bytes,
        versions = s3_usage.versions + excluded.versions,
        version_bytes = s3_usage.version_bytes + excluded.version_bytes,
        part_bytes = s3_usage.part_bytes + excluded.part_bytes";
    SUM = concat!("SELECT ", sums!(), " FROM s3_usage u WHERE u.bucket_id = $1");
    WHOLE = concat!("SELECT ", sums!(), " FROM s3_usage u");
    OF_BUCKETS = buckets!("1 = 1");
    OF_ACCOUNTS_BUCKETS = buckets!("account_id = $3");
    OF_ACCOUNTS = concat!("SELECT b.account_id, COUNT(DISTINCT b.id), ", sums!(), " FROM s3_buckets b
        LEFT JOIN s3_usage u ON u.bucket_id = b.id WHERE b.account_id > $1
        GROUP BY b.account_id ORDER BY b.account_id LIMIT $2 + 0");
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

record! {
    /// What a bucket holds.
    pub struct S3BucketUsage {
        /// The bucket.
        name: String,
        /// Whose.
        account_id: AccountId,
        /// When it was made.
        created_ms: i64,
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
    /// What the buckets of an account hold.
    pub struct S3AccountUsage {
        /// Whose.
        account_id: AccountId,
        /// How many buckets there are.
        buckets: i64,
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

/// What all buckets hold together.
pub async fn s3_usage_whole<'a>(exec: impl Into<Exec<'a>>) -> Result<S3Usage, StoreError> {
    exec.into().one(WHOLE, vec![], "usage").await
}

/// What buckets hold, of one account or of all, by name after `after`.
pub async fn s3_usage_of_buckets<'a>(
    exec: impl Into<Exec<'a>>,
    account: Option<&AccountId>,
    after: &str,
    limit: u32,
) -> Result<Vec<S3BucketUsage>, StoreError> {
    match account {
        None => exec.into().all(OF_BUCKETS, args![after, limit]).await,
        Some(account) => exec.into().all(OF_ACCOUNTS_BUCKETS, args![after, limit, account]).await,
    }
}

/// What the accounts hold that have buckets, by number after `after`. (It reads the counters of all buckets that come
/// after; there is no count by account, which all writers of one would have to wait for.)
pub async fn s3_usage_of_accounts<'a>(
    exec: impl Into<Exec<'a>>,
    after: &str,
    limit: u32,
) -> Result<Vec<S3AccountUsage>, StoreError> {
    exec.into().all(OF_ACCOUNTS, args![after, limit]).await
}
