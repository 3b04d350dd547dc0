//! What a request asks: read once from its head, decided as it is here, and run as it is here.

use crate::authz::{Keys, Question};
use crate::conditions;
use crate::error::{invalid_argument, not_implemented};
use crate::headers::text;
use crate::operation::{Operation, Scope, When, on_version};
use crate::ops::durability::DURABILITY;
use crate::props::{lock, tags};
use crate::replica::incoming;
use crate::target::{Query, Target};
use http::HeaderMap;
use http::request::Parts;
use mallee_awswire::{ApiError, Code};
use percent_encoding::percent_decode_str;

/// The header that names what is copied.
pub(crate) const COPY_SOURCE: &str = "x-amz-copy-source";
/// Parameters that say something without a value, or name nothing: no sub-resources. Those that begin with `x-` are the
/// SDKs' and the signatures'.
const PARAMETERS: &[&str] = &["annotationName", "id", "partNumber", "select-type", "versionId"];

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
}

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
        let further = further(operation, &parts.headers, query.has("versionId"));
        Ok(Self { operation, bucket, key, query, source, further })
    }

    /// An operation on an object that no head asks for as it is: a page of a web site, the file of a form. `headers` are
    /// those that it would have.
    pub(crate) fn of_object(operation: Operation, bucket: String, key: String, headers: &HeaderMap) -> Self {
        let further = further(operation, headers, false);
        Self { operation, bucket, key, query: Query::default(), source: None, further }
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

    /// Actions that headers ask for besides those of the operation.
    pub(crate) fn further(&self) -> &[&'static str] {
        &self.further
    }

    /// The same, that takes one right more.
    pub(crate) fn with(&self, action: &'static str) -> Self {
        let mut more = self.clone();
        more.further.push(action);
        more
    }

    /// Every right that it takes: those on its target, about the first resource, and of a copy that on its source, about
    /// the second. Of a DeleteObjects, whose keys are in its body, that to all keys.
    pub(crate) fn questions(&self) -> Vec<Question> {
        let question =
            |action: &'static str, resource, on| Question { action: action.into(), resource, on, keys: Keys::new() };
        let row = self.operation.row();
        let version = row.scope == Scope::Object && self.query.has("versionId");
        let plain = |action: &&'static str| if version { on_version(action) } else { action };
        let actions = row.actions.iter().map(plain).chain(self.further.iter().copied());
        let resource = match self.operation {
            Operation::DeleteObjects => format!("{}/*", arn(&self.bucket)),
            // Its key is in its form.
            Operation::PostObject => format!("{}/{}", arn(&self.bucket), self.key),
            _ => self.resource(),
        };
        let mut questions: Vec<Question> = actions.map(|action| question(action, resource.clone(), 0)).collect();
        if let Some(Source { bucket, key, version }) = &self.source {
            let action = if version.is_some() { on_version("s3:GetObject") } else { "s3:GetObject" };
            questions.push(question(action, format!("{}/{key}", arn(bucket)), 1));
        }
        questions
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
            let elsewhere = [Scope::Bucket, Scope::Object].iter().any(|other| Operation::is_subresource(*other, name));
            if (elsewhere || !sdk) && !PARAMETERS.contains(&name) {
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

/// What headers ask for besides, with an action of its own each; of an object or of a version that the request names.
fn further(operation: Operation, headers: &HeaderMap, version: bool) -> Vec<&'static str> {
    let bypass = (lock::bypass(headers), "s3:BypassGovernanceRetention");
    let has = |name| text(headers, name).is_some_and(|value| !value.is_empty());
    let begins = |start: &str| headers.keys().any(|name| name.as_str().starts_with(start));
    let acl = has("x-amz-acl") || begins("x-amz-grant-");
    let replica = incoming::is_replica(headers);
    // The version may be there already, with a list, tags and a retention that its writer has no say in; an empty list of
    // tags takes all of them away.
    let named = operation == Operation::PutObject && headers.contains_key(incoming::VERSION);
    let tagging = headers.contains_key(tags::TAGGING);
    let writes_replicas = matches!(operation, Operation::PutObject | Operation::CreateMultipartUpload);
    let asked: &[(bool, &'static str)] = match operation {
        Operation::CreateBucket => &[
            (acl, "s3:PutBucketAcl"),
            (has("x-amz-object-ownership"), "s3:PutBucketOwnershipControls"),
            (has("x-amz-bucket-object-lock-enabled") || has(DURABILITY), "s3:PutBucketVersioning"),
            (has("x-amz-bucket-object-lock-enabled"), "s3:PutBucketObjectLockConfiguration"),
        ],
        Operation::PutObject | Operation::PostObject | Operation::CopyObject | Operation::CreateMultipartUpload => &[
            (replica && writes_replicas, "s3:ReplicateObject"),
            (acl || named && headers.contains_key(incoming::LIST), "s3:PutObjectAcl"),
            (has(tags::TAGGING) && !named, "s3:PutObjectTagging"),
            (tagging && named, "s3:ReplicateTags"),
            (bypass.0 && named, bypass.1),
            (has("x-amz-object-lock-legal-hold"), "s3:PutObjectLegalHold"),
            (has("x-amz-object-lock-mode") || has("x-amz-object-lock-retain-until-date"), "s3:PutObjectRetention"),
        ],
        // Whether it is as it must be tells what it is like.
        Operation::DeleteObject => {
            let read = if version { on_version("s3:GetObject") } else { "s3:GetObject" };
            &[(replica, "s3:ReplicateDelete"), bypass, (conditions::looks(headers), read)]
        }
        Operation::DeleteObjects | Operation::PutObjectRetention => &[bypass],
        _ => &[],
    };
    asked.iter().filter(|(asks, _)| *asks).map(|(_, action)| *action).collect()
}

#[cfg(test)]
mod tests;
