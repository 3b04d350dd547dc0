//! From the operation that was read, and authorised, to its handler. Nothing here looks at the request again.

use crate::call::Call;
use crate::headers::refuse_unsupported;
use crate::operation::{Operation, Scope};
use crate::ops::{attributes, buckets, complete, config, copy, delete, get, list, lock, parts, put, tagging, uploads};
use crate::ops::{versioning, versions};
use crate::reply::Reply;
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_s3_config::Tagging;

/// Runs the operation. What is not named here is a configuration that is only read, or is not offered.
pub(crate) async fn dispatch(call: Call) -> Result<Reply, ApiError> {
    refuse_unsupported(&call.headers)?;
    let (operation, bucket, key) = (call.asked.operation, call.asked.bucket.clone(), call.asked.key.clone());
    let row = operation.row();
    // What is not offered says that first; the others read or delete the version.
    let writes = row.subresource.is_empty() && row.method == "PUT";
    if row.scope == Scope::Object && (writes || matches!(row.subresource, "uploads" | "uploadId")) {
        call.refuse_version()?;
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
        Operation::GetObjectLockConfiguration => lock::get_configuration(call, bucket).await,
        Operation::PutObjectLockConfiguration => lock::put_configuration(call, bucket).await,
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
        Operation::GetObjectAttributes => attributes::get(call, bucket, key).await,
        Operation::GetObjectTagging => tagging::get(call, bucket, key).await,
        Operation::PutObjectTagging => tagging::put(call, bucket, key).await,
        Operation::DeleteObjectTagging => tagging::delete(call, bucket, key).await,
        Operation::GetObjectRetention => lock::get_retention(call, bucket, key).await,
        Operation::PutObjectRetention => lock::put_retention(call, bucket, key).await,
        Operation::GetObjectLegalHold => lock::get_legal_hold(call, bucket, key).await,
        Operation::PutObjectLegalHold => lock::put_legal_hold(call, bucket, key).await,
        _ => config::answer(call, bucket, operation).await,
    }
}
