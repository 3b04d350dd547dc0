//! S3 behind the one port: what the caller's policies say is decided here, before Walrus has the request. The request is
//! read once, by S3's own reader; what was decided about is what is run.

use super::{Front, facts, respond};
use crate::pass;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use mallee_app::authorize::Ask;
use mallee_app::quotas::storage::{Storage, StorageLimit};
use mallee_app::{Cloud, OpContext};
use mallee_awswire::server::{self, Service};
use mallee_awswire::sigv4::{Body as SignedBody, Claim, SignedRequest};
use mallee_awswire::{ApiError, Flavour};
use mallee_s3::{Asked, Limit, Limited as What, Limits, Operation, Right};
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
        let id = self.request_id();
        let refuse = |error: &ApiError| respond(server::error_response(error, Flavour::S3, &id, parts.uri.path()));
        let caller = match verified {
            Ok(caller) => caller,
            Err(fault) => return refuse(&fault.to_api(Flavour::S3)),
        };
        if let Some(caller) = caller {
            let facts = facts::of(&caller.claim, &parts.headers, peer(&parts));
            let cx = OpContext::new(caller.principal, id.as_str()).with_facts(facts);
            match self.decide(&cx, &caller.claim, &mut parts, body).await {
                Ok(read) => body = read,
                Err(error) => return respond(server::error_response(&error, Flavour::S3, &id, parts.uri.path())),
            }
        }
        self.s3.call(Request::from_parts(parts, body)).await
    }

    /// Grants a request, or says why not, and lets Walrus know which quotas bind it. Gives its body back.
    async fn decide(&self, cx: &OpContext, claim: &Claim, parts: &mut Parts, body: Body) -> Result<Body, ApiError> {
        let mut asked = Asked::read(parts, self.s3.domains())?;
        let mut body = body;
        if !cx.is_unrestricted() {
            (asked, body) = asked.with_body(body).await?;
            for Right { action, resource } in &asked.rights() {
                self.cloud.require(cx, &Ask { action, resource, ..Ask::default() }).await?;
            }
        }
        let limits = match limited(asked.operation()) {
            Some(action) => Some(limits_of(&self.cloud, cx, action, &asked.resource()).await?),
            None => None,
        };
        if self.s3.is_remote() {
            let limits = limits.as_ref().map(limits_text).transpose()?;
            parts.headers.extend(self.pass(claim, &asked.rights(), &limits.unwrap_or_default()));
        } else if let Some(limits) = limits {
            parts.extensions.insert(Arc::new(limits));
        }
        asked.grant(parts);
        Ok(body)
    }

    /// Tells another process what was decided here; without it it asks again.
    fn pass(&self, claim: &Claim, rights: &[Right], limits: &str) -> Option<(HeaderName, HeaderValue)> {
        let (store, now_ms) = (self.cloud.store(), self.cloud.clock().now_ms());
        let rights = pass::digest(rights.iter().map(|right| (right.action, right.resource.as_str())));
        let made = pass::issue(store, &claim.access_key_id, &claim.signature, &rights, limits, now_ms).ok()?;
        Some((HeaderName::from_static(pass::HEADER), HeaderValue::from_str(&made).ok()?))
    }
}

const CREATE_BUCKET: &str = "s3:CreateBucket";
const PUT_OBJECT: &str = "s3:PutObject";

/// The action whose quotas bind an operation, if any do: it makes a bucket or an object.
#[must_use]
pub const fn limited(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::CreateBucket => Some(CREATE_BUCKET),
        Operation::PutObject
        | Operation::CopyObject
        | Operation::CreateMultipartUpload
        | Operation::UploadPart
        | Operation::UploadPartCopy
        | Operation::CompleteMultipartUpload => Some(PUT_OBJECT),
        _ => None,
    }
}

/// Whether requests of this action make something that quotas count.
pub(crate) fn is_limited(action: &str) -> bool {
    [CREATE_BUCKET, PUT_OBJECT].contains(&action)
}

/// The quotas of a request that makes a bucket or an object.
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
        origin: limit.origin,
    };
    Ok(Limits { creator: found.creator, list: found.limits.into_iter().map(limit).collect() })
}

/// Quotas as another process reads them.
pub(crate) fn limits_text(limits: &Limits) -> Result<String, ApiError> {
    serde_json::to_string(limits).map_err(ApiError::internal)
}

/// The address that a request came from, as [`mallee_serve::serve`] noted it.
#[must_use]
pub fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<mallee_serve::Peer>().map(|peer| peer.0)
}
