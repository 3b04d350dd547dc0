//! Quotas, in the transaction that writes: it holds the account's lock, counts after its own rows, and goes back.

use crate::error::Error;
use crate::limits::{Limited, Limits};
use mallee_store::{Counted, S3BucketRow, Tx, bucket_creator, creators_put, quota_use, s3_usage};

/// After a bucket was made: notes who made it, and says whether there may be so many.
pub(super) async fn after_bucket(tx: &mut Tx, bucket: &S3BucketRow, limits: &Limits) -> Result<(), Error> {
    if let Some(creator) = &limits.creator {
        creators_put(tx, creator, &[bucket_creator(&bucket.name)]).await?;
    }
    check(tx, bucket, limits, &[Limited::Buckets]).await
}

/// Whether any of the quotas is about objects or their bytes.
pub(super) fn concerns_objects(limits: &Limits) -> bool {
    limits.list.iter().any(|limit| limit.what != Limited::Buckets)
}

/// After an object was written.
pub(super) async fn after_object(tx: &mut Tx, bucket: &S3BucketRow, limits: &Limits) -> Result<(), Error> {
    check(tx, bucket, limits, &[Limited::BucketObjects, Limited::BucketBytes, Limited::TotalBytes]).await
}

async fn check(tx: &mut Tx, bucket: &S3BucketRow, limits: &Limits, kinds: &[Limited]) -> Result<(), Error> {
    let account = &bucket.account_id;
    for limit in limits.list.iter().filter(|limit| kinds.contains(&limit.what)) {
        let creator = limits.creator.as_deref().filter(|_| limit.own);
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        // Older versions and delete markers count, and parts of unfinished uploads: they take room as others do.
        let used = match limit.what {
            Limited::Buckets => quota_use(&mut *tx, Counted::Buckets, account, creator).await?,
            Limited::TotalBytes => quota_use(&mut *tx, Counted::BucketBytes, account, creator).await?,
            Limited::BucketBytes => {
                let usage = s3_usage(&mut *tx, bucket.id).await?;
                count(usage.version_bytes).saturating_add(count(usage.part_bytes))
            }
            Limited::BucketObjects => count(s3_usage(&mut *tx, bucket.id).await?.versions),
        };
        if used > limit.max {
            return Err(Error::Quota { what: limit.what, origin: limit.origin.clone() });
        }
    }
    Ok(())
}
