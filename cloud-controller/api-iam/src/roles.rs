//! Roles.

use crate::IdentityApi;
use crate::parts::{Slice, document, labels, tag_page, tags_of, time};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::iam::roles::{NewRole, no_role, role_arn};
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    AttachedPermissionsBoundary, CreateRoleRequest, CreateRoleResponse, DeleteRolePermissionsBoundaryRequest,
    DeleteRoleRequest, GetRoleRequest, GetRoleResponse, ListRoleTagsRequest, ListRoleTagsResponse, ListRolesRequest,
    ListRolesResponse, PutRolePermissionsBoundaryRequest, Role, RoleLastUsed, TagRoleRequest, UntagRoleRequest,
    UpdateAssumeRolePolicyRequest, UpdateRoleDescriptionRequest, UpdateRoleDescriptionResponse, UpdateRoleRequest,
    UpdateRoleResponse,
};
use mallee_store::{NamedFilter, PrincipalKind, RoleRow, iam_boundary_fetch, role_by_name, role_list};

/// A role as lists show it.
pub(crate) fn shown(row: RoleRow) -> Role {
    Role {
        arn: Some(role_arn(&row)),
        assume_role_policy_document: Some(document(&row.trust)),
        create_date: time(row.created_ms),
        description: row.description,
        max_session_duration: i32::try_from(row.max_session_seconds).ok(),
        path: Some(row.path),
        permissions_boundary: None,
        role_id: Some(row.id),
        role_last_used: None,
        role_name: Some(row.name),
        source_role_template: None,
        tags: Vec::new(),
    }
}

fn seconds(given: Option<i32>) -> Option<u32> {
    given.and_then(|n| u32::try_from(n).ok())
}

impl IdentityApi {
    async fn role(&self, cx: &OpContext, name: &str) -> Result<RoleRow, ApiError> {
        role_by_name(self.store(), cx.account(), name).await.or_fail()?.ok_or_else(|| no_role(name))
    }

    /// A role with everything: boundary, tags, when it was last used.
    async fn whole_role(&self, row: RoleRow) -> Result<Role, ApiError> {
        let boundary = iam_boundary_fetch(self.store(), PrincipalKind::Role, &row.id).await.or_fail()?;
        let tags = tags_of(self.store(), &row.id).await?;
        let used =
            RoleLastUsed { last_used_date: row.last_used_ms.and_then(time), region: row.last_used_region.clone() };
        let boundary = boundary.map(|found| AttachedPermissionsBoundary {
            permissions_boundary_arn: Some(found.policy_arn),
            permissions_boundary_type: Some("Policy".to_owned()),
        });
        Ok(Role { permissions_boundary: boundary, role_last_used: Some(used), tags, ..shown(row) })
    }

    pub(crate) async fn create_role(
        &self,
        cx: &OpContext,
        r: CreateRoleRequest,
    ) -> Result<CreateRoleResponse, ApiError> {
        let CreateRoleRequest {
            assume_role_policy_document,
            description,
            max_session_duration,
            path,
            permissions_boundary,
            role_name,
            tags,
        } = r;
        let new = NewRole {
            name: role_name.unwrap_or_default(),
            path,
            description,
            trust: assume_role_policy_document.unwrap_or_default(),
            max_session_seconds: seconds(max_session_duration),
            boundary_arn: permissions_boundary,
            tags: labels(tags),
        };
        let row = self.cloud.create_role(cx, new).await?;
        let role = Role { role_last_used: None, ..self.whole_role(row).await? };
        Ok(CreateRoleResponse { role: Some(role) })
    }

    pub(crate) async fn get_role(&self, cx: &OpContext, r: GetRoleRequest) -> Result<GetRoleResponse, ApiError> {
        let GetRoleRequest { role_name } = r;
        let row = self.role(cx, &role_name.unwrap_or_default()).await?;
        Ok(GetRoleResponse { role: Some(self.whole_role(row).await?) })
    }

