//! Certificates: those users sign with, and those of servers with their keys.

use crate::exec::Exec;
use crate::iam_user::{NamedFilter, named};
use crate::macros::{args, record, sql};
use crate::role::found;
use crate::select::Select;
use crate::tx::Tx;
use crate::{Store, StoreError};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};

record! {
    /// A certificate a user signs with.
    pub struct SigningCertificateRow {
        /// 24 to 128 letters and digits.
        id: String,
        /// Whose.
        user_id: String,
        /// The user's account.
        account_id: AccountId,
        /// PEM.
        body: String,
        /// SHA-256 of the certificate, hex: a user has it once.
        digest: String,
        /// Inactive ones are not taken.
        active: bool,
        /// When it was uploaded.
        created_ms: i64,
    }
    /// A server's certificate without its key.
    pub struct ServerCertificateRow {
        /// AWS's unique id (`ASCA…`).
        id: String,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account without regard to case.
        name: String,
        /// Begins and ends with `/`.
        path: String,
        /// PEM.
        body: String,
        /// PEM of the certificates above it.
        chain: Option<String>,
        /// When it runs out.
        expires_ms: i64,
        /// When it was uploaded.
        created_ms: i64,
    }
}

sql! {
    SIGNING_INSERT = "INSERT INTO signing_certificates (id, user_id, account_id, body, digest, active, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    SIGNING_LIST = "SELECT id, user_id, account_id, body, digest, active, created_ms FROM signing_certificates
        WHERE user_id = $1 ORDER BY id";
    SIGNING_ACCOUNT = "SELECT id, user_id, account_id, body, digest, active, created_ms FROM signing_certificates
        WHERE account_id = $1 ORDER BY user_id, created_ms, id";
    SIGNING_ACTIVE_SET = "UPDATE signing_certificates SET active = $3 WHERE user_id = $1 AND id = $2";
    SIGNING_DELETE = "DELETE FROM signing_certificates WHERE user_id = $1 AND id = $2";
    SERVER_INSERT = "INSERT INTO server_certificates (id, account_id, name, path, body, chain, expires_ms, created_ms,
        sealed_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    SERVER_BY_NAME = "SELECT id, account_id, name, path, body, chain, expires_ms, created_ms FROM server_certificates
        WHERE account_id = $1 AND LOWER(name) = LOWER($2)";
    SERVER_LIST = "SELECT id, account_id, name, path, body, chain, expires_ms, created_ms FROM server_certificates
        WHERE account_id = $1";
    SERVER_KEY = "SELECT sealed_key FROM server_certificates WHERE id = $1";
    SERVER_RENAME = "UPDATE server_certificates SET name = $2, path = $3 WHERE id = $1";
    SERVER_DELETE = "DELETE FROM server_certificates WHERE id = $1";
}

/// Gives a user a certificate. Conflict: `signing_certificates_user_id_digest`.
pub async fn signing_certificate_insert(tx: &mut Tx, row: &SigningCertificateRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(SIGNING_INSERT, row.args()).await.map(drop)
}

/// A user's certificates, by id.
pub async fn signing_certificate_list<'a>(
    exec: impl Into<Exec<'a>>,
    user: &str,
) -> Result<Vec<SigningCertificateRow>, StoreError> {
    exec.into().all(SIGNING_LIST, args![user]).await
}

/// The certificates of an account's users, by user and time.
pub async fn signing_certificate_list_account<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<SigningCertificateRow>, StoreError> {
    exec.into().all(SIGNING_ACCOUNT, args![account]).await
}

/// Switches a user's certificate on or off; true if it was there.
pub async fn signing_certificate_active_set(
    tx: &mut Tx,
    user: &str,
    id: &str,
    active: bool,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(SIGNING_ACTIVE_SET, args![user, id, active]).await? > 0)
}

/// Removes a user's certificate; true if it was there.
pub async fn signing_certificate_delete(tx: &mut Tx, user: &str, id: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(SIGNING_DELETE, args![user, id]).await? > 0)
}

/// Keeps a server's certificate; its key (PEM) is sealed with the store's key. Conflict:
/// `server_certificates_account_id_name`.
pub async fn server_certificate_insert(
    tx: &mut Tx,
    row: &ServerCertificateRow,
    key: &SecretString,
) -> Result<(), StoreError> {
    let store = tx.store();
    let sealed = store.seal().seal(store.rng(), &row.id, key.expose_secret().as_bytes())?;
    let mut values = row.args();
    values.extend(args![sealed]);
    Exec::Tx(tx).run(SERVER_INSERT, values).await.map(drop)
}

/// The account's server certificate of this name; case does not count.
pub async fn server_certificate_by_name<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<Option<ServerCertificateRow>, StoreError> {
    exec.into().maybe(SERVER_BY_NAME, args![account, name]).await
}

/// The private key of a server certificate, PEM. [`StoreError::Sealed`] when the seal key is another.
pub async fn server_certificate_key(store: &Store, id: &str) -> Result<SecretString, StoreError> {
    let (sealed,) = Exec::Store(store).one::<(Vec<u8>,)>(SERVER_KEY, args![id], id).await?;
    store.seal().open(id, &sealed)
}

/// An account's server certificates by name.
pub async fn server_certificate_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    filter: NamedFilter<'_>,
    limit: u32,
) -> Result<Vec<ServerCertificateRow>, StoreError> {
    named(Select::new(SERVER_LIST, args![account]), filter).page(exec.into(), "name", limit).await
}

/// Gives a server certificate another name or path. Conflict: `server_certificates_account_id_name`.
pub async fn server_certificate_rename(tx: &mut Tx, id: &str, name: &str, path: &str) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(SERVER_RENAME, args![id, name, path]).await?, id)
}

/// Removes a server certificate and its key.
pub async fn server_certificate_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(SERVER_DELETE, args![id]).await?, id)
}
