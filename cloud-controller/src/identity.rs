//! Who holds an access key: the verifier's source of signing keys, from the database.

use mallee_app::sts::{SESSION_KEY_PREFIX, token_hash};
use mallee_app::{Actor, Session};
use mallee_awswire::sigv2::{Signatory, SignatureQuery, is_right};
use mallee_awswire::sigv4::{CredentialSource, KeyError, KeyQuery, ResolvedKey, SigningKey, derive_signing_key};
use mallee_iam::{Policy, PolicyKind, Principal, RoleSession};
use mallee_store::{
    SessionDoc, SessionKind, SessionRow, Store, StoreError, UserRow, access_key_fetch, access_key_secret,
    cloud_account, role_fetch, session_fetch, session_secret, user_fetch,
};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use subtle::ConstantTimeEq as _;

/// Keys and users of the database.
#[derive(Debug, Clone)]
pub struct StoreCredentials {
    store: Store,
    /// The switch of signature version 2; without one it is off.
    sigv2: Arc<OnceLock<Arc<AtomicBool>>>,
}

/// Who has an access key.
#[derive(Debug)]
pub struct Holder {
    /// Who.
    pub actor: Actor,
    /// The secret of the key.
    pub secret: SecretString,
    /// When temporary credentials end.
    pub expires_ms: Option<i64>,
}

impl StoreCredentials {
    /// Over this database.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, sigv2: Arc::default() }
    }

    /// Takes signatures of version 2 while this switch is on; the first that it is given is the one.
    pub fn follow_sigv2(&self, switch: &Arc<AtomicBool>) {
        self.sigv2.get_or_init(|| switch.clone());
    }

    /// The owner of an active key.
    ///
    /// # Errors
    /// [`KeyError::Unknown`] for a key that is not there or inactive.
    pub async fn owner(&self, access_key_id: &str) -> Result<Actor, KeyError> {
        let key = access_key_fetch(&self.store, access_key_id).await.map_err(key_error)?;
        if !key.active {
            return Err(KeyError::Unknown);
        }
        let user = user_fetch(&self.store, &key.user_id).await.map_err(key_error)?;
        let is_admin = self.is_cloud_account(&user.account_id).await?;
        actor_of(user, is_admin)
    }
}

impl StoreCredentials {
    async fn is_cloud_account(&self, account: &AccountId) -> Result<bool, KeyError> {
        Ok(cloud_account(&self.store).await.map_err(key_error)?.as_ref() == Some(account))
    }

    /// Whose an access key is, with the token that came with it, and its secret.
    ///
    /// # Errors
    /// [`KeyError`]; an expired session is found, with its end.
    pub async fn holder(&self, access_key_id: &str, token: Option<&str>) -> Result<Holder, KeyError> {
        if access_key_id.starts_with(SESSION_KEY_PREFIX) {
            return self.session_holder(access_key_id, token).await;
        }
        // The key of a user comes without a token; one that does not belong to its key is not passed over.
        if token.is_some() {
            return Err(KeyError::InvalidToken);
        }
        let actor = self.owner(access_key_id).await?;
        let secret = access_key_secret(&self.store, access_key_id).await.map_err(key_error)?;
        Ok(Holder { actor, secret, expires_ms: None })
    }

    /// The holder of a session's key now: of a user or role that is gone there is none.
    async fn session_holder(&self, access_key_id: &str, token: Option<&str>) -> Result<Holder, KeyError> {
        let row = session_fetch(&self.store, access_key_id).await.map_err(key_error)?;
        let given = token_hash(token.ok_or(KeyError::InvalidToken)?);
        if !bool::from(given.as_bytes().ct_eq(row.token_hash.as_bytes())) {
            return Err(KeyError::InvalidToken);
        }
        let secret = session_secret(&self.store, &row.id).await.map_err(key_error)?;
        let expires_ms = Some(row.expires_ms);
        Ok(Holder { actor: self.session_actor(row).await?, secret, expires_ms })
    }

