//! Data keys, and how each is kept with what it encrypts: sealed with the store's key, by KMS, or under a key that only
//! the client has.

use crate::error::Error;
use mallee_runtime::Rng;
use mallee_store::{Store, text_open, text_seal};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a salt, and of an id.
const SALT_BYTES: usize = 16;

/// What encrypts the bytes of one object. Never logged, never stored.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey([redacted])")
    }
}

fn damaged() -> Error {
    Error::Corrupt("the sealed key of an object does not open".to_owned())
}

impl DataKey {
    /// A fresh one.
    #[must_use]
    pub fn random(rng: &Rng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rng.fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// From 32 bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map(|bytes| Self(Zeroizing::new(bytes))).map_err(|_| damaged())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// How an object is encrypted, and its sealed data key. Kept as JSON with the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "alg")]
pub enum Encryption {
    /// The store's key seals the data key.
    #[serde(rename = "AES256")]
    Store {
        /// Names the sealing: a data key cannot be taken for another.
        id: String,
        /// Hex.
        dek: String,
    },
    /// KMS does.
    #[serde(rename = "aws:kms")]
    Kms(KmsSealed),
    /// A key of the client does, of which nothing is kept but a digest.
    #[serde(rename = "C")]
    Customer {
        /// Of the digest, hex.
        salt: String,
        /// HMAC-SHA256 of the client's key under the salt, hex.
        digest: String,
        /// Hex.
        dek: String,
    },
}

/// A data key that KMS has sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsSealed {
    /// ARN of the key.
    pub key: String,
    /// KMS's ciphertext, hex.
    pub dek: String,
    /// What it was sealed with, and opens with.
    pub context: BTreeMap<String, String>,
    /// Of the context what the client gave.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, String>,
    /// The context names the bucket, not the object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bucket_key: bool,
}

impl Encryption {
    /// The text that is kept.
    ///
    /// # Errors
    /// None in practice.
    pub fn to_text(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|e| Error::Corrupt(e.to_string()))
    }

    /// Reads what was kept; `None` where nothing is encrypted.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for what is not understood: its bytes must not be given out.
    pub fn from_text(text: Option<&str>) -> Result<Option<Self>, Error> {
        let read = |text| serde_json::from_str(text).map_err(|e| Error::Corrupt(format!("an encryption: {e}")));
        text.map(read).transpose()
    }
}

/// A key that a client brings with its request. Never logged, never stored.
#[derive(Clone)]
pub struct CustomerKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomerKey([redacted])")
    }
}

impl CustomerKey {
    /// From 32 bytes; `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(|bytes| Self(Zeroizing::new(bytes))).ok()
    }

    fn wrapping(&self, salt: &[u8]) -> Result<LessSafeKey, Error> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let tag = hmac::sign(&secret, &[b"mallee s3 customer key 1", salt].concat());
        UnboundKey::new(&AES_256_GCM, tag.as_ref()).map(LessSafeKey::new).map_err(|_| damaged())
    }

    fn signer(salt: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, salt)
    }

    /// Seals a data key under this key.
    ///
    /// # Errors
    /// None in practice.
    pub fn seal(&self, rng: &Rng, key: &DataKey) -> Result<Encryption, Error> {
        let mut salt = [0; SALT_BYTES];
        rng.fill(&mut salt);
        let digest = hmac::sign(&Self::signer(&salt), self.0.as_slice());
        let mut body = key.bytes().to_vec();
        // The salt makes the wrapping key one that is used once.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        self.wrapping(&salt)?.seal_in_place_append_tag(nonce, Aad::empty(), &mut body).map_err(|_| damaged())?;
        Ok(Encryption::Customer { salt: hex::encode(salt), digest: hex::encode(digest), dek: hex::encode(body) })
    }

    /// The data key that was sealed under this key; `None` if it was another.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when what is kept is damaged.
    pub fn open(&self, salt: &str, digest: &str, dek: &str) -> Result<Option<DataKey>, Error> {
        let read = |text: &str| hex::decode(text).map_err(|_| damaged());
        let (salt, digest) = (read(salt)?, read(digest)?);
        if hmac::verify(&Self::signer(&salt), self.0.as_slice(), &digest).is_err() {
            return Ok(None);
        }
        let mut body = Zeroizing::new(read(dek)?);
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let plain = self.wrapping(&salt)?.open_in_place(nonce, Aad::empty(), &mut body).map_err(|_| damaged())?;
        DataKey::from_bytes(plain).map(Some)
    }
}

/// Seals data keys with the store's key.
#[derive(Debug, Clone)]
pub struct Vault(Store);

impl Vault {
    /// Of this store.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self(store)
    }

    fn name(id: &str) -> String {
        format!("s3 data key {id}")
    }

    /// Seals a data key.
    ///
    /// # Errors
    /// None in practice.
    pub fn seal(&self, rng: &Rng, key: &DataKey) -> Result<Encryption, Error> {
        let id = format!("{:032x}", rng.u128());
        let plain = Zeroizing::new(hex::encode(key.bytes()));
        let sealed = text_seal(&self.0, &Self::name(&id), &plain).map_err(|e| Error::Corrupt(e.to_string()))?;
        Ok(Encryption::Store { id, dek: hex::encode(sealed) })
    }

    /// Opens a data key that [`Vault::seal`] sealed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for anything else, and when the store's key is another.
    pub fn open(&self, id: &str, dek: &str) -> Result<DataKey, Error> {
        let sealed = hex::decode(dek).map_err(|_| damaged())?;
        let text = text_open(&self.0, &Self::name(id), &sealed).map_err(|_| damaged())?;
        let bytes = Zeroizing::new(hex::decode(text.expose_secret()).map_err(|_| damaged())?);
        DataKey::from_bytes(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_client_opens_what_it_sealed() {
        let rng = Rng::seeded(1);
        let (own, other) = (CustomerKey::from_bytes(&[1; 32]).unwrap(), CustomerKey::from_bytes(&[2; 32]).unwrap());
        let key = DataKey::random(&rng);
        let kept = own.seal(&rng, &key).unwrap().to_text().unwrap();
        assert!(!kept.contains(&hex::encode([1; 32])) && !kept.contains(&hex::encode(key.bytes())));
        let Some(Encryption::Customer { salt, digest, dek }) = Encryption::from_text(Some(&kept)).unwrap() else {
            panic!("{kept}");
        };
        assert_eq!(own.open(&salt, &digest, &dek).unwrap().unwrap().bytes(), key.bytes());
        assert!(other.open(&salt, &digest, &dek).unwrap().is_none());
        assert!(own.open(&salt, &digest, &dek.replace(&dek[..2], "zz")).is_err());
        assert!(CustomerKey::from_bytes(&[1; 31]).is_none());
        for debug in [format!("{own:?}"), format!("{key:?}")] {
            assert!(debug.contains("redacted"));
        }
    }

    #[test]
    fn what_is_not_understood_is_damage() {
        assert!(Encryption::from_text(None).unwrap().is_none());
        for bad in ["", "{}", r#"{"alg":"ROT13"}"#, r#"{"alg":"AES256"}"#] {
            assert!(Encryption::from_text(Some(bad)).is_err(), "{bad}");
        }
    }
}
