//! The front door: one port for every service. It tells the service of a request, limits and verifies it, hands it
//! on, and gives every reply a request id.

pub(crate) mod facts;
mod query;
mod throttle;

pub use mallee_serve::serve;

use crate::admin;
use crate::audit::{Call, Said, Trail, cloudtrail, draft, is_read_only, may_change};
use crate::identity::StoreCredentials;
use crate::servicequotas;
use crate::tokens::JoinTokens;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use mallee_api_ec2::Ec2Api;
use mallee_api_iam::IdentityApi;
use mallee_api_kms::KmsApi;
use mallee_app::fail::OrFail as _;
use mallee_app::{Actor, Cloud, OpContext, RequestFacts};
use mallee_audit::Record;
use mallee_awswire::server::{self, Service};
use mallee_awswire::sigv2;
use mallee_awswire::sigv4::{Body as SignedBody, Claim, Fault, PathRules, SignedRequest, Verifier};
use mallee_awswire::{ApiError, Code, Flavour, Params};
use mallee_runtime::TaskScope;
use query::Asked;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use throttle::{CallRates, Throttle};
use tokio::sync::{Semaphore, oneshot};

/// The operation that is called unsigned.
const WEB_IDENTITY: &str = "AssumeRoleWithWebIdentity";
/// Largest body of a control-plane request, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Calls that may change something, and run on when their callers go away; more wait.
const CALLS_MAX: usize = 4096;
/// Longest time a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Where S3 requests go: the handler in this process, or another process.
#[async_trait::async_trait]
pub trait S3Service: Send + Sync + std::fmt::Debug {
    /// Answers one S3 request, body and all.
    async fn call(&self, request: Request) -> Response;
}

/// Everything behind the port.
#[derive(Debug)]
pub struct Front {
    cloud: Arc<Cloud>,
    ec2: Ec2Api,
    identity: IdentityApi,
    kms: KmsApi,
    s3: Arc<dyn S3Service>,
    verifier: Arc<Verifier<StoreCredentials>>,
    join_tokens: Option<Arc<JoinTokens>>,
    trail: Option<Arc<Trail>>,
    scope: Option<TaskScope>,
    calls: Arc<Semaphore>,
    throttle: Throttle,
    /// The newest change of identities that the verifier's keys take into account.
    identities: AtomicU64,
    /// Domains below which every host is S3's.
    s3_hosts: Vec<String>,
    /// Whether there is a cloud behind the port, and not an object store alone.
    has_instances: bool,
}

/// Where the certificate of identity documents is; no bucket has such a name.
const IDENTITY_CERTIFICATE: &str = "/_mallee/instance-identity.pem";

impl Front {
    /// A front door before these services.
    #[must_use]
    pub fn new(cloud: Arc<Cloud>, s3: Arc<dyn S3Service>, verifier: Arc<Verifier<StoreCredentials>>) -> Self {
        let (ec2, identity) = (Ec2Api::new(cloud.clone()), IdentityApi::new(cloud.clone()));
        let kms = KmsApi::new(cloud.clone());
        verifier.source().follow_sigv2(cloud.sigv2());
        let identities = AtomicU64::new(cloud.store().identity_version());
        Self {
            cloud,
            ec2,
            identity,
            kms,
            s3,
            verifier,
            join_tokens: None,
            trail: None,
            scope: None,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            throttle: Throttle::new(CallRates::default()),
            identities,
            s3_hosts: Vec::new(),
            has_instances: true,
        }
    }

    /// With somebody who issues join tokens.
    #[must_use]
    pub fn with_join_tokens(mut self, tokens: Option<Arc<JoinTokens>>) -> Self {
        self.join_tokens = tokens;
        self
    }

    /// With a trail in which every call is recorded.
    #[must_use]
    pub fn with_trail(mut self, trail: Option<Arc<Trail>>) -> Self {
        self.trail = trail;
        self
    }

    /// With domains below which every host is S3's.
    #[must_use]
    pub fn with_s3_hosts(mut self, domains: Vec<String>) -> Self {
        self.s3_hosts = domains;
        self
    }

    /// With instances behind it, or without.
    #[must_use]
    pub const fn with_instances(mut self, has_instances: bool) -> Self {
        self.has_instances = has_instances;
        self
    }

