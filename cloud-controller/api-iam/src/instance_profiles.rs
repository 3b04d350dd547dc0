//! Instance profiles.

use crate::IdentityApi;
use crate::parts::{Slice, Sliced, labels, tag_page, tags_of, time};
use crate::roles;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::iam::instance_profiles::{find, profile_arn};
use mallee_app::iam::roles::no_role;
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    AddRoleToInstanceProfileRequest, CreateInstanceProfileRequest, CreateInstanceProfileResponse,
    DeleteInstanceProfileRequest, GetInstanceProfileRequest, GetInstanceProfileResponse, InstanceProfile,
    ListInstanceProfileTagsRequest, ListInstanceProfileTagsResponse, ListInstanceProfilesForRoleRequest,
    ListInstanceProfilesForRoleResponse, ListInstanceProfilesRequest, ListInstanceProfilesResponse,
    RemoveRoleFromInstanceProfileRequest, TagInstanceProfileRequest, UntagInstanceProfileRequest,
};
use mallee_store::{
    FILTER_VALUES_MAX, InstanceProfileRow, NamedFilter, RoleRow, instance_profile_list, role_by_name, role_list_of,
};
use std::collections::BTreeMap;

fn shown(row: InstanceProfileRow, roles: &BTreeMap<String, RoleRow>) -> InstanceProfile {
    let role = row.role_id.as_ref().and_then(|id| roles.get(id)).cloned();
    InstanceProfile {
        arn: Some(profile_arn(&row)),
        create_date: time(row.created_ms),
        instance_profile_id: Some(row.id),
        instance_profile_name: Some(row.name),
        path: Some(row.path),
        roles: role.map(roles::shown).into_iter().collect(),
        tags: Vec::new(),
    }
}

impl IdentityApi {
    async fn profiles(&self, cx: &OpContext, rows: Vec<InstanceProfileRow>) -> Result<Vec<InstanceProfile>, ApiError> {
        let ids: Vec<String> = rows.iter().filter_map(|row| row.role_id.clone()).collect();
        let mut roles = BTreeMap::new();
        for ids in ids.chunks(FILTER_VALUES_MAX) {
            let found = role_list_of(self.store(), cx.account(), ids).await.or_fail()?;
            roles.extend(found.into_iter().map(|role| (role.id.clone(), role)));
        }
        Ok(rows.into_iter().map(|row| shown(row, &roles)).collect())
    }

    async fn whole_profile(&self, cx: &OpContext, row: InstanceProfileRow) -> Result<InstanceProfile, ApiError> {
        let tags = tags_of(self.store(), &row.id).await?;
        let shown = self.profiles(cx, vec![row]).await?.pop().unwrap_or_default();
        Ok(InstanceProfile { tags, ..shown })
    }

    async fn profile_page(
        &self,
        cx: &OpContext,
        role_id: Option<&str>,
        path_prefix: Option<&str>,
        slice: &Slice,
    ) -> Result<Sliced<InstanceProfile>, ApiError> {
        let filter = NamedFilter { path_prefix, after: slice.after.as_deref() };
        let rows = instance_profile_list(self.store(), cx.account(), role_id, filter, slice.rows()).await.or_fail()?;
        let Sliced { items, is_truncated, marker } = slice.cut(rows, |row| row.name.clone());
        Ok(Sliced { items: self.profiles(cx, items).await?, is_truncated, marker })
    }

    pub(crate) async fn create_instance_profile(
        &self,
        cx: &OpContext,
        r: CreateInstanceProfileRequest,
    ) -> Result<CreateInstanceProfileResponse, ApiError> {
        let CreateInstanceProfileRequest { instance_profile_name, path, tags } = r;
        let name = instance_profile_name.unwrap_or_default();
        let row = self.cloud.create_instance_profile(cx, &name, path, &labels(tags)).await?;
        Ok(CreateInstanceProfileResponse { instance_profile: Some(self.whole_profile(cx, row).await?) })
    }

