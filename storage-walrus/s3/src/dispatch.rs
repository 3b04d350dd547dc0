//! From the operation that was read, and authorised, to its handler. Nothing here looks at the request again.

use crate::call::Call;
use crate::headers::refuse_unsupported;
use crate::operation::{Operation, Scope};
use crate::ops::{
    buckets, complete, config, copy, delete, get, lifecycle, list, notification, parts, put, uploads, versioning,
    versions,
};
use crate::reply::Reply;
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_objects::Origin;
use mallee_s3_config::Tagging;
use mallee_s3_config::lifecycle::Lifecycle;
use mallee_s3_config::notification::Notification;
use std::sync::Arc;

/// Runs the operation. What is not named here is a configuration that is only read, or is not offered.
pub(crate) async fn dispatch(mut call: Call) -> Result<Reply, ApiError> {
    refuse_unsupported(&call.headers)?;
    let (operation, bucket, key) = (call.asked.operation, call.asked.bucket.clone(), call.asked.key.clone());
    let row = operation.row();
    // What is not offered says that first; the others read or delete the version.
    let writes = row.subresource.is_empty() && row.method == "PUT";
    if row.scope == Scope::Object && (writes || matches!(row.subresource, "uploads" | "uploadId")) {
        call.refuse_version()?;
    }
    if !matches!(row.method, "GET" | "HEAD") {
        call.s3 = call.s3.by(Arc::new(origin(&call)));
    }
    match operation {
        Operation::ListBuckets => buckets::list(call).await,
        Operation::CreateBucket => buckets::create(call, bucket).await,
        Operation::HeadBucket => buckets::head(call, bucket).await,
        Operation::DeleteBucket => buckets::delete(call, bucket).await,
        Operation::GetBucketLocation => buckets::location(call, bucket).await,
        Operation::ListObjects => list::v1(call, bucket).await,
        Operation::ListObjectsV2 => list::v2(call, bucket).await,
        Operation::GetBucketVersioning => versioning::get(call, bucket).await,
        Operation::PutBucketVersioning => versioning::put(call, bucket).await,
        Operation::ListObjectVersions => versions::list(call, bucket).await,
        Operation::GetBucketTagging => config::get::<Tagging>(call, bucket, Code::NoSuchTagSet).await,
        Operation::PutBucketTagging => {
            config::put::<Tagging>(call, bucket, StatusCode::NO_CONTENT, |_, _| Ok(())).await
        }
        Operation::DeleteBucketTagging => config::delete::<Tagging>(call, bucket).await,
        Operation::GetBucketLifecycleConfiguration => lifecycle::get(call, bucket).await,
        Operation::PutBucketLifecycleConfiguration => lifecycle::put(call, bucket).await,
        Operation::DeleteBucketLifecycle => config::delete::<Lifecycle>(call, bucket).await,
        Operation::GetBucketNotificationConfiguration => config::get_or_default::<Notification>(call, bucket).await,
        Operation::PutBucketNotificationConfiguration => notification::put(call, bucket).await,
        Operation::ListMultipartUploads => uploads::list(call, bucket).await,
        Operation::DeleteObjects => delete::batch(call, bucket).await,
        Operation::GetObject | Operation::HeadObject => get::get(call, bucket, key).await,
        Operation::PutObject => put::put(call, bucket, key).await,
        Operation::CopyObject => copy::copy(call, bucket, key).await,
        Operation::DeleteObject => delete::one(call, bucket, key).await,
        Operation::CreateMultipartUpload => uploads::create(call, bucket, key).await,
        Operation::UploadPart => parts::upload(call, bucket, key).await,
        Operation::UploadPartCopy => parts::upload_copy(call, bucket, key).await,
        Operation::CompleteMultipartUpload => complete::complete(call, bucket, key).await,
        Operation::AbortMultipartUpload => uploads::abort(call, bucket, key).await,
        Operation::ListParts => uploads::list_parts(call, bucket, key).await,
        _ => config::answer(call, bucket, operation).await,
    }
}

/// What is told of a change to those whom the bucket notifies.
fn origin(call: &Call) -> Origin {
    Origin {
        operation: call.asked.operation.name(),
        principal: call.caller.arn.clone(),
        address: None,
        request_id: call.request_id.clone(),
    }
}