    /// With a scope in which calls that may change something run to their end, though their callers go away: who hangs
    /// up at the right moment would else leave a change without its record.
    #[must_use]
    pub fn within(mut self, scope: TaskScope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// The router to serve.
    pub fn router(self: Arc<Self>) -> axum::Router {
        axum::Router::new().fallback(handle).with_state(self)
    }

    /// Forgets the keys it knows when users, keys or roles have changed: a key that was switched off does not open the
    /// door once more.
    fn refresh_keys(&self) {
        let newest = self.cloud.store().identity_version();
        if self.identities.swap(newest, Ordering::Relaxed) != newest {
            self.verifier.forget_all();
        }
    }

    /// Whether the host of a request is a bucket's: then path and parameters are a key's, whatever they look like.
    fn is_bucket_host(&self, request: &Request) -> bool {
        !self.s3_hosts.is_empty()
            && server::host_bucket(&server::host(request.headers(), request.uri()), &self.s3_hosts).is_some()
    }

    fn request_id(&self) -> String {
        server::request_id(|bytes| self.cloud.rng().fill(bytes))
    }
}

async fn handle(State(front): State<Arc<Front>>, request: Request) -> Response {
    if front.is_bucket_host(&request) {
        front.refresh_keys();
        return front.s3.call(request).await;
    }
    let path = request.uri().path();
    if path == "/health" && matches!(*request.method(), Method::GET | Method::HEAD) {
        return if front.has_instances { health(&front.cloud) } else { healthy() };
    }
    if path == IDENTITY_CERTIFICATE && front.has_instances && *request.method() == Method::GET {
        return identity_certificate(&front.cloud).await;
    }
    front.refresh_keys();
    let query = request.uri().query().unwrap_or_default();
    // An unsigned form is read before its service is known: only its action tells.
    let signed = request.headers().contains_key(http::header::AUTHORIZATION);
    let is_form = server::is_form(request.method(), request.headers());
    if !signed && is_form {
        return front.form(request).await;
    }
    let route = server::route(path, query, request.headers(), None);
    match route.service {
        // Whose request it is and what they may, the object store asks by itself.
        Service::S3 => front.s3.call(request).await,
        service => front.control(service, request).await,
    }
}

/// 200 once instances can be launched; until then 503 and what is missing.
fn health(cloud: &Cloud) -> Response {
    let trouble: Vec<String> =
        cloud.zones().iter().filter_map(|zone| cloud.zone_trouble(zone).map(|why| format!("{zone}: {why}"))).collect();
    // One zone that takes instances is a cloud that takes instances.
    if trouble.len() < cloud.zones().len() {
        return healthy();
    }
    let mut response = plain(trouble.join("\n") + "\n");
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// The certificate of identity documents of instances, for whoever verifies them.
async fn identity_certificate(cloud: &Cloud) -> Response {
    let why = match cloud.identity_certificate().await {
        Ok(Some(pem)) => return plain(pem),
        Ok(None) => "the cloud has no key for identity documents yet".to_owned(),
        Err(error) => {
            tracing::error!(%error, "no certificate of identity documents");
            "the key for identity documents cannot be read".to_owned()
        }
    };
    let mut response = plain(why + "\n");
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

fn healthy() -> Response {
    plain("ok\n".to_owned())
}

fn plain(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A request whose body has been read.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) method: Method,
    uri: http::Uri,
    headers: HeaderMap,
    pub(crate) body: Bytes,
    peer: Option<IpAddr>,
}

impl Received {
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(crate) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }
}

/// Reads a control-plane body, bounded in bytes and time.
async fn receive(request: Request) -> Result<Received, ApiError> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<mallee_serve::Peer>().map(|peer| peer.0);
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect())
        .await
        .map_err(|_| Code::RequestTimeout.message("The request body did not arrive in time."))?;
    let body = collected
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Code::RequestEntityTooLarge.with(&[&BODY_BYTES_MAX.to_string()])
            } else {
                Code::InvalidRequest.message("The request body broke off.")
            }
        })?
        .to_bytes();
    Ok(Received { method: parts.method, uri: parts.uri, headers: parts.headers, body, peer })
}

/// What is signed of a request of the control plane.
fn signed_request<'a>(service: &'a Service, received: &'a Received) -> SignedRequest<'a> {
    SignedRequest {
        method: received.method.as_str(),
        path: received.path(),
        query: received.query(),
        headers: &received.headers,
        authority: received.uri.authority().map(http::uri::Authority::as_str),
        body: SignedBody::Bytes(&received.body),
        service: service.name(),
        flavour: service.flavour(),
        rules: PathRules::OTHERS,
        host_bucket: None,
    }
}

