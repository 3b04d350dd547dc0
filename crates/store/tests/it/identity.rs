//! Roles, instance profiles and credentials beside access keys.

use crate::seed::{account, instance, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use secrecy::ExposeSecret as _;

mallee_store::store_test_suite!(roles_and_profiles, associations, logins_and_devices, certificates_and_providers);

async fn start(store: &Store) -> UserRow {
    let user = UserRow {
        id: "AIDA1".into(),
        account_id: account(),
        name: "u".into(),
        path: "/".into(),
        created_ms: 1,
        is_admin: false,
    };
    let mut tx = store.write().await.unwrap();
    user_insert(&mut tx, &user).await.unwrap();
    tx.commit().await.unwrap();
    user
}

fn role(id: &str, name: &str, path: &str) -> RoleRow {
    RoleRow {
        id: id.into(),
        account_id: account(),
        name: name.into(),
        path: path.into(),
        description: None,
        trust: "{}".into(),
        max_session_seconds: 3600,
        created_ms: 1,
        last_used_ms: None,
        last_used_region: None,
    }
}

async fn roles_and_profiles(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    for row in [role("AROA1", "b", "/x/"), role("AROA2", "a", "/"), role("AROA3", "c", "/x/y/")] {
        role_insert(&mut tx, &row).await.unwrap();
    }
    role_used(&mut tx, "AROA1", 9, "eu").await.unwrap();
    role_used(&mut tx, "AROA1", 5, "us").await.unwrap();
    let profile = InstanceProfileRow {
        id: "AIPA1".into(),
        account_id: account(),
        name: "p".into(),
        path: "/".into(),
        role_id: Some("AROA2".into()),
        created_ms: 1,
    };
    instance_profile_insert(&mut tx, &profile).await.unwrap();
    tx.commit().await.unwrap();
    let names = |rows: Vec<RoleRow>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    let filter = NamedFilter { path_prefix: Some("/x/"), after: None };
    assert_eq!(names(role_list(&store, &account(), filter, 9).await.unwrap()), ["b", "c"]);
    let filter = NamedFilter { path_prefix: None, after: Some("a") };
    assert_eq!(names(role_list(&store, &account(), filter, 1).await.unwrap()), ["b"]);
    let used = role_by_name(&store, &account(), "B").await.unwrap().unwrap();
    assert_eq!((used.last_used_ms, used.last_used_region.as_deref()), (Some(9), Some("eu")));
    assert_eq!(role_count(&store, &account()).await.unwrap(), 3);
    let held = instance_profile_list(&store, &account(), Some("AROA2"), NamedFilter::default(), 9).await.unwrap();
    assert_eq!(held, [profile.clone()]);
    let mut tx = store.write().await.unwrap();
    let twice = role_insert(&mut tx, &role("AROA4", "A", "/")).await;
    assert!(twice.unwrap_err().is_conflict("roles_account_id_name"));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    instance_profile_update(&mut tx, &InstanceProfileRow { role_id: None, ..profile }).await.unwrap();
    role_delete(&mut tx, "AROA2").await.unwrap();
    instance_profile_delete(&mut tx, "AIPA1").await.unwrap();
    assert!(matches!(role_fetch(&mut tx, "AROA2").await, Err(StoreError::NotFound { .. })));
}

async fn associations(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let row = instance(&subnet, 1);
    let association = |n: u128| ProfileAssociationRow {
        id: ProfileAssociationId::from_random(n),
        account_id: account(),
        instance_id: row.id.clone(),
        profile_id: "AIPA1".into(),
        profile_arn: "arn".into(),
        created_ms: 1,
    };
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &row, None).await.unwrap();
    profile_association_insert(&mut tx, &association(1)).await.unwrap();
    tx.commit().await.unwrap();
    let ids = [row.id.clone()];
    assert_eq!(profile_association_list_of(&store, &ids).await.unwrap(), [association(1)]);
    let listed = profile_association_list(&store, &account(), None, Some(&ids), None, 9).await.unwrap();
    assert_eq!(listed, [association(1)]);
    assert_eq!(profile_association_list_all(&store, "", 9).await.unwrap().len(), 1);
    let mut tx = store.write().await.unwrap();
    let twice = profile_association_insert(&mut tx, &association(2)).await;
    assert!(twice.unwrap_err().is_conflict("profile_associations_instance_id"));
    drop(tx);
    let gone = InstanceRow {
        id: InstanceId::from_random(2),
        launch_index: 1,
        released: true,
        terminated_ms: Some(2),
        ..row.clone()
    };
    let last = ProfileAssociationRow { instance_id: gone.id.clone(), ..association(3) };
    let ids = [gone.id.clone()];
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &gone, None).await.unwrap();
    profile_association_insert(&mut tx, &last).await.unwrap();
    let shown = profile_association_list(&mut tx, &account(), None, Some(&ids), None, 9).await.unwrap();
    assert!(shown.is_empty(), "a terminated instance has none to show");
    instance_delete(&mut tx, &gone.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(profile_association_list_of(&store, &ids).await.unwrap().is_empty(), "it goes with its instance");
}

