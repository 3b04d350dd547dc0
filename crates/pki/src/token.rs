//! Join tokens: `mallee1.<id>.<secret>.<SHA-256 of the CA's certificate, hex>`. The id finds the token's row, the
//! secret proves its bearer, the hash proves the cloud to the bearer.

use crate::{PkiError, tls};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mallee_runtime::Rng;
use secrecy::{ExposeSecret as _, SecretBox};
use std::fmt;
use subtle::ConstantTimeEq as _;

const VERSION: &str = "mallee1";
/// Random bytes of the id.
const ID_BYTES: usize = 8;
/// Random bytes of the secret: too many to guess, so that a plain hash of it may be stored.
const SECRET_BYTES: usize = 32;

/// A one-time token by which a daemon joins a cloud.
pub struct JoinToken {
    id: String,
    secret: SecretBox<[u8; SECRET_BYTES]>,
    ca_sha256: [u8; 32],
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken {} [redacted]", self.id)
    }
}

impl JoinToken {
    /// A fresh token for the cloud with this CA. `rng` must be a system one outside simulations.
    #[must_use]
    pub fn make(rng: &Rng, ca_sha256: [u8; 32]) -> Self {
        let mut id = [0u8; ID_BYTES];
        rng.fill(&mut id);
        let secret = SecretBox::init_with_mut(|secret: &mut [u8; SECRET_BYTES]| rng.fill(secret));
        Self { id: hex::encode(id), secret, ca_sha256 }
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`PkiError::Token`] for a text that is none; the text is not repeated.
    pub fn parse(text: &str) -> Result<Self, PkiError> {
        let mut parts = text.trim().split('.');
        let (Some(VERSION), Some(id), Some(secret), Some(ca), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PkiError::Token);
        };
        let lower_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if id.len() != 2 * ID_BYTES || !lower_hex(id) || !lower_hex(ca) {
            return Err(PkiError::Token);
        }
        let mut ca_sha256 = [0u8; 32];
        hex::decode_to_slice(ca, &mut ca_sha256).map_err(|_| PkiError::Token)?;
        let secret = SecretBox::try_init_with(|| {
            let mut bytes = [0u8; SECRET_BYTES];
            match URL_SAFE_NO_PAD.decode_slice(secret, &mut bytes) {
                Ok(SECRET_BYTES) => Ok(bytes),
                _ => Err(PkiError::Token),
            }
        })?;
        Ok(Self { id: id.to_owned(), secret, ca_sha256 })
    }

    /// The part that is no secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// SHA-256 of the CA's certificate.
    #[must_use]
    pub const fn ca_sha256(&self) -> [u8; 32] {
        self.ca_sha256
    }

    /// SHA-256 of the secret: what is stored.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        tls::sha256(self.secret.expose_secret())
    }

    /// Whether `stored_hash` is this token's, in time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, stored_hash: &[u8]) -> bool {
        self.secret_hash().as_slice().ct_eq(stored_hash).into()
    }

    /// The whole token, secret and all: to be printed once, to be kept nowhere.
    #[must_use]
    pub fn text(&self) -> String {
        let secret = URL_SAFE_NO_PAD.encode(self.secret.expose_secret());
        format!("{VERSION}.{}.{secret}.{}", self.id, hex::encode(self.ca_sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_matches_only_its_own_hash() {
        let token = JoinToken::make(&Rng::seeded(1), [7; 32]);
        let read = JoinToken::parse(&format!(" {}\n", token.text())).unwrap();
        assert_eq!((read.id(), read.ca_sha256()), (token.id(), [7; 32]));
        assert!(read.matches(&token.secret_hash()));
        assert!(!read.matches(&[]));
        let other = JoinToken::make(&Rng::seeded(2), [7; 32]);
        assert!(!read.matches(&other.secret_hash()));
        assert_ne!(token.id(), other.id());
    }

    #[test]
    fn every_changed_character_is_refused_or_changes_what_is_proved() {
        let token = JoinToken::make(&Rng::seeded(1), [7; 32]);
        let text = token.text();
        for at in 0..text.len() {
            for with in ["0", "A", "z", ".", "-", " ", "="] {
                let mut changed = text.clone();
                changed.replace_range(at..=at, with);
                if changed == text || changed.trim() == text {
                    continue;
                }
                if let Ok(read) = JoinToken::parse(&changed) {
                    let same = read.id() == token.id()
                        && read.matches(&token.secret_hash())
                        && read.ca_sha256() == token.ca_sha256();
                    assert!(!same, "{changed} passes for {text}");
                }
            }
        }
        for bad in ["", "mallee1", "mallee1...", "mallee2.0011223344556677.x.y", &"mallee1.".repeat(9000)] {
            assert!(JoinToken::parse(bad).is_err());
        }
    }

    #[test]
    fn debug_and_errors_keep_the_secret() {
        let token = JoinToken::make(&Rng::seeded(1), [7; 32]);
        let secret = token.text().split('.').nth(2).unwrap().to_owned();
        assert!(!format!("{token:?}").contains(&secret));
        let error = JoinToken::parse(&token.text().replace("mallee1", "mallee9")).unwrap_err();
        assert!(!format!("{error:?} {error}").contains(&secret));
    }
}
