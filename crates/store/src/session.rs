//! Temporary credentials that STS gave out, and texts sealed for the cloud itself to read again.

use crate::exec::Exec;
use crate::json::Json;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use crate::value::words;
use crate::{Store, StoreError};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

/// Expired sessions removed at once.
pub const SESSIONS_PURGED_MAX: u32 = 1_000;

/// Whom a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionKind {
    /// A user or an account root itself (GetSessionToken).
    User,
    /// A role (AssumeRole…).
    Role,
    /// Whom a user or an account root named (GetFederationToken).
    Federated,
}

words! { SessionKind { User = "user", Role = "role", Federated = "federated" } }

/// What no query looks into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionDoc {
    /// Session policies, as JSON; `None`: none were given, and nothing is taken away. Empty: nothing is allowed.
    pub policies: Option<Vec<String>>,
    /// Session tags.
    pub tags: Vec<(String, String)>,
    /// Keys of tags that go on in a chain of roles.
    pub transitive_tag_keys: Vec<String>,
    /// Who it really is, as the first in a chain said.
    pub source_identity: Option<String>,
    /// The identity provider that vouched.
    pub provider: Option<String>,
    /// When a second factor was proved.
    pub mfa_ms: Option<i64>,
    /// The instance to which the metadata service gave the credentials.
    pub source_instance: Option<String>,
    /// Its VPC.
    pub source_vpc: Option<String>,
    /// The private address of its first interface.
    pub source_private_ip: Option<String>,
}

record! {
    /// A session without its secret and token.
    pub struct SessionRow {
        /// `ASIA…`.
        id: String,
        /// Whose.
        account_id: AccountId,
        /// Whom it is for.
        kind: SessionKind,
        /// Unique id of the user or role; the account's number for its root.
        principal_id: String,
        /// Session name, or the federated user's; empty for a user's own session.
        name: String,
        /// SHA-256 of the session token, in hex.
        token_hash: String,
        /// When it was given out.
        issued_ms: i64,
        /// From when on it is refused.
        expires_ms: i64,
        /// The rest.
        doc: Json<SessionDoc>,
    }
}

sql! {
    INSERT = "INSERT INTO sessions (id, account_id, kind, principal_id, name, token_hash, issued_ms, expires_ms, doc,
        sealed_secret) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    FETCH = "SELECT id, account_id, kind, principal_id, name, token_hash, issued_ms, expires_ms, doc FROM sessions
        WHERE id = $1";
    SEALED = "SELECT sealed_secret FROM sessions WHERE id = $1";
    PURGE = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_ms < $1 ORDER BY expires_ms LIMIT $2 + 0)";
}

/// Makes a session; the secret is sealed with the store's key. Conflict: `sessions_id`.
pub async fn session_insert(tx: &mut Tx, row: &SessionRow, secret: &SecretString) -> Result<(), StoreError> {
    let store = tx.store();
    let sealed = store.seal().seal(store.rng(), &row.id, secret.expose_secret().as_bytes())?;
    let mut values = row.args();
    values.extend(args![sealed]);
    Exec::Tx(tx).run(INSERT, values).await.map(drop)
}

/// The session of this access key id, expired or not.
pub async fn session_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<SessionRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The secret of a session. [`StoreError::Sealed`] when the seal key is another.
pub async fn session_secret(store: &Store, id: &str) -> Result<SecretString, StoreError> {
    let (sealed,) = Exec::Store(store).one::<(Vec<u8>,)>(SEALED, args![id], id).await?;
    store.seal().open(id, &sealed)
}

/// Removes sessions that expired before this moment, at most [`SESSIONS_PURGED_MAX`]; answers how many.
pub async fn session_purge(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(PURGE, args![before_ms, SESSIONS_PURGED_MAX]).await
}

/// Seals a text that the cloud hands out and reads again (an authorization message). Only the same `name` opens it.
///
/// # Errors
/// None in practice.
pub fn text_seal(store: &Store, name: &str, text: &str) -> Result<Vec<u8>, StoreError> {
    store.seal().seal(store.rng(), name, text.as_bytes())
}

/// Opens what [`text_seal`] made.
///
/// # Errors
/// [`StoreError::Sealed`] for anything else.
pub fn text_open(store: &Store, name: &str, sealed: &[u8]) -> Result<SecretString, StoreError> {
    store.seal().open(name, sealed)
}
