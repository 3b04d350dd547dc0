//! Roles and instance profiles.

use crate::fixture::{ALLOW_ALL, Fixture, texts};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

async fn role(f: &Fixture, name: &str) {
    f.ok("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", TRUST)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_made_found_changed_and_removed() {
    let f = Fixture::new().await;
    let made = f
        .call(
            "CreateRole",
            &[
                ("RoleName", "Web"),
                ("Path", "/app/"),
                ("AssumeRolePolicyDocument", TRUST),
                ("Tags.member.1.Key", "a"),
                ("Tags.member.1.Value", "1"),
            ],
        )
        .await
        .unwrap();
    assert_eq!(texts(&made, "Arn"), [f.arn("role/app/Web")]);
    assert!(texts(&made, "RoleId")[0].starts_with("AROA"));
    assert_eq!(texts(&made, "MaxSessionDuration"), ["3600"]);
    assert!(texts(&made, "AssumeRolePolicyDocument")[0].starts_with("%7B%22Version%22%3A"));
    let (code, text) = f.error("CreateRole", &[("RoleName", "web"), ("AssumeRolePolicyDocument", TRUST)]).await;
    assert_eq!((code, text.as_str()), ("EntityAlreadyExists", "Role with name web already exists."));
    let (code, text) = f.error("GetRole", &[("RoleName", "x")]).await;
    assert_eq!((code, text.as_str()), ("NoSuchEntity", "The role with name x cannot be found."));
    let bad = f.error("CreateRole", &[("RoleName", "y"), ("AssumeRolePolicyDocument", "{}")]).await;
    assert_eq!(bad.0, "MalformedPolicyDocument");
    let name = ("RoleName", "Web");
    f.ok("UpdateRole", &[name, ("Description", "d"), ("MaxSessionDuration", "7200")]).await;
    assert_eq!(f.text("GetRole", &[name], "Description").await, "d");
    assert_eq!(f.text("GetRole", &[name], "MaxSessionDuration").await, "7200");
    f.ok("UntagRole", &[name, ("TagKeys.member.1", "A")]).await;
    assert!(texts(&f.call("ListRoleTags", &[name]).await.unwrap(), "Key").is_empty());
    let managed = ("PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess");
    f.ok("AttachRolePolicy", &[name, managed]).await;
    f.ok("PutRolePolicy", &[name, ("PolicyName", "p"), ("PolicyDocument", ALLOW_ALL)]).await;
    assert_eq!(f.text("ListAttachedRolePolicies", &[name], "PolicyName").await, "ReadOnlyAccess");
    assert_eq!(f.text("ListRolePolicies", &[name], "member").await, "p");
    let (code, text) = f.error("DeleteRole", &[name]).await;
    assert_eq!((code, text.as_str()), ("DeleteConflict", "Cannot delete entity, must detach all policies first."));
    f.ok("DetachRolePolicy", &[name, managed]).await;
    assert_eq!(f.error("DeleteRole", &[name]).await.1, "Cannot delete entity, must delete policies first.");
    f.ok("DeleteRolePolicy", &[name, ("PolicyName", "p")]).await;
    f.ok("DeleteRole", &[name]).await;
    assert_eq!(f.error("DeleteRole", &[name]).await.0, "NoSuchEntity");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_holds_one_role() {
    let f = Fixture::new().await;
    role(&f, "one").await;
    role(&f, "two").await;
    let profile = ("InstanceProfileName", "p");
    f.ok("CreateInstanceProfile", &[profile]).await;
    let (code, text) = f.error("CreateInstanceProfile", &[("InstanceProfileName", "P")]).await;
    assert_eq!((code, text.as_str()), ("EntityAlreadyExists", "Instance Profile P already exists."));
    f.ok("AddRoleToInstanceProfile", &[profile, ("RoleName", "one")]).await;
    let (code, text) = f.error("AddRoleToInstanceProfile", &[profile, ("RoleName", "two")]).await;
    assert_eq!(code, "LimitExceeded");
    assert_eq!(text, "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1");
    let listed = f.call("ListInstanceProfilesForRole", &[("RoleName", "one")]).await.unwrap();
    assert_eq!(texts(&listed, "InstanceProfileName"), ["p"]);
    assert_eq!(texts(&listed, "RoleName"), ["one"]);
    let conflict = "Cannot delete entity, must remove roles from instance profile first.";
    assert_eq!(f.error("DeleteRole", &[("RoleName", "one")]).await.1, conflict);
    assert_eq!(f.error("DeleteInstanceProfile", &[profile]).await.1, conflict);
    assert_eq!(f.error("RemoveRoleFromInstanceProfile", &[profile, ("RoleName", "two")]).await.0, "NoSuchEntity");
    f.ok("RemoveRoleFromInstanceProfile", &[profile, ("RoleName", "one")]).await;
    f.ok("DeleteInstanceProfile", &[profile]).await;
    assert_eq!(f.error("GetInstanceProfile", &[profile]).await.1, "Instance Profile p cannot be found.");
}
