//! GetAccountAuthorizationDetails: every user, group, role and managed policy of an account with all that is on them.

use crate::IdentityApi;
use crate::parts::{Slice, document, time};
use crate::policies;
use crate::wire;
use mallee_app::OpContext;
use mallee_app::iam::details::{Detail, Item, OnPrincipal, Wanted};
use mallee_app::iam::managed::ManagedPolicy;
use mallee_app::iam::versions::Version;
use mallee_app::iam::{groups, roles, users};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::iam::{
    GetAccountAuthorizationDetailsRequest, GetAccountAuthorizationDetailsResponse, GroupDetail, ManagedPolicyDetail,
    PolicyDetail, RoleDetail, RoleLastUsed, UserDetail,
};
use mallee_store::{IamGroupRow, RoleRow, UserRow};

/// What the filter names.
const KINDS: [&str; 5] = ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];

fn inline(policies: Vec<(String, String)>) -> Vec<PolicyDetail> {
    let one = |(name, json): (String, String)| PolicyDetail {
        policy_document: Some(document(&json)),
        policy_name: Some(name),
    };
    policies.into_iter().map(one).collect()
}

fn user(row: UserRow, groups: Vec<String>, on: OnPrincipal) -> UserDetail {
    UserDetail {
        arn: Some(users::arn(&row)),
        attached_managed_policies: wire::attached(on.attached),
        create_date: time(row.created_ms),
        group_list: groups,
        path: Some(row.path),
        permissions_boundary: wire::boundary(on.boundary),
        tags: wire::tags(on.tags),
        user_id: Some(row.id),
        user_name: Some(row.name),
        user_policy_list: inline(on.inline),
    }
}

fn group(row: IamGroupRow, on: OnPrincipal) -> GroupDetail {
    GroupDetail {
        arn: Some(groups::arn(&row)),
        attached_managed_policies: wire::attached(on.attached),
        create_date: time(row.created_ms),
        group_id: Some(row.id),
        group_name: Some(row.name),
        group_policy_list: inline(on.inline),
        path: Some(row.path),
    }
}

fn role(row: RoleRow, on: OnPrincipal) -> RoleDetail {
    RoleDetail {
        arn: Some(roles::role_arn(&row)),
        assume_role_policy_document: Some(document(&row.trust)),
        attached_managed_policies: wire::attached(on.attached),
        create_date: time(row.created_ms),
        instance_profile_list: Vec::new(),
        path: Some(row.path),
        permissions_boundary: wire::boundary(on.boundary),
        role_id: Some(row.id),
        role_last_used: Some(RoleLastUsed {
            last_used_date: row.last_used_ms.and_then(time),
            region: row.last_used_region,
        }),
        role_name: Some(row.name),
        role_policy_list: inline(on.inline),
        tags: wire::tags(on.tags),
    }
}

fn policy(policy: ManagedPolicy, versions: Vec<Version>) -> ManagedPolicyDetail {
    ManagedPolicyDetail {
        arn: Some(policy.arn),
        attachment_count: i32::try_from(policy.attachments).ok(),
        create_date: time(policy.created_ms),
        default_version_id: Some(format!("v{}", policy.default_version)),
        description: Some(policy.description).filter(|text| !text.is_empty()),
        is_attachable: Some(true),
        path: Some(policy.path),
        permissions_boundary_usage_count: i32::try_from(policy.boundaries).ok(),
        policy_id: Some(policy.id),
        policy_name: Some(policy.name),
        policy_version_list: versions.into_iter().map(|version| policies::version(version, true)).collect(),
        update_date: time(policy.updated_ms),
    }
}

impl IdentityApi {
    pub(crate) async fn get_account_authorization_details(
        &self,
        cx: &OpContext,
        r: GetAccountAuthorizationDetailsRequest,
    ) -> Result<GetAccountAuthorizationDetailsResponse, ApiError> {
        let GetAccountAuthorizationDetailsRequest { filter, marker, max_items } = r;
        if let Some(unknown) = filter.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            return Err(Code::ValidationError.message(format!(
                "1 validation error detected: Value '[{}]' at 'filter' failed to satisfy constraint: Member must \
                 satisfy constraint: [Member must satisfy enum value set: [{}]]",
                mallee_awswire::texts::clip(unknown),
                KINDS.join(", ")
            )));
        }
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let wants = |kind: &str| filter.is_empty() || filter.iter().any(|wanted| wanted == kind);
        let wanted = Wanted {
            users: wants("User"),
            groups: wants("Group"),
            roles: wants("Role"),
            own_policies: wants("LocalManagedPolicy"),
            builtin_policies: wants("AWSManagedPolicy"),
        };
        let cut = slice.cut_all(self.cloud.authorization_items(cx, wanted).await?, Item::key);
        let mut reply = GetAccountAuthorizationDetailsResponse {
            is_truncated: cut.is_truncated,
            marker: cut.marker,
            ..Default::default()
        };
        for detail in self.cloud.authorization_details(cx, cut.items).await? {
            match detail {
                Detail::User(row, groups, on) => reply.user_detail_list.push(user(row, groups, on)),
                Detail::Group(row, on) => reply.group_detail_list.push(group(row, on)),
                Detail::Role(row, on) => reply.role_detail_list.push(role(row, on)),
                Detail::Policy(found, versions) => reply.policies.push(policy(found, versions)),
            }
        }
        Ok(reply)
    }
}
