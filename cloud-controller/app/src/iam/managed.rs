//! Managed policies: the customer's own, and those that come with the cloud.

use super::{base, builtin, inline, labels};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::{Cloud, OpContext};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_iam::PolicyKind;
use mallee_store::{
    Exec, IamPolicyRow, IamTagRow, NamedFilter, PAGE_ROWS_MAX, Tx, iam_attachment_counts, iam_attachment_list,
    iam_boundary_counts, iam_boundary_list, iam_policy_by_arn, iam_policy_delete, iam_policy_insert, iam_policy_page,
    iam_policy_version_list, iam_tag_delete, iam_tag_delete_of, iam_tag_list,
};
use mallee_types::AccountId;
use std::collections::HashMap;

/// A managed policy as GetPolicy shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedPolicy {
    /// `ANPA…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// Its ARN.
    pub arn: String,
    /// What it is for; may be empty.
    pub description: String,
    /// The version in force.
    pub default_version: i64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When its versions last changed.
    pub updated_ms: i64,
    /// To how many of the account's principals it is attached.
    pub attachments: u32,
    /// Of how many of the account's principals it is the boundary.
    pub boundaries: u32,
}

impl ManagedPolicy {
    fn own(row: IamPolicyRow, counts: &Counts) -> Self {
        let (attachments, boundaries) = counts.of(&row.arn);
        Self {
            id: row.id,
            name: row.name,
            path: row.path,
            arn: row.arn,
            description: row.description,
            default_version: row.default_version,
            created_ms: row.created_ms,
            updated_ms: row.updated_ms,
            attachments,
            boundaries,
        }
    }

    fn builtin(policy: &builtin::BuiltIn, counts: &Counts) -> Self {
        let (attachments, boundaries) = counts.of(&policy.arn);
        Self {
            id: policy.id.clone(),
            name: policy.name.to_owned(),
            path: policy.path.to_owned(),
            arn: policy.arn.clone(),
            description: policy.description.to_owned(),
            default_version: 1,
            created_ms: policy.created_ms,
            updated_ms: policy.created_ms,
            attachments,
            boundaries,
        }
    }
}

/// How often an account's principals use each policy.
#[derive(Debug, Default)]
struct Counts {
    attachments: HashMap<String, u32>,
    boundaries: HashMap<String, u32>,
}

impl Counts {
    async fn read(cloud: &Cloud, account: &AccountId) -> Result<Self, ApiError> {
        let attachments = iam_attachment_counts(cloud.store(), account).await.or_fail()?.into_iter().collect();
        let boundaries = iam_boundary_counts(cloud.store(), account).await.or_fail()?.into_iter().collect();
        Ok(Self { attachments, boundaries })
    }

    fn of(&self, arn: &str) -> (u32, u32) {
        let count = |counts: &HashMap<String, u32>| counts.get(arn).copied().unwrap_or_default();
        (count(&self.attachments), count(&self.boundaries))
    }
}

/// What a policy's ARN says of whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArnOwner<'a> {
    /// It comes with the cloud.
    BuiltIn,
    /// A customer's.
    Account(&'a str),
}

/// Reads the owner out of a policy's ARN.
///
/// # Errors
/// `InvalidInput` for what is no ARN of a policy.
pub fn owner_of(arn: &str) -> Result<ArnOwner<'_>, ApiError> {
    let parts = arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(':'));
    match parts {
        Some((owner, rest)) if rest.starts_with("policy/") && !rest.ends_with('/') => {
            Ok(if owner == builtin::OWNER { ArnOwner::BuiltIn } else { ArnOwner::Account(owner) })
        }
        _ => Err(Code::InvalidInput.message(format!("ARN {} is not valid.", clip(arn)))),
    }
}

/// Path and name within a policy's ARN.
#[must_use]
pub fn path_and_name(arn: &str) -> (&str, &str) {
    let rest = arn.split_once(":policy").map_or("", |(_, rest)| rest);
    rest.rfind('/').map_or(("/", rest), |at| rest.split_at(at + 1))
}

fn not_found(arn: &str) -> ApiError {
    Code::NoSuchEntity.message(format!("Policy {} was not found.", clip(arn)))
}

