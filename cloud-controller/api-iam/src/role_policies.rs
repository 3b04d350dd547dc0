//! Policies of roles: inline ones and attached ones.

use crate::IdentityApi;
use crate::parts::{Slice, document};
use mallee_app::OpContext;
use mallee_app::iam::{inline, on_principals};
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    AttachRolePolicyRequest, AttachedPolicy, DeleteRolePolicyRequest, DetachRolePolicyRequest, GetRolePolicyRequest,
    GetRolePolicyResponse, ListAttachedRolePoliciesRequest, ListAttachedRolePoliciesResponse, ListRolePoliciesRequest,
    ListRolePoliciesResponse, PutRolePolicyRequest,
};
use mallee_store::PrincipalKind::Role;

impl IdentityApi {
    pub(crate) async fn put_role_policy(&self, cx: &OpContext, r: PutRolePolicyRequest) -> Result<(), ApiError> {
        let PutRolePolicyRequest { policy_document, policy_name, role_name } = r;
        let (role, name) = (role_name.unwrap_or_default(), policy_name.unwrap_or_default());
        let document = policy_document.unwrap_or_default();
        self.cloud.put_inline_policy(cx, (Role, &role), &name, &document).await
    }

    pub(crate) async fn get_role_policy(
        &self,
        cx: &OpContext,
        r: GetRolePolicyRequest,
    ) -> Result<GetRolePolicyResponse, ApiError> {
        let GetRolePolicyRequest { policy_name, role_name } = r;
        let (role, name) = (role_name.unwrap_or_default(), policy_name.unwrap_or_default());
        let holder = on_principals::find(self.store(), cx.account(), Role, &role).await?;
        let text = inline::get(self.store(), &holder, &name).await?;
        Ok(GetRolePolicyResponse {
            policy_document: Some(document(&text)),
            policy_name: Some(name),
            role_name: Some(holder.name),
        })
    }

    pub(crate) async fn list_role_policies(
        &self,
        cx: &OpContext,
        r: ListRolePoliciesRequest,
    ) -> Result<ListRolePoliciesResponse, ApiError> {
        let ListRolePoliciesRequest { marker, max_items, role_name } = r;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let holder = on_principals::find(self.store(), cx.account(), Role, &role_name.unwrap_or_default()).await?;
        let page = slice.cut_all(inline::names(self.store(), &holder).await?, Clone::clone);
        Ok(ListRolePoliciesResponse { is_truncated: page.is_truncated, marker: page.marker, policy_names: page.items })
    }

    pub(crate) async fn delete_role_policy(&self, cx: &OpContext, r: DeleteRolePolicyRequest) -> Result<(), ApiError> {
        let DeleteRolePolicyRequest { policy_name, role_name } = r;
        let (role, name) = (role_name.unwrap_or_default(), policy_name.unwrap_or_default());
        self.cloud.delete_inline_policy(cx, (Role, &role), &name).await
    }

    pub(crate) async fn attach_role_policy(&self, cx: &OpContext, r: AttachRolePolicyRequest) -> Result<(), ApiError> {
        let AttachRolePolicyRequest { policy_arn, role_name } = r;
        let (role, arn) = (role_name.unwrap_or_default(), policy_arn.unwrap_or_default());
        self.cloud.attach_policy(cx, Role, &role, &arn).await
    }

    pub(crate) async fn detach_role_policy(&self, cx: &OpContext, r: DetachRolePolicyRequest) -> Result<(), ApiError> {
        let DetachRolePolicyRequest { policy_arn, role_name } = r;
        let (role, arn) = (role_name.unwrap_or_default(), policy_arn.unwrap_or_default());
        self.cloud.detach_policy(cx, Role, &role, &arn).await
    }

    pub(crate) async fn list_attached_role_policies(
        &self,
        cx: &OpContext,
        r: ListAttachedRolePoliciesRequest,
    ) -> Result<ListAttachedRolePoliciesResponse, ApiError> {
        let ListAttachedRolePoliciesRequest { marker, max_items, path_prefix, role_name } = r;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let holder = on_principals::find(self.store(), cx.account(), Role, &role_name.unwrap_or_default()).await?;
        let all = on_principals::attached(self.store(), &holder, path_prefix.as_deref()).await?;
        let page = slice.cut_all(all, |(_, arn)| arn.clone());
        let shown = page.items.into_iter();
        Ok(ListAttachedRolePoliciesResponse {
            attached_policies: shown
                .map(|(name, arn)| AttachedPolicy { policy_arn: Some(arn), policy_name: Some(name) })
                .collect(),
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    }
}
