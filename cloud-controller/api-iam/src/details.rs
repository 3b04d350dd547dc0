//! GetAccountAuthorizationDetails: every user, group and managed policy of an account with all that is on them.

use crate::IdentityApi;
use crate::page::Page;
use crate::policies;
use crate::wire;
use mallee_app::OpContext;
use mallee_app::iam::details::{Detail, Item, Parts};
use mallee_app::iam::{groups, users};
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    GetAccountAuthorizationDetailsRequest, GetAccountAuthorizationDetailsResponse, GroupDetail, ManagedPolicyDetail,
    PolicyDetail, UserDetail,
};

fn inline(policies: Vec<(String, String)>) -> Vec<PolicyDetail> {
    let one = |(name, json): (String, String)| PolicyDetail {
        policy_document: wire::document(&json),
        policy_name: Some(name),
    };
    policies.into_iter().map(one).collect()
}

impl IdentityApi {
    pub(crate) async fn get_account_authorization_details(
        &self,
        cx: &OpContext,
        r: GetAccountAuthorizationDetailsRequest,
    ) -> Result<GetAccountAuthorizationDetailsResponse, ApiError> {
        let GetAccountAuthorizationDetailsRequest { filter, marker, max_items } = r;
        let page = Page::new("GetAccountAuthorizationDetails", max_items, marker.as_deref())?;
        let wants = |kind: &str| filter.is_empty() || filter.iter().any(|wanted| wanted == kind);
        let parts = Parts {
            users: wants("User"),
            groups: wants("Group"),
            own_policies: wants("LocalManagedPolicy"),
            builtin_policies: wants("AWSManagedPolicy"),
        };
        let items = self.cloud.authorization_items(cx, parts).await?;
        let cut = page.cut(items, Item::key);
        let mut reply = GetAccountAuthorizationDetailsResponse {
            is_truncated: cut.truncated,
            marker: cut.marker,
            ..Default::default()
        };
        for item in self.cloud.authorization_details(cx, cut.items).await? {
            match item {
                Detail::User { user, groups, attached, inline: own, tags, boundary } => {
                    reply.user_detail_list.push(UserDetail {
                        arn: Some(users::arn(&user)),
                        attached_managed_policies: wire::attached(attached),
                        create_date: wire::time(user.created_ms),
                        group_list: groups,
                        path: Some(user.path),
                        permissions_boundary: wire::boundary(boundary),
                        tags: wire::tags(tags),
                        user_id: Some(user.id),
                        user_name: Some(user.name),
                        user_policy_list: inline(own),
                    });
                }
                Detail::Group { group, attached, inline: own } => {
                    reply.group_detail_list.push(GroupDetail {
                        arn: Some(groups::arn(&group)),
                        attached_managed_policies: wire::attached(attached),
                        create_date: wire::time(group.created_ms),
                        group_id: Some(group.id),
                        group_name: Some(group.name),
                        group_policy_list: inline(own),
                        path: Some(group.path),
                    });
                }
                Detail::Policy { policy, versions } => {
                    reply.policies.push(ManagedPolicyDetail {
                        arn: Some(policy.arn),
                        attachment_count: i32::try_from(policy.attachments).ok(),
                        create_date: wire::time(policy.created_ms),
                        default_version_id: Some(format!("v{}", policy.default_version)),
                        description: Some(policy.description).filter(|text| !text.is_empty()),
                        is_attachable: Some(true),
                        path: Some(policy.path),
                        permissions_boundary_usage_count: i32::try_from(policy.boundaries).ok(),
                        policy_id: Some(policy.id),
                        policy_name: Some(policy.name),
                        policy_version_list: versions.into_iter().map(|v| policies::version(v, true)).collect(),
                        update_date: wire::time(policy.updated_ms),
                    });
                }
            }
        }
        Ok(reply)
    }
}
