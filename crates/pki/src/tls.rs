//! What both ends of a connection share: the provider, the clock, reading certificates, and the chain check.

use crate::{Identity, PkiError};
use mallee_runtime::Clock;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Both ends are ours: nothing older is spoken.
pub(crate) const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// HTTP/2, for gRPC.
pub(crate) const ALPN: &[u8] = b"h2";

/// The provider is passed to every configuration; no process-wide default is installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    PROVIDER.clone()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

/// The daemon's clock as rustls reads it, so that validity follows what tests set.
#[derive(Debug)]
pub(crate) struct ClockTime(pub(crate) Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(&self.0))
    }
}

pub(crate) fn unix_time(clock: &Clock) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(clock.now_ms()).unwrap_or(0)))
}

/// Trust in one CA.
pub(crate) fn roots(ca: &CertificateDer<'static>) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone())?;
    Ok(roots)
}

/// Whether `certificate` is signed by the CA and valid at `now`, and the one identity it names.
pub(crate) fn verify_chain(
    certificate: &CertificateDer<'_>,
    roots: &RootCertStore,
    now: UnixTime,
) -> Result<Identity, rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, &[], now, algorithms)?;
    identity_of(certificate).ok_or_else(|| refusal(Refusal("it names no daemon of a Mallee cloud".to_owned())))
}

/// The identity in a certificate's subject alternative name: exactly one name, a URI.
pub(crate) fn identity_of(certificate: &[u8]) -> Option<Identity> {
    let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    match names.as_slice() {
        [GeneralName::URI(uri)] if rest.is_empty() => uri.parse().ok(),
        _ => None,
    }
}

/// Why a certificate with a good chain is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

pub(crate) fn refusal(why: Refusal) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(why))))
}

/// When a certificate is valid, and its serial number in hex.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFacts {
    pub(crate) serial: String,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

impl CertificateFacts {
    pub(crate) fn read(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        Some(Self {
            serial: hex::encode(certificate.raw_serial()),
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
        })
    }
}

/// What a CA's certificate says of itself.
#[derive(Debug)]
pub(crate) struct CaFacts {
    pub(crate) name: String,
    pub(crate) public_key: Vec<u8>,
    pub(crate) not_after: OffsetDateTime,
}

impl CaFacts {
    pub(crate) fn read(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
        let public_key = certificate.public_key().subject_public_key.data.to_vec();
        Some(Self { name, public_key, not_after: certificate.validity().not_after.to_datetime() })
    }
}
