//! Stored files and their reference counts.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;

record! {
    /// A stored file.
    pub struct S3BlobRow {
        /// Its id, from which the engine makes the file's name.
        id: String,
        /// Its size.
        size_bytes: u64,
        /// When it was made.
        created_ms: i64,
        /// How many rows refer to it.
        refs: u64,
    }
}

sql! {
    INSERT = "INSERT INTO s3_blobs (id, size_bytes, created_ms, refs) VALUES ($1, $2, $3, $4)";
    FETCH = "SELECT id, size_bytes, created_ms, refs FROM s3_blobs WHERE id = $1";
    LIST = "SELECT id, size_bytes, created_ms, refs FROM s3_blobs WHERE 1 = 1";
    RETAIN = "UPDATE s3_blobs SET refs = refs + 1 WHERE id = $1";
    RELEASE = "UPDATE s3_blobs SET refs = refs - 1 WHERE id = $1 RETURNING refs";
    DELETE = "DELETE FROM s3_blobs WHERE id = $1 AND refs = 0";
}

/// Records a stored file nobody refers to yet; refer to it in the same transaction.
pub async fn s3_blob_insert(tx: &mut Tx, id: &str, size_bytes: u64) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    Exec::Tx(tx).run(INSERT, args![id, size_bytes, now_ms, 0i64]).await.map(drop)
}

/// The file of this id.
pub async fn s3_blob_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<S3BlobRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// Stored files by id, after `after` (the sweeper compares them with the directory).
pub async fn s3_blob_list<'a>(
    exec: impl Into<Exec<'a>>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<S3BlobRow>, StoreError> {
    Select::new(LIST, vec![]).and("id >", after).page(exec.into(), "id", limit).await
}

/// One more row refers to the file.
///
/// # Errors
/// [`StoreError::NotFound`] when the file is gone (its last reference went meanwhile).
pub async fn s3_blob_retain(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(RETAIN, args![id]).await? {
        0 => Err(StoreError::not_found(format_args!("blob {id}"))),
        _ => Ok(()),
    }
}

/// One row less refers to the file. True: that was the last, the row is gone, and after the commit the file is garbage.
/// The referring row must be gone already.
pub async fn s3_blob_release(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    let (refs,) = Exec::Tx(tx).one::<(u64,)>(RELEASE, args![id], id).await?;
    if refs > 0 {
        return Ok(false);
    }
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Releases many; those that became garbage.
pub(crate) async fn release_all(tx: &mut Tx, ids: Vec<String>) -> Result<Vec<String>, StoreError> {
    let mut garbage = Vec::new();
    for id in ids {
        if s3_blob_release(tx, &id).await? {
            garbage.push(id);
        }
    }
    Ok(garbage)
}
