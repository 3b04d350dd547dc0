//! Customer-managed policies and their versions.

use crate::StoreError;
use crate::exec::Exec;
use crate::iam_user::{NamedFilter, named};
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::AccountId;

record! {
    /// A managed policy that a customer made.
    pub struct IamPolicyRow {
        /// `ANPA…`.
        id: String,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account without regard to case.
        name: String,
        /// Begins and ends with `/`.
        path: String,
        /// Made of account, path and name; never changes.
        arn: String,
        /// May be empty; never changes.
        description: String,
        /// The version in force.
        default_version: i64,
        /// The highest version that was ever made; numbers are not used twice.
        latest_version: i64,
        /// When it was made.
        created_ms: i64,
        /// When its default version or its versions last changed.
        updated_ms: i64,
    }
    /// One version of a managed policy.
    pub struct IamPolicyVersionRow {
        /// The policy.
        policy_id: String,
        /// From 1.
        version: i64,
        /// JSON, as it was given.
        document: String,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO iam_policies (id, account_id, name, path, arn, description, default_version, latest_version,
        created_ms, updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    BY_ARN = "SELECT id, account_id, name, path, arn, description, default_version, latest_version, created_ms,
        updated_ms FROM iam_policies WHERE arn = $1";
    PAGE = "SELECT id, account_id, name, path, arn, description, default_version, latest_version, created_ms,
        updated_ms FROM iam_policies WHERE account_id = $1";
    COUNT = "SELECT COUNT(*) FROM iam_policies WHERE account_id = $1";
    UPDATE = "UPDATE iam_policies SET default_version = $2, latest_version = $3, updated_ms = $4 WHERE id = $1";
    DELETE = "DELETE FROM iam_policies WHERE id = $1";
    VERSION_INSERT = "INSERT INTO iam_policy_versions (policy_id, version, document, created_ms)
        VALUES ($1, $2, $3, $4)";
    VERSION_FETCH = "SELECT policy_id, version, document, created_ms FROM iam_policy_versions
        WHERE policy_id = $1 AND version = $2";
    VERSIONS = "SELECT policy_id, version, document, created_ms FROM iam_policy_versions WHERE policy_id = $1
        ORDER BY version DESC";
    VERSIONS_OF_ACCOUNT = "SELECT policy_id, version, document, created_ms FROM iam_policy_versions
        WHERE policy_id IN (SELECT id FROM iam_policies WHERE account_id = $1) ORDER BY policy_id, version DESC";
    VERSION_COUNT = "SELECT COUNT(*) FROM iam_policy_versions
        WHERE policy_id IN (SELECT id FROM iam_policies WHERE account_id = $1)";
    VERSION_DELETE = "DELETE FROM iam_policy_versions WHERE policy_id = $1 AND version = $2";
    DEFAULTS = "SELECT p.arn, v.document FROM iam_policies p
        JOIN iam_policy_versions v ON v.policy_id = p.id AND v.version = p.default_version WHERE p.arn <> ''";
}

/// Makes a policy with its first version. Conflicts: `iam_policies_account_id_name`, `iam_policies_arn`.
pub async fn iam_policy_insert(tx: &mut Tx, row: &IamPolicyRow, document: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await?;
    let version = IamPolicyVersionRow {
        policy_id: row.id.clone(),
        version: row.default_version,
        document: document.to_owned(),
        created_ms: row.created_ms,
    };
    iam_policy_version_insert(tx, &version).await
}

/// The policy of this ARN.
pub async fn iam_policy_by_arn<'a>(exec: impl Into<Exec<'a>>, arn: &str) -> Result<Option<IamPolicyRow>, StoreError> {
    exec.into().maybe(BY_ARN, args![arn]).await
}

/// The account's policies by name.
pub async fn iam_policy_page<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    filter: NamedFilter<'_>,
    limit: u32,
) -> Result<Vec<IamPolicyRow>, StoreError> {
    named(Select::new(PAGE, args![account]), filter).page(exec.into(), "name", limit).await
}

/// How many policies an account has.
pub async fn iam_policy_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![account], account).await?.0)
}

/// Writes default version, latest version and time of change.
pub async fn iam_policy_update(tx: &mut Tx, row: &IamPolicyRow) -> Result<bool, StoreError> {
    let values = args![row.id, row.default_version, row.latest_version, row.updated_ms];
    Ok(Exec::Tx(tx).run(UPDATE, values).await? > 0)
}

/// Removes a policy and its versions.
pub async fn iam_policy_delete(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Makes a version. Conflict: `iam_policy_versions_policy_id_version`.
pub async fn iam_policy_version_insert(tx: &mut Tx, row: &IamPolicyVersionRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(VERSION_INSERT, row.args()).await.map(drop)
}

/// One version of a policy.
pub async fn iam_policy_version_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    policy: &str,
    version: i64,
) -> Result<Option<IamPolicyVersionRow>, StoreError> {
    exec.into().maybe(VERSION_FETCH, args![policy, version]).await
}

/// The versions of a policy, newest first.
pub async fn iam_policy_version_list<'a>(
    exec: impl Into<Exec<'a>>,
    policy: &str,
) -> Result<Vec<IamPolicyVersionRow>, StoreError> {
    exec.into().all(VERSIONS, args![policy]).await
}

/// The versions of all policies of an account, by policy, newest first.
pub async fn iam_policy_version_list_account<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<IamPolicyVersionRow>, StoreError> {
    exec.into().all(VERSIONS_OF_ACCOUNT, args![account]).await
}

/// How many policy versions an account has.
pub async fn iam_policy_version_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(VERSION_COUNT, args![account], account).await?.0)
}

/// Removes a version; false if it was not there.
pub async fn iam_policy_version_delete(tx: &mut Tx, policy: &str, version: i64) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(VERSION_DELETE, args![policy, version]).await? > 0)
}

/// The documents in force of these policies, as (ARN, document). Policies that are not there are left out.
pub async fn iam_policy_documents<'a>(
    exec: impl Into<Exec<'a>>,
    arns: &[String],
) -> Result<Vec<(String, String)>, StoreError> {
    let select = Select::new(DEFAULTS, vec![]).and_in("p.arn", Some(arns))?;
    select.page(exec.into(), "p.arn", crate::PAGE_ROWS_MAX).await
}
