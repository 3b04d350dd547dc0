//! Managed policies and their versions.

use crate::IdentityApi;
use crate::attachments::policy_key;
use crate::parts::{Slice, document, labels, time};
use crate::wire::{self, text};
use mallee_app::OpContext;
use mallee_app::iam::managed::{ManagedPolicy, PolicyQuery};
use mallee_app::iam::versions::Version;
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    CreatePolicyRequest, CreatePolicyResponse, CreatePolicyVersionRequest, CreatePolicyVersionResponse,
    DeletePolicyRequest, DeletePolicyVersionRequest, GetPolicyRequest, GetPolicyResponse, GetPolicyVersionRequest,
    GetPolicyVersionResponse, ListPoliciesRequest, ListPoliciesResponse, ListPolicyTagsRequest, ListPolicyTagsResponse,
    ListPolicyVersionsRequest, ListPolicyVersionsResponse, Policy, PolicyVersion, SetDefaultPolicyVersionRequest,
    TagPolicyRequest, UntagPolicyRequest,
};

fn count(n: u32) -> Option<i32> {
    Some(i32::try_from(n).unwrap_or(i32::MAX))
}

/// A policy as lists show it: without description and tags.
fn listed(policy: ManagedPolicy) -> Policy {
    Policy {
        arn: Some(policy.arn),
        attachment_count: count(policy.attachments),
        create_date: time(policy.created_ms),
        default_version_id: Some(format!("v{}", policy.default_version)),
        description: None,
        is_attachable: Some(true),
        path: Some(policy.path),
        permissions_boundary_usage_count: count(policy.boundaries),
        policy_id: Some(policy.id),
        policy_name: Some(policy.name),
        tags: Vec::new(),
        update_date: time(policy.updated_ms),
    }
}

fn shown(policy: ManagedPolicy, tags: impl IntoIterator<Item = (String, String)>) -> Policy {
    let description = Some(policy.description.clone()).filter(|text| !text.is_empty());
    Policy { description, tags: wire::tags(tags), ..listed(policy) }
}

/// A version; lists show it without its document.
pub(crate) fn version(version: Version, with_document: bool) -> PolicyVersion {
    PolicyVersion {
        create_date: time(version.created_ms),
        document: Some(document(&version.document)).filter(|_| with_document),
        is_default_version: Some(version.is_default),
        version_id: Some(format!("v{}", version.number)),
    }
}

impl IdentityApi {
    pub(crate) async fn create_policy(
        &self,
        cx: &OpContext,
        r: CreatePolicyRequest,
    ) -> Result<CreatePolicyResponse, ApiError> {
        let CreatePolicyRequest { description, path, policy_document, policy_name, tags } = r;
        let (name, json, tags) = (text(policy_name), text(policy_document), labels(tags));
        let policy = self.cloud.create_policy(cx, &name, path, text(description), &json, &tags).await?;
        // AWS leaves the description out of this reply.
        Ok(CreatePolicyResponse { policy: Some(Policy { description: None, ..shown(policy, tags) }) })
    }

    pub(crate) async fn get_policy(&self, cx: &OpContext, r: GetPolicyRequest) -> Result<GetPolicyResponse, ApiError> {
        let GetPolicyRequest { policy_arn } = r;
        let (policy, tags) = self.cloud.managed_policy(cx, &text(policy_arn)).await?;
        let tags = tags.into_iter().map(|tag| (tag.key, tag.value));
        Ok(GetPolicyResponse { policy: Some(shown(policy, tags)) })
    }

    pub(crate) async fn list_policies(
        &self,
        cx: &OpContext,
        r: ListPoliciesRequest,
    ) -> Result<ListPoliciesResponse, ApiError> {
        let ListPoliciesRequest { marker, max_items, only_attached, path_prefix, policy_usage_filter, scope } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let query = PolicyQuery {
            no_builtin: scope.as_deref() == Some("Local"),
            no_own: scope.as_deref() == Some("AWS"),
            only_attached: only_attached == Some(true),
            path_prefix: path_prefix.as_deref(),
            as_policy: policy_usage_filter.map(|usage| usage == "PermissionsPolicy"),
        };
        let mut all = self.cloud.managed_policies(cx, query).await?;
        all.sort_by_key(|policy| policy_key(&policy.name, &policy.arn));
        let cut = page.cut_all(all, |policy| policy_key(&policy.name, &policy.arn));
        Ok(ListPoliciesResponse {
            is_truncated: cut.is_truncated,
            marker: cut.marker,
            policies: cut.items.into_iter().map(listed).collect(),
        })
    }

