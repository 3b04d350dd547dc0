//! Accounts, aliases, and acting on another account.

use crate::fixture::{ALLOW_ALL, Fixture, context, texts};
use mallee_store::{subnet_list, user_admin, vpc_default};

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_made_used_and_removed() {
    let f = Fixture::new().await;
    let made = f.call("CreateAccount", &[("AccountName", "tenant")]).await.unwrap();
    let id = texts(&made, "AccountId").remove(0);
    assert_eq!(texts(&made, "SecretAccessKey")[0].len(), 40);
    let account = id.parse().unwrap();
    let store = f.cloud.store();
    assert!(vpc_default(store, &account).await.unwrap().is_some());
    assert_eq!(subnet_list(store, &account, None, None, None, 9).await.unwrap().len(), 1);
    assert_eq!(f.error("CreateAccount", &[("AccountName", "tenant")]).await.0, "EntityAlreadyExists");
    assert_eq!(f.error("CreateAccount", &[("AccountName", "X y")]).await.0, "ValidationError");
    assert_eq!(f.error("CreateAccount", &[("AccountName", "other"), ("Nonsense", "1")]).await.0, "UnknownParameter");
    let mut names = f.texts("ListAccounts", &[], "AccountName").await;
    names.sort();
    assert_eq!(names, ["mallee", "tenant"]);

    // The cloud's administrator acts on the account by name and by number.
    f.ok("CreateUser", &[("UserName", "u"), ("DelegateAccount", "tenant")]).await;
    assert_eq!(f.texts("ListUsers", &[("DelegateAccount", &id)], "UserName").await, ["admin", "u"]);
    assert_eq!(f.texts("ListUsers", &[], "UserName").await, ["admin"]);
    assert_eq!(
        f.text("GetUser", &[("DelegateAccount", "tenant")], "Arn").await,
        format!("arn:aws:iam::{id}:user/admin")
    );

    // The account's own administrator is none of the cloud.
    let tenant = context(&user_admin(store, &account).await.unwrap().unwrap(), false);
    let refused = async |action: &str, parameters: &[(&str, &str)]| {
        f.call_as(&tenant, action, parameters).await.unwrap_err().code().as_str()
    };
    assert_eq!(refused("CreateAccount", &[("AccountName", "more")]).await, "AccessDenied");
    assert_eq!(refused("DeleteAccount", &[("AccountName", "tenant")]).await, "AccessDenied");
    assert_eq!(refused("ListUsers", &[("DelegateAccount", "mallee")]).await, "NoSuchEntity");
    assert_eq!(texts(&f.call_as(&tenant, "ListAccounts", &[]).await.unwrap(), "AccountName"), ["tenant"]);
    assert!(f.call_as(&tenant, "CreateGroup", &[("GroupName", "g")]).await.is_ok());

    // Policies of the account.
    let deny = ALLOW_ALL.replace("Allow", "Deny");
    let put = [("AccountName", "tenant"), ("PolicyName", "p"), ("PolicyDocument", deny.as_str())];
    f.ok("PutAccountPolicy", &put).await;
    assert_eq!(f.texts("ListAccountPolicies", &[("AccountName", "tenant")], "member").await, ["p"]);
    assert_eq!(refused("PutAccountPolicy", &put).await, "AccessDenied");
    let allow = [("AccountName", "tenant"), ("PolicyName", "p"), ("PolicyDocument", ALLOW_ALL)];
    assert_eq!(f.error("PutAccountPolicy", &allow).await.0, "MalformedPolicyDocument");

    let (code, text) = f.error("DeleteAccount", &[("AccountName", "tenant")]).await;
    assert_eq!(code, "DeleteConflict");
    assert!(text.contains("1 users"), "{text}");
    f.ok("DeleteAccount", &[("AccountName", "tenant"), ("Recursive", "true")]).await;
    assert_eq!(f.texts("ListAccounts", &[], "AccountName").await, ["mallee"]);
    assert!(vpc_default(store, &account).await.unwrap().is_none());
    assert_eq!(f.error("DeleteAccount", &[("AccountName", "tenant")]).await.0, "NoSuchEntity");
    assert_eq!(f.error("DeleteAccount", &[("AccountName", "mallee")]).await.0, "DeleteConflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_one_alias() {
    let f = Fixture::new().await;
    f.ok("CreateAccountAlias", &[("AccountAlias", "first")]).await;
    f.ok("CreateAccountAlias", &[("AccountAlias", "second")]).await;
    assert_eq!(f.texts("ListAccountAliases", &[], "member").await, ["second"]);
    f.ok("CreateAccount", &[("AccountName", "tenant")]).await;
    let (code, text) = f.error("CreateAccountAlias", &[("AccountAlias", "tenant")]).await;
    assert_eq!((code, text.as_str()), ("EntityAlreadyExists", "The account alias tenant already exists."));
    assert_eq!(f.error("DeleteAccountAlias", &[("AccountAlias", "first")]).await.0, "NoSuchEntity");
    f.ok("DeleteAccountAlias", &[("AccountAlias", "second")]).await;
    assert!(f.texts("ListAccountAliases", &[], "member").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_is_administered_again_after_its_keys_are_gone() {
    let f = Fixture::new().await;
    f.ok("CreateAccountAlias", &[("AccountAlias", "renamed")]).await;
    f.ok("CreateAccount", &[("AccountName", "tenant")]).await;
    for key in f.texts("ListAccessKeys", &[], "AccessKeyId").await {
        f.ok("DeleteAccessKey", &[("AccessKeyId", &key)]).await;
    }
    let access = mallee_app::bootstrap::bootstrap(&f.cloud).await.unwrap();
    assert_eq!(access.account, f.account, "the first account stays the cloud's");
    assert_eq!(f.texts("ListAccessKeys", &[], "AccessKeyId").await, [access.access_key_id]);
}
