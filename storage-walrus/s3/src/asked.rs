//! What a request asks: read once from its head, authorised by the doors as it is here, and run as it is here.

use crate::error::{invalid_argument, not_implemented};
use crate::headers::text;
use crate::operation::{Operation, Scope, When, on_version};
use crate::ops::{buckets, delete};
use crate::props::lock;
use crate::target::{Query, Target};
use crate::{CREATE_BUCKET_XML_BYTES_MAX, DELETE_XML_BYTES_MAX};
use axum::body::Body;
use http::HeaderMap;
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use mallee_awswire::{ApiError, Code};
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// The header that names what is copied.
pub(crate) const COPY_SOURCE: &str = "x-amz-copy-source";
/// Parameters that say something without a value, or name nothing: no sub-resources. Those that begin with `x-` are the
/// SDKs' and the signatures'.
const PARAMETERS: &[&str] = &["annotationName", "id", "partNumber", "select-type", "versionId"];

/// An action that must be allowed, and what on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// `s3:…`.
    pub action: &'static str,
    /// The ARN; `*` for what is about no bucket.
    pub resource: String,
}

/// What a copy is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) version: Option<String>,
}

/// What a request asks.
#[derive(Debug, Clone)]
pub struct Asked {
    pub(crate) operation: Operation,
    /// Empty where it is about the service.
    pub(crate) bucket: String,
    /// Empty where it is about no object.
    pub(crate) key: String,
    pub(crate) query: Query,
    pub(crate) source: Option<Source>,
    /// Actions that headers ask for besides.
    further: Vec<&'static str>,
    /// The keys of a DeleteObjects and whether each names a version, where a door has read them.
    pub(crate) deleted: Option<Vec<(String, bool)>>,
}

/// A door's word that whoever signed the request may do what it asks. It travels beside the request within a process.
#[derive(Debug, Clone)]
pub(crate) struct Granted(pub(crate) Arc<Asked>);

fn arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

impl Asked {
    /// Reads the head of a request, for these domains of virtual hosts.
    ///
    /// # Errors
    /// What S3 answers to a request that is no operation: `MethodNotAllowed`, `NotImplemented`, `InvalidArgument`,
    /// `InvalidURI`, `InvalidBucketName`.
    pub fn read(parts: &Parts, domains: &[String]) -> Result<Self, ApiError> {
        let query = Query::read(parts.uri.query().unwrap_or_default())?;
        let target = Target::of(parts, domains)?;
        let (scope, bucket, key) = match target {
            Target::Service => (Scope::Service, String::new(), String::new()),
            Target::Bucket(bucket) => (Scope::Bucket, bucket, String::new()),
            Target::Object(bucket, key) => (Scope::Object, bucket, key),
        };
        let method = parts.method.as_str();
        if method == "OPTIONS" {
            return Err(not_implemented("CORS"));
        }
        let subresource = subresource(method, scope, &query)?;
        let is = |when| match when {
            When::Always => true,
            When::Copies => parts.headers.contains_key(COPY_SOURCE),
            When::With(name) => query.has(name),
            When::Is(name, value) => query.get(name) == Some(value),
        };
        let operation = Operation::find(method, scope, subresource, is).ok_or_else(|| {
            let kind = match scope {
                Scope::Service => "SERVICE",
                Scope::Bucket => "BUCKET",
                Scope::Object => "OBJECT",
            };
            Code::MethodNotAllowed.error().field("Method", method).field("ResourceType", kind)
        })?;
        let source = if operation.row().when == When::Copies { Some(source(&parts.headers)?) } else { None };
        let further = further(operation, &parts.headers);
        Ok(Self { operation, bucket, key, query, source, further, deleted: None })
    }

    /// Which operation it is.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The ARN of its bucket or object; `*` where it is about the service.
    #[must_use]
    pub fn resource(&self) -> String {
        match self.operation.row().scope {
            Scope::Service => "*".to_owned(),
            Scope::Bucket => arn(&self.bucket),
            Scope::Object => format!("{}/{}", arn(&self.bucket), self.key),
        }
    }

