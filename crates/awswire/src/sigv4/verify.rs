//! The verifier: from a request to who sent it.

use std::sync::Arc;

use http::HeaderMap;
use moka::sync::Cache;
use subtle::ConstantTimeEq as _;
use time::{Duration, OffsetDateTime};

use super::canonical::{self, Parts, PathRules};
use super::fault::Fault;
use super::key::{CredentialSource, KeyError, KeyQuery, ResolvedKey};
use super::parse::{Claim, Placement, single};
use super::post::SignedPolicy;
use super::stream::{ChunkContext, ChunkKind};
use super::{CLOCK_WINDOW_SECONDS, EMPTY_SHA256, sha256};
use crate::error::Flavour;
use crate::server::Service;
use crate::sigv2::{self, SignatureQuery, Unproved};

/// What stands for a session token, or a code of a device, where a caller is told what we signed: replies end in logs.
const HIDDEN_TOKEN: &str = "HIDDEN";

/// What we signed, as its caller may see it.
fn without_token(text: String, token: Option<&str>) -> String {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return text };
    let mut escaped = String::new();
    canonical::uri_encode(&mut escaped, token.as_bytes(), false);
    text.replace(token, HIDDEN_TOKEN).replace(&escaped, HIDDEN_TOKEN)
}

/// Most signing keys kept at once.
pub const MAX_CACHED_KEYS: u64 = 10_000;

/// Which region names a credential scope may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RegionPolicy {
    /// Any, as clients of private clouds configure what they like.
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<String>),
}

/// Settings of a [`Verifier`].
#[derive(Debug, Clone)]
pub struct VerifierConfig {
    /// Accepted regions.
    pub regions: RegionPolicy,
    /// How long a resolved key may be used before the source is asked again: the longest time a deactivated key still works
    /// where [`Verifier::forget`] is not called.
    pub key_ttl: Duration,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self { regions: RegionPolicy::Any, key_ttl: Duration::seconds(10) }
    }
}

/// The body of a request to verify.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// The whole body.
    Bytes(&'a [u8]),
    /// Not read yet (S3): its hash is checked by whoever reads it, as [`Payload`] says.
    Stream,
    /// The fields of a browser's upload (S3): they, and nothing of the request's head, are signed.
    Policy(&'a SignedPolicy<'a>),
}

/// A request to verify, as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path, not decoded.
    pub path: &'a str,
    /// Query string without `?`, not decoded.
    pub query: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// The authority of an HTTP/2 request, which has no `host` header.
    pub authority: Option<&'a str>,
    /// Body.
    pub body: Body<'a>,
    /// The service that the request is for; the scope must name it.
    pub service: &'a str,
    /// That service's protocol: decides which forms of body hash are accepted.
    pub flavour: Flavour,
    /// How that service canonicalises paths.
    pub rules: PathRules,
    /// The bucket (S3) that the host names, so that the path does not: version 2 signs both.
    pub host_bucket: Option<&'a str>,
}

impl<'a> SignedRequest<'a> {
    /// A request for a service, from its HTTP parts.
    #[must_use]
    pub fn new(parts: &'a http::request::Parts, body: Body<'a>, service: &'a Service) -> Self {
        let flavour = service.flavour();
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            authority: parts.uri.authority().map(http::uri::Authority::as_str),
            body,
            service: service.name(),
            flavour,
            rules: if flavour == Flavour::S3 { PathRules::S3 } else { PathRules::OTHERS },
            host_bucket: None,
        }
    }

    /// To a host that names a bucket.
    #[must_use]
    pub const fn to_bucket(mut self, bucket: Option<&'a str>) -> Self {
        self.host_bucket = bucket;
        self
    }
}

/// What is known of the body after verification.
#[derive(Debug, Clone)]
pub enum Payload {
    /// The body given was the one signed.
    Verified,
    /// Whoever reads the body must compare its SHA-256 with this one.
    Sha256([u8; 32]),
    /// The caller chose not to sign the body.
    Unsigned,
    /// The body is `aws-chunked`; read it through a [`ChunkVerifier`](super::ChunkVerifier).
    Chunked(Box<ChunkContext>),
}

