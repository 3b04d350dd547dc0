//! What S3 needs of a key management service: data keys, made and opened as if the caller had asked it.

use mallee_awswire::ApiError;
use mallee_awswire::sigv4::Claim;
use mallee_objects::crypt::DataKey;
use std::collections::BTreeMap;
use std::fmt;

/// On whose behalf.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyCaller {
    /// The access key that signed the request.
    pub access_key_id: String,
    /// The session token that came with it.
    pub session_token: Option<String>,
}

impl KeyCaller {
    /// Whoever signed with this.
    #[must_use]
    pub fn of(claim: &Claim) -> Self {
        Self { access_key_id: claim.access_key_id.clone(), session_token: claim.session_token.clone() }
    }
}

impl fmt::Debug for KeyCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCaller").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// A fresh data key.
#[derive(Debug)]
pub struct SealedKey {
    /// The key itself.
    pub plain: DataKey,
    /// The service's ciphertext of it.
    pub sealed: Vec<u8>,
    /// ARN of the key that sealed it.
    pub key_arn: String,
}

/// A key management service.
#[async_trait::async_trait]
pub trait KeyService: Send + Sync + fmt::Debug {
    /// A fresh data key under this key (id, ARN or alias), or that of the caller's account for S3. It opens with the same
    /// context only.
    ///
    /// # Errors
    /// The service's: its own codes, `AccessDenied`.
    async fn generate(
        &self,
        caller: &KeyCaller,
        key: Option<&str>,
        context: &BTreeMap<String, String>,
    ) -> Result<SealedKey, ApiError>;

    /// The data key of a ciphertext.
    ///
    /// # Errors
    /// As [`KeyService::generate`].
    async fn open(
        &self,
        caller: &KeyCaller,
        sealed: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<DataKey, ApiError>;
}
