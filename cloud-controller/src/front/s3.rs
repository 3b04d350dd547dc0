//! S3 behind the one port: what the caller's policies say is decided here, before Walrus has the request.

use super::{Front, facts, respond, serve};
use crate::pass;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::Method;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Limited};

use mallee_app::authorize::Ask;
use mallee_app::quotas::storage::{Storage, StorageLimit};
use mallee_app::{Cloud, OpContext};
pub use mallee_authz::s3::Ask as Needed;
use mallee_authz::s3::{Asked, asks};
use mallee_awswire::server::{self, Service};
use mallee_awswire::sigv4::{Body as SignedBody, Claim, SignedRequest};
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Code, Flavour};
use mallee_s3::{DELETE_XML_BYTES_MAX, Limit, Limited as What, Limits, Query, Target};
use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use std::sync::Arc;

impl Front {
    /// One S3 request. Who has no signature is left to Walrus, which says so in S3's words. Who has one that is not right
    /// goes no further: Walrus looks again, a moment later, when it may have become right (clocks move, and what did not
    /// answer does), and asks no policy.
    pub(super) async fn object(&self, request: Request) -> Response {
        let (mut parts, mut body) = request.into_parts();
        parts.headers.remove(pass::HEADER);
        let signed = SignedRequest::new(&parts, SignedBody::Stream, &Service::S3);
        let verified = self.verifier.verify(&signed, self.cloud.clock().now()).await;
        let caller = match verified {
            Ok(caller) => caller,
            Err(fault) => {
                let (id, error) = (self.request_id(), fault.to_api(Flavour::S3));
                return respond(server::error_response(&error, Flavour::S3, &id, parts.uri.path()));
            }
        };
        if let Some(caller) = caller {
            let peer = peer(&parts);
            let id = self.request_id();
            let cx = OpContext::new(caller.principal, id.as_str()).with_facts(facts::of(
                &caller.claim,
                &parts.headers,
                peer,
            ));
            if !cx.is_unrestricted() {
                match self.allowed(&cx, &parts, body).await {
                    Ok(read) => {
                        body = read;
                        parts.headers.extend(self.pass(&caller.claim));
                    }
                    Err(error) => return respond(server::error_response(&error, Flavour::S3, &id, parts.uri.path())),
                }
            }
            match self.limits(&cx, &parts).await {
                Ok(limits) => {
                    parts.extensions.extend(limits);
                }
                Err(error) => return respond(server::error_response(&error, Flavour::S3, &id, parts.uri.path())),
            }
        }
        self.s3.call(Request::from_parts(parts, body)).await
    }

    /// The quotas of a request that makes a bucket or an object.
    async fn limits(&self, cx: &OpContext, parts: &Parts) -> Result<http::Extensions, ApiError> {
        let mut extensions = http::Extensions::new();
        if let Some(Needed { action, resource }) = made(parts)? {
            extensions.insert(Arc::new(limits_of(&self.cloud, cx, action, &resource).await?));
        }
        Ok(extensions)
    }

    /// Tells another process what was decided here; without it it asks again.
    fn pass(&self, claim: &Claim) -> Option<(HeaderName, HeaderValue)> {
        if !self.s3.is_remote() {
            return None;
        }
        let (store, now_ms) = (self.cloud.store(), self.cloud.clock().now_ms());
        let made = pass::issue(store, &claim.access_key_id, &claim.signature, now_ms).ok()?;
        Some((HeaderName::from_static(pass::HEADER), HeaderValue::from_str(&made).ok()?))
    }

    /// Asks what the request needs; gives its body back.
    async fn allowed(&self, cx: &OpContext, parts: &Parts, body: Body) -> Result<Body, ApiError> {
        let (needed, body) = needed(parts, body).await?;
        for Needed { action, resource } in &needed {
            self.cloud.require(cx, &Ask { action, resource, ..Ask::default() }).await?;
        }
        Ok(body)
    }
}

