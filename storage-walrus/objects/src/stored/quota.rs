//! Quotas, in the transaction that writes: it holds the account's lock, counts after its own rows, and goes back.

use crate::error::Error;
use crate::limits::{Limited, Limits};
use mallee_store::{
    Counted, Tx, bucket_creator, creators_put, quota_hold, quota_use, s3_bucket_bytes, s3_bucket_fetch,
    s3_bucket_objects,
};
use mallee_types::AccountId;

/// After a bucket was made: notes who made it, and says whether there may be so many.
pub(super) async fn after_bucket(tx: &mut Tx, account: &AccountId, name: &str, limits: &Limits) -> Result<(), Error> {
    if let Some(creator) = &limits.creator {
        creators_put(tx, creator, &[bucket_creator(name)]).await?;
    }
    check(tx, account, name, limits, &[Limited::Buckets]).await
}

/// Before an object is written: nobody else counts in the account of its bucket until the end of the transaction.
pub(super) async fn before_object(tx: &mut Tx, bucket: &str, limits: &Limits) -> Result<Option<AccountId>, Error> {
    if !limits.list.iter().any(|limit| limit.what != Limited::Buckets) {
        return Ok(None);
    }
    let Some(row) = super::found(s3_bucket_fetch(&mut *tx, bucket).await)? else { return Ok(None) };
    quota_hold(tx, &row.account_id).await?;
    Ok(Some(row.account_id))
}

/// After it was written.
pub(super) async fn after_object(tx: &mut Tx, account: &AccountId, bucket: &str, limits: &Limits) -> Result<(), Error> {
    check(tx, account, bucket, limits, &[Limited::BucketObjects, Limited::BucketBytes, Limited::TotalBytes]).await
}

async fn check(
    tx: &mut Tx,
    account: &AccountId,
    bucket: &str,
    limits: &Limits,
    kinds: &[Limited],
) -> Result<(), Error> {
    for limit in limits.list.iter().filter(|limit| kinds.contains(&limit.what)) {
        let creator = limits.creator.as_deref().filter(|_| limit.own);
        let used = match limit.what {
            Limited::Buckets => quota_use(&mut *tx, Counted::Buckets, account, creator).await?,
            Limited::TotalBytes => quota_use(&mut *tx, Counted::BucketBytes, account, creator).await?,
            Limited::BucketBytes => s3_bucket_bytes(&mut *tx, bucket).await?,
            Limited::BucketObjects => s3_bucket_objects(&mut *tx, bucket).await?,
        };
        if used > limit.max {
            return Err(Error::Quota { what: limit.what, origin: limit.origin.clone() });
        }
    }
    Ok(())
}
