//! A daemon's key and certificate, on disk and in use. New handshakes take what the store holds at that moment:
//! that is how certificates rotate without a restart.

use crate::{Identity, PkiError, files, tls};
use mallee_runtime::Clock;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::watch;

/// Key, certificate and CA in one file, so that one rename replaces them all.
const FILE: &str = "credentials.pem";
/// A key whose certificate has been asked for.
const PENDING_FILE: &str = "joining.key";

/// A key that waits for its certificate.
pub struct NewKey(SecretString);

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey [redacted]")
    }
}

/// A fresh ECDSA P-256 key and a request (PKCS#10, DER) to sign it. The request names nobody: the CA decides who its
/// sender becomes.
///
/// # Errors
/// [`PkiError::Crypto`] when the system gives no random bytes.
pub fn new_key_and_csr() -> Result<(NewKey, Vec<u8>), PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let csr = CertificateParams::default().serialize_request(&key)?.der().to_vec();
    Ok((NewKey(key.serialize_pem().into()), csr))
}

/// The key that waits in `dir` for its certificate, made at the first call, with a request to sign it. It stays the
/// same until [`Credentials::save`]: a daemon whose request was granted, but that never heard so, asks again with the
/// same key, and is known by it.
///
/// # Errors
/// When a file cannot be read or written, is open to others or damaged.
pub fn pending_key_and_csr(dir: &Path) -> Result<(NewKey, Vec<u8>), PkiError> {
    files::private_dir(dir)?;
    let path = dir.join(PENDING_FILE);
    let key = match files::read_private(&path)?.map(SecretString::from) {
        Some(text) => KeyPair::from_pem(text.expose_secret())
            .map_err(|_| PkiError::State(format!("{} is damaged: remove it", path.display())))?,
        None => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let text = SecretString::from(key.serialize_pem());
            files::write_private(dir, PENDING_FILE, text.expose_secret().as_bytes())?;
            key
        }
    };
    let csr = CertificateParams::default().serialize_request(&key)?.der().to_vec();
    Ok((NewKey(key.serialize_pem().into()), csr))
}

/// A daemon's key with its certificate and the CA that signed it.
pub struct Credentials {
    identity: Identity,
    key_pem: SecretString,
    certified: Arc<CertifiedKey>,
    ca: CertificateDer<'static>,
    facts: tls::CertificateFacts,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.identity.to_string();
        f.debug_struct("Credentials")
            .field("identity", &identity)
            .field("serial", &self.facts.serial)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The key with what the cloud controller answered: a certificate and its CA, both DER. `ca_sha256` is the CA one
    /// trusts already: the join token's, or that of the credentials being renewed.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] when the CA is another one, or the certificate is not for this key, not signed by
    /// the CA, not valid now, or names no identity.
    pub fn new(
        key: NewKey,
        certificate: &[u8],
        ca: &[u8],
        ca_sha256: [u8; 32],
        clock: &Clock,
    ) -> Result<Self, PkiError> {
        if tls::sha256(ca) != ca_sha256 {
            return Err(PkiError::Certificate("it comes with another CA than the one trusted here".to_owned()));
        }
        let (certificate, ca) = (CertificateDer::from(certificate.to_vec()), CertificateDer::from(ca.to_vec()));
        tls::verify_chain(&certificate, &tls::roots(&ca)?, tls::unix_time(clock))
            .map_err(|error| PkiError::Certificate(error.to_string()))?;
        Self::assemble(key.0, certificate, ca)
    }

