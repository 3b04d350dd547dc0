//! Managed policies on users and groups, and who has a policy.

use crate::IdentityApi;
use crate::parts::Slice;
use crate::wire::{self, text};
use mallee_app::OpContext;
use mallee_app::iam::on_principals;
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    AttachGroupPolicyRequest, AttachUserPolicyRequest, DetachGroupPolicyRequest, DetachUserPolicyRequest,
    ListAttachedGroupPoliciesRequest, ListAttachedGroupPoliciesResponse, ListAttachedUserPoliciesRequest,
    ListAttachedUserPoliciesResponse, ListEntitiesForPolicyRequest, ListEntitiesForPolicyResponse, PolicyGroup,
    PolicyRole, PolicyUser,
};
use mallee_store::PrincipalKind::{self, Group, Role, User};

/// The order of lists of policies: the customer's own first, each kind by name. ARNs would be too long for a marker.
pub(crate) fn policy_key(name: &str, arn: &str) -> String {
    format!("{}{name}", u8::from(!on_principals::is_customer(arn)))
}

/// In the order in which entities are listed.
fn entity_key(kind: PrincipalKind, id: &str) -> String {
    format!("{}/{id}", kind as u8)
}

impl IdentityApi {
    pub(crate) async fn attach_user_policy(&self, cx: &OpContext, r: AttachUserPolicyRequest) -> Result<(), ApiError> {
        let AttachUserPolicyRequest { policy_arn, user_name } = r;
        self.cloud.attach_policy(cx, User, &text(user_name), &text(policy_arn)).await
    }

    pub(crate) async fn attach_group_policy(
        &self,
        cx: &OpContext,
        r: AttachGroupPolicyRequest,
    ) -> Result<(), ApiError> {
        let AttachGroupPolicyRequest { group_name, policy_arn } = r;
        self.cloud.attach_policy(cx, Group, &text(group_name), &text(policy_arn)).await
    }

    pub(crate) async fn detach_user_policy(&self, cx: &OpContext, r: DetachUserPolicyRequest) -> Result<(), ApiError> {
        let DetachUserPolicyRequest { policy_arn, user_name } = r;
        self.cloud.detach_policy(cx, User, &text(user_name), &text(policy_arn)).await
    }

    pub(crate) async fn detach_group_policy(
        &self,
        cx: &OpContext,
        r: DetachGroupPolicyRequest,
    ) -> Result<(), ApiError> {
        let DetachGroupPolicyRequest { group_name, policy_arn } = r;
        self.cloud.detach_policy(cx, Group, &text(group_name), &text(policy_arn)).await
    }

    async fn attached(
        &self,
        cx: &OpContext,
        kind: PrincipalKind,
        holder: &str,
        path_prefix: Option<&str>,
    ) -> Result<Vec<(String, String)>, ApiError> {
        let holder = on_principals::find(self.store(), cx.account(), kind, holder).await?;
        let mut all = on_principals::attached(self.store(), &holder, path_prefix).await?;
        all.sort_by_key(|(name, arn)| policy_key(name, arn));
        Ok(all)
    }

    pub(crate) async fn list_attached_user_policies(
        &self,
        cx: &OpContext,
        r: ListAttachedUserPoliciesRequest,
    ) -> Result<ListAttachedUserPoliciesResponse, ApiError> {
        let ListAttachedUserPoliciesRequest { marker, max_items, path_prefix, user_name } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let all = self.attached(cx, User, &text(user_name), path_prefix.as_deref()).await?;
        let cut = page.cut_all(all, |(name, arn)| policy_key(name, arn));
        Ok(ListAttachedUserPoliciesResponse {
            attached_policies: wire::attached(cut.items),
            is_truncated: cut.is_truncated,
            marker: cut.marker,
        })
    }

    pub(crate) async fn list_attached_group_policies(
        &self,
        cx: &OpContext,
        r: ListAttachedGroupPoliciesRequest,
    ) -> Result<ListAttachedGroupPoliciesResponse, ApiError> {
        let ListAttachedGroupPoliciesRequest { group_name, marker, max_items, path_prefix } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let all = self.attached(cx, Group, &text(group_name), path_prefix.as_deref()).await?;
        let cut = page.cut_all(all, |(name, arn)| policy_key(name, arn));
        Ok(ListAttachedGroupPoliciesResponse {
            attached_policies: wire::attached(cut.items),
            is_truncated: cut.is_truncated,
            marker: cut.marker,
        })
    }

    pub(crate) async fn list_entities_for_policy(
        &self,
        cx: &OpContext,
        r: ListEntitiesForPolicyRequest,
    ) -> Result<ListEntitiesForPolicyResponse, ApiError> {
        let ListEntitiesForPolicyRequest {
            entity_filter,
            marker,
            max_items,
            path_prefix,
            policy_arn,
            policy_usage_filter,
        } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let kind = match entity_filter.as_deref() {
            Some("User") => Some(User),
            Some("Group") => Some(Group),
            Some("Role") => Some(Role),
            // The policies that the filter may name are no entities that have policies.
            Some(_) => return Ok(ListEntitiesForPolicyResponse { is_truncated: Some(false), ..Default::default() }),
            None => None,
        };
        let as_policy = policy_usage_filter.map(|usage| usage == "PermissionsPolicy");
        let all = self.cloud.entities_of_policy(cx, &text(policy_arn), kind, as_policy, path_prefix.as_deref()).await?;
        let cut = page.cut_all(all, |(kind, id, _)| entity_key(*kind, id));
        let mut reply =
            ListEntitiesForPolicyResponse { is_truncated: cut.is_truncated, marker: cut.marker, ..Default::default() };
        for (kind, id, name) in cut.items {
            let (id, name) = (Some(id), Some(name));
            match kind {
                User => reply.policy_users.push(PolicyUser { user_id: id, user_name: name }),
                Group => reply.policy_groups.push(PolicyGroup { group_id: id, group_name: name }),
                Role => reply.policy_roles.push(PolicyRole { role_id: id, role_name: name }),
                PrincipalKind::Account => {}
            }
        }
        Ok(reply)
    }
}
