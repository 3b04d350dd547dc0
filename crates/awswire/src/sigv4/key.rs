//! Signing keys and where they come from.

use std::fmt;

use ring::hmac;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use time::OffsetDateTime;

use crate::sigv2::{Signatory, SignatureQuery};

/// What a [`CredentialSource`] is asked.
#[derive(Debug, Clone, Copy)]
pub struct KeyQuery<'a> {
    /// Access key id from the request.
    pub access_key_id: &'a str,
    /// Session token from the request, if it carries one.
    pub session_token: Option<&'a str>,
    /// Day of the credential scope, `YYYYMMDD`.
    pub date: &'a str,
    /// Region of the credential scope.
    pub region: &'a str,
    /// Service of the credential scope.
    pub service: &'a str,
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No such access key, or it is inactive: callers cannot tell the difference.
    #[error("unknown or inactive access key")]
    Unknown,
    /// The session has ended.
    #[error("session token expired")]
    Expired,
    /// The session token is missing, does not belong to this key, or is no token.
    #[error("invalid session token")]
    InvalidToken,
    /// Signatures of version 2 are not taken.
    #[error("signature version 2 is off")]
    Sigv2Off,
    /// The source cannot answer now; the reason is for the log.
    #[error("the identity service cannot answer: {0}")]
    Unavailable(String),
}

/// Gives signing keys for access keys. The source must itself check that a session token belongs to its key and that a key
/// made by STS comes with its token.
#[async_trait::async_trait]
pub trait CredentialSource: Send + Sync + 'static {
    /// Who a request is from, as the rest of the service wants it.
    type Principal: Clone + Send + Sync + 'static;

    /// The signing key for a day, region and service, and whose it is.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn signing_key(&self, query: KeyQuery<'_>) -> Result<ResolvedKey<Self::Principal>, KeyError>;

    /// Whether signatures of version 2 may be worth a question.
    fn takes_sigv2(&self) -> bool {
        false
    }

    /// Who made a signature of version 2; none if it is wrong.
    ///
    /// # Errors
    /// [`KeyError`].
    async fn sigv2(&self, _query: SignatureQuery<'_>) -> Result<Option<Signatory<Self::Principal>>, KeyError> {
        Err(KeyError::Sigv2Off)
    }
}

/// A signing key and whose it is.
#[derive(Clone, Debug)]
pub struct ResolvedKey<P> {
    /// Whose key it is.
    pub principal: P,
    /// The key.
    pub signing_key: SigningKey,
    /// End of the session, for temporary credentials; checked on every use, cached or not.
    pub expires_at: Option<OffsetDateTime>,
}

/// A SigV4 signing key, ready for use. Its `Debug` says nothing.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// From the 32 bytes that [`derive_signing_key`] gives.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// HMAC-SHA256 of a string to sign.
    #[must_use]
    pub fn sign(&self, data: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.0, data).as_ref());
        out
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey [redacted]")
    }
}

/// Derives the key of a day (`YYYYMMDD`), region and service from a secret access key.
#[must_use]
pub fn derive_signing_key(secret: &SecretString, date: &str, region: &str, service: &str) -> SecretBox<[u8; 32]> {
    let mac = |key: &[u8], data: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes());
    let first: SecretString = format!("AWS4{}", secret.expose_secret()).into();
    let day = mac(first.expose_secret().as_bytes(), date);
    let region = mac(day.as_ref(), region);
    let service = mac(region.as_ref(), service);
    let last = mac(service.as_ref(), "aws4_request");
    SecretBox::init_with_mut(|out: &mut [u8; 32]| out.copy_from_slice(last.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's documentation.
    #[test]
    fn the_documented_key() {
        let key =
            derive_signing_key(&"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(), "20120215", "us-east-1", "iam");
        assert_eq!(
            hex::encode(key.expose_secret()),
            "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
        );
    }
}
