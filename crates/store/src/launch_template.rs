//! Launch templates and their versions. What a version says is a text to the store.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, LaunchTemplateId};

record! {
    /// A launch template.
    pub struct LaunchTemplateRow {
        /// `lt-…`.
        id: LaunchTemplateId,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account.
        name: String,
        /// ARN of who made it.
        created_by: String,
        /// When it was made.
        created_ms: i64,
        /// The version that is taken where none is named.
        default_version: u64,
        /// The highest number any of its versions ever had.
        last_version: u64,
    }
    /// One version of a launch template.
    pub struct LaunchTemplateVersionRow {
        /// Whose version.
        template_id: LaunchTemplateId,
        /// From 1.
        version: u64,
        /// In its maker's words.
        description: Option<String>,
        /// ARN of who made it.
        created_by: String,
        /// When it was made.
        created_ms: i64,
        /// What it says, in the form its maker chose.
        data: String,
    }
}

sql! {
    INSERT = "INSERT INTO launch_templates (id, account_id, name, created_by, created_ms, default_version, last_version)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LIST = "SELECT id, account_id, name, created_by, created_ms, default_version, last_version
        FROM launch_templates WHERE account_id = $1";
    // Also what makes two makers of versions wait for each other.
    NEXT_VERSION = "UPDATE launch_templates SET last_version = last_version + 1 WHERE account_id = $1 AND id = $2";
    LAST_VERSION = "SELECT last_version FROM launch_templates WHERE id = $1";
    SET_DEFAULT = "UPDATE launch_templates SET default_version = $3 WHERE account_id = $1 AND id = $2
        AND EXISTS (SELECT 1 FROM launch_template_versions v WHERE v.template_id = launch_templates.id AND v.version = $3)";
    DELETE = "DELETE FROM launch_templates WHERE account_id = $1 AND id = $2";
    VERSION_INSERT = "INSERT INTO launch_template_versions
        (template_id, version, description, created_by, created_ms, data) VALUES ($1, $2, $3, $4, $5, $6)";
    VERSION_LIST = "SELECT template_id, version, description, created_by, created_ms, data
        FROM launch_template_versions WHERE template_id = $1";
    VERSION_COUNT = "SELECT COUNT(*) FROM launch_template_versions WHERE template_id = $1";
    VERSION_LATEST = "SELECT MAX(version) FROM launch_template_versions WHERE template_id = $1";
    VERSION_DELETE = "DELETE FROM launch_template_versions WHERE template_id = $1 AND version = $2
        AND version <> (SELECT default_version FROM launch_templates WHERE id = $1)";
}

/// Makes a template without versions. Conflict: `launch_templates_account_id_name`.
pub async fn launch_template_insert(tx: &mut Tx, row: &LaunchTemplateRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The account's templates by id, after `after`; each given list must hold.
pub async fn launch_template_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[LaunchTemplateId]>,
    names: Option<&[String]>,
    after: Option<&LaunchTemplateId>,
    limit: u32,
) -> Result<Vec<LaunchTemplateRow>, StoreError> {
    let select = Select::new(LIST, args![account]).and("id >", after).and_in("id", ids)?.and_in("name", names)?;
    select.page(exec.into(), "id", limit).await
}

/// Takes the next version number of a template; `None`: it is not there.
pub async fn launch_template_next_version(
    tx: &mut Tx,
    account: &AccountId,
    id: &LaunchTemplateId,
) -> Result<Option<u64>, StoreError> {
    if Exec::Tx(tx).run(NEXT_VERSION, args![account, id]).await? == 0 {
        return Ok(None);
    }
    Ok(Exec::Tx(tx).maybe::<(u64,)>(LAST_VERSION, args![id]).await?.map(|(version,)| version))
}

/// Makes a version the default one; false if there is no such template or version.
pub async fn launch_template_default_set(
    tx: &mut Tx,
    account: &AccountId,
    id: &LaunchTemplateId,
    version: u64,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(SET_DEFAULT, args![account, id, version]).await? > 0)
}

/// Removes a template with all its versions; true if it was there.
pub async fn launch_template_delete(
    tx: &mut Tx,
    account: &AccountId,
    id: &LaunchTemplateId,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![account, id]).await? > 0)
}

/// Makes a version. Conflict: `launch_template_versions_template_id_version`.
pub async fn launch_template_version_insert(tx: &mut Tx, row: &LaunchTemplateVersionRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(VERSION_INSERT, row.args()).await.map(drop)
}

/// Which versions of a template.
#[derive(Debug, Default, Clone, Copy)]
pub struct LaunchTemplateVersionFilter<'a> {
    /// Only these.
    pub versions: Option<&'a [u64]>,
    /// Not below this.
    pub min: Option<u64>,
    /// Not above this.
    pub max: Option<u64>,
    /// Only below this: where a page goes on.
    pub before: Option<u64>,
}

/// Versions of a template, the highest first.
pub async fn launch_template_version_list<'a>(
    exec: impl Into<Exec<'a>>,
    id: &LaunchTemplateId,
    filter: LaunchTemplateVersionFilter<'_>,
    limit: u32,
) -> Result<Vec<LaunchTemplateVersionRow>, StoreError> {
    let select = Select::new(VERSION_LIST, args![id])
        .and("version >=", filter.min)
        .and("version <=", filter.max)
        .and("version <", filter.before)
        .and_in("version", filter.versions)?;
    select.page(exec.into(), "version DESC", limit).await
}

/// How many versions a template has.
pub async fn launch_template_version_count<'a>(
    exec: impl Into<Exec<'a>>,
    id: &LaunchTemplateId,
) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(VERSION_COUNT, args![id], id).await?.0)
}

/// The highest version that a template has; `None`: it has none, or is not there.
pub async fn launch_template_version_latest<'a>(
    exec: impl Into<Exec<'a>>,
    id: &LaunchTemplateId,
) -> Result<Option<u64>, StoreError> {
    Ok(exec.into().one::<(Option<u64>,)>(VERSION_LATEST, args![id], id).await?.0)
}

/// Removes a version that is not the default one; true if it was there.
pub async fn launch_template_version_delete(
    tx: &mut Tx,
    id: &LaunchTemplateId,
    version: u64,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(VERSION_DELETE, args![id, version]).await? > 0)
}
