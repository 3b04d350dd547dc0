//! The chunks of one stream.

use super::key::DataKey;
use super::layout::SALT_BYTES;
use crate::error::Error;
use bytes::BytesMut;
use mallee_runtime::Rng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

const PURPOSE: &[u8] = b"mallee s3 stream 1";

/// Makes a stream's key its own.
pub(super) type StreamSalt = [u8; SALT_BYTES as usize];

pub(super) fn fresh_salt(rng: &Rng) -> StreamSalt {
    let mut salt = [0; SALT_BYTES as usize];
    rng.fill(&mut salt);
    salt
}

/// The key of one stream.
pub(super) struct Cipher(LessSafeKey);

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher([redacted])")
    }
}

fn nonce(chunk: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let (_, end) = bytes.split_at_mut(NONCE_LEN - 8);
    end.copy_from_slice(&chunk.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn aad(chunk: u64, is_last: bool) -> Aad<[u8; 9]> {
    let mut bytes = [0; 9];
    let (index, last) = bytes.split_at_mut(8);
    index.copy_from_slice(&chunk.to_be_bytes());
    last.fill(u8::from(is_last));
    Aad::from(bytes)
}

impl Cipher {
    /// Of the stream with this salt, that holds this part (0: the object).
    pub(super) fn new(key: &DataKey, salt: &[u8], part: u32) -> Result<Self, Error> {
        let failed = |_| Error::Corrupt("a key cannot be derived".to_owned());
        let secret = Salt::new(HKDF_SHA256, salt).extract(key.bytes());
        let number = part.to_be_bytes();
        let purpose = [PURPOSE, &number];
        let okm = secret.expand(&purpose, &AES_256_GCM).map_err(failed)?;
        Ok(Self(LessSafeKey::new(UnboundKey::from(okm))))
    }

    /// Encrypts what `data` holds from `from` on, and adds the tag.
    pub(super) fn seal(&self, chunk: u64, is_last: bool, data: &mut BytesMut, from: usize) -> Result<(), Error> {
        let plain = data.get_mut(from..).unwrap_or_default();
        let tag = self.0.seal_in_place_separate_tag(nonce(chunk), aad(chunk, is_last), plain);
        data.extend_from_slice(tag.map_err(|_| Error::Corrupt("a chunk cannot be sealed".to_owned()))?.as_ref());
        Ok(())
    }

    /// Decrypts a chunk with its tag; only the plain bytes stay.
    pub(super) fn open(&self, chunk: u64, is_last: bool, data: &mut BytesMut) -> Result<(), Error> {
        let opened = self.0.open_in_place(nonce(chunk), aad(chunk, is_last), data.as_mut());
        let len = opened.map_err(|_| Error::Corrupt(format!("chunk {chunk} does not decrypt")))?.len();
        data.truncate(len);
        Ok(())
    }
}
