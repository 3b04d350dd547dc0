//! Groups of users.

use crate::StoreError;
use crate::account::UserRow;
use crate::exec::Exec;
use crate::iam_user::{NamedFilter, named};
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// A group of users.
    pub struct IamGroupRow {
        /// `AGPA…`.
        id: String,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account without regard to case.
        name: String,
        /// Begins and ends with `/`.
        path: String,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO iam_groups (id, account_id, name, path, created_ms) VALUES ($1, $2, $3, $4, $5)";
    BY_NAME = "SELECT id, account_id, name, path, created_ms FROM iam_groups
        WHERE account_id = $1 AND LOWER(name) = LOWER($2)";
    PAGE = "SELECT id, account_id, name, path, created_ms FROM iam_groups WHERE account_id = $1";
    COUNT = "SELECT COUNT(*) FROM iam_groups WHERE account_id = $1";
    UPDATE = "UPDATE iam_groups SET name = $2, path = $3 WHERE id = $1";
    DELETE = "DELETE FROM iam_groups WHERE id = $1";
    MEMBER_ADD = "INSERT INTO iam_group_members (group_id, user_id) VALUES ($1, $2)
        ON CONFLICT (group_id, user_id) DO NOTHING";
    MEMBER_REMOVE = "DELETE FROM iam_group_members WHERE group_id = $1 AND user_id = $2";
    MEMBERS_REMOVE_OF = "DELETE FROM iam_group_members WHERE group_id = $1";
    MEMBER_COUNT = "SELECT COUNT(*) FROM iam_group_members WHERE group_id = $1";
    GROUP_COUNT = "SELECT COUNT(*) FROM iam_group_members WHERE user_id = $1";
    MEMBERS = "SELECT id, account_id, name, path, created_ms, is_admin FROM users
        WHERE id IN (SELECT user_id FROM iam_group_members WHERE group_id = $1)";
    GROUPS_OF = "SELECT id, account_id, name, path, created_ms FROM iam_groups
        WHERE id IN (SELECT group_id FROM iam_group_members WHERE user_id = $1)";
    MEMBERSHIPS = "SELECT user_id, group_id FROM iam_group_members
        WHERE group_id IN (SELECT id FROM iam_groups WHERE account_id = $1) ORDER BY user_id, group_id";
}

/// Makes a group. Conflict: `iam_groups_account_id_name`.
pub async fn iam_group_insert(tx: &mut Tx, row: &IamGroupRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The account's group of this name; case does not count.
pub async fn iam_group_by_name<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<Option<IamGroupRow>, StoreError> {
    exec.into().maybe(BY_NAME, args![account, name]).await
}

/// The account's groups by name.
pub async fn iam_group_page<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    filter: NamedFilter<'_>,
    limit: u32,
) -> Result<Vec<IamGroupRow>, StoreError> {
    named(Select::new(PAGE, args![account]), filter).page(exec.into(), "name", limit).await
}

/// The account's groups of these ids, by name.
pub async fn iam_group_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: &[String],
) -> Result<Vec<IamGroupRow>, StoreError> {
    let select = Select::new(PAGE, args![account]).and_in("id", Some(ids))?;
    select.page(exec.into(), "name", crate::PAGE_ROWS_MAX).await
}

/// How many groups an account has.
pub async fn iam_group_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![account], account).await?.0)
}

/// Gives a group another name or path. Conflict: `iam_groups_account_id_name`.
pub async fn iam_group_update(tx: &mut Tx, id: &str, name: &str, path: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(UPDATE, args![id, name, path]).await? > 0)
}

/// Removes a group; [`StoreError::InUse`] while it has members.
pub async fn iam_group_delete(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Puts a user into a group; false if it was there.
pub async fn iam_group_member_add(tx: &mut Tx, group: &str, user: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(MEMBER_ADD, args![group, user]).await? > 0)
}

/// Takes a user out of a group; false if it was not there.
pub async fn iam_group_member_remove(tx: &mut Tx, group: &str, user: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(MEMBER_REMOVE, args![group, user]).await? > 0)
}

/// Takes every user out of a group.
pub async fn iam_group_members_remove(tx: &mut Tx, group: &str) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(MEMBERS_REMOVE_OF, args![group]).await
}

/// How many users a group has.
pub async fn iam_group_member_count<'a>(exec: impl Into<Exec<'a>>, group: &str) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(MEMBER_COUNT, args![group], group).await?.0)
}

/// In how many groups a user is.
pub async fn iam_group_count_of_user<'a>(exec: impl Into<Exec<'a>>, user: &str) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(GROUP_COUNT, args![user], user).await?.0)
}

/// A group's users by name, after `after`.
pub async fn iam_group_members<'a>(
    exec: impl Into<Exec<'a>>,
    group: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<UserRow>, StoreError> {
    Select::new(MEMBERS, args![group]).and("name >", after).page(exec.into(), "name", limit).await
}

/// A user's groups by name, after `after`.
pub async fn iam_groups_of_user<'a>(
    exec: impl Into<Exec<'a>>,
    user: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<IamGroupRow>, StoreError> {
    Select::new(GROUPS_OF, args![user]).and("name >", after).page(exec.into(), "name", limit).await
}

/// Every membership of an account: (user, group).
pub async fn iam_memberships<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<(String, String)>, StoreError> {
    exec.into().all(MEMBERSHIPS, args![account]).await
}
