//! What becomes of a request, gathered on its way and recorded when its reply has been sent.

use super::line::{Record, first_line};
use super::{AccessLog, names};
use crate::asked::Asked;
use crate::call::Call;
use crate::headers::text;
use crate::operation::Operation;
use crate::reply::{self, Reply};
use crate::service::S3;
use crate::target::Target;
use axum::body::{Body, HttpBody as _};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HOST, HeaderName, REFERER, TRANSFER_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use http_body_util::BodyExt as _;
use mallee_awswire::server::{host, host_bucket};
use mallee_awswire::sigv4::{Placement, SignatureVersion};
use mallee_objects::{Bucket, Error};
use mallee_serve::Peer;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A bucket that wants a record of the request.
#[derive(Debug, Clone)]
struct Wanted {
    bucket: Bucket,
    operation: Cow<'static, str>,
    key: Option<String>,
}

/// What became of one key of a DeleteObjects.
#[derive(Debug, Clone)]
struct BatchKey {
    key: String,
    version: Option<String>,
    error: Option<&'static str>,
    status: u16,
}

#[derive(Debug, Default)]
struct Seen {
    /// The request came as far as being decided.
    decided: bool,
    wanted: Vec<Wanted>,
    /// Account and ARN of who signed, and whether it is a root.
    caller: Option<(String, String, bool)>,
    signature: Option<&'static str>,
    authentication: Option<&'static str>,
    version: Option<String>,
    /// Its size is that of the object.
    sized: bool,
    batch: Vec<BatchKey>,
    /// The requester pays.
    charged: bool,
    /// It took an access control list to allow it.
    by_list: bool,
}

/// See the module. It is among the extensions of the request's head; clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Trace(Arc<Mutex<Seen>>);

/// The code of an error, among the extensions of its reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorCode(pub(crate) &'static str);

/// What its reply tells of a request.
#[derive(Debug, Clone, Copy)]
struct Told<'a> {
    request_id: &'a str,
    status: u16,
    error: Option<&'static str>,
    size: Option<u64>,
    /// It is the page of a web site.
    is_site: bool,
}

/// What is known of a request when it comes.
pub(crate) struct Begun {
    trace: Trace,
    at: Instant,
    time_ms: i64,
    hold: Arc<()>,
}

impl Begun {
    /// Begins with the head of a request.
    pub(crate) fn new(s3: &S3, parts: &mut Parts) -> Self {
        let trace = Trace(Arc::default());
        parts.extensions.insert(trace.clone());
        Self { trace, at: Instant::now(), time_ms: s3.engine().clock().now_ms(), hold: s3.access_log().hold() }
    }

    /// Ends with the reply: what is left is to send it.
    pub(crate) async fn end(self, s3: &S3, parts: &Parts, mut response: Reply, request_id: &str) -> Reply {
        let mut seen = self.trace.seen(std::mem::take);
        if seen.charged && response.status().as_u16() < 400 {
            reply::set(&mut response, HeaderName::from_static("x-amz-request-charged"), "requester");
        }
        if seen.decided && seen.wanted.is_empty() {
            return response;
        }
        let site = host_bucket(&host(&parts.headers, &parts.uri), &s3.config().websites).map(str::to_owned);
        if !seen.decided {
            // It was refused before: whoever logs the bucket wants to know that too.
            seen.wanted.extend(unseen(s3, parts, site.clone()).await);
        }
        if seen.wanted.is_empty() {
            return response;
        }
        let told = Told {
            request_id,
            status: response.status().as_u16(),
            error: response.extensions().get::<ErrorCode>().map(|code| code.0),
            size: if seen.sized { object_size(parts, &response) } else { None },
            is_site: site.is_some(),
        };
        match self.records(s3, parts, seen, told).await {
            Ok(records) => {
                Pending { log: s3.access_log().clone(), records, at: self.at, _hold: self.hold }.watch(response)
            }
            Err(error) => {
                tracing::debug!(%error, "a request was not recorded");
                response
            }
        }
    }

