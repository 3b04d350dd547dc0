//! Quotas: what is in use is counted from the rows, and under parallel creates exactly the quota is made.

use crate::seed::{account, instance, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(
    two_hundred_parallel_creates_make_exactly_the_quota,
    sums_of_instances_follow_their_rows,
    what_one_user_made_is_counted_apart,
    settings_and_requests_are_kept,
);

const CREATES: u32 = 200;
const QUOTA: u64 = 37;

fn key_pair(n: u32) -> KeyPairRow {
    KeyPairRow {
        id: KeyPairId::from_random(u128::from(n) + 1),
        account_id: account(),
        name: format!("k{n}"),
        kind: KeyPairKind::Ed25519,
        fingerprint: "f".into(),
        public_openssh: "ssh-ed25519 A".into(),
        created_ms: 1,
    }
}

/// As a use case does it: hold, count, create, in one transaction.
async fn create(store: &Store, n: u32) -> bool {
    let mut tx = store.write().await.unwrap();
    quota_hold(&mut tx, &account()).await.unwrap();
    let have = quota_use(&mut tx, Counted::KeyPairs, &account(), None).await.unwrap();
    if have >= QUOTA {
        return false;
    }
    key_pair_insert(&mut tx, &key_pair(n)).await.unwrap();
    tx.commit().await.unwrap();
    true
}

async fn two_hundred_parallel_creates_make_exactly_the_quota(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let other = if db.is_postgres() { db.open().await } else { store.clone() };
    let creates: Vec<_> = (0..CREATES)
        .map(|n| {
            let store = if n % 2 == 0 { store.clone() } else { other.clone() };
            tokio::spawn(async move { create(&store, n).await })
        })
        .collect();
    let mut made = 0;
    for one in creates {
        made += u64::from(one.await.unwrap());
    }
    assert_eq!(made, QUOTA);
    assert_eq!(quota_use(&store, Counted::KeyPairs, &account(), None).await.unwrap(), QUOTA);
    let rows = key_pair_list(&store, &account(), None, None, None, 1000).await.unwrap();
    assert_eq!(rows.len() as u64, QUOTA);
}

async fn sums_of_instances_follow_their_rows(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    for (n, state) in [
        (1, InstanceState::Running),
        (2, InstanceState::Stopped),
        (3, InstanceState::ShuttingDown),
        (4, InstanceState::Terminated),
    ] {
        let mut row = instance(&subnet, n);
        row.state = state;
        row.doc.vcpus = 2;
        row.doc.memory_mib = 512;
        row.doc.root_disk_bytes = 1 << 30;
        instance_insert(&mut tx, &row, None).await.unwrap();
    }
    let mut used = Vec::new();
    for counted in
        [Counted::Instances, Counted::ActiveInstances, Counted::Vcpus, Counted::MemoryMib, Counted::DiskBytes]
    {
        used.push(quota_use(&mut tx, counted, &account(), None).await.unwrap());
    }
    assert_eq!(used, [3, 2, 4, 1024, 3 << 30]);
    // The sums follow an update of the document.
    let mut row = instance_fetch_locked(&mut tx, &InstanceId::from_random(1)).await.unwrap();
    row.doc.vcpus = 8;
    instance_intent_update(&mut tx, &row).await.unwrap();
    assert_eq!(quota_use(&mut tx, Counted::Vcpus, &account(), None).await.unwrap(), 10);
    tx.commit().await.unwrap();
    for counted in Counted::ALL {
        let other: AccountId = "000000000009".parse().unwrap();
        assert_eq!(quota_use(&store, *counted, &other, None).await.unwrap(), 0, "{counted:?}");
        assert_eq!(quota_use(&store, *counted, &account(), Some("AIDANOBODY")).await.unwrap(), 0, "{counted:?}");
    }
}

async fn what_one_user_made_is_counted_apart(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    for n in 0..5 {
        key_pair_insert(&mut tx, &key_pair(n)).await.unwrap();
    }
    let ids: Vec<String> = (0..3).map(|n| key_pair(n).id.to_string()).collect();
    creators_put(&mut tx, "AIDAANN", &ids).await.unwrap();
    creators_put(&mut tx, "AIDABOB", &[key_pair(3).id.to_string()]).await.unwrap();
    let mut of = Vec::new();
    for creator in [None, Some("AIDAANN"), Some("AIDABOB")] {
        of.push(quota_use(&mut tx, Counted::KeyPairs, &account(), creator).await.unwrap());
    }
    assert_eq!(of, [5, 3, 1]);
    assert!(key_pair_delete(&mut tx, &account(), &key_pair(0).id).await.unwrap());
    assert_eq!(quota_use(&mut tx, Counted::KeyPairs, &account(), Some("AIDAANN")).await.unwrap(), 2);
    tx.commit().await.unwrap();
}

async fn settings_and_requests_are_kept(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let set =
        |value| QuotaSettingRow { account_id: account(), service: "ec2".into(), code: "L-1".into(), value, set_ms: 5 };
    for value in [7, 9] {
        quota_setting_put(&mut tx, &set(value)).await.unwrap();
    }
    assert_eq!(quota_setting_fetch(&mut tx, &account(), "ec2", "L-1").await.unwrap(), Some(9));
    assert_eq!(quota_setting_list(&mut tx, &account()).await.unwrap(), [set(9)]);
    assert!(quota_setting_clear(&mut tx, &account(), "ec2", "L-1").await.unwrap());
    assert!(!quota_setting_clear(&mut tx, &account(), "ec2", "L-1").await.unwrap());
    let request = |id: &str| QuotaRequestRow {
        id: id.into(),
        account_id: account(),
        service: "ec2".into(),
        code: "L-1".into(),
        desired: 12,
        status: QuotaRequestStatus::Pending,
        requester: "arn:aws:iam::000000000001:root".into(),
        created_ms: 1,
        updated_ms: 1,
    };
    quota_request_insert(&mut tx, &request("a")).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.write().await.unwrap();
    let again = quota_request_insert(&mut tx, &request("b")).await.unwrap_err();
    assert!(again.is_conflict("quota_requests_account_id_service_code"), "{again:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(quota_request_settle(&mut tx, "a", QuotaRequestStatus::Approved).await.unwrap());
    assert!(!quota_request_settle(&mut tx, "a", QuotaRequestStatus::Denied).await.unwrap(), "decided once");
    quota_request_insert(&mut tx, &request("b")).await.unwrap();
    tx.commit().await.unwrap();
    let (whose, pending) = (account(), Some(QuotaRequestStatus::Pending));
    let open = quota_request_list(&store, Some(&whose), Some("ec2"), None, pending, None, 10).await.unwrap();
    assert_eq!(open, [request("b")]);
    let all = quota_request_list(&store, None, None, None, None, Some("a"), 10).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(quota_request_fetch(&store, "a").await.unwrap().status, QuotaRequestStatus::Approved);
}
