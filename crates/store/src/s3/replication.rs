//! Versions that are to be brought into other buckets, until they are there.

use super::outbox::in_turn;
use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::insert_rows_later;
use crate::tx::Tx;

record! {
    /// A version that waits.
    pub struct S3ReplicationRow {
        /// Its number: of a key, later versions have higher ones.
        id: i64,
        /// The ARN of the bucket that it is to be brought into.
        target: String,
        /// The number of its bucket.
        bucket_id: i64,
        /// The name of its bucket.
        bucket: String,
        /// Its key.
        key: S3Key,
        /// Its place among the key's versions.
        rank: i64,
        /// Random part of its id.
        vid: i64,
        /// Grows when it changes while it waits.
        turn: u64,
        /// When it was noted.
        made_ms: i64,
        /// When it is to be brought there.
        due_ms: i64,
        /// How often that could not be done.
        tries: u32,
    }
}

sql! {
    /// Of each key only what no earlier version for the target holds back.
    DUE = "SELECT r.id, r.target, r.bucket_id, b.name, r.key, r.rank, r.vid, r.turn, r.made_ms, r.due_ms, r.tries
        FROM s3_replications r JOIN s3_buckets b ON b.id = r.bucket_id
        WHERE r.target = $1 AND r.id > $4 AND r.due_ms <= $2 AND NOT EXISTS (SELECT 1 FROM s3_replications e
        WHERE e.target = r.target AND e.bucket_id = r.bucket_id AND e.key = r.key AND e.id < r.id AND e.due_ms > $2)
        ORDER BY r.id LIMIT $3 + 0";
    DONE = "DELETE FROM s3_replications WHERE id = $1 AND turn = $2";
    DELAY = "UPDATE s3_replications SET tries = tries + 1, due_ms = $2 WHERE id = $1";
    NEXT_TARGET = "SELECT MIN(target) FROM s3_replications WHERE target > $1";
    LEFT = "SELECT COUNT(*) FROM s3_replications WHERE bucket_id = $1 AND key = $2 AND rank = $3";
    WAITING = "SELECT target, COUNT(*) FROM s3_replications GROUP BY target ORDER BY target";
    STATE = "UPDATE s3_versions SET repl = $5 WHERE bucket_id = $1 AND key = $2 AND rank = $3 AND vid = $4
        AND repl = 'PENDING'";
}

const INSERT: &str =
    "INSERT INTO s3_replications (target, bucket_id, key, rank, vid, turn, made_ms, due_ms, tries) VALUES ";
/// What waits already is brought there once, as it is then. (The place may be another version's by now: that of one that was
/// deleted.)
const AGAIN: &str = " ON CONFLICT (bucket_id, key, rank, target) DO UPDATE SET vid = excluded.vid,
    turn = s3_replications.turn + 1, made_ms = excluded.made_ms, due_ms = excluded.due_ms, tries = 0";

/// Notes that a version of this bucket, whose key the transaction has locked, is to be brought into these buckets.
pub async fn s3_replication_note(
    tx: &mut Tx,
    bucket_id: i64,
    key: &str,
    version: (i64, i64),
    targets: Vec<String>,
) -> Result<(), StoreError> {
    let (now_ms, (rank, vid)) = (tx.now_ms(), version);
    let row = |target| args![target, bucket_id, key.as_bytes(), rank, vid, 0u64, now_ms, now_ms, 0u32];
    insert_rows_later(tx, INSERT, AGAIN, targets.into_iter().map(row).collect()).await
}

/// Versions for a target that may be brought there at `now_ms`, in the order in which they were noted: those behind the number
/// `after`. A key whose earlier version is put off waits with it.
pub async fn s3_replication_due<'a>(
    exec: impl Into<Exec<'a>>,
    target: &str,
    now_ms: i64,
    after: i64,
    limit: u32,
) -> Result<Vec<S3ReplicationRow>, StoreError> {
    exec.into().all(DUE, args![target, now_ms, limit, after]).await
}

/// Forgets a version that was brought there, unless it has changed since; how many of its targets are left then.
pub async fn s3_replication_done(tx: &mut Tx, row: &S3ReplicationRow) -> Result<Option<u64>, StoreError> {
    if Exec::Tx(tx).run(DONE, args![row.id, row.turn]).await? == 0 {
        return Ok(None);
    }
    let values = args![row.bucket_id, row.key, row.rank];
    let (left,) = Exec::Tx(tx).one::<(u64,)>(LEFT, values, "count of replications").await?;
    Ok(Some(left))
}

/// Says of a version how its replication has ended, unless it is a replica, or one of its replications has failed.
pub async fn s3_replication_state(tx: &mut Tx, row: &S3ReplicationRow, state: &str) -> Result<(), StoreError> {
    let values = args![row.bucket_id, row.key, row.rank, row.vid, state];
    Exec::Tx(tx).run(STATE, values).await.map(drop)
}

/// Puts off a version that could not be brought there.
pub async fn s3_replication_delay(tx: &mut Tx, id: i64, due_ms: i64) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DELAY, args![id, due_ms]).await.map(drop)
}

/// Targets that versions wait for, at most `limit`: those after a name, then those up to it. (One look into the index for
/// each, however many versions wait.)
pub async fn s3_replication_targets(
    store: &crate::Store,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    in_turn(store, NEXT_TARGET, after, limit).await
}

/// How many versions wait for each target.
pub async fn s3_replication_waiting<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<(String, u64)>, StoreError> {
    exec.into().all(WAITING, vec![]).await
}
