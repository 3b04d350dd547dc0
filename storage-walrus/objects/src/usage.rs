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

/// A row of the database as a row of the reply: what they have of the same.
macro_rules! counted {
    ($row:ident, $name:expr $(, $field:ident: $value:expr)*) => {
        Usage {
            name: $name,
            objects: count($row.objects),
            bytes: count($row.bytes),
            versions: count($row.versions),
            version_bytes: count($row.version_bytes),
            part_bytes: count($row.part_bytes),
            $($field: $value,)*
            ..Usage::default()
        }
    };
}

fn of_account(row: S3AccountUsage) -> Usage {
    let account = row.account_id.to_string();
    counted!(row, account.clone(), account_id: account, buckets: count(row.buckets))
}

fn of_bucket(row: S3BucketUsage) -> Usage {
    counted!(row, row.name, account_id: row.account_id.to_string(), created_ms: row.created_ms)
}

fn of_class(row: S3ClassUsage) -> Usage {
    counted!(row, row.class)
}
