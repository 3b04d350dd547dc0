//! Users by name, and what IAM asks of users and access keys beyond account.rs.

use crate::account::{AccessKeyRow, AccountRow, UserRow};
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows};
use crate::tx::Tx;
use crate::{StoreError, setting};
use mallee_types::AccountId;

/// The setting that names the account that administers the cloud.
const CLOUD_ACCOUNT: &str = "cloud_account";

/// The part of a list of named and pathed things that is asked for.
#[derive(Debug, Default, Clone, Copy)]
pub struct NamedFilter<'a> {
    /// Only paths that begin so.
    pub path_prefix: Option<&'a str>,
    /// Only names after this one.
    pub after: Option<&'a str>,
}

/// Adds the filter. Paths are ASCII, so what begins with a prefix lies before the prefix and the last character.
pub(crate) fn named(select: Select, filter: NamedFilter<'_>) -> Select {
    let end = filter.path_prefix.map(|prefix| format!("{prefix}\u{10ffff}"));
    select.and("path >=", filter.path_prefix).and("path <", end).and("name >", filter.after)
}

record! {
    /// When an access key last signed a request.
    pub struct AccessKeyUseRow {
        /// The key.
        key_id: String,
        /// When.
        used_ms: i64,
        /// The service, as in credential scopes.
        service: String,
        /// The region that the signature named.
        region: String,
    }
}

sql! {
    ACCOUNT_RENAME = "UPDATE accounts SET name = $2 WHERE id = $1";
    ACCOUNT_DELETE = "DELETE FROM accounts WHERE id = $1";
    ACCOUNT_PAGE = "SELECT id, name, created_ms FROM accounts WHERE id <> ''";
    BY_NAME = "SELECT id, account_id, name, path, created_ms, is_admin FROM users
        WHERE account_id = $1 AND LOWER(name) = LOWER($2)";
    PAGE = "SELECT id, account_id, name, path, created_ms, is_admin FROM users WHERE account_id = $1";
    UPDATE = "UPDATE users SET name = $2, path = $3 WHERE id = $1";
    COUNT = "SELECT COUNT(*) FROM users WHERE account_id = $1";
    ADMIN = "SELECT id, account_id, name, path, created_ms, is_admin FROM users
        WHERE account_id = $1 AND is_admin ORDER BY created_ms, id LIMIT 1";
    KEYS_OF_ACCOUNT = "SELECT id, user_id, account_id, active, created_ms FROM access_keys WHERE account_id = $1
        ORDER BY user_id, id";
    USE_FETCH = "SELECT key_id, used_ms, service, region FROM access_key_uses WHERE key_id = $1";
    USES_OF_ACCOUNT = "SELECT u.key_id, u.used_ms, u.service, u.region FROM access_key_uses u
        JOIN access_keys k ON k.id = u.key_id WHERE k.account_id = $1 ORDER BY u.key_id";
    KEY_EXISTS = "SELECT id FROM access_keys WHERE id <> ''";
}

/// Gives an account another name; false if there is no such account. Conflict: `accounts_name`.
pub async fn account_rename(tx: &mut Tx, id: &AccountId, name: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ACCOUNT_RENAME, args![id, name]).await? > 0)
}

/// Removes an account; [`StoreError::InUse`] while it has users, groups or policies.
pub async fn account_delete(tx: &mut Tx, id: &AccountId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ACCOUNT_DELETE, args![id]).await? > 0)
}

/// Accounts by number, after `after`.
pub async fn account_page<'a>(
    exec: impl Into<Exec<'a>>,
    after: Option<&AccountId>,
    limit: u32,
) -> Result<Vec<AccountRow>, StoreError> {
    Select::new(ACCOUNT_PAGE, vec![]).and("id >", after).page(exec.into(), "id", limit).await
}

