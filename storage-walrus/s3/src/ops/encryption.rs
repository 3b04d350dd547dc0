//! The encryption of a bucket: GET, PUT, DELETE /bucket?encryption

use crate::call::Call;
use crate::error::{engine, not_implemented};
use crate::ops::config::from_body;
use crate::reply::{self, Reply};
use crate::sse;
use http::StatusCode;
use mallee_awswire::{ApiError, Code};
use mallee_s3_config::{BucketEncryption, DefaultEncryption, Document as _, text, whole};

/// What encrypts where a request does not say: what was put, or what the server does by itself.
pub(crate) async fn get(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let bucket = call.bucket(&bucket).await?;
    let absent =
        || Code::ServerSideEncryptionConfigurationNotFoundError.error().field("BucketName", bucket.name.clone());
    let found = sse::default_document(&call, &bucket)?.ok_or_else(absent)?;
    Ok(reply::xml(whole(&found)))
}

/// As AWS does, takes any name of a key: whether there is such a key, and who may use it, is asked with each object.
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    call.bucket(&bucket).await?;
    let document: BucketEncryption = from_body(&mut call).await?;
    let store = call.s3.engine();
    match document.default {
        DefaultEncryption::Store if store.vault().is_none() => return Err(not_implemented("Server-side encryption")),
        DefaultEncryption::Kms(_) => drop(call.keys()?),
        DefaultEncryption::Store => {}
    }
    let put = store.set_document(&bucket, BucketEncryption::KIND, "", &text(&document), &|_| Ok(())).await;
    put.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(reply::empty(StatusCode::OK))
}
