//! Managed and inline policies, versions, boundaries, what applies to a principal, simulation.

use crate::fixture::{ALLOW_ALL, Fixture, texts};
use mallee_app::iam::{PolicyCache, policies_of};
use mallee_store::{PrincipalKind, user_by_name};

const DENY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"ec2:Run*","Resource":"*"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_five_and_one_is_in_force() {
    let f = Fixture::new().await;
    let arn = f.text("CreatePolicy", &[("PolicyName", "P"), ("PolicyDocument", ALLOW_ALL)], "Arn").await;
    assert_eq!(arn, f.arn("policy/P"));
    let (code, text) = f.error("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", ALLOW_ALL)]).await;
    assert_eq!(
        (code, text.as_str()),
        ("EntityAlreadyExists", "A policy called p already exists. Duplicate names are not allowed.")
    );
    let p = ("PolicyArn", arn.as_str());
    for _ in 0..4 {
        f.ok("CreatePolicyVersion", &[p, ("PolicyDocument", DENY), ("SetAsDefault", "true")]).await;
    }
    assert_eq!(f.error("CreatePolicyVersion", &[p, ("PolicyDocument", DENY)]).await.0, "LimitExceeded");
    assert_eq!(f.texts("ListPolicyVersions", &[p], "VersionId").await, ["v5", "v4", "v3", "v2", "v1"]);
    assert_eq!(f.text("GetPolicy", &[p], "DefaultVersionId").await, "v5");
    let document = f.text("GetPolicyVersion", &[p, ("VersionId", "v1")], "Document").await;
    assert!(document.starts_with("%7B%22Version%22%3A%222012-10-17%22"));
    let (code, text) = f.error("DeletePolicyVersion", &[p, ("VersionId", "v5")]).await;
    assert_eq!((code, text.as_str()), ("DeleteConflict", "Cannot delete the default version of a policy."));
    f.ok("SetDefaultPolicyVersion", &[p, ("VersionId", "v1")]).await;
    assert!(f.error("DeletePolicy", &[p]).await.1.starts_with("This policy has more than one version."));
    for version in ["v2", "v3", "v4", "v5"] {
        f.ok("DeletePolicyVersion", &[p, ("VersionId", version)]).await;
    }
    assert_eq!(f.error("GetPolicyVersion", &[p, ("VersionId", "v2")]).await.0, "NoSuchEntity");
    assert_eq!(f.text("CreatePolicyVersion", &[p, ("PolicyDocument", DENY)], "VersionId").await, "v6");
    f.ok("DeletePolicyVersion", &[p, ("VersionId", "v6")]).await;
    f.ok("DeletePolicy", &[p]).await;
    let (code, text) = f.error("GetPolicy", &[p]).await;
    assert_eq!((code, text), ("NoSuchEntity", format!("Policy {arn} was not found.")));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_read_before_they_are_kept() {
    let f = Fixture::new().await;
    f.ok("CreateUser", &[("UserName", "u")]).await;
    for bad in ["{", "[]", r#"{"Statement":[]}"#, r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}"#] {
        let (code, text) = f.error("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", bad)]).await;
        assert_eq!(code, "MalformedPolicyDocument", "{bad}: {text}");
        let inline = [("UserName", "u"), ("PolicyName", "p"), ("PolicyDocument", bad)];
        assert_eq!(f.error("PutUserPolicy", &inline).await.0, "MalformedPolicyDocument");
    }
    let long = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::{}"}}]}}"#,
        "x".repeat(1200)
    );
    f.ok("PutUserPolicy", &[("UserName", "u"), ("PolicyName", "a"), ("PolicyDocument", &long)]).await;
    let (code, text) =
        f.error("PutUserPolicy", &[("UserName", "u"), ("PolicyName", "b"), ("PolicyDocument", &long)]).await;
    assert_eq!((code, text.as_str()), ("LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user u"));
    f.ok("PutUserPolicy", &[("UserName", "u"), ("PolicyName", "a"), ("PolicyDocument", &long)]).await;
    let (code, text) = f.error("GetUserPolicy", &[("UserName", "u"), ("PolicyName", "b")]).await;
    assert_eq!((code, text.as_str()), ("NoSuchEntity", "The user policy with name b cannot be found."));
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_attached_listed_and_counted() {
    let f = Fixture::new().await;
    f.ok("CreateUser", &[("UserName", "u")]).await;
    f.ok("CreateGroup", &[("GroupName", "g")]).await;
    let arn =
        f.text("CreatePolicy", &[("PolicyName", "P"), ("Path", "/x/"), ("PolicyDocument", ALLOW_ALL)], "Arn").await;
    let p = ("PolicyArn", arn.as_str());
    f.ok("AttachUserPolicy", &[("UserName", "u"), p]).await;
    f.ok("AttachUserPolicy", &[("UserName", "u"), p]).await;
    f.ok("AttachGroupPolicy", &[("GroupName", "g"), p]).await;
    f.ok("AttachUserPolicy", &[("UserName", "u"), ("PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess")]).await;
    let attached = f.texts("ListAttachedUserPolicies", &[("UserName", "u")], "PolicyName").await;
    assert_eq!(attached, ["P", "AdministratorAccess"]);
    assert_eq!(
        f.texts("ListAttachedUserPolicies", &[("UserName", "u"), ("PathPrefix", "/x/")], "PolicyName").await,
        ["P"]
    );
    assert_eq!(f.text("GetPolicy", &[p], "AttachmentCount").await, "2");
    let entities = f.call("ListEntitiesForPolicy", &[p]).await.unwrap();
    assert_eq!((texts(&entities, "UserName"), texts(&entities, "GroupName")), (vec!["u".into()], vec!["g".into()]));
    assert!(f.texts("ListEntitiesForPolicy", &[p, ("EntityFilter", "Group")], "UserName").await.is_empty());
    let used = f.texts("ListPolicies", &[("OnlyAttached", "true")], "PolicyName").await;
    assert_eq!(used, ["P", "AdministratorAccess"]);
    assert_eq!(f.texts("ListPolicies", &[("Scope", "Local")], "PolicyName").await, ["P"]);
    assert!(f.texts("ListPolicies", &[("Scope", "AWS")], "PolicyName").await.contains(&"ReadOnlyAccess".to_owned()));
    let (code, text) = f.error("DeletePolicy", &[p]).await;
    assert_eq!((code, text.as_str()), ("DeleteConflict", "Cannot delete a policy attached to entities."));
    let absent = f.arn("policy/none");
    let (code, text) = f.error("AttachUserPolicy", &[("UserName", "u"), ("PolicyArn", &absent)]).await;
    assert_eq!((code, text), ("NoSuchEntity", format!("Policy {absent} does not exist or is not attachable.")));
    let (_, text) = f.error("DetachUserPolicy", &[("UserName", "u"), ("PolicyArn", &absent)]).await;
    assert_eq!(text, format!("Policy {absent} was not found."));
    assert_eq!(
        f.error("DeletePolicy", &[("PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess")]).await.0,
        "AccessDenied"
    );
    let summary = f.call("GetAccountSummary", &[]).await.unwrap();
    let value = |name: &str| {
        let (keys, values) = (texts(&summary, "key"), texts(&summary, "value"));
        keys.iter().position(|key| key == name).map(|at| values[at].clone())
    };
    assert_eq!(
        (value("Users"), value("Policies"), value("Groups")),
        (Some("2".into()), Some("1".into()), Some("1".into()))
    );
    let details = f
        .call(
            "GetAccountAuthorizationDetails",
            &[("Filter.member.1", "User"), ("Filter.member.2", "LocalManagedPolicy")],
        )
        .await
        .unwrap();
    assert_eq!(texts(&details, "GroupName"), Vec::<String>::new());
    assert!(texts(&details, "UserName").contains(&"u".to_owned()));
    assert!(texts(&details, "PolicyId").iter().any(|id| id.starts_with("ANPA")));
    assert_eq!(f.error("GetAccountAuthorizationDetails", &[("Filter.member.1", "Nothing")]).await.0, "ValidationError");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_applies_follows_every_change() {
    let f = Fixture::new().await;
    f.ok("CreateUser", &[("UserName", "u")]).await;
    f.ok("CreateGroup", &[("GroupName", "g")]).await;
    let arn = f.text("CreatePolicy", &[("PolicyName", "B"), ("PolicyDocument", ALLOW_ALL)], "Arn").await;
    let user = user_by_name(f.cloud.store(), &f.account, "u").await.unwrap().unwrap();
    let cache = PolicyCache::default();
    let now = async || {
        let cached = cache.get(f.cloud.store(), &f.account, PrincipalKind::User, &user.id).await.unwrap();
        let read = policies_of(f.cloud.store(), &f.account, PrincipalKind::User, &user.id).await.unwrap();
        let names = |list: &[mallee_app::iam::EffectivePolicy]| list.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&cached.identity), names(&read.identity));
        (names(&cached.identity), cached.boundary.as_ref().map(|p| p.document.to_string()))
    };
    assert_eq!(now().await, (vec![], None));
    f.ok("PutGroupPolicy", &[("GroupName", "g"), ("PolicyName", "of-group"), ("PolicyDocument", DENY)]).await;
    f.ok("AttachGroupPolicy", &[("GroupName", "g"), ("PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess")]).await;
    assert_eq!(now().await.0, Vec::<String>::new());
    f.ok("AddUserToGroup", &[("GroupName", "g"), ("UserName", "u")]).await;
    assert_eq!(now().await.0, ["of-group", "ReadOnlyAccess"]);
    f.ok("PutUserPermissionsBoundary", &[("UserName", "u"), ("PermissionsBoundary", &arn)]).await;
    assert_eq!(now().await.1.as_deref(), Some(ALLOW_ALL));
    assert_eq!(f.text("GetUser", &[("UserName", "u")], "PermissionsBoundaryArn").await, arn);
    assert_eq!(f.error("DeletePolicy", &[("PolicyArn", &arn)]).await.0, "DeleteConflict");
    f.ok("CreatePolicyVersion", &[("PolicyArn", &arn), ("PolicyDocument", DENY), ("SetAsDefault", "true")]).await;
    assert_eq!(now().await.1.as_deref(), Some(DENY));
    f.ok("DeleteUserPermissionsBoundary", &[("UserName", "u")]).await;
    assert_eq!(f.error("DeleteUserPermissionsBoundary", &[("UserName", "u")]).await.0, "NoSuchEntity");
    f.ok("RemoveUserFromGroup", &[("GroupName", "g"), ("UserName", "u")]).await;
    assert_eq!(now().await, (vec![], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn simulations_tell_the_decision_and_why() {
    let f = Fixture::new().await;
    f.ok("CreateUser", &[("UserName", "u")]).await;
    f.ok("PutUserPolicy", &[("UserName", "u"), ("PolicyName", "a"), ("PolicyDocument", ALLOW_ALL)]).await;
    let arn = f.arn("user/u");
    let ask = [
        ("PolicySourceArn", arn.as_str()),
        ("ActionNames.member.1", "ec2:RunInstances"),
        ("ActionNames.member.2", "s3:GetObject"),
    ];
    let told = f.call("SimulatePrincipalPolicy", &ask).await.unwrap();
    assert_eq!(texts(&told, "EvalDecision"), ["allowed", "implicitDeny"]);
    assert_eq!(texts(&told, "SourcePolicyId"), ["user_u_a"]);
    let custom = [
        ("PolicyInputList.member.1", ALLOW_ALL),
        ("PolicyInputList.member.2", DENY),
        ("ActionNames.member.1", "ec2:RunInstances"),
        ("ResourceArns.member.1", "arn:aws:ec2:eu-1::image/*"),
    ];
    let told = f.call("SimulateCustomPolicy", &custom).await.unwrap();
    assert_eq!(texts(&told, "EvalDecision"), ["explicitDeny"]);
    assert_eq!(texts(&told, "EvalResourceDecision"), ["explicitDeny"]);
    let keyed = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}/*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}}"#;
    let keys = f.texts("GetContextKeysForCustomPolicy", &[("PolicyInputList.member.1", keyed)], "member").await;
    assert_eq!(keys, ["aws:SecureTransport", "aws:username"]);
    assert_eq!(
        f.error("SimulatePrincipalPolicy", &[("PolicySourceArn", &f.arn("user/none")), ask[1]]).await.0,
        "NoSuchEntity"
    );
    assert_eq!(f.error("SimulateCustomPolicy", &[("PolicyInputList.member.1", "{"), ask[1]]).await.0, "InvalidInput");
}
