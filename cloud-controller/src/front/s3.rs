//! S3 behind the one port: what the caller's policies say is decided here, before Walrus has the request. The request is
//! read once, by S3's own reader; what was decided about is what is run.

use super::{Front, facts, respond, serve};
use crate::pass;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use mallee_app::OpContext;
use mallee_app::authorize::Ask;
use mallee_app::quotas::storage::{Storage, StorageLimit};
use mallee_awswire::server::{self, Service};
use mallee_awswire::sigv4::{Body as SignedBody, Claim, SignedRequest};
use mallee_awswire::{ApiError, Flavour};
use mallee_s3::{Asked, Limit, Limited as What, Limits, Operation, Right};
use std::net::IpAddr;
use std::sync::Arc;

impl Front {
    /// One S3 request. Who has no valid signature is left to Walrus, which says so in S3's words.
    pub(super) async fn object(&self, request: Request) -> Response {
        let (mut parts, mut body) = request.into_parts();
        parts.headers.remove(pass::HEADER);
        let signed = SignedRequest::new(&parts, SignedBody::Stream, &Service::S3);
        if let Ok(Some(caller)) = self.verifier.verify(&signed, self.cloud.clock().now()).await {
            let id = self.request_id();
            let facts = facts::of(&caller.claim, &parts.headers, peer(&parts));
            let cx = OpContext::new(caller.principal, id.as_str()).with_facts(facts);
            match self.decide(&cx, &caller.claim, &mut parts, body).await {
                Ok(read) => body = read,
                Err(error) => return respond(server::error_response(&error, Flavour::S3, &id, parts.uri.path())),
            }
        }
        self.s3.call(Request::from_parts(parts, body)).await
    }

    /// Grants a request, or says why not. Gives its body back.
    async fn decide(&self, cx: &OpContext, claim: &Claim, parts: &mut Parts, body: Body) -> Result<Body, ApiError> {
        let mut asked = Asked::read(parts, self.s3.domains())?;
        let mut body = body;
        if !cx.is_unrestricted() {
            (asked, body) = asked.with_body(body).await?;
            let rights = asked.rights();
            for Right { action, resource } in &rights {
                self.cloud.require(cx, &Ask { action, resource, ..Ask::default() }).await?;
            }
            parts.headers.extend(self.pass(claim, &rights));
        }
        parts.extensions.extend(self.limits(cx, &asked).await?);
        asked.grant(parts);
        Ok(body)
    }

    /// The quotas of a request that makes a bucket or an object.
    async fn limits(&self, cx: &OpContext, asked: &Asked) -> Result<http::Extensions, ApiError> {
        let mut extensions = http::Extensions::new();
        let action = match asked.operation() {
            Operation::CreateBucket => "s3:CreateBucket",
            Operation::PutObject
            | Operation::CopyObject
            | Operation::CreateMultipartUpload
            | Operation::UploadPart
            | Operation::UploadPartCopy
            | Operation::CompleteMultipartUpload => "s3:PutObject",
            _ => return Ok(extensions),
        };
        let found = self.cloud.storage_limits(cx, action, &asked.resource()).await?;
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
        let limits = Limits { creator: found.creator, list: found.limits.into_iter().map(limit).collect() };
        extensions.insert(Arc::new(limits));
        Ok(extensions)
    }

    /// Tells another process what was decided here; without it it asks again.
    fn pass(&self, claim: &Claim, rights: &[Right]) -> Option<(HeaderName, HeaderValue)> {
        if !self.s3.is_remote() {
            return None;
        }
        let (store, now_ms) = (self.cloud.store(), self.cloud.clock().now_ms());
        let rights = pass::digest(rights.iter().map(|right| (right.action, right.resource.as_str())));
        let made = pass::issue(store, &claim.access_key_id, &claim.signature, &rights, now_ms).ok()?;
        Some((HeaderName::from_static(pass::HEADER), HeaderValue::from_str(&made).ok()?))
    }
}

/// The address that a request came from, as the server of [`serve`](super::serve()) noted it.
#[must_use]
pub fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<serve::Peer>().map(|peer| peer.0)
}