/// The account's own policy of this ARN.
pub(crate) async fn own<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    arn: &str,
) -> Result<Option<IamPolicyRow>, ApiError> {
    let row = iam_policy_by_arn(exec, arn).await.or_fail()?;
    Ok(row.filter(|row| row.account_id == *account))
}

/// The account's own policy of this ARN, to be changed by an operation.
pub(crate) async fn own_to_change(
    tx: &mut Tx,
    cx: &OpContext,
    operation: &str,
    arn: &str,
) -> Result<IamPolicyRow, ApiError> {
    if owner_of(arn)? == ArnOwner::BuiltIn {
        return Err(ApiError::access_denied(
            &cx.actor.arn,
            &format!("iam:{operation}"),
            &format!("policy {}", clip(arn)),
            "the policy comes with the cloud and cannot be changed",
        ));
    }
    own(tx, cx.account(), arn).await?.ok_or_else(|| not_found(arn))
}

/// Fails unless there is a policy of this ARN that principals of the account may have.
///
/// # Errors
/// `NoSuchEntity`; `InvalidInput` for what is no ARN of a policy.
pub async fn require_attachable(tx: &mut Tx, account: &AccountId, arn: &str) -> Result<(), ApiError> {
    let there = match owner_of(arn)? {
        ArnOwner::BuiltIn => builtin::by_arn(arn).is_some(),
        ArnOwner::Account(_) => own(tx, account, arn).await?.is_some(),
    };
    if there {
        return Ok(());
    }
    Err(Code::NoSuchEntity.message(format!("Policy {} does not exist or is not attachable.", clip(arn))))
}

/// Which policies ListPolicies lists.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicyQuery<'a> {
    /// Without those that come with the cloud.
    pub no_builtin: bool,
    /// Without the customer's own.
    pub no_own: bool,
    /// Only those that some principal has.
    pub only_attached: bool,
    /// Only those whose path begins so.
    pub path_prefix: Option<&'a str>,
    /// Only those that are attached as policies (true) or serve as boundaries (false); with `only_attached`.
    pub as_policy: Option<bool>,
}

