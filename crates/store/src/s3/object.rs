//! Objects. An object's bytes are in the row (small ones), in one blob, or in one blob per part.

use super::blob::{release_all, s3_blob_retain};
use super::bucket::s3_bucket_fetch;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::insert_rows;
use crate::tx::Tx;
use crate::value::{Arg, FromColumn, Row, ToArg};

/// An object's key: UTF-8, stored and sorted as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S3Key(pub String);

impl ToArg for S3Key {
    const NULL: Arg = Arg::Bytes(None);
    fn to_arg(&self) -> Arg {
        self.0.as_bytes().to_arg()
    }
}
impl FromColumn for S3Key {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = row.bytes(at)? else { return Ok(None) };
        String::from_utf8(bytes)
            .map(|key| Some(Self(key)))
            .map_err(|e| StoreError::corrupt(format!("column {at}: {e}")))
    }
}

record! {
    /// An object.
    pub struct S3ObjectRow {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: S3Key,
        /// Its size.
        size_bytes: u64,
        /// Without quotes.
        etag: String,
        /// Where the bytes are, if they are in one file.
        blob_id: Option<String>,
        /// The bytes, if they are few.
        inline: Option<Vec<u8>>,
        /// As given.
        content_type: String,
        /// The headers to give back, JSON.
        metadata: String,
        /// The checksums, JSON.
        checksums: String,
        /// When it was written.
        created_ms: i64,
        /// Unique to this writing of the key.
        version: String,
    }
    /// One part of an object that was uploaded in parts.
    pub struct S3ObjectPartRow {
        /// From 1, ascending; gaps occur.
        part_number: u32,
        /// Its size.
        size_bytes: u64,
        /// Where its bytes are.
        blob_id: String,
        /// Its checksums, JSON.
        checksums: String,
    }
}

macro_rules! columns {
    () => {
        "bucket, key, size_bytes, etag, blob_id, inline, content_type, metadata, checksums, created_ms, version"
    };
}

sql! {
    INSERT = concat!("INSERT INTO s3_objects (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
    FETCH = concat!("SELECT ", columns!(), " FROM s3_objects WHERE bucket = $1 AND key = $2");
    DELETE = "DELETE FROM s3_objects WHERE bucket = $1 AND key = $2 RETURNING blob_id";
    PARTS = "SELECT part_number, size_bytes, blob_id, checksums FROM s3_object_parts WHERE version = $1 ORDER BY part_number";
    PARTS_OF_KEY = "SELECT p.blob_id FROM s3_object_parts p JOIN s3_objects o ON o.version = p.version
        WHERE o.bucket = $1 AND o.key = $2";
}

/// The object of this key; `None` if there is none (the bucket is not looked at).
pub async fn s3_object_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    bucket: &str,
    key: &str,
) -> Result<Option<S3ObjectRow>, StoreError> {
    exec.into().maybe(FETCH, args![bucket, key.as_bytes()]).await
}

/// The parts of an object, in order; none if it was not uploaded in parts.
pub async fn s3_object_parts<'a>(exec: impl Into<Exec<'a>>, version: &str) -> Result<Vec<S3ObjectPartRow>, StoreError> {
    exec.into().all(PARTS, args![version]).await
}

async fn lock(tx: &mut Tx, bucket: &str, key: &str) -> Result<(), StoreError> {
    tx.lock(&format!("s3/{bucket}/{key}")).await
}

/// Writes an object over the one of the same key, and refers to the blobs of `row.blob_id` and `parts`, whose rows must
/// be there. Returns the blobs that became garbage.
///
/// # Errors
/// [`StoreError::NotFound`] when the bucket or a blob is gone.
pub async fn s3_object_put(
    tx: &mut Tx,
    row: &S3ObjectRow,
    parts: &[S3ObjectPartRow],
) -> Result<Vec<String>, StoreError> {
    lock(tx, &row.bucket, &row.key.0).await?;
    // First refer to the new, then drop the old: a copy onto itself must not lose the blob.
    for blob in row.blob_id.iter().chain(parts.iter().map(|part| &part.blob_id)) {
        s3_blob_retain(tx, blob).await?;
    }
    let dropped = remove(tx, &row.bucket, &row.key.0).await?;
    match Exec::Tx(tx).run(INSERT, row.args()).await {
        Err(StoreError::InUse) => {
            // On PostgreSQL the failed statement ended the transaction; the only parent that can be missing is the bucket.
            return Err(StoreError::not_found(format_args!("bucket {}", row.bucket)));
        }
        other => other?,
    };
    let head = "INSERT INTO s3_object_parts (version, part_number, size_bytes, blob_id, checksums) VALUES ";
    let rows = parts.iter().map(|p| args![row.version, p.part_number, p.size_bytes, p.blob_id, p.checksums]).collect();
    insert_rows(Exec::Tx(tx), head, "", rows).await?;
    release_all(tx, dropped.unwrap_or_default()).await
}

/// Removes an object. `None`: there was none; else the blobs that became garbage.
pub async fn s3_object_delete(tx: &mut Tx, bucket: &str, key: &str) -> Result<Option<Vec<String>>, StoreError> {
    lock(tx, bucket, key).await?;
    match remove(tx, bucket, key).await? {
        Some(dropped) => release_all(tx, dropped).await.map(Some),
        None => {
            s3_bucket_fetch(&mut *tx, bucket).await?;
            Ok(None)
        }
    }
}

/// Removes the row (its parts go with it); the blobs it referred to.
async fn remove(tx: &mut Tx, bucket: &str, key: &str) -> Result<Option<Vec<String>>, StoreError> {
    let parts = Exec::Tx(tx).all::<(String,)>(PARTS_OF_KEY, args![bucket, key.as_bytes()]).await?;
    let gone = Exec::Tx(tx).maybe::<(Option<String>,)>(DELETE, args![bucket, key.as_bytes()]).await?;
    Ok(gone.map(|(blob,)| parts.into_iter().map(|(part,)| part).chain(blob).collect()))
}
