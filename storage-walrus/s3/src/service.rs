//! The service: from an HTTP request to an HTTP reply.

use crate::asked::{Asked, Granted};
use crate::auth::Authenticator;
use crate::background::Background;
use crate::call::{Call, Known};
use crate::dispatch::dispatch;
use crate::reply::{self, Reply};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, SERVER};
use http::request::Parts;
use http::{Method, Request, Response};
use mallee_awswire::server::{Service, error_response};
use mallee_awswire::sigv4::{Body as SignedBody, Fault, SignedRequest};
use mallee_awswire::{ApiError, Code, Flavour};
use mallee_objects::{Engine, Limits, Origin};
use std::sync::Arc;

/// Settings of the service.
#[derive(Debug, Clone, Default)]
pub struct S3Config {
    /// The region whose buckets AWS reports without a location; buckets made without a location are in the caller's.
    pub region: String,
    /// Domains under which `BUCKET.DOMAIN` is a virtual host; empty for path style only.
    pub domains: Vec<String>,
    /// Whether whoever has a valid signature may do everything in its account. Else only what a door before the service
    /// has granted is run.
    pub open: bool,
    /// What is to be known of the background work.
    pub background: Arc<Background>,
}

struct Inner {
    engine: Engine,
    auth: Arc<dyn Authenticator>,
    config: S3Config,
}

/// The S3 service. Clones share everything.
#[derive(Clone)]
pub struct S3(Arc<Inner>);

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// An axum router that gives every request to the service. The quotas of a request are in its extensions, as
/// `Arc<Limits>`, put there by whoever is before it.
pub fn router(s3: S3) -> Router {
    async fn serve(State(s3): State<S3>, request: Request<Body>) -> Response<Body> {
        s3.handle(request).await
    }
    Router::new().fallback(serve).with_state(s3)
}

impl S3 {
    /// Over an engine.
    #[must_use]
    pub fn new(engine: Engine, auth: Arc<dyn Authenticator>, config: S3Config) -> Self {
        Self(Arc::new(Inner { engine, auth, config }))
    }

    fn limited(&self, limits: Arc<Limits>) -> Self {
        let Inner { engine, auth, config } = &*self.0;
        let (auth, config) = (auth.clone(), config.clone());
        Self(Arc::new(Inner { engine: engine.limited(limits), auth, config }))
    }

    /// The same service for changes that come from there.
    pub(crate) fn by(&self, origin: Arc<Origin>) -> Self {
        let Inner { engine, auth, config } = &*self.0;
        let (auth, config) = (auth.clone(), config.clone());
        Self(Arc::new(Inner { engine: engine.by(origin), auth, config }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn config(&self) -> &S3Config {
        &self.0.config
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let request_id = mallee_awswire::server::request_id(|bytes| self.engine().rng().fill(bytes));
        let head = parts.method == Method::HEAD;
        let mut response = match self.answer(&parts, body, &request_id).await {
            Ok(response) => response,
            Err(error) => refuse(&error, &parts, &request_id, head),
        };
        reply::set(&mut response, HeaderName::from_static("x-amz-request-id"), &request_id);
        reply::set(&mut response, HeaderName::from_static("x-amz-id-2"), &request_id);
        response.headers_mut().insert(SERVER, HeaderValue::from_static("Mallee"));
        response
    }

    async fn answer(&self, parts: &Parts, body: Body, request_id: &str) -> Result<Reply, ApiError> {
        let signed = SignedRequest::new(parts, SignedBody::Stream, &Service::S3);
        let now = self.engine().clock().now();
        let (caller, claim, payload) = self
            .0
            .auth
            .authenticate(&signed, now)
            .await
            .and_then(|known| known.ok_or(Fault::Missing))
            .map_err(|fault| fault.to_api(Flavour::S3))?;
        let asked = match parts.extensions.get::<Granted>() {
            Some(Granted(asked)) => asked.clone(),
            None if self.0.config.open => Arc::new(Asked::read(parts, &self.0.config.domains)?),
            // The door did not know the caller a moment ago, or could not tell: it has decided nothing.
            None => {
                return Err(Code::ServiceUnavailable.message("What policies say is not known yet. Please try again."));
            }
        };
        let known = Known {
            caller,
            // Signature version 2 names none.
            region: if claim.region.is_empty() { self.0.config.region.clone() } else { claim.region },
            headers: parts.headers.clone(),
            asked,
            payload,
            request_id: request_id.to_owned(),
            head: parts.method == Method::HEAD,
        };
        // The front door's, for this request.
        let s3 = match parts.extensions.get::<Arc<Limits>>() {
            Some(limits) => self.limited(limits.clone()),
            None => self.clone(),
        };
        let call = Call::new(s3, known, body);
        dispatch(call).await
    }
}

/// The reply to an error. HEAD gets the status alone.
fn refuse(error: &ApiError, parts: &Parts, request_id: &str, head: bool) -> Reply {
    let path = parts.uri.path();
    if let Some(cause) = error.cause() {
        tracing::debug!(request_id, method = %parts.method, path, %error, cause, "S3 request refused");
    }
    let (mut parts, body) = error_response(error, Flavour::S3, request_id, path).into_parts();
    if head || parts.status == http::StatusCode::NOT_MODIFIED {
        parts.headers.remove(CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}