async fn logins_and_devices(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let user = start(&store).await;
    let mut login = LoginProfileRow {
        user_id: user.id.clone(),
        account_id: account(),
        password_hash: "h1".into(),
        reset_required: true,
        created_ms: 1,
        changed_ms: 1,
        last_used_ms: None,
        earlier_hashes: Json(Vec::new()),
    };
    let mut device = MfaDeviceRow {
        serial: "arn:mfa/x".into(),
        account_id: account(),
        user_id: None,
        enabled_ms: None,
        clock_steps: 0,
        last_step: 0,
        created_ms: 1,
    };
    let rules = PasswordRules { max_age_days: Some(9), ..PasswordRules::default() };
    let mut tx = store.write().await.unwrap();
    login_profile_insert(&mut tx, &login).await.unwrap();
    (login.password_hash, login.earlier_hashes) = ("h2".into(), Json(vec!["h1".into()]));
    login_profile_update(&mut tx, &login).await.unwrap();
    mfa_device_insert(&mut tx, &device, &"SEED".into()).await.unwrap();
    (device.user_id, device.clock_steps) = (Some(user.id.clone()), -2);
    mfa_device_update(&mut tx, &device).await.unwrap();
    password_rules_put(&mut tx, &account(), &rules).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(login_profile_fetch(&store, &user.id).await.unwrap(), Some(login.clone()));
    assert_eq!(login_profile_list(&store, &account()).await.unwrap(), [login]);
    assert_eq!(mfa_device_seed(&store, &store, &device.serial).await.unwrap().expose_secret(), "SEED");
    let free = mfa_device_list(&store, &account(), None, Some(false), None, 9).await.unwrap();
    assert!(free.is_empty());
    assert_eq!(mfa_device_list(&store, &account(), Some(&user.id), Some(true), None, 9).await.unwrap(), [device]);
    assert_eq!(password_rules_fetch(&store, &account()).await.unwrap(), Some(rules));
    let mut tx = store.write().await.unwrap();
    assert!(matches!(user_delete(&mut tx, &user.id).await, Err(StoreError::InUse)));
}

async fn certificates_and_providers(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let user = start(&store).await;
    let signing = SigningCertificateRow {
        id: "C1".into(),
        user_id: user.id.clone(),
        account_id: account(),
        body: "pem".into(),
        digest: "d".into(),
        active: true,
        created_ms: 1,
    };
    let server = ServerCertificateRow {
        id: "ASCA1".into(),
        account_id: account(),
        name: "web".into(),
        path: "/".into(),
        body: "pem".into(),
        chain: None,
        expires_ms: 9,
        created_ms: 1,
    };
    let provider = OidcProviderRow {
        account_id: account(),
        url: "id.example.org".into(),
        client_ids: Json(vec!["a".into()]),
        thumbprints: Json(Vec::new()),
        created_ms: 1,
    };
    let key = SshPublicKeyRow {
        id: "APKA1".into(),
        user_id: user.id.clone(),
        account_id: account(),
        body: "ssh-ed25519 A".into(),
        fingerprint: "f".into(),
        active: true,
        created_ms: 1,
    };
    let report = CredentialReportRow { account_id: account(), content: "a,b".into(), created_ms: 1 };
    let mut tx = store.write().await.unwrap();
    signing_certificate_insert(&mut tx, &signing).await.unwrap();
    assert!(signing_certificate_active_set(&mut tx, &user.id, "C1", false).await.unwrap());
    server_certificate_insert(&mut tx, &server, &"KEY".into()).await.unwrap();
    server_certificate_rename(&mut tx, "ASCA1", "site", "/x/").await.unwrap();
    oidc_provider_insert(&mut tx, &provider).await.unwrap();
    ssh_public_key_insert(&mut tx, &key).await.unwrap();
    credential_report_put(&mut tx, &report).await.unwrap();
    credential_report_put(&mut tx, &report).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!signing_certificate_list(&store, &user.id).await.unwrap()[0].active);
    assert_eq!(server_certificate_by_name(&store, &account(), "SITE").await.unwrap().unwrap().path, "/x/");
    assert_eq!(server_certificate_key(&store, "ASCA1").await.unwrap().expose_secret(), "KEY");
    assert_eq!(oidc_provider_list(&store, &account()).await.unwrap(), [provider]);
    assert_eq!(ssh_public_key_list(&store, &user.id).await.unwrap(), [key]);
    assert_eq!(credential_report_fetch(&store, &account()).await.unwrap(), Some(report));
}
