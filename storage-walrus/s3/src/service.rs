//! The service: from an HTTP request to an HTTP reply.

use crate::access_log::{AccessLog, Begun, ErrorCode};
use crate::asked::Asked;
use crate::auth::{Authority, Caller, Identified, Identity};
use crate::authz::{Access, NewBuckets};
use crate::background::Background;
use crate::call::{Call, Known};
use crate::dispatch::dispatch;
use crate::error::engine as engine_error;
use crate::kms::KeyService;
use crate::metrics::{Metrics, PREFLIGHT, UNREAD, WEBSITE};
use crate::operation::Operation;
use crate::replica::Peers;
use crate::reply::{self, Reply};
use crate::trail::{self, Calls};
use crate::{cors, post, website};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, SERVER};
use http::request::Parts;
use http::{Method, Request, Response};
use mallee_awswire::server::{Service, error_response, host, host_bucket};
use mallee_awswire::sigv4::{Body as SignedBody, Payload, SignedRequest};
use mallee_awswire::{ApiError, Flavour};
use mallee_objects::{Bucket, Engine, Limits, Origin};
use mallee_runtime::TaskScope;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Settings of the service.
#[derive(Debug, Clone, Default)]
pub struct S3Config {
    /// The region whose buckets AWS reports without a location; buckets made without a location are in the caller's.
    pub region: String,
    /// Domains under which `BUCKET.DOMAIN` is a virtual host; empty for path style only.
    pub domains: Vec<String>,
    /// Domains under which `BUCKET.DOMAIN` is the web site of a bucket.
    pub websites: Vec<String>,
    /// Whether keys that clients bring (SSE-C) are taken over plain HTTP, too: anybody on the way can read them.
    pub sse_c_over_http: bool,
    /// Whether objects are encrypted (SSE-S3) where neither the request nor the bucket says anything.
    pub encrypt_all: bool,
    /// What new buckets are like.
    pub new_buckets: NewBuckets,
    /// What is to be known of the background work.
    pub background: Arc<Background>,
}

/// Accounts that are kept in mind as known; beyond it the memory begins anew.
const KNOWN_MAX: usize = 10_000;

/// The id of a request, as its reply tells it: in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// When the head of a request came, in milliseconds since 1970: in its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived(pub(crate) i64);

#[derive(Clone)]
struct Inner {
    engine: Engine,
    /// Accounts whose names are noted.
    known: Arc<Mutex<HashSet<String>>>,
    auth: Arc<dyn Authority>,
    config: S3Config,
    keys: Option<Arc<dyn KeyService>>,
    peers: Option<Arc<dyn Peers>>,
    log: AccessLog,
    metrics: Arc<Metrics>,
    calls: Arc<Calls>,
}

/// The S3 service. Clones share everything.
#[derive(Clone)]
pub struct S3(Arc<Inner>);

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// An axum router that gives every request to the service. The address that a request came from is in its extensions, as
/// `Peer` of crate `serve`, put there by the server.
pub fn router(s3: S3) -> Router {
    async fn serve(State(s3): State<S3>, request: Request<Body>) -> Response<Body> {
        s3.handle(request).await
    }
    Router::new().fallback(serve).with_state(s3)
}

impl S3 {
    /// Over an engine.
    #[must_use]
    pub fn new(engine: Engine, auth: Arc<dyn Authority>, config: S3Config) -> Self {
        let log = AccessLog::default();
        let (metrics, calls) = (Arc::default(), Arc::default());
        let (keys, peers) = (None, None);
        let known = Arc::default();
        Self(Arc::new(Inner { engine, known, auth, config, keys, peers, log, metrics, calls }))
    }

