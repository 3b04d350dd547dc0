//! What of a bucket is kept from the public, and who owns what is in it: put, get, delete.

use crate::authz::bucket::{GONE, bucket_acl, ownership, public_access};
use crate::call::Call;
use crate::error::engine;
use crate::ops::config;
use crate::reply::{self, Reply};
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error};
use mallee_s3_config::{Document, Ownership, OwnershipControls, PublicAccessBlock, text, whole};

/// PUT /bucket?publicAccessBlock
pub(crate) async fn put_block(call: Call, bucket: String) -> Result<Reply, ApiError> {
    config::put::<PublicAccessBlock>(call, bucket, StatusCode::OK, |_, _| Ok(())).await
}

/// GET /bucket?publicAccessBlock
pub(crate) async fn get_block(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let absent = || Code::NoSuchPublicAccessBlockConfiguration.error().field("BucketName", bucket.name.clone());
    Ok(reply::xml(whole(&public_access(&bucket)?.ok_or_else(absent)?)))
}

/// DELETE /bucket?publicAccessBlock
pub(crate) async fn delete_block(call: Call, bucket: String) -> Result<Reply, ApiError> {
    delete::<PublicAccessBlock>(call, bucket).await
}

/// PUT /bucket?ownershipControls
pub(crate) async fn put_ownership(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let controls: OwnershipControls = config::from_body(&mut call).await?;
    let closes = controls.0 == Ownership::BucketOwnerEnforced;
    // Within the transaction: a list that grants would count for nothing, and again one day.
    let check = |found: &Bucket| {
        let is_private = || bucket_acl(found).is_ok_and(|list| list.is_private(&found.account));
        if closes && !is_private() { Err(Error::Precondition) } else { Ok(()) }
    };
    match call.s3.engine().set_document(&bucket, OwnershipControls::KIND, "", &text(&controls), &check).await {
        Ok(()) => Ok(reply::empty(StatusCode::OK)),
        Err(Error::Precondition) => Err(Code::InvalidBucketAclWithObjectOwnership.error()),
        Err(error) => Err(engine(error).field("BucketName", bucket)),
    }
}

/// GET /bucket?ownershipControls
pub(crate) async fn get_ownership(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let absent = || Code::OwnershipControlsNotFoundError.error().field("BucketName", bucket.name.clone());
    Ok(reply::xml(whole(&OwnershipControls(ownership(&bucket)?.ok_or_else(absent)?))))
}

/// DELETE /bucket?ownershipControls
pub(crate) async fn delete_ownership(call: Call, bucket: String) -> Result<Reply, ApiError> {
    delete::<OwnershipControls>(call, bucket).await
}

/// Without the document a bucket is not what new ones are: that it was deleted is noted in its place.
async fn delete<D: Document>(call: Call, bucket: String) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let noted = call.s3.engine().set_document(&bucket, D::KIND, "", GONE, &|_| Ok(())).await;
    noted.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
