//! Keys of the key management service, what they encrypt with, and their aliases.

use crate::exec::Exec;
use crate::json::Json;
use crate::macros::{args, record, sql};
use crate::role::found;
use crate::tx::Tx;
use crate::value::words;
use crate::{Store, StoreError};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What may be done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KmsState {
    /// Everything.
    Enabled,
    /// Nothing but looking at it, changing it and removing it.
    Disabled,
    /// It goes at a time; until then that can be taken back.
    PendingDeletion,
}

/// Why there is a key material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KmsReason {
    /// The key was made.
    Made,
    /// Its time had come.
    Automatic,
    /// Somebody asked.
    OnDemand,
}

words! {
    KmsState { Enabled = "Enabled", Disabled = "Disabled", PendingDeletion = "PendingDeletion" }
    KmsReason { Made = "", Automatic = "AUTOMATIC", OnDemand = "ON_DEMAND" }
}

/// What a key is like beside its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsKeyDoc {
    /// Its description.
    pub description: String,
    /// The service that manages it for its account (`s3`); empty: the account does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Days from one automatic rotation to the next, while it is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_days: Option<u32>,
}

record! {
    /// A key.
    pub struct KmsKeyRow {
        /// A UUID.
        id: String,
        /// Whose.
        account_id: AccountId,
        /// What may be done with it.
        state: KmsState,
        /// What it is like.
        doc: Json<KmsKeyDoc>,
        /// Its policy: JSON as it was given.
        policy: String,
        /// When it goes, in milliseconds since 1970, as all times.
        delete_ms: Option<i64>,
        /// When it gets new material.
        rotate_ms: Option<i64>,
        /// When it was made.
        created_ms: i64,
    }
    /// A material of a key, without the secret.
    pub struct KmsMaterialRow {
        /// The key.
        key_id: String,
        /// From 1; the largest encrypts.
        n: u32,
        /// Why it was made.
        reason: KmsReason,
        /// When.
        created_ms: i64,
    }
    /// Another name of a key.
    pub struct KmsAliasRow {
        /// Whose.
        account_id: AccountId,
        /// With `alias/`.
        name: String,
        /// The key.
        key_id: String,
        /// When it was made.
        created_ms: i64,
        /// When it was given this key.
        updated_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO kms_keys (id, account_id, state, doc, policy, delete_ms, rotate_ms, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    UPDATE = "UPDATE kms_keys SET state = $2, doc = $3, policy = $4, delete_ms = $5, rotate_ms = $6 WHERE id = $1";
    FETCH = "SELECT id, account_id, state, doc, policy, delete_ms, rotate_ms, created_ms FROM kms_keys WHERE id = $1";
    LIST = "SELECT id, account_id, state, doc, policy, delete_ms, rotate_ms, created_ms FROM kms_keys
        WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3 + 0";
    COUNT = "SELECT COUNT(*) FROM kms_keys WHERE account_id = $1";
    DELETE = "DELETE FROM kms_keys WHERE id = $1 AND state = 'PendingDeletion' AND delete_ms <= $2";
    DELETABLE = "SELECT id, account_id, state, doc, policy, delete_ms, rotate_ms, created_ms FROM kms_keys
        WHERE delete_ms <= $1 ORDER BY delete_ms LIMIT $2 + 0";
    ROTATABLE = "SELECT id, account_id, state, doc, policy, delete_ms, rotate_ms, created_ms FROM kms_keys
        WHERE rotate_ms <= $1 ORDER BY rotate_ms LIMIT $2 + 0";
    MATERIAL_INSERT = "INSERT INTO kms_material (key_id, n, reason, created_ms, sealed) VALUES ($1, $2, $3, $4, $5)";
    MATERIAL_LIST = "SELECT key_id, n, reason, created_ms FROM kms_material WHERE key_id = $1 ORDER BY n";
    MATERIAL_NEWEST = "SELECT n FROM kms_material WHERE key_id = $1 ORDER BY n DESC LIMIT 1";
    MATERIAL_SEALED = "SELECT sealed FROM kms_material WHERE key_id = $1 AND n = $2";
    ALIAS_INSERT = "INSERT INTO kms_aliases (account_id, name, key_id, created_ms, updated_ms)
        VALUES ($1, $2, $3, $4, $5)";
    ALIAS_FETCH = "SELECT account_id, name, key_id, created_ms, updated_ms FROM kms_aliases
        WHERE account_id = $1 AND name = $2";
    ALIAS_LIST = "SELECT account_id, name, key_id, created_ms, updated_ms FROM kms_aliases
        WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3 + 0";
    ALIAS_OF = "SELECT account_id, name, key_id, created_ms, updated_ms FROM kms_aliases
        WHERE key_id = $1 ORDER BY name";
    ALIAS_UPDATE = "UPDATE kms_aliases SET key_id = $3, updated_ms = $4 WHERE account_id = $1 AND name = $2";
    ALIAS_DELETE = "DELETE FROM kms_aliases WHERE account_id = $1 AND name = $2";
}

fn secret_name(key: &str, n: u32) -> String {
    format!("kms key {key} {n}")
}

/// Makes a key, without material yet.
pub async fn kms_key_insert(tx: &mut Tx, row: &KmsKeyRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Writes what can change of a key.
pub async fn kms_key_update(tx: &mut Tx, row: &KmsKeyRow) -> Result<(), StoreError> {
    let values = args![row.id, row.state, row.doc, row.policy, row.delete_ms, row.rotate_ms];
    found(Exec::Tx(tx).run(UPDATE, values).await?, &row.id)
}

/// A key, whosever.
pub async fn kms_key_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<Option<KmsKeyRow>, StoreError> {
    exec.into().maybe(FETCH, args![id]).await
}

/// A key that nobody else changes until the transaction ends.
pub async fn kms_key_locked(tx: &mut Tx, id: &str) -> Result<Option<KmsKeyRow>, StoreError> {
    tx.lock(&format!("kms/key/{id}")).await?;
    kms_key_fetch(tx, id).await
}

/// Lets nobody else make keys or aliases of this account until the transaction ends.
pub async fn kms_account_lock(tx: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    tx.lock(&format!("kms/account/{account}")).await
}

/// Keys of an account with ids above `after`.
pub async fn kms_key_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    after: &str,
    limit: u32,
) -> Result<Vec<KmsKeyRow>, StoreError> {
    exec.into().all(LIST, args![account, after, limit]).await
}

/// How many keys an account has.
pub async fn kms_key_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![account], account).await?.0)
}

