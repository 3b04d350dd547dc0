//! HTTP with SigV4: the administration API, and what `mallee image --add` needs of S3 and EC2.

use crate::Access;
use anyhow::{Context as _, Result, bail};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio_util::io::ReaderStream;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);
/// Bytes read from a file at once.
const UPLOAD_STEP_BYTES: usize = 256 * 1024;

type Body = BoxBody<Bytes, io::Error>;

/// What the cloud answered instead of success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiFailure {
    /// HTTP status.
    pub status: u16,
    /// The sentence of the answer.
    pub message: String,
}

impl std::fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiFailure {}

/// A client of one cloud.
#[derive(Debug)]
pub struct Client {
    access: Access,
    http: HttpClient<HttpConnector, Body>,
}

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}

/// The text of the first element of this name, in an XML answer of ours.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    xml.split_once(&format!("<{name}>"))?.1.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

impl Client {
    /// A client with these keys.
    #[must_use]
    pub fn new(access: Access) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        Self { access, http: HttpClient::builder(TokioExecutor::new()).build(connector) }
    }

    /// Where it speaks to.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.access.endpoint
    }

    /// `GET path` of the administration API.
    ///
    /// # Errors
    /// [`ApiFailure`] inside when the cloud refused; a line that names the endpoint when it did not answer.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.admin("GET", path, Bytes::new()).await
    }

    /// `POST path` of the administration API, with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.admin("POST", path, serde_json::to_vec(body)?.into()).await
    }

    async fn admin(&self, method: &str, path: &str, body: Bytes) -> Result<Value> {
        let request = self.signed("mallee", method, path, &[], SignableBody::Bytes(&body), whole(body.clone()))?;
        let (status, answer) = self.send(request, ANSWER_TIMEOUT).await?;
        let value: Value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
        if status < 300 {
            return Ok(value);
        }
        let message = value["message"].as_str().map_or_else(
            || format!("{} answered status {status}: is it a Mallee cloud?", self.access.endpoint),
            str::to_owned,
        );
        Err(ApiFailure { status, message }.into())
    }

    /// Makes a bucket unless the account has it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn ensure_bucket(&self, bucket: &str) -> Result<()> {
        let request =
            self.signed("s3", "PUT", &format!("/{bucket}"), &[], SignableBody::Bytes(b""), whole(Bytes::new()))?;
        let (status, answer) = self.send(request, ANSWER_TIMEOUT).await?;
        let text = String::from_utf8_lossy(&answer);
        match (status, element(&text, "Code")) {
            (200..300, _) | (409, Some("BucketAlreadyOwnedByYou")) => Ok(()),
            (_, _) => Err(xml_failure(status, &text)),
        }
    }

    /// Uploads a file as an object, streaming it.
    ///
    /// # Errors
    /// When the file cannot be read; as [`Client::get`].
    pub async fn upload(&self, file: &Path, bucket: &str, key: &str) -> Result<()> {
        let source = tokio::fs::File::open(file).await.with_context(|| format!("cannot read {}", file.display()))?;
        let length = source.metadata().await?.len().to_string();
        let frames = futures::StreamExt::map(ReaderStream::with_capacity(source, UPLOAD_STEP_BYTES), |step| {
            step.map(Frame::data)
        });
        let body = StreamBody::new(frames).boxed();
        let headers = [("content-length", length.as_str())];
        let request =
            self.signed("s3", "PUT", &format!("/{bucket}/{key}"), &headers, SignableBody::UnsignedPayload, body)?;
        let (status, answer) = self.send(request, UPLOAD_TIMEOUT).await?;
        if status < 300 { Ok(()) } else { Err(xml_failure(status, &String::from_utf8_lossy(&answer))) }
    }

    /// `RegisterImage`; the new image's id.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn register_image(&self, name: &str, location: &str) -> Result<String> {
        let form = format!(
            "Action=RegisterImage&Version=2016-11-15&Name={}&ImageLocation={}&RootDeviceName=%2Fdev%2Fvda",
            encode(name),
            encode(location)
        );
        let body = Bytes::from(form);
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let request = self.signed("ec2", "POST", "/", &headers, SignableBody::Bytes(&body), whole(body.clone()))?;
        let (status, answer) = self.send(request, ANSWER_TIMEOUT).await?;
        let text = String::from_utf8_lossy(&answer);
        match element(&text, "imageId") {
            Some(id) if status < 300 => Ok(id.to_owned()),
            _ => Err(xml_failure(status, &text)),
        }
    }

    fn signed(
        &self,
        service: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        signable: SignableBody<'_>,
        body: Body,
    ) -> Result<http::Request<Body>> {
        let uri = format!("{}{path}", self.access.endpoint.trim_end_matches('/'));
        let mut request = http::Request::builder().method(method).uri(&uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body)?;
        let credentials = Credentials::new(
            &self.access.access_key_id,
            self.access.secret_access_key.expose_secret(),
            None,
            None,
            "mallee",
        );
        let identity: Identity = credentials.into();
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.access.region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let signable = SignableRequest::new(method, &uri, headers.iter().copied(), signable)?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    async fn send(&self, request: http::Request<Body>, patience: Duration) -> Result<(u16, Bytes)> {
        let answer = tokio::time::timeout(patience, self.http.request(request))
            .await
            .with_context(|| format!("the cloud at {} took longer than {patience:?}", self.access.endpoint))?
            .with_context(|| {
                format!(
                    "no cloud answers at {}; start it with `mallee up`, or check AWS_ENDPOINT_URL",
                    self.access.endpoint
                )
            })?;
        let status = answer.status().as_u16();
        match Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(collected) => Ok((status, collected.to_bytes())),
            Err(e) => bail!("the answer of {} broke off: {e}", self.access.endpoint),
        }
    }
}

fn xml_failure(status: u16, text: &str) -> anyhow::Error {
    let message = element(text, "Message").map_or_else(|| format!("the cloud answered status {status}"), str::to_owned);
    ApiFailure { status, message }.into()
}

pub(crate) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