    pub(crate) async fn get_instance_profile(
        &self,
        cx: &OpContext,
        r: GetInstanceProfileRequest,
    ) -> Result<GetInstanceProfileResponse, ApiError> {
        let GetInstanceProfileRequest { instance_profile_name } = r;
        let row = find(self.store(), cx.account(), &instance_profile_name.unwrap_or_default()).await?;
        Ok(GetInstanceProfileResponse { instance_profile: Some(self.whole_profile(cx, row).await?) })
    }

    pub(crate) async fn list_instance_profiles(
        &self,
        cx: &OpContext,
        r: ListInstanceProfilesRequest,
    ) -> Result<ListInstanceProfilesResponse, ApiError> {
        let ListInstanceProfilesRequest { marker, max_items, path_prefix } = r;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let page = self.profile_page(cx, None, path_prefix.as_deref(), &slice).await?;
        Ok(ListInstanceProfilesResponse {
            instance_profiles: page.items,
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    }

    pub(crate) async fn list_instance_profiles_for_role(
        &self,
        cx: &OpContext,
        r: ListInstanceProfilesForRoleRequest,
    ) -> Result<ListInstanceProfilesForRoleResponse, ApiError> {
        let ListInstanceProfilesForRoleRequest { marker, max_items, role_name } = r;
        let name = role_name.unwrap_or_default();
        let role = role_by_name(self.store(), cx.account(), &name).await.or_fail()?.ok_or_else(|| no_role(&name))?;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let page = self.profile_page(cx, Some(&role.id), None, &slice).await?;
        Ok(ListInstanceProfilesForRoleResponse {
            instance_profiles: page.items,
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    }

    pub(crate) async fn delete_instance_profile(
        &self,
        cx: &OpContext,
        r: DeleteInstanceProfileRequest,
    ) -> Result<(), ApiError> {
        let DeleteInstanceProfileRequest { instance_profile_name } = r;
        self.cloud.delete_instance_profile(cx, &instance_profile_name.unwrap_or_default()).await
    }

    pub(crate) async fn add_role_to_instance_profile(
        &self,
        cx: &OpContext,
        r: AddRoleToInstanceProfileRequest,
    ) -> Result<(), ApiError> {
        let AddRoleToInstanceProfileRequest { instance_profile_name, role_name } = r;
        let (profile, role) = (instance_profile_name.unwrap_or_default(), role_name.unwrap_or_default());
        self.cloud.add_role_to_profile(cx, &profile, &role).await
    }

    pub(crate) async fn remove_role_from_instance_profile(
        &self,
        cx: &OpContext,
        r: RemoveRoleFromInstanceProfileRequest,
    ) -> Result<(), ApiError> {
        let RemoveRoleFromInstanceProfileRequest { instance_profile_name, role_name } = r;
        let (profile, role) = (instance_profile_name.unwrap_or_default(), role_name.unwrap_or_default());
        self.cloud.remove_role_from_profile(cx, &profile, &role).await
    }

    pub(crate) async fn tag_instance_profile(
        &self,
        cx: &OpContext,
        r: TagInstanceProfileRequest,
    ) -> Result<(), ApiError> {
        let TagInstanceProfileRequest { instance_profile_name, tags } = r;
        self.cloud.tag_instance_profile(cx, &instance_profile_name.unwrap_or_default(), &labels(tags)).await
    }

    pub(crate) async fn untag_instance_profile(
        &self,
        cx: &OpContext,
        r: UntagInstanceProfileRequest,
    ) -> Result<(), ApiError> {
        let UntagInstanceProfileRequest { instance_profile_name, tag_keys } = r;
        self.cloud.untag_instance_profile(cx, &instance_profile_name.unwrap_or_default(), &tag_keys).await
    }

    pub(crate) async fn list_instance_profile_tags(
        &self,
        cx: &OpContext,
        r: ListInstanceProfileTagsRequest,
    ) -> Result<ListInstanceProfileTagsResponse, ApiError> {
        let ListInstanceProfileTagsRequest { instance_profile_name, marker, max_items } = r;
        let row = find(self.store(), cx.account(), &instance_profile_name.unwrap_or_default()).await?;
        let page = tag_page(self.store(), &row.id, marker.as_deref(), max_items).await?;
        Ok(ListInstanceProfileTagsResponse { is_truncated: page.is_truncated, marker: page.marker, tags: page.items })
    }
}