    async fn records(
        &self,
        s3: &S3,
        parts: &Parts,
        seen: Seen,
        told: Told<'_>,
    ) -> Result<Vec<(Bucket, Record)>, Error> {
        let (engine, log) = (s3.engine(), s3.access_log());
        let header =
            |name: HeaderName| parts.headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let version = match parts.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        };
        let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), http::uri::PathAndQuery::as_str);
        let requester = match seen.caller {
            None => None,
            Some((account, _, true)) => Some(log.canonical(engine, &account).await?),
            Some((_, arn, false)) => Some(arn),
        };
        let waited = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let common = Record {
            time_ms: self.time_ms,
            address: parts.extensions.get::<Peer>().map(|Peer(ip)| ip.to_canonical().to_string()),
            requester,
            request_id: told.request_id.to_owned(),
            uri: Some(first_line(parts.method.as_str(), path, version)),
            status: Some(told.status),
            error: told.error.map(Cow::Borrowed),
            // When the last byte of a body came is not known.
            turn_around_ms: (!has_body(&parts.headers)).then_some(waited),
            referer: header(REFERER),
            agent: header(USER_AGENT),
            version: seen.version,
            host_id: Some(told.request_id.to_owned()),
            signature: seen.signature,
            authentication: seen.authentication,
            host: header(HOST).or_else(|| parts.uri.authority().map(ToString::to_string)),
            size: told.size,
            acl_required: seen.by_list,
            ..Record::default()
        };
        let mut records = Vec::with_capacity(seen.wanted.len() + seen.batch.len());
        for Wanted { bucket, operation, key } in seen.wanted {
            let owner = log.canonical(engine, &bucket.account).await?;
            let operation = match operation.strip_prefix("REST.").filter(|_| told.is_site) {
                Some(rest) => format!("WEBSITE.{rest}").into(),
                None => operation,
            };
            let of_bucket = Record { owner, bucket: bucket.name.clone(), ..common.clone() };
            for BatchKey { key, version, error, status } in &seen.batch {
                let record = Record {
                    operation: "BATCH.DELETE.OBJECT".into(),
                    key: Some(key.clone()),
                    version: version.clone(),
                    status: Some(*status),
                    error: error.map(Cow::Borrowed),
                    turn_around_ms: None,
                    ..of_bucket.clone()
                };
                records.push((bucket.clone(), record));
            }
            records.push((bucket, Record { operation, key, ..of_bucket }));
        }
        Ok(records)
    }
}

