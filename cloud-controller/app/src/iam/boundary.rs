//! Permissions boundaries of users and roles. The functions on transactions take either.

use super::on_principals::Holder;
use super::{managed, users};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{IamBoundaryRow, Tx, iam_boundary_delete, iam_boundary_put};

/// Sets the boundary, over the one that is there.
///
/// # Errors
/// `NoSuchEntity` when the policy does not exist.
pub async fn put(tx: &mut Tx, holder: &Holder, arn: &str) -> Result<(), ApiError> {
    managed::require_attachable(tx, &holder.account, arn).await.map_err(|error| {
        if error.code() == Code::NoSuchEntity {
            Code::NoSuchEntity.message(format!("Scope ARN: {arn} does not exist or is not attachable."))
        } else {
            error
        }
    })?;
    let row = IamBoundaryRow {
        principal_kind: holder.kind,
        principal_id: holder.id.clone(),
        policy_arn: arn.to_owned(),
        account_id: holder.account.clone(),
    };
    iam_boundary_put(tx, &row).await.or_fail()
}

/// Removes the boundary.
///
/// # Errors
/// `NoSuchEntity` when there is none.
pub async fn delete(tx: &mut Tx, holder: &Holder) -> Result<(), ApiError> {
    if iam_boundary_delete(tx, holder.kind, &holder.id).await.or_fail()? {
        return Ok(());
    }
    let word = holder.word().to_ascii_lowercase();
    Err(Code::NoSuchEntity.message(format!("The {word} with name {} has no permissions boundary.", holder.name)))
}

impl Cloud {
    /// `PutUserPermissionsBoundary`.
    ///
    /// # Errors
    /// `NoSuchEntity` for user and policy.
    pub async fn put_user_boundary(&self, cx: &OpContext, name: &str, arn: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let user = users::find(&mut tx, cx.account(), name).await?;
        put(&mut tx, &Holder::user(&user), arn).await?;
        tx.commit().await.or_fail()
    }

    /// `DeleteUserPermissionsBoundary`.
    ///
    /// # Errors
    /// `NoSuchEntity` for user and boundary.
    pub async fn delete_user_boundary(&self, cx: &OpContext, name: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let user = users::find(&mut tx, cx.account(), name).await?;
        delete(&mut tx, &Holder::user(&user)).await?;
        tx.commit().await.or_fail()
    }
}
