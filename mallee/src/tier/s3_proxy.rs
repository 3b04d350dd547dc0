//! S3 behind the front door when Walrus is another process: requests go on as they came, bodies are streamed in both
//! directions. Path, query and `Host` are not touched, so that signatures hold; Walrus verifies them, and decides. Where a
//! request came from only this door saw: it says so in a sealed word.

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Parts, Scheme};
use http::{Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mallee_awswire::{ApiError, Code, Flavour, server};
use mallee_cloud_controller::enrol::S3_ENDPOINT;
use mallee_cloud_controller::{S3Service, origin};
use mallee_runtime::{Clock, Rng};
use mallee_serve::Peer;
use mallee_store::{Store, setting_fetch};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections that are kept, and for how long: less than Walrus waits for the head of a request.
const IDLE_MAX: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// A host that vanished is noticed after a few of these.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long the announced address is used before the database is asked again.
const ADDRESS_TTL: Duration = Duration::from_secs(2);
/// Headers that are about one connection, not about the request.
const OF_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// S3 at the address that Walrus announced.
#[derive(Debug)]
pub(super) struct RemoteS3 {
    store: Store,
    clock: Clock,
    rng: Rng,
    http: Client<HttpConnector, Body>,
    known: Mutex<Option<(Instant, Authority)>>,
}

fn strip(headers: &mut HeaderMap) {
    for name in OF_CONNECTION {
        headers.remove(name);
    }
}

impl RemoteS3 {
    /// The address comes from this database.
    pub fn new(store: Store, clock: Clock, rng: Rng) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_keepalive(Some(KEEP_ALIVE));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self { store, clock, rng, http, known: Mutex::new(None) }
    }

    async fn address(&self) -> Result<Authority, ApiError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, authority)) = known.filter(|(since, _)| since.elapsed() < ADDRESS_TTL) {
            return Ok(authority);
        }
        let uri = setting_fetch(&self.store, S3_ENDPOINT).await.map_err(ApiError::internal)?;
        let authority = uri.and_then(|uri| uri.parse::<Uri>().ok()?.authority().cloned());
        let authority = authority
            .ok_or_else(|| Code::ServiceUnavailable.message("The object store has not joined this cloud yet."))?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), authority.clone()));
        Ok(authority)
    }

    async fn forward(&self, request: Request) -> Result<Response, ApiError> {
        let address = self.address().await?;
        let (mut parts, body) = request.into_parts();
        strip(&mut parts.headers);
        parts.headers.remove(origin::HEADER);
        if let Some(Peer(from)) = parts.extensions.get() {
            let digest = origin::digest(&parts.method, &parts.uri, &parts.headers);
            let word = origin::seal(&self.store, *from, &digest, self.clock.now_ms()).map_err(ApiError::internal)?;
            parts.headers.insert(origin::HEADER, HeaderValue::try_from(word).map_err(ApiError::internal)?);
        }
        // HTTP/2 has the host in the address; what was signed is the same text.
        let host = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        if let (Some(host), false) = (host, parts.headers.contains_key(HOST)) {
            parts.headers.insert(HOST, host);
        }
        let mut target = Parts::default();
        (target.scheme, target.authority) = (Some(Scheme::HTTP), Some(address));
        target.path_and_query = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from_parts(target).map_err(|_| Code::InvalidUri.error())?;
        parts.version = Version::HTTP_11;
        let answer = self.http.request(Request::from_parts(parts, body)).await.map_err(|error| {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::info!(%error, cause = std::error::Error::source(&error), "walrus did not answer");
            Code::ServiceUnavailable.message("The object store does not answer. Please try again.").because(error)
        })?;
        let mut answer = answer.map(Body::new);
        strip(answer.headers_mut());
        Ok(answer)
    }
}

#[async_trait]
impl S3Service for RemoteS3 {
    async fn call(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        match self.forward(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let id = server::request_id(|bytes| self.rng.fill(bytes));
                server::error_response(&error, Flavour::S3, &id, &path).map(Body::from)
            }
        }
    }
}
