//! Quotas of buckets and objects. Walrus counts them where it writes; what they are is found here.

use super::{Allowance, origin, table};
use crate::authorize::Ask;
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::ApiError;
use mallee_store::quota_setting_list;

/// Bytes of a megabyte, in which Eucalyptus' keys of sizes are.
const MB: u64 = 1 << 20;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Buckets of the account.
    Buckets,
    /// Objects of the bucket that is written to.
    BucketObjects,
    /// Bytes of that bucket.
    BucketBytes,
    /// Bytes of all buckets of the account.
    TotalBytes,
}

/// The keys of policies that limit objects, and the unit of each.
const OBJECT_KEYS: [(&str, Storage, u64); 3] = [
    ("s3:quota-bucketobjectnumber", Storage::BucketObjects, 1),
    ("s3:quota-bucketsize", Storage::BucketBytes, MB),
    ("s3:quota-buckettotalsize", Storage::TotalBytes, MB),
];

/// One quota of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageLimit {
    /// What it limits.
    pub what: Storage,
    /// Most there may be, in pieces or bytes.
    pub max: u64,
    /// It counts the buckets that the caller made.
    pub own: bool,
    /// Which quota it is and where it comes from.
    pub origin: String,
}

/// The quotas of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageLimits {
    /// Who makes it.
    pub creator: Option<String>,
    /// All of them must hold.
    pub limits: Vec<StorageLimit>,
}

impl Cloud {
    /// The quotas of a request that makes a bucket (`s3:CreateBucket`) or an object (`s3:PutObject`).
    ///
    /// # Errors
    /// What the database says.
    pub async fn storage_limits(
        &self,
        cx: &OpContext,
        action: &str,
        resource: &str,
    ) -> Result<StorageLimits, ApiError> {
        let allowance = self.allowance(cx, &Ask { action, resource, ..Ask::default() }).await?;
        let mut limits = Vec::new();
        if action == "s3:CreateBucket" {
            let settings = quota_setting_list(self.store(), cx.account()).await.or_fail()?;
            limits.extend(allowance.limits_of(&table::BUCKETS, &settings).iter().map(|limit| StorageLimit {
                what: Storage::Buckets,
                max: limit.max,
                own: limit.own,
                origin: origin(&table::BUCKETS, limit),
            }));
        }
        let Allowance { creator, limits: by_policy, .. } = allowance;
        for limit in &by_policy {
            let known = OBJECT_KEYS.iter().find(|(key, ..)| *key == limit.key);
            limits.extend(known.map(|(key, what, unit)| StorageLimit {
                what: *what,
                max: limit.max.saturating_mul(*unit),
                own: limit.own,
                origin: format!("Quota {key}: {}, {}.", limit.max, limit.source),
            }));
        }
        Ok(StorageLimits { creator, limits })
    }
}
