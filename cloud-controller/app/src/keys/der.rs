//! The few DER structures that keys and signatures need: RSA keys as PKCS#8 and SubjectPublicKeyInfo, and what others are
//! made of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
/// `SEQUENCE { OID 1.2.840.113549.1.1.1 rsaEncryption, NULL }` (RFC 8017 A.1).
pub(crate) const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A value with its tag and length.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if let Ok(short @ 0..=127) = u8::try_from(length) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | u8::try_from(bytes.len() - skip).unwrap_or(8));
        out.extend_from_slice(&bytes[skip..]);
    }
    out.extend_from_slice(content);
    out
}

/// A big-endian number as a non-negative integer: without leading zeros, with one where the top bit is set.
pub(super) fn unsigned(number: &[u8]) -> Vec<u8> {
    let digits = &number[number.iter().take_while(|b| **b == 0).count()..];
    let mut out = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|b| b & 0x80 != 0) {
        out.push(0);
    }
    out.extend_from_slice(digits);
    out
}

/// A PKCS#1 private key wrapped as PKCS#8 (RFC 5208).
pub(crate) fn pkcs8_of_rsa(pkcs1: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[tlv(INTEGER, &[0]), RSA_ALGORITHM.to_vec(), tlv(OCTET_STRING, pkcs1)].concat())
}

/// An RSA public key as SubjectPublicKeyInfo (RFC 5280).
pub(super) fn spki_of_rsa(n: &[u8], e: &[u8]) -> Vec<u8> {
    let key = tlv(SEQUENCE, &[tlv(INTEGER, &unsigned(n)), tlv(INTEGER, &unsigned(e))].concat());
    let bits = [&[0], key.as_slice()].concat();
    tlv(SEQUENCE, &[RSA_ALGORITHM.to_vec(), tlv(BIT_STRING, &bits)].concat())
}

fn read(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let count = usize::from(*length & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        (rest[..count].iter().fold(0usize, |sum, b| (sum << 8) | usize::from(*b)), &rest[count..])
    };
    (rest.len() >= length).then(|| rest.split_at(length))
}

/// Modulus and exponent of a SubjectPublicKeyInfo that holds an RSA key.
pub(super) fn rsa_of_spki(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (outer, _) = read(SEQUENCE, spki)?;
    let bits = outer.strip_prefix(&RSA_ALGORITHM)?;
    let (bits, _) = read(BIT_STRING, bits)?;
    rsa_public(bits.strip_prefix(&[0])?)
}

/// Modulus and exponent of a PKCS#1 `RSAPublicKey`.
pub(super) fn rsa_public(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, _) = read(SEQUENCE, der)?;
    let (n, rest) = read(INTEGER, key)?;
    let (e, _) = read(INTEGER, rest)?;
    Some((n, e))
}

/// The bytes between the PEM lines of this label.
pub(super) fn from_pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let base64: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    BASE64.decode(base64).ok()
}