    async fn session_actor(&self, row: SessionRow) -> Result<Actor, KeyError> {
        let is_admin = self.is_cloud_account(&row.account_id).await?;
        let actor = match row.kind {
            SessionKind::Role => {
                let role = role_fetch(&self.store, &row.principal_id).await.map_err(key_error)?;
                let principal = Principal::Role(RoleSession {
                    account: role.account_id,
                    path: role.path.into(),
                    name: role.name.into(),
                    id: role.id.into(),
                    session: row.name.into(),
                });
                Actor::new(principal, is_admin).ok_or(KeyError::Unknown)?
            }
            SessionKind::User | SessionKind::Federated => {
                let own = if row.principal_id == row.account_id.as_str() {
                    Actor::root(row.account_id.clone(), is_admin)
                } else {
                    let user = user_fetch(&self.store, &row.principal_id).await.map_err(key_error)?;
                    actor_of(user, is_admin)?
                };
                if row.kind == SessionKind::Federated { federated(own, row.name, row.principal_id)? } else { own }
            }
        };
        Ok(actor.with_session(Arc::new(session_of(row.issued_ms, row.doc.0)?)))
    }
}

/// Whom a user named: it may at most what the user may.
fn federated(issuer: Actor, name: String, issuer_id: String) -> Result<Actor, KeyError> {
    let principal = Principal::Federated {
        account: issuer.account,
        name: name.into(),
        issuer: issuer.arn,
        issuer_id: issuer_id.into(),
    };
    let mut actor = Actor::new(principal, issuer.is_admin).ok_or(KeyError::Unknown)?;
    actor.is_account_admin = issuer.is_account_admin;
    Ok(actor)
}

/// What the session brings. A policy that does not read now must not be passed over: without it more is allowed.
fn session_of(issued_ms: i64, doc: SessionDoc) -> Result<Session, KeyError> {
    let SessionDoc {
        policies,
        tags,
        transitive_tag_keys,
        source_identity,
        provider,
        mfa_ms,
        source_instance,
        source_vpc,
        source_private_ip,
    } = doc;
    let read = |document: &String| Policy::parse(document, PolicyKind::BuiltIn).map(Arc::new);
    let policies = policies.map(|documents| documents.iter().map(read).collect::<Result<Vec<_>, _>>()).transpose();
    let policies = policies.map_err(|error| KeyError::Unavailable(format!("a session policy: {error}")))?;
    Ok(Session {
        issued_ms,
        mfa_ms,
        policies,
        tags,
        transitive_tag_keys,
        source_identity,
        provider,
        source_instance,
        source_vpc,
        source_private_ip,
    })
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
        let Holder { actor, secret, expires_ms } = self.holder(query.access_key_id, query.session_token).await?;
        let key = derive_signing_key(&secret, query.date, query.region, query.service);
        let expires_at = expires_ms.map(mallee_runtime::clock::from_unix_ms);
        Ok(ResolvedKey { principal: actor, signing_key: SigningKey::new(key.expose_secret()), expires_at })
    }

    fn takes_sigv2(&self) -> bool {
        self.sigv2.get().is_some_and(|switch| switch.load(Ordering::Relaxed))
    }

    async fn sigv2(&self, query: SignatureQuery<'_>) -> Result<Option<Signatory<Actor>>, KeyError> {
        let Holder { actor, secret, expires_ms } = self.holder(query.access_key_id, query.session_token).await?;
        let right = is_right(&secret, query.string_to_sign, query.signature);
        let expires_at = expires_ms.map(mallee_runtime::clock::from_unix_ms);
        Ok(right.then_some(Signatory { principal: actor, expires_at }))
    }
}

/// The verifier that all services of a process share.
pub type SharedVerifier = Arc<mallee_awswire::sigv4::Verifier<StoreCredentials>>;
