//! Who holds an access key: the verifier's source of signing keys, from the database.

use mallee_app::Actor;
use mallee_awswire::sigv4::{CredentialSource, KeyError, KeyQuery, ResolvedKey, SigningKey, derive_signing_key};
use mallee_store::{Store, StoreError, access_key_fetch, access_key_secret, user_fetch};
use secrecy::ExposeSecret as _;
use std::sync::Arc;

/// Keys and users of the database.
#[derive(Debug, Clone)]
pub struct StoreCredentials(Store);

impl StoreCredentials {
    /// Over this database.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self(store)
    }

    /// The owner of an active key.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] for a key that is not there or inactive.
    pub async fn owner(&self, access_key_id: &str) -> Result<Actor, KeyError> {
        let key = access_key_fetch(&self.0, access_key_id).await.map_err(key_error)?;
        if !key.active {
            return Err(KeyError::Unknown);
        }
        let user = user_fetch(&self.0, &key.user_id).await.map_err(key_error)?;
        Ok(Actor {
            arn: format!("arn:aws:iam::{}:user{}{}", user.account_id, user.path, user.name).into(),
            account: user.account_id,
            user_id: user.id.into(),
            is_admin: user.is_admin,
        })
    }
}

fn key_error(error: StoreError) -> KeyError {
    match error {
        StoreError::NotFound { .. } => KeyError::Unknown,
        other => KeyError::Unavailable(other.to_string()),
    }
}

#[async_trait::async_trait]
impl CredentialSource for StoreCredentials {
    type Principal = Actor;

    async fn signing_key(&self, query: KeyQuery<'_>) -> Result<ResolvedKey<Actor>, KeyError> {
        // There are no sessions yet: a token that comes with a request is not ours.
        if query.session_token.is_some() {
            return Err(KeyError::InvalidToken);
        }
        let principal = self.owner(query.access_key_id).await?;
        let secret = access_key_secret(&self.0, query.access_key_id).await.map_err(key_error)?;
        let key = derive_signing_key(&secret, query.date, query.region, query.service);
        Ok(ResolvedKey { principal, signing_key: SigningKey::new(key.expose_secret()), expires_at: None })
    }
}

/// The verifier that all services of a process share.
pub type SharedVerifier = Arc<mallee_awswire::sigv4::Verifier<StoreCredentials>>;
