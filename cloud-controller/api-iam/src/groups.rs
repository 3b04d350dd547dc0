//! Groups and who is in them.

use crate::IdentityApi;
use crate::parts::Slice;
use crate::wire::{self, text};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::iam::{groups, users};
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    AddUserToGroupRequest, CreateGroupRequest, CreateGroupResponse, DeleteGroupRequest, GetGroupRequest,
    GetGroupResponse, ListGroupsForUserRequest, ListGroupsForUserResponse, ListGroupsRequest, ListGroupsResponse,
    RemoveUserFromGroupRequest, UpdateGroupRequest,
};
use mallee_store::{NamedFilter, iam_group_members, iam_group_page, iam_groups_of_user};

impl IdentityApi {
    pub(crate) async fn create_group(
        &self,
        cx: &OpContext,
        r: CreateGroupRequest,
    ) -> Result<CreateGroupResponse, ApiError> {
        let CreateGroupRequest { group_name, path } = r;
        let group = self.cloud.create_iam_group(cx, &text(group_name), path).await?;
        Ok(CreateGroupResponse { group: Some(wire::group(group)) })
    }

    pub(crate) async fn get_group(&self, cx: &OpContext, r: GetGroupRequest) -> Result<GetGroupResponse, ApiError> {
        let GetGroupRequest { group_name, marker, max_items } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let group = groups::find(self.store(), cx.account(), &text(group_name)).await?;
        let rows = iam_group_members(self.store(), &group.id, page.after.as_deref(), page.rows()).await.or_fail()?;
        let cut = page.cut(rows, |row| row.name.clone());
        Ok(GetGroupResponse {
            group: Some(wire::group(group)),
            is_truncated: cut.is_truncated,
            marker: cut.marker,
            users: cut.items.into_iter().map(wire::listed_user).collect(),
        })
    }

    pub(crate) async fn list_groups(
        &self,
        cx: &OpContext,
        r: ListGroupsRequest,
    ) -> Result<ListGroupsResponse, ApiError> {
        let ListGroupsRequest { marker, max_items, path_prefix } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let filter = NamedFilter { path_prefix: path_prefix.as_deref(), after: page.after.as_deref() };
        let rows = iam_group_page(self.store(), cx.account(), filter, page.rows()).await.or_fail()?;
        let cut = page.cut(rows, |row| row.name.clone());
        Ok(ListGroupsResponse {
            groups: cut.items.into_iter().map(wire::group).collect(),
            is_truncated: cut.is_truncated,
            marker: cut.marker,
        })
    }

    pub(crate) async fn list_groups_for_user(
        &self,
        cx: &OpContext,
        r: ListGroupsForUserRequest,
    ) -> Result<ListGroupsForUserResponse, ApiError> {
        let ListGroupsForUserRequest { marker, max_items, user_name } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let user = users::find(self.store(), cx.account(), &text(user_name)).await?;
        let rows = iam_groups_of_user(self.store(), &user.id, page.after.as_deref(), page.rows()).await.or_fail()?;
        let cut = page.cut(rows, |row| row.name.clone());
        Ok(ListGroupsForUserResponse {
            groups: cut.items.into_iter().map(wire::group).collect(),
            is_truncated: cut.is_truncated,
            marker: cut.marker,
        })
    }

    pub(crate) async fn update_group(&self, cx: &OpContext, r: UpdateGroupRequest) -> Result<(), ApiError> {
        let UpdateGroupRequest { group_name, new_group_name, new_path } = r;
        self.cloud.update_iam_group(cx, &text(group_name), new_group_name.as_deref(), new_path).await
    }

    pub(crate) async fn delete_group(&self, cx: &OpContext, r: DeleteGroupRequest) -> Result<(), ApiError> {
        let DeleteGroupRequest { group_name } = r;
        self.cloud.delete_iam_group(cx, &text(group_name)).await
    }

    pub(crate) async fn add_user_to_group(&self, cx: &OpContext, r: AddUserToGroupRequest) -> Result<(), ApiError> {
        let AddUserToGroupRequest { group_name, user_name } = r;
        self.cloud.add_user_to_group(cx, &text(group_name), &text(user_name)).await
    }

    pub(crate) async fn remove_user_from_group(
        &self,
        cx: &OpContext,
        r: RemoveUserFromGroupRequest,
    ) -> Result<(), ApiError> {
        let RemoveUserFromGroupRequest { group_name, user_name } = r;
        self.cloud.remove_user_from_group(cx, &text(group_name), &text(user_name)).await
    }
}