impl Trace {
    /// Of a request, where one is kept.
    pub(crate) fn of(parts: &Parts) -> Option<&Self> {
        parts.extensions.get()
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a request whose buckets are known and that is about to be decided. (Of a visit to a web site the first page
    /// that is looked for.)
    pub(crate) fn note(&self, call: &Call) {
        let asked = &call.asked;
        let operation = asked.operation();
        let key = |key: &str| Some(key.to_owned()).filter(|key| !key.is_empty());
        let mut wanted = Vec::new();
        if let Some(bucket) = call.held.first().filter(|bucket| super::of(bucket).is_some()) {
            wanted.push(Wanted { bucket: bucket.clone(), operation: names::name(operation), key: key(&asked.key) });
        }
        if let (Some(source), Some(bucket)) = (&asked.source, call.held.get(1))
            && super::of(bucket).is_some()
        {
            let operation = names::of_source(operation);
            wanted.push(Wanted { bucket: bucket.clone(), operation, key: key(&source.key) });
        }
        self.seen(|seen| {
            if std::mem::replace(&mut seen.decided, true) || wanted.is_empty() {
                return;
            }
            seen.wanted = wanted;
            let caller = &call.caller;
            let by_account = caller.arn.ends_with(":root");
            seen.caller = (!caller.is_anonymous()).then(|| (caller.account.clone(), caller.arn.clone(), by_account));
            if let Some(claim) = &call.access.claim {
                seen.signature = Some(match claim.version {
                    SignatureVersion::V2 => "SigV2",
                    SignatureVersion::V4 => "SigV4",
                });
                seen.authentication = match claim.placement {
                    Placement::Header => Some("AuthHeader"),
                    Placement::Query { .. } => Some("QueryString"),
                    // AWS has no word for it in its format.
                    Placement::Form => None,
                };
            }
            seen.version = asked.query.value("versionId").map(str::to_owned);
            seen.sized = matches!(
                operation,
                Operation::GetObject | Operation::HeadObject | Operation::PutObject | Operation::UploadPart
            );
        });
    }

    /// Whether a record is wanted.
    pub(crate) fn is_wanted(&self) -> bool {
        self.seen(|seen| !seen.wanted.is_empty())
    }

    /// Notes what became of a key of a batch.
    pub(crate) fn batch(&self, key: &str, version: Option<&str>, error: Option<(&'static str, u16)>) {
        let (error, status) = error.map_or((None, 204), |(code, status)| (Some(code), status));
        let done = BatchKey { key: key.to_owned(), version: version.map(str::to_owned), error, status };
        self.seen(|seen| seen.batch.push(done));
    }

    /// Notes that it took an access control list to allow the request.
    pub(crate) fn by_list(&self) {
        self.seen(|seen| seen.by_list = true);
    }

    /// Notes that the requester pays.
    pub(crate) fn charge(&self) {
        self.seen(|seen| seen.charged = true);
    }
}

/// Whether a request comes with a body.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || text(headers, CONTENT_LENGTH.as_str()).is_some_and(|length| length != "0")
}

/// The size of the object that was read or written.
fn object_size(parts: &Parts, response: &Reply) -> Option<u64> {
    if response.status().as_u16() >= 300 {
        return None;
    }
    if parts.method == Method::PUT {
        let headers = &parts.headers;
        let length = text(headers, "x-amz-decoded-content-length").or_else(|| text(headers, CONTENT_LENGTH.as_str()));
        return length?.parse().ok();
    }
    let range = text(response.headers(), CONTENT_RANGE.as_str()).and_then(|range| range.rsplit('/').next());
    range.or_else(|| text(response.headers(), CONTENT_LENGTH.as_str()))?.parse().ok()
}

/// The bucket of a request that was refused before it was decided, if it is logged.
async fn unseen(s3: &S3, parts: &Parts, site: Option<String>) -> Option<Wanted> {
    let domains = &s3.config().domains;
    let is_site = site.is_some();
    let (name, key) = match site {
        Some(site) => (site, Some(parts.uri.path().trim_start_matches('/').to_owned())),
        None => match Target::of(parts, domains).ok()? {
            Target::Service => return None,
            Target::Bucket(bucket) => (bucket, None),
            Target::Object(bucket, key) => (bucket, Some(key)),
        },
    };
    let key = key.filter(|key| !key.is_empty());
    let bucket = s3.engine().bucket(&name).await.ok().filter(|bucket| super::of(bucket).is_some())?;
    let plain = || {
        let resource = if key.is_some() || is_site { "OBJECT" } else { "BUCKET" };
        Cow::Owned(format!("REST.{}.{resource}", parts.method))
    };
    let operation = match Asked::read(parts, domains) {
        _ if is_site => plain(),
        _ if parts.method == Method::OPTIONS => "REST.OPTIONS.PREFLIGHT".into(),
        Ok(asked) if asked.bucket == name => names::name(asked.operation()),
        _ => plain(),
    };
    Some(Wanted { bucket, operation, key })
}

/// Records that are made when the reply has been sent, or given up.
struct Pending {
    log: AccessLog,
    records: Vec<(Bucket, Record)>,
    at: Instant,
    _hold: Arc<()>,
}

impl Pending {
    fn watch(mut self, response: Reply) -> Reply {
        let (mut parts, body) = response.into_parts();
        // What is watched does not tell its length by itself.
        if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
            parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        let body = body.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, bytes::Bytes::len);
            let bytes = u64::try_from(bytes).unwrap_or_default();
            for (_, record) in self.records.iter_mut().filter(|(_, record)| record.operation != "BATCH.DELETE.OBJECT") {
                record.sent += bytes;
            }
            frame
        });
        Reply::from_parts(parts, Body::new(body))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let total = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        for (bucket, mut record) in self.records.drain(..) {
            record.total_ms = Some(total);
            if let Some(logging) = super::of(&bucket) {
                self.log.add(&bucket, logging, &record);
            }
        }
    }
}
