//! A client as a user has one: Query requests, signed, over the real port.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
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
        let clock = Clock::system();
        Self { address, key, secret, region, clock, http: HttpClient::builder(TokioExecutor::new()).build(connector) }
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
        let mut form = format!("Action={action}&Version={VERSION}");
        for (name, value) in params {
            form.push_str(&format!("&{}={}", encode(name), encode(value)));
        }
        let request = self.signed(form.into());
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

    fn signed(&self, body: Bytes) -> http::Request<Full<Bytes>> {
        let uri = format!("http://{}/", self.address);
        let identity: Identity = Credentials::new(&self.key, self.secret.expose_secret(), None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ec2")
            .time(
                SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(self.clock.now_ms()).unwrap_or_default()),
            )
            .settings(SigningSettings::default())
            .build()
            .expect("all parts of the signature are there")
            .into();
        let signable = SignableRequest::new("POST", &uri, [FORM].into_iter(), SignableBody::Bytes(&body));
        let (instructions, _) = sign(signable.expect("a plain request"), &params).expect("it signs").into_parts();
        let request = http::Request::builder().method("POST").uri(&uri).header(FORM.0, FORM.1);
        let mut request = request.body(Full::new(body)).expect("a plain request");
        instructions.apply_to_request_http1x(&mut request);
        request
    }
}
