//! Users, groups and access keys.

use crate::fixture::{ALLOW_ALL, Fixture, texts};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_found_renamed_and_removed() {
    let f = Fixture::new().await;
    let user = f
        .call(
            "CreateUser",
            &[("UserName", "Alice"), ("Path", "/team/"), ("Tags.member.1.Key", "a"), ("Tags.member.1.Value", "")],
        )
        .await
        .unwrap();
    assert_eq!(texts(&user, "Arn"), [f.arn("user/team/Alice")]);
    assert!(texts(&user, "UserId")[0].starts_with("AIDA") && texts(&user, "UserId")[0].len() == 21);
    assert_eq!(f.text("GetUser", &[("UserName", "alice")], "UserName").await, "Alice");
    let (code, text) = f.error("CreateUser", &[("UserName", "ALICE")]).await;
    assert_eq!((code, text.as_str()), ("EntityAlreadyExists", "User with name ALICE already exists."));
    let (code, text) = f.error("GetUser", &[("UserName", "bob")]).await;
    assert_eq!((code, text.as_str()), ("NoSuchEntity", "The user with name bob cannot be found."));
    assert_eq!(f.error("CreateUser", &[("UserName", "x"), ("Path", "nope")]).await.0, "ValidationError");
    assert_eq!(f.error("CreateUser", &[("UserName", "a b")]).await.0, "ValidationError");
    f.ok("UpdateUser", &[("UserName", "Alice"), ("NewUserName", "carol"), ("NewPath", "/")]).await;
    assert_eq!(f.text("GetUser", &[("UserName", "carol")], "Arn").await, f.arn("user/carol"));
    assert_eq!(f.text("GetUser", &[], "UserName").await, "admin", "without a name it is the caller");
    f.ok("DeleteUser", &[("UserName", "carol")]).await;
    assert_eq!(f.error("DeleteUser", &[("UserName", "carol")]).await.0, "NoSuchEntity");
    assert_eq!(f.error("DeleteUser", &[("UserName", "admin")]).await.0, "DeleteConflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_has_something_is_not_removed() {
    let f = Fixture::new().await;
    let name = ("UserName", "u");
    f.ok("CreateUser", &[name]).await;
    f.ok("CreateGroup", &[("GroupName", "g")]).await;
    let key = f.text("CreateAccessKey", &[name], "AccessKeyId").await;
    let managed = ("PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess");
    f.ok("PutUserPolicy", &[name, ("PolicyName", "p"), ("PolicyDocument", ALLOW_ALL)]).await;
    f.ok("AttachUserPolicy", &[name, managed]).await;
    f.ok("AddUserToGroup", &[name, ("GroupName", "g")]).await;
    type Step<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
    let steps: [Step<'_>; 4] = [
        ("delete access keys", "DeleteAccessKey", &[name, ("AccessKeyId", &key)]),
        ("delete policies", "DeleteUserPolicy", &[name, ("PolicyName", "p")]),
        ("detach all policies", "DetachUserPolicy", &[name, managed]),
        ("remove users from group", "RemoveUserFromGroup", &[name, ("GroupName", "g")]),
    ];
    for (must, action, parameters) in steps {
        let (code, text) = f.error("DeleteUser", &[name]).await;
        assert_eq!((code, text), ("DeleteConflict", format!("Cannot delete entity, must {must} first.")));
        f.ok(action, parameters).await;
    }
    f.ok("DeleteUser", &[name]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let f = Fixture::new().await;
    for n in 0..5 {
        let path = if n < 3 { "/a/" } else { "/b/" };
        f.ok("CreateUser", &[("UserName", &format!("u{n}")), ("Path", path)]).await;
    }
    let (mut names, mut marker) = (Vec::new(), None::<String>);
    loop {
        let mut parameters = vec![("MaxItems", "2")];
        if let Some(marker) = &marker {
            parameters.push(("Marker", marker));
        }
        let page = f.call("ListUsers", &parameters).await.unwrap();
        names.extend(texts(&page, "UserName"));
        marker = texts(&page, "Marker").pop();
        assert_eq!(texts(&page, "IsTruncated"), [marker.is_some().to_string()]);
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(names, ["admin", "u0", "u1", "u2", "u3", "u4"]);
    assert_eq!(f.texts("ListUsers", &[("PathPrefix", "/b/")], "UserName").await, ["u3", "u4"]);
    assert_eq!(f.error("ListUsers", &[("Marker", "zz")]).await.0, "ValidationError");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_have_rules() {
    let f = Fixture::new().await;
    f.ok("CreateUser", &[("UserName", "u")]).await;
    f.ok("TagUser", &[("UserName", "u"), ("Tags.member.1.Key", "Team"), ("Tags.member.1.Value", "x")]).await;
    f.ok("TagUser", &[("UserName", "u"), ("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "y")]).await;
    assert_eq!(f.texts("ListUserTags", &[("UserName", "u")], "Value").await, ["y"]);
    let twice = [
        ("UserName", "u"),
        ("Tags.member.1.Key", "a"),
        ("Tags.member.1.Value", ""),
        ("Tags.member.2.Key", "A"),
        ("Tags.member.2.Value", ""),
    ];
    assert_eq!(f.error("TagUser", &twice).await.0, "InvalidInput");
    for n in 0..49 {
        f.ok("TagUser", &[("UserName", "u"), ("Tags.member.1.Key", &format!("k{n}")), ("Tags.member.1.Value", "v")])
            .await;
    }
    let one_more = [("UserName", "u"), ("Tags.member.1.Key", "k50"), ("Tags.member.1.Value", "v")];
    assert_eq!(f.error("TagUser", &one_more).await.0, "LimitExceeded");
    f.ok("UntagUser", &[("UserName", "u"), ("TagKeys.member.1", "TEAM")]).await;
    f.ok("TagUser", &one_more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_keys_are_two_and_tell_their_last_use() {
    let f = Fixture::new().await;
    f.ok("CreateUser", &[("UserName", "u")]).await;
    let made = f.call("CreateAccessKey", &[("UserName", "u")]).await.unwrap();
    let key = texts(&made, "AccessKeyId").remove(0);
    assert!(key.starts_with("AKIA") && key.len() == 20);
    assert_eq!(texts(&made, "SecretAccessKey")[0].len(), 40);
    f.ok("CreateAccessKey", &[("UserName", "u")]).await;
    let (code, text) = f.error("CreateAccessKey", &[("UserName", "u")]).await;
    assert_eq!((code, text.as_str()), ("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"));
    let used = f.call("GetAccessKeyLastUsed", &[("AccessKeyId", &key)]).await.unwrap();
    assert_eq!(texts(&used, "Region"), ["N/A"]);
    assert!(texts(&used, "LastUsedDate").is_empty());
    f.cloud.key_uses().note(&key, "ec2", "eu-1", 1_700_000_000_000);
    for written in [false, true] {
        if written {
            mallee_app::iam::key_uses::write_key_uses(&f.cloud).await.unwrap();
            assert_eq!(f.cloud.key_uses().last(&key), None);
        }
        let used = f.call("GetAccessKeyLastUsed", &[("AccessKeyId", &key)]).await.unwrap();
        assert_eq!((texts(&used, "ServiceName"), texts(&used, "Region")), (vec!["ec2".into()], vec!["eu-1".into()]));
        assert!(texts(&used, "LastUsedDate")[0].starts_with("2023-11-14T22:13:20"));
    }
    f.ok("UpdateAccessKey", &[("UserName", "u"), ("AccessKeyId", &key), ("Status", "Inactive")]).await;
    let mut statuses = f.texts("ListAccessKeys", &[("UserName", "u")], "Status").await;
    statuses.sort();
    assert_eq!(statuses, ["Active", "Inactive"]);
    let (code, text) = f.error("DeleteAccessKey", &[("AccessKeyId", &key)]).await;
    let not_found = format!("The Access Key with id {key} cannot be found.");
    assert_eq!((code, text), ("NoSuchEntity", not_found), "it is not the caller's own");
    f.ok("DeleteAccessKey", &[("UserName", "u"), ("AccessKeyId", &key)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_have_members() {
    let f = Fixture::new().await;
    f.ok("CreateUser", &[("UserName", "u")]).await;
    for n in 0..11 {
        f.ok("CreateGroup", &[("GroupName", &format!("g{n}"))]).await;
    }
    for n in 0..10 {
        f.ok("AddUserToGroup", &[("UserName", "u"), ("GroupName", &format!("g{n}"))]).await;
    }
    let (code, text) = f.error("AddUserToGroup", &[("UserName", "u"), ("GroupName", "g10")]).await;
    assert_eq!((code, text.as_str()), ("LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10"));
    f.ok("AddUserToGroup", &[("UserName", "u"), ("GroupName", "g9")]).await;
    assert_eq!(f.texts("ListGroupsForUser", &[("UserName", "u")], "GroupName").await.len(), 10);
    assert_eq!(f.texts("GetGroup", &[("GroupName", "g0")], "UserName").await, ["u"]);
    let (code, text) = f.error("DeleteGroup", &[("GroupName", "g0")]).await;
    assert_eq!((code, text.as_str()), ("DeleteConflict", "Cannot delete entity, must remove users from group first."));
    f.ok("UpdateGroup", &[("GroupName", "g0"), ("NewGroupName", "zero")]).await;
    f.ok("RemoveUserFromGroup", &[("UserName", "u"), ("GroupName", "zero")]).await;
    f.ok("DeleteGroup", &[("GroupName", "zero")]).await;
    let (code, text) = f.error("GetGroup", &[("GroupName", "zero")]).await;
    assert_eq!((code, text.as_str()), ("NoSuchEntity", "The group with name zero cannot be found."));
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_say_who_changes_what() {
    let f = Fixture::new().await;
    f.ok("CreateUser", &[("UserName", "u")]).await;
    let user = f.as_user("u").await;
    for offered in mallee_api_iam::IAM_OFFERED {
        if offered.access == mallee_app::operation::Access::Write && offered.name == "CreateUser" {
            let error = f.call_as(&user, offered.name, &[("UserName", "x")]).await.unwrap_err();
            assert_eq!(error.code().as_str(), "AccessDenied");
        }
    }
    assert_eq!(f.call_as(&user, "CreateAccessKey", &[]).await.unwrap_err().code().as_str(), "AccessDenied");
    assert_eq!(
        f.call_as(&user, "CreateAccount", &[("AccountName", "abc")]).await.unwrap_err().code().as_str(),
        "AccessDenied"
    );
    assert_eq!(f.call_as(&user, "GetUser", &[]).await.unwrap_err().code().as_str(), "AccessDenied");
    let full = ("PolicyArn", "arn:aws:iam::aws:policy/IAMFullAccess");
    f.ok("AttachUserPolicy", &[("UserName", "u"), full]).await;
    assert_eq!(texts(&f.call_as(&user, "GetUser", &[]).await.unwrap(), "UserName"), ["u"]);
    f.call_as(&user, "CreateUser", &[("UserName", "x")]).await.unwrap();
    let account = f.call_as(&user, "CreateAccount", &[("AccountName", "abc")]).await.unwrap_err();
    assert_eq!(account.code().as_str(), "AccessDenied", "accounts are the cloud administrator's");
    f.ok("DetachUserPolicy", &[("UserName", "u"), full]).await;
    assert_eq!(f.call_as(&user, "GetUser", &[]).await.unwrap_err().code().as_str(), "AccessDenied");
}
