//! What accounts, buckets and the storage classes of a bucket hold, as the operator asks it: read from the counters that
//! every write keeps along.

use crate::error::Error;
use mallee_proto::v1::{Usage, UsageBy, UsageReply, UsageRequest};
use mallee_store::{
    S3AccountUsage, S3BucketUsage, S3ClassUsage, Store, StoreError, s3_bucket_fetch, s3_usage_by_class,
    s3_usage_of_accounts, s3_usage_of_buckets,
};

/// Rows on one page.
pub const USAGE_ROWS_MAX: u32 = 1000;

/// A page of what is asked for.
///
/// # Errors
/// [`Error::NoBucket`], [`Error::State`] for what is no question; a failing database.
pub(crate) async fn usage(store: &Store, asked: &UsageRequest) -> Result<UsageReply, Error> {
    let limit = asked.limit.clamp(1, USAGE_ROWS_MAX);
    // One more tells whether there are more.
    let most = limit + 1;
    let mut rows: Vec<Usage> = match asked.by() {
        UsageBy::Account => {
            let page = s3_usage_of_accounts(store, &asked.after, most).await?;
            page.into_iter().map(of_account).collect()
        }
        UsageBy::Bucket => {
            let account = Some(asked.account_id.as_str()).filter(|account| !account.is_empty());
            let account = account
                .map(str::parse)
                .transpose()
                .map_err(|_| Error::State(format!("{} is no account's number", asked.account_id)))?;
            let page = s3_usage_of_buckets(store, account.as_ref(), &asked.after, most).await?;
            page.into_iter().map(of_bucket).collect()
        }
        UsageBy::Class => {
            let row = match s3_bucket_fetch(store, &asked.bucket).await {
                Err(StoreError::NotFound { .. }) => return Err(Error::NoBucket),
                other => other?,
            };
            let classes = s3_usage_by_class(store, row.id).await?.into_iter().map(of_class);
            classes.filter(|row| *row != Usage { name: row.name.clone(), ..Usage::default() }).collect()
        }
        UsageBy::Unspecified => return Err(Error::State("usage is told by account, bucket or class".to_owned())),
    };
    // A bucket has a handful of classes.
    let more = asked.by() != UsageBy::Class && rows.len() > limit as usize;
    if more {
        rows.truncate(limit as usize);
    }
    Ok(UsageReply { rows, more })
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

fn of_account(row: S3AccountUsage) -> Usage {
    let S3AccountUsage { account_id, buckets, objects, bytes, versions, version_bytes, part_bytes } = row;
    Usage {
        name: account_id.to_string(),
        account_id: account_id.to_string(),
        buckets: count(buckets),
        created_ms: 0,
        objects: count(objects),
        bytes: count(bytes),
        versions: count(versions),
        version_bytes: count(version_bytes),
        part_bytes: count(part_bytes),
    }
}

fn of_bucket(row: S3BucketUsage) -> Usage {
    let S3BucketUsage { name, account_id, created_ms, objects, bytes, versions, version_bytes, part_bytes } = row;
    Usage {
        name,
        account_id: account_id.to_string(),
        buckets: 0,
        created_ms,
        objects: count(objects),
        bytes: count(bytes),
        versions: count(versions),
        version_bytes: count(version_bytes),
        part_bytes: count(part_bytes),
    }
}

fn of_class(row: S3ClassUsage) -> Usage {
    let S3ClassUsage { class, objects, bytes, versions, version_bytes, part_bytes } = row;
    Usage {
        name: class,
        account_id: String::new(),
        buckets: 0,
        created_ms: 0,
        objects: count(objects),
        bytes: count(bytes),
        versions: count(versions),
        version_bytes: count(version_bytes),
        part_bytes: count(part_bytes),
    }
}