/// The reply in the words of the service.
fn reply(service: Service, outcome: Result<String, ApiError>, received: &Received, id: &str) -> Response {
    let flavour = service.flavour();
    match (service, outcome) {
        (Service::Mallee, outcome) => admin::respond(outcome.as_ref().cloned()),
        (Service::Other(name), outcome) if query::is_json(&name) => {
            respond(cloudtrail::respond(outcome.as_ref().cloned(), id))
        }
        (_, Ok(body)) => respond(server::xml_response(200, flavour, id, body)),
        (_, Err(error)) => respond(server::error_response(&error, flavour, id, received.path())),
    }
}

fn respond(response: http::Response<Bytes>) -> Response {
    response.map(Body::from)
}

impl Front {
    /// An unsigned form: a service that allows it, or a refusal in the service's words.
    async fn form(self: &Arc<Self>, request: Request) -> Response {
        let id = self.request_id();
        let received = match receive(request).await {
            Ok(received) => received,
            Err(error) => return respond(server::error_response(&error, Flavour::Query, &id, "")),
        };
        let params = Params::parse(received.query(), &received.body).ok();
        let route = server::route(received.path(), received.query(), &received.headers, params.as_ref());
        self.answer(route.service, received, id).await
    }

    async fn control(self: &Arc<Self>, service: Service, request: Request) -> Response {
        let id = self.request_id();
        match receive(request).await {
            Ok(received) => self.answer(service, received, id).await,
            Err(error) => respond(server::error_response(&error, service.flavour(), &id, "")),
        }
    }

    async fn answer(self: &Arc<Self>, service: Service, received: Received, id: String) -> Response {
        let asked = Asked::of(&service, &received);
        let Some(scope) = self.scope.as_ref().filter(|_| may_change(&asked.action)) else {
            return reply(service.clone(), self.done(&service, &received, &asked, &id).await, &received, &id);
        };
        let Ok(permit) = self.calls.clone().acquire_owned().await else {
            return reply(service, Err(ApiError::internal("no more calls are taken")), &received, &id);
        };
        let (done, replied) = oneshot::channel();
        let (front, said) = (self.clone(), received.clone());
        let (called, call_id) = (service.clone(), id.clone());
        scope.spawn(async move {
            let outcome = front.done(&called, &said, &asked, &call_id).await;
            drop(permit);
            // Its caller may be gone.
            drop(done.send(outcome));
        });
        let cut = |_| Err(ApiError::internal("the call was cut off"));
        reply(service, replied.await.unwrap_or_else(cut), &received, &id)
    }

    /// Does one call, and records it.
    async fn done(&self, service: &Service, received: &Received, asked: &Asked, id: &str) -> Result<String, ApiError> {
        let known = match self.stranger(service, received, asked) {
            Some(stranger) => stranger,
            None => self.authenticate(service, received).await,
        };
        let (cx, refused) = match known {
            Ok((actor, facts)) => (Some(OpContext::new(actor, id).with_facts(facts)), None),
            Err(error) => (None, Some(error)),
        };
        let draft = self.trail.as_ref().map(|_| self.draft(service, received, asked, cx.as_ref(), id));
        let outcome = match (&cx, refused) {
            (Some(cx), _) => self.call(service, cx, received, asked, draft.as_ref()).await,
            (None, refused) => Err(refused.unwrap_or_else(|| ApiError::internal("nobody was recognised"))),
        };
        if let Err(error) = &outcome
            && let Some(cause) = error.cause()
        {
            let code = error.code().as_str();
            // What a client did wrong is no business of the operator's: anybody could fill the log with it.
            if error.status() >= 500 {
                tracing::error!(request_id = id, code, cause, "request failed");
            } else {
                tracing::debug!(request_id = id, code, cause, "request refused");
            }
        }
        if let (Some(trail), Some(draft)) = (&self.trail, draft) {
            // A place to be killed at, as the next is; failing here is the disk's affair.
            let changes = may_change(&asked.action);
            if changes && self.cloud.faults().point("front.call.done").await.is_err() {
                return outcome;
            }
            trail.record(&self.cloud, draft, outcome.as_ref().map(String::as_str)).await;
            if changes {
                self.cloud.faults().point("front.call.recorded").await.or_fail()?;
            }
        }
        outcome
    }

