//! Roles: who may be assumed, by whom, for how long.

use super::base::{arn, path};
use super::on_principals::Holder;
use super::{boundary, labels};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::tags::Tag;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Policy, PolicyError, PolicyKind};
use mallee_store::{
    NamedFilter, PrincipalKind, RoleRow, Tx, iam_attachment_count, iam_inline_list_of, iam_principal_forget,
    iam_tag_delete, iam_tag_delete_of, instance_credentials_due_of_role, instance_profile_list, role_by_name,
    role_delete, role_insert, role_update,
};
use mallee_types::AccountId;

/// Longest session of a role that does not say (AWS: one hour).
const SESSION_SECONDS: u32 = 3600;
/// Roles under this path are made by services only.
const SERVICE_PATH: &str = "/aws-service-role/";

/// A new role as a request gives it.
#[derive(Debug, Clone, Default)]
pub struct NewRole {
    /// Unique in the account.
    pub name: String,
    /// `/` if not given.
    pub path: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Who may assume it: a policy document.
    pub trust: String,
    /// Longest session, in seconds.
    pub max_session_seconds: Option<u32>,
    /// ARN of the managed policy that bounds it.
    pub boundary_arn: Option<String>,
    /// Tags.
    pub tags: Vec<Tag>,
}

/// A role's ARN.
#[must_use]
pub fn role_arn(role: &RoleRow) -> String {
    arn(&role.account_id, "role", &role.path, &role.name)
}

/// The error for a role that is not there.
#[must_use]
pub fn no_role(name: &str) -> ApiError {
    Code::NoSuchEntity.message(format!("The role with name {name} cannot be found."))
}

/// The account's role of this name.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn require_role(tx: &mut Tx, account: &AccountId, name: &str) -> Result<RoleRow, ApiError> {
    role_by_name(tx, account, name).await.or_fail()?.ok_or_else(|| no_role(name))
}

/// A role's trust policy: who may assume it.
fn check_trust(document: &str) -> Result<(), ApiError> {
    Policy::parse(document, PolicyKind::Trust).map(drop).map_err(|error| match error {
        PolicyError::TooLarge { .. } => Code::LimitExceeded.message(error.to_string()),
        other => Code::MalformedPolicyDocument.message(other.to_string()),
    })
}

fn refuse_service_role(role: &RoleRow) -> Result<(), ApiError> {
    if role.path.starts_with(SERVICE_PATH) {
        return Err(Code::UnmodifiableEntity
            .message("Cannot perform the operation on the protected role - this role is only modifiable by AWS"));
    }
    Ok(())
}

