//! What is to be told of changes of objects, until it was told.

use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{FILTER_VALUES_MAX, Select, insert_rows_later};
use crate::tx::Tx;

record! {
    /// A message that waits.
    pub struct S3OutboxRow {
        /// Its number: of a key, later changes have higher ones.
        id: i64,
        /// The ARN of whom it is for.
        target: String,
        /// The number of the bucket it is about.
        bucket_id: i64,
        /// The key it is about.
        key: S3Key,
        /// What is to be told, JSON.
        doc: String,
        /// When it was made.
        made_ms: i64,
        /// When it is to be told.
        due_ms: i64,
        /// How often it was refused.
        tries: u32,
        /// The message before it of its key, which is to be told first.
        previous: Option<i64>,
    }
}

/// A message to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Message {
    /// The ARN of whom it is for.
    pub target: String,
    /// The key it is about.
    pub key: String,
    /// What is to be told, JSON.
    pub doc: String,
}

sql! {
    /// What is due first comes first. Of each key only what no earlier message of the target, put off, holds back.
    DUE = "SELECT o.id, o.target, o.bucket_id, o.key, o.doc, o.made_ms, o.due_ms, o.tries, (SELECT MAX(p.id)
        FROM s3_outbox p WHERE p.target = o.target AND p.bucket_id = o.bucket_id AND p.key = o.key AND p.id < o.id)
        AS previous FROM s3_outbox o
        WHERE o.target = $1 AND o.due_ms <= $2 AND NOT EXISTS (SELECT 1 FROM s3_outbox e WHERE e.target = o.target
        AND e.bucket_id = o.bucket_id AND e.key = o.key AND e.id < o.id AND e.due_ms > o.due_ms)
        ORDER BY o.due_ms, o.id LIMIT $3 + 0";
    DONE = "DELETE FROM s3_outbox WHERE 1 = 1";
    DELAY = "UPDATE s3_outbox SET tries = tries + 1, due_ms = $2 WHERE id = $1";
    NEXT_TARGET = "SELECT MIN(target) FROM s3_outbox WHERE target > $1";
    WAITING = "SELECT target, COUNT(*) FROM s3_outbox GROUP BY target ORDER BY target";
    TRIM = "DELETE FROM s3_outbox WHERE target = $1
        AND id <= COALESCE((SELECT id FROM s3_outbox WHERE target = $1 ORDER BY id DESC LIMIT 1 OFFSET $2 + 0), 0)";
    EXPIRE = "DELETE FROM s3_outbox WHERE made_ms < $1";
}

const INSERT: &str = "INSERT INTO s3_outbox (target, bucket_id, key, doc, made_ms, due_ms, tries) VALUES ";

/// Makes messages about changes of this bucket, whose keys the transaction has locked.
pub async fn s3_outbox_insert(tx: &mut Tx, bucket_id: i64, messages: Vec<S3Message>) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    let row = |m: S3Message| args![m.target, bucket_id, S3Key(m.key), m.doc, now_ms, now_ms, 0u32];
    insert_rows_later(tx, INSERT, "", messages.into_iter().map(row).collect()).await
}

/// Messages for a target that may be told at `now_ms`, what is due first before the rest. While a message is put off, the later
/// ones of its key wait with it; of those that wait no more one may be here without the ones between.
pub async fn s3_outbox_due<'a>(
    exec: impl Into<Exec<'a>>,
    target: &str,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<S3OutboxRow>, StoreError> {
    exec.into().all(DUE, args![target, now_ms, limit]).await
}

/// Forgets messages that were told.
pub async fn s3_outbox_done(tx: &mut Tx, ids: &[i64]) -> Result<(), StoreError> {
    for chunk in ids.chunks(FILTER_VALUES_MAX) {
        Select::new(DONE, vec![]).and_in("id", Some(chunk))?.run(Exec::Tx(tx)).await?;
    }
    Ok(())
}

/// Puts off a message that was refused.
pub async fn s3_outbox_delay(tx: &mut Tx, id: i64, due_ms: i64) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DELAY, args![id, due_ms]).await.map(drop)
}

/// Targets that messages wait for, at most `limit`: those after a name, then those up to it. (One look into the index for
/// each, however many messages wait.)
pub async fn s3_outbox_targets(store: &crate::Store, after: &str, limit: usize) -> Result<Vec<String>, StoreError> {
    in_turn(store, NEXT_TARGET, after, limit).await
}

/// At most `limit` names, those after a name, then those up to it. `next`: asks for the first one after a name.
pub(super) async fn in_turn(
    store: &crate::Store,
    next: &'static str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let mut targets: Vec<String> = Vec::new();
    let (mut at, mut again) = (after.to_owned(), false);
    while targets.len() < limit {
        let found = Exec::from(store).maybe::<(Option<String>,)>(next, args![at.as_str()]).await?;
        match found {
            Some((Some(target),)) if again && target.as_str() > after => break,
            Some((Some(target),)) => {
                at.clone_from(&target);
                targets.push(target);
            }
            // From the beginning, once.
            _ if again || after.is_empty() => break,
            _ => (at, again) = (String::new(), true),
        }
    }
    Ok(targets)
}

/// How many messages wait for each target.
pub async fn s3_outbox_waiting<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<(String, u64)>, StoreError> {
    exec.into().all(WAITING, vec![]).await
}

/// Drops the oldest messages of a target, so that at most `keep` are left; how many.
pub async fn s3_outbox_trim(tx: &mut Tx, target: &str, keep: u32) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(TRIM, args![target, keep]).await
}

/// Drops messages made before this; how many.
pub async fn s3_outbox_expire(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(EXPIRE, args![before_ms]).await
}