    pub(crate) async fn list_roles(&self, cx: &OpContext, r: ListRolesRequest) -> Result<ListRolesResponse, ApiError> {
        let ListRolesRequest { marker, max_items, path_prefix } = r;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let filter = NamedFilter { path_prefix: path_prefix.as_deref(), after: slice.after.as_deref() };
        let rows = role_list(self.store(), cx.account(), filter, slice.rows()).await.or_fail()?;
        let page = slice.cut(rows, |row| row.name.clone());
        Ok(ListRolesResponse {
            is_truncated: page.is_truncated,
            marker: page.marker,
            roles: page.items.into_iter().map(shown).collect(),
        })
    }

    pub(crate) async fn update_role(
        &self,
        cx: &OpContext,
        r: UpdateRoleRequest,
    ) -> Result<UpdateRoleResponse, ApiError> {
        let UpdateRoleRequest { description, max_session_duration, role_name } = r;
        let name = role_name.unwrap_or_default();
        self.cloud.update_role(cx, &name, description, seconds(max_session_duration)).await?;
        Ok(UpdateRoleResponse {})
    }

    pub(crate) async fn update_role_description(
        &self,
        cx: &OpContext,
        r: UpdateRoleDescriptionRequest,
    ) -> Result<UpdateRoleDescriptionResponse, ApiError> {
        let UpdateRoleDescriptionRequest { description, role_name } = r;
        let (name, text) = (role_name.unwrap_or_default(), description.unwrap_or_default());
        let row = self.cloud.update_role_description(cx, &name, text).await?;
        Ok(UpdateRoleDescriptionResponse { role: Some(self.whole_role(row).await?) })
    }

    pub(crate) async fn update_assume_role_policy(
        &self,
        cx: &OpContext,
        r: UpdateAssumeRolePolicyRequest,
    ) -> Result<(), ApiError> {
        let UpdateAssumeRolePolicyRequest { policy_document, role_name } = r;
        let document = policy_document.unwrap_or_default();
        self.cloud.update_role_trust(cx, &role_name.unwrap_or_default(), document).await
    }

    pub(crate) async fn delete_role(&self, cx: &OpContext, r: DeleteRoleRequest) -> Result<(), ApiError> {
        let DeleteRoleRequest { role_name } = r;
        self.cloud.delete_role(cx, &role_name.unwrap_or_default()).await
    }

    pub(crate) async fn tag_role(&self, cx: &OpContext, r: TagRoleRequest) -> Result<(), ApiError> {
        let TagRoleRequest { role_name, tags } = r;
        self.cloud.tag_role(cx, &role_name.unwrap_or_default(), &labels(tags)).await
    }

    pub(crate) async fn untag_role(&self, cx: &OpContext, r: UntagRoleRequest) -> Result<(), ApiError> {
        let UntagRoleRequest { role_name, tag_keys } = r;
        self.cloud.untag_role(cx, &role_name.unwrap_or_default(), &tag_keys).await
    }

    pub(crate) async fn list_role_tags(
        &self,
        cx: &OpContext,
        r: ListRoleTagsRequest,
    ) -> Result<ListRoleTagsResponse, ApiError> {
        let ListRoleTagsRequest { marker, max_items, role_name } = r;
        let row = self.role(cx, &role_name.unwrap_or_default()).await?;
        let page = tag_page(self.store(), &row.id, marker.as_deref(), max_items).await?;
        Ok(ListRoleTagsResponse { is_truncated: page.is_truncated, marker: page.marker, tags: page.items })
    }

    pub(crate) async fn put_role_permissions_boundary(
        &self,
        cx: &OpContext,
        r: PutRolePermissionsBoundaryRequest,
    ) -> Result<(), ApiError> {
        let PutRolePermissionsBoundaryRequest { permissions_boundary, role_name } = r;
        let arn = permissions_boundary.unwrap_or_default();
        self.cloud.put_role_boundary(cx, &role_name.unwrap_or_default(), arn).await
    }

    pub(crate) async fn delete_role_permissions_boundary(
        &self,
        cx: &OpContext,
        r: DeleteRolePermissionsBoundaryRequest,
    ) -> Result<(), ApiError> {
        let DeleteRolePermissionsBoundaryRequest { role_name } = r;
        self.cloud.delete_role_boundary(cx, &role_name.unwrap_or_default()).await
    }
}