/// Keys whose time has come to go.
pub async fn kms_key_deletable<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<KmsKeyRow>, StoreError> {
    exec.into().all(DELETABLE, args![now_ms, limit]).await
}

/// Keys whose time has come to get new material.
pub async fn kms_key_rotatable<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<KmsKeyRow>, StoreError> {
    exec.into().all(ROTATABLE, args![now_ms, limit]).await
}

/// Removes a key whose time has come, with its material and aliases; false if that was taken back.
pub async fn kms_key_delete(tx: &mut Tx, id: &str, now_ms: i64) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id, now_ms]).await? > 0)
}

/// Adds material to a key; it is sealed with the store's key. Conflict: `kms_material_key_id_n`.
pub async fn kms_material_insert(tx: &mut Tx, row: &KmsMaterialRow, secret: &SecretString) -> Result<(), StoreError> {
    let store = tx.store();
    let name = secret_name(&row.key_id, row.n);
    let sealed = store.seal().seal(store.rng(), &name, secret.expose_secret().as_bytes())?;
    let mut values = row.args();
    values.extend(args![sealed]);
    Exec::Tx(tx).run(MATERIAL_INSERT, values).await.map(drop)
}

/// The materials of a key, oldest first (an account rotates a key at most a few times a year).
pub async fn kms_material_list<'a>(exec: impl Into<Exec<'a>>, key: &str) -> Result<Vec<KmsMaterialRow>, StoreError> {
    exec.into().all(MATERIAL_LIST, args![key]).await
}

/// The number of the material that encrypts; `None` if the key is gone.
pub async fn kms_material_newest<'a>(exec: impl Into<Exec<'a>>, key: &str) -> Result<Option<u32>, StoreError> {
    Ok(exec.into().maybe::<(u32,)>(MATERIAL_NEWEST, args![key]).await?.map(|(n,)| n))
}

/// A material's secret; `None` if there is no such material. [`StoreError::Sealed`] when the seal key is another.
pub async fn kms_material_secret(store: &Store, key: &str, n: u32) -> Result<Option<SecretString>, StoreError> {
    let sealed = Exec::Store(store).maybe::<(Vec<u8>,)>(MATERIAL_SEALED, args![key, n]).await?;
    sealed.map(|(sealed,)| store.seal().open(&secret_name(key, n), &sealed)).transpose()
}

/// Makes an alias. Conflict: `kms_aliases_account_id_name`.
pub async fn kms_alias_insert(tx: &mut Tx, row: &KmsAliasRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ALIAS_INSERT, row.args()).await.map(drop)
}

/// An account's alias of this name.
pub async fn kms_alias_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<Option<KmsAliasRow>, StoreError> {
    exec.into().maybe(ALIAS_FETCH, args![account, name]).await
}

/// An account's aliases with names above `after`.
pub async fn kms_alias_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    after: &str,
    limit: u32,
) -> Result<Vec<KmsAliasRow>, StoreError> {
    exec.into().all(ALIAS_LIST, args![account, after, limit]).await
}

/// The aliases of a key, by name (a key has few).
pub async fn kms_alias_list_of<'a>(exec: impl Into<Exec<'a>>, key: &str) -> Result<Vec<KmsAliasRow>, StoreError> {
    exec.into().all(ALIAS_OF, args![key]).await
}

/// Gives an alias another key.
pub async fn kms_alias_update(
    tx: &mut Tx,
    account: &AccountId,
    name: &str,
    key: &str,
    at_ms: i64,
) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(ALIAS_UPDATE, args![account, name, key, at_ms]).await?, name)
}

/// Removes an alias; true if it was there.
pub async fn kms_alias_delete(tx: &mut Tx, account: &AccountId, name: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ALIAS_DELETE, args![account, name]).await? > 0)
}
