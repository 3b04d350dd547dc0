//! Which certificates a provider may show: publicly trusted ones, and those whose SHA-1 was registered with it, as IAM
//! keeps thumbprints. A thumbprint stands for a certificate of the chain that is shown: the server's own, or one that
//! has issued it.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha1::{Digest as _, Sha1};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Certificates of a chain that are looked at.
const CHAIN_MAX: usize = 10;

/// What is trusted of one provider.
#[derive(Debug)]
pub(crate) struct Trust {
    /// SHA-1, lower-case hex.
    thumbprints: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    pub(crate) fn new(thumbprints: &[String]) -> Self {
        let thumbprints = thumbprints.iter().map(|thumbprint| thumbprint.to_ascii_lowercase()).collect();
        Self { thumbprints, provider: Arc::new(ring::default_provider()) }
    }

    fn is_registered(&self, certificate: &CertificateDer<'_>) -> bool {
        self.thumbprints.contains(&hex::encode(Sha1::digest(certificate.as_ref())))
    }
}

/// The roots that this host trusts, read once.
fn public_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "some of this host's trusted certificates do not read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    };
    ROOTS.get_or_init(read).clone()
}

/// The verifier of one connection, which remembers what it said.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    trust: Arc<Trust>,
    refused: Arc<AtomicBool>,
}

impl Trusted {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust, refused: Arc::default() }
    }

    pub(crate) fn has_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn config(&self) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(self.trust.provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.clone()));
        Ok(builder.with_no_client_auth())
    }

    fn by_roots(&self, roots: Arc<RootCertStore>, shown: &Shown<'_>) -> Result<ServerCertVerified, Error> {
        if roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, self.trust.provider.clone());
        let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(shown.own, shown.chain, shown.name, &[], shown.now)
    }

    fn by_thumbprint(&self, shown: &Shown<'_>) -> Result<ServerCertVerified, Error> {
        for issuer in shown.chain.iter().take(CHAIN_MAX).filter(|issuer| self.trust.is_registered(issuer)) {
            let mut roots = RootCertStore::empty();
            roots.add(issuer.clone())?;
            if let Ok(verified) = self.by_roots(Arc::new(roots), shown) {
                return Ok(verified);
            }
        }
        if self.trust.is_registered(shown.own) {
            verify_server_name(&ParsedCertificate::try_from(shown.own)?, shown.name)?;
            let (_, parsed) =
                x509_parser::parse_x509_certificate(shown.own).map_err(|_| CertificateError::BadEncoding)?;
            let now = i64::try_from(shown.now.as_secs()).unwrap_or(i64::MAX);
            let validity = parsed.validity();
            if now > validity.not_after.timestamp() {
                return Err(CertificateError::Expired.into());
            }
            if now < validity.not_before.timestamp() {
                return Err(CertificateError::NotValidYet.into());
            }
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::UnknownIssuer.into())
    }
}

/// What a server shows.
struct Shown<'a> {
    own: &'a CertificateDer<'a>,
    chain: &'a [CertificateDer<'a>],
    name: &'a ServerName<'a>,
    now: UnixTime,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Shown { own, chain, name, now };
        let verified = self.by_roots(public_roots(), &shown).or_else(|_| self.by_thumbprint(&shown));
        if verified.is_err() {
            self.refused.store(true, Ordering::Relaxed);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.trust.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.trust.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.provider.signature_verification_algorithms.supported_schemes()
    }
}
