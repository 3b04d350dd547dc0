//! Blobs that lost their last reference, until their bytes are deleted.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{FILTER_VALUES_MAX, Select, insert_rows};
use crate::tx::Tx;

record! {
    /// A blob to delete.
    pub struct S3GarbageRow {
        /// Its id.
        blob_id: String,
        /// Its size.
        size_bytes: u64,
        /// When its last reference went.
        freed_ms: i64,
        /// From when on it may be deleted.
        due_ms: i64,
        /// How often that failed.
        tries: u32,
    }
}

sql! {
    INSERT_ONE = "INSERT INTO s3_garbage (blob_id, size_bytes, freed_ms, due_ms, tries) VALUES ($1, $2, $3, $4, $5)";
    LIST = "SELECT blob_id, size_bytes, freed_ms, due_ms, tries FROM s3_garbage WHERE due_ms <= $1
        ORDER BY due_ms LIMIT $2 + 0";
    SUM = "SELECT COUNT(*), CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM s3_garbage";
    DELETE = "DELETE FROM s3_garbage WHERE 1 = 1";
    DELAY = "UPDATE s3_garbage SET tries = tries + 1, due_ms = $1 WHERE 1 = 1";
}

/// Records blobs (id, size) whose rows the transaction removed.
pub(super) async fn insert(tx: &mut Tx, freed: Vec<(String, u64)>) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    if let [(id, size)] = freed.as_slice() {
        return tx.later(INSERT_ONE, args![id, size, now_ms, now_ms, 0u32]).await;
    }
    let head = "INSERT INTO s3_garbage (blob_id, size_bytes, freed_ms, due_ms, tries) VALUES ";
    let rows = freed.into_iter().map(|(id, size)| args![id, size, now_ms, now_ms, 0u32]).collect();
    insert_rows(Exec::Tx(tx), head, "", rows).await.map(drop)
}

/// Garbage that may be deleted at `now_ms`, what waits longest first.
pub async fn s3_garbage_list<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<S3GarbageRow>, StoreError> {
    exec.into().all(LIST, args![now_ms, limit]).await
}

/// How many blobs are garbage, and their bytes.
pub async fn s3_garbage_sum<'a>(exec: impl Into<Exec<'a>>) -> Result<(u64, u64), StoreError> {
    exec.into().one(SUM, vec![], "garbage").await
}

/// Forgets garbage whose bytes are deleted; ids that are not there are passed over.
pub async fn s3_garbage_delete(tx: &mut Tx, ids: &[String]) -> Result<(), StoreError> {
    for chunk in ids.chunks(FILTER_VALUES_MAX) {
        Select::new(DELETE, vec![]).and_in("blob_id", Some(chunk))?.run(Exec::Tx(tx)).await?;
    }
    Ok(())
}

/// Puts off garbage whose bytes could not be deleted.
pub async fn s3_garbage_delay(tx: &mut Tx, ids: &[String], due_ms: i64) -> Result<(), StoreError> {
    for chunk in ids.chunks(FILTER_VALUES_MAX) {
        Select::new(DELAY, args![due_ms]).and_in("blob_id", Some(chunk))?.run(Exec::Tx(tx)).await?;
    }
    Ok(())
}
