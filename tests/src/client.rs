//! A client as a user has one: Query requests, signed, over the real port.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mallee_runtime::Clock;
use secrecy::{ExposeSecret as _, SecretString};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// EC2's version of every request.
const VERSION: &str = "2016-11-15";
/// Largest reply that is read, in bytes.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// Longest wait for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No reply: whether it was done is not known.
    #[error("no reply: {0}")]
    Lost(String),
    /// The cloud said no.
    #[error("{status} {code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// AWS's error code.
        code: String,
        /// The sentence.
        message: String,
    },
}

impl CallError {
    /// Whether an SDK tries again.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Refused { status, .. } => *status >= 500,
        }
    }

    /// AWS's error code; empty when there was no reply.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Lost(_) => "",
            Self::Refused { code, .. } => code,
        }
    }
}

/// A successful reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(pub String);

impl Reply {
    /// The texts of all elements of this name, in order.
    #[must_use]
    pub fn all(&self, element: &str) -> Vec<&str> {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        self.0.split(&open).skip(1).filter_map(|rest| rest.split_once(&close).map(|(text, _)| text)).collect()
    }

    /// The text of the first.
    #[must_use]
    pub fn first(&self, element: &str) -> Option<&str> {
        self.all(element).first().copied()
    }
}

/// Keys and an address.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    key: String,
    secret: SecretString,
    token: Option<String>,
    region: String,
    clock: Clock,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl Client {
    /// A client of the cloud at this address.
    #[must_use]
    pub fn new(address: SocketAddr, key: String, secret: SecretString, region: String) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        Self { address, key, secret, token: None, region, clock: Clock::system(), http }
    }

    /// The same cloud with temporary credentials.
    #[must_use]
    pub fn with_session(&self, key: &str, secret: &str, token: &str) -> Self {
        Self { key: key.to_owned(), secret: secret.into(), token: Some(token.to_owned()), ..self.clone() }
    }

    /// Where the cloud is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Key id and secret.
    #[must_use]
    pub const fn keys(&self) -> (&String, &SecretString) {
        (&self.key, &self.secret)
    }

    /// Signs by this clock, which tests may shift.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One request to EC2.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, action: &str, params: &[(&str, &str)]) -> Result<Reply, CallError> {
        self.ask("ec2", VERSION, action, params).await
    }

    /// One request to a Query service.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask(
        &self,
        service: &str,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> Result<Reply, CallError> {
        let mut form = format!("Action={action}&Version={version}");
        for (name, value) in params {
            form.push_str(&format!("&{}={}", encode(name), encode(value)));
        }
        self.send(self.signed(service, "POST", "/", form.into())).await
    }

    /// One request to S3 (a small object), through the cloud's port or at another address.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn s3(&self, method: &str, path: &str, body: &'static str) -> Result<Reply, CallError> {
        self.send(self.signed("s3", method, path, body.into())).await
    }

    /// The same keys at another address.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    async fn send(&self, request: http::Request<Full<Bytes>>) -> Result<Reply, CallError> {
        let lost = |why: String| CallError::Lost(why);
        let answer = tokio::time::timeout(REPLY_TIMEOUT, self.http.request(request))
            .await
            .map_err(|_| lost("too late".into()))?
            .map_err(|e| lost(e.to_string()))?;
        let status = answer.status().as_u16();
        let body =
            Limited::new(answer.into_body(), REPLY_BYTES_MAX).collect().await.map_err(|e| lost(e.to_string()))?;
        let reply = Reply(String::from_utf8_lossy(&body.to_bytes()).into_owned());
        if status < 300 {
            return Ok(reply);
        }
        let text = |element| reply.first(element).unwrap_or_default().to_owned();
        Err(CallError::Refused { status, code: text("Code"), message: text("Message") })
    }

    fn signed(&self, service: &str, method: &str, path: &str, body: Bytes) -> http::Request<Full<Bytes>> {
        let uri = format!("http://{}{path}", self.address);
        let token = self.token.clone();
        let identity: Identity = Credentials::new(&self.key, self.secret.expose_secret(), token, None, "test").into();
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(
                SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(self.clock.now_ms()).unwrap_or_default()),
            )
            .settings(settings)
            .build()
            .expect("all parts of the signature are there")
            .into();
        let signable = SignableRequest::new(method, &uri, [FORM].into_iter(), SignableBody::Bytes(&body));
        let (instructions, _) = sign(signable.expect("a plain request"), &params).expect("it signs").into_parts();
        let request = http::Request::builder().method(method).uri(&uri).header(FORM.0, FORM.1);
        let mut request = request.body(Full::new(body)).expect("a plain request");
        instructions.apply_to_request_http1x(&mut request);
        request
    }
}
