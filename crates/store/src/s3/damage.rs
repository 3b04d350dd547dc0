//! Blobs whose bytes were found damaged or missing.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;

record! {
    /// One of them.
    pub struct S3DamageRow {
        /// The blob.
        blob_id: String,
        /// When that was found.
        found_ms: i64,
        /// What is wrong with it.
        what: String,
    }
}

sql! {
    PUT = "INSERT INTO s3_damage (blob_id, found_ms, what) VALUES ($1, $2, $3)
        ON CONFLICT (blob_id) DO UPDATE SET what = excluded.what";
    LIST = "SELECT blob_id, found_ms, what FROM s3_damage WHERE 1 = 1";
    FETCH = "SELECT what FROM s3_damage WHERE blob_id = $1";
    COUNT = "SELECT COUNT(*) FROM s3_damage";
    DELETE = "DELETE FROM s3_damage WHERE blob_id = $1";
    CLEAR = "DELETE FROM s3_damage WHERE NOT EXISTS (SELECT 1 FROM s3_blobs b WHERE b.id = s3_damage.blob_id)";
}

/// Records damage. The time of the first finding stays.
pub async fn s3_damage_put(tx: &mut Tx, id: &str, what: &str) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    Exec::Tx(tx).run(PUT, args![id, now_ms, what]).await.map(drop)
}

/// What was recorded of a blob.
pub async fn s3_damage_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<Option<String>, StoreError> {
    Ok(exec.into().maybe::<(String,)>(FETCH, args![id]).await?.map(|(what,)| what))
}

/// What was recorded, by id, after `after`.
pub async fn s3_damage_list<'a>(
    exec: impl Into<Exec<'a>>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<S3DamageRow>, StoreError> {
    Select::new(LIST, vec![]).and("blob_id >", after).page(exec.into(), "blob_id", limit).await
}

/// How many blobs are noted as damaged.
pub async fn s3_damage_count<'a>(exec: impl Into<Exec<'a>>) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, vec![], "damage").await?.0)
}

/// The blob was found whole; true if something was recorded of it.
pub async fn s3_damage_delete(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Forgets the damage of blobs that nothing refers to any more.
pub async fn s3_damage_clear(tx: &mut Tx) -> Result<(), StoreError> {
    Exec::Tx(tx).run(CLEAR, vec![]).await.map(drop)
}
