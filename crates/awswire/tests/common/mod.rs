//! What the signature tests share: a raw HTTP request, a fixed key table, and signing with AWS's own crate.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part; a test fails by panicking")]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderName, HeaderValue};
use mallee_awswire::Flavour;
use mallee_awswire::sigv4::{
    Authenticated, Body, CredentialSource, Fault, KeyError, KeyQuery, PathRules, ResolvedKey, SignedRequest,
    SigningKey, Verifier, VerifierConfig, derive_signing_key,
};
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;

pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// One key, with or without the session token it belongs to.
#[derive(Clone, Default)]
pub struct Table {
    pub token: Option<String>,
    pub expires_at: Option<OffsetDateTime>,
}

#[async_trait::async_trait]
impl CredentialSource for Table {
    type Principal = String;

    async fn signing_key(&self, q: KeyQuery<'_>) -> Result<ResolvedKey<String>, KeyError> {
        if q.access_key_id != KEY {
            return Err(KeyError::Unknown);
        }
        if q.session_token != self.token.as_deref() {
            return Err(KeyError::InvalidToken);
        }
        let key = derive_signing_key(&SECRET.into(), q.date, q.region, q.service);
        Ok(ResolvedKey {
            principal: "alice".to_owned(),
            signing_key: SigningKey::new(key.expose_secret()),
            expires_at: self.expires_at,
        })
    }
}

/// A request as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Raw {
    /// Parses the text of a request; `None` where an HTTP server would already refuse. Folded header lines are joined.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
        let first = lines.next()?;
        let (method, rest) = first.split_once(' ')?;
        let target = rest.strip_suffix(" HTTP/1.1")?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines.filter(|l| !l.is_empty()) {
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((name.to_owned(), value.to_owned()));
        }
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_alphabetic()) || !target.starts_with('/') {
            return None;
        }
        Some(Self { method: method.to_owned(), target: target.to_owned(), headers, body: body.as_bytes().to_vec() })
    }

    pub fn text(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\n", self.method, self.target);
        for (n, v) in &self.headers {
            out.push_str(&format!("{n}:{v}\n"));
        }
        out.push('\n');
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }

    pub fn header_map(&self) -> Option<HeaderMap> {
        let mut map = HeaderMap::new();
        for (n, v) in &self.headers {
            let value = v.trim_matches([' ', '\t']);
            map.append(HeaderName::from_bytes(n.as_bytes()).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        Some(map)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, q)| q)
    }
}

/// Which kind of service a test signs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub service: &'static str,
    pub flavour: Flavour,
    pub rules: PathRules,
}

pub const EC2: Kind = Kind { service: "ec2", flavour: Flavour::Ec2, rules: PathRules::OTHERS };
pub const S3: Kind = Kind { service: "s3", flavour: Flavour::S3, rules: PathRules::S3 };

/// Verifies with a fresh verifier. `Err(None)`: not even HTTP.
pub fn verify(
    raw: &Raw,
    kind: Kind,
    table: Table,
    now: OffsetDateTime,
) -> Result<Authenticated<String>, Option<Fault>> {
    let headers = raw.header_map().ok_or(None)?;
    let request = SignedRequest {
        method: &raw.method,
        path: raw.path(),
        query: raw.query(),
        headers: &headers,
        authority: None,
        body: Body::Bytes(&raw.body),
        service: kind.service,
        flavour: kind.flavour,
        rules: kind.rules,
        host_bucket: None,
    };
    let verifier = Verifier::new(table, VerifierConfig::default());
    let answer = futures_lite(verifier.verify(&request, now));
    answer.map_err(Some)?.ok_or(Some(Fault::Missing))
}

/// Runs a future that never waits.
pub fn futures_lite<F: Future>(f: F) -> F::Output {
    let mut f = std::pin::pin!(f);
    match f.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(out) => out,
        std::task::Poll::Pending => panic!("the key table never waits"),
    }
}

/// How to sign.
#[derive(Debug, Clone, Copy, Default)]
pub struct How<'a> {
    /// Presign for so many seconds instead of signing in a header.
    pub presign: Option<u64>,
    /// Session token.
    pub token: Option<&'a str>,
    /// S3 payload word instead of the body's hash.
    pub payload: Option<&'a str>,
}

/// Signs with AWS's crate at `now`; `raw` gives method, target, headers with `host`, and body.
pub fn signed(raw: &Raw, kind: Kind, how: How<'_>, now: OffsetDateTime) -> Raw {
    let identity = Credentials::new(KEY, SECRET, how.token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    let s3 = kind.flavour == Flavour::S3;
    settings.percent_encoding_mode = if s3 { PercentEncodingMode::Single } else { PercentEncodingMode::Double };
    settings.uri_path_normalization_mode =
        if s3 { UriPathNormalizationMode::Disabled } else { UriPathNormalizationMode::Enabled };
    settings.payload_checksum_kind =
        if s3 && how.presign.is_none() { PayloadChecksumKind::XAmzSha256 } else { PayloadChecksumKind::NoHeader };
    settings.session_token_mode = SessionTokenMode::Include;
    if let Some(seconds) = how.presign {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(seconds));
    }
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(now.unix_timestamp().unsigned_abs());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eucalyptus")
        .name(kind.service)
        .time(at)
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let uri = format!("http://{}{}", host(raw), raw.target);
    let body = match (how.payload, how.presign) {
        (Some(word), _) => SignableBody::Precomputed(word.to_owned()),
        (None, Some(_)) if s3 => SignableBody::UnsignedPayload,
        _ => SignableBody::Bytes(&raw.body),
    };
    let headers: Vec<(&str, &str)> = raw.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let signable = SignableRequest::new(&raw.method, &uri, headers.into_iter(), body).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut request = http::Request::builder().method(raw.method.as_str()).uri(&uri).body(()).unwrap();
    instructions.apply_to_request_http1x(&mut request);
    let mut out = raw.clone();
    out.target = request.uri().path_and_query().unwrap().as_str().to_owned();
    for (n, v) in request.headers() {
        out.headers.push((n.as_str().to_owned(), v.to_str().unwrap().to_owned()));
    }
    out
}

pub fn host(raw: &Raw) -> &str {
    raw.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("host")).map(|(_, v)| v.as_str()).unwrap()
}

/// A request with a host.
pub fn raw(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Raw {
    let mut all = vec![("host".to_owned(), "cloud.example:8773".to_owned())];
    all.extend(headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    Raw { method: method.to_owned(), target: target.to_owned(), headers: all, body: body.as_bytes().to_vec() }
}
