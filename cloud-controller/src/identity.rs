//! Who holds an access key: the verifier's source of signing keys, from the database.

use mallee_app::Actor;
use mallee_app::bootstrap::CLOUD_ACCOUNT;
use mallee_awswire::sigv4::{CredentialSource, KeyError, KeyQuery, ResolvedKey, SigningKey, derive_signing_key};
use mallee_iam::Principal;
use mallee_store::{
    Store, StoreError, UserRow, access_key_fetch, access_key_secret, account_fetch, user_fetch,
};
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
        let account = account_fetch(&self.0, &user.account_id).await.map_err(key_error)?;
        actor_of(user, account.name == CLOUD_ACCOUNT)
    }
}

/// The caller that a user is with its own key. A user whose id is the account's number is the account's root.
fn actor_of(user: UserRow, is_admin: bool) -> Result<Actor, KeyError> {
    if user.id == user.account_id.as_str() {
        return Ok(Actor::root(user.account_id, is_admin));
    }
    let principal = Principal::User {
        account: user.account_id,
        path: user.path.into(),
        name: user.name.into(),
        id: user.id.into(),
    };
    let mut actor = Actor::new(principal, is_admin).ok_or(KeyError::Unknown)?;
    actor.is_account_admin = user.is_admin;
    Ok(actor)
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
