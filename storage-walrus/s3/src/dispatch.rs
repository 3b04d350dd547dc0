//! From the operation that was read, and authorised, to its handler. Nothing here looks at the request again.

use crate::call::Call;
use crate::headers::refuse_unsupported;
use crate::operation::{Operation, Scope};
use crate::ops::{
    access, acl, attributes, buckets, complete, config, copy, delete, durability, encryption, get, inventory,
    lifecycle, list, lock, logging, notification, parts, policy, put, replication, tagging, uploads, versioning,
    versions,
};
use crate::reply::Reply;
use crate::service::RequestId;
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_objects::Origin;
use mallee_s3_config::lifecycle::Lifecycle;
use mallee_s3_config::notification::Notification;
use mallee_s3_config::{BucketEncryption, Cors, Durability, Logging, Replication, RequestPayment, Tagging, Website};
use mallee_serve::Peer;
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
        call.s3 = call.s3.by(Arc::new(origin(&call))).within(&call.held);
        // What public lists may say is the bucket's to tell until they are written.
        if row.scope == Scope::Object && acl::may_grant_to_public(&call) {
            call.s3 = call.s3.unchanged();
        }
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
        Operation::GetBucketReplication => {
            config::get::<Replication>(call, bucket, Code::ReplicationConfigurationNotFoundError).await
        }
        Operation::PutBucketReplication => replication::put(call, bucket).await,
        Operation::DeleteBucketReplication => config::delete::<Replication>(call, bucket).await,
        Operation::GetBucketLogging => config::get_or_default::<Logging>(call, bucket).await,
        Operation::PutBucketLogging => logging::put(call, bucket).await,
        Operation::GetBucketRequestPayment => config::get_or_default::<RequestPayment>(call, bucket).await,
        Operation::PutBucketRequestPayment => {
            config::put::<RequestPayment>(call, bucket, StatusCode::OK, |_, _| Ok(())).await
        }
        Operation::GetBucketInventoryConfiguration => inventory::get(call, bucket).await,
        Operation::PutBucketInventoryConfiguration => inventory::put(call, bucket).await,
        Operation::DeleteBucketInventoryConfiguration => inventory::delete(call, bucket).await,
        Operation::ListBucketInventoryConfigurations => inventory::list(call, bucket).await,
        Operation::GetBucketCors => config::get::<Cors>(call, bucket, Code::NoSuchCorsConfiguration).await,
        Operation::PutBucketCors => config::put::<Cors>(call, bucket, StatusCode::OK, |_, _| Ok(())).await,
        Operation::DeleteBucketCors => config::delete::<Cors>(call, bucket).await,
        Operation::GetBucketWebsite => config::get::<Website>(call, bucket, Code::NoSuchWebsiteConfiguration).await,
        Operation::PutBucketWebsite => config::put::<Website>(call, bucket, StatusCode::OK, |_, _| Ok(())).await,
        Operation::DeleteBucketWebsite => config::delete::<Website>(call, bucket).await,
        Operation::GetBucketDurability => config::get_or_default::<Durability>(call, bucket).await,
        Operation::PutBucketDurability => durability::put(call, bucket).await,
        Operation::GetBucketEncryption => encryption::get(call, bucket).await,
        Operation::PutBucketEncryption => encryption::put(call, bucket).await,
        Operation::DeleteBucketEncryption => config::delete::<BucketEncryption>(call, bucket).await,
        Operation::GetObjectLockConfiguration => lock::get_configuration(call, bucket).await,
        Operation::PutObjectLockConfiguration => lock::put_configuration(call, bucket).await,
        Operation::GetBucketPolicy => policy::get(call, bucket).await,
        Operation::PutBucketPolicy => policy::put(call, bucket).await,
        Operation::DeleteBucketPolicy => policy::delete(call, bucket).await,
        Operation::GetBucketPolicyStatus => policy::status(call, bucket).await,
        Operation::GetBucketAcl => acl::get_bucket(call, bucket).await,
        Operation::PutBucketAcl => acl::put_bucket(call, bucket).await,
        Operation::GetObjectAcl => acl::get_object(call, bucket, key).await,
        Operation::PutObjectAcl => acl::put_object(call, bucket, key).await,
        Operation::GetPublicAccessBlock => access::get_block(call, bucket).await,
        Operation::PutPublicAccessBlock => access::put_block(call, bucket).await,
        Operation::DeletePublicAccessBlock => access::delete_block(call, bucket).await,
        Operation::GetBucketOwnershipControls => access::get_ownership(call, bucket).await,
        Operation::PutBucketOwnershipControls => access::put_ownership(call, bucket).await,
        Operation::DeleteBucketOwnershipControls => access::delete_ownership(call, bucket).await,
        Operation::ListMultipartUploads => uploads::list(call, bucket).await,
        Operation::DeleteObjects => delete::batch(call, bucket).await,
        Operation::GetObject | Operation::HeadObject => get::get(call, bucket, key).await,
        Operation::PutObject | Operation::PostObject => put::put(call, bucket, key).await,
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

/// What is told of a change to those whom the bucket notifies.
pub(crate) fn origin(call: &Call) -> Origin {
    let extensions = &call.access.head.extensions;
    Origin {
        operation: call.asked.operation.name(),
        principal: call.caller.arn.clone(),
        address: extensions.get::<Peer>().map(|Peer(ip)| ip.to_string()),
        request_id: extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
    }
}
