//! Access keys from a fixed table: for a Walrus that runs alone, and for tests.

use mallee_awswire::sigv4::{CredentialSource, KeyError, KeyQuery, ResolvedKey, SigningKey, derive_signing_key};
use mallee_s3::Caller;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::HashMap;

/// One access key.
#[derive(Debug, Clone)]
pub struct StaticKey {
    /// Its id.
    pub access_key_id: String,
    /// Its secret.
    pub secret: SecretString,
    /// The account of its owner.
    pub account: String,
}

/// A fixed table of access keys, each the root of its account.
#[derive(Debug, Clone, Default)]
pub struct StaticKeys(HashMap<String, StaticKey>);

impl StaticKeys {
    /// From a list.
    pub fn new(keys: impl IntoIterator<Item = StaticKey>) -> Self {
        Self(keys.into_iter().map(|k| (k.access_key_id.clone(), k)).collect())
    }
}

#[async_trait::async_trait]
impl CredentialSource for StaticKeys {
    type Principal = Caller;

    async fn signing_key(&self, query: KeyQuery<'_>) -> Result<ResolvedKey<Caller>, KeyError> {
        let key = self.0.get(query.access_key_id).ok_or(KeyError::Unknown)?;
        if query.session_token.is_some() {
            return Err(KeyError::InvalidToken);
        }
        let derived = derive_signing_key(&key.secret, query.date, query.region, query.service);
        Ok(ResolvedKey {
            principal: Caller { account: key.account.clone(), arn: format!("arn:aws:iam::{}:root", key.account) },
            signing_key: SigningKey::new(derived.expose_secret()),
            expires_at: None,
        })
    }
}
