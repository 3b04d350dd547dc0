//! Roles and instance profiles.

use crate::kind::{PROFILE, ROLE};
use crate::row::{Key, Need, PASS_ROLE, key, rows};

const ON: Need = ROLE.at("RoleName");
const IN: Need = PROFILE.at("InstanceProfileName");
const BOUNDARY: &[Key] = &[key("iam:PermissionsBoundary", "PermissionsBoundary")];
const ATTACHED: &[Key] = &[key("iam:PolicyARN", "PolicyArn")];
const LINKED: &[Key] = &[key("iam:AWSServiceName", "AWSServiceName")];

rows! {
    AddRoleToInstanceProfile: IN, ON.action(PASS_ROLE);
    AttachRolePolicy: ON.keys(ATTACHED);
    CreateInstanceProfile: PROFILE.named(Some("Path"), "InstanceProfileName");
    CreateRole: ROLE.named(Some("Path"), "RoleName").keys(BOUNDARY);
    CreateServiceLinkedRole: ROLE.made().keys(LINKED);
    DeleteInstanceProfile: IN;
    DeleteRole: ON;
    DeleteRolePermissionsBoundary: ON;
    DeleteRolePolicy: ON;
    DeleteServiceLinkedRole: ON;
    DetachRolePolicy: ON.keys(ATTACHED);
    GetInstanceProfile: IN;
    GetRole: ON;
    GetRolePolicy: ON;
    GetServiceLinkedRoleDeletionStatus;
    ListAttachedRolePolicies: ON;
    ListInstanceProfileTags: IN;
    ListInstanceProfiles;
    ListInstanceProfilesForRole: ON;
    ListRolePolicies: ON;
    ListRoleTags: ON;
    ListRoles;
    PutRolePermissionsBoundary: ON.keys(BOUNDARY);
    PutRolePolicy: ON;
    RemoveRoleFromInstanceProfile: IN;
    TagInstanceProfile: IN;
    TagRole: ON;
    UntagInstanceProfile: IN;
    UntagRole: ON;
    UpdateAssumeRolePolicy: ON;
    UpdateRole: ON;
    UpdateRoleDescription: ON;
}
