//! Web sites: what hosts below the web sites' domains answer. They speak HTML, take GET and HEAD only, and show what
//! anybody may read: every object is read as nobody in particular, through the same decision as any other request.

mod page;

use crate::asked::Asked;
use crate::auth::Caller;
use crate::authz::Access;
use crate::call::{Call, Known};
use crate::cors;
use crate::dispatch::dispatch;
use crate::error::engine;
use crate::headers::WEBSITE_REDIRECT;
use crate::operation::Operation;
use crate::ops::config;
use crate::reply::{self, Reply};
use crate::service::S3;
use axum::body::Body;
use http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LOCATION, RANGE,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use mallee_awswire::server::{host, host_bucket};
use mallee_awswire::sigv4::{Payload, uri_encode};
use mallee_awswire::{ApiError, Code};
use mallee_s3_config::{Pages, RoutingRule, Website};
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// Headers of a request that have a say in what is read.
const PASSED: [HeaderName; 6] = [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// A request to a web site.
struct Visit {
    s3: S3,
    head: Arc<Parts>,
    bucket: String,
    key: String,
}

/// What a visit came to when it is no page of an object.
enum Outcome {
    /// An object.
    Shown(Reply),
    /// It goes elsewhere.
    Sent(StatusCode, String),
    /// An error, and the outcome of the attempt to show the error document for it.
    Failed(ApiError, Option<Result<Reply, ApiError>>),
}

/// Answers a request to a web site's host; none if its host is none.
pub(crate) async fn answer(s3: &S3, head: &Arc<Parts>, request_id: &str) -> Option<Reply> {
    let name = host(&head.headers, &head.uri);
    let site = host_bucket(&name, &s3.config().websites)?.to_owned();
    let path = head.uri.path();
    let is_head = head.method == Method::HEAD;
    let key = percent_decode_str(path.strip_prefix('/').unwrap_or(path)).decode_utf8();
    let outcome = match key {
        _ if head.method != Method::GET && !is_head => {
            let error = Code::MethodNotAllowed.error();
            Outcome::Failed(error.field("Method", head.method.as_str()).field("ResourceType", "OBJECT"), None)
        }
        Err(_) => Outcome::Failed(Code::InvalidUri.error(), None),
        Ok(key) => {
            let visit = Visit { s3: s3.clone(), head: head.clone(), bucket: site.clone(), key: key.into_owned() };
            visit.outcome().await.unwrap_or_else(|error| Outcome::Failed(error, None))
        }
    };
    let mut reply = match outcome {
        Outcome::Shown(reply) => reply,
        Outcome::Sent(status, location) => {
            let mut reply = reply::empty(status);
            reply::set(&mut reply, LOCATION, &location);
            reply
        }
        Outcome::Failed(error, document) => page::error(&error, document, request_id, is_head),
    };
    cors::decorate(s3, head, &site, &mut reply).await;
    Some(reply)
}

impl Visit {
    async fn outcome(&self) -> Result<Outcome, ApiError> {
        let bucket = self.s3.engine().bucket(&self.bucket).await;
        let bucket = bucket.map_err(|error| engine(error).field("BucketName", self.bucket.clone()))?;
        let website = config::of::<Website>(&bucket)?;
        let absent = || Code::NoSuchWebsiteConfiguration.error().field("BucketName", self.bucket.clone());
        let pages = match website.ok_or_else(absent)? {
            Website::Elsewhere { host, protocol } => {
                let mut to = self.address(Some(&host), protocol.as_deref(), &self.key);
                if let Some(query) = self.head.uri.query() {
                    to = format!("{to}?{query}");
                }
                return Ok(Outcome::Sent(StatusCode::MOVED_PERMANENTLY, to));
            }
            Website::Pages(pages) => pages,
        };
        if let Some(rule) = pages.rules.iter().find(|rule| rule.fits(&self.key, None)) {
            return Ok(self.follow(rule));
        }
        let error = match self.show(&pages).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        if let Some(rule) = pages.rules.iter().find(|rule| rule.fits(&self.key, Some(error.status()))) {
            return Ok(self.follow(rule));
        }
        // The error document is for what the visitor did; another failing read would say nothing more.
        let document = match &pages.error {
            _ if error.status() >= 500 => None,
            Some(key) => Some(self.read(key, HeaderMap::new()).await),
            None => None,
        };
        Ok(Outcome::Failed(error, document))
    }

    /// The object, or why there is none to show.
    async fn show(&self, pages: &Pages) -> Result<Outcome, ApiError> {
        let mut headers = HeaderMap::new();
        for name in PASSED {
            if let Some(value) = self.head.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let is_folder = self.key.is_empty() || self.key.ends_with('/');
        let key = if is_folder { format!("{}{}", self.key, pages.index) } else { self.key.clone() };
        let error = match self.read(&key, headers).await {
            Ok(reply) => {
                let elsewhere =
                    reply.headers().get(WEBSITE_REDIRECT).and_then(|to| to.to_str().ok()).map(str::to_owned);
                let sent = |to| Outcome::Sent(StatusCode::MOVED_PERMANENTLY, to);
                return Ok(elsewhere.map_or_else(|| Outcome::Shown(reply), sent));
            }
            Err(error) => error,
        };
        // A name without the slash at its end, of what is shown as a folder.
        let missing = matches!(error.code(), Code::NoSuchKey | Code::AccessDenied);
        if missing && !is_folder && self.read(&format!("{key}/{}", pages.index), HeaderMap::new()).await.is_ok() {
            return Ok(Outcome::Sent(StatusCode::FOUND, format!("/{}/", encoded(&self.key))));
        }
        Err(error)
    }

    /// Reads an object as nobody in particular.
    async fn read(&self, key: &str, headers: HeaderMap) -> Result<Reply, ApiError> {
        let asked = Asked::of_object(Operation::GetObject, self.bucket.clone(), key.to_owned(), &headers);
        let known = Known {
            caller: Caller::anonymous(),
            region: self.s3.config().region.clone(),
            headers,
            asked: Arc::new(asked),
            payload: Payload::Unsigned,
            head: self.head.method == Method::HEAD,
            access: Arc::new(Access { identity: self.s3.nobody(), head: self.head.clone(), claim: None }),
        };
        let mut call = Call::new(self.s3.clone(), known, Body::empty());
        call.authorize().await?;
        dispatch(call).await
    }

    fn follow(&self, rule: &RoutingRule) -> Outcome {
        let status = rule.to.status.and_then(|status| StatusCode::from_u16(status).ok());
        let key = rule.new_key(&self.key);
        let to = match (&rule.to.host, &rule.to.protocol) {
            // A path is enough, and right whatever host and protocol a door before this one has.
            (None, None) => format!("/{}", encoded(&key)),
            (host, protocol) => self.address(host.as_deref(), protocol.as_deref(), &key),
        };
        Outcome::Sent(status.unwrap_or(StatusCode::MOVED_PERMANENTLY), to)
    }

    fn address(&self, to: Option<&str>, protocol: Option<&str>, key: &str) -> String {
        let own = self.head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        format!("{}://{}/{}", protocol.unwrap_or("http"), to.unwrap_or(own), encoded(key))
    }
}

/// A key as what follows the first slash of a path; not as a host, which is what follows two.
fn encoded(key: &str) -> String {
    let (start, key) = key.strip_prefix('/').map_or(("", key), |rest| ("%2F", rest));
    let mut path = start.to_owned();
    uri_encode(&mut path, key.as_bytes(), true);
    path
}
