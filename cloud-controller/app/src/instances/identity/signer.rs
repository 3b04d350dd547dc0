//! A key with its certificate.

use super::IdentityError;
use super::pkcs7::{SignedBy, signed_data};
use crate::keys::der;
use crate::keys::material::rsa_der;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mallee_proto::v1::InstanceIdentity;
use mallee_runtime::Rng;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, SerialNumber};
use ring::digest::{SHA256, digest};
use rustls_pki_types::PrivatePkcs8KeyDer;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use time::{Duration, OffsetDateTime};

/// Life of the certificate: as long as the documents of AWS can be verified without another one.
const CERTIFICATE_DAYS: i64 = 100 * 365;
/// It is valid from this long before it is made: clocks of those who verify differ.
const BACKDATE: Duration = Duration::days(1);
/// Random bytes of its serial number.
const SERIAL_BYTES: usize = 16;
/// Signatures kept, about 300 bytes each: a cluster that asks for everything again costs no second signature.
const KEPT_MAX: usize = 20_000;
/// Characters of a line of PEM.
const LINE: usize = 64;

/// Signs identity documents.
pub struct Signer {
    pair: ring::rsa::KeyPair,
    certificate: Vec<u8>,
    by: SignedBy,
    /// By the document's SHA-256.
    kept: Mutex<HashMap<[u8; 32], Vec<u8>>>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

fn no_key(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Key(format!("the key of identity documents: {error}"))
}

/// A certificate of the key, signed by itself (DER).
pub(super) fn self_signed(key: &SecretString, region: &str, now_ms: i64, rng: &Rng) -> Result<Vec<u8>, IdentityError> {
    let pkcs1 = rsa_der(key.expose_secret()).ok_or_else(|| no_key("it is no RSA key"))?;
    let pkcs8 = PrivatePkcs8KeyDer::from(der::pkcs8_of_rsa(&pkcs1));
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_RSA_SHA256).map_err(no_key)?;
    let now = OffsetDateTime::from_unix_timestamp(now_ms / 1000).map_err(no_key)?;
    let mut serial = [0; SERIAL_BYTES];
    rng.fill(&mut serial);
    // Positive, and of this length.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Mallee");
    name.push(DnType::CommonName, format!("instance identity {region}"));
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::days(CERTIFICATE_DAYS);
    Ok(params.self_signed(&pair).map_err(no_key)?.der().to_vec())
}

impl Signer {
    /// Of a key (PKCS#1, PEM) and its certificate (DER).
    ///
    /// # Errors
    /// When one of them is none.
    pub(super) fn new(key: &SecretString, certificate: Vec<u8>) -> Result<Self, IdentityError> {
        let pkcs1 = rsa_der(key.expose_secret()).ok_or_else(|| no_key("it is no RSA key"))?;
        let pair = ring::rsa::KeyPair::from_der(&pkcs1).map_err(no_key)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(no_key)?;
        let by = SignedBy { issuer: parsed.issuer().as_raw().to_vec(), serial: parsed.raw_serial().to_vec() };
        Ok(Self { pair, certificate, by, kept: Mutex::default() })
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        let text = BASE64.encode(&self.certificate);
        let (mut out, mut rest) = ("-----BEGIN CERTIFICATE-----\n".to_owned(), text.as_str());
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(LINE));
            out.push_str(line);
            out.push('\n');
            rest = more;
        }
        out + "-----END CERTIFICATE-----\n"
    }

    /// A document with its signatures; `None` when the key does not sign, which a sound one never does. Of the same document
    /// always the same.
    pub(super) fn sign(&self, document: String) -> Option<InstanceIdentity> {
        let signature = self.signature(document.as_bytes())?;
        let pkcs7 = signed_data(document.as_bytes(), &signature, &self.by);
        Some(InstanceIdentity { document, signature, pkcs7 })
    }

    fn signature(&self, document: &[u8]) -> Option<Vec<u8>> {
        let known: [u8; 32] = digest(&SHA256, document).as_ref().try_into().ok()?;
        if let Some(signature) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&known) {
            return Some(signature.clone());
        }
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let rng = ring::rand::SystemRandom::new();
        self.pair.sign(&ring::signature::RSA_PKCS1_SHA256, &rng, document, &mut signature).ok()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(known, signature.clone());
        Some(signature)
    }
}
