//! Writing and deleting versions: carries out what `version_plan` decides, with the references, garbage and counters
//! that go with it. The bucket must be held ([`super::s3_bucket_hold`]).

use super::bucket::S3BucketRow;
use super::pieces::{self, S3PieceRow};
use super::usage::{self, S3Usage};
use super::version::{self, S3VersionRow};
use super::version_plan::{S3Change, S3DeleteIf, S3VersionHead, plan_delete, plan_write};
use super::{s3_blobs_release, s3_blobs_retain};
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, sql};
use crate::tx::Tx;
use std::collections::BTreeMap;

/// Microseconds in a millisecond: ranks count the former.
const US_PER_MS: i64 = 1000;

macro_rules! heads {
    ($tail:literal) => {
        concat!(
            "SELECT rank, vid, latest, marker, write_id, size_bytes, etag, modified_ms, class, blob_id, pieces, \
             lock_mode, lock_until_ms, legal_hold \
             FROM s3_versions WHERE bucket_id = $1 AND key = $2 ",
            $tail
        )
    };
}

sql! {
    NEWEST = heads!("ORDER BY rank LIMIT 1");
    OLD_NULL = heads!("AND vid = 0 AND NOT latest");
    AT = heads!("AND rank = $3");
    ONE = heads!("AND rank = $3 AND vid = $4");
    NEXT = heads!("AND rank <> $3 ORDER BY rank LIMIT 1");
    SET_LATEST = "UPDATE s3_versions SET latest = $4 WHERE bucket_id = $1 AND key = $2 AND rank = $3";
    REMOVE = "DELETE FROM s3_versions WHERE bucket_id = $1 AND key = $2 AND rank = $3";
}

/// What a key has before a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Heads {
    /// Its newest version.
    pub newest: Option<S3VersionHead>,
    /// Its null version, where that is an older one and the write replaces it.
    pub old_null: Option<S3VersionHead>,
}

impl S3Heads {
    /// Whether a write would take away a version that must not go at this time.
    #[must_use]
    pub fn locked(&self, versioning: super::S3Versioning, now_ms: i64) -> bool {
        let replaced = self.newest.iter().filter(|newest| match versioning {
            super::S3Versioning::Off => true,
            super::S3Versioning::Enabled => false,
            super::S3Versioning::Suspended => newest.vid == 0,
        });
        replaced.chain(&self.old_null).any(|head| head.locked(now_ms, false))
    }
}

/// What a write made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct S3Written {
    /// Rank of the new version.
    pub rank: i64,
    /// Random part of its id; 0: it is the null version.
    pub vid: i64,
    /// Blobs that became garbage.
    pub freed: usize,
}

/// Which version of a key a deletion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Target {
    /// None: the key is deleted, by a marker where the bucket is versioned.
    Key,
    /// The null version, for good.
    Null,
    /// The version of this id, for good.
    Id {
        /// Its rank.
        rank: i64,
        /// Its random part.
        vid: i64,
    },
}

/// What a deletion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Deleted {
    /// Nothing: there was no such version.
    Nothing,
    /// A version went.
    Removed {
        /// Its rank.
        rank: i64,
        /// Its random part.
        vid: i64,
        /// It was a delete marker.
        marker: bool,
    },
    /// A delete marker was written.
    Marked {
        /// Its rank.
        rank: i64,
        /// Its random part; 0 for null.
        vid: i64,
    },
    /// Nothing: a retention or a legal hold keeps the version.
    Locked,
    /// Nothing: what must hold of it does not.
    Unmet,
}

/// What has to be done once at the end of a batch.
#[derive(Debug, Default)]
pub(super) struct Tally {
    usage: BTreeMap<String, S3Usage>,
    dropped: Vec<String>,
}

impl Tally {
    fn class(&mut self, class: &str) -> &mut S3Usage {
        self.usage.entry(class.to_owned()).or_default()
    }

