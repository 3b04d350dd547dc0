//! Which operations of IAM are offered, and who answers them.

use crate::IdentityApi;
use mallee_ec2_types::iam::{IamRequest, SERVICE};

mallee_app::offered! {
    /// Every operation of IAM this cloud offers, sorted by name.
    pub const IAM_OFFERED: IamRequest of SERVICE;
    |api: &IdentityApi, cx, params, r|
    Write AddUserToGroup => api.add_user_to_group(cx, r).await;
    Write AttachGroupPolicy => api.attach_group_policy(cx, r).await;
    Write AttachUserPolicy => api.attach_user_policy(cx, r).await;
    Write CreateAccessKey => api.create_access_key(cx, r).await;
    Write CreateAccountAlias => api.create_account_alias(cx, r).await;
    Write CreateGroup => api.create_group(cx, r).await;
    Write CreatePolicy => api.create_policy(cx, r).await;
    Write CreatePolicyVersion => api.create_policy_version(cx, r).await;
    Write CreateUser => api.create_user(cx, r).await;
    Write DeleteAccessKey => api.delete_access_key(cx, r).await;
    Write DeleteAccountAlias => api.delete_account_alias(cx, r).await;
    Write DeleteGroup => api.delete_group(cx, r).await;
    Write DeleteGroupPolicy => api.delete_group_policy(cx, r).await;
    Write DeletePolicy => api.delete_policy(cx, r).await;
    Write DeletePolicyVersion => api.delete_policy_version(cx, r).await;
    Write DeleteUser => api.delete_user(cx, r).await;
    Write DeleteUserPermissionsBoundary => api.delete_user_permissions_boundary(cx, r).await;
    Write DeleteUserPolicy => api.delete_user_policy(cx, r).await;
    Write DetachGroupPolicy => api.detach_group_policy(cx, r).await;
    Write DetachUserPolicy => api.detach_user_policy(cx, r).await;
    Read GetAccessKeyLastUsed => api.get_access_key_last_used(cx, r).await;
    Read GetAccountAuthorizationDetails => api.get_account_authorization_details(cx, r).await;
    Read GetAccountSummary => api.get_account_summary(cx, r).await;
    Read GetContextKeysForCustomPolicy => api.get_context_keys_for_custom_policy(cx, r).await;
    Read GetContextKeysForPrincipalPolicy => api.get_context_keys_for_principal_policy(cx, r).await;
    Read GetGroup => api.get_group(cx, r).await;
    Read GetGroupPolicy => api.get_group_policy(cx, r).await;
    Read GetPolicy => api.get_policy(cx, r).await;
    Read GetPolicyVersion => api.get_policy_version(cx, r).await;
    Read GetUser => api.get_user(cx, r).await;
    Read GetUserPolicy => api.get_user_policy(cx, r).await;
    Read ListAccessKeys => api.list_access_keys(cx, r).await;
    Read ListAccountAliases => api.list_account_aliases(cx, r).await;
    Read ListAttachedGroupPolicies => api.list_attached_group_policies(cx, r).await;
    Read ListAttachedUserPolicies => api.list_attached_user_policies(cx, r).await;
    Read ListEntitiesForPolicy => api.list_entities_for_policy(cx, r).await;
    Read ListGroupPolicies => api.list_group_policies(cx, r).await;
    Read ListGroups => api.list_groups(cx, r).await;
    Read ListGroupsForUser => api.list_groups_for_user(cx, r).await;
    Read ListPolicies => api.list_policies(cx, r).await;
    Read ListPolicyTags => api.list_policy_tags(cx, r).await;
    Read ListPolicyVersions => api.list_policy_versions(cx, r).await;
    Read ListUserPolicies => api.list_user_policies(cx, r).await;
    Read ListUserTags => api.list_user_tags(cx, r).await;
    Read ListUsers => api.list_users(cx, r).await;
    Write PutGroupPolicy => api.put_group_policy(cx, r).await;
    Write PutUserPermissionsBoundary => api.put_user_permissions_boundary(cx, r).await;
    Write PutUserPolicy => api.put_user_policy(cx, r).await;
    Write RemoveUserFromGroup => api.remove_user_from_group(cx, r).await;
    Write SetDefaultPolicyVersion => api.set_default_policy_version(cx, r).await;
    Read SimulateCustomPolicy => api.simulate_custom_policy(cx, r).await;
    Read SimulatePrincipalPolicy => api.simulate_principal_policy(cx, r).await;
    Write TagPolicy => api.tag_policy(cx, r).await;
    Write TagUser => api.tag_user(cx, r).await;
    Write UntagPolicy => api.untag_policy(cx, r).await;
    Write UntagUser => api.untag_user(cx, r).await;
    Write UpdateAccessKey => api.update_access_key(cx, r).await;
    Write UpdateGroup => api.update_group(cx, r).await;
    Write UpdateUser => api.update_user(cx, r).await;
}
