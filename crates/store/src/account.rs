//! Accounts, their users, and the users' access keys.

use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use crate::{Store, StoreError};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};

record! {
    /// A tenant.
    pub struct AccountRow {
        /// Twelve digits.
        id: AccountId,
        /// Unique.
        name: String,
        /// When it was made.
        created_ms: i64,
    }
    /// Someone who signs requests.
    pub struct UserRow {
        /// AWS's unique id (`AIDA…`), or for an account's root the account's number.
        id: String,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account.
        name: String,
        /// Begins and ends with `/`.
        path: String,
        /// When it was made.
        created_ms: i64,
        /// May do everything in the account.
        is_admin: bool,
    }
    /// An access key without its secret.
    pub struct AccessKeyRow {
        /// `AKIA…`.
        id: String,
        /// Whose.
        user_id: String,
        /// The user's account.
        account_id: AccountId,
        /// Inactive keys are refused.
        active: bool,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    ACCOUNT_INSERT = "INSERT INTO accounts (id, name, created_ms) VALUES ($1, $2, $3)";
    ACCOUNT_FETCH = "SELECT id, name, created_ms FROM accounts WHERE id = $1";
    ACCOUNT_BY_NAME = "SELECT id, name, created_ms FROM accounts WHERE name = $1";
    ACCOUNT_LIST = "SELECT id, name, created_ms FROM accounts ORDER BY id";
    USER_INSERT = "INSERT INTO users (id, account_id, name, path, created_ms, is_admin) VALUES ($1, $2, $3, $4, $5, $6)";
    USER_FETCH = "SELECT id, account_id, name, path, created_ms, is_admin FROM users WHERE id = $1";
    USER_LIST = "SELECT id, account_id, name, path, created_ms, is_admin FROM users WHERE account_id = $1 ORDER BY name";
    USER_DELETE = "DELETE FROM users WHERE id = $1";
    KEY_INSERT = "INSERT INTO access_keys (id, user_id, account_id, active, created_ms, sealed_secret)
        VALUES ($1, $2, $3, $4, $5, $6)";
    KEY_FETCH = "SELECT id, user_id, account_id, active, created_ms FROM access_keys WHERE id = $1";
    KEY_SEALED = "SELECT sealed_secret FROM access_keys WHERE id = $1";
    KEY_LIST = "SELECT id, user_id, account_id, active, created_ms FROM access_keys WHERE user_id = $1 ORDER BY id";
    KEY_ACTIVE_SET = "UPDATE access_keys SET active = $2 WHERE id = $1";
    KEY_DELETE = "DELETE FROM access_keys WHERE id = $1";
}

/// Makes an account. Conflicts: `accounts_id`, `accounts_name`.
pub async fn account_insert(tx: &mut Tx, row: &AccountRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ACCOUNT_INSERT, row.args()).await.map(drop)
}

/// The account of this number.
pub async fn account_fetch<'a>(exec: impl Into<Exec<'a>>, id: &AccountId) -> Result<AccountRow, StoreError> {
    exec.into().one(ACCOUNT_FETCH, args![id], id).await
}

/// The account of this name.
pub async fn account_by_name<'a>(exec: impl Into<Exec<'a>>, name: &str) -> Result<Option<AccountRow>, StoreError> {
    exec.into().maybe(ACCOUNT_BY_NAME, args![name]).await
}

/// Every account, by number.
pub async fn account_list<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<AccountRow>, StoreError> {
    exec.into().all(ACCOUNT_LIST, vec![]).await
}

/// Makes a user. Conflicts: `users_id`, `users_account_id_name`.
pub async fn user_insert(tx: &mut Tx, row: &UserRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(USER_INSERT, row.args()).await.map(drop)
}

/// The user of this id.
pub async fn user_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<UserRow, StoreError> {
    exec.into().one(USER_FETCH, args![id], id).await
}

/// An account's users, by name.
pub async fn user_list<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<Vec<UserRow>, StoreError> {
    exec.into().all(USER_LIST, args![account]).await
}

/// Removes a user; [`StoreError::InUse`] while it has access keys.
pub async fn user_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(USER_DELETE, args![id]).await?, id)
}

/// Makes an access key; the secret is sealed with the store's key.
pub async fn access_key_insert(tx: &mut Tx, row: &AccessKeyRow, secret: &SecretString) -> Result<(), StoreError> {
    let store = tx.store();
    let sealed = store.seal().seal(store.rng(), &row.id, secret.expose_secret().as_bytes())?;
    let mut values = row.args();
    values.extend(args![sealed]);
    Exec::Tx(tx).run(KEY_INSERT, values).await.map(drop)
}

/// The access key of this id, without its secret.
pub async fn access_key_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<AccessKeyRow, StoreError> {
    exec.into().one(KEY_FETCH, args![id], id).await
}

/// The secret of an access key. [`StoreError::Sealed`] when the seal key is another.
pub async fn access_key_secret(store: &Store, id: &str) -> Result<SecretString, StoreError> {
    let (sealed,) = Exec::Store(store).one::<(Vec<u8>,)>(KEY_SEALED, args![id], id).await?;
    store.seal().open(id, &sealed)
}

/// A user's access keys, by id.
pub async fn access_key_list<'a>(exec: impl Into<Exec<'a>>, user: &str) -> Result<Vec<AccessKeyRow>, StoreError> {
    exec.into().all(KEY_LIST, args![user]).await
}

/// Switches an access key on or off.
pub async fn access_key_active_set(tx: &mut Tx, id: &str, active: bool) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(KEY_ACTIVE_SET, args![id, active]).await?, id)
}

/// Removes an access key.
pub async fn access_key_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(KEY_DELETE, args![id]).await?, id)
}

fn found(rows: u64, id: &str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::not_found(id)) } else { Ok(()) }
}
