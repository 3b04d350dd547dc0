//! What GetAccountSummary counts.

use super::groups::GROUPS_PER_USER_MAX;
use super::keys::KEYS_PER_USER_MAX;
use super::on_principals::ATTACHMENTS_MAX;
use super::versions::VERSIONS_MAX;
use crate::fail::OrFail as _;
use crate::quotas::{quota_value, table as quotas};
use crate::{Cloud, OpContext};
use mallee_awswire::ApiError;
use mallee_store::{
    NamedFilter, PAGE_ROWS_MAX, access_key_list, iam_group_count, iam_policy_count, iam_policy_version_count,
    instance_profile_list, role_count, user_admin, user_count,
};

impl Cloud {
    /// `GetAccountSummary`: counts and quotas of what this cloud has, by AWS's names.
    ///
    /// # Errors
    /// What the database says.
    pub async fn account_summary(&self, cx: &OpContext) -> Result<Vec<(&'static str, u64)>, ApiError> {
        let mut tx = self.store().read().await.or_fail()?;
        let account = cx.account();
        let admin = user_admin(&mut tx, account).await.or_fail()?;
        let keys = match &admin {
            Some(admin) => access_key_list(&mut tx, &admin.id).await.or_fail()?.len() as u64,
            None => 0,
        };
        let profiles =
            instance_profile_list(&mut tx, account, None, NamedFilter::default(), PAGE_ROWS_MAX).await.or_fail()?;
        let mut values = [0; 3];
        for (value, quota) in values.iter_mut().zip([&quotas::GROUPS, &quotas::POLICIES, &quotas::USERS]) {
            *value = quota_value(&mut tx, account, quota).await.or_fail()?.unwrap_or(u64::MAX);
        }
        let [groups_max, policies_max, users_max] = values;
        let summary = vec![
            ("AccessKeysPerUserQuota", KEYS_PER_USER_MAX),
            ("AccountAccessKeysPresent", u64::from(keys > 0)),
            ("AttachedPoliciesPerGroupQuota", ATTACHMENTS_MAX),
            ("AttachedPoliciesPerRoleQuota", ATTACHMENTS_MAX),
            ("AttachedPoliciesPerUserQuota", ATTACHMENTS_MAX),
            ("GroupPolicySizeQuota", 5_120),
            ("Groups", iam_group_count(&mut tx, account).await.or_fail()?),
            ("GroupsPerUserQuota", GROUPS_PER_USER_MAX),
            ("GroupsQuota", groups_max),
            ("InstanceProfiles", profiles.len() as u64),
            ("Policies", iam_policy_count(&mut tx, account).await.or_fail()?),
            ("PoliciesQuota", policies_max),
            ("PolicySizeQuota", 6_144),
            ("PolicyVersionsInUse", iam_policy_version_count(&mut tx, account).await.or_fail()?),
            ("RolePolicySizeQuota", 10_240),
            ("Roles", role_count(&mut tx, account).await.or_fail()?),
            ("UserPolicySizeQuota", 2_048),
            ("Users", user_count(&mut tx, account).await.or_fail()?),
            ("UsersQuota", users_max),
            ("VersionsPerPolicyQuota", VERSIONS_MAX as u64),
        ];
        tx.rollback().await.or_fail()?;
        Ok(summary)
    }
}