    pub(super) async fn settle(self, tx: &mut Tx, bucket_id: i64) -> Result<usize, StoreError> {
        let freed = s3_blobs_release(tx, &self.dropped).await?;
        for (class, by) in &self.usage {
            usage::add(tx, bucket_id, class, by).await?;
        }
        Ok(freed)
    }
}

pub(super) async fn lock(tx: &mut Tx, bucket_id: i64, key: &str) -> Result<(), StoreError> {
    tx.lock(&format!("s3/{bucket_id}/{key}")).await
}

pub(super) async fn newest(tx: &mut Tx, bucket_id: i64, key: &str) -> Result<Option<S3VersionHead>, StoreError> {
    Exec::Tx(tx).maybe(NEWEST, args![bucket_id, key.as_bytes()]).await
}

pub(super) async fn at_rank(
    tx: &mut Tx,
    bucket_id: i64,
    key: &str,
    rank: i64,
) -> Result<Option<S3VersionHead>, StoreError> {
    Exec::Tx(tx).maybe(AT, args![bucket_id, key.as_bytes(), rank]).await
}

async fn old_null(tx: &mut Tx, bucket_id: i64, key: &str) -> Result<Option<S3VersionHead>, StoreError> {
    Exec::Tx(tx).maybe(OLD_NULL, args![bucket_id, key.as_bytes()]).await
}

/// What a key has; nobody else writes it until the end of the transaction.
pub async fn s3_version_heads(tx: &mut Tx, bucket: &S3BucketRow, key: &str) -> Result<S3Heads, StoreError> {
    lock(tx, bucket.id, key).await?;
    let newest = newest(tx, bucket.id, key).await?;
    let replaces_null = bucket.versioning == super::S3Versioning::Suspended;
    let old_null = match &newest {
        Some(newest) if replaces_null && newest.vid != 0 => old_null(tx, bucket.id, key).await?,
        _ => None,
    };
    Ok(S3Heads { newest, old_null })
}

/// Writes a version as the bucket's versioning has it. Of `row` its bucket, rank, vid and latest are made here (`vid`
/// is random and not 0); `pieces` are its bytes where its `pieces` say so. `retained` are the blobs of both that have
/// owners already; references to the others were counted when their rows were made, or move here from an upload.
///
/// # Errors
/// [`StoreError::NotFound`] when a retained blob is gone.
pub async fn s3_version_put(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    heads: &S3Heads,
    row: S3VersionRow,
    vid: i64,
    pieces: &[S3PieceRow],
    retained: &[String],
) -> Result<S3Written, StoreError> {
    // First refer to the new, then drop the old: a copy onto itself must not lose the blob.
    s3_blobs_retain(tx, retained).await?;
    let mut tally = Tally::default();
    pieces::insert(tx, &row.write_id, pieces).await?;
    let (rank, vid) = write(tx, bucket, heads, row, vid, &mut tally).await?.unwrap_or((0, 0));
    let freed = tally.settle(tx, bucket.id).await?;
    Ok(S3Written { rank, vid, freed })
}

/// Plans and carries out the write of a row; where it went, unless it is a marker that is not needed.
async fn write(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    heads: &S3Heads,
    row: S3VersionRow,
    vid: i64,
    tally: &mut Tally,
) -> Result<Option<(i64, i64)>, StoreError> {
    let (newest, null) = (heads.newest.as_ref(), heads.old_null.as_ref());
    let now_us = row.modified_ms.saturating_mul(US_PER_MS);
    let changes = plan_write(bucket.versioning, newest, null, row.marker, now_us, vid);
    let known: Vec<&S3VersionHead> = newest.into_iter().chain(null).collect();
    apply(tx, bucket.id, &row.key.0.clone(), &changes, &known, Some(row), tally).await?;
    Ok(changes.iter().rev().find_map(|change| match *change {
        S3Change::Insert { rank, vid } | S3Change::InsertOlder { rank, vid } => Some((rank, vid)),
        S3Change::Replace { rank } => Some((rank, 0)),
        S3Change::Remove { .. } | S3Change::Promote { .. } | S3Change::Demote { .. } => None,
    }))
}