impl Cloud {
    /// `CreateRole`.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, `MalformedPolicyDocument`, `LimitExceeded`, `InvalidInput`, `ValidationError`.
    pub async fn create_role(&self, cx: &OpContext, new: NewRole) -> Result<RoleRow, ApiError> {
        let NewRole { name, path: given, description, trust, max_session_seconds, boundary_arn, tags } = new;
        let path = path(given)?;
        if path.starts_with(SERVICE_PATH) {
            return Err(
                Code::InvalidInput.message(format!("The path {SERVICE_PATH} is reserved for service-linked roles."))
            );
        }
        check_trust(&trust)?;
        let row = RoleRow {
            id: self.unique_id("AROA"),
            account_id: cx.account().clone(),
            name,
            path,
            description,
            trust,
            max_session_seconds: max_session_seconds.unwrap_or(SESSION_SECONDS),
            created_ms: self.clock().now_ms(),
            last_used_ms: None,
            last_used_region: None,
        };
        let allowance = self.iam_allowance(cx, "iam:CreateRole", "role", &format!("{}{}", row.path, row.name)).await?;
        let mut tx = self.iam_write(cx).await?;
        allowance.take(&mut tx, &[(&quotas::ROLES, 1)], std::slice::from_ref(&row.id)).await?;
        role_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("roles_account_id_name") {
                Code::EntityAlreadyExists.message(format!("Role with name {} already exists.", row.name))
            } else {
                store_failure(error)
            }
        })?;
        labels::put(&mut tx, cx.account(), &row.id, &tags).await?;
        if let Some(arn) = boundary_arn {
            boundary::put(&mut tx, &Holder::role(&row), &arn).await?;
        }
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// Changes a role, in one transaction.
    async fn change_role(
        &self,
        cx: &OpContext,
        name: &str,
        change: impl FnOnce(&mut RoleRow) -> Result<(), ApiError>,
    ) -> Result<RoleRow, ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let mut row = require_role(&mut tx, cx.account(), name).await?;
        refuse_service_role(&row)?;
        change(&mut row)?;
        role_update(&mut tx, &row).await.or_fail()?;
        // Its trust policy may say something else of EC2 now.
        instance_credentials_due_of_role(&mut tx, &row.id).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `UpdateRole`: what is given.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn update_role(
        &self,
        cx: &OpContext,
        name: &str,
        description: Option<String>,
        max_session_seconds: Option<u32>,
    ) -> Result<RoleRow, ApiError> {
        let change = |row: &mut RoleRow| {
            if let Some(text) = description {
                row.description = Some(text);
            }
            row.max_session_seconds = max_session_seconds.unwrap_or(row.max_session_seconds);
            Ok(())
        };
        self.change_role(cx, name, change).await
    }

    /// `UpdateRoleDescription`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn update_role_description(&self, cx: &OpContext, name: &str, text: String) -> Result<RoleRow, ApiError> {
        let change = |row: &mut RoleRow| {
            row.description = Some(text);
            Ok(())
        };
        self.change_role(cx, name, change).await
    }

    /// `UpdateAssumeRolePolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`.
    pub async fn update_role_trust(&self, cx: &OpContext, name: &str, document: String) -> Result<(), ApiError> {
        let change = |row: &mut RoleRow| {
            check_trust(&document)?;
            row.trust = document;
            Ok(())
        };
        self.change_role(cx, name, change).await.map(drop)
    }

    /// `TagRole`.
    ///
    /// # Errors
    /// `NoSuchEntity`, and those of [`labels::put`].
    pub async fn tag_role(&self, cx: &OpContext, name: &str, tags: &[Tag]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = require_role(&mut tx, cx.account(), name).await?;
        labels::put(&mut tx, cx.account(), &row.id, tags).await?;
        tx.commit().await.or_fail()
    }

    /// `UntagRole`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn untag_role(&self, cx: &OpContext, name: &str, keys: &[String]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = require_role(&mut tx, cx.account(), name).await?;
        iam_tag_delete(&mut tx, &row.id, keys).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `PutRolePermissionsBoundary`.
    ///
    /// # Errors
    /// `NoSuchEntity` for a role or policy that is not there.
    pub async fn put_role_boundary(&self, cx: &OpContext, name: &str, policy_arn: String) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = require_role(&mut tx, cx.account(), name).await?;
        refuse_service_role(&row)?;
        boundary::put(&mut tx, &Holder::role(&row), &policy_arn).await?;
        tx.commit().await.or_fail()
    }

    /// `DeleteRolePermissionsBoundary`.
    ///
    /// # Errors
    /// `NoSuchEntity` for a role that is not there or has none.
    pub async fn delete_role_boundary(&self, cx: &OpContext, name: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = require_role(&mut tx, cx.account(), name).await?;
        refuse_service_role(&row)?;
        boundary::delete(&mut tx, &Holder::role(&row)).await?;
        tx.commit().await.or_fail()
    }

    /// `DeleteRole`.
    ///
    /// # Errors
    /// `NoSuchEntity`; `DeleteConflict` while it has policies or an instance profile holds it.
    pub async fn delete_role(&self, cx: &OpContext, name: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = require_role(&mut tx, cx.account(), name).await?;
        refuse_service_role(&row)?;
        let held =
            instance_profile_list(&mut tx, cx.account(), Some(&row.id), NamedFilter::default(), 1).await.or_fail()?;
        let conflict = |text| Err(Code::DeleteConflict.message(text));
        if !held.is_empty() {
            return conflict("Cannot delete entity, must remove roles from instance profile first.");
        }
        if iam_attachment_count(&mut tx, PrincipalKind::Role, &row.id).await.or_fail()? > 0 {
            return conflict("Cannot delete entity, must detach all policies first.");
        }
        let ids = std::slice::from_ref(&row.id);
        if !iam_inline_list_of(&mut tx, PrincipalKind::Role, ids).await.or_fail()?.is_empty() {
            return conflict("Cannot delete entity, must delete policies first.");
        }
        iam_principal_forget(&mut tx, PrincipalKind::Role, &row.id).await.or_fail()?;
        iam_tag_delete_of(&mut tx, &row.id).await.or_fail()?;
        role_delete(&mut tx, &row.id).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}
