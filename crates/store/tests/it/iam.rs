//! Groups, policies, attachments, tags and last uses of keys.

use crate::seed::account;
use mallee_store::test_support::TestDb;
use mallee_store::*;

mallee_store::store_test_suite!(
    names_differ_by_more_than_case,
    pages_and_paths,
    groups_and_members,
    policies_and_versions,
    attachments_of_every_kind_of_principal,
    identity_tags,
    last_uses_of_keys,
    the_cloud_account_is_set_once,
);

async fn account_made(store: &Store) {
    let mut tx = store.write().await.unwrap();
    account_insert(&mut tx, &AccountRow { id: account(), name: "first".into(), created_ms: 1 }).await.unwrap();
    tx.commit().await.unwrap();
}

fn user(n: u32, name: &str, path: &str) -> UserRow {
    UserRow {
        id: format!("AIDA{n:017}"),
        account_id: account(),
        name: name.into(),
        path: path.into(),
        created_ms: i64::from(n),
        is_admin: n == 1,
    }
}

fn group(n: u32, name: &str) -> IamGroupRow {
    IamGroupRow {
        id: format!("AGPA{n:017}"),
        account_id: account(),
        name: name.into(),
        path: "/".into(),
        created_ms: 1,
    }
}

async fn names_differ_by_more_than_case(db: TestDb) {
    let store = db.open().await;
    account_made(&store).await;
    let mut tx = store.write().await.unwrap();
    user_insert(&mut tx, &user(1, "Alice", "/")).await.unwrap();
    user_insert(&mut tx, &user(2, "bob", "/")).await.unwrap();
    iam_group_insert(&mut tx, &group(1, "Devs")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(user_by_name(&store, &account(), "aLICE").await.unwrap(), Some(user(1, "Alice", "/")));
    assert_eq!(user_admin(&store, &account()).await.unwrap(), Some(user(1, "Alice", "/")));
    let mut tx = store.write().await.unwrap();
    let error = user_insert(&mut tx, &user(3, "ALICE", "/")).await.unwrap_err();
    assert!(error.is_conflict("users_account_id_name"), "{error:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let error = user_update(&mut tx, &user(2, "bob", "/").id, "alice", "/").await.unwrap_err();
    assert!(error.is_conflict("users_account_id_name"), "{error:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let error = iam_group_insert(&mut tx, &group(2, "DEVS")).await.unwrap_err();
    assert!(error.is_conflict("iam_groups_account_id_name"), "{error:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(user_update(&mut tx, &user(1, "", "/").id, "ALICE", "/x/").await.unwrap(), "its own name is no conflict");
}

async fn pages_and_paths(db: TestDb) {
    let store = db.open().await;
    account_made(&store).await;
    let mut tx = store.write().await.unwrap();
    for (n, (name, path)) in (0..).zip([("a", "/"), ("b", "/x/"), ("c", "/x/y/"), ("d", "/xy/"), ("e", "/~/")]) {
        user_insert(&mut tx, &user(n, name, path)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let names = async |path_prefix: Option<&str>, after: Option<&str>, limit: u32| -> Vec<String> {
        let rows = user_page(&store, &account(), NamedFilter { path_prefix, after }, limit).await.unwrap();
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names(None, None, 9).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(names(Some("/x/"), None, 9).await, ["b", "c"]);
    assert_eq!(names(Some("/x"), None, 9).await, ["b", "c", "d"]);
    assert_eq!(names(Some("/"), Some("b"), 2).await, ["c", "d"]);
    assert_eq!(user_count(&store, &account()).await.unwrap(), 5);
    let of = user_list_of(&store, &account(), &[user(2, "", "").id, "no".into()]).await.unwrap();
    assert_eq!(of.len(), 1);
    let other = "000000000009".parse().unwrap();
    assert!(user_page(&store, &other, NamedFilter::default(), 9).await.unwrap().is_empty());
}

async fn groups_and_members(db: TestDb) {
    let store = db.open().await;
    account_made(&store).await;
    let (alice, devs) = (user(1, "alice", "/"), group(1, "devs"));
    let mut tx = store.write().await.unwrap();
    user_insert(&mut tx, &alice).await.unwrap();
    iam_group_insert(&mut tx, &devs).await.unwrap();
    assert!(iam_group_member_add(&mut tx, &devs.id, &alice.id).await.unwrap());
    assert!(!iam_group_member_add(&mut tx, &devs.id, &alice.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(iam_group_members(&store, &devs.id, None, 9).await.unwrap(), [alice.clone()]);
    assert_eq!(iam_groups_of_user(&store, &alice.id, None, 9).await.unwrap(), [devs.clone()]);
    assert_eq!(iam_groups_of_user(&store, &alice.id, Some("devs"), 9).await.unwrap(), []);
    assert_eq!(iam_memberships(&store, &account()).await.unwrap(), [(alice.id.clone(), devs.id.clone())]);
    assert_eq!(iam_group_member_count(&store, &devs.id).await.unwrap(), 1);
    assert_eq!(iam_group_count_of_user(&store, &alice.id).await.unwrap(), 1);
    for in_use in [true, false] {
        let mut tx = store.write().await.unwrap();
        let gone = if in_use {
            user_delete(&mut tx, &alice.id).await
        } else {
            iam_group_delete(&mut tx, &devs.id).await.map(drop)
        };
        assert!(matches!(gone, Err(StoreError::InUse)), "{gone:?}");
    }
    let mut tx = store.write().await.unwrap();
    assert!(iam_group_member_remove(&mut tx, &devs.id, &alice.id).await.unwrap());
    assert!(!iam_group_member_remove(&mut tx, &devs.id, &alice.id).await.unwrap());
    assert!(iam_group_delete(&mut tx, &devs.id).await.unwrap());
    user_delete(&mut tx, &alice.id).await.unwrap();
    assert!(account_rename(&mut tx, &account(), "other").await.unwrap());
    assert!(account_delete(&mut tx, &account()).await.unwrap());
    tx.commit().await.unwrap();
}

async fn policies_and_versions(db: TestDb) {
    let store = db.open().await;
    account_made(&store).await;
    let mut policy = IamPolicyRow {
        id: "ANPA1".into(),
        account_id: account(),
        name: "P".into(),
        path: "/".into(),
        arn: "arn:aws:iam::000000000001:policy/P".into(),
        description: "d".into(),
        default_version: 1,
        latest_version: 1,
        created_ms: 5,
        updated_ms: 5,
    };
    let mut tx = store.write().await.unwrap();
    iam_policy_insert(&mut tx, &policy, "{1}").await.unwrap();
    let second = IamPolicyVersionRow { policy_id: "ANPA1".into(), version: 2, document: "{2}".into(), created_ms: 6 };
    iam_policy_version_insert(&mut tx, &second).await.unwrap();
    (policy.default_version, policy.latest_version, policy.updated_ms) = (2, 2, 6);
    assert!(iam_policy_update(&mut tx, &policy).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(iam_policy_by_arn(&store, &policy.arn).await.unwrap(), Some(policy.clone()));
    assert_eq!(iam_policy_page(&store, &account(), NamedFilter::default(), 9).await.unwrap(), [policy.clone()]);
    let versions = iam_policy_version_list(&store, "ANPA1").await.unwrap();
    assert_eq!(versions.iter().map(|v| v.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(iam_policy_version_list_account(&store, &account()).await.unwrap(), versions);
    assert_eq!(iam_policy_version_count(&store, &account()).await.unwrap(), 2);
    let arns = [policy.arn.clone(), "arn:aws:iam::000000000001:policy/none".into()];
    assert_eq!(iam_policy_documents(&store, &arns).await.unwrap(), [(policy.arn.clone(), "{2}".to_owned())]);
    let mut tx = store.write().await.unwrap();
    let twice = IamPolicyRow { id: "ANPA2".into(), name: "p".into(), arn: "arn:other".into(), ..policy.clone() };
    let error = iam_policy_insert(&mut tx, &twice, "{}").await.unwrap_err();
    assert!(error.is_conflict("iam_policies_account_id_name"), "{error:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(iam_policy_version_delete(&mut tx, "ANPA1", 1).await.unwrap());
    assert!(!iam_policy_version_delete(&mut tx, "ANPA1", 1).await.unwrap());
    assert!(iam_policy_delete(&mut tx, "ANPA1").await.unwrap(), "the versions go with it");
    tx.commit().await.unwrap();
    assert_eq!(iam_policy_version_fetch(&store, "ANPA1", 2).await.unwrap(), None);
}

async fn attachments_of_every_kind_of_principal(db: TestDb) {
    let store = db.open().await;
    let row = |kind, id: &str, arn: &str| IamAttachmentRow {
        principal_kind: kind,
        principal_id: id.into(),
        policy_arn: arn.into(),
        account_id: account(),
        attached_ms: 1,
    };
    let mut tx = store.write().await.unwrap();
    for (kind, id) in [(PrincipalKind::User, "u"), (PrincipalKind::Group, "g"), (PrincipalKind::Role, "r")] {
        assert!(iam_attach(&mut tx, &row(kind, id, "arn:p")).await.unwrap());
        assert!(!iam_attach(&mut tx, &row(kind, id, "arn:p")).await.unwrap());
        let inline = IamInlinePolicyRow {
            principal_kind: kind,
            principal_id: id.into(),
            name: "n".into(),
            account_id: account(),
            document: "{}".into(),
        };
        iam_inline_put(&mut tx, &inline).await.unwrap();
        let inline = IamInlinePolicyRow { document: "{2}".into(), ..inline };
        iam_inline_put(&mut tx, &inline).await.unwrap();
        assert_eq!(iam_inline_fetch(&mut tx, kind, id, "n").await.unwrap(), Some(inline.clone()));
        assert_eq!(iam_inline_list_of(&mut tx, kind, &[id.to_owned()]).await.unwrap(), [inline]);
    }
    iam_attach(&mut tx, &row(PrincipalKind::User, "u", "arn:q")).await.unwrap();
    let boundary = IamBoundaryRow {
        principal_kind: PrincipalKind::User,
        principal_id: "u".into(),
        policy_arn: "arn:p".into(),
        account_id: account(),
    };
    iam_boundary_put(&mut tx, &boundary).await.unwrap();
    tx.commit().await.unwrap();
    let kinds = |rows: Vec<IamAttachmentRow>| rows.into_iter().map(|row| row.principal_id).collect::<Vec<_>>();
    let all = iam_attachment_list(&store, &account(), "arn:p", None, None, 9).await.unwrap();
    assert_eq!(kinds(all), ["g", "r", "u"]);
    let after = Some((PrincipalKind::Group, "g"));
    assert_eq!(kinds(iam_attachment_list(&store, &account(), "arn:p", None, after, 1).await.unwrap()), ["r"]);
    let users = iam_attachment_list(&store, &account(), "arn:p", Some(PrincipalKind::User), None, 9).await.unwrap();
    assert_eq!(kinds(users), ["u"]);
    let counts = iam_attachment_counts(&store, &account()).await.unwrap();
    assert_eq!(counts, [("arn:p".to_owned(), 3), ("arn:q".to_owned(), 1)]);
    assert_eq!(iam_attachment_count(&store, PrincipalKind::User, "u").await.unwrap(), 2);
    assert_eq!(iam_boundary_fetch(&store, PrincipalKind::User, "u").await.unwrap(), Some(boundary.clone()));
    assert_eq!(iam_boundary_list(&store, &account(), "arn:p", None, None, 9).await.unwrap(), [boundary.clone()]);
    assert_eq!(iam_boundary_list_of(&store, PrincipalKind::User, &["u".into()]).await.unwrap(), [boundary]);
    assert_eq!(iam_boundary_counts(&store, &account()).await.unwrap(), [("arn:p".to_owned(), 1)]);
    assert_eq!(iam_inline_list_account(&store, &account()).await.unwrap().len(), 3);
    let mut tx = store.write().await.unwrap();
    assert!(iam_detach(&mut tx, PrincipalKind::Role, "r", "arn:p").await.unwrap());
    assert!(!iam_detach(&mut tx, PrincipalKind::Role, "r", "arn:p").await.unwrap());
    assert!(iam_inline_delete(&mut tx, PrincipalKind::Role, "r", "n").await.unwrap());
    iam_principal_forget(&mut tx, PrincipalKind::User, "u").await.unwrap();
    assert_eq!(iam_attachment_list_of(&mut tx, PrincipalKind::User, &["u".into()]).await.unwrap(), []);
    assert_eq!(iam_inline_fetch(&mut tx, PrincipalKind::User, "u", "n").await.unwrap(), None);
    assert!(!iam_boundary_delete(&mut tx, PrincipalKind::User, "u").await.unwrap());
    tx.commit().await.unwrap();
}

async fn identity_tags(db: TestDb) {
    let store = db.open().await;
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut tx = store.write().await.unwrap();
    iam_tag_put(&mut tx, &account(), "u1", &[pair("Team", "a"), pair("Ärger", "x"), pair("team", "b")]).await.unwrap();
    iam_tag_put(&mut tx, &account(), "u2", &[pair("k", "")]).await.unwrap();
    tx.commit().await.unwrap();
    let read = async |id: &str| -> Vec<(String, String)> {
        iam_tag_list(&store, id).await.unwrap().into_iter().map(|t| (t.key, t.value)).collect()
    };
    assert_eq!(read("u1").await, [pair("team", "b"), pair("Ärger", "x")]);
    let both = iam_tag_list_of(&store, &account(), &["u1".into(), "u2".into()]).await.unwrap();
    assert_eq!(both.len(), 3);
    let mut tx = store.write().await.unwrap();
    assert_eq!(iam_tag_delete(&mut tx, "u1", &["ÄRGER".into(), "none".into()]).await.unwrap(), 1);
    assert_eq!(iam_tag_delete_of(&mut tx, "u2").await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(read("u1").await, [pair("team", "b")]);
    assert_eq!(read("u2").await, []);
}

async fn last_uses_of_keys(db: TestDb) {
    let store = db.open().await;
    account_made(&store).await;
    let mut tx = store.write().await.unwrap();
    user_insert(&mut tx, &user(1, "a", "/")).await.unwrap();
    let key = AccessKeyRow {
        id: "AKIA1".into(),
        user_id: user(1, "a", "/").id,
        account_id: account(),
        active: true,
        created_ms: 1,
    };
    access_key_insert(&mut tx, &key, &"s".to_owned().into()).await.unwrap();
    tx.commit().await.unwrap();
    let used = |key: &str, used_ms, service: &str| AccessKeyUseRow {
        key_id: key.into(),
        used_ms,
        service: service.into(),
        region: "eu-1".into(),
    };
    let mut tx = store.write().await.unwrap();
    let uses = [used("AKIA1", 7, "ec2"), used("AKIA1", 5, "iam"), used("AKIAGONE", 9, "s3")];
    access_key_use_put(&mut tx, &uses).await.unwrap();
    access_key_use_put(&mut tx, &[used("AKIA1", 6, "sts")]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(access_key_use_fetch(&store, "AKIA1").await.unwrap(), Some(used("AKIA1", 7, "ec2")));
    assert_eq!(access_key_use_list(&store, &account()).await.unwrap(), [used("AKIA1", 7, "ec2")]);
    assert_eq!(access_key_list_account(&store, &account()).await.unwrap(), [key]);
    let mut tx = store.write().await.unwrap();
    access_key_delete(&mut tx, "AKIA1").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(access_key_use_fetch(&store, "AKIA1").await.unwrap(), None);
}

async fn the_cloud_account_is_set_once(db: TestDb) {
    let store = db.open().await;
    assert_eq!(cloud_account(&store).await.unwrap(), None);
    let mut tx = store.write().await.unwrap();
    assert!(cloud_account_set(&mut tx, &account()).await.unwrap());
    assert!(!cloud_account_set(&mut tx, &"000000000002".parse().unwrap()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(cloud_account(&store).await.unwrap(), Some(account()));
    account_made(&store).await;
    assert_eq!(account_page(&store, None, 9).await.unwrap().len(), 1);
    assert_eq!(account_page(&store, Some(&account()), 9).await.unwrap(), []);
}
