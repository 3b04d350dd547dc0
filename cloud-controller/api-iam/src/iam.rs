//! Which operations of IAM are offered, and who answers them.

use crate::IdentityApi;
use mallee_ec2_types::iam::{IamRequest, SERVICE};

mallee_app::offered! {
    /// Every operation of IAM this cloud offers, sorted by name.
    pub const IAM_OFFERED: IamRequest of SERVICE;
    |api: &IdentityApi, cx, _params, r|
    Write CreateRole => api.create_role(cx, r).await;
    Write DeleteRole => api.delete_role(cx, r).await;
    Write DeleteRolePermissionsBoundary => api.delete_role_permissions_boundary(cx, r).await;
    Read GetRole => api.get_role(cx, r).await;
    Read ListRoleTags => api.list_role_tags(cx, r).await;
    Read ListRoles => api.list_roles(cx, r).await;
    Write PutRolePermissionsBoundary => api.put_role_permissions_boundary(cx, r).await;
    Write TagRole => api.tag_role(cx, r).await;
    Write UntagRole => api.untag_role(cx, r).await;
    Write UpdateAssumeRolePolicy => api.update_assume_role_policy(cx, r).await;
    Write UpdateRole => api.update_role(cx, r).await;
    Write UpdateRoleDescription => api.update_role_description(cx, r).await;
}
