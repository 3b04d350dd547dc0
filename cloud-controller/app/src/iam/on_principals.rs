//! Managed policies on users, groups and roles. The functions on transactions take any kind of principal; whoever calls
//! them has found it in the same transaction.

use super::managed::{self, ArnOwner};
use super::roles::no_role;
use super::{base, groups, users};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, IAM_PRINCIPALS_MAX, IamAttachmentRow, IamGroupRow, PAGE_ROWS_MAX, PrincipalKind, RoleRow, Tx, UserRow,
    iam_attach, iam_attachment_count, iam_attachment_list, iam_attachment_list_of, iam_boundary_list, iam_detach,
    iam_group_list_of, role_by_name, role_list_of, user_list_of,
};
use mallee_types::AccountId;
use std::collections::BTreeSet;

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

    /// A role.
    #[must_use]
    pub fn role(row: &RoleRow) -> Self {
        Self { kind: PrincipalKind::Role, id: row.id.clone(), name: row.name.clone(), account: row.account_id.clone() }
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

/// The user, group or role of this name. An account is found by whoever may act on it.
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
        PrincipalKind::Role => {
            let found = role_by_name(exec, account, name).await.or_fail()?;
            found.map(|row| Holder::role(&row)).ok_or_else(|| no_role(name))
        }
        PrincipalKind::Account => Err(ApiError::no_such_entity("account", name)),
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
        kind: PrincipalKind,
        name: &str,
        arn: &str,
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
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
        kind: PrincipalKind,
        name: &str,
        arn: &str,
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let holder = find(&mut tx, cx.account(), kind, name).await?;
        detach(&mut tx, &holder, arn).await?;
        tx.commit().await.or_fail()
    }
}

impl Cloud {
    /// `ListEntitiesForPolicy`: who of the account has the policy, as a policy (`as_policy` true), as its boundary
    /// (false) or either; as (kind, unique id, name), by kind and id.
    ///
    /// # Errors
    /// `NoSuchEntity`, a bad ARN.
    pub async fn entities_of_policy(
        &self,
        cx: &OpContext,
        arn: &str,
        kind: Option<PrincipalKind>,
        as_policy: Option<bool>,
        path_prefix: Option<&str>,
    ) -> Result<Vec<(PrincipalKind, String, String)>, ApiError> {
        self.managed_policy(cx, arn).await?;
        let (store, account) = (self.store(), cx.account());
        let mut ids = BTreeSet::new();
        if as_policy != Some(false) {
            let rows = iam_attachment_list(store, account, arn, kind, None, PAGE_ROWS_MAX).await.or_fail()?;
            ids.extend(rows.into_iter().map(|row| (row.principal_kind, row.principal_id)));
        }
        if as_policy != Some(true) {
            let rows = iam_boundary_list(store, account, arn, kind, None, PAGE_ROWS_MAX).await.or_fail()?;
            ids.extend(rows.into_iter().map(|row| (row.principal_kind, row.principal_id)));
        }
        let prefix = path_prefix.unwrap_or("/");
        let mut found = Vec::with_capacity(ids.len());
        for kind in [PrincipalKind::User, PrincipalKind::Group, PrincipalKind::Role] {
            let of_kind: Vec<String> = ids.iter().filter(|(k, _)| *k == kind).map(|(_, id)| id.clone()).collect();
            for chunk in of_kind.chunks(IAM_PRINCIPALS_MAX) {
                let rows: Vec<(String, String, String)> = match kind {
                    PrincipalKind::User => {
                        let rows = user_list_of(store, account, chunk).await.or_fail()?;
                        rows.into_iter().map(|row| (row.path, row.id, row.name)).collect()
                    }
                    PrincipalKind::Group => {
                        let rows = iam_group_list_of(store, account, chunk).await.or_fail()?;
                        rows.into_iter().map(|row| (row.path, row.id, row.name)).collect()
                    }
                    PrincipalKind::Role | PrincipalKind::Account => {
                        let rows = role_list_of(store, account, chunk).await.or_fail()?;
                        rows.into_iter().map(|row| (row.path, row.id, row.name)).collect()
                    }
                };
                let wanted = rows.into_iter().filter(|(path, _, _)| path.starts_with(prefix));
                found.extend(wanted.map(|(_, id, name)| (kind, id, name)));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Whether a policy is the customer's own or comes with the cloud.
#[must_use]
pub fn is_customer(arn: &str) -> bool {
    matches!(managed::owner_of(arn), Ok(ArnOwner::Account(_)))
}