/// The account that administers the cloud, once the first start has made it. It never changes.
pub async fn cloud_account<'a>(exec: impl Into<Exec<'a>>) -> Result<Option<AccountId>, StoreError> {
    let Some(text) = setting::setting_fetch(exec, CLOUD_ACCOUNT).await? else { return Ok(None) };
    text.parse().map(Some).map_err(|e| StoreError::corrupt(format!("setting {CLOUD_ACCOUNT}: {e}")))
}

/// Says once and for all which account administers the cloud.
pub async fn cloud_account_set(tx: &mut Tx, id: &AccountId) -> Result<bool, StoreError> {
    setting::setting_insert(tx, CLOUD_ACCOUNT, id.as_str()).await
}

/// The account's user of this name; case does not count.
pub async fn user_by_name<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<Option<UserRow>, StoreError> {
    exec.into().maybe(BY_NAME, args![account, name]).await
}

/// The account's users by name.
pub async fn user_page<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    filter: NamedFilter<'_>,
    limit: u32,
) -> Result<Vec<UserRow>, StoreError> {
    named(Select::new(PAGE, args![account]), filter).page(exec.into(), "name", limit).await
}

/// The account's users of these ids, by name.
pub async fn user_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: &[String],
) -> Result<Vec<UserRow>, StoreError> {
    let select = Select::new(PAGE, args![account]).and_in("id", Some(ids))?;
    select.page(exec.into(), "name", crate::PAGE_ROWS_MAX).await
}

/// How many users an account has.
pub async fn user_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![account], account).await?.0)
}

/// The account's own administrator, made with it.
pub async fn user_admin<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<Option<UserRow>, StoreError> {
    exec.into().maybe(ADMIN, args![account]).await
}

/// Gives a user another name or path. Conflict: `users_account_id_name`.
pub async fn user_update(tx: &mut Tx, id: &str, name: &str, path: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(UPDATE, args![id, name, path]).await? > 0)
}

/// Every access key of an account, by user and id.
pub async fn access_key_list_account<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<AccessKeyRow>, StoreError> {
    exec.into().all(KEYS_OF_ACCOUNT, args![account]).await
}

/// When this key was last used, as far as it was written down.
pub async fn access_key_use_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    key: &str,
) -> Result<Option<AccessKeyUseRow>, StoreError> {
    exec.into().maybe(USE_FETCH, args![key]).await
}

/// The last uses of an account's keys, by key.
pub async fn access_key_use_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<AccessKeyUseRow>, StoreError> {
    exec.into().all(USES_OF_ACCOUNT, args![account]).await
}

/// Writes down last uses; older ones than those written are passed over, and those of keys that are gone.
pub async fn access_key_use_put(tx: &mut Tx, uses: &[AccessKeyUseRow]) -> Result<(), StoreError> {
    let head = "INSERT INTO access_key_uses (key_id, used_ms, service, region) VALUES ";
    let tail = " ON CONFLICT (key_id) DO UPDATE SET used_ms = excluded.used_ms, service = excluded.service,
        region = excluded.region WHERE excluded.used_ms > access_key_uses.used_ms";
    for chunk in uses.chunks(crate::FILTER_VALUES_MAX) {
        let ids: Vec<&str> = chunk.iter().map(|row| row.key_id.as_str()).collect();
        let select = Select::new(KEY_EXISTS, vec![]).and_in("id", Some(&ids))?;
        let there: Vec<(String,)> = select.page(Exec::Tx(tx), "id", crate::PAGE_ROWS_MAX).await?;
        // One statement must not touch a row twice: of one key the last use counts.
        let mut last = std::collections::BTreeMap::<&str, &AccessKeyUseRow>::new();
        for row in chunk.iter().filter(|row| there.iter().any(|(id,)| *id == row.key_id)) {
            let kept = last.entry(&row.key_id).or_insert(row);
            if row.used_ms > kept.used_ms {
                *kept = row;
            }
        }
        insert_rows(Exec::Tx(tx), head, tail, last.into_values().map(AccessKeyUseRow::args).collect()).await?;
    }
    Ok(())
}
