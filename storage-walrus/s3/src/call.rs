//! One request on its way through an operation.

use crate::asked::{Asked, Source};
use crate::auth::Caller;
use crate::error::{engine, invalid_argument};
use crate::headers::text;
use crate::names::check_key;
use crate::service::S3;
use axum::body::Body;
use http::HeaderMap;
use mallee_awswire::sigv4::Payload;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Object};
use std::sync::{Arc, Mutex, PoisonError};

/// A verified request.
pub(crate) struct Call {
    pub(crate) s3: S3,
    pub(crate) caller: Caller,
    /// Region of the credential scope.
    pub(crate) region: String,
    pub(crate) headers: HeaderMap,
    pub(crate) asked: Arc<Asked>,
    pub(crate) payload: Payload,
    /// Never locked: it makes the call shareable between threads, which a body is not.
    body: Mutex<Body>,
    /// HEAD: the reply has no body.
    pub(crate) head: bool,
}

/// What is known of a request besides its body.
pub(crate) struct Known {
    pub(crate) caller: Caller,
    pub(crate) region: String,
    pub(crate) headers: HeaderMap,
    pub(crate) asked: Arc<Asked>,
    pub(crate) payload: Payload,
    pub(crate) head: bool,
}

impl Call {
    pub(crate) fn new(s3: S3, known: Known, body: Body) -> Self {
        let Known { caller, region, headers, asked, payload, head } = known;
        Self { s3, caller, region, headers, asked, payload, body: Mutex::new(body), head }
    }

    /// The body; empty the second time.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// A bucket that the caller may use.
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`.
    pub(crate) async fn bucket(&self, name: &str) -> Result<Bucket, ApiError> {
        let bucket = self.foreign_bucket(name).await?;
        match text(&self.headers, "x-amz-expected-bucket-owner") {
            Some(owner) if owner != bucket.account => Err(Code::AccessDenied.error()),
            _ => Ok(bucket),
        }
    }

    /// The bucket of a copy source: as [`Call::bucket`], the expected owner in its own header.
    pub(crate) async fn source_bucket(&self, name: &str) -> Result<Bucket, ApiError> {
        let bucket = self.foreign_bucket(name).await?;
        match text(&self.headers, "x-amz-source-expected-bucket-owner") {
            Some(owner) if owner != bucket.account => Err(Code::AccessDenied.error()),
            _ => Ok(bucket),
        }
    }

    async fn foreign_bucket(&self, name: &str) -> Result<Bucket, ApiError> {
        let bucket = self.s3.engine().bucket(name).await.map_err(|e| engine(e).field("BucketName", name))?;
        // Policies and ACLs will decide here; until then a bucket is its account's alone.
        if bucket.account == self.caller.account { Ok(bucket) } else { Err(Code::AccessDenied.error()) }
    }

    /// An object of a bucket that was looked up.
    ///
    /// # Errors
    /// `NoSuchKey`.
    pub(crate) async fn object(&self, bucket: &str, key: &str) -> Result<Object, ApiError> {
        check_key(key)?;
        self.s3.engine().object(bucket, key).await.map_err(|e| engine(e).field("Key", key))
    }

    /// Checks a `versionId`: without versioning there is only `null`.
    ///
    /// # Errors
    /// `InvalidArgument`, as AWS answers ids that are none.
    pub(crate) fn check_version(&self) -> Result<(), ApiError> {
        match self.asked.query.get("versionId") {
            None | Some("null") => Ok(()),
            Some(id) => Err(invalid_argument("Invalid version id specified", "versionId", id)),
        }
    }

    /// What a copy is made of.
    ///
    /// # Errors
    /// `InvalidArgument` for a version that there is not.
    pub(crate) fn source(&self) -> Result<&Source, ApiError> {
        match &self.asked.source {
            Some(source) if source.version.as_deref().is_none_or(|v| v == "null") => Ok(source),
            Some(Source { version, .. }) => {
                let id = version.as_deref().unwrap_or_default();
                Err(invalid_argument("Invalid version id specified", "x-amz-copy-source", id))
            }
            None => Err(ApiError::internal("a copy without a source")),
        }
    }
}
