//! IMDSv2 session tokens: stateless, sealed with a key that lives as long as the process. After a restart of the
//! daemon old tokens are refused and clients ask for new ones, as they do when one has run out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mallee_runtime::Rng;
use ring::hmac;
use std::fmt;

/// Longest life of a token, seconds (six hours, as EC2).
pub(crate) const MAX_TTL_SECONDS: u32 = 21_600;
/// Bytes of a token before its text form: when it ends, and the seal.
const LEN: usize = 8 + 32;

/// Issues and checks tokens.
pub(crate) struct Tokens(hmac::Key);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    pub(crate) fn new(rng: &Rng) -> Self {
        let mut key = [0; 32];
        rng.fill(&mut key);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    fn sealed(until_ms: i64, instance_id: &str) -> Vec<u8> {
        [until_ms.to_be_bytes().as_slice(), instance_id.as_bytes()].concat()
    }

    /// A token for one instance, good until `until_ms`.
    pub(crate) fn issue(&self, instance_id: &str, until_ms: i64) -> String {
        let tag = hmac::sign(&self.0, &Self::sealed(until_ms, instance_id));
        URL_SAFE_NO_PAD.encode([until_ms.to_be_bytes().as_slice(), tag.as_ref()].concat())
    }

    /// Whether the token is ours, for this instance, and not over.
    pub(crate) fn good(&self, token: &[u8], instance_id: &str, now_ms: i64) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
        if bytes.len() != LEN {
            return false;
        }
        let (until, tag) = bytes.split_at(8);
        let until_ms = until.try_into().map_or(0, i64::from_be_bytes);
        hmac::verify(&self.0, &Self::sealed(until_ms, instance_id), tag).is_ok() && now_ms < until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bound_to_its_instance_and_time() {
        let tokens = Tokens::new(&Rng::seeded(1));
        let token = tokens.issue("i-1", 1000);
        assert!(tokens.good(token.as_bytes(), "i-1", 999));
        assert!(!tokens.good(token.as_bytes(), "i-1", 1000));
        assert!(!tokens.good(token.as_bytes(), "i-2", 1));
        assert!(!Tokens::new(&Rng::seeded(2)).good(token.as_bytes(), "i-1", 1));
        assert!(!tokens.good(b"", "i-1", 1) && !tokens.good(b"!!", "i-1", 1));
    }
}