    fn assemble(
        key_pem: SecretString,
        certificate: CertificateDer<'static>,
        ca: CertificateDer<'static>,
    ) -> Result<Self, PkiError> {
        let bad = |why: &str| PkiError::Certificate(why.to_owned());
        let identity = tls::identity_of(&certificate).ok_or_else(|| bad("it names no daemon"))?;
        let facts = tls::CertificateFacts::read(&certificate).ok_or_else(|| bad("it cannot be read"))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.expose_secret().as_bytes())
            .map_err(|_| bad("its key cannot be read"))?;
        let key = tls::provider().key_provider.load_private_key(key)?;
        // The CA goes along: a daemon that enrols knows only the CA's hash.
        let certified = CertifiedKey::new(vec![certificate, ca.clone()], key);
        certified.keys_match().map_err(|_| bad("it is not for this key"))?;
        Ok(Self { identity, key_pem, certified: Arc::new(certified), ca, facts })
    }

    /// What is kept in `dir`; none when nothing is. A certificate that has expired is an error: the daemon must join again.
    ///
    /// # Errors
    /// When the file cannot be read, is open to others, is damaged, or its certificate is not valid now.
    pub fn load(dir: &Path, clock: &Clock) -> Result<Option<Self>, PkiError> {
        let path = dir.join(FILE);
        let Some(text) = files::read_private(&path)?.map(SecretString::from) else {
            return Ok(None);
        };
        let damaged =
            || PkiError::State(format!("{} is damaged: remove it and join again with a new token", path.display()));
        let (key, certificates) = text.expose_secret().split_once(CERTIFICATE_BEGIN).ok_or_else(damaged)?;
        let certificates = format!("{CERTIFICATE_BEGIN}{certificates}");
        let mut certificates = CertificateDer::pem_slice_iter(certificates.as_bytes());
        let (Some(Ok(certificate)), Some(Ok(ca)), None) =
            (certificates.next(), certificates.next(), certificates.next())
        else {
            return Err(damaged());
        };
        let credentials = Self::assemble(key.to_owned().into(), certificate, ca).map_err(|_| damaged())?;
        if credentials.not_after() <= clock.now() {
            let (path, day) = (path.display(), credentials.not_after().date());
            return Err(PkiError::State(format!(
                "the certificate in {path} expired on {day}: remove it and join again with a new token"
            )));
        }
        Ok(Some(credentials))
    }

    /// Keeps them in `dir` (0700), in a file of mode 0600, in place of what was there. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), PkiError> {
        files::private_dir(dir)?;
        let mut text = self.key_pem.expose_secret().trim_end().to_owned() + "\n";
        for certificate in &self.certified.cert {
            text.push_str(&files::certificate_pem(certificate));
        }
        let text = SecretString::from(text);
        files::write_private(dir, FILE, text.expose_secret().as_bytes())?;
        match std::fs::remove_file(dir.join(PENDING_FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                // It is of no use to anybody: the credentials hold the same key.
                tracing::info!(%error, "the key of the request stays beside the credentials");
            }
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    /// Who they make one.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate's serial number, in hex.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.facts.serial
    }

    /// From when on the certificate is valid.
    #[must_use]
    pub const fn not_before(&self) -> OffsetDateTime {
        self.facts.not_before
    }

    /// Until when the certificate is valid.
    #[must_use]
    pub const fn not_after(&self) -> OffsetDateTime {
        self.facts.not_after
    }

    /// SHA-256 of the CA's certificate.
    #[must_use]
    pub fn ca_sha256(&self) -> [u8; 32] {
        tls::sha256(&self.ca)
    }

    pub(crate) const fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }
}

const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// The credentials in use. Clones are the same store; `swap` changes what every later handshake takes, at either end.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    current: Arc<watch::Sender<Arc<Credentials>>>,
    clock: Clock,
}

impl CredentialStore {
    /// A store that holds these; certificates of peers are judged by this clock.
    #[must_use]
    pub fn new(credentials: Credentials, clock: &Clock) -> Self {
        Self { current: Arc::new(watch::Sender::new(Arc::new(credentials))), clock: clock.clone() }
    }

    /// What it holds now.
    #[must_use]
    pub fn current(&self) -> Arc<Credentials> {
        self.current.borrow().clone()
    }

    /// Whose they are.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.current().identity.clone()
    }

    /// Puts others in their place. Open connections go on.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] when they are for another identity or from another CA.
    pub fn swap(&self, credentials: Credentials) -> Result<(), PkiError> {
        let old = self.current();
        if credentials.identity != old.identity || credentials.ca != old.ca {
            let (new, old) = (&credentials.identity, &old.identity);
            return Err(PkiError::Certificate(format!("it makes {new} of {old}, or comes from another CA")));
        }
        self.current.send_replace(Arc::new(credentials));
        Ok(())
    }

    /// Tells of every swap.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Credentials>> {
        self.current.subscribe()
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl ResolvesServerCert for CredentialStore {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified.clone())
    }
}

impl ResolvesClientCert for CredentialStore {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
