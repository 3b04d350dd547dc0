//! One request on its way through an operation.

use crate::asked::{Asked, Source};
use crate::auth::Caller;
use crate::authz::{Access, Keys, Looks, Seen};
use crate::error::{engine, invalid_argument, not_implemented};
use crate::kms::{KeyCaller, KeyService};
use crate::names::check_key;
use crate::ops::get::READ_ATTEMPTS;
use crate::reply::{self, DELETE_MARKER, VERSION_ID};
use crate::service::S3;
use crate::sse;
use crate::trail::Audit;
use axum::body::Body;
use http::HeaderMap;
use mallee_awswire::sigv4::Payload;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error, Found, Marker, Object, ObjectInfo, VersionId, VersionName, Versioning};
use mallee_runtime::clock::from_unix_ms;
use std::sync::{Arc, Mutex, PoisonError};

/// A verified request.
pub(crate) struct Call {
    pub(crate) s3: S3,
    pub(crate) caller: Caller,
    /// Whose rights to keys count.
    pub(crate) signer: KeyCaller,
    /// Region of the credential scope.
    pub(crate) region: String,
    pub(crate) headers: HeaderMap,
    pub(crate) asked: Arc<Asked>,
    pub(crate) payload: Payload,
    pub(crate) access: Arc<Access>,
    /// The buckets that it is about, as they were when it was decided.
    pub(crate) held: Vec<Bucket>,
    /// The condition keys of all questions about it.
    pub(crate) keys: Keys,
    /// The object as it was when it was decided, where that had a say.
    seen: Mutex<Option<Seen>>,
    /// A small body that was read, and verified, before its handler runs.
    kept: Option<Vec<u8>>,
    /// Never locked: it makes the call shareable between threads, which a body is not.
    body: Mutex<Body>,
    /// HEAD: the reply has no body.
    pub(crate) head: bool,
    /// The record of a call that manages buckets.
    pub(crate) audit: Option<Arc<Audit>>,
}

/// What is known of a request besides its body.
pub(crate) struct Known {
    pub(crate) caller: Caller,
    pub(crate) region: String,
    pub(crate) headers: HeaderMap,
    pub(crate) asked: Arc<Asked>,
    pub(crate) payload: Payload,
    pub(crate) access: Arc<Access>,
    pub(crate) head: bool,
}

impl Call {
    pub(crate) fn new(s3: S3, known: Known, body: Body) -> Self {
        let Known { caller, region, headers, asked, payload, access, head } = known;
        let signer = access.claim.as_ref().map_or_else(KeyCaller::default, KeyCaller::of);
        let (held, keys, seen) = (Vec::new(), Keys::new(), Mutex::default());
        let (kept, audit, body) = (None, None, Mutex::new(body));
        Self { s3, caller, signer, region, headers, asked, payload, access, held, keys, seen, kept, body, head, audit }
    }

    /// The key management service.
    ///
    /// # Errors
    /// `NotImplemented` without one.
    pub(crate) fn keys(&self) -> Result<&dyn KeyService, ApiError> {
        self.s3.keys().ok_or_else(|| not_implemented("Server-side encryption with keys of KMS"))
    }

    /// What a write asks of encryption.
    ///
    /// # Errors
    /// As [`sse::Asked::read`].
    pub(crate) fn encryption(&self) -> Result<sse::Asked, ApiError> {
        sse::Asked::read(&self.headers, self.s3.config().sse_c_over_http)
    }

    /// The key that the client brings, if it brings one.
    ///
    /// # Errors
    /// As [`sse::customer`].
    pub(crate) fn customer(&self, side: sse::Side) -> Result<Option<sse::Customer>, ApiError> {
        sse::customer(&self.headers, side, self.s3.config().sse_c_over_http)
    }

    /// Keeps a body that was read for [`Call::kept_body`].
    pub(crate) fn keep_body(&mut self, body: Vec<u8>) {
        self.kept = Some(body);
    }

    /// The body that was read already; none the second time.
    pub(crate) fn kept_body(&mut self) -> Option<Vec<u8>> {
        self.kept.take()
    }

    /// The body; empty the second time.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(self.body.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// A bucket of the request, which was looked up when the request was decided.
    ///
    /// # Errors
    /// `NoSuchBucket`; `AccessDenied` for one that the request was not decided about.
    pub(crate) async fn bucket(&self, name: &str) -> Result<Bucket, ApiError> {
        let held = self.held.iter().find(|bucket| bucket.name == name).cloned();
        held.ok_or_else(|| Code::AccessDenied.error())
    }

    /// A bucket of the request as it is now. If it has been configured anew the request is decided again.
    ///
    /// # Errors
    /// `NoSuchBucket` if there is another one of its name by now; what is decided.
    pub(crate) async fn look_again(&mut self, bucket: &Bucket) -> Result<Bucket, ApiError> {
        let now = self.now(bucket).await?;
        if now.rev != bucket.rev {
            self.held.iter_mut().filter(|held| held.id == now.id).for_each(|held| held.clone_from(&now));
            self.s3 = self.s3.within(&self.held);
            self.decide_again().await?;
        }
        Ok(now)
    }

