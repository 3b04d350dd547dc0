//! Sealing of access-key secrets: AES-256-GCM under a key that is kept outside the database, so that a copy of the
//! database alone gives nobody a credential.

use crate::StoreError;
use mallee_runtime::Rng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::SecretString;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

const KEY_BYTES: usize = 32;

/// The key under which secrets are sealed.
#[derive(Clone)]
pub struct SealKey(Arc<LessSafeKey>);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey([redacted])")
    }
}

impl SealKey {
    /// The key of these 32 bytes.
    ///
    /// # Errors
    /// [`StoreError::Config`] for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes)
            .map_err(|_| StoreError::Config(format!("a seal key has {KEY_BYTES} bytes, not {}", bytes.len())))?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }

    /// A fresh key that is kept nowhere (tests, simulations).
    ///
    /// # Errors
    /// None in practice.
    pub fn random(rng: &Rng) -> Result<Self, StoreError> {
        let mut bytes = [0; KEY_BYTES];
        rng.fill(&mut bytes);
        Self::from_bytes(&bytes)
    }

    /// The key in this file, which is made (mode 0600) if it is not there. Blocking; a few hundred bytes.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the file cannot be read or written, or holds something else.
    pub fn load_or_create(path: &Path, rng: &Rng) -> Result<Self, StoreError> {
        let explain = |what: &str, error: &std::io::Error| {
            StoreError::Config(format!("cannot {what} the seal key {}: {error}", path.display()))
        };
        let mut options = std::fs::OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                let mut bytes = [0; KEY_BYTES];
                rng.fill(&mut bytes);
                file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(|e| explain("write", &e))?;
                if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                    std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(|e| explain("write", &e))?;
                }
                Self::from_bytes(&bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mut bytes = Vec::new();
                let file = std::fs::File::open(path).map_err(|e| explain("open", &e))?;
                file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| explain("read", &e))?;
                Self::from_bytes(&bytes)
            }
            Err(error) => Err(explain("create", &error)),
        }
    }

    /// Seals `secret`; only the same `name` opens it, so that sealed values cannot be swapped between rows.
    pub(crate) fn seal(&self, rng: &Rng, name: &str, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_LEN];
        rng.fill(&mut nonce);
        let mut body = secret.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()), &mut body)
            .map_err(|_| StoreError::Sealed)?;
        let mut sealed = nonce.to_vec();
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made.
    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> Result<SecretString, StoreError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(StoreError::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| StoreError::Sealed)?;
        let mut body = body.to_vec();
        let plain =
            self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut body).map_err(|_| StoreError::Sealed)?;
        let text = std::str::from_utf8(plain).map_err(|_| StoreError::Sealed)?;
        Ok(SecretString::from(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_opens_under_its_name_and_key_only() {
        let rng = Rng::seeded(1);
        let (key, other) = (SealKey::random(&rng).unwrap(), SealKey::random(&rng).unwrap());
        let sealed = key.seal(&rng, "AKIA1", b"secret").unwrap();
        assert_eq!(key.open("AKIA1", &sealed).unwrap().expose_secret(), "secret");
        assert!(key.open("AKIA2", &sealed).is_err());
        assert!(other.open("AKIA1", &sealed).is_err());
        assert!(key.open("AKIA1", &sealed[..5]).is_err());
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
    }

    #[test]
    fn the_key_file_is_private_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let rng = Rng::seeded(2);
        let sealed = SealKey::load_or_create(&path, &rng).unwrap().seal(&rng, "n", b"s").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SealKey::load_or_create(&path, &rng).unwrap().open("n", &sealed).is_ok());
        std::fs::write(&path, b"short").unwrap();
        assert!(SealKey::load_or_create(&path, &rng).is_err());
    }
}
