//! Pages of other web sites: the question that browsers ask before (`OPTIONS`), and what replies tell them
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html>). Neither decides who may what: a page that may ask
//! is answered as anybody is.

use crate::error::engine;
use crate::headers::text;
use crate::ops::config;
use crate::reply::{self, Reply};
use crate::service::S3;
use crate::target::Target;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderValue, VARY,
};
use http::request::Parts;
use http::{Method, StatusCode};
use mallee_awswire::{ApiError, Code};
use mallee_s3_config::{Cors, CorsRule};

const ORIGIN: &str = "origin";
const METHOD: &str = "access-control-request-method";
const HEADERS: &str = "access-control-request-headers";
/// What the answer depends on, for caches on the way.
const VARIES: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
/// Headers that one question may name.
const ASKED_HEADERS_MAX: usize = 200;
/// AWS's words, with its spelling.
const NOT_ALLOWED: &str = "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, \
     request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the \
     resource's CORS spec.";

/// What a request says of the page that it comes from.
struct Page<'a> {
    origin: &'a str,
    method: &'a str,
    headers: Vec<&'a str>,
}

impl<'a> Page<'a> {
    /// Of a request from a page; none if it is from none.
    fn of(parts: &'a Parts) -> Option<Self> {
        let origin = text(&parts.headers, ORIGIN).filter(|origin| !origin.is_empty())?;
        let method = text(&parts.headers, METHOD).unwrap_or(parts.method.as_str());
        let names = text(&parts.headers, HEADERS).unwrap_or_default().split(',').map(str::trim);
        let headers: Vec<&str> = names.filter(|name| !name.is_empty()).take(ASKED_HEADERS_MAX + 1).collect();
        (headers.len() <= ASKED_HEADERS_MAX).then_some(Self { origin, method, headers })
    }

    fn rule<'r>(&self, cors: &'r Cors) -> Option<&'r CorsRule> {
        cors.rules.iter().find(|rule| rule.allows(self.origin, self.method, &self.headers))
    }

    /// Tells what a rule allows.
    fn tell(&self, rule: &CorsRule, reply: &mut Reply) {
        if rule.is_for_all() {
            reply::set(reply, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        } else {
            reply::set(reply, ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
            reply::set(reply, ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        reply::set(reply, ACCESS_CONTROL_ALLOW_METHODS, &rule.methods.join(", "));
        if !self.headers.is_empty() {
            reply::set(reply, ACCESS_CONTROL_ALLOW_HEADERS, &self.headers.join(", ").to_ascii_lowercase());
        }
        if !rule.expose.is_empty() {
            reply::set(reply, ACCESS_CONTROL_EXPOSE_HEADERS, &rule.expose.join(", "));
        }
        if let Some(seconds) = rule.max_age {
            reply::set(reply, ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
        }
    }
}

/// The bucket of a request, whatever it asks there.
fn bucket_of(parts: &Parts, domains: &[String]) -> Result<Option<String>, ApiError> {
    Ok(match Target::of(parts, domains)? {
        Target::Service => None,
        Target::Bucket(bucket) | Target::Object(bucket, _) => Some(bucket),
    })
}

/// Answers a browser that asks whether a page may. It needs no signature.
///
/// # Errors
/// `BadRequest` when it does not say enough, `AccessForbidden` when the page may not.
pub(crate) async fn preflight(s3: &S3, parts: &Parts) -> Result<Reply, ApiError> {
    if text(&parts.headers, ORIGIN).is_none_or(str::is_empty) {
        return Err(Code::BadRequest.message("Insufficient information. Origin request header needed."));
    }
    let asked = text(&parts.headers, METHOD).filter(|method| !method.is_empty());
    if asked.is_none_or(|method| Method::from_bytes(method.as_bytes()).is_err()) {
        let asked = mallee_awswire::texts::clip(asked.unwrap_or("null")).into_owned();
        return Err(Code::BadRequest.message(format!("Invalid Access-Control-Request-Method: {asked}")));
    }
    let kind = match Target::of(parts, &s3.config().domains)? {
        Target::Object(..) => "OBJECT",
        Target::Bucket(_) | Target::Service => "BUCKET",
    };
    let forbidden = |text: &'static str| {
        let method = asked.unwrap_or_default();
        Code::AccessForbidden.message(text).field("Method", method).field("ResourceType", kind)
    };
    let Some(name) = bucket_of(parts, &s3.config().domains)? else {
        return Err(forbidden("CORSResponse: Bucket not found"));
    };
    let bucket = s3.engine().bucket(&name).await.map_err(|error| match engine(error) {
        error if error.code() == Code::NoSuchBucket => forbidden("CORSResponse: Bucket not found"),
        error => error,
    })?;
    let Some(cors) = config::of::<Cors>(&bucket)? else {
        return Err(forbidden("CORSResponse: CORS is not enabled for this bucket."));
    };
    let page = Page::of(parts).ok_or_else(|| forbidden(NOT_ALLOWED))?;
    let rule = page.rule(&cors).ok_or_else(|| forbidden(NOT_ALLOWED))?;
    let mut reply = reply::empty(StatusCode::OK);
    page.tell(rule, &mut reply);
    vary(&mut reply);
    Ok(reply)
}

/// Adds to the reply to a request of the API, be it an error, what its page may see of it.
pub(crate) async fn decorate_api(s3: &S3, parts: &Parts, reply: &mut Reply) {
    if !parts.headers.contains_key(ORIGIN) {
        return;
    }
    if let Ok(Some(bucket)) = bucket_of(parts, &s3.config().domains) {
        decorate(s3, parts, &bucket, reply).await;
    }
}

/// Adds to the reply to a request about a bucket, be it an error, what its page may see of it.
pub(crate) async fn decorate(s3: &S3, parts: &Parts, bucket: &str, reply: &mut Reply) {
    let Some(page) = Page::of(parts).filter(|_| parts.method != Method::OPTIONS) else { return };
    let Ok(bucket) = s3.engine().bucket(bucket).await else { return };
    // What is kept and cannot be read is told to whoever asks for it.
    let Ok(Some(cors)) = config::of::<Cors>(&bucket) else { return };
    if let Some(rule) = page.rule(&cors) {
        page.tell(rule, reply);
    }
    vary(reply);
}

fn vary(reply: &mut Reply) {
    reply.headers_mut().append(VARY, HeaderValue::from_static(VARIES));
}
