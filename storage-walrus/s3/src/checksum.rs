//! The five checksum algorithms of S3, as headers, trailers and XML name them.

use crate::headers::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use http::HeaderMap;
use mallee_awswire::{ApiError, Code};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// An algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// The name in XML, in `x-amz-checksum-algorithm` and in the metadata store; also the tail of XML elements
    /// (`ChecksumCRC32`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that carries a value.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The XML element that carries a value.
    #[must_use]
    pub const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// By its name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// The one that the headers of a write ask for, if they do.
    ///
    /// # Errors
    /// `InvalidRequest` for one that there is not.
    pub fn asked(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let Some(name) = text(headers, "x-amz-checksum-algorithm") else { return Ok(None) };
        Self::parse(name).map(Some).ok_or_else(|| {
            Code::InvalidRequest.message(
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, \
                 CRC32C, CRC64NVME, SHA1, SHA256]",
            )
        })
    }

    /// By its header, lower case.
    #[must_use]
    pub fn of_header(header: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.header() == header)
    }

    /// Bytes of a value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Whether checksums of parts can be put together to that of the whole.
    #[must_use]
    pub const fn is_crc(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }

    const fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Checks the form of a value: base64 of the right length.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub fn check_form(self, value: &str) -> Result<(), ApiError> {
        match STANDARD.decode(value) {
            Ok(bytes) if bytes.len() == self.bytes() => Ok(()),
            _ => Err(Code::InvalidRequest.message(format!("Value for {} header is invalid.", self.header()))),
        }
    }

    /// The checksum of parts' checksums, with their number: `…-N`. `None` if a part's value is no base64.
    #[must_use]
    pub fn composite<'a>(self, parts: impl Iterator<Item = &'a str>) -> Option<String> {
        let mut hasher = Hasher::new(self);
        let mut count = 0;
        for part in parts {
            hasher.update(&STANDARD.decode(part).ok()?);
            count += 1;
        }
        Some(format!("{}-{count}", hasher.finish()))
    }

    /// The checksum of the whole from those of its parts (value and size); `None` for algorithms that cannot.
    #[must_use]
    pub fn combined<'a>(self, parts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
        let algorithm = self.crc()?;
        let mut whole = crc_fast::checksum(algorithm, &[]);
        for (value, size) in parts {
            let bytes = STANDARD.decode(value).ok().filter(|b| b.len() == self.bytes())?;
            let crc = bytes.iter().fold(0u64, |crc, b| (crc << 8) | u64::from(*b));
            whole = crc_fast::checksum_combine(algorithm, whole, crc, size);
        }
        Some(encode_crc(self, whole))
    }
}

fn encode_crc(algorithm: Algorithm, crc: u64) -> String {
    STANDARD.encode(&crc.to_be_bytes()[8 - algorithm.bytes()..])
}

/// A checksum being computed.
#[derive(Debug, Clone)]
pub struct Hasher(Algorithm, Inner);

#[derive(Debug, Clone)]
enum Inner {
    Crc(Box<Crc>),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    /// Begins.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let inner = match (algorithm, algorithm.crc()) {
            (_, Some(crc)) => Inner::Crc(Box::new(Crc::new(crc))),
            (Algorithm::Sha256, None) => Inner::Sha256(Sha256::new()),
            (_, None) => Inner::Sha1(Sha1::new()),
        };
        Self(algorithm, inner)
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.0
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.1 {
            Inner::Crc(crc) => crc.update(data),
            Inner::Sha1(sha) => sha.update(data),
            Inner::Sha256(sha) => sha.update(data),
        }
    }

    /// The value in base64.
    #[must_use]
    pub fn finish(self) -> String {
        match self.1 {
            Inner::Crc(crc) => encode_crc(self.0, crc.finalize()),
            Inner::Sha1(sha) => STANDARD.encode(sha.finalize()),
            Inner::Sha256(sha) => STANDARD.encode(sha.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, data: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(data);
        hasher.finish()
    }

    #[test]
    fn known_values() {
        let check = b"123456789";
        assert_eq!(of(Algorithm::Crc32, check), STANDARD.encode(0xcbf4_3926_u32.to_be_bytes()));
        assert_eq!(of(Algorithm::Crc32c, check), STANDARD.encode(0xe306_9283_u32.to_be_bytes()));
        assert_eq!(of(Algorithm::Crc64Nvme, check), STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes()));
        assert_eq!(of(Algorithm::Sha1, b""), "2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
        assert_eq!(of(Algorithm::Sha256, b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn parts_combine_to_the_whole() {
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts: [&[u8]; 4] = [b"12345", b"", b"678", b"9"];
            let sums: Vec<_> = parts.iter().map(|p| (of(algorithm, p), p.len() as u64)).collect();
            let whole = algorithm.combined(sums.iter().map(|(s, n)| (s.as_str(), *n)));
            assert_eq!(whole, Some(of(algorithm, b"123456789")), "{algorithm:?}");
        }
        assert_eq!(Algorithm::Sha1.combined(std::iter::empty()), None);
    }

    #[test]
    fn forms() {
        assert!(Algorithm::Crc32.check_form("AAAAAA==").is_ok());
        assert!(Algorithm::Crc32.check_form("AAAA").is_err());
        assert!(Algorithm::Crc32.check_form("!").is_err());
        assert_eq!(Algorithm::parse("crc64nvme"), Some(Algorithm::Crc64Nvme));
        assert_eq!(Algorithm::parse("md5"), None);
    }
}