    /// One call of somebody who is known.
    async fn call(
        &self,
        service: &Service,
        cx: &OpContext,
        received: &Received,
        asked: &Asked,
        draft: Option<&Record>,
    ) -> Result<String, ApiError> {
        let now_ms = self.cloud.clock().now_ms();
        self.throttle.take(service, cx.account(), &asked.action, is_read_only(&asked.action), now_ms)?;
        if let (Some(trail), Some(draft)) = (&self.trail, draft)
            && may_change(&asked.action)
        {
            trail.begin(draft);
            self.cloud.faults().point("front.call.begun").await.or_fail()?;
        }
        match service {
            Service::Mallee => admin::answer(&self.cloud, self.join_tokens.as_deref(), cx, received).await,
            Service::S3 => Err(Code::MethodNotAllowed.error()),
            Service::Ec2 if !self.has_instances => Err(Code::UnsupportedOperation
                .message("This is an object store alone, without instances: it offers S3, IAM and STS.")),
            Service::Ec2 => self.ec2.call(cx, asked.action()?, asked.params()?).await,
            Service::Iam => self.identity.iam_call(cx, asked.action()?, asked.params()?).await,
            Service::Sts => self.identity.sts_call(cx, asked.action()?, asked.params()?).await,
            Service::Other(name) if name == cloudtrail::SERVICE => {
                cloudtrail::answer(&self.cloud, cx, self.trail.as_deref(), &asked.action, &received.body).await
            }
            Service::Other(name) if name == mallee_api_kms::SERVICE => {
                self.kms.call(cx, &asked.action, &received.body).await
            }
            Service::Other(name) if name == servicequotas::SERVICE => {
                servicequotas::answer(&self.cloud, cx, &asked.action, &received.body).await
            }
            Service::Other(name) => {
                Err(Code::UnsupportedOperation.message(format!("The service {name} is not offered by this cloud.")))
            }
        }
    }

    fn draft(&self, service: &Service, received: &Received, asked: &Asked, cx: Option<&OpContext>, id: &str) -> Record {
        let stranger = facts::of_stranger(&received.headers, received.peer);
        let said = match service {
            Service::Mallee => {
                Said::Path(received.uri.path_and_query().map_or("", |path| path.as_str()), &received.body)
            }
            Service::Other(name) if query::is_json(name) => Said::Json(&received.body),
            _ => Said::Form(asked.params.as_ref().ok()),
        };
        let call = Call {
            service: service.name(),
            action: &asked.action,
            said,
            actor: cx.map(|cx| &cx.actor),
            facts: cx.map_or(&stranger, |cx| &cx.facts),
            request_id: id,
        };
        draft(&self.cloud, &call)
    }

    /// The caller of an operation that needs no signature, as what it brings proves who calls; none if it is signed, or
    /// is not one of these.
    fn stranger(
        &self,
        service: &Service,
        received: &Received,
        asked: &Asked,
    ) -> Option<Result<(Actor, RequestFacts), ApiError>> {
        if *service != Service::Sts || asked.action != WEB_IDENTITY {
            return None;
        }
        let is_signed = !matches!(Claim::read(&received.headers, received.query()), Ok(None));
        if is_signed || sigv2::is_signed(&signed_request(service, received)) {
            return None;
        }
        let role = asked.params.as_ref().ok()?.get("RoleArn")?;
        let facts = facts::of_stranger(&received.headers, received.peer);
        Some(self.cloud.web_stranger(role).map(|actor| (actor, facts)))
    }

    async fn authenticate(&self, service: &Service, received: &Received) -> Result<(Actor, RequestFacts), ApiError> {
        let flavour = service.flavour();
        let request = signed_request(service, received);
        match self.verifier.verify(&request, self.cloud.clock().now()).await {
            Ok(Some(authenticated)) => {
                let claim = &authenticated.claim;
                let now_ms = self.cloud.clock().now_ms();
                // Signature version 2 names no region.
                let region = if claim.region.is_empty() { &self.cloud.config().region } else { &claim.region };
                self.cloud.key_uses().note(&claim.access_key_id, &claim.service, region, now_ms);
                let facts = facts::of(claim, &received.headers, received.peer);
                Ok((authenticated.principal, facts))
            }
            Ok(None) => Err(Fault::Missing.to_api(flavour)),
            Err(fault) => Err(fault.to_api(flavour)),
        }
    }
}
