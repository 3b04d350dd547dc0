//! Buckets.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use crate::value::words;
use mallee_types::AccountId;

/// What a bucket does with the objects that are overwritten or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum S3Versioning {
    /// Never enabled: they are gone.
    #[default]
    Off,
    /// They stay as older versions.
    Enabled,
    /// Enabled once: older versions stay, but each key has only one version without an id ("null").
    Suspended,
}

words! {
    S3Versioning { Off = "", Enabled = "Enabled", Suspended = "Suspended" }
}

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
        /// Its number, which no other bucket ever has.
        id: i64,
        /// Whether older versions are kept.
        versioning: S3Versioning,
        /// Grows with every change of this row or of the bucket's documents.
        rev: u64,
    }
}

sql! {
    NEXT_ID = "UPDATE s3_counters SET value = value + 1 WHERE name = 'bucket' RETURNING value";
    INSERT = "INSERT INTO s3_buckets (name, account_id, region, created_ms, id) VALUES ($1, $2, $3, $4, $5)";
    FETCH = "SELECT name, account_id, region, created_ms, id, versioning, rev FROM s3_buckets WHERE name = $1";
    LIST = "SELECT name, account_id, region, created_ms, id, versioning, rev FROM s3_buckets
        WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3 + 0";
    VERSIONING = "UPDATE s3_buckets SET versioning = $2, rev = rev + 1 WHERE name = $1";
    DELETE = "DELETE FROM s3_buckets WHERE name = $1";
}

/// Makes a bucket. Conflict: `s3_buckets_name`.
pub async fn s3_bucket_insert(
    tx: &mut Tx,
    name: &str,
    account: &AccountId,
    region: &str,
    created_ms: i64,
) -> Result<S3BucketRow, StoreError> {
    let (id,) = Exec::Tx(tx).one::<(i64,)>(NEXT_ID, vec![], "counter of buckets").await?;
    Exec::Tx(tx).run(INSERT, args![name, account, region, created_ms, id]).await?;
    Ok(S3BucketRow {
        name: name.to_owned(),
        account_id: account.clone(),
        region: region.to_owned(),
        created_ms,
        id,
        versioning: S3Versioning::Off,
        rev: 1,
    })
}

/// The bucket of this name.
pub async fn s3_bucket_fetch<'a>(exec: impl Into<Exec<'a>>, name: &str) -> Result<S3BucketRow, StoreError> {
    exec.into().one(FETCH, args![name], name).await
}

fn lock_name(name: &str) -> String {
    format!("s3-bucket/{name}")
}

/// The bucket, which nobody reconfigures or deletes until the end of the transaction; any number may hold it so. To be
/// taken before anything is written into it.
pub async fn s3_bucket_hold(tx: &mut Tx, name: &str) -> Result<S3BucketRow, StoreError> {
    tx.lock_shared(&lock_name(name)).await?;
    s3_bucket_fetch(tx, name).await
}

/// As [`s3_bucket_hold`], after everybody who writes into it, and before others do.
pub async fn s3_bucket_hold_alone(tx: &mut Tx, name: &str) -> Result<S3BucketRow, StoreError> {
    lock(tx, name).await?;
    s3_bucket_fetch(tx, name).await
}

/// Waits for everybody who writes into the bucket, and keeps others from it until the end of the transaction.
pub(super) async fn lock(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    tx.lock(&lock_name(name)).await
}

/// An account's buckets whose names sort after `after`, by name.
pub async fn s3_bucket_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    after: &str,
    limit: u32,
) -> Result<Vec<S3BucketRow>, StoreError> {
    exec.into().all(LIST, args![account, after, limit]).await
}

/// Enables or suspends versioning; false if there is no such bucket.
pub async fn s3_bucket_versioning_set(tx: &mut Tx, name: &str, versioning: S3Versioning) -> Result<bool, StoreError> {
    lock(tx, name).await?;
    Ok(Exec::Tx(tx).run(VERSIONING, args![name, versioning]).await? > 0)
}

/// Removes a bucket; [`StoreError::InUse`] while it has versions or uploads (`BucketNotEmpty`), false if it was not there.
pub async fn s3_bucket_delete(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    lock(tx, name).await?;
    Ok(Exec::Tx(tx).run(DELETE, args![name]).await? > 0)
}
