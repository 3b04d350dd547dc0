//! Signatures of browser uploads: AWS's published example, version 2, and what must not pass.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::futures_lite;
use http::HeaderMap;
use mallee_awswire::server::Service;
use mallee_awswire::sigv2::{Signatory, SignatureQuery, is_right};
use mallee_awswire::sigv4::{
    Body, CredentialSource, Fault, KeyError, KeyQuery, Placement, PolicySeal, ResolvedKey, SignedPolicy, SignedRequest,
    SigningKey, Verifier, VerifierConfig, derive_signing_key,
};
use ring::hmac;
use secrecy::ExposeSecret as _;
use time::macros::datetime;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// "Browser-based upload using HTTP POST (using AWS signature version 4)" of the Amazon S3 API reference.
const POLICY: &str = r#"{ "expiration": "2015-12-30T12:00:00.000Z",
  "conditions": [
    {"bucket": "sigv4examplebucket"},
    ["starts-with", "$key", "user/user1/"],
    {"acl": "public-read"},
    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},
    ["starts-with", "$Content-Type", "image/"],
    {"x-amz-meta-uuid": "14365123651274"},
    {"x-amz-server-side-encryption": "AES256"},
    ["starts-with", "$x-amz-meta-tag", ""],

    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-date": "20151229T000000Z" }
  ]
}"#;
const SIGNATURE: &str = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";
const CREDENTIAL: &str = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request";

struct Table {
    sigv2: bool,
}

#[async_trait::async_trait]
impl CredentialSource for Table {
    type Principal = &'static str;

    async fn signing_key(&self, q: KeyQuery<'_>) -> Result<ResolvedKey<&'static str>, KeyError> {
        if q.access_key_id != KEY {
            return Err(KeyError::Unknown);
        }
        if q.session_token.is_some() {
            return Err(KeyError::InvalidToken);
        }
        let key = derive_signing_key(&SECRET.into(), q.date, q.region, q.service);
        Ok(ResolvedKey { principal: "alice", signing_key: SigningKey::new(key.expose_secret()), expires_at: None })
    }

    fn takes_sigv2(&self) -> bool {
        self.sigv2
    }

    async fn sigv2(&self, q: SignatureQuery<'_>) -> Result<Option<Signatory<&'static str>>, KeyError> {
        let right = q.access_key_id == KEY && is_right(&SECRET.into(), q.string_to_sign, q.signature);
        Ok(right.then_some(Signatory { principal: "alice", expires_at: None }))
    }
}

fn verify(sigv2: bool, signed: SignedPolicy<'_>) -> Result<&'static str, Fault> {
    let request = http::Request::builder().method("POST").uri("/sigv4examplebucket").body(()).unwrap();
    let (mut parts, ()) = request.into_parts();
    parts.headers = HeaderMap::new();
    let request = SignedRequest::new(&parts, Body::Policy(&signed), &Service::S3);
    let verifier = Verifier::new(Table { sigv2 }, VerifierConfig::default());
    let known = futures_lite(verifier.verify(&request, datetime!(2015-12-29 12:00 UTC)))?;
    let known = known.ok_or(Fault::Missing)?;
    assert_eq!(known.claim.placement, Placement::Form);
    Ok(known.principal)
}

fn v4<'a>(credential: &'a str, signature: &'a str) -> PolicySeal<'a> {
    PolicySeal::V4 { algorithm: "AWS4-HMAC-SHA256", credential, date: "20151229T000000Z", signature }
}

#[test]
fn the_published_example() {
    let policy = STANDARD.encode(POLICY.replace('\n', "\r\n"));
    let (wrong, elsewhere) = (SIGNATURE.replace('8', "9"), CREDENTIAL.replace("/s3/", "/iam/"));
    let other = CREDENTIAL.replace("AKIAIO", "AKIAXX");
    let with = |seal| verify(false, SignedPolicy { policy: &policy, seal, session_token: None });
    assert_eq!(with(v4(CREDENTIAL, SIGNATURE)), Ok("alice"));
    assert!(matches!(with(v4(CREDENTIAL, &wrong)), Err(Fault::Mismatch { .. })));
    assert!(matches!(with(v4(&other, SIGNATURE)), Err(Fault::UnknownKey(_))));
    // A signature for another service opens nothing here.
    assert!(matches!(with(v4(&elsewhere, SIGNATURE)), Err(Fault::Scope(_))));
    let old =
        PolicySeal::V4 { algorithm: "HMAC", credential: CREDENTIAL, date: "20151229T000000Z", signature: SIGNATURE };
    assert!(matches!(with(old), Err(Fault::Query(_))));
    for bad in [v4("", SIGNATURE), v4("a/b", SIGNATURE), v4(CREDENTIAL, "xyz")] {
        assert!(with(bad).is_err());
    }
    let changed = format!("{policy}A");
    let signed = SignedPolicy { policy: &changed, seal: v4(CREDENTIAL, SIGNATURE), session_token: None };
    assert!(matches!(verify(false, signed), Err(Fault::Mismatch { .. })));
    let token = SignedPolicy { policy: &policy, seal: v4(CREDENTIAL, SIGNATURE), session_token: Some("t") };
    assert_eq!(verify(false, token), Err(Fault::TokenInvalid));
}

#[test]
fn version_2_behind_its_switch() {
    let policy = STANDARD.encode(POLICY);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, policy.as_bytes()));
    let seal = PolicySeal::V2 { access_key_id: KEY, signature: &signature };
    let signed = SignedPolicy { policy: &policy, seal, session_token: None };
    assert_eq!(verify(true, signed), Ok("alice"));
    assert_eq!(verify(false, signed), Err(Fault::Sigv2Off));
    let changed = format!("{policy}A");
    assert!(matches!(verify(true, SignedPolicy { policy: &changed, ..signed }), Err(Fault::Mismatch { .. })));
}
