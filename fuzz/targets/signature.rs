//! Signatures of version 4 and 2, in headers and in query strings. The key is known, so that everything is read; nobody
//! guesses a signature.
#![no_main]

use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use mallee_awswire::server::{Service, host, host_bucket, route};
use mallee_awswire::sigv2::{Signatory, SignatureQuery, is_right};
use mallee_awswire::sigv4::{
    Body, Claim, CredentialSource, KeyError, KeyQuery, ResolvedKey, SignedRequest, SigningKey, Verifier,
    VerifierConfig, canonical_query, derive_signing_key,
};
use mallee_awswire::{Flavour, Params};
use mallee_fuzz::request;
use secrecy::ExposeSecret as _;
use std::sync::LazyLock;
use time::OffsetDateTime;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

struct Anybody;

#[async_trait::async_trait]
impl CredentialSource for Anybody {
    type Principal = ();

    async fn signing_key(&self, asked: KeyQuery<'_>) -> Result<ResolvedKey<()>, KeyError> {
        let key = derive_signing_key(&SECRET.into(), asked.date, asked.region, asked.service);
        Ok(ResolvedKey { principal: (), signing_key: SigningKey::new(key.expose_secret()), expires_at: None })
    }

    fn takes_sigv2(&self) -> bool {
        true
    }

    async fn sigv2(&self, asked: SignatureQuery<'_>) -> Result<Option<Signatory<()>>, KeyError> {
        let right = is_right(&SECRET.into(), asked.string_to_sign, asked.signature);
        Ok(right.then_some(Signatory { principal: (), expires_at: None }))
    }
}

static VERIFIER: LazyLock<Verifier<Anybody>> = LazyLock::new(|| Verifier::new(Anybody, VerifierConfig::default()));

fuzz_target!(|data: &[u8]| {
    let Some((head, body)) = request(data) else { return };
    let query = head.uri.query().unwrap_or_default();
    let params = Params::parse(query, body).ok();
    let service = route(head.uri.path(), query, &head.headers, params.as_ref()).service;
    let domains = ["s3.example.com".to_owned()];
    let host = host(&head.headers, &head.uri);
    drop(canonical_query(query, ""));
    // It is as late as the request says: what the clock refuses is read no further.
    let claimed = Claim::read(&head.headers, query).ok().flatten().and_then(|claim| claim.signed_at());
    let now = claimed.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    for service in [&service, &Service::S3] {
        for content in [Body::Stream, Body::Bytes(body)] {
            let signed = SignedRequest::new(&head, content, service).to_bucket(host_bucket(&host, &domains));
            if let Err(fault) = block_on(VERIFIER.verify(&signed, now)) {
                drop(fault.to_api(Flavour::S3));
                drop(fault.to_api(service.flavour()));
            }
        }
    }
});