impl Cloud {
    /// `CreatePolicy`.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, `MalformedPolicyDocument`, `LimitExceeded`, a bad path, bad tags.
    pub async fn create_policy(
        &self,
        cx: &OpContext,
        name: &str,
        path: Option<String>,
        description: String,
        document: &str,
        new_tags: &[(String, String)],
    ) -> Result<ManagedPolicy, ApiError> {
        let path = base::path(path)?;
        inline::parse(document, PolicyKind::Managed)?;
        let allowance = self.iam_allowance(cx, "iam:CreatePolicy", "policy", &format!("{path}{name}")).await?;
        let mut tx = self.iam_write(cx).await?;
        let now_ms = self.clock().now_ms();
        let row = IamPolicyRow {
            id: self.unique_id("ANPA"),
            account_id: cx.account().clone(),
            name: name.to_owned(),
            arn: base::arn(cx.account(), "policy", &path, name),
            path,
            description,
            default_version: 1,
            latest_version: 1,
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        allowance.take(&mut tx, &[(&quotas::POLICIES, 1)], std::slice::from_ref(&row.id)).await?;
        iam_policy_insert(&mut tx, &row, document).await.map_err(|error| {
            if error.is_conflict("iam_policies_account_id_name") || error.is_conflict("iam_policies_arn") {
                Code::EntityAlreadyExists
                    .message(format!("A policy called {name} already exists. Duplicate names are not allowed."))
            } else {
                store_failure(error)
            }
        })?;
        labels::put(&mut tx, cx.account(), &row.id, new_tags).await?;
        tx.commit().await.or_fail()?;
        Ok(ManagedPolicy::own(row, &Counts::default()))
    }

    /// `GetPolicy`: the policy and its tags.
    ///
    /// # Errors
    /// `NoSuchEntity`, a bad ARN.
    pub async fn managed_policy(&self, cx: &OpContext, arn: &str) -> Result<(ManagedPolicy, Vec<IamTagRow>), ApiError> {
        let counts = Counts::read(self, cx.account()).await?;
        if owner_of(arn)? == ArnOwner::BuiltIn {
            let policy = builtin::by_arn(arn).ok_or_else(|| not_found(arn))?;
            return Ok((ManagedPolicy::builtin(policy, &counts), Vec::new()));
        }
        let row = own(self.store(), cx.account(), arn).await?.ok_or_else(|| not_found(arn))?;
        let tags = iam_tag_list(self.store(), &row.id).await.or_fail()?;
        Ok((ManagedPolicy::own(row, &counts), tags))
    }

    /// `ListPolicies`: the customer's own by name, then those that come with the cloud by ARN.
    ///
    /// # Errors
    /// What the database says.
    pub async fn managed_policies(
        &self,
        cx: &OpContext,
        query: PolicyQuery<'_>,
    ) -> Result<Vec<ManagedPolicy>, ApiError> {
        let counts = Counts::read(self, cx.account()).await?;
        let mut all = Vec::new();
        if !query.no_own {
            let filter = NamedFilter { path_prefix: query.path_prefix, after: None };
            // All of them: the quota is less than a page.
            let rows = iam_policy_page(self.store(), cx.account(), filter, PAGE_ROWS_MAX).await.or_fail()?;
            all.extend(rows.into_iter().map(|row| ManagedPolicy::own(row, &counts)));
        }
        if !query.no_builtin {
            let prefix = query.path_prefix.unwrap_or("/");
            let wanted = builtin::all().iter().filter(|policy| policy.path.starts_with(prefix));
            all.extend(wanted.map(|policy| ManagedPolicy::builtin(policy, &counts)));
        }
        if query.only_attached {
            all.retain(|policy| match query.as_policy {
                Some(true) => policy.attachments > 0,
                Some(false) => policy.boundaries > 0,
                None => policy.attachments + policy.boundaries > 0,
            });
        }
        Ok(all)
    }

    /// `DeletePolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `DeleteConflict`, `AccessDenied` for one that comes with the cloud.
    pub async fn delete_policy(&self, cx: &OpContext, arn: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = own_to_change(&mut tx, cx, "DeletePolicy", arn).await?;
        let attached = iam_attachment_list(&mut tx, cx.account(), arn, None, None, 1).await.or_fail()?;
        let bounds = iam_boundary_list(&mut tx, cx.account(), arn, None, None, 1).await.or_fail()?;
        if !attached.is_empty() || !bounds.is_empty() {
            return Err(Code::DeleteConflict.message("Cannot delete a policy attached to entities."));
        }
        if iam_policy_version_list(&mut tx, &row.id).await.or_fail()?.len() > 1 {
            return Err(Code::DeleteConflict.message(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                 versions. The default version is deleted with the policy.",
            ));
        }
        iam_tag_delete_of(&mut tx, &row.id).await.or_fail()?;
        iam_policy_delete(&mut tx, &row.id).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `TagPolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity`, bad tags, `LimitExceeded`, `AccessDenied` for one that comes with the cloud.
    pub async fn tag_policy(&self, cx: &OpContext, arn: &str, more: &[(String, String)]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = own_to_change(&mut tx, cx, "TagPolicy", arn).await?;
        labels::put(&mut tx, cx.account(), &row.id, more).await?;
        tx.commit().await.or_fail()
    }

    /// `UntagPolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `AccessDenied` for one that comes with the cloud.
    pub async fn untag_policy(&self, cx: &OpContext, arn: &str, keys: &[String]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = own_to_change(&mut tx, cx, "UntagPolicy", arn).await?;
        iam_tag_delete(&mut tx, &row.id, keys).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_say_whose_and_which() {
        assert_eq!(owner_of("arn:aws:iam::aws:policy/AdministratorAccess"), Ok(ArnOwner::BuiltIn));
        assert_eq!(owner_of("arn:aws:iam::123456789012:policy/a/b"), Ok(ArnOwner::Account("123456789012")));
        for bad in ["", "x", "arn:aws:iam::1:user/a", "arn:aws:iam::1:policy/", "arn:aws:s3::1:policy/a"] {
            assert_eq!(owner_of(bad).unwrap_err().message(), format!("ARN {bad} is not valid."));
        }
        assert_eq!(path_and_name("arn:aws:iam::1:policy/a"), ("/", "a"));
        assert_eq!(path_and_name("arn:aws:iam::1:policy/x/y/a"), ("/x/y/", "a"));
    }
}