    /// Reads of the body what rights depend on: the keys of a DeleteObjects, whether a CreateBucket gives tags. Gives
    /// the body back.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub async fn with_body(mut self, body: Body) -> Result<(Self, Body), ApiError> {
        let limit = match self.operation {
            Operation::DeleteObjects => DELETE_XML_BYTES_MAX,
            Operation::CreateBucket => CREATE_BUCKET_XML_BYTES_MAX,
            _ => return Ok((self, body)),
        };
        let whole = Limited::new(body, limit).collect().await;
        let bytes = whole.map_err(|e| Code::MalformedXml.error().because(e))?.to_bytes();
        if self.operation == Operation::CreateBucket {
            self.further.extend(buckets::is_tagged(&bytes)?.then_some("s3:TagResource"));
            return Ok((self, Body::from(bytes)));
        }
        self.deleted = Some(delete::names(&bytes)?);
        Ok((self, Body::from(bytes)))
    }

    /// Every right that it takes. A DeleteObjects whose keys were not read takes that to all keys.
    #[must_use]
    pub fn rights(&self) -> Vec<Right> {
        let object = |bucket: &str, key: &str| format!("{}/{key}", arn(bucket));
        let right = |action, resource| Right { action, resource };
        let row = self.operation.row();
        let version = row.scope == Scope::Object && self.query.has("versionId");
        let plain = |action: &&'static str| if version { on_version(action) } else { action };
        let actions = row.actions.iter().map(plain).chain(self.further.iter().copied());
        let mut rights: Vec<Right> = match (self.operation, &self.deleted) {
            (Operation::DeleteObjects, Some(deleted)) => {
                let of = |versioned: bool, action| if versioned { on_version(action) } else { action };
                let of = |(key, versioned): &(String, bool)| {
                    row.actions
                        .iter()
                        .chain(&self.further)
                        .map(|a| right(of(*versioned, a), object(&self.bucket, key)))
                        .collect::<Vec<_>>()
                };
                deleted.iter().flat_map(of).collect()
            }
            (Operation::DeleteObjects | Operation::PostObject, _) => {
                actions.map(|action| right(action, object(&self.bucket, "*"))).collect()
            }
            _ => actions.map(|action| right(action, self.resource())).collect(),
        };
        if let Some(Source { bucket, key, version }) = &self.source {
            let action = if version.is_some() { on_version("s3:GetObject") } else { "s3:GetObject" };
            rights.push(right(action, object(bucket, key)));
        }
        rights
    }

    /// Lets the service run it: whoever signed has all of [`Asked::rights`], or needs none.
    pub fn grant(self, parts: &mut Parts) {
        parts.extensions.insert(Granted(Arc::new(self)));
    }
}

/// The sub-resource that a query names. What no operation knows is left out of a read, as AWS does; of a write it would
/// change the meaning, so that it is refused.
fn subresource<'q>(method: &str, scope: Scope, query: &'q Query) -> Result<&'q str, ApiError> {
    let mut found = "";
    for (name, value) in query.pairs() {
        if Operation::is_subresource(scope, name) {
            if !found.is_empty() && found != name {
                let text = format!("Conflicting query string parameters: {found}, {name}");
                return Err(invalid_argument(text, "ResourceType", found));
            }
            found = name;
        } else if !matches!(method, "GET" | "HEAD") && value.is_empty() {
            let sdk = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
            if !sdk && !PARAMETERS.contains(&name) {
                return Err(not_implemented(&mallee_awswire::texts::clip(name)));
            }
        }
    }
    Ok(found)
}

/// The object that `x-amz-copy-source` names: `[/]bucket/key[?versionId=ID]`, percent-encoded.
fn source(headers: &HeaderMap) -> Result<Source, ApiError> {
    let header = text(headers, COPY_SOURCE).unwrap_or_default();
    let wrong = || {
        invalid_argument(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            COPY_SOURCE,
            header,
        )
    };
    if headers.get_all(COPY_SOURCE).iter().count() != 1 {
        return Err(wrong());
    }
    let (path, version) = match header.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (header, None),
    };
    let path = percent_decode_str(path).decode_utf8().map_err(|_| wrong())?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = path.split_once('/').filter(|(b, k)| !b.is_empty() && !k.is_empty()).ok_or_else(wrong)?;
    if bucket.starts_with("arn:") {
        return Err(not_implemented("Access points as copy source"));
    }
    Ok(Source { bucket: bucket.to_owned(), key: key.to_owned(), version: version.map(str::to_owned) })
}

/// What headers ask for besides, with an action of its own each.
fn further(operation: Operation, headers: &HeaderMap) -> Vec<&'static str> {
    let has = |name| text(headers, name).is_some_and(|value| !value.is_empty());
    let begins = |start: &str| headers.keys().any(|name| name.as_str().starts_with(start));
    let acl = has("x-amz-acl") || begins("x-amz-grant-");
    let asked: &[(bool, &'static str)] = match operation {
        Operation::CreateBucket => &[
            (acl, "s3:PutBucketAcl"),
            (has("x-amz-object-ownership"), "s3:PutBucketOwnershipControls"),
            (has("x-amz-bucket-object-lock-enabled"), "s3:PutBucketVersioning"),
            (has("x-amz-bucket-object-lock-enabled"), "s3:PutBucketObjectLockConfiguration"),
        ],
        Operation::PutObject | Operation::CopyObject | Operation::CreateMultipartUpload => &[
            (acl, "s3:PutObjectAcl"),
            (has("x-amz-tagging"), "s3:PutObjectTagging"),
            (has("x-amz-object-lock-legal-hold"), "s3:PutObjectLegalHold"),
            (has("x-amz-object-lock-mode") || has("x-amz-object-lock-retain-until-date"), "s3:PutObjectRetention"),
        ],
        Operation::DeleteObject | Operation::DeleteObjects | Operation::PutObjectRetention => {
            &[(lock::bypass(headers), "s3:BypassGovernanceRetention")]
        }
        _ => &[],
    };
    asked.iter().filter(|(asks, _)| *asks).map(|(_, action)| *action).collect()
}

#[cfg(test)]
mod tests;
