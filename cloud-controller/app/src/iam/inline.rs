//! Inline policies of users, groups, roles and accounts. The functions on transactions take any kind of principal.

use super::on_principals::{self, Holder};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Policy, PolicyError, PolicyKind, policy_size};
use mallee_store::{
    Exec, IamInlinePolicyRow, PrincipalKind, Tx, iam_inline_delete, iam_inline_fetch, iam_inline_list_of,
    iam_inline_put,
};

/// Characters that all inline policies of one principal may have together, white space not counted (IAM's quotas).
const fn size_max(kind: PrincipalKind) -> usize {
    match kind {
        PrincipalKind::User => 2_048,
        PrincipalKind::Group => 5_120,
        PrincipalKind::Role | PrincipalKind::Account => 10_240,
    }
}

/// Reads a document for what it is to be.
///
/// # Errors
/// `MalformedPolicyDocument` or `LimitExceeded`, in AWS's words.
pub fn parse(document: &str, kind: PolicyKind) -> Result<Policy, ApiError> {
    Policy::parse(document, kind).map_err(|error| match error {
        PolicyError::TooLarge { .. } => Code::LimitExceeded.message(error.to_string()),
        other => Code::MalformedPolicyDocument.message(other.to_string()),
    })
}

/// Sets an inline policy, over the one of that name.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`.
pub async fn put(tx: &mut Tx, holder: &Holder, name: &str, document: &str) -> Result<(), ApiError> {
    let kind = if holder.kind == PrincipalKind::Account { PolicyKind::Account } else { PolicyKind::Inline };
    let max = size_max(holder.kind);
    let too_large = || {
        let word = holder.word().to_ascii_lowercase();
        Code::LimitExceeded.message(format!("Maximum policy size of {max} bytes exceeded for {word} {}", holder.name))
    };
    let policy = match Policy::parse(document, kind) {
        Err(PolicyError::TooLarge { .. }) => return Err(too_large()),
        _ => parse(document, kind)?,
    };
    let there = iam_inline_list_of(&mut *tx, holder.kind, std::slice::from_ref(&holder.id)).await.or_fail()?;
    let others: usize = there.iter().filter(|row| row.name != name).map(|row| policy_size(&row.document)).sum();
    if others + policy.size() > max {
        return Err(too_large());
    }
    let row = IamInlinePolicyRow {
        principal_kind: holder.kind,
        principal_id: holder.id.clone(),
        name: name.to_owned(),
        account_id: holder.account.clone(),
        document: document.to_owned(),
    };
    iam_inline_put(tx, &row).await.or_fail()
}

fn not_found(holder: &Holder, name: &str) -> ApiError {
    let word = holder.word().to_ascii_lowercase();
    ApiError::no_such_entity(&format!("{word} policy"), name)
}

/// The document of an inline policy.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn get<'a>(exec: impl Into<Exec<'a>>, holder: &Holder, name: &str) -> Result<String, ApiError> {
    let row = iam_inline_fetch(exec, holder.kind, &holder.id, name).await.or_fail()?;
    row.map(|row| row.document).ok_or_else(|| not_found(holder, name))
}

/// Removes an inline policy.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn delete(tx: &mut Tx, holder: &Holder, name: &str) -> Result<(), ApiError> {
    if iam_inline_delete(tx, holder.kind, &holder.id, name).await.or_fail()? {
        Ok(())
    } else {
        Err(not_found(holder, name))
    }
}

/// The names of a principal's inline policies, sorted.
///
/// # Errors
/// What the database says.
pub async fn names<'a>(exec: impl Into<Exec<'a>>, holder: &Holder) -> Result<Vec<String>, ApiError> {
    let rows = iam_inline_list_of(exec, holder.kind, std::slice::from_ref(&holder.id)).await.or_fail()?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

impl Cloud {
    /// `PutUserPolicy`, `PutGroupPolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`.
    pub async fn put_inline_policy(
        &self,
        cx: &OpContext,
        (kind, holder): (PrincipalKind, &str),
        name: &str,
        document: &str,
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let holder = on_principals::find(&mut tx, cx.account(), kind, holder).await?;
        put(&mut tx, &holder, name, document).await?;
        tx.commit().await.or_fail()
    }

    /// `DeleteUserPolicy`, `DeleteGroupPolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn delete_inline_policy(
        &self,
        cx: &OpContext,
        (kind, holder): (PrincipalKind, &str),
        name: &str,
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let holder = on_principals::find(&mut tx, cx.account(), kind, holder).await?;
        delete(&mut tx, &holder, name).await?;
        tx.commit().await.or_fail()
    }
}
