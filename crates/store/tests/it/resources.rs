//! The plain resources: write, read back, conflicts by name, lists.

use crate::seed::{account, group, world, zone};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use secrecy::ExposeSecret as _;

mallee_store::store_test_suite!(
    accounts_users_and_keys,
    key_pairs,
    networks,
    group_rules_are_unique,
    image_names_are_unique_among_live_ones,
    images_are_seen_by_whom_they_are_shared_with,
    instance_types_of_the_administrator,
    tags,
    settings_clusters_and_nodes,
    saga_logs,
);

async fn conflict(store: &Store, work: impl AsyncFnOnce(&mut Tx) -> Result<(), StoreError>) -> String {
    let mut tx = store.write().await.unwrap();
    match work(&mut tx).await {
        Err(StoreError::Conflict { constraint }) => constraint,
        other => panic!("no conflict: {other:?}"),
    }
}

async fn accounts_users_and_keys(db: TestDb) {
    let store = db.open().await;
    let first = AccountRow { id: account(), name: "first".into(), created_ms: 7 };
    let user = UserRow {
        id: "AIDA1".into(),
        account_id: account(),
        name: "admin".into(),
        path: "/".into(),
        created_ms: 8,
        is_admin: true,
    };
    let key = AccessKeyRow {
        id: "AKIA1".into(),
        user_id: "AIDA1".into(),
        account_id: account(),
        active: true,
        created_ms: 9,
    };
    let mut tx = store.write().await.unwrap();
    account_insert(&mut tx, &first).await.unwrap();
    user_insert(&mut tx, &user).await.unwrap();
    access_key_insert(&mut tx, &key, &"s3cr3t".to_owned().into()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(account_fetch(&store, &account()).await.unwrap(), first);
    assert_eq!(account_by_name(&store, "first").await.unwrap(), Some(first.clone()));
    assert_eq!(account_list(&store).await.unwrap(), [first.clone()]);
    assert_eq!(user_fetch(&store, "AIDA1").await.unwrap(), user);
    assert_eq!(user_list(&store, &account()).await.unwrap(), [user.clone()]);
    assert_eq!(access_key_fetch(&store, "AKIA1").await.unwrap(), key);
    assert_eq!(access_key_secret(&store, "AKIA1").await.unwrap().expose_secret(), "s3cr3t");
    assert_eq!(access_key_list(&store, "AIDA1").await.unwrap(), [key]);
    let twice = AccountRow { id: "000000000002".parse().unwrap(), ..first.clone() };
    assert_eq!(conflict(&store, async |tx| account_insert(tx, &twice).await).await, "accounts_name");
    let twice = AccountRow { name: "second".into(), ..first };
    assert_eq!(conflict(&store, async |tx| account_insert(tx, &twice).await).await, "accounts_id");
    let twice = UserRow { id: "AIDA2".into(), ..user.clone() };
    assert_eq!(conflict(&store, async |tx| user_insert(tx, &twice).await).await, "users_account_id_name");
    let mut tx = store.write().await.unwrap();
    access_key_active_set(&mut tx, "AKIA1", false).await.unwrap();
    assert!(!access_key_fetch(&mut tx, "AKIA1").await.unwrap().active);
    access_key_delete(&mut tx, "AKIA1").await.unwrap();
    assert!(matches!(access_key_delete(&mut tx, "AKIA1").await, Err(StoreError::NotFound { .. })));
    user_delete(&mut tx, "AIDA1").await.unwrap();
    tx.commit().await.unwrap();
}

async fn key_pairs(db: TestDb) {
    let store = db.open().await;
    let row = |n: u128, name: &str| KeyPairRow {
        id: KeyPairId::from_random(n),
        account_id: account(),
        name: name.into(),
        kind: if n % 2 == 0 { KeyPairKind::Rsa } else { KeyPairKind::Ed25519 },
        fingerprint: "f".into(),
        public_openssh: "ssh-ed25519 AAAA".into(),
        created_ms: 1,
    };
    let mut tx = store.write().await.unwrap();
    for (n, name) in [(1, "b"), (2, "a"), (3, "ü; DROP TABLE key_pairs")] {
        key_pair_insert(&mut tx, &row(n, name)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let all = key_pair_list(&store, &account(), None, None, None, 10).await.unwrap();
    assert_eq!(all, [row(2, "a"), row(1, "b"), row(3, "ü; DROP TABLE key_pairs")]);
    let page = key_pair_list(&store, &account(), None, None, Some("a"), 1).await.unwrap();
    assert_eq!(page, [row(1, "b")]);
    let named = key_pair_list(&store, &account(), None, Some(&["a".into(), "x".into()]), None, 9).await.unwrap();
    assert_eq!(named, [row(2, "a")]);
    let ids = [KeyPairId::from_random(1)];
    assert_eq!(key_pair_list(&store, &account(), Some(&ids), None, None, 9).await.unwrap(), [row(1, "b")]);
    let again = row(4, "a");
    assert_eq!(conflict(&store, async |tx| key_pair_insert(tx, &again).await).await, "key_pairs_account_id_name");
    let mut tx = store.write().await.unwrap();
    assert!(key_pair_delete(&mut tx, &account(), &ids[0]).await.unwrap());
    assert_eq!(key_pair_by_name(&mut tx, &account(), "b").await.unwrap(), None);
}

async fn networks(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    assert_eq!(vpc_fetch(&store, &vpc.id).await.unwrap(), vpc);
    assert_eq!(vpc_default(&store, &account()).await.unwrap(), Some(vpc.clone()));
    assert_eq!(vpc_list(&store, &account(), None, None, 10).await.unwrap(), [vpc.clone()]);
    assert_eq!(vpc_list_all(&store).await.unwrap(), [vpc.clone()]);
    assert_eq!(subnet_fetch(&store, &subnet.id).await.unwrap(), subnet);
    assert_eq!(subnet_default(&store, &account(), &zone()).await.unwrap(), Some(subnet.clone()));
    let vpcs = [vpc.id.clone()];
    assert_eq!(subnet_list(&store, &account(), None, Some(&vpcs), None, 10).await.unwrap(), [subnet.clone()]);
    assert_eq!(subnet_list_all(&store).await.unwrap(), [subnet.clone()]);
    let second = VpcRow { id: VpcId::from_random(2), vni: vpc.vni + 1, ..vpc.clone() };
    assert_eq!(conflict(&store, async |tx| vpc_insert(tx, &second).await).await, "vpcs_account_id");
    let same = VpcRow { id: VpcId::from_random(2), is_default: false, ..vpc.clone() };
    assert_eq!(conflict(&store, async |tx| vpc_insert(tx, &same).await).await, "vpcs_vni");
    let mut tx = store.write().await.unwrap();
    assert!(matches!(vpc_delete(&mut tx, &vpc.id).await, Err(StoreError::InUse)));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(subnet_delete(&mut tx, &subnet.id).await.unwrap());
    assert!(vpc_delete(&mut tx, &vpc.id).await.unwrap());
}

async fn group_rules_are_unique(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let (web, db_group) = (group(&vpc, 1, "web"), group(&vpc, 2, "db"));
    let rule = |n: u128| SecurityGroupRuleRow {
        id: GroupRuleId::from_random(n),
        group_id: web.id.clone(),
        account_id: account(),
        egress: false,
        protocol: -1,
        from_port: None,
        to_port: None,
        cidr: None,
        peer_group: Some(db_group.id.clone()),
        peer_account: Some(account()),
        description: None,
        prefix_list: None,
        peer_vpc: None,
        peering: None,
    };
    let mut tx = store.write().await.unwrap();
    security_group_insert(&mut tx, &web).await.unwrap();
    security_group_insert(&mut tx, &db_group).await.unwrap();
    security_group_rule_insert(&mut tx, &rule(1)).await.unwrap();
    let other_way = SecurityGroupRuleRow { egress: true, ..rule(2) };
    security_group_rule_insert(&mut tx, &other_way).await.unwrap();
    assert_eq!(security_group_touch(&mut tx, &web.id).await.unwrap(), Generation(2));
    tx.commit().await.unwrap();
    let twice = SecurityGroupRuleRow { description: Some("x".into()), ..rule(3) };
    assert_eq!(conflict(&store, async |tx| security_group_rule_insert(tx, &twice).await).await, RULE_DUPLICATE);
    let named_twice = group(&vpc, 3, "web");
    let name = conflict(&store, async |tx| security_group_insert(tx, &named_twice).await).await;
    assert_eq!(name, "security_groups_vpc_id_name");
    assert_eq!(security_group_rules_of(&store, &web.id).await.unwrap(), [rule(1), other_way.clone()]);
    assert_eq!(security_group_rule_list_all(&store).await.unwrap().len(), 2);
    let ids = [GroupRuleId::from_random(2)];
    let listed = security_group_rule_list(&store, &account(), None, Some(&ids), None, 9).await.unwrap();
    assert_eq!(listed, [other_way]);
    assert_eq!(security_group_referrers(&store, &db_group.id).await.unwrap(), [web.id.clone()]);
    assert_eq!(security_group_named_from(&store, &[db_group.id.clone()], 9).await.unwrap(), []);
    let over = SecurityGroupRuleRow {
        peer_group: Some(GroupId::from_random(9)),
        peer_vpc: Some(VpcId::from_random(9)),
        peering: Some(VpcPeeringId::from_random(9)),
        ..rule(4)
    };
    let mut tx = store.write().await.unwrap();
    security_group_hold(&mut tx, &[web.id.clone(), db_group.id.clone()].into()).await.unwrap();
    for (n, egress) in [(4, false), (5, true)] {
        let row = SecurityGroupRuleRow { id: GroupRuleId::from_random(n), egress, ..over.clone() };
        security_group_rule_insert(&mut tx, &row).await.unwrap();
    }
    assert!(security_group_rules_of(&mut tx, &web.id).await.unwrap().contains(&over));
    assert_eq!(security_group_referrers(&mut tx, &GroupId::from_random(9)).await.unwrap(), [], "from another VPC");
    let named = security_group_named_from(&mut tx, &[GroupId::from_random(9), db_group.id.clone()], 9).await.unwrap();
    assert_eq!(named, [(GroupId::from_random(9), vpc.id.clone())]);
    drop(tx);
    let names = ["db".to_owned()];
    let filter = SecurityGroupFilter { names: Some(&names), ..Default::default() };
    assert_eq!(security_group_list(&store, &account(), filter, 9).await.unwrap(), [db_group.clone()]);
    assert_eq!(security_group_by_name(&store, &vpc.id, "db").await.unwrap(), Some(db_group));
    let mut tx = store.write().await.unwrap();
    assert!(security_group_rule_describe(&mut tx, &web.id, &ids[0], Some("d")).await.unwrap());
    assert!(security_group_rule_delete(&mut tx, &web.id, &ids[0]).await.unwrap());
    assert!(security_group_delete(&mut tx, &web.id).await.unwrap());
    assert!(security_group_rule_list_all(&mut tx).await.unwrap().is_empty(), "its rules went with it");
}

/// An image that is still to be imported.
pub fn image(of: &AccountId, n: u128) -> ImageRow {
    ImageRow {
        id: ImageId::from_random(n),
        account_id: of.clone(),
        name: "tiny".into(),
        description: String::new(),
        location: "images/tiny.qcow2".into(),
        state: ImageState::Pending,
        state_reason: None,
        digest: None,
        format: None,
        size_bytes: None,
        virtual_size_bytes: None,
        architecture: "x86_64".into(),
        root_device_name: "/dev/vda".into(),
        is_public: false,
        created_ms: 1,
        deregistered_ms: None,
        disabled: false,
        deprecation_ms: None,
        protection: ImageProtection::Off,
        protected_until_ms: None,
    }
}

async fn image_names_are_unique_among_live_ones(db: TestDb) {
    let store = db.open().await;
    let row = |n| image(&account(), n);
    let mut tx = store.write().await.unwrap();
    image_insert(&mut tx, &row(1)).await.unwrap();
    tx.commit().await.unwrap();
    let twice = row(2);
    assert_eq!(conflict(&store, async |tx| image_insert(tx, &twice).await).await, "images_account_id_name");
    let mut ready = ImageRow { state: ImageState::Available, size_bytes: Some(5), digest: Some("d".into()), ..row(1) };
    let mut tx = store.write().await.unwrap();
    image_update(&mut tx, ImageState::Pending, &ready).await.unwrap();
    assert!(matches!(image_update(&mut tx, ImageState::Pending, &ready).await, Err(StoreError::Stale { .. })));
    assert_eq!(image_fetch(&mut tx, &ready.id).await.unwrap(), ready);
    (ready.state, ready.deregistered_ms) = (ImageState::Deregistered, Some(9));
    image_update(&mut tx, ImageState::Available, &ready).await.unwrap();
    image_insert(&mut tx, &ImageRow { is_public: true, ..row(2) }).await.unwrap();
    tx.commit().await.unwrap();
    let other = "000000000009".parse().unwrap();
    let seen = async |filter: ImageFilter<'_>| -> Vec<ImageId> {
        image_list(&store, filter, 9).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    let both = [ImageId::from_random(1), ImageId::from_random(2)];
    assert_eq!(
        seen(ImageFilter { visible_to: Some(&account()), deregistered: true, ..Default::default() }).await,
        both
    );
    assert_eq!(seen(ImageFilter { visible_to: Some(&other), ..Default::default() }).await, both[1..]);
    assert_eq!(seen(ImageFilter { owners: Some(&[account()]), ..Default::default() }).await, both[1..]);
    assert_eq!(seen(ImageFilter { ids: Some(&both[..1]), ..Default::default() }).await, []);
    assert_eq!(image_list_state(&store, ImageState::Pending).await.unwrap().len(), 1);
    let mut tx = store.write().await.unwrap();
    assert!(image_delete(&mut tx, &both[0]).await.unwrap());
}

async fn tags(db: TestDb) {
    let store = db.open().await;
    let tag = |resource: &str, key: &str, value: &str| TagRow {
        resource_id: resource.into(),
        key: key.into(),
        value: value.into(),
        resource_type: "instance".into(),
        account_id: account(),
    };
    let mut tx = store.write().await.unwrap();
    let first = [tag("i-1", "Name", "a"), tag("i-1", "Name", "b"), tag("i-2", "Name", ""), tag("i-1", "env", "x")];
    tag_put(&mut tx, &first).await.unwrap();
    tag_put(&mut tx, &[tag("i-1", "env", "y")]).await.unwrap();
    tag_put(&mut tx, &[]).await.unwrap();
    tx.commit().await.unwrap();
    let all = tag_list(&store, &account(), TagFilter::default(), 10).await.unwrap();
    assert_eq!(all, [tag("i-1", "Name", "b"), tag("i-1", "env", "y"), tag("i-2", "Name", "")]);
    let after = TagFilter { after: Some(("i-1", "Name")), ..Default::default() };
    assert_eq!(tag_list(&store, &account(), after, 1).await.unwrap(), [tag("i-1", "env", "y")]);
    let keys = ["env".to_owned()];
    let filter = TagFilter { keys: Some(&keys), ..Default::default() };
    assert_eq!(tag_list(&store, &account(), filter, 9).await.unwrap().len(), 1);
    assert_eq!(tag_count(&store, &account(), "i-1").await.unwrap(), 2);
    let mut tx = store.write().await.unwrap();
    let both = ["i-1".to_owned(), "i-2".to_owned()];
    assert_eq!(tag_delete(&mut tx, &account(), &both, Some("Name"), Some("other")).await.unwrap(), 0);
    assert_eq!(tag_delete(&mut tx, &account(), &both, Some("Name"), None).await.unwrap(), 2);
    assert_eq!(tag_list_of(&mut tx, "i-1").await.unwrap(), [tag("i-1", "env", "y")]);
    assert_eq!(tag_delete_of(&mut tx, "i-1").await.unwrap(), 1);
}

async fn settings_clusters_and_nodes(db: TestDb) {
    let store = db.open().await;
    let mut tx = store.write().await.unwrap();
    assert!(setting_insert(&mut tx, "k", "1").await.unwrap());
    assert!(!setting_insert(&mut tx, "k", "2").await.unwrap());
    setting_put(&mut tx, "k", "3").await.unwrap();
    assert_eq!(setting_list(&mut tx).await.unwrap(), [("k".to_owned(), "3".to_owned())]);
    assert!(setting_delete(&mut tx, "k").await.unwrap());
    let mut cluster = ClusterRow { zone: zone(), endpoint: "http://a".into(), registered_ms: 1 };
    cluster_put(&mut tx, &cluster).await.unwrap();
    cluster_put(&mut tx, &ClusterRow { endpoint: "http://b".into(), registered_ms: 2, ..cluster.clone() })
        .await
        .unwrap();
    cluster.endpoint = "http://b".into();
    assert_eq!(cluster_list(&mut tx).await.unwrap(), [cluster]);
    let mut node = NodeRow {
        id: "node-1".parse().unwrap(),
        zone: zone(),
        registered_ms: 1,
        last_state: "up".into(),
        last_state_ms: 1,
        doc: Json(NodeDoc { vtep: "10.0.0.1".into() }),
    };
    node_put(&mut tx, &node).await.unwrap();
    node_put(&mut tx, &NodeRow { registered_ms: 5, last_state: "lost".into(), ..node.clone() }).await.unwrap();
    node.last_state = "lost".into();
    assert_eq!(node_fetch(&mut tx, &node.id).await.unwrap(), node);
    assert_eq!(node_list(&mut tx, None).await.unwrap(), [node.clone()]);
    assert_eq!(node_list(&mut tx, Some(&zone())).await.unwrap(), [node.clone()]);
    assert!(node_delete(&mut tx, &node.id).await.unwrap());
    assert!(cluster_delete(&mut tx, &zone()).await.unwrap());
    tx.rollback().await.unwrap();
    assert!(cluster_list(&store).await.unwrap().is_empty());
}

async fn saga_logs(db: TestDb) {
    let store = db.open().await;
    let mut saga = SagaRow {
        id: "s".into(),
        name: "launch".into(),
        version: 2,
        state: SagaState::Running,
        params: "{}".into(),
        owner: "o".into(),
        owner_epoch: Epoch(1),
        step: 0,
        error: None,
        created_ms: 1,
        updated_ms: 1,
        deadline_ms: 99,
    };
    let line = |seq| SagaLogRow {
        saga_id: "s".into(),
        seq,
        step: 0,
        direction: SagaDirection::Do,
        event: SagaEvent::Done,
        output: Some("1".into()),
        at_ms: 5,
    };
    let mut tx = store.write().await.unwrap();
    saga_insert(&mut tx, &saga).await.unwrap();
    saga_progress(&mut tx, &saga, &[line(0), line(1)]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(conflict(&store, async |tx| saga_progress(tx, &saga, &[line(1)]).await).await, "saga_log_saga_id_seq");
    (saga.state, saga.error, saga.step) = (SagaState::Stuck, Some("why".into()), 1);
    let mut tx = store.write().await.unwrap();
    saga_progress(&mut tx, &saga, &[]).await.unwrap();
    assert!(saga_progress(&mut tx, &saga, &[]).await.is_err(), "it has ended");
    tx.commit().await.unwrap();
    assert_eq!(saga_log(&store, "s").await.unwrap(), [line(0), line(1)]);
    let stuck = saga_list(&store, Some(&[SagaState::Stuck]), None, 9).await.unwrap();
    assert_eq!((stuck[0].error.as_deref(), stuck[0].step), (Some("why"), 1));
    let mut tx = store.write().await.unwrap();
    assert_eq!(saga_purge(&mut tx, i64::MAX).await.unwrap(), 0, "a stuck saga is not forgotten");
    saga_retry(&mut tx, "s", "o2", Epoch(4)).await.unwrap();
    assert!(saga_retry(&mut tx, "s", "o2", Epoch(4)).await.is_err());
    saga = saga_fetch(&mut tx, "s").await.unwrap();
    assert_eq!(saga.state, SagaState::Unwinding);
    saga.state = SagaState::Failed;
    saga_progress(&mut tx, &saga, &[]).await.unwrap();
    assert_eq!(saga_purge(&mut tx, i64::MAX).await.unwrap(), 1);
    assert!(saga_log(&mut tx, "s").await.unwrap().is_empty());
}

async fn images_are_seen_by_whom_they_are_shared_with(db: TestDb) {
    let store = db.open().await;
    let (friend, stranger): (AccountId, AccountId) = ("000000000002".parse().unwrap(), "000000000003".parse().unwrap());
    let image = ImageRow {
        id: ImageId::from_random(1),
        account_id: account(),
        name: "shared".into(),
        description: String::new(),
        location: "b/k".into(),
        state: ImageState::Available,
        state_reason: None,
        digest: None,
        format: None,
        size_bytes: None,
        virtual_size_bytes: None,
        architecture: "x86_64".into(),
        root_device_name: "/dev/vda".into(),
        is_public: false,
        created_ms: 1,
        deregistered_ms: None,
        disabled: false,
        deprecation_ms: None,
        protection: ImageProtection::Off,
        protected_until_ms: None,
    };
    let mut tx = store.write().await.unwrap();
    image_insert(&mut tx, &image).await.unwrap();
    for _ in 0..2 {
        image_permission_put(&mut tx, &image.id, &[friend.clone()]).await.unwrap();
    }
    let after = ImageRow {
        disabled: true,
        deprecation_ms: Some(9),
        protection: ImageProtection::Cooldown,
        protected_until_ms: Some(7),
        ..image.clone()
    };
    image_update(&mut tx, ImageState::Available, &after).await.unwrap();
    tx.commit().await.unwrap();
    let seen = async |who: &AccountId| {
        let filter = ImageFilter { visible_to: Some(who), ..Default::default() };
        image_list(&store, filter, 10).await.unwrap()
    };
    assert_eq!(seen(&friend).await, [after.clone()]);
    assert!(seen(&stranger).await.is_empty());
    let row = ImagePermissionRow { image_id: image.id.clone(), account_id: friend.clone() };
    assert_eq!(image_permission_list(&store, Some(&[image.id.clone()]), None, 10).await.unwrap(), [row.clone()]);
    assert_eq!(image_permission_list(&store, None, Some(&friend), 10).await.unwrap(), [row]);
    let mut tx = store.write().await.unwrap();
    assert!(image_permission_delete(&mut tx, &image.id, &friend).await.unwrap());
    assert!(!image_permission_delete(&mut tx, &image.id, &friend).await.unwrap());
    image_permission_put(&mut tx, &image.id, &[stranger.clone()]).await.unwrap();
    image_permission_clear(&mut tx, &image.id).await.unwrap();
    image_permission_put(&mut tx, &image.id, &[friend.clone()]).await.unwrap();
    assert!(image_delete(&mut tx, &image.id).await.unwrap(), "permissions go with their image");
    tx.commit().await.unwrap();
    assert!(image_permission_list(&store, None, None, 10).await.unwrap().is_empty());
}

async fn instance_types_of_the_administrator(db: TestDb) {
    let store = db.open().await;
    let row = InstanceTypeRow { name: "t3.nano".into(), vcpus: 1, memory_mib: 256, root_disk_gib: 4 };
    let bigger = InstanceTypeRow { vcpus: 4, ..row.clone() };
    let mut tx = store.write().await.unwrap();
    instance_type_put(&mut tx, &row).await.unwrap();
    instance_type_put(&mut tx, &bigger).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(instance_type_list(&store).await.unwrap(), [bigger]);
    let mut tx = store.write().await.unwrap();
    assert!(instance_type_delete(&mut tx, "t3.nano").await.unwrap());
    assert!(!instance_type_delete(&mut tx, "t3.nano").await.unwrap());
    tx.commit().await.unwrap();
}
