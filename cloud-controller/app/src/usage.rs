//! What accounts and buckets hold in the object store, which counts it in whichever database it has.

use crate::Cloud;
use crate::fail::{OrFail as _, wire_failure};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_proto::Kind;
use mallee_proto::v1::{UsageReply, UsageRequest};
use mallee_store::{AccountRow, account_by_name, account_fetch};
use mallee_types::AccountId;

impl Cloud {
    /// A page of what the object store holds.
    ///
    /// # Errors
    /// `NoSuchBucket`; when the object store does not answer.
    pub async fn s3_usage(&self, asked: UsageRequest) -> Result<UsageReply, ApiError> {
        let bucket = asked.bucket.clone();
        self.image_service().usage(asked).await.map_err(|error| match error.kind {
            Kind::NotFound => Code::NoSuchBucket.message(format!("There is no bucket {}.", clip(&bucket))),
            _ => wire_failure(error),
        })
    }

    /// An account by its number or name, for an administrator: the number is taken as it is.
    ///
    /// # Errors
    /// `NoSuchResourceException` for a name that no account has; when the database does not answer.
    pub async fn account_named(&self, given: &str) -> Result<AccountId, ApiError> {
        if let Ok(id) = given.parse::<AccountId>() {
            return Ok(id);
        }
        let found = account_by_name(self.store(), given).await.or_fail()?;
        let missing = || Code::NoSuchResourceException.message(format!("There is no account {}.", clip(given)));
        Ok(found.ok_or_else(missing)?.id)
    }

    /// The name of an account, by its number; none for one that is gone.
    pub async fn account_name(&self, number: &str) -> Option<String> {
        let id = number.parse::<AccountId>().ok()?;
        account_fetch(self.store(), &id).await.ok().map(|AccountRow { name, .. }| name)
    }
}