impl Payload {
    /// Of a request that nobody signed: how its body comes, and what it says of it.
    ///
    /// # Errors
    /// [`Fault::BadBodyHash`]; [`Fault::Missing`] where the chunks should be signed.
    pub fn unsigned(headers: &HeaderMap) -> Result<Self, Fault> {
        let Some(given) = single(headers, "x-amz-content-sha256")?.filter(|given| *given != "UNSIGNED-PAYLOAD") else {
            return Ok(Self::Unsigned);
        };
        match ChunkKind::of(given) {
            None => parse_hash(given).map(Self::Sha256),
            Some(ChunkKind::UnsignedTrailer) => {
                let key = super::SigningKey::new(&[0; 32]);
                let context = ChunkContext::new(ChunkKind::UnsignedTrailer, key, String::new(), String::new(), [0; 32]);
                Ok(Self::Chunked(Box::new(context)))
            }
            Some(ChunkKind::Signed | ChunkKind::SignedTrailer) => Err(Fault::Missing),
        }
    }
}

/// A verified request.
#[derive(Debug, Clone)]
pub struct Authenticated<P> {
    /// Who sent it.
    pub principal: P,
    /// What it said of its signature.
    pub claim: Claim,
    /// What is known of its body.
    pub payload: Payload,
}

#[derive(Debug, Clone)]
struct CachedKey<P> {
    key: ResolvedKey<P>,
    fetched: OffsetDateTime,
}

/// Verifies requests against keys from a [`CredentialSource`], which it caches.
pub struct Verifier<S: CredentialSource> {
    source: S,
    config: VerifierConfig,
    cache: Cache<String, Arc<CachedKey<S::Principal>>>,
}

impl<S: CredentialSource> std::fmt::Debug for Verifier<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<S: CredentialSource> Verifier<S> {
    /// A verifier with an empty cache.
    #[must_use]
    pub fn new(source: S, config: VerifierConfig) -> Self {
        let cache = Cache::builder().max_capacity(MAX_CACHED_KEYS).support_invalidation_closures().build();
        Self { source, config, cache }
    }

    /// The source of keys.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Forgets all cached keys of an access key, when it is deactivated or deleted or its owner changes.
    pub fn forget(&self, access_key_id: &str) {
        let prefix = format!("{access_key_id}/");
        // Fails only if the cache was built without closures.
        if self.cache.invalidate_entries_if(move |k, _| k.starts_with(&prefix)).is_err() {
            self.cache.invalidate_all();
        }
    }

    /// Forgets every key it knows.
    pub fn forget_all(&self) {
        self.cache.invalidate_all();
    }

    /// Verifies a request. `Ok(None)` means that it is not signed at all: the caller decides whether that is allowed, and
    /// else answers [`Fault::Missing`].
    ///
    /// # Errors
    /// [`Fault`]; [`Fault::to_api`] has the answer for the client.
    pub async fn verify(
        &self,
        req: &SignedRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<Authenticated<S::Principal>>, Fault> {
        if let Body::Policy(policy) = req.body {
            return self.verify_policy(policy, req, now).await.map(Some);
        }
        if sigv2::is_signed(req) {
            return self.verify_sigv2(req, now).await.map(Some);
        }
        let Some(claim) = Claim::read(req.headers, req.query)? else {
            return Ok(None);
        };
        self.check_scope(&claim, req)?;
        check_clock(&claim, now)?;
        let signed: Vec<&str> = claim.signed_headers.split(';').collect();
        check_signed(&claim, req, &signed)?;
        let (body_hash, kind) = body_hash(&claim, req)?;
        let canonical = canonical::request(&Parts {
            method: req.method,
            path: req.path,
            query: req.query,
            headers: req.headers,
            host: req.authority,
            signed_headers: &signed,
            omit: if matches!(claim.placement, Placement::Query { .. }) { "X-Amz-Signature" } else { "" },
            body_hash: &body_hash,
            rules: req.rules,
        })?;
        let string_to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            claim.timestamp_text,
            claim.scope(),
            hex::encode(sha256(canonical.as_bytes()))
        );
        let key = self.key(&claim, now).await?;
        let ours = key.signing_key.sign(string_to_sign.as_bytes());
        if !bool::from(ours.ct_eq(&claim.signature)) {
            let canonical = without_token(canonical, claim.session_token.as_deref());
            let code = single(req.headers, "x-amz-mfa").ok().flatten().map(str::trim);
            let canonical = without_token(canonical, code);
            return Err(Fault::Mismatch { access_key_id: claim.access_key_id, string_to_sign, canonical });
        }
        let payload = match kind {
            BodyKind::Verified => Payload::Verified,
            BodyKind::Sha256(hash) => Payload::Sha256(hash),
            BodyKind::Unsigned => Payload::Unsigned,
            BodyKind::Chunked(kind) => Payload::Chunked(Box::new(ChunkContext::new(
                kind,
                key.signing_key.clone(),
                claim.timestamp_text.clone(),
                claim.scope(),
                claim.signature,
            ))),
        };
        Ok(Some(Authenticated { principal: key.principal, claim, payload }))
    }

