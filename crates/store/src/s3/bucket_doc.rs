//! What is configured of a bucket: documents by kind, and by id where a kind has many.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;

record! {
    /// A document of a bucket.
    pub struct S3BucketDocRow {
        /// The bucket's number.
        bucket_id: i64,
        /// What it is (`policy`, `cors`, …).
        kind: String,
        /// Which of its kind; empty where there is one.
        id: String,
        /// Its text.
        doc: String,
        /// When it was put.
        updated_ms: i64,
    }
}

sql! {
    REV = "UPDATE s3_buckets SET rev = rev + 1 WHERE id = $1";
    PUT = "INSERT INTO s3_bucket_docs (bucket_id, kind, id, doc, updated_ms) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (bucket_id, kind, id) DO UPDATE SET doc = excluded.doc, updated_ms = excluded.updated_ms";
    LIST = "SELECT bucket_id, kind, id, doc, updated_ms FROM s3_bucket_docs WHERE bucket_id = $1 ORDER BY kind, id";
    DELETE = "DELETE FROM s3_bucket_docs WHERE bucket_id = $1 AND kind = $2 AND id = $3";
}

/// Puts a document over the one of its kind and id; [`StoreError::InUse`] when the bucket is not there.
pub async fn s3_bucket_doc_put(tx: &mut Tx, row: &S3BucketDocRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(PUT, row.args()).await?;
    Exec::Tx(tx).run(REV, args![row.bucket_id]).await.map(drop)
}

/// All documents of a bucket, by kind and id. (They are few, and whoever keeps them keeps all.)
pub async fn s3_bucket_doc_list<'a>(
    exec: impl Into<Exec<'a>>,
    bucket_id: i64,
) -> Result<Vec<S3BucketDocRow>, StoreError> {
    exec.into().all(LIST, args![bucket_id]).await
}

/// Removes a document; false if it was not there.
pub async fn s3_bucket_doc_delete(tx: &mut Tx, bucket_id: i64, kind: &str, id: &str) -> Result<bool, StoreError> {
    if Exec::Tx(tx).run(DELETE, args![bucket_id, kind, id]).await? == 0 {
        return Ok(false);
    }
    Exec::Tx(tx).run(REV, args![bucket_id]).await?;
    Ok(true)
}
