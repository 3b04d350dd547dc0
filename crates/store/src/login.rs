//! Users' passwords, and an account's rules for them.

use crate::StoreError;
use crate::exec::Exec;
use crate::json::{Json, TextList};
use crate::macros::{args, record, sql};
use crate::role::found;
use crate::tx::Tx;
use mallee_types::AccountId;
use serde::{Deserialize, Serialize};

record! {
    /// A user's password.
    pub struct LoginProfileRow {
        /// Whose.
        user_id: String,
        /// The user's account.
        account_id: AccountId,
        /// Argon2id, as a PHC text.
        password_hash: String,
        /// The user has to give another one when next signing in.
        reset_required: bool,
        /// When the profile was made.
        created_ms: i64,
        /// When the password was last changed.
        changed_ms: i64,
        /// When it last let the user in.
        last_used_ms: Option<i64>,
        /// Hashes of the passwords before, newest first.
        earlier_hashes: TextList,
    }
}

/// An account's rules for passwords. The defaults are those of `UpdateAccountPasswordPolicy` without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PasswordRules {
    /// Fewest characters.
    pub minimum_length: u32,
    /// At least one of ``! @ # $ % ^ & * ( ) _ + - = [ ] { } | '``.
    pub require_symbols: bool,
    /// At least one digit.
    pub require_numbers: bool,
    /// At least one of `A` to `Z`.
    pub require_uppercase: bool,
    /// At least one of `a` to `z`.
    pub require_lowercase: bool,
    /// Users may change their own.
    pub users_may_change: bool,
    /// Days until a password has to be changed; `None`: never.
    pub max_age_days: Option<u32>,
    /// So many earlier passwords may not be taken again.
    pub reuse_prevention: Option<u32>,
    /// Who let a password run out cannot change it.
    pub hard_expiry: bool,
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            minimum_length: 6,
            require_symbols: false,
            require_numbers: false,
            require_uppercase: false,
            require_lowercase: false,
            users_may_change: false,
            max_age_days: None,
            reuse_prevention: None,
            hard_expiry: false,
        }
    }
}

sql! {
    INSERT = "INSERT INTO login_profiles (user_id, account_id, password_hash, reset_required, created_ms, changed_ms,
        last_used_ms, earlier_hashes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    FETCH = "SELECT user_id, account_id, password_hash, reset_required, created_ms, changed_ms, last_used_ms,
        earlier_hashes FROM login_profiles WHERE user_id = $1";
    LIST = "SELECT user_id, account_id, password_hash, reset_required, created_ms, changed_ms, last_used_ms,
        earlier_hashes FROM login_profiles WHERE account_id = $1 ORDER BY user_id";
    UPDATE = "UPDATE login_profiles SET password_hash = $2, reset_required = $3, changed_ms = $4, earlier_hashes = $5
        WHERE user_id = $1";
    USED = "UPDATE login_profiles SET last_used_ms = $2 WHERE user_id = $1";
    DELETE = "DELETE FROM login_profiles WHERE user_id = $1";
    RULES_PUT = "INSERT INTO password_policies (account_id, doc) VALUES ($1, $2)
        ON CONFLICT (account_id) DO UPDATE SET doc = excluded.doc";
    RULES_FETCH = "SELECT doc FROM password_policies WHERE account_id = $1";
    RULES_DELETE = "DELETE FROM password_policies WHERE account_id = $1";
}

/// Gives a user a password. Conflict: `login_profiles_user_id`.
pub async fn login_profile_insert(tx: &mut Tx, row: &LoginProfileRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// A user's password, if it has one.
pub async fn login_profile_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    user: &str,
) -> Result<Option<LoginProfileRow>, StoreError> {
    exec.into().maybe(FETCH, args![user]).await
}

/// The passwords of an account, by user.
pub async fn login_profile_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<LoginProfileRow>, StoreError> {
    exec.into().all(LIST, args![account]).await
}

/// Writes what can be changed: the password, whether it has to be changed, the earlier ones.
pub async fn login_profile_update(tx: &mut Tx, row: &LoginProfileRow) -> Result<(), StoreError> {
    let values = args![row.user_id, row.password_hash, row.reset_required, row.changed_ms, row.earlier_hashes];
    found(Exec::Tx(tx).run(UPDATE, values).await?, &row.user_id)
}

/// Notes that a password let its user in.
pub async fn login_profile_used(tx: &mut Tx, user: &str, at_ms: i64) -> Result<(), StoreError> {
    Exec::Tx(tx).run(USED, args![user, at_ms]).await.map(drop)
}

/// Takes a user's password away; true if there was one.
pub async fn login_profile_delete(tx: &mut Tx, user: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![user]).await? > 0)
}

/// Sets an account's rules for passwords.
pub async fn password_rules_put(tx: &mut Tx, account: &AccountId, rules: &PasswordRules) -> Result<(), StoreError> {
    Exec::Tx(tx).run(RULES_PUT, args![account, Json(*rules)]).await.map(drop)
}

/// An account's own rules, if it has set any.
pub async fn password_rules_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Option<PasswordRules>, StoreError> {
    Ok(exec.into().maybe::<(Json<PasswordRules>,)>(RULES_FETCH, args![account]).await?.map(|(rules,)| rules.0))
}

/// Removes an account's own rules; true if there were any.
pub async fn password_rules_delete(tx: &mut Tx, account: &AccountId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(RULES_DELETE, args![account]).await? > 0)
}