/// Carries out changes of one key. `known` are the rows they are about, `new` the row that comes.
pub(super) async fn apply(
    tx: &mut Tx,
    bucket_id: i64,
    key: &str,
    changes: &[S3Change],
    known: &[&S3VersionHead],
    mut new: Option<S3VersionRow>,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    let unplanned = || StoreError::corrupt(format!("a plan for {key:?} is about a row that is not there"));
    let old = |rank: i64| known.iter().find(|head| head.rank == rank).copied().ok_or_else(unplanned);
    for change in changes {
        match *change {
            S3Change::Remove { rank } => {
                let head = old(rank)?;
                tx.later(REMOVE, args![bucket_id, key.as_bytes(), rank]).await?;
                tally.class(&head.class).version(-1, head.size_bytes, head.listed());
                release(tx, head, tally).await?;
            }
            S3Change::Promote { rank } | S3Change::Demote { rank } => {
                let (head, up) = (old(rank)?, matches!(change, S3Change::Promote { .. }));
                tx.later(SET_LATEST, args![bucket_id, key.as_bytes(), rank, up]).await?;
                if !head.marker {
                    tally.class(&head.class).listed(if up { 1 } else { -1 }, head.size_bytes);
                }
            }
            S3Change::Insert { rank, vid } => {
                let row = new.take().ok_or_else(unplanned)?;
                tally.class(&row.class).version(1, row.size_bytes, !row.marker);
                version::put(tx, &S3VersionRow { bucket_id, rank, vid, latest: true, ..row }).await?;
            }
            S3Change::InsertOlder { rank, vid } => {
                let row = new.take().ok_or_else(unplanned)?;
                tally.class(&row.class).version(1, row.size_bytes, false);
                version::put(tx, &S3VersionRow { bucket_id, rank, vid, latest: false, ..row }).await?;
            }
            S3Change::Replace { rank } => {
                let (head, row) = (old(rank)?, new.take().ok_or_else(unplanned)?);
                tally.class(&head.class).version(-1, head.size_bytes, head.listed());
                tally.class(&row.class).version(1, row.size_bytes, !row.marker);
                release(tx, head, tally).await?;
                version::put(tx, &S3VersionRow { bucket_id, rank, vid: 0, latest: true, ..row }).await?;
            }
        }
    }
    Ok(())
}

/// Notes the blobs of a version that goes; its pieces go at once.
async fn release(tx: &mut Tx, head: &S3VersionHead, tally: &mut Tally) -> Result<(), StoreError> {
    tally.dropped.extend(head.blob_id.clone());
    if head.pieces > 0 {
        tally.dropped.extend(pieces::delete(tx, &head.write_id).await?);
    }
    Ok(())
}

/// One deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Deletion {
    /// Of which key.
    pub key: String,
    /// What of it.
    pub target: S3Target,
    /// What must hold of the version, or of the newest one where none is named; without one nothing is done then.
    pub only_if: S3DeleteIf,
    /// A governance retention does not keep it.
    pub bypass_governance: bool,
    /// For a delete marker: the name of its writing.
    pub write_id: String,
    /// For a delete marker: random, not 0.
    pub vid: i64,
    /// Only while this writing is what is deleted, or what the key stands for; none: whatever is there.
    pub only: Option<String>,
}

impl S3Deletion {
    /// Whether it is about what is there.
    fn is_of(&self, there: Option<&S3VersionHead>) -> bool {
        self.only.as_ref().is_none_or(|only| there.is_some_and(|head| head.write_id == *only))
    }
}

