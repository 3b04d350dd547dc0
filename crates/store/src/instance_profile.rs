//! Instance profiles, and which instance has which.

use crate::StoreError;
use crate::exec::Exec;
use crate::iam_user::{NamedFilter, named};
use crate::macros::{args, record, sql};
use crate::role::found;
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, InstanceId, ProfileAssociationId};

record! {
    /// An instance profile.
    pub struct InstanceProfileRow {
        /// AWS's unique id (`AIPA…`).
        id: String,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account without regard to case.
        name: String,
        /// Begins and ends with `/`.
        path: String,
        /// Its role, if it has one.
        role_id: Option<String>,
        /// When it was made.
        created_ms: i64,
    }
    /// An instance's profile.
    pub struct ProfileAssociationRow {
        /// `iip-assoc-…`.
        id: ProfileAssociationId,
        /// Whose.
        account_id: AccountId,
        /// The instance: one association each.
        instance_id: InstanceId,
        /// The profile's id; the profile may be gone.
        profile_id: String,
        /// The profile's ARN.
        profile_arn: String,
        /// When they were brought together.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO instance_profiles (id, account_id, name, path, role_id, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6)";
    FETCH = "SELECT id, account_id, name, path, role_id, created_ms FROM instance_profiles WHERE id = $1";
    BY_NAME = "SELECT id, account_id, name, path, role_id, created_ms FROM instance_profiles
        WHERE account_id = $1 AND LOWER(name) = LOWER($2)";
    LIST = "SELECT id, account_id, name, path, role_id, created_ms FROM instance_profiles
        WHERE account_id = $1";
    UPDATE = "UPDATE instance_profiles SET role_id = $2 WHERE id = $1";
    DELETE = "DELETE FROM instance_profiles WHERE id = $1";
    ASSOCIATION_INSERT = "INSERT INTO profile_associations
        (id, account_id, instance_id, profile_id, profile_arn, created_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    ASSOCIATION_FETCH = "SELECT id, account_id, instance_id, profile_id, profile_arn, created_ms
        FROM profile_associations WHERE account_id = $1 AND id = $2";
    ASSOCIATION_LIST = "SELECT id, account_id, instance_id, profile_id, profile_arn, created_ms
        FROM profile_associations WHERE account_id = $1
        AND instance_id IN (SELECT id FROM instances WHERE account_id = $1 AND NOT released)";
    ASSOCIATIONS_OF = "SELECT id, account_id, instance_id, profile_id, profile_arn, created_ms
        FROM profile_associations WHERE id <> ''";
    ASSOCIATION_ALL = "SELECT id, account_id, instance_id, profile_id, profile_arn, created_ms
        FROM profile_associations WHERE id > $1 ORDER BY id LIMIT $2 + 0";
    ASSOCIATION_DELETE = "DELETE FROM profile_associations WHERE id = $1";
}

/// Makes a profile. Conflicts: `instance_profiles_id`, `instance_profiles_account_id_name`.
pub async fn instance_profile_insert(tx: &mut Tx, row: &InstanceProfileRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The profile of this id.
pub async fn instance_profile_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<InstanceProfileRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The account's profile of this name; case does not count.
pub async fn instance_profile_by_name<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<Option<InstanceProfileRow>, StoreError> {
    exec.into().maybe(BY_NAME, args![account, name]).await
}

/// An account's profiles by name; with a role: only those that hold it.
pub async fn instance_profile_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    role_id: Option<&str>,
    filter: NamedFilter<'_>,
    limit: u32,
) -> Result<Vec<InstanceProfileRow>, StoreError> {
    let select = Select::new(LIST, args![account]).and("role_id =", role_id);
    named(select, filter).page(exec.into(), "name", limit).await
}

/// Writes what can be changed of a profile: its role.
pub async fn instance_profile_update(tx: &mut Tx, row: &InstanceProfileRow) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(UPDATE, args![row.id, row.role_id]).await?, &row.id)
}

/// Removes a profile. Instances that have it keep its name, and get no more credentials.
pub async fn instance_profile_delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    found(Exec::Tx(tx).run(DELETE, args![id]).await?, id)
}

/// Gives an instance a profile. Conflicts: `profile_associations_id`, `profile_associations_instance_id`.
pub async fn profile_association_insert(tx: &mut Tx, row: &ProfileAssociationRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ASSOCIATION_INSERT, row.args()).await.map(drop)
}

/// The account's association of this id.
pub async fn profile_association_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    id: &ProfileAssociationId,
) -> Result<Option<ProfileAssociationRow>, StoreError> {
    exec.into().maybe(ASSOCIATION_FETCH, args![account, id]).await
}

/// The associations of these instances, of any accounts.
pub async fn profile_association_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    instances: &[InstanceId],
) -> Result<Vec<ProfileAssociationRow>, StoreError> {
    let select = Select::new(ASSOCIATIONS_OF, args![]).and_in("instance_id", Some(instances))?;
    select.page(exec.into(), "id", crate::PAGE_ROWS_MAX).await
}

/// The associations of an account's instances that are not terminated, by id after `after`; each given list must hold.
pub async fn profile_association_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[ProfileAssociationId]>,
    instances: Option<&[InstanceId]>,
    after: Option<&ProfileAssociationId>,
    limit: u32,
) -> Result<Vec<ProfileAssociationRow>, StoreError> {
    let select = Select::new(ASSOCIATION_LIST, args![account])
        .and("id >", after)
        .and_in("id", ids)?
        .and_in("instance_id", instances)?;
    select.page(exec.into(), "id", limit).await
}

/// Every account's associations by id, after `after` (an empty text: from the first).
pub async fn profile_association_list_all<'a>(
    exec: impl Into<Exec<'a>>,
    after: &str,
    limit: u32,
) -> Result<Vec<ProfileAssociationRow>, StoreError> {
    exec.into().all(ASSOCIATION_ALL, args![after, limit]).await
}

/// Takes an instance's profile away; true if it was there.
pub async fn profile_association_delete(tx: &mut Tx, id: &ProfileAssociationId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ASSOCIATION_DELETE, args![id]).await? > 0)
}
