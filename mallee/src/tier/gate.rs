//! Before the S3 of a Walrus of its own: what the policies of whoever signed a request say and which quotas bind
//! what it writes, is asked of the cloud controller, for requests that come here directly as for those that come through
//! its port. Who has no signature is left to Walrus, which says so in S3's words. Who has one that is not right goes no
//! further: Walrus looks again, a moment later, when it may have become right (clocks move, and what did not answer
//! does), and asks no policy.

use super::directory::CloudLink;
use super::keys::{DirectoryKeys, Signer};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use http::header::{REFERER, USER_AGENT};
use http::request::Parts;
use mallee_awswire::server::{self, Service};
use mallee_awswire::sigv4::{Authenticated, Body as SignedBody, Placement, SignatureVersion, SignedRequest, Verifier};
use mallee_awswire::{ApiError, Code, Flavour};
use mallee_cloud_controller::front::s3::{limited, peer};
use mallee_cloud_controller::pass;
use mallee_proto::Kind;
use mallee_proto::v1::{AuthorizeS3Request, S3Question};
use mallee_runtime::{Clock, Rng};
use mallee_walrus::{Asked, Limits, Right};
use std::sync::Arc;
use tower::ServiceExt as _;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Gate {
    pub verifier: Arc<Verifier<DirectoryKeys>>,
    pub link: CloudLink,
    pub clock: Clock,
    pub rng: Rng,
    pub s3: Router,
    /// Walrus's domains of virtual hosts.
    pub domains: Vec<String>,
}

impl Gate {
    /// The router to serve.
    pub fn router(self) -> Router {
        Router::new().fallback(handle).with_state(Arc::new(self))
    }

    async fn pass(&self, parts: &mut Parts, body: Body) -> Result<Body, ApiError> {
        let pass = parts.headers.remove(pass::HEADER);
        let pass = pass.and_then(|value| value.to_str().map(str::to_owned).ok()).unwrap_or_default();
        let signed = SignedRequest::new(parts, SignedBody::Stream, &Service::S3);
        let verified = self.verifier.verify(&signed, self.clock.now()).await;
        let Some(signed) = verified.map_err(|fault| fault.to_api(Flavour::S3))? else { return Ok(body) };
        let mut asked = Asked::read(parts, &self.domains)?;
        let mut body = body;
        // No policy can stand in the way of some; quotas do.
        match signed.principal.unrestricted {
            true if limited(asked.operation()).is_none() => {
                asked.grant(parts);
                return Ok(body);
            }
            true => {}
            false => (asked, body) = asked.with_body(body).await?,
        }
        let reply = self.link.authorize_s3(question(parts, signed, asked.rights(), pass)).await.map_err(|error| {
            tracing::info!(%error, "the cloud controller did not say what policies allow");
            let (code, text) = match error.kind {
                Kind::Invalid => (Code::InvalidRequest, "The request asks for too much at once."),
                _ => (Code::ServiceUnavailable, "The identity service does not answer. Please try again."),
            };
            code.message(text)
        })?;
        if !reply.allowed {
            return Err(Code::AccessDenied.message(reply.refusal));
        }
        if !reply.limits.is_empty() {
            let limits: Limits = serde_json::from_str(&reply.limits).map_err(ApiError::internal)?;
            parts.extensions.insert(Arc::new(limits));
        }
        asked.grant(parts);
        Ok(body)
    }
}

fn question(parts: &Parts, signed: Authenticated<Signer>, rights: Vec<Right>, pass: String) -> AuthorizeS3Request {
    let text = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let claim = signed.claim;
    let ask = |Right { action, resource }| S3Question { action: action.to_owned(), resource };
    AuthorizeS3Request {
        presigned: matches!(claim.placement, Placement::Query { .. }),
        signed_at_ms: claim.signed_at().map_or(0, |at| at.unix_timestamp().saturating_mul(1000)),
        sigv2: claim.version == SignatureVersion::V2,
        signature: hex::encode(claim.signature),
        access_key_id: claim.access_key_id,
        session_token: claim.session_token.unwrap_or_default(),
        questions: rights.into_iter().map(ask).collect(),
        pass,
        source_ip: peer(parts).map(|ip| ip.to_string()).unwrap_or_default(),
        user_agent: text(&parts.headers, USER_AGENT),
        referer: text(&parts.headers, REFERER),
        region: claim.region,
    }
}

async fn handle(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    match gate.pass(&mut parts, body).await {
        Ok(body) => match gate.s3.clone().oneshot(Request::from_parts(parts, body)).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(error) => {
            let id = server::request_id(|bytes| gate.rng.fill(bytes));
            server::error_response(&error, Flavour::S3, &id, parts.uri.path()).map(Body::from)
        }
    }
}
