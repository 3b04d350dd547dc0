//! Inline policies of users and groups.

use crate::IdentityApi;
use crate::parts::{Slice, document};
use crate::wire::text;
use mallee_app::OpContext;
use mallee_app::iam::{inline, on_principals};
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    DeleteGroupPolicyRequest, DeleteUserPolicyRequest, GetGroupPolicyRequest, GetGroupPolicyResponse,
    GetUserPolicyRequest, GetUserPolicyResponse, ListGroupPoliciesRequest, ListGroupPoliciesResponse,
    ListUserPoliciesRequest, ListUserPoliciesResponse, PutGroupPolicyRequest, PutUserPolicyRequest,
};
use mallee_store::PrincipalKind::{self, Group, User};

impl IdentityApi {
    async fn inline_document(
        &self,
        cx: &OpContext,
        kind: PrincipalKind,
        holder: &str,
        name: &str,
    ) -> Result<(String, Option<String>), ApiError> {
        let holder = on_principals::find(self.store(), cx.account(), kind, holder).await?;
        let json = inline::get(self.store(), &holder, name).await?;
        Ok((holder.name, Some(document(&json))))
    }

    async fn inline_names(&self, cx: &OpContext, kind: PrincipalKind, holder: &str) -> Result<Vec<String>, ApiError> {
        let holder = on_principals::find(self.store(), cx.account(), kind, holder).await?;
        inline::names(self.store(), &holder).await
    }

    pub(crate) async fn put_user_policy(&self, cx: &OpContext, r: PutUserPolicyRequest) -> Result<(), ApiError> {
        let PutUserPolicyRequest { policy_document, policy_name, user_name } = r;
        let (holder, name, json) = (text(user_name), text(policy_name), text(policy_document));
        self.cloud.put_inline_policy(cx, (User, &holder), &name, &json).await
    }

    pub(crate) async fn put_group_policy(&self, cx: &OpContext, r: PutGroupPolicyRequest) -> Result<(), ApiError> {
        let PutGroupPolicyRequest { group_name, policy_document, policy_name } = r;
        let (holder, name, json) = (text(group_name), text(policy_name), text(policy_document));
        self.cloud.put_inline_policy(cx, (Group, &holder), &name, &json).await
    }

    pub(crate) async fn get_user_policy(
        &self,
        cx: &OpContext,
        r: GetUserPolicyRequest,
    ) -> Result<GetUserPolicyResponse, ApiError> {
        let GetUserPolicyRequest { policy_name, user_name } = r;
        let name = text(policy_name);
        let (user_name, policy_document) = self.inline_document(cx, User, &text(user_name), &name).await?;
        Ok(GetUserPolicyResponse { policy_document, policy_name: Some(name), user_name: Some(user_name) })
    }

    pub(crate) async fn get_group_policy(
        &self,
        cx: &OpContext,
        r: GetGroupPolicyRequest,
    ) -> Result<GetGroupPolicyResponse, ApiError> {
        let GetGroupPolicyRequest { group_name, policy_name } = r;
        let name = text(policy_name);
        let (group_name, policy_document) = self.inline_document(cx, Group, &text(group_name), &name).await?;
        Ok(GetGroupPolicyResponse { group_name: Some(group_name), policy_document, policy_name: Some(name) })
    }

    pub(crate) async fn delete_user_policy(&self, cx: &OpContext, r: DeleteUserPolicyRequest) -> Result<(), ApiError> {
        let DeleteUserPolicyRequest { policy_name, user_name } = r;
        let (holder, name) = (text(user_name), text(policy_name));
        self.cloud.delete_inline_policy(cx, (User, &holder), &name).await
    }

    pub(crate) async fn delete_group_policy(
        &self,
        cx: &OpContext,
        r: DeleteGroupPolicyRequest,
    ) -> Result<(), ApiError> {
        let DeleteGroupPolicyRequest { group_name, policy_name } = r;
        let (holder, name) = (text(group_name), text(policy_name));
        self.cloud.delete_inline_policy(cx, (Group, &holder), &name).await
    }

    pub(crate) async fn list_user_policies(
        &self,
        cx: &OpContext,
        r: ListUserPoliciesRequest,
    ) -> Result<ListUserPoliciesResponse, ApiError> {
        let ListUserPoliciesRequest { marker, max_items, user_name } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let cut = page.cut_all(self.inline_names(cx, User, &text(user_name)).await?, Clone::clone);
        Ok(ListUserPoliciesResponse { is_truncated: cut.is_truncated, marker: cut.marker, policy_names: cut.items })
    }

    pub(crate) async fn list_group_policies(
        &self,
        cx: &OpContext,
        r: ListGroupPoliciesRequest,
    ) -> Result<ListGroupPoliciesResponse, ApiError> {
        let ListGroupPoliciesRequest { group_name, marker, max_items } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let cut = page.cut_all(self.inline_names(cx, Group, &text(group_name)).await?, Clone::clone);
        Ok(ListGroupPoliciesResponse { is_truncated: cut.is_truncated, marker: cut.marker, policy_names: cut.items })
    }
}
