//! Sending one request to another object store, signed with version 4. Connections are kept for the next ones.

use super::Peer;
use super::patience::watched;
use crate::dial::{Open, connect};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use mallee_s3::{PeerAnswer, PeerBody, PeerRequest, Unreplicated};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What stays as it is in parameters.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What stays as it is in the path of an object.
const PATH: &AsciiSet = &PLAIN.remove(b'/');
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Connections that are kept.
const IDLE_MAX: usize = 8;
/// How long a connection is kept. Servers keep theirs longer.
const IDLE_TIME: Duration = Duration::from_secs(3);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Connections that wait for a request.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<(Instant, Open<Body>)>>);

impl Idle {
    fn take(&self) -> Option<Open<Body>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(since, open)| since.elapsed() < IDLE_TIME && !open.sender.is_closed());
        all.pop().map(|(_, open)| open)
    }

    fn keep(&self, open: Open<Body>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < IDLE_MAX && !open.sender.is_closed() {
            all.push((Instant::now(), open));
        }
    }
}

fn later(store: &str, why: impl std::fmt::Display) -> Unreplicated {
    Unreplicated::Later(format!("the object store {store} cannot be asked: {why}"))
}

fn refused(store: &str, why: impl std::fmt::Display) -> Unreplicated {
    Unreplicated::Refused(format!("what cannot be asked of the object store {store}: {why}"))
}

/// The path and parameters of a request.
fn target(request: &PeerRequest) -> String {
    let mut target = format!("/{}", request.bucket);
    if !request.key.is_empty() {
        target.push('/');
        target.extend(utf8_percent_encode(&request.key, PATH));
    }
    for (n, (name, value)) in request.query.iter().enumerate() {
        target.push(if n == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        target.extend(utf8_percent_encode(value, PLAIN));
    }
    target
}

fn body(body: PeerBody) -> Body {
    match body {
        PeerBody::Bytes(data) => Full::new(data).map_err(|never| match never {}).boxed_unsync(),
        PeerBody::Stream(_, data) => {
            StreamBody::new(data.map(|data| data.map(Frame::data).map_err(io::Error::other))).boxed_unsync()
        }
    }
}

impl Peer {
    /// Sends a request; what was answered.
    pub(super) async fn send(&self, name: &str, request: PeerRequest) -> Result<PeerAnswer, Unreplicated> {
        let posts = request.method == Method::POST;
        let answer = match &request.body {
            _ if posts => self.patience.post,
            PeerBody::Stream(..) => self.patience.after_stream,
            PeerBody::Bytes(_) => self.patience.answer,
        };
        let silent = |time: Duration| later(name, format!("it was silent for {time:?}"));
        let request = self.signed(request).map_err(|why| refused(name, why))?;
        let mut open = match tokio::time::timeout(self.patience.connect, self.open()).await {
            Ok(open) => open.map_err(|error| later(name, error))?,
            Err(_) => return Err(silent(self.patience.connect)),
        };
        let (head, body) = request.into_parts();
        let (body, watch) = watched(body);
        let reply = tokio::select! {
            reply = open.sender.send_request(Request::from_parts(head, body)) => reply,
            time = watch.silence(self.patience.step, answer) => return Err(silent(time)),
        };
        let (head, rest) = reply.map_err(|error| later(name, error))?.into_parts();
        // The end of an upload may be answered at once, with white space until it is known how it ends.
        let whole = if posts { answer } else { self.patience.step };
        let body = tokio::time::timeout(whole, read(rest)).await.map_err(|_| silent(whole))?;
        match body {
            // Who refuses may not have read all of the request.
            Some(_) if head.status.is_success() => self.idle.keep(open),
            None if head.status.is_success() => return Err(later(name, "its answer broke off")),
            _ => {}
        }
        Ok(PeerAnswer { status: head.status, headers: head.headers, body: body.unwrap_or_default() })
    }

    async fn open(&self) -> Result<Open<Body>, crate::dial::CannotDial> {
        while let Some(mut open) = self.idle.take() {
            if open.sender.ready().await.is_ok() {
                return Ok(open);
            }
        }
        // The operator has named it: it may be anywhere.
        connect(&self.url, true, self.trust.as_ref()).await
    }

    /// The request with its signature.
    fn signed(&self, request: PeerRequest) -> Result<Request<Body>, Box<dyn std::error::Error + Send + Sync>> {
        let host = self.url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let target = target(&request);
        let uri = format!("{}://{host}{target}", self.url.scheme_str().unwrap_or("http"));
        let secret = self.secret.expose_secret();
        let identity: Identity = Credentials::new(&self.access_key_id, secret, None, None, "mallee").into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::UNIX_EPOCH + Duration::from_millis(request.now_ms.try_into()?))
            .settings(settings)
            .build()?
            .into();
        let payload = match &request.body {
            PeerBody::Bytes(data) => SignableBody::Bytes(data),
            PeerBody::Stream(..) => SignableBody::UnsignedPayload,
        };
        // The signer would leave out a port that is the default one; what is signed is what is sent.
        let headers = std::iter::once((HOST.as_str(), host))
            .chain(request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let signable = SignableRequest::new(request.method.as_str(), &uri, headers, payload)?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let (made, _) = instructions.into_parts();
        let mut signed =
            Request::builder().method(&request.method).uri(target).header(HOST, host).header(USER_AGENT, "mallee");
        for (name, value) in &request.headers {
            signed = signed.header(name, value.as_bytes());
        }
        for header in &made {
            signed = signed.header(header.name(), header.value());
        }
        if matches!(request.method, Method::PUT | Method::POST) {
            signed = signed.header(CONTENT_LENGTH, request.body.size());
        }
        Ok(signed.body(body(request.body))?)
    }
}

/// The body of an answer; `None`: it is longer than is read, or broke off.
async fn read(body: Incoming) -> Option<Bytes> {
    Limited::new(body, ANSWER_BYTES_MAX).collect().await.ok().map(http_body_util::Collected::to_bytes)
}

#[cfg(test)]
mod tests;
