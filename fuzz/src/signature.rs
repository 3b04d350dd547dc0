//! Signatures of version 4 and 2, in headers and in query strings. The key is known, so that everything is read; what a
//! request should have been signed with is put in its place, and is then right.

use crate::lines::request;
use bytes::Bytes;
use futures::FutureExt as _;
use http::request::Parts;
use http::{HeaderValue, Uri, header::AUTHORIZATION};
use mallee_awswire::server::{Service, host, host_bucket, route};
use mallee_awswire::sigv2::{Signatory, SignatureQuery, is_right};
use mallee_awswire::sigv4::{
    Authenticated, Body, ChunkEvent, Claim, CredentialSource, Fault, KeyError, KeyQuery, Payload, ResolvedKey,
    SignatureVersion, SignedRequest, SigningKey, Verifier, VerifierConfig, canonical_query, derive_signing_key,
};
use mallee_awswire::{Flavour, Params};
use secrecy::ExposeSecret as _;
use std::sync::LazyLock;
use time::OffsetDateTime;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// Where virtual hosts are.
const DOMAIN: &str = "s3.example.com";

struct Anybody;

fn signing_key(date: &str, region: &str, service: &str) -> SigningKey {
    SigningKey::new(derive_signing_key(&SECRET.into(), date, region, service).expose_secret())
}

#[async_trait::async_trait]
impl CredentialSource for Anybody {
    type Principal = ();

    async fn signing_key(&self, asked: KeyQuery<'_>) -> Result<ResolvedKey<()>, KeyError> {
        let signing_key = signing_key(asked.date, asked.region, asked.service);
        Ok(ResolvedKey { principal: (), signing_key, expires_at: None })
    }

    fn takes_sigv2(&self) -> bool {
        true
    }

    async fn sigv2(&self, asked: SignatureQuery<'_>) -> Result<Option<Signatory<()>>, KeyError> {
        // Of version 2 any signature without a bit in its first byte is right: nobody tells how it was encoded.
        let right = is_right(&SECRET.into(), asked.string_to_sign, asked.signature);
        Ok((right || asked.signature.starts_with(&[0])).then_some(Signatory { principal: (), expires_at: None }))
    }
}

static VERIFIER: LazyLock<Verifier<Anybody>> = LazyLock::new(|| Verifier::new(Anybody, VerifierConfig::default()));

type Verified = Result<Option<Authenticated<()>>, Fault>;

/// As late as the request says it is: what the clock refuses is read no further.
fn verify(head: &Parts, content: Body<'_>, service: &Service) -> Verified {
    let domains = [DOMAIN.to_owned()];
    let host = host(&head.headers, &head.uri);
    let signed = SignedRequest::new(head, content, service).to_bucket(host_bucket(&host, &domains));
    let at = |now| VERIFIER.verify(&signed, now).now_or_never().expect("nobody is asked");
    match at(OffsetDateTime::UNIX_EPOCH) {
        Err(Fault::Skewed { at: then, .. } | Fault::Expired { at: then, .. }) => at(then),
        verified => verified,
    }
}

/// The request with the signature of version 4 that it should have; none if it does not have one once, in hex.
fn put_right(head: &Parts, string_to_sign: &str) -> Option<Parts> {
    let claim = Claim::read(&head.headers, head.uri.query().unwrap_or_default()).ok()??;
    if claim.version != SignatureVersion::V4 {
        return None;
    }
    let right = signing_key(&claim.date, &claim.region, &claim.service).sign(string_to_sign.as_bytes());
    let (wrong, right) = (hex::encode(claim.signature), hex::encode(right));
    let mut head = head.clone();
    if let Some(value) = head.headers.get(AUTHORIZATION) {
        let text = value.to_str().ok().filter(|text| text.matches(&wrong).count() == 1)?;
        let value = HeaderValue::from_str(&text.replace(&wrong, &right)).ok()?;
        head.headers.insert(AUTHORIZATION, value);
    } else {
        let text = head.uri.to_string();
        let named = |hex: &str| format!("X-Amz-Signature={hex}");
        if text.matches(&wrong).count() != 1 || !text.contains(&named(&wrong)) {
            return None;
        }
        head.uri = text.replace(&named(&wrong), &named(&right)).parse::<Uri>().ok()?;
    }
    Some(head)
}

/// A body in chunks, whose signatures go on from the request's.
fn chunks(payload: Payload, body: &[u8]) {
    let Payload::Chunked(context) = payload else { return };
    let length = body.len() as u64 / 2;
    let (mut verifier, mut events) = (context.verifier(length, &["x-amz-checksum-crc32"]), Vec::new());
    let pushed = verifier.push(Bytes::copy_from_slice(body), &mut events);
    if pushed.is_ok() && verifier.finish(&mut events).is_ok() {
        let bytes = events.iter().map(|event| if let ChunkEvent::Data(data) = event { data.len() as u64 } else { 0 });
        assert_eq!(bytes.sum::<u64>(), length, "as long as it was said to be");
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((head, body)) = request(data) else { return };
    let query = head.uri.query().unwrap_or_default();
    let params = Params::parse(query, body).ok();
    let service = route(head.uri.path(), query, &head.headers, params.as_ref()).service;
    drop(canonical_query(query, ""));
    for service in [&service, &Service::S3] {
        for content in [Body::Stream, Body::Bytes(body)] {
            let fault = match verify(&head, content, service) {
                Ok(None) => continue,
                Ok(Some(known)) => {
                    chunks(known.payload, body);
                    continue;
                }
                Err(fault) => fault,
            };
            drop((fault.to_api(Flavour::S3), fault.to_api(service.flavour())));
            let Fault::Mismatch { string_to_sign, .. } = fault else { continue };
            let Some(head) = put_right(&head, &string_to_sign) else { continue };
            let known = verify(&head, content, service).expect("signed as it should be").expect("signed");
            chunks(known.payload, body);
        }
    }
}
