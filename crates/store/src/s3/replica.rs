//! Writing a version that another bucket has, under the id that it has there. The bucket must be held
//! ([`super::s3_bucket_hold`]).

use super::bucket::S3BucketRow;
use super::pieces::{self, S3PieceRow};
use super::version::S3VersionRow;
use super::version_plan::plan_replica;
use super::version_write::{Tally, apply, at_rank, lock, newest};
use super::{S3VersionHead, s3_blob_insert, s3_blobs_retain};
use crate::StoreError;
use crate::tx::Tx;

/// What became of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Placed {
    /// It was written.
    Written,
    /// It was there.
    There,
    /// Another version has its place.
    Taken,
}

/// Writes a version at the place that `row` says, as [`super::s3_version_put`] writes a new one: `row.rank` is below 0 and
/// `row.vid` not 0. `new_blob` is the blob of the row that has no owner yet, with its size. Nothing is written where that
/// place is taken.
///
/// # Errors
/// [`StoreError::NotFound`] when a retained blob is gone.
pub async fn s3_replica_put(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    row: S3VersionRow,
    pieces: &[S3PieceRow],
    retained: &[String],
    new_blob: Option<(&str, u64)>,
) -> Result<S3Placed, StoreError> {
    let (key, rank, vid) = (row.key.0.clone(), row.rank, row.vid);
    lock(tx, bucket.id, &key).await?;
    match at_rank(tx, bucket.id, &key, rank).await? {
        Some(there) if there.vid == vid => return Ok(S3Placed::There),
        Some(_) => return Ok(S3Placed::Taken),
        None => {}
    }
    let newest = newest(tx, bucket.id, &key).await?;
    if let Some((id, size)) = new_blob {
        s3_blob_insert(tx, id, size, 1).await?;
    }
    s3_blobs_retain(tx, retained).await?;
    pieces::insert(tx, &row.write_id, pieces).await?;
    let changes = plan_replica(newest.as_ref(), rank, vid);
    let known: Vec<&S3VersionHead> = newest.iter().collect();
    let mut tally = Tally::default();
    apply(tx, bucket.id, &key, &changes, &known, Some(row), &mut tally).await?;
    tally.settle(tx, bucket.id).await?;
    Ok(S3Placed::Written)
}
