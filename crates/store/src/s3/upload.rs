//! Uploads in parts that are not complete.

use super::s3_blobs_release;
use super::usage::{self, S3Usage, signed};
use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::ToArg as _;
use mallee_types::AccountId;
use std::collections::HashSet;

record! {
    /// An upload.
    pub struct S3UploadRow {
        /// Its id.
        id: String,
        /// The number of the bucket it goes to.
        bucket_id: i64,
        /// That bucket's name.
        bucket: String,
        /// The key it goes to.
        key: S3Key,
        /// Who began it.
        account_id: AccountId,
        /// When.
        created_ms: i64,
        /// The headers of the object to be, JSON.
        doc: String,
    }
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT u.id, u.bucket_id, b.name, u.key, u.account_id, u.created_ms, u.doc FROM s3_uploads u \
             JOIN s3_buckets b ON b.id = u.bucket_id WHERE ",
            $tail
        )
    };
}

sql! {
    INSERT = "INSERT INTO s3_uploads (id, bucket_id, key, account_id, created_ms, doc) VALUES ($1, $2, $3, $4, $5, $6)";
    FETCH = select!("u.id = $1");
    LIST = select!("u.bucket_id = (SELECT id FROM s3_buckets WHERE name = $1) AND u.key >= $2");
    DELETE = "DELETE FROM s3_uploads WHERE id = $1 RETURNING bucket_id";
    PARTS = "SELECT blob_id, size_bytes FROM s3_parts WHERE upload_id = $1";
}

/// Begins an upload; [`StoreError::InUse`] when the bucket is not there.
pub async fn s3_upload_insert(tx: &mut Tx, row: &S3UploadRow) -> Result<(), StoreError> {
    let S3UploadRow { id, bucket_id, key, account_id, created_ms, doc, .. } = row;
    Exec::Tx(tx).run(INSERT, args![id, bucket_id, key, account_id, created_ms, doc]).await.map(drop)
}

/// The upload of this id.
pub async fn s3_upload_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<S3UploadRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

async fn lock(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    tx.lock(&format!("s3-upload/{id}")).await
}

/// The upload of this id, whose parts nobody else changes until the end of the transaction.
pub async fn s3_upload_hold(tx: &mut Tx, id: &str) -> Result<S3UploadRow, StoreError> {
    lock(tx, id).await?;
    s3_upload_fetch(tx, id).await
}

/// The bucket's uploads whose key begins with `prefix`, by key and id, after `after`.
pub async fn s3_upload_list<'a>(
    exec: impl Into<Exec<'a>>,
    bucket: &str,
    prefix: &str,
    after: Option<(&str, &str)>,
    limit: u32,
) -> Result<Vec<S3UploadRow>, StoreError> {
    let high = super::prefix_successor(prefix.as_bytes());
    let mut select = Select::new(LIST, args![bucket, prefix.as_bytes()]).and("u.key <", high);
    if let Some((key, id)) = after {
        select = select.and_pair("(u.key, u.id) >", key.as_bytes().to_arg(), id.to_arg());
    }
    select.page(exec.into(), "u.key, u.id", limit).await
}

/// Gives up an upload, with its parts. Of two that try, one gets `Some`: how many blobs became garbage.
pub async fn s3_upload_delete(tx: &mut Tx, id: &str) -> Result<Option<usize>, StoreError> {
    lock(tx, id).await?;
    end(tx, id, &HashSet::new()).await
}

/// Ends an upload whose version was put in the same transaction, which takes over the references to the blobs `kept`.
/// `None`: it has ended already.
pub async fn s3_upload_complete(tx: &mut Tx, id: &str, kept: &HashSet<&str>) -> Result<Option<usize>, StoreError> {
    end(tx, id, kept).await
}

async fn end(tx: &mut Tx, id: &str, kept: &HashSet<&str>) -> Result<Option<usize>, StoreError> {
    let parts = Exec::Tx(tx).all::<(String, u64)>(PARTS, args![id]).await?;
    let Some((bucket_id,)) = Exec::Tx(tx).maybe::<(i64,)>(DELETE, args![id]).await? else { return Ok(None) };
    let part_bytes = -parts.iter().map(|(_, size)| signed(*size)).sum::<i64>();
    let dropped: Vec<String> =
        parts.into_iter().map(|(blob, _)| blob).filter(|blob| !kept.contains(blob.as_str())).collect();
    let freed = s3_blobs_release(tx, &dropped).await?;
    usage::add(tx, bucket_id, super::STANDARD_CLASS, &S3Usage { part_bytes, ..S3Usage::default() }).await?;
    Ok(Some(freed))
}
