//! Buckets.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// A bucket.
    pub struct S3BucketRow {
        /// Unique in the cloud.
        name: String,
        /// Whose.
        account_id: AccountId,
        /// As asked for at its making.
        region: String,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO s3_buckets (name, account_id, region, created_ms) VALUES ($1, $2, $3, $4)";
    FETCH = "SELECT name, account_id, region, created_ms FROM s3_buckets WHERE name = $1";
    LIST = "SELECT name, account_id, region, created_ms FROM s3_buckets WHERE account_id = $1 ORDER BY name";
    DELETE = "DELETE FROM s3_buckets WHERE name = $1";
    BYTES = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM s3_objects WHERE bucket = $1";
    OBJECTS = "SELECT COUNT(*) FROM s3_objects WHERE bucket = $1";
}

/// Makes a bucket. Conflict: `s3_buckets_name`.
pub async fn s3_bucket_insert(tx: &mut Tx, row: &S3BucketRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The bucket of this name.
pub async fn s3_bucket_fetch<'a>(exec: impl Into<Exec<'a>>, name: &str) -> Result<S3BucketRow, StoreError> {
    exec.into().one(FETCH, args![name], name).await
}

/// An account's buckets, by name.
pub async fn s3_bucket_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<S3BucketRow>, StoreError> {
    exec.into().all(LIST, args![account]).await
}

/// Bytes of all objects of a bucket.
pub async fn s3_bucket_bytes<'a>(exec: impl Into<Exec<'a>>, name: &str) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(BYTES, args![name], name).await?.0)
}

/// How many objects a bucket holds.
pub async fn s3_bucket_objects<'a>(exec: impl Into<Exec<'a>>, name: &str) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(OBJECTS, args![name], name).await?.0)
}

/// Removes a bucket; [`StoreError::InUse`] while it has objects or uploads (`BucketNotEmpty`), false if it was not there.
pub async fn s3_bucket_delete(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![name]).await? > 0)
}
