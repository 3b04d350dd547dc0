//! Instance profiles: what carries a role to an instance.

use super::base::{arn, path, quota};
use super::{labels, roles};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::tags::Tag;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, InstanceProfileRow, Tx, iam_tag_delete, iam_tag_delete_of, instance_credentials_due_of_profile,
    instance_profile_by_name, instance_profile_delete, instance_profile_insert, instance_profile_update,
};
use mallee_types::AccountId;

/// Roles of a profile (AWS: 1, for good).
const ROLES_MAX: u64 = 1;

/// A profile's ARN.
#[must_use]
pub fn profile_arn(profile: &InstanceProfileRow) -> String {
    arn(&profile.account_id, "instance-profile", &profile.path, &profile.name)
}

/// The account's profile of this name.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn find<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<InstanceProfileRow, ApiError> {
    let found = instance_profile_by_name(exec, account, name).await.or_fail()?;
    found.ok_or_else(|| Code::NoSuchEntity.message(format!("Instance Profile {name} cannot be found.")))
}

impl Cloud {
    /// `CreateInstanceProfile`.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, `LimitExceeded`, `InvalidInput`, `ValidationError`.
    pub async fn create_instance_profile(
        &self,
        cx: &OpContext,
        name: &str,
        given_path: Option<String>,
        new_tags: &[Tag],
    ) -> Result<InstanceProfileRow, ApiError> {
        let row = InstanceProfileRow {
            id: self.unique_id("AIPA"),
            account_id: cx.account().clone(),
            name: name.to_owned(),
            path: path(given_path)?,
            role_id: None,
            created_ms: self.clock().now_ms(),
        };
        let allowance = self
            .iam_allowance(cx, "iam:CreateInstanceProfile", "instance-profile", &format!("{}{}", row.path, row.name))
            .await?;
        let mut tx = self.iam_write(cx).await?;
        allowance.take(&mut tx, &[(&quotas::INSTANCE_PROFILES, 1)], std::slice::from_ref(&row.id)).await?;
        instance_profile_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("instance_profiles_account_id_name") {
                Code::EntityAlreadyExists.message(format!("Instance Profile {name} already exists."))
            } else {
                store_failure(error)
            }
        })?;
        labels::put(&mut tx, cx.account(), &row.id, new_tags).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    async fn profile_to_change(&self, cx: &OpContext, name: &str) -> Result<(Tx, InstanceProfileRow), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = find(&mut tx, cx.account(), name).await?;
        Ok((tx, row))
    }

    /// `DeleteInstanceProfile`. Instances that have it keep it, and get no more credentials, as in EC2.
    ///
    /// # Errors
    /// `NoSuchEntity`, `DeleteConflict` while it has a role.
    pub async fn delete_instance_profile(&self, cx: &OpContext, name: &str) -> Result<(), ApiError> {
        let (mut tx, row) = self.profile_to_change(cx, name).await?;
        if row.role_id.is_some() {
            return Err(
                Code::DeleteConflict.message("Cannot delete entity, must remove roles from instance profile first.")
            );
        }
        iam_tag_delete_of(&mut tx, &row.id).await.or_fail()?;
        instance_profile_delete(&mut tx, &row.id).await.or_fail()?;
        instance_credentials_due_of_profile(&mut tx, &row.id).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `AddRoleToInstanceProfile`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `LimitExceeded` when it has a role.
    pub async fn add_role_to_profile(&self, cx: &OpContext, name: &str, role: &str) -> Result<(), ApiError> {
        let (mut tx, mut row) = self.profile_to_change(cx, name).await?;
        let role = roles::require_role(&mut tx, cx.account(), role).await?;
        quota("InstanceSessionsPerInstanceProfile", row.role_id.is_some().into(), ROLES_MAX)?;
        row.role_id = Some(role.id);
        instance_profile_update(&mut tx, &row).await.or_fail()?;
        instance_credentials_due_of_profile(&mut tx, &row.id).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `RemoveRoleFromInstanceProfile`.
    ///
    /// # Errors
    /// `NoSuchEntity` for profile and role, and when the profile has another role or none.
    pub async fn remove_role_from_profile(&self, cx: &OpContext, name: &str, role: &str) -> Result<(), ApiError> {
        let (mut tx, mut row) = self.profile_to_change(cx, name).await?;
        let role = roles::require_role(&mut tx, cx.account(), role).await?;
        if row.role_id.as_ref() != Some(&role.id) {
            return Err(
                Code::NoSuchEntity.message(format!("Role {} in Instance Profile {name} cannot be found.", role.name))
            );
        }
        row.role_id = None;
        instance_profile_update(&mut tx, &row).await.or_fail()?;
        instance_credentials_due_of_profile(&mut tx, &row.id).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `TagInstanceProfile`.
    ///
    /// # Errors
    /// `NoSuchEntity`, and those of [`labels::put`].
    pub async fn tag_instance_profile(&self, cx: &OpContext, name: &str, more: &[Tag]) -> Result<(), ApiError> {
        let (mut tx, row) = self.profile_to_change(cx, name).await?;
        labels::put(&mut tx, cx.account(), &row.id, more).await?;
        tx.commit().await.or_fail()
    }

    /// `UntagInstanceProfile`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn untag_instance_profile(&self, cx: &OpContext, name: &str, keys: &[String]) -> Result<(), ApiError> {
        let (mut tx, row) = self.profile_to_change(cx, name).await?;
        iam_tag_delete(&mut tx, &row.id, keys).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}