    /// Nothing of it is cached: every request asks the source, which has the secret.
    async fn verify_sigv2(
        &self,
        req: &SignedRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Authenticated<S::Principal>, Fault> {
        if !self.source.takes_sigv2() {
            return Err(Fault::Sigv2Off);
        }
        let unproved = Unproved::read(req)?;
        unproved.check_clock(now)?;
        self.prove(unproved, now).await
    }

    /// Asks the source whether a signature of version 2 is right.
    pub(super) async fn prove(
        &self,
        unproved: Unproved,
        now: OffsetDateTime,
    ) -> Result<Authenticated<S::Principal>, Fault> {
        let Unproved { claim, signature, strings_to_sign, payload, .. } = unproved;
        for string_to_sign in &strings_to_sign {
            let query = SignatureQuery {
                access_key_id: &claim.access_key_id,
                session_token: claim.session_token.as_deref(),
                service: &claim.service,
                string_to_sign,
                signature: &signature,
            };
            match self.source.sigv2(query).await.map_err(|error| key_fault(error, &claim))? {
                None => {}
                Some(signatory) if signatory.expires_at.is_some_and(|end| now >= end) => {
                    return Err(Fault::TokenExpired);
                }
                Some(signatory) => return Ok(Authenticated { principal: signatory.principal, claim, payload }),
            }
        }
        let string_to_sign = strings_to_sign.into_iter().next().unwrap_or_default();
        Err(Fault::Mismatch {
            string_to_sign: without_token(string_to_sign, claim.session_token.as_deref()),
            access_key_id: claim.access_key_id,
            canonical: String::new(),
        })
    }

    fn check_region(&self, claim: &Claim) -> Result<(), Fault> {
        match &self.config.regions {
            RegionPolicy::OneOf(list) if !list.contains(&claim.region) => {
                Err(Fault::Scope(format!("Credential should be scoped to a valid region, not '{}'.", claim.region)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_scope(&self, claim: &Claim, req: &SignedRequest<'_>) -> Result<(), Fault> {
        if claim.service != req.service {
            return Err(Fault::Scope(format!("Credential should be scoped to correct service: '{}'.", req.service)));
        }
        self.check_region(claim)
    }

    pub(super) async fn key(&self, claim: &Claim, now: OffsetDateTime) -> Result<ResolvedKey<S::Principal>, Fault> {
        let token = claim.session_token.as_deref();
        let mut id = format!("{}/{}/{}/{}", claim.access_key_id, claim.date, claim.region, claim.service);
        if let Some(token) = token {
            id.push('/');
            id.push_str(&hex::encode(sha256(token.as_bytes())));
        }
        let fresh = |c: &CachedKey<S::Principal>| now >= c.fetched && now - c.fetched < self.config.key_ttl;
        let cached = self.cache.get(&id).filter(|c| fresh(c));
        let key = match cached {
            Some(cached) => cached.key.clone(),
            None => {
                let query = KeyQuery {
                    access_key_id: &claim.access_key_id,
                    session_token: token,
                    date: &claim.date,
                    region: &claim.region,
                    service: &claim.service,
                };
                let key = self.source.signing_key(query).await.map_err(|error| key_fault(error, claim))?;
                self.cache.insert(id, Arc::new(CachedKey { key: key.clone(), fetched: now }));
                key
            }
        };
        if key.expires_at.is_some_and(|end| now >= end) {
            return Err(Fault::TokenExpired);
        }
        Ok(key)
    }
}

fn key_fault(error: KeyError, claim: &Claim) -> Fault {
    match error {
        KeyError::Unknown => Fault::UnknownKey(claim.access_key_id.clone()),
        KeyError::Expired => Fault::TokenExpired,
        KeyError::InvalidToken => Fault::TokenInvalid,
        KeyError::Sigv2Off => Fault::Sigv2Off,
        KeyError::Unavailable(why) => Fault::Unavailable(why),
    }
}

fn check_clock(claim: &Claim, now: OffsetDateTime) -> Result<(), Fault> {
    let at = claim.timestamp;
    let window = Duration::seconds(CLOCK_WINDOW_SECONDS);
    let skewed = Err(Fault::Skewed { at, now });
    match claim.placement {
        Placement::Header if (now - at).abs() > window => skewed,
        Placement::Query { .. } if at - now > window => skewed,
        Placement::Query { expires } if now - at > Duration::seconds(expires.into()) => {
            Err(Fault::Expired { at: at.saturating_add(Duration::seconds(expires.into())), now })
        }
        _ => Ok(()),
    }
}

/// Whether a header of ours says what a request does. Not `x-mallee-from`, which the cloud's port adds behind the signature.
pub(crate) fn is_instruction(name: &str) -> bool {
    name.starts_with("x-mallee-replica") || name == "x-mallee-durability"
}

/// `host`, every header that says what the request does, and in header form the date must be signed: whoever sees a request
/// could add it. Nothing of the signature may be given twice.
fn check_signed(claim: &Claim, req: &SignedRequest<'_>, signed: &[&str]) -> Result<(), Fault> {
    single(req.headers, "host")?;
    for name in ["x-amz-content-sha256", "x-amz-date", "x-amz-security-token"] {
        single(req.headers, name)?;
    }
    let must = |name: &str| {
        if signed.binary_search(&name).is_ok() { Ok(()) } else { Err(Fault::Unsigned(name.to_owned())) }
    };
    must("host")?;
    for name in req.headers.keys() {
        if name.as_str().starts_with("x-amz-") || is_instruction(name.as_str()) {
            must(name.as_str())?;
        }
    }
    if claim.placement == Placement::Header && !req.headers.contains_key("x-amz-date") {
        must("date")?;
    }
    Ok(())
}

enum BodyKind {
    Verified,
    Sha256([u8; 32]),
    Unsigned,
    Chunked(ChunkKind),
}

/// The hash that goes into the canonical request, and what it says of the body.
fn body_hash(claim: &Claim, req: &SignedRequest<'_>) -> Result<(String, BodyKind), Fault> {
    let header = single(req.headers, "x-amz-content-sha256")?;
    if req.flavour == Flavour::S3 {
        let given = match (header, claim.placement) {
            (Some(given), _) => given,
            (None, Placement::Query { .. } | Placement::Form) => "UNSIGNED-PAYLOAD",
            (None, Placement::Header) => return Err(Fault::NoBodyHash),
        };
        if given == "UNSIGNED-PAYLOAD" {
            return Ok((given.to_owned(), BodyKind::Unsigned));
        }
        if let Some(kind) = ChunkKind::of(given) {
            return Ok((given.to_owned(), BodyKind::Chunked(kind)));
        }
        let hash = parse_hash(given)?;
        return match req.body {
            Body::Stream => Ok((given.to_owned(), BodyKind::Sha256(hash))),
            Body::Bytes(bytes) => compare(bytes, given),
            // Verified by its fields.
            Body::Policy(_) => Err(Fault::BadBodyHash),
        };
    }
    let Body::Bytes(bytes) = req.body else {
        return Err(Fault::BadBodyHash);
    };
    match header {
        Some(given) => {
            parse_hash(given)?;
            compare(bytes, given)
        }
        None if bytes.is_empty() => Ok((EMPTY_SHA256.to_owned(), BodyKind::Verified)),
        None => Ok((hex::encode(sha256(bytes)), BodyKind::Verified)),
    }
}

fn compare(bytes: &[u8], given: &str) -> Result<(String, BodyKind), Fault> {
    let computed = hex::encode(sha256(bytes));
    if computed == given {
        Ok((computed, BodyKind::Verified))
    } else {
        Err(Fault::BodyHash { claimed: given.to_owned(), computed })
    }
}

pub(crate) fn parse_hash(text: &str) -> Result<[u8; 32], Fault> {
    let mut out = [0; 32];
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if lower && hex::decode_to_slice(text, &mut out).is_ok() { Ok(out) } else { Err(Fault::BadBodyHash) }
}
