//! Groups and who is in them.

use super::{base, users};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, IamGroupRow, PrincipalKind, StoreError, creators_forget, iam_attachment_count, iam_group_by_name,
    iam_group_count_of_user, iam_group_delete, iam_group_insert, iam_group_member_add, iam_group_member_count,
    iam_group_member_remove, iam_group_update, iam_inline_list_of, iam_principal_forget,
};
use mallee_types::AccountId;

/// Groups one user is in (IAM: 10).
pub const GROUPS_PER_USER_MAX: u64 = 10;

/// A group's ARN.
#[must_use]
pub fn arn(group: &IamGroupRow) -> String {
    base::arn(&group.account_id, "group", &group.path, &group.name)
}

/// The account's group of this name.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn find<'a>(exec: impl Into<Exec<'a>>, account: &AccountId, name: &str) -> Result<IamGroupRow, ApiError> {
    let found = iam_group_by_name(exec, account, name).await.or_fail()?;
    found.ok_or_else(|| ApiError::no_such_entity("group", name))
}

fn taken(error: StoreError, name: &str) -> ApiError {
    if error.is_conflict("iam_groups_account_id_name") {
        ApiError::entity_already_exists("Group", name)
    } else {
        store_failure(error)
    }
}

impl Cloud {
    /// `CreateGroup`.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, `LimitExceeded`, a bad path.
    pub async fn create_iam_group(
        &self,
        cx: &OpContext,
        name: &str,
        path: Option<String>,
    ) -> Result<IamGroupRow, ApiError> {
        let path = base::path(path)?;
        let allowance = self.iam_allowance(cx, "iam:CreateGroup", "group", &format!("{path}{name}")).await?;
        let mut tx = self.iam_write(cx).await?;
        let group = IamGroupRow {
            id: self.unique_id("AGPA"),
            account_id: cx.account().clone(),
            name: name.to_owned(),
            path,
            created_ms: self.clock().now_ms(),
        };
        allowance.take(&mut tx, &[(&quotas::GROUPS, 1)], std::slice::from_ref(&group.id)).await?;
        iam_group_insert(&mut tx, &group).await.map_err(|error| taken(error, name))?;
        tx.commit().await.or_fail()?;
        Ok(group)
    }

    /// `UpdateGroup`: another name, another path.
    ///
    /// # Errors
    /// `NoSuchEntity`, `EntityAlreadyExists`, a bad path.
    pub async fn update_iam_group(
        &self,
        cx: &OpContext,
        name: &str,
        new_name: Option<&str>,
        new_path: Option<String>,
    ) -> Result<(), ApiError> {
        let new_path = new_path.map(|path| base::path(Some(path))).transpose()?;
        let mut tx = self.iam_write(cx).await?;
        let group = find(&mut tx, cx.account(), name).await?;
        let to = new_name.unwrap_or(&group.name);
        let path = new_path.as_deref().unwrap_or(&group.path);
        iam_group_update(&mut tx, &group.id, to, path).await.map_err(|error| taken(error, to))?;
        tx.commit().await.or_fail()
    }

    /// `DeleteGroup`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `DeleteConflict`.
    pub async fn delete_iam_group(&self, cx: &OpContext, name: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let group = find(&mut tx, cx.account(), name).await?;
        let inline =
            iam_inline_list_of(&mut tx, PrincipalKind::Group, std::slice::from_ref(&group.id)).await.or_fail()?;
        let must = if iam_group_member_count(&mut tx, &group.id).await.or_fail()? > 0 {
            Some("remove users from group")
        } else if !inline.is_empty() {
            Some("delete policies")
        } else if iam_attachment_count(&mut tx, PrincipalKind::Group, &group.id).await.or_fail()? > 0 {
            Some("detach all policies")
        } else {
            None
        };
        if let Some(must) = must {
            return Err(Code::DeleteConflict.message(format!("Cannot delete entity, must {must} first.")));
        }
        iam_principal_forget(&mut tx, PrincipalKind::Group, &group.id).await.or_fail()?;
        iam_group_delete(&mut tx, &group.id).await.or_fail()?;
        creators_forget(&mut tx, &group.id).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `AddUserToGroup`; a user that is in it stays in it.
    ///
    /// # Errors
    /// `NoSuchEntity`, `LimitExceeded`.
    pub async fn add_user_to_group(&self, cx: &OpContext, group: &str, user: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let group = find(&mut tx, cx.account(), group).await?;
        let user = users::find(&mut tx, cx.account(), user).await?;
        let before = iam_group_count_of_user(&mut tx, &user.id).await.or_fail()?;
        if iam_group_member_add(&mut tx, &group.id, &user.id).await.or_fail()? {
            base::quota("GroupsPerUser", before, GROUPS_PER_USER_MAX)?;
        }
        tx.commit().await.or_fail()
    }

    /// `RemoveUserFromGroup`; a user that is not in it is out of it already, as on AWS.
    ///
    /// # Errors
    /// `NoSuchEntity` for group and user.
    pub async fn remove_user_from_group(&self, cx: &OpContext, group: &str, user: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let group = find(&mut tx, cx.account(), group).await?;
        let user = users::find(&mut tx, cx.account(), user).await?;
        iam_group_member_remove(&mut tx, &group.id, &user.id).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}
