//! Parts of uploads that are not complete.

use super::upload::S3UploadRow;
use super::usage::{self, S3Usage, signed};
use super::{s3_blob_insert, s3_blobs_release};
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;

record! {
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
        /// Its checksums, as text.
        checksums: String,
        /// When it was written.
        created_ms: i64,
    }
}

sql! {
    LIST = "SELECT upload_id, part_number, size_bytes, etag, blob_id, checksums, created_ms
        FROM s3_parts WHERE upload_id = $1 AND part_number > $2 ORDER BY part_number LIMIT $3 + 0";
    DELETE = "DELETE FROM s3_parts WHERE upload_id = $1 AND part_number = $2 RETURNING blob_id, size_bytes";
    INSERT = "INSERT INTO s3_parts (upload_id, part_number, size_bytes, etag, blob_id, checksums, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
}

/// Writes a part, with the row of its blob (of so many `stored` bytes), over the one of the same number; how many blobs became garbage. `upload` is
/// the upload, held ([`super::s3_upload_hold`]).
pub async fn s3_part_put(tx: &mut Tx, upload: &S3UploadRow, row: &S3PartRow, stored: u64) -> Result<usize, StoreError> {
    s3_blob_insert(tx, &row.blob_id, stored, 1).await?;
    let old: Option<(String, u64)> = Exec::Tx(tx).maybe(DELETE, args![upload.id, row.part_number]).await?;
    tx.later(INSERT, row.args()).await?;
    let part_bytes = signed(row.size_bytes) - old.as_ref().map_or(0, |(_, size)| signed(*size));
    let dropped: Vec<String> = old.into_iter().map(|(blob, _)| blob).collect();
    let freed = s3_blobs_release(tx, &dropped).await?;
    usage::add(tx, upload.bucket_id, super::STANDARD_CLASS, &S3Usage { part_bytes, ..S3Usage::default() }).await?;
    Ok(freed)
}

/// The upload's parts by number, after `after`.
pub async fn s3_part_list<'a>(
    exec: impl Into<Exec<'a>>,
    upload: &str,
    after: u32,
    limit: u32,
) -> Result<Vec<S3PartRow>, StoreError> {
    exec.into().all(LIST, args![upload, after, limit]).await
}
