//! Stored files and their reference counts.

use super::garbage;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{FILTER_VALUES_MAX, Select};
use crate::tx::Tx;
use std::collections::BTreeMap;

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
    ADD = "UPDATE s3_blobs SET refs = refs + $2 WHERE id = $1";
    /// The usual case: its only reference goes.
    DELETE_LAST = "DELETE FROM s3_blobs WHERE id = $1 AND refs = 1 RETURNING id, size_bytes";
    RETAIN_MANY = "UPDATE s3_blobs SET refs = refs + 1 WHERE 1 = 1";
    RELEASE_MANY = "UPDATE s3_blobs SET refs = refs - 1 WHERE 1 = 1";
    DELETE_MANY = "DELETE FROM s3_blobs WHERE refs = 0";
    LOCK_MANY = "SELECT id FROM s3_blobs WHERE 1 = 1";
}

/// Records a stored file that `refs` rows are going to refer to, in the same transaction.
pub async fn s3_blob_insert(tx: &mut Tx, id: &str, size_bytes: u64, refs: u64) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    tx.later(INSERT, args![id, size_bytes, now_ms, refs]).await
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

/// Each id with the number of its mentions: those mentioned once, which go in batches, and the others.
fn mentions(ids: &[String]) -> (Vec<&str>, Vec<(&str, i64)>) {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id.as_str()).or_insert(0i64) += 1;
    }
    let (once, often): (Vec<_>, Vec<_>) = counts.into_iter().partition(|(_, n)| *n == 1);
    (once.into_iter().map(|(id, _)| id).collect(), often)
}

/// PostgreSQL: takes the rows in one order, so that two transactions cannot wait for each other.
async fn lock(tx: &mut Tx, ids: &[&str]) -> Result<(), StoreError> {
    if tx.is_sqlite() || ids.len() < 2 {
        return Ok(());
    }
    let select = Select::new(LOCK_MANY, vec![]).and_in("id", Some(ids))?;
    select.all::<(String,)>(Exec::Tx(tx), " ORDER BY id FOR UPDATE").await.map(drop)
}

/// One more row refers to each of these files; to one that is mentioned twice, two.
///
/// # Errors
/// [`StoreError::NotFound`] when one is gone (its last reference went meanwhile).
pub async fn s3_blobs_retain(tx: &mut Tx, ids: &[String]) -> Result<(), StoreError> {
    let gone = |id: &str| StoreError::not_found(format_args!("blob {id}"));
    if let [id] = ids {
        let found = Exec::Tx(tx).run(ADD, args![id, 1i64]).await?;
        return if found == 0 { Err(gone(id)) } else { Ok(()) };
    }
    let (once, often) = mentions(ids);
    for chunk in once.chunks(FILTER_VALUES_MAX) {
        lock(tx, chunk).await?;
        let found = Select::new(RETAIN_MANY, vec![]).and_in("id", Some(chunk))?.run(Exec::Tx(tx)).await?;
        if found < chunk.len() as u64 {
            return Err(gone(&format!("among {} from {}", chunk.len(), chunk.first().unwrap_or(&""))));
        }
    }
    for (id, n) in often {
        if Exec::Tx(tx).run(ADD, args![id, n]).await? == 0 {
            return Err(gone(id));
        }
    }
    Ok(())
}

/// One row less refers to each of these files. Those whose last reference that was become garbage; how many.
pub async fn s3_blobs_release(tx: &mut Tx, ids: &[String]) -> Result<usize, StoreError> {
    let mut freed: Vec<(String, u64)> = Vec::new();
    if let [id] = ids
        && let Some(last) = Exec::Tx(tx).maybe(DELETE_LAST, args![id]).await?
    {
        freed.push(last);
    } else {
        let (once, often) = mentions(ids);
        for chunk in once.chunks(FILTER_VALUES_MAX) {
            lock(tx, chunk).await?;
            Select::new(RELEASE_MANY, vec![]).and_in("id", Some(chunk))?.run(Exec::Tx(tx)).await?;
            freed.extend(delete_unused(tx, chunk).await?);
        }
        for (id, n) in often {
            Exec::Tx(tx).run(ADD, args![id, -n]).await?;
            freed.extend(delete_unused(tx, &[id]).await?);
        }
    }
    let count = freed.len();
    garbage::insert(tx, freed).await?;
    Ok(count)
}

/// Those of the files that nothing refers to any more, with their sizes; their rows go.
async fn delete_unused(tx: &mut Tx, ids: &[&str]) -> Result<Vec<(String, u64)>, StoreError> {
    let select = Select::new(DELETE_MANY, vec![]).and_in("id", Some(ids))?;
    select.all(Exec::Tx(tx), " RETURNING id, size_bytes").await
}
