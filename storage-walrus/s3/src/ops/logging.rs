//! Where the records of requests to a bucket go.

use crate::access_log::{SERVICE, named};
use crate::acl::{self, Wanted};
use crate::authz::bucket::has_lists;
use crate::authz::payer::requester_pays;
use crate::authz::service::service_may_put;
use crate::call::Call;
use crate::deliver::Sender;
use crate::error::engine;
use crate::ops::config;
use crate::reply::{self, Reply};
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error};
use mallee_s3_config::{Document as _, LogTarget, Logging, ObjectLock, text};

/// PUT /bucket?logging
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    let source = call.bucket(&bucket).await?;
    let logging: Logging = config::from_body(&mut call).await?;
    let set = match &logging.to {
        Some(to) => {
            check(&call, &source, to).await?;
            call.s3.engine().set_document(&bucket, Logging::KIND, "", &text(&logging), &|_| Ok(())).await
        }
        None => call.s3.engine().remove_document(&bucket, Logging::KIND, "").await.map(drop),
    };
    set.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::OK))
}

/// Whether records may go there. (What changes there later is looked at with each delivery.)
async fn check(call: &Call, source: &Bucket, to: &LogTarget) -> Result<(), ApiError> {
    let refused = |code: Code, text: &'static str| code.message(text).field("TargetBucket", to.bucket.clone());
    let wrong = |text| Err(refused(Code::InvalidTargetBucketForLogging, text));
    let target = match call.s3.engine().bucket(&to.bucket).await {
        Ok(target) => target,
        Err(Error::NoBucket) => return wrong("The target bucket for logging does not exist"),
        Err(error) => return Err(engine(error)),
    };
    if target.account != source.account {
        return wrong("The owner for the bucket to be logged and the target bucket must be the same.");
    }
    if target.region != source.region {
        let error = refused(Code::CrossLocationLoggingProhibited, "Cross S3 location logging not allowed. ");
        let error = error.field("SourceBucketLocation", source.region.clone());
        return Err(error.field("TargetBucketLocation", target.region));
    }
    let has_lists = has_lists(&target)?;
    if !has_lists && !to.grants.is_empty() {
        let text = "Target grants not allowed for bucket owner enforced buckets";
        return Err(Code::AccessControlListNotSupported.message(text));
    }
    let grants = Wanted::Grants(to.grants.iter().map(named).collect());
    acl::resolve(&call.s3, &grants, &target.account, &target.account).await?;
    if config::of::<ObjectLock>(&target)?.is_some_and(|lock| lock.default.is_some()) {
        return wrong("The target bucket for logging cannot have a default retention");
    }
    if requester_pays(&target)? {
        return wrong("The target bucket for logging cannot have Requester Pays enabled");
    }
    // Where lists do not count, the policy may come later.
    let sender = Sender { service: SERVICE, bucket: &source.name, account: &source.account, region: &source.region };
    if has_lists
        && !service_may_put(&target, &format!("{}x", to.prefix), &sender, false, call.s3.engine().clock().now_ms())?
    {
        return wrong("You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket");
    }
    Ok(())
}
