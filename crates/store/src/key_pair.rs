//! Key pairs: the public half only.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::words;
use mallee_types::{AccountId, KeyPairId};

/// The algorithm of a key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyPairKind {
    /// RSA.
    Rsa,
    /// Ed25519.
    Ed25519,
}
words! { KeyPairKind { Rsa = "rsa", Ed25519 = "ed25519" } }

record! {
    /// A key pair.
    pub struct KeyPairRow {
        /// `key-…`.
        id: KeyPairId,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account.
        name: String,
        /// Its algorithm.
        kind: KeyPairKind,
        /// In the form AWS gives keys of this kind and origin.
        fingerprint: String,
        /// One line, as in `authorized_keys`.
        public_openssh: String,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO key_pairs (id, account_id, name, kind, fingerprint, public_openssh, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    BY_NAME = "SELECT id, account_id, name, kind, fingerprint, public_openssh, created_ms
        FROM key_pairs WHERE account_id = $1 AND name = $2";
    LIST = "SELECT id, account_id, name, kind, fingerprint, public_openssh, created_ms
        FROM key_pairs WHERE account_id = $1";
    DELETE = "DELETE FROM key_pairs WHERE account_id = $1 AND id = $2";
}

/// Makes a key pair. Conflict: `key_pairs_account_id_name`.
pub async fn key_pair_insert(tx: &mut Tx, row: &KeyPairRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The account's key pair of this name.
pub async fn key_pair_by_name<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<Option<KeyPairRow>, StoreError> {
    exec.into().maybe(BY_NAME, args![account, name]).await
}

/// The account's key pairs by name, after `after_name`; each given list must hold.
pub async fn key_pair_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[KeyPairId]>,
    names: Option<&[String]>,
    after_name: Option<&str>,
    limit: u32,
) -> Result<Vec<KeyPairRow>, StoreError> {
    let select =
        Select::new(LIST, args![account]).and("name >", after_name).and_in("id", ids)?.and_in("name", names)?;
    select.page(exec.into(), "name", limit).await
}

/// Removes a key pair; true if it was there.
pub async fn key_pair_delete(tx: &mut Tx, account: &AccountId, id: &KeyPairId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![account, id]).await? > 0)
}
