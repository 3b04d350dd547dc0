//! Managed policies on users, groups and roles. The functions on transactions take any kind of principal; whoever calls
//! them has found it in the same transaction.

use super::managed::{self, ArnOwner};
use super::{base, groups, users};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, IamAttachmentRow, IamGroupRow, PrincipalKind, Tx, UserRow, iam_attach, iam_attachment_count,
    iam_attachment_list_of, iam_detach,
};
use mallee_types::AccountId;

/// Managed policies on one principal (IAM: 10).
pub const ATTACHMENTS_MAX: u64 = 10;

/// A principal that has policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What it is.
    pub kind: PrincipalKind,
    /// Its unique id.
    pub id: String,
    /// Its name, for error texts.
    pub name: String,
    /// Its account.
    pub account: AccountId,
}

impl Holder {
    /// A user.
    #[must_use]
    pub fn user(row: &UserRow) -> Self {
        Self { kind: PrincipalKind::User, id: row.id.clone(), name: row.name.clone(), account: row.account_id.clone() }
    }

    /// A group.
    #[must_use]
    pub fn group(row: &IamGroupRow) -> Self {
        Self { kind: PrincipalKind::Group, id: row.id.clone(), name: row.name.clone(), account: row.account_id.clone() }
    }

    /// An account, for its account policies.
    #[must_use]
    pub fn account(id: &AccountId, name: &str) -> Self {
        Self { kind: PrincipalKind::Account, id: id.to_string(), name: name.to_owned(), account: id.clone() }
    }

    /// The word of AWS's texts and operations: `User`, `Group`, `Role`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.kind {
            PrincipalKind::User => "User",
            PrincipalKind::Group => "Group",
            PrincipalKind::Role => "Role",
            PrincipalKind::Account => "Account",
        }
    }
}

/// The user or group of this name.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn find<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    kind: PrincipalKind,
    name: &str,
) -> Result<Holder, ApiError> {
    match kind {
        PrincipalKind::Group => groups::find(exec, account, name).await.map(|row| Holder::group(&row)),
        PrincipalKind::User => users::find(exec, account, name).await.map(|row| Holder::user(&row)),
        PrincipalKind::Role | PrincipalKind::Account => {
            Err(ApiError::internal("roles and accounts are found elsewhere"))
        }
    }
}

/// Attaches a managed policy; one that is attached stays attached.
///
/// # Errors
/// `NoSuchEntity` for the policy, `LimitExceeded`.
pub async fn attach(tx: &mut Tx, holder: &Holder, arn: &str, now_ms: i64) -> Result<(), ApiError> {
    managed::require_attachable(tx, &holder.account, arn).await?;
    let before = iam_attachment_count(&mut *tx, holder.kind, &holder.id).await.or_fail()?;
    let row = IamAttachmentRow {
        principal_kind: holder.kind,
        principal_id: holder.id.clone(),
        policy_arn: arn.to_owned(),
        account_id: holder.account.clone(),
        attached_ms: now_ms,
    };
    if iam_attach(tx, &row).await.or_fail()? {
        base::quota(&format!("PoliciesPer{}", holder.word()), before, ATTACHMENTS_MAX)?;
    }
    Ok(())
}

/// Detaches a managed policy.
///
/// # Errors
/// `NoSuchEntity` when it is not attached.
pub async fn detach(tx: &mut Tx, holder: &Holder, arn: &str) -> Result<(), ApiError> {
    managed::owner_of(arn)?;
    if iam_detach(tx, holder.kind, &holder.id, arn).await.or_fail()? {
        Ok(())
    } else {
        Err(Code::NoSuchEntity.message(format!("Policy {arn} was not found.")))
    }
}

/// The managed policies of a principal whose path begins so, as (name, ARN) by ARN.
///
/// # Errors
/// What the database says.
pub async fn attached<'a>(
    exec: impl Into<Exec<'a>>,
    holder: &Holder,
    path_prefix: Option<&str>,
) -> Result<Vec<(String, String)>, ApiError> {
    let rows = iam_attachment_list_of(exec, holder.kind, std::slice::from_ref(&holder.id)).await.or_fail()?;
    let named = rows.into_iter().map(|row| {
        let (path, name) = managed::path_and_name(&row.policy_arn);
        (path.starts_with(path_prefix.unwrap_or("/")), name.to_owned(), row.policy_arn.clone())
    });
    Ok(named.filter(|(wanted, _, _)| *wanted).map(|(_, name, arn)| (name, arn)).collect())
}

impl Cloud {
    /// `AttachUserPolicy`, `AttachGroupPolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `LimitExceeded`, a bad ARN.
    pub async fn attach_policy(
        &self,
        cx: &OpContext,
        operation: &str,
        kind: PrincipalKind,
        name: &str,
        arn: &str,
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx, operation).await?;
        let holder = find(&mut tx, cx.account(), kind, name).await?;
        attach(&mut tx, &holder, arn, self.clock().now_ms()).await?;
        tx.commit().await.or_fail()
    }

    /// `DetachUserPolicy`, `DetachGroupPolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity`, a bad ARN.
    pub async fn detach_policy(
        &self,
        cx: &OpContext,
        operation: &str,
        kind: PrincipalKind,
        name: &str,
        arn: &str,
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx, operation).await?;
        let holder = find(&mut tx, cx.account(), kind, name).await?;
        detach(&mut tx, &holder, arn).await?;
        tx.commit().await.or_fail()
    }
}

/// Whether a policy is the customer's own or comes with the cloud.
#[must_use]
pub fn is_customer(arn: &str) -> bool {
    matches!(managed::owner_of(arn), Ok(ArnOwner::Account(_)))
}