    /// The same service with something else about it.
    fn with(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner::clone(&self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// With a key management service, for objects that its keys encrypt.
    #[must_use]
    pub fn with_keys(&self, keys: Arc<dyn KeyService>) -> Self {
        self.with(|inner| inner.keys = Some(keys))
    }

    /// With other object stores that versions are brought into.
    #[must_use]
    pub fn with_peers(&self, peers: Arc<dyn Peers>) -> Self {
        self.with(|inner| inner.peers = Some(peers))
    }

    /// The same service for one request with these quotas.
    pub(crate) fn limited(&self, limits: Arc<Limits>) -> Self {
        self.with(|inner| inner.engine = inner.engine.limited(limits))
    }

    /// The same service for a request that was decided about these buckets.
    pub(crate) fn within(&self, decided: &[Bucket]) -> Self {
        self.with(|inner| inner.engine = inner.engine.within(decided.into()))
    }

    /// The same service for a request that counts on what those buckets say.
    pub(crate) fn unchanged(&self) -> Self {
        self.with(|inner| inner.engine = inner.engine.unchanged())
    }

    /// The same service for changes that come from there.
    pub(crate) fn by(&self, origin: Arc<Origin>) -> Self {
        self.with(|inner| inner.engine = inner.engine.by(origin))
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Has calls that manage buckets run to their end in this scope, though their callers go away: who hangs up at the
    /// right moment would else leave a change without its audit record. The first scope that is given is the one.
    pub fn run_in(&self, scope: &TaskScope) {
        self.0.calls.run_in(scope);
    }

    pub(crate) fn calls(&self) -> &Arc<Calls> {
        &self.0.calls
    }

    pub(crate) fn keys(&self) -> Option<&dyn KeyService> {
        self.0.keys.as_deref()
    }

    pub(crate) fn peers(&self) -> Option<&dyn Peers> {
        self.0.peers.as_deref()
    }

    pub(crate) fn authority(&self) -> &dyn Authority {
        &*self.0.auth
    }

    /// Who did not sign.
    pub(crate) fn nobody(&self) -> Arc<dyn Identity> {
        self.0.auth.nobody()
    }

    /// The records of requests that wait for their delivery.
    #[must_use]
    pub fn access_log(&self) -> &AccessLog {
        &self.0.log
    }

    /// What is counted of requests.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn config(&self) -> &S3Config {
        &self.0.config
    }

    /// Answers a request.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let running = self.metrics().begin();
        let name = OnceLock::new();
        let (mut parts, body) = request.into_parts();
        let request_id = mallee_awswire::server::request_id(|bytes| self.engine().rng().fill(bytes));
        parts.extensions.insert(RequestId(request_id.clone()));
        parts.extensions.insert(Arrived(self.engine().clock().now_ms()));
        let head = parts.method == Method::HEAD;
        let begun = Begun::new(self, &mut parts);
        let parts = Arc::new(parts);
        let mut response = match website::answer(self, &parts, &request_id).await {
            Some(page) => {
                note(&name, WEBSITE);
                page
            }
            None => {
                let answer = self.answer(parts.clone(), body, &name).await;
                let mut response = answer.unwrap_or_else(|error| refuse(&error, &parts, &request_id, head));
                cors::decorate_api(self, &parts, &mut response).await;
                response
            }
        };
        reply::set(&mut response, HeaderName::from_static("x-amz-request-id"), &request_id);
        reply::set(&mut response, HeaderName::from_static("x-amz-id-2"), &request_id);
        response.headers_mut().insert(SERVER, HeaderValue::from_static("Mallee"));
        let response = begun.end(self, &parts, response, &request_id).await;
        let (parts, body) = response.into_parts();
        let body = running.answered(name.get().copied().unwrap_or(UNREAD), parts.status, body);
        Response::from_parts(parts, body)
    }

    /// Notes the names of whoever calls for the first time: others grant to them.
    pub(crate) async fn know(&self, caller: &Caller) -> Result<(), ApiError> {
        let Inner { engine, known, .. } = &*self.0;
        if known.lock().unwrap_or_else(PoisonError::into_inner).contains(&caller.account) {
            return Ok(());
        }
        engine.ensure_owner(&caller.account).await.map_err(engine_error)?;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(caller.account.clone());
        Ok(())
    }

    /// Notes in `name` what is asked for, once that is known.
    async fn answer(&self, head: Arc<Parts>, body: Body, name: &OnceLock<&'static str>) -> Result<Reply, ApiError> {
        let Inner { engine, auth, config, metrics, .. } = &*self.0;
        if head.method == Method::OPTIONS {
            note(name, PREFLIGHT);
            return cors::preflight(self, &head).await;
        }
        if post::is_form(&head, &config.domains) {
            let operation = note(name, Operation::PostObject.name());
            return post::answer(self, head, metrics.received(operation, body)).await;
        }
        let host = host(&head.headers, &head.uri);
        let signed = SignedRequest::new(&head, SignedBody::Stream, &Service::S3);
        let signed = signed.to_bucket(host_bucket(&host, &config.domains));
        let identified =
            auth.identify(&signed, engine.clock().now()).await.map_err(|fault| fault.to_api(Flavour::S3))?;
        let (identity, claim, payload) = match identified {
            Some(Identified { identity, claim, payload }) => (identity, Some(claim), payload),
            None => (auth.nobody(), None, unsigned_payload(&head)?),
        };
        if let Some(caller) = identity.caller() {
            self.know(caller).await?;
        }
        let asked = Arc::new(Asked::read(&head, &config.domains)?);
        let body = metrics.received(note(name, asked.operation().name()), body);
        // Signature version 2 names no region, and nobody names none.
        let region = claim.as_ref().map(|claim| claim.region.clone()).filter(|region| !region.is_empty());
        let known = Known {
            caller: identity.caller().cloned().unwrap_or_else(Caller::anonymous),
            region: region.unwrap_or_else(|| config.region.clone()),
            headers: head.headers.clone(),
            asked,
            payload,
            head: head.method == Method::HEAD,
            access: Arc::new(Access { identity, head, claim }),
        };
        let mut call = Call::new(self.clone(), known, body);
        if let Some(managed) = trail::name(call.asked.operation()) {
            return trail::run(call, managed).await;
        }
        call.authorize().await?;
        dispatch(call).await
    }
}

/// Notes what is asked for.
fn note(name: &OnceLock<&'static str>, operation: &'static str) -> &'static str {
    name.get_or_init(|| operation)
}

/// How the body of a request that nobody signed is read: as it is said to come, with what it is said to be checked.
fn unsigned_payload(head: &Parts) -> Result<Payload, ApiError> {
    Payload::unsigned(&head.headers).map_err(|fault| fault.to_api(Flavour::S3))
}

/// The reply to an error. HEAD gets the status alone.
fn refuse(error: &ApiError, parts: &Parts, request_id: &str, head: bool) -> Reply {
    let path = parts.uri.path();
    if let Some(cause) = error.cause() {
        tracing::debug!(request_id, method = %parts.method, path, %error, cause, "S3 request refused");
    }
    let waits = parts.headers.contains_key(EXPECT);
    let (mut parts, body) = error_response(error, Flavour::S3, request_id, path).into_parts();
    parts.extensions.insert(ErrorCode(error.code().as_str()));
    if waits {
        // Whoever waits for leave to send the body does not send it now: the next bytes of the connection would be taken
        // for it, and they are another request's.
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if head || parts.status == http::StatusCode::NOT_MODIFIED {
        parts.headers.remove(CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}
