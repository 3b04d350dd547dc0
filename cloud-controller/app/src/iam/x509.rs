//! Certificates and keys as users upload them: PEM, checked before they are kept.

use mallee_awswire::{ApiError, Code};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Certificates of a chain at most.
const CHAIN_MAX: usize = 10;

/// A certificate that reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER form, hex.
    pub digest: String,
    /// When it begins to hold, in milliseconds since 1970.
    pub starts_ms: i64,
    /// When it runs out.
    pub expires_ms: i64,
    /// Its public key (DER, SubjectPublicKeyInfo).
    spki: Vec<u8>,
}

fn malformed(what: &str) -> ApiError {
    Code::MalformedCertificate.message(format!("Unable to parse {what}. Please ensure the {what} is in PEM format."))
}

fn read(der: &[u8], what: &str) -> Result<Certificate, ApiError> {
    let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| malformed(what))?;
    if !rest.is_empty() {
        return Err(malformed(what));
    }
    Ok(Certificate {
        digest: hex::encode(Sha256::digest(der)),
        starts_ms: parsed.validity().not_before.timestamp().saturating_mul(1000),
        expires_ms: parsed.validity().not_after.timestamp().saturating_mul(1000),
        spki: parsed.public_key().raw.to_vec(),
    })
}

/// The one certificate of a PEM text.
///
/// # Errors
/// `MalformedCertificate`.
pub fn certificate(pem: &str) -> Result<Certificate, ApiError> {
    let mut all = CertificateDer::pem_slice_iter(pem.as_bytes());
    match (all.next(), all.next()) {
        (Some(Ok(der)), None) => read(&der, "certificate"),
        _ => Err(malformed("certificate")),
    }
}

/// Checks the certificates above one.
///
/// # Errors
/// `MalformedCertificate`.
pub fn check_chain(pem: &str) -> Result<(), ApiError> {
    let mut count = 0;
    for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        count += 1;
        read(&der.map_err(|_| malformed("certificate chain"))?, "certificate chain")?;
    }
    if count == 0 || count > CHAIN_MAX { Err(malformed("certificate chain")) } else { Ok(()) }
}

/// Checks that a private key (PEM, not encrypted) is that of the certificate.
///
/// # Errors
/// `MalformedCertificate` for a key that does not read, `KeyPairMismatch` for another's.
pub fn check_key(certificate: &Certificate, pem: &SecretString) -> Result<(), ApiError> {
    let bad = || {
        Code::MalformedCertificate
            .message("Unable to parse key. Please ensure the key is in PEM format and is not encrypted.")
    };
    let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| bad())?;
    let key = rustls::crypto::ring::sign::any_supported_type(&der).map_err(|_| bad())?;
    let public = key.public_key().ok_or_else(bad)?;
    if public.as_ref() == certificate.spki.as_slice() {
        return Ok(());
    }
    Err(Code::KeyPairMismatch.message("The public key certificate and the private key do not match."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, SecretString) {
        let made = rcgen::generate_simple_self_signed(vec!["example.org".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem().into())
    }

    #[test]
    fn a_key_fits_its_own_certificate_only() {
        let ((pem, key), (_, other)) = (pair(), pair());
        let read = certificate(&pem).unwrap();
        assert!(read.expires_ms > read.starts_ms && read.digest.len() == 64);
        assert!(check_key(&read, &key).is_ok());
        assert_eq!(check_key(&read, &other).unwrap_err().code(), Code::KeyPairMismatch);
        assert_eq!(check_key(&read, &"x".into()).unwrap_err().code(), Code::MalformedCertificate);
        assert!(check_chain(&format!("{pem}\n{pem}")).is_ok());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let (pem, _) = pair();
        for text in ["", "hello", &format!("{pem}{pem}"), &pem.replace("MII", "AAA")] {
            assert_eq!(certificate(text).unwrap_err().code(), Code::MalformedCertificate, "{text:?}");
        }
        assert!(check_chain("").is_err());
    }
}
