//! Bucket policies: put, get, delete, status.

use crate::authz::bucket::{POLICY, public_access, read_policy};
use crate::authz::policy_text::{self, POLICY_BYTES_MAX, invalid_principal};
use crate::body::read_small;
use crate::call::Call;
use crate::error::engine;
use crate::headers::text;
use crate::reply::{self, Reply, document};
use axum::body::Body;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error};

/// What is read of a body before it is too long.
const BODY_BYTES_MAX: usize = 4 * POLICY_BYTES_MAX;
/// The header by which a caller says that it knows that it will not be able to undo this.
const CONFIRM: &str = "x-amz-confirm-remove-self-bucket-access";

/// The bucket, for callers of its own account: a policy may let others in, but not to itself.
async fn own(call: &Call, bucket: &str, method: &str) -> Result<Bucket, ApiError> {
    let bucket = call.bucket(bucket).await?;
    if call.caller.account != bucket.account {
        return Err(Code::MethodNotAllowed.error().field("Method", method).field("ResourceType", "BUCKETPOLICY"));
    }
    Ok(bucket)
}

/// PUT /bucket?policy
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = own(&call, &bucket, "PUT").await?;
    let body = read_small(&mut call, BODY_BYTES_MAX, true, false).await?;
    let (document, policy) = policy_text::read(&body, &bucket.name)?;
    let mut named: Vec<String> = policy.named_principals().map(str::to_owned).collect();
    named.sort_unstable();
    named.dedup();
    if !named.is_empty() {
        let known = call.s3.authority().principals(&named).await?;
        if let Some((name, _)) = named.iter().zip(known).find(|(_, known)| !known) {
            return Err(invalid_principal(&format!("\"AWS\" : \"{name}\"")));
        }
    }
    let confirmed = text(&call.headers, CONFIRM).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !confirmed && !call.caller.is_root_of(&bucket.account) && !call.may_put_policy_under(&bucket, &document).await? {
        let refusal = "The new bucket policy will not allow you to update the bucket policy in the future.";
        return Err(Code::AccessDenied.message(refusal));
    }
    let blocks = |found: &Bucket| public_access(found).map(|block| block.is_some_and(|b| b.block_public_policy));
    let is_public = policy.is_public();
    // Within the transaction: the switch may just be turned on.
    let check = |found: &Bucket| match blocks(found) {
        Ok(true) if is_public => Err(Error::Precondition),
        _ => Ok(()),
    };
    blocks(&bucket)?;
    match call.s3.engine().set_document(&bucket.name, POLICY, "", &document, &check).await {
        Ok(()) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        Err(Error::Precondition) => Err(Code::AccessDenied.message(format!(
            "User: {} is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::{}\" because public \
             policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            call.caller.arn, bucket.name
        ))),
        Err(error) => Err(engine(error).field("BucketName", bucket.name)),
    }
}

/// GET /bucket?policy
pub(crate) async fn get(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = own(&call, &bucket, "GET").await?;
    let text = bucket.docs.get(POLICY).ok_or_else(|| none(&bucket))?;
    let mut reply = Reply::new(Body::from(text.to_owned()));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(reply)
}

/// DELETE /bucket?policy
pub(crate) async fn delete(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = own(&call, &bucket, "DELETE").await?;
    let removed = call.s3.engine().remove_document(&bucket.name, POLICY, "").await;
    removed.map_err(|e| engine(e).field("BucketName", bucket.name))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// GET /bucket?policyStatus
pub(crate) async fn status(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let text = bucket.docs.get(POLICY).ok_or_else(|| none(&bucket))?;
    let mut w = document("PolicyStatus");
    w.display("IsPublic", read_policy(text)?.is_public());
    w.close("PolicyStatus");
    Ok(reply::xml(w))
}

fn none(bucket: &Bucket) -> ApiError {
    Code::NoSuchBucketPolicy.error().field("BucketName", bucket.name.clone())
}