    /// Refuses what was read by the name of a bucket that another one has by now: it may be that one's.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub(crate) async fn still(&self, bucket: &Bucket) -> Result<(), ApiError> {
        self.now(bucket).await.map(drop)
    }

    async fn now(&self, bucket: &Bucket) -> Result<Bucket, ApiError> {
        let gone = || Code::NoSuchBucket.error().field("BucketName", bucket.name.clone());
        match self.s3.engine().bucket(&bucket.name).await {
            Ok(now) if now.id == bucket.id => Ok(now),
            Ok(_) | Err(Error::NoBucket) => Err(gone()),
            Err(error) => Err(engine(error)),
        }
    }

    /// The version that the request names, if any.
    ///
    /// # Errors
    /// `InvalidArgument` for what can be no version of this bucket.
    pub(crate) fn version(&self, bucket: &Bucket) -> Result<Option<VersionName>, ApiError> {
        self.asked.query.get("versionId").map(|id| version_name(bucket, id, "versionId")).transpose()
    }

    /// Refuses a `versionId` where none can be meant.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(crate) fn refuse_version(&self) -> Result<(), ApiError> {
        match self.asked.query.get("versionId") {
            None => Ok(()),
            Some(id) => Err(invalid_argument("This operation does not accept a version-id.", "versionId", id)),
        }
    }

    /// An object of a bucket that was looked up: the version of this name, or what the key stands for.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, and what AWS answers for delete markers.
    pub(crate) async fn object(
        &self,
        bucket: &Bucket,
        key: &str,
        version: Option<VersionName>,
    ) -> Result<Object, ApiError> {
        check_key(key)?;
        let mut attempt = 1;
        let found = loop {
            let found = self.s3.engine().find_in(bucket, key, version.into()).await.map_err(engine)?;
            let info = match &found {
                Some(Found::Object(object)) => Some(&object.info),
                _ => None,
            };
            if self.is_decided(info) {
                break found;
            }
            if attempt >= READ_ATTEMPTS {
                return Err(engine(Error::Gone));
            }
            self.decide_again().await?;
            attempt += 1;
        };
        match found {
            Some(Found::Object(object)) => Ok(object),
            Some(Found::Marker(marker)) => {
                Err(self.hidden(bucket, marker_error(self, key, version.is_some(), &marker)).await)
            }
            None => Err(self.hidden(bucket, absent(bucket, key, version)).await),
        }
    }

    /// Notes the object that had a say in the decision.
    pub(crate) fn note(&self, seen: Option<Seen>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Whether what was decided is about this object, or about there being none: it may have been written anew since, as
    /// somebody else's or with other tags.
    pub(crate) fn is_decided(&self, info: Option<&ObjectInfo>) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_none_or(|seen| *seen == info.map(Looks::of))
    }

    /// What a copy is made of.
    ///
    /// # Errors
    /// When the operation is no copy.
    pub(crate) fn source(&self) -> Result<&Source, ApiError> {
        self.asked.source.as_ref().ok_or_else(|| ApiError::internal("a copy without a source"))
    }
}

/// Reads the name of a version of an object in this bucket, given as this argument.
///
/// # Errors
/// `InvalidArgument`, as AWS answers ids that are none.
pub(crate) fn version_name(bucket: &Bucket, id: &str, argument: &str) -> Result<VersionName, ApiError> {
    if id.is_empty() {
        return Err(invalid_argument("Version id cannot be the empty string", argument, id));
    }
    // Without versioning there is only `null`.
    VersionName::parse(id)
        .filter(|name| bucket.versioning != Versioning::Off || *name == VersionName::Null)
        .ok_or_else(|| invalid_argument("Invalid version id specified", argument, id))
}

/// The answer where there is no such key, or no such version of it.
pub(crate) fn absent(bucket: &Bucket, key: &str, version: Option<VersionName>) -> ApiError {
    match version.filter(|_| bucket.versioning != Versioning::Off) {
        None => Code::NoSuchKey.error().field("Key", key),
        Some(name) => Code::NoSuchVersion.error().field("Key", key).field("VersionId", shown_name(name)),
    }
}

/// A version's name as text.
pub(crate) fn shown_name(name: VersionName) -> String {
    match name {
        VersionName::Null => "null".to_owned(),
        VersionName::Id(id) => id.to_string(),
    }
}

/// The id of a version, where clients are told one: not in a bucket that was never versioned.
pub(crate) fn shown_version(bucket: &Bucket, version: VersionId) -> Option<String> {
    (!version.is_null() || bucket.versioning != Versioning::Off).then(|| version.to_string())
}

/// The answer where a delete marker is found: the key has no object; and a marker itself cannot be read.
fn marker_error(call: &Call, key: &str, named: bool, marker: &Marker) -> ApiError {
    let id = marker.version.to_string();
    let error = if named {
        let method = if call.head { "HEAD" } else { "GET" };
        let modified = reply::http_date(from_unix_ms(marker.created_ms));
        let error = Code::MethodNotAllowed.error().field("Method", method).field("ResourceType", "DeleteMarker");
        error.header("allow", "DELETE").header("last-modified", modified)
    } else {
        Code::NoSuchKey.error().field("Key", key)
    };
    error.header(DELETE_MARKER, "true").header(VERSION_ID, id)
}
