//! Ciphertexts: which key and material, and what is sealed with a key of their own that is derived from the material.
//! Pure, but for the randomness it is given.
//!
//! `1 version | 16 key id | 4 material | 32 salt | sealed | 16 tag`. Every ciphertext has a key of its own
//! (HKDF-SHA256 of material and salt), so that one material seals without end; all before `sealed` and the encryption
//! context are authenticated.

use crate::context::{self, Context};
use mallee_awswire::{ApiError, Code};
use mallee_runtime::Rng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

/// Bytes of a material.
pub(crate) const MATERIAL_BYTES: usize = 32;
const VERSION: u8 = 1;
const SALT_BYTES: usize = 32;
const HEAD_BYTES: usize = 1 + 16 + 4;
const PURPOSE: &[u8] = b"mallee kms ciphertext 1";

/// A material's secret.
pub(crate) struct Material(pub(crate) Zeroizing<[u8; MATERIAL_BYTES]>);

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material([redacted])")
    }
}

/// What a ciphertext says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    /// UUID of its key.
    pub(crate) key_id: String,
    /// Which material of it.
    pub(crate) material: u32,
    head: &'a [u8],
    salt: &'a [u8],
    sealed: &'a [u8],
}

fn id_bytes(key_id: &str) -> Option<[u8; 16]> {
    hex::decode(key_id.replace('-', "")).ok()?.try_into().ok()
}

fn id_text(bytes: &[u8]) -> String {
    let mut text = hex::encode(bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

fn key_of(material: &Material, salt: &[u8]) -> Result<LessSafeKey, ApiError> {
    let secret = Salt::new(HKDF_SHA256, salt).extract(material.0.as_slice());
    let okm = secret.expand(&[PURPOSE], &AES_256_GCM).map_err(|_| ApiError::internal("no key is derived"))?;
    Ok(LessSafeKey::new(UnboundKey::from(okm)))
}

/// The key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn aad(head: &[u8], salt: &[u8], bound: &Context) -> Aad<Vec<u8>> {
    Aad::from([head, salt, &context::bytes(bound)].concat())
}

/// Seals bytes with a material of a key.
///
/// # Errors
/// None in practice.
pub(crate) fn seal(
    rng: &Rng,
    key_id: &str,
    n: u32,
    material: &Material,
    bound: &Context,
    plain: &[u8],
) -> Result<Vec<u8>, ApiError> {
    let id = id_bytes(key_id).ok_or_else(|| ApiError::internal("a key whose id is no UUID"))?;
    let head = [&[VERSION][..], &id, &n.to_be_bytes()].concat();
    let mut salt = [0; SALT_BYTES];
    rng.fill(&mut salt);
    let mut body = Zeroizing::new(plain.to_vec());
    // Room for the tag: the plain bytes do not stay behind in a smaller buffer.
    body.reserve_exact(AES_256_GCM.tag_len());
    key_of(material, &salt)?
        .seal_in_place_append_tag(nonce(), aad(&head, &salt, bound), &mut *body)
        .map_err(|_| ApiError::internal("sealing failed"))?;
    Ok([head.as_slice(), &salt, &body].concat())
}

/// Reads what a ciphertext says of itself; nothing of it is proved yet.
///
/// # Errors
/// `InvalidCiphertextException`.
pub(crate) fn read(ciphertext: &[u8]) -> Result<Envelope<'_>, ApiError> {
    let parts = || {
        let (head, rest) = ciphertext.split_at_checked(HEAD_BYTES)?;
        let (salt, sealed) = rest.split_at_checked(SALT_BYTES)?;
        let (version, rest) = head.split_first()?;
        let (id, n) = rest.split_at_checked(16)?;
        let material = u32::from_be_bytes(n.try_into().ok()?);
        let whole = *version == VERSION && sealed.len() >= AES_256_GCM.tag_len();
        whole.then(|| Envelope { key_id: id_text(id), material, head, salt, sealed })
    };
    parts().ok_or_else(|| Code::InvalidCiphertextException.error())
}

impl Envelope<'_> {
    /// The bytes that were sealed.
    ///
    /// # Errors
    /// `InvalidCiphertextException` where anything, the context included, is not what was sealed.
    pub(crate) fn open(&self, material: &Material, bound: &Context) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        let mut body = Zeroizing::new(self.sealed.to_vec());
        let opened = key_of(material, self.salt)?.open_in_place(nonce(), aad(self.head, self.salt, bound), &mut body);
        let len = opened.map_err(|_| Code::InvalidCiphertextException.error())?.len();
        body.truncate(len);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12345678-90ab-cdef-1234-567890abcdef";

    fn material(byte: u8) -> Material {
        Material(Zeroizing::new([byte; MATERIAL_BYTES]))
    }

    fn bound(value: &str) -> Context {
        [("app".to_owned(), value.to_owned())].into()
    }

    #[test]
    fn what_is_sealed_opens_with_its_material_and_context_only() {
        let rng = Rng::seeded(1);
        let sealed = seal(&rng, ID, 7, &material(1), &bound("x"), b"secret").unwrap();
        let envelope = read(&sealed).unwrap();
        assert_eq!((envelope.key_id.as_str(), envelope.material), (ID, 7));
        assert_eq!(envelope.open(&material(1), &bound("x")).unwrap().as_slice(), b"secret");
        for (m, context) in [(2, bound("x")), (1, bound("y")), (1, Context::new())] {
            let code = envelope.open(&material(m), &context).unwrap_err().code();
            assert_eq!(code, Code::InvalidCiphertextException);
        }
        // Twice the same is not the same.
        assert_ne!(sealed, seal(&rng, ID, 7, &material(1), &bound("x"), b"secret").unwrap());
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        let empty = seal(&rng, ID, 1, &material(1), &Context::new(), b"").unwrap();
        assert!(read(&empty).unwrap().open(&material(1), &Context::new()).unwrap().is_empty());
    }

    #[test]
    fn a_flipped_bit_or_a_missing_byte_is_told() {
        let sealed = seal(&Rng::seeded(2), ID, 1, &material(1), &bound("x"), b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            let opened = read(&other).and_then(|e| e.open(&material(1), &bound("x")));
            assert_eq!(opened.unwrap_err().code(), Code::InvalidCiphertextException, "bit of byte {at}");
            let opened = read(&sealed[..at]).and_then(|e| e.open(&material(1), &bound("x")));
            assert!(opened.is_err(), "the first {at} bytes");
        }
    }
}