/// Deletes keys and versions; what was done, in the order of `deletions`, and how many blobs became garbage.
pub async fn s3_versions_delete(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    deletions: &[S3Deletion],
    now_ms: i64,
) -> Result<(Vec<S3Deleted>, usize), StoreError> {
    // In one order, so that two batches cannot wait for each other's locks.
    let mut order: Vec<usize> = (0..deletions.len()).collect();
    order.sort_by_key(|at| deletions.get(*at).map(|d| d.key.as_str()));
    let (mut tally, mut done) = (Tally::default(), vec![S3Deleted::Nothing; deletions.len()]);
    for at in order {
        let (Some(deletion), Some(slot)) = (deletions.get(at), done.get_mut(at)) else { continue };
        *slot = match deletion.target {
            S3Target::Key => delete_key(tx, bucket, deletion, now_ms, &mut tally).await?,
            S3Target::Null | S3Target::Id { .. } => delete_version(tx, bucket, deletion, now_ms, &mut tally).await?,
        };
    }
    Ok((done, tally.settle(tx, bucket.id).await?))
}

async fn delete_key(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    deletion: &S3Deletion,
    now_ms: i64,
    tally: &mut Tally,
) -> Result<S3Deleted, StoreError> {
    let heads = s3_version_heads(tx, bucket, &deletion.key).await?;
    if !deletion.is_of(heads.newest.as_ref()) {
        return Ok(S3Deleted::Nothing);
    }
    match &heads.newest {
        None if deletion.only_if.asks() => return Ok(S3Deleted::Nothing),
        Some(newest) if !deletion.only_if.holds(newest) => return Ok(S3Deleted::Unmet),
        _ if heads.locked(bucket.versioning, now_ms) => return Ok(S3Deleted::Locked),
        _ => {}
    }
    let marker = S3VersionRow {
        bucket_id: bucket.id,
        marker: true,
        modified_ms: now_ms,
        ..S3VersionRow::new(&deletion.key, bucket.account_id.clone(), &deletion.write_id)
    };
    let written = write(tx, bucket, &heads, marker, deletion.vid, tally).await?;
    Ok(match (written, heads.newest) {
        (Some((rank, vid)), _) => S3Deleted::Marked { rank, vid },
        (None, Some(gone)) => S3Deleted::Removed { rank: gone.rank, vid: gone.vid, marker: gone.marker },
        (None, None) => S3Deleted::Nothing,
    })
}

async fn delete_version(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    deletion: &S3Deletion,
    now_ms: i64,
    tally: &mut Tally,
) -> Result<S3Deleted, StoreError> {
    let key = deletion.key.as_str();
    lock(tx, bucket.id, key).await?;
    let found: Option<S3VersionHead> = match deletion.target {
        S3Target::Id { rank, vid } => Exec::Tx(tx).maybe(ONE, args![bucket.id, key.as_bytes(), rank, vid]).await?,
        S3Target::Null | S3Target::Key => match newest(tx, bucket.id, key).await? {
            Some(newest) if newest.vid != 0 => old_null(tx, bucket.id, key).await?,
            other => other,
        },
    };
    let Some(found) = found.filter(|found| deletion.is_of(Some(found))) else { return Ok(S3Deleted::Nothing) };
    if !deletion.only_if.holds(&found) {
        return Ok(S3Deleted::Unmet);
    }
    if found.locked(now_ms, deletion.bypass_governance) {
        return Ok(S3Deleted::Locked);
    }
    let next: Option<S3VersionHead> = match found.latest {
        true => Exec::Tx(tx).maybe(NEXT, args![bucket.id, key.as_bytes(), found.rank]).await?,
        false => None,
    };
    let changes = plan_delete(&found, next.as_ref());
    let known: Vec<&S3VersionHead> = [&found].into_iter().chain(&next).collect();
    apply(tx, bucket.id, key, &changes, &known, None, tally).await?;
    Ok(S3Deleted::Removed { rank: found.rank, vid: found.vid, marker: found.marker })
}
