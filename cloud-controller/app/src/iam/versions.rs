//! Versions of managed policies: at most five, of which one is in force.

use super::managed::{ArnOwner, own, own_to_change, owner_of};
use super::{builtin, inline};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_iam::PolicyKind;
use mallee_store::{
    IamPolicyVersionRow, iam_policy_update, iam_policy_version_delete, iam_policy_version_fetch,
    iam_policy_version_insert, iam_policy_version_list,
};

/// Versions of one policy (IAM: 5).
pub const VERSIONS_MAX: usize = 5;

/// One version, and whether it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// From 1; `v1` on the wire.
    pub number: i64,
    /// JSON, as it was given.
    pub document: String,
    /// In force.
    pub is_default: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

impl Version {
    fn of(row: IamPolicyVersionRow, default: i64) -> Self {
        Self {
            number: row.version,
            document: row.document,
            is_default: row.version == default,
            created_ms: row.created_ms,
        }
    }
}

/// Reads `v3`.
///
/// # Errors
/// `ValidationError`.
pub fn parse_version(text: &str) -> Result<i64, ApiError> {
    let digits = text.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+', '-']));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        Code::ValidationError.message(format!(
            "1 validation error detected: Value '{}' at 'versionId' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?",
            clip(text)
        ))
    })
}

fn not_found(arn: &str, version: i64) -> ApiError {
    Code::NoSuchEntity.message(format!("Policy {} version v{version} does not exist or is not attachable.", clip(arn)))
}

fn no_policy(arn: &str) -> ApiError {
    Code::NoSuchEntity.message(format!("Policy {} was not found.", clip(arn)))
}

impl Cloud {
    /// `CreatePolicyVersion`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`, `AccessDenied` for one that comes with the cloud.
    pub async fn create_policy_version(
        &self,
        cx: &OpContext,
        arn: &str,
        document: &str,
        as_default: bool,
    ) -> Result<Version, ApiError> {
        inline::parse(document, PolicyKind::Managed)?;
        let mut tx = self.iam_write(cx).await?;
        let mut policy = own_to_change(&mut tx, cx, "CreatePolicyVersion", arn).await?;
        if iam_policy_version_list(&mut tx, &policy.id).await.or_fail()?.len() >= VERSIONS_MAX {
            return Err(Code::LimitExceeded.message(
                "A managed policy can have up to 5 versions. Before you create a new version, you must delete an \
                 existing version.",
            ));
        }
        policy.latest_version += 1;
        policy.updated_ms = self.clock().now_ms();
        if as_default {
            policy.default_version = policy.latest_version;
        }
        let row = IamPolicyVersionRow {
            policy_id: policy.id.clone(),
            version: policy.latest_version,
            document: document.to_owned(),
            created_ms: policy.updated_ms,
        };
        iam_policy_version_insert(&mut tx, &row).await.or_fail()?;
        iam_policy_update(&mut tx, &policy).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(Version::of(row, policy.default_version))
    }

    /// `ListPolicyVersions`, newest first.
    ///
    /// # Errors
    /// `NoSuchEntity`, a bad ARN.
    pub async fn policy_versions(&self, cx: &OpContext, arn: &str) -> Result<Vec<Version>, ApiError> {
        if owner_of(arn)? == ArnOwner::BuiltIn {
            let policy = builtin::by_arn(arn).ok_or_else(|| no_policy(arn))?;
            return Ok(vec![Version {
                number: 1,
                document: policy.document.to_owned(),
                is_default: true,
                created_ms: policy.created_ms,
            }]);
        }
        let policy = own(self.store(), cx.account(), arn).await?.ok_or_else(|| no_policy(arn))?;
        let rows = iam_policy_version_list(self.store(), &policy.id).await.or_fail()?;
        Ok(rows.into_iter().map(|row| Version::of(row, policy.default_version)).collect())
    }

    /// `GetPolicyVersion`.
    ///
    /// # Errors
    /// `NoSuchEntity`, a bad ARN or version.
    pub async fn policy_version(&self, cx: &OpContext, arn: &str, version: &str) -> Result<Version, ApiError> {
        let number = parse_version(version)?;
        let found = self.policy_versions(cx, arn).await?.into_iter().find(|version| version.number == number);
        found.ok_or_else(|| not_found(arn, number))
    }

    /// `DeletePolicyVersion`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `DeleteConflict` for the one in force, `AccessDenied` for one that comes with the cloud.
    pub async fn delete_policy_version(&self, cx: &OpContext, arn: &str, version: &str) -> Result<(), ApiError> {
        let number = parse_version(version)?;
        let mut tx = self.iam_write(cx).await?;
        let mut policy = own_to_change(&mut tx, cx, "DeletePolicyVersion", arn).await?;
        if policy.default_version == number {
            return Err(Code::DeleteConflict.message("Cannot delete the default version of a policy."));
        }
        if !iam_policy_version_delete(&mut tx, &policy.id, number).await.or_fail()? {
            return Err(not_found(arn, number));
        }
        policy.updated_ms = self.clock().now_ms();
        iam_policy_update(&mut tx, &policy).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `SetDefaultPolicyVersion`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `AccessDenied` for one that comes with the cloud.
    pub async fn set_default_policy_version(&self, cx: &OpContext, arn: &str, version: &str) -> Result<(), ApiError> {
        let number = parse_version(version)?;
        let mut tx = self.iam_write(cx).await?;
        let mut policy = own_to_change(&mut tx, cx, "SetDefaultPolicyVersion", arn).await?;
        if iam_policy_version_fetch(&mut tx, &policy.id, number).await.or_fail()?.is_none() {
            return Err(not_found(arn, number));
        }
        policy.default_version = number;
        policy.updated_ms = self.clock().now_ms();
        iam_policy_update(&mut tx, &policy).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_after_a_v() {
        assert_eq!(parse_version("v12"), Ok(12));
        for bad in ["", "v", "1", "v0", "v-1", "v+1", "v1x", "V1", "v99999999999999999999"] {
            assert_eq!(parse_version(bad).unwrap_err().code(), Code::ValidationError, "{bad}");
        }
    }
}
