//! SSH public keys of users.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// A user's SSH key.
    pub struct SshPublicKeyRow {
        /// AWS's unique id (`APKA…`).
        id: String,
        /// Whose.
        user_id: String,
        /// The user's account.
        account_id: AccountId,
        /// One line, as in `authorized_keys`.
        body: String,
        /// MD5, pairs of digits with colons: a user has it once.
        fingerprint: String,
        /// Inactive ones are not taken.
        active: bool,
        /// When it was uploaded.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO ssh_public_keys (id, user_id, account_id, body, fingerprint, active, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LIST = "SELECT id, user_id, account_id, body, fingerprint, active, created_ms FROM ssh_public_keys
        WHERE user_id = $1 ORDER BY id";
    ACTIVE_SET = "UPDATE ssh_public_keys SET active = $3 WHERE user_id = $1 AND id = $2";
    DELETE = "DELETE FROM ssh_public_keys WHERE user_id = $1 AND id = $2";
}

/// Gives a user a key. Conflict: `ssh_public_keys_user_id_fingerprint`.
pub async fn ssh_public_key_insert(tx: &mut Tx, row: &SshPublicKeyRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// A user's keys, by id.
pub async fn ssh_public_key_list<'a>(
    exec: impl Into<Exec<'a>>,
    user: &str,
) -> Result<Vec<SshPublicKeyRow>, StoreError> {
    exec.into().all(LIST, args![user]).await
}

/// Switches a user's key on or off; true if it was there.
pub async fn ssh_public_key_active_set(tx: &mut Tx, user: &str, id: &str, active: bool) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ACTIVE_SET, args![user, id, active]).await? > 0)
}

/// Removes a user's key; true if it was there.
pub async fn ssh_public_key_delete(tx: &mut Tx, user: &str, id: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![user, id]).await? > 0)
}
