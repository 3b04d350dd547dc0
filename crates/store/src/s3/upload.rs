//! Uploads in parts that are not complete.

use super::blob::{release_all, s3_blob_retain};
use super::object::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::ToArg as _;
use mallee_types::AccountId;

record! {
    /// An upload.
    pub struct S3UploadRow {
        /// Its id.
        id: String,
        /// The bucket it goes to.
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
    /// A part that was uploaded.
    pub struct S3PartRow {
        /// Of which upload.
        upload_id: String,
        /// From 1.
        part_number: u32,
        /// Its size.
        size_bytes: u64,
        /// Without quotes.
        etag: String,
        /// Where its bytes are.
        blob_id: String,
        /// Its checksums, JSON.
        checksums: String,
        /// When it was written.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO s3_uploads (id, bucket, key, account_id, created_ms, doc) VALUES ($1, $2, $3, $4, $5, $6)";
    FETCH = "SELECT id, bucket, key, account_id, created_ms, doc FROM s3_uploads WHERE id = $1";
    LIST = "SELECT id, bucket, key, account_id, created_ms, doc FROM s3_uploads WHERE bucket = $1 AND key >= $2";
    LIST_STALE = "SELECT id, bucket, key, account_id, created_ms, doc FROM s3_uploads WHERE created_ms < $1
        ORDER BY created_ms, id LIMIT $2 + 0";
    DELETE = "DELETE FROM s3_uploads WHERE id = $1";
    PARTS = "SELECT upload_id, part_number, size_bytes, etag, blob_id, checksums, created_ms
        FROM s3_parts WHERE upload_id = $1 AND part_number > $2 ORDER BY part_number LIMIT $3 + 0";
    PART_BLOBS = "SELECT blob_id FROM s3_parts WHERE upload_id = $1";
    PART_DELETE = "DELETE FROM s3_parts WHERE upload_id = $1 AND part_number = $2 RETURNING blob_id";
    PART_INSERT = "INSERT INTO s3_parts (upload_id, part_number, size_bytes, etag, blob_id, checksums, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
}

/// Begins an upload; [`StoreError::InUse`] when the bucket is not there.
pub async fn s3_upload_insert(tx: &mut Tx, row: &S3UploadRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The upload of this id.
pub async fn s3_upload_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<S3UploadRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
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
    let mut select = Select::new(LIST, args![bucket, prefix.as_bytes()]).and("key <", high);
    if let Some((key, id)) = after {
        select = select.and_pair("(key, id) >", key.as_bytes().to_arg(), id.to_arg());
    }
    select.page(exec.into(), "key, id", limit).await
}

/// Uploads begun before this, oldest first.
pub async fn s3_upload_list_stale<'a>(
    exec: impl Into<Exec<'a>>,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<S3UploadRow>, StoreError> {
    exec.into().all(LIST_STALE, args![before_ms, limit]).await
}

async fn lock(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    tx.lock(&format!("s3-upload/{id}")).await
}

/// Writes a part over the one of the same number and refers to its blob, whose row must be there. Returns the blobs that
/// became garbage.
///
/// # Errors
/// [`StoreError::NotFound`] when the upload or the blob is gone.
pub async fn s3_part_put(tx: &mut Tx, row: &S3PartRow) -> Result<Vec<String>, StoreError> {
    lock(tx, &row.upload_id).await?;
    s3_upload_fetch(&mut *tx, &row.upload_id).await?;
    s3_blob_retain(tx, &row.blob_id).await?;
    let old = Exec::Tx(tx).maybe::<(String,)>(PART_DELETE, args![row.upload_id, row.part_number]).await?;
    Exec::Tx(tx).run(PART_INSERT, row.args()).await?;
    release_all(tx, old.into_iter().map(|(blob,)| blob).collect()).await
}

/// The upload's parts by number, after `after`.
pub async fn s3_part_list<'a>(
    exec: impl Into<Exec<'a>>,
    upload: &str,
    after: u32,
    limit: u32,
) -> Result<Vec<S3PartRow>, StoreError> {
    exec.into().all(PARTS, args![upload, after, limit]).await
}

/// Ends an upload, with its parts: given up, or after its object was put in the same transaction (which kept the blobs
/// it needs). Of two that try, one gets `Some`: the blobs that became garbage.
pub async fn s3_upload_delete(tx: &mut Tx, id: &str) -> Result<Option<Vec<String>>, StoreError> {
    lock(tx, id).await?;
    let blobs = Exec::Tx(tx).all::<(String,)>(PART_BLOBS, args![id]).await?;
    if Exec::Tx(tx).run(DELETE, args![id]).await? == 0 {
        return Ok(None);
    }
    release_all(tx, blobs.into_iter().map(|(blob,)| blob).collect()).await.map(Some)
}
