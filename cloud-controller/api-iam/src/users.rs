//! Users and their tags.

use crate::IdentityApi;
use crate::parts::{Slice, labels};
use crate::wire::{self, text};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    CreateUserRequest, CreateUserResponse, DeleteUserPermissionsBoundaryRequest, DeleteUserRequest, GetUserRequest,
    GetUserResponse, ListUserTagsRequest, ListUserTagsResponse, ListUsersRequest, ListUsersResponse,
    PutUserPermissionsBoundaryRequest, TagUserRequest, UntagUserRequest, UpdateUserRequest,
};
use mallee_store::{NamedFilter, user_page};

impl IdentityApi {
    pub(crate) async fn create_user(
        &self,
        cx: &OpContext,
        r: CreateUserRequest,
    ) -> Result<CreateUserResponse, ApiError> {
        let CreateUserRequest { path, permissions_boundary, tags, user_name } = r;
        let (name, tags) = (text(user_name), labels(tags));
        let view = self.cloud.create_iam_user(cx, &name, path, permissions_boundary.as_deref(), tags).await?;
        Ok(CreateUserResponse { user: Some(wire::user(view)) })
    }

    pub(crate) async fn get_user(&self, cx: &OpContext, r: GetUserRequest) -> Result<GetUserResponse, ApiError> {
        let GetUserRequest { user_name } = r;
        let view = self.cloud.iam_user(cx, user_name.as_deref()).await?;
        Ok(GetUserResponse { user: Some(wire::user(view)) })
    }

    pub(crate) async fn list_users(&self, cx: &OpContext, r: ListUsersRequest) -> Result<ListUsersResponse, ApiError> {
        let ListUsersRequest { marker, max_items, path_prefix } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let filter = NamedFilter { path_prefix: path_prefix.as_deref(), after: page.after.as_deref() };
        let rows = user_page(self.store(), cx.account(), filter, page.rows()).await.or_fail()?;
        let cut = page.cut(rows, |row| row.name.clone());
        Ok(ListUsersResponse {
            is_truncated: cut.is_truncated,
            marker: cut.marker,
            users: cut.items.into_iter().map(wire::listed_user).collect(),
        })
    }

    pub(crate) async fn update_user(&self, cx: &OpContext, r: UpdateUserRequest) -> Result<(), ApiError> {
        let UpdateUserRequest { new_path, new_user_name, user_name } = r;
        self.cloud.update_iam_user(cx, &text(user_name), new_user_name.as_deref(), new_path).await
    }

    pub(crate) async fn delete_user(&self, cx: &OpContext, r: DeleteUserRequest) -> Result<(), ApiError> {
        let DeleteUserRequest { user_name } = r;
        self.cloud.delete_iam_user(cx, &text(user_name)).await
    }

    pub(crate) async fn tag_user(&self, cx: &OpContext, r: TagUserRequest) -> Result<(), ApiError> {
        let TagUserRequest { tags, user_name } = r;
        self.cloud.tag_iam_user(cx, &text(user_name), &labels(tags)).await
    }

    pub(crate) async fn untag_user(&self, cx: &OpContext, r: UntagUserRequest) -> Result<(), ApiError> {
        let UntagUserRequest { tag_keys, user_name } = r;
        self.cloud.untag_iam_user(cx, &text(user_name), &tag_keys).await
    }

    pub(crate) async fn list_user_tags(
        &self,
        cx: &OpContext,
        r: ListUserTagsRequest,
    ) -> Result<ListUserTagsResponse, ApiError> {
        let ListUserTagsRequest { marker, max_items, user_name } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let view = self.cloud.iam_user(cx, Some(&text(user_name))).await?;
        let cut = page.cut_all(view.tags, |(key, _)| key.to_lowercase());
        Ok(ListUserTagsResponse { is_truncated: cut.is_truncated, marker: cut.marker, tags: wire::tags(cut.items) })
    }

    pub(crate) async fn put_user_permissions_boundary(
        &self,
        cx: &OpContext,
        r: PutUserPermissionsBoundaryRequest,
    ) -> Result<(), ApiError> {
        let PutUserPermissionsBoundaryRequest { permissions_boundary, user_name } = r;
        self.cloud.put_user_boundary(cx, &text(user_name), &text(permissions_boundary)).await
    }

    pub(crate) async fn delete_user_permissions_boundary(
        &self,
        cx: &OpContext,
        r: DeleteUserPermissionsBoundaryRequest,
    ) -> Result<(), ApiError> {
        let DeleteUserPermissionsBoundaryRequest { user_name } = r;
        self.cloud.delete_user_boundary(cx, &text(user_name)).await
    }
}