/// What a request may make, a bucket or an object: the action whose quotas hold, and what on.
///
/// # Errors
/// What S3 answers to a request that does not read.
pub fn made(parts: &Parts) -> Result<Option<Needed>, ApiError> {
    if !matches!(parts.method, Method::PUT | Method::POST) {
        return Ok(None);
    }
    let (action, resource) = match Target::of(parts, &[])? {
        Target::Service => return Ok(None),
        Target::Bucket(bucket) => ("s3:CreateBucket", format!("arn:aws:s3:::{bucket}")),
        Target::Object(bucket, key) => ("s3:PutObject", format!("arn:aws:s3:::{bucket}/{key}")),
    };
    Ok(Some(Needed { action, resource }))
}

/// The quotas of a caller for one of these actions.
pub(crate) async fn limits_of(cloud: &Cloud, cx: &OpContext, action: &str, resource: &str) -> Result<Limits, ApiError> {
    let found = cloud.storage_limits(cx, action, resource).await?;
    let limit = |limit: StorageLimit| Limit {
        what: match limit.what {
            Storage::Buckets => What::Buckets,
            Storage::BucketObjects => What::BucketObjects,
            Storage::BucketBytes => What::BucketBytes,
            Storage::TotalBytes => What::TotalBytes,
        },
        max: limit.max,
        own: limit.own,
        // It travels in a header.
        origin: limit.origin.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect(),
    };
    Ok(Limits { creator: found.creator, list: found.limits.into_iter().map(limit).collect() })
}

/// The actions that an S3 request needs and what on; and its body, which is read for it where it must be.
///
/// # Errors
/// What S3 answers to a request that does not read.
pub async fn needed(parts: &Parts, mut body: Body) -> Result<(Vec<Needed>, Body), ApiError> {
    let query = Query::read(parts.uri.query().unwrap_or_default())?;
    let (bucket, key) = match Target::of(parts, &[])? {
        Target::Service => (None, None),
        Target::Bucket(bucket) => (Some(bucket), None),
        Target::Object(bucket, key) => (Some(bucket), Some(key)),
    };
    let source = copy_source(parts)?;
    let method = parts.method.as_str();
    let asked = Asked { method, bucket: bucket.as_deref(), key: key.as_deref(), copy_source: source.as_deref() };
    let mut needed = asks(&asked, |name| query.has(name));
    if let (Some(bucket), None, "POST", true) = (&bucket, &key, method, query.has("delete")) {
        let (keys, read) = keys_to_delete(body).await?;
        body = read;
        let arn = |key: String| format!("arn:aws:s3:::{bucket}/{key}");
        needed = keys.into_iter().map(|key| Needed { action: "s3:DeleteObject", resource: arn(key) }).collect();
    }
    Ok((needed, body))
}

/// The address that a request came from, as the server of [`serve`](super::serve()) noted it.
#[must_use]
pub fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<serve::Peer>().map(|peer| peer.0)
}

/// Bucket and key of `x-amz-copy-source`, without its version.
fn copy_source(parts: &Parts) -> Result<Option<String>, ApiError> {
    let Some(value) = parts.headers.get("x-amz-copy-source") else { return Ok(None) };
    let invalid = || Code::InvalidUri.error();
    let text = value.to_str().map_err(|_| invalid())?.split('?').next().unwrap_or_default();
    let text = percent_decode_str(text).decode_utf8().map_err(|_| invalid())?;
    Ok(Some(text.trim_start_matches('/').to_owned()))
}

/// The keys that a DeleteObjects names, and its body once more: each of them is a question of its own.
async fn keys_to_delete(body: Body) -> Result<(Vec<String>, Body), ApiError> {
    let malformed = || Code::MalformedXml.error();
    let bytes = Limited::new(body, DELETE_XML_BYTES_MAX).collect().await.map_err(|_| malformed())?.to_bytes();
    let root = Element::parse(&bytes, XmlLimits::bytes(DELETE_XML_BYTES_MAX)).map_err(|_| malformed())?;
    let objects = root.children.iter().filter(|child| child.name == "Object");
    let keys = objects.flat_map(|object| object.children.iter().filter(|child| child.name == "Key"));
    Ok((keys.map(|key| key.text.clone()).collect(), Body::from(bytes)))
}
