//! IAM roles.

use crate::StoreError;
use crate::exec::Exec;
use crate::iam_user::{NamedFilter, named};
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// A role.
    pub struct RoleRow {
        /// AWS's unique id (`AROA…`).
        id: String,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account without regard to case.
        name: String,
        /// Begins and ends with `/`.
        path: String,
        /// What it is for, if that was said.
        description: Option<String>,
        /// The document that says who may assume it.
        trust: String,
        /// Longest session, in seconds.
        max_session_seconds: u32,
        /// When it was made.
        created_ms: i64,
        /// When credentials of a session of it last signed a request.
        last_used_ms: Option<i64>,
        /// Where that was.
        last_used_region: Option<String>,
    }
}

sql! {
    INSERT = "INSERT INTO roles (id, account_id, name, path, description, trust, max_session_seconds, created_ms,
        last_used_ms, last_used_region) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    FETCH = "SELECT id, account_id, name, path, description, trust, max_session_seconds, created_ms, last_used_ms,
        last_used_region FROM roles WHERE id = $1";
    BY_NAME = "SELECT id, account_id, name, path, description, trust, max_session_seconds, created_ms, last_used_ms,
        last_used_region FROM roles WHERE account_id = $1 AND LOWER(name) = LOWER($2)";
    LIST = "SELECT id, account_id, name, path, description, trust, max_session_seconds, created_ms, last_used_ms,
        last_used_region FROM roles WHERE account_id = $1";
    COUNT = "SELECT COUNT(*) FROM roles WHERE account_id = $1";
    UPDATE = "UPDATE roles SET description = $2, trust = $3, max_session_seconds = $4 WHERE id = $1";
    USED = "UPDATE roles SET last_used_ms = $2, last_used_region = $3 WHERE id = $1
        AND (last_used_ms IS NULL OR last_used_ms < $2)";
    DELETE = "DELETE FROM roles WHERE id = $1";
}

/// Makes a role. Conflicts: `roles_id`, `roles_account_id_name`.
pub async fn role_insert(tx: &mut Tx, row: &RoleRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The role of this id.
pub async fn role_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<RoleRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The account's role of this name; case does not count.
pub async fn role_by_name<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<Option<RoleRow>, StoreError> {
    exec.into().maybe(BY_NAME, args![account, name]).await
}

/// An account's roles by name.
pub async fn role_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    filter: NamedFilter<'_>,
    limit: u32,
) -> Result<Vec<RoleRow>, StoreError> {
    named(Select::new(LIST, args![account]), filter).page(exec.into(), "name", limit).await
}

/// The roles of these ids.
pub async fn role_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: &[String],
) -> Result<Vec<RoleRow>, StoreError> {
    let select = Select::new(LIST, args![account]).and_in("id", Some(ids))?;
    select.page(exec.into(), "name", crate::PAGE_ROWS_MAX).await
}

/// How many roles an account has.
pub async fn role_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![account], account).await?.0)
}

/// Writes what can be changed of a role: description, trust, longest session.
pub async fn role_update(tx: &mut Tx, row: &RoleRow) -> Result<(), StoreError> {
    let values = args![row.id, row.description, row.trust, row.max_session_seconds];
    found(Exec::Tx(tx).run(UPDATE, values).await?, &row.id)
}

/// Notes that a session of the role was used; an older time than the one noted changes nothing.
pub async fn role_used(tx: &mut Tx, id: &str, at_ms: i64, region: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(USED, args![id, at_ms, region]).await.map(drop)
}

/// Removes a role; [`StoreError::InUse`] while an instance profile holds it.
pub async fn role_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(DELETE, args![id]).await?, id)
}

pub(crate) fn found(rows: u64, id: &str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::not_found(id)) } else { Ok(()) }
}
