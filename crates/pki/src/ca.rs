//! The cluster's own certificate authority: one key in one directory, and the only place that signs certificates.

use crate::credentials::{Credentials, new_key_and_csr};
use crate::{Identity, PkiError, files, tls};
use mallee_runtime::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use ring::rand::SecureRandom as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::path::Path;
use time::{Duration, OffsetDateTime};

/// Life of a daemon's certificate.
pub const CERTIFICATE_DAYS: i64 = 90;
/// Life of the CA. It is not rotated: a cloud older than this needs a new CA and its daemons join again.
const CA_DAYS: i64 = 20 * 365;
/// Certificates are valid from this long before they are made: daemons' clocks differ.
const BACKDATE: Duration = Duration::minutes(10);
/// Longest certificate request, in bytes of DER; ours have about 200.
const CSR_BYTES_MAX: usize = 8 * 1024;
/// Bytes of an uncompressed point of P-256.
const P256_POINT_BYTES: usize = 65;
/// Random bytes of a serial number.
const SERIAL_BYTES: usize = 16;

const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.pem";

/// The certificate authority of one cloud.
pub struct Ca {
    cloud: String,
    clock: Clock,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: OffsetDateTime,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("cloud", &self.cloud).finish_non_exhaustive()
    }
}

impl Ca {
    /// The CA in `dir` (0700; `ca.key` and `ca.pem`, 0600), made at the first call.
    ///
    /// # Errors
    /// When a file cannot be read or written, is open to others, is lost, or belongs to another cloud.
    pub fn load_or_create(dir: &Path, cloud_id: &str, clock: &Clock) -> Result<Self, PkiError> {
        files::private_dir(dir)?;
        let (key_path, certificate_path) = (dir.join(KEY_FILE), dir.join(CERTIFICATE_FILE));
        let unreadable =
            |what: &Path| PkiError::State(format!("{} is damaged: restore it from a backup", what.display()));
        let certificate_text = files::read_private(&certificate_path)?;
        let key = match files::read_private(&key_path)?.map(SecretString::from) {
            Some(text) => KeyPair::from_pem(text.expose_secret()).map_err(|_| unreadable(&key_path))?,
            // A new key would lock out every daemon that trusts the old one: that is for the operator to decide.
            None if certificate_text.is_some() => {
                let (key, certificate) = (key_path.display(), certificate_path.display());
                return Err(PkiError::State(format!(
                    "{key} is missing beside {certificate}: restore it from a backup"
                )));
            }
            None => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                let text = SecretString::from(key.serialize_pem());
                files::write_private(dir, KEY_FILE, text.expose_secret().as_bytes())?;
                key
            }
        };
        let certificate = match certificate_text {
            Some(text) => CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| unreadable(&certificate_path))?,
            // Also after a crash between the two files: the key is there, its certificate not yet.
            None => {
                let certificate = self_signed(&key, cloud_id, clock.now())?;
                files::write_private(dir, CERTIFICATE_FILE, files::certificate_pem(&certificate).as_bytes())?;
                certificate
            }
        };
        let facts = tls::CaFacts::read(&certificate).ok_or_else(|| unreadable(&certificate_path))?;
        if facts.name != ca_name(cloud_id) {
            let (dir, name) = (dir.display(), facts.name);
            return Err(PkiError::State(format!(
                "{dir} holds the CA named '{name}', this cloud is '{cloud_id}': use its own directory"
            )));
        }
        if facts.public_key != key.public_key_raw() {
            return Err(PkiError::State(format!(
                "{} does not belong to {}: restore both from one backup",
                key_path.display(),
                certificate_path.display()
            )));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { cloud: cloud_id.to_owned(), clock: clock.clone(), issuer, certificate, not_after: facts.not_after })
    }

    /// The cloud it signs for.
    #[must_use]
    pub fn cloud_id(&self) -> &str {
        &self.cloud
    }

    /// Its own certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// SHA-256 of its certificate: join tokens carry it.
    #[must_use]
    pub fn ca_sha256(&self) -> [u8; 32] {
        tls::sha256(&self.certificate)
    }

    /// Signs a certificate for `identity` (DER, 90 days, for both ends of a connection) with the key of a PKCS#10
    /// request. Whatever else the request wishes is ignored; its own signature proves possession of the key.
    ///
    /// # Errors
    /// [`PkiError::Request`] for a request that is no ECDSA P-256 request or whose signature is wrong, and for an
    /// identity of another cloud.
    pub fn issue(&self, csr_der: &[u8], identity: &Identity) -> Result<Vec<u8>, PkiError> {
        if identity.cloud != self.cloud {
            return Err(PkiError::Request(format!("{identity} is of another cloud than {}", self.cloud)));
        }
        let request = read_request(csr_der)?;
        let now = self.clock.now();
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("{} {}", identity.role.name(), identity.id));
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        params.not_before = now - BACKDATE;
        params.not_after = self.not_after.min(now + Duration::days(CERTIFICATE_DAYS));
        if params.not_after <= now {
            return Err(PkiError::State(format!("the CA of the cloud expired on {}", self.not_after.date())));
        }
        Ok(params.signed_by(&request.public_key, &self.issuer)?.der().to_vec())
    }

    /// A fresh key with its certificate, for a daemon that lives beside its CA: the cloud controller itself.
    ///
    /// # Errors
    /// As [`Ca::issue`].
    pub fn credentials(&self, identity: &Identity) -> Result<Credentials, PkiError> {
        let (key, csr) = new_key_and_csr()?;
        let certificate = self.issue(&csr, identity)?;
        Credentials::new(key, &certificate, &self.certificate, self.ca_sha256(), &self.clock)
    }
}

/// SHA-256 of the public key that a PKCS#10 request wants signed, hex: the same for every request of one key.
///
/// # Errors
/// [`PkiError::Request`] for what [`Ca::issue`] would not sign.
pub fn request_key_sha256(csr_der: &[u8]) -> Result<String, PkiError> {
    let request = read_request(csr_der)?;
    Ok(hex::encode(tls::sha256(rcgen::PublicKeyData::der_bytes(&request.public_key))))
}

/// A request whose own signature is right: its sender has the key.
fn read_request(csr_der: &[u8]) -> Result<CertificateSigningRequestParams, PkiError> {
    if csr_der.len() > CSR_BYTES_MAX {
        return Err(PkiError::Request(format!("it has more than {CSR_BYTES_MAX} bytes")));
    }
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der))
        .map_err(|error| PkiError::Request(error.to_string()))?;
    let point = rcgen::PublicKeyData::der_bytes(&request.public_key);
    if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 || point.len() != P256_POINT_BYTES {
        return Err(PkiError::Request("its key is not of ECDSA P-256".to_owned()));
    }
    Ok(request)
}

fn ca_name(cloud_id: &str) -> String {
    format!("Mallee CA {cloud_id}")
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0u8; SERIAL_BYTES];
    let random = ring::rand::SystemRandom::new();
    random.fill(&mut bytes).map_err(|_| PkiError::Crypto("no random bytes".to_owned()))?;
    // Positive and not zero, as RFC 5280 wants it.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn self_signed(key: &KeyPair, cloud_id: &str, now: OffsetDateTime) -> Result<CertificateDer<'static>, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&ca_name(cloud_id));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(serial()?);
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::days(CA_DAYS);
    Ok(params.self_signed(key)?.der().clone())
}