    pub(crate) async fn delete_policy(&self, cx: &OpContext, r: DeletePolicyRequest) -> Result<(), ApiError> {
        let DeletePolicyRequest { policy_arn } = r;
        self.cloud.delete_policy(cx, &text(policy_arn)).await
    }

    pub(crate) async fn create_policy_version(
        &self,
        cx: &OpContext,
        r: CreatePolicyVersionRequest,
    ) -> Result<CreatePolicyVersionResponse, ApiError> {
        let CreatePolicyVersionRequest { policy_arn, policy_document, set_as_default } = r;
        let (arn, json) = (text(policy_arn), text(policy_document));
        let made = self.cloud.create_policy_version(cx, &arn, &json, set_as_default == Some(true)).await?;
        Ok(CreatePolicyVersionResponse { policy_version: Some(version(made, false)) })
    }

    pub(crate) async fn get_policy_version(
        &self,
        cx: &OpContext,
        r: GetPolicyVersionRequest,
    ) -> Result<GetPolicyVersionResponse, ApiError> {
        let GetPolicyVersionRequest { policy_arn, version_id } = r;
        let found = self.cloud.policy_version(cx, &text(policy_arn), &text(version_id)).await?;
        Ok(GetPolicyVersionResponse { policy_version: Some(version(found, true)) })
    }

    pub(crate) async fn list_policy_versions(
        &self,
        cx: &OpContext,
        r: ListPolicyVersionsRequest,
    ) -> Result<ListPolicyVersionsResponse, ApiError> {
        let ListPolicyVersionsRequest { marker, max_items, policy_arn } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let all = self.cloud.policy_versions(cx, &text(policy_arn)).await?;
        // Newest first: the key grows as the number falls.
        let cut = page.cut_all(all, |version| format!("{:020}", i64::MAX - version.number));
        Ok(ListPolicyVersionsResponse {
            is_truncated: cut.is_truncated,
            marker: cut.marker,
            versions: cut.items.into_iter().map(|item| version(item, false)).collect(),
        })
    }

    pub(crate) async fn delete_policy_version(
        &self,
        cx: &OpContext,
        r: DeletePolicyVersionRequest,
    ) -> Result<(), ApiError> {
        let DeletePolicyVersionRequest { policy_arn, version_id } = r;
        self.cloud.delete_policy_version(cx, &text(policy_arn), &text(version_id)).await
    }

    pub(crate) async fn set_default_policy_version(
        &self,
        cx: &OpContext,
        r: SetDefaultPolicyVersionRequest,
    ) -> Result<(), ApiError> {
        let SetDefaultPolicyVersionRequest { policy_arn, version_id } = r;
        self.cloud.set_default_policy_version(cx, &text(policy_arn), &text(version_id)).await
    }

    pub(crate) async fn tag_policy(&self, cx: &OpContext, r: TagPolicyRequest) -> Result<(), ApiError> {
        let TagPolicyRequest { policy_arn, tags } = r;
        self.cloud.tag_policy(cx, &text(policy_arn), &labels(tags)).await
    }

    pub(crate) async fn untag_policy(&self, cx: &OpContext, r: UntagPolicyRequest) -> Result<(), ApiError> {
        let UntagPolicyRequest { policy_arn, tag_keys } = r;
        self.cloud.untag_policy(cx, &text(policy_arn), &tag_keys).await
    }

    pub(crate) async fn list_policy_tags(
        &self,
        cx: &OpContext,
        r: ListPolicyTagsRequest,
    ) -> Result<ListPolicyTagsResponse, ApiError> {
        let ListPolicyTagsRequest { marker, max_items, policy_arn } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let (_, tags) = self.cloud.managed_policy(cx, &text(policy_arn)).await?;
        let cut = page.cut_all(tags, |tag| tag.folded_key.clone());
        let tags = wire::tags(cut.items.into_iter().map(|tag| (tag.key, tag.value)));
        Ok(ListPolicyTagsResponse { is_truncated: cut.is_truncated, marker: cut.marker, tags })
    }
}
