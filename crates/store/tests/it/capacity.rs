//! Capacity reservations and dedicated hosts: who uses them is counted from rows, and what is used is not forgotten.

use crate::seed::{account, instance, world, zone};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(reservations_and_their_users, hosts_and_their_users);

fn node(n: u32) -> NodeId {
    format!("n-{n}").parse().unwrap()
}

fn reservation(n: u128, end_ms: Option<i64>) -> CapacityReservationRow {
    CapacityReservationRow {
        id: CapacityReservationId::from_random(n),
        account_id: account(),
        zone: zone(),
        state: CapacityState::Active,
        generation: Generation(1),
        instance_type: "m1.small".into(),
        platform: "Linux/UNIX".into(),
        tenancy: "default".into(),
        match_criteria: "open".into(),
        vcpus: 1,
        memory_mib: 512,
        disk_bytes: 1 << 30,
        slots: Json([(node(1), 2), (node(2), 1)].into()),
        ebs_optimized: false,
        ephemeral_storage: true,
        created_ms: 5,
        end_ms,
        ended_ms: None,
    }
}

async fn reservations_and_their_users(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let (mut first, second) = (reservation(1, Some(100)), reservation(2, None));
    assert_eq!(first.count(), 3);
    let mut runs = InstanceRow { node_id: Some(node(1)), state: InstanceState::Running, ..instance(&subnet, 1) };
    let stopped = InstanceRow { node_id: Some(node(1)), state: InstanceState::Stopped, ..instance(&subnet, 2) };
    let mut tx = store.write().await.unwrap();
    for row in [&first, &second] {
        capacity_insert(&mut tx, row).await.unwrap();
    }
    for row in [&runs, &stopped] {
        instance_insert(&mut tx, row, None).await.unwrap();
        capacity_use(&mut tx, &row.id, &first.id).await.unwrap();
    }
    tx.commit().await.unwrap();
    let of = |state| CapacityFilter { account: Some(account_ref()), state: Some(state), ..Default::default() };
    assert_eq!(capacity_list(&store, of(CapacityState::Active), 9).await.unwrap().len(), 2);
    assert_eq!(capacity_count(&store, &account()).await.unwrap(), 2);
    let ids = [first.id.clone(), second.id.clone()];
    let used = capacity_used(&store, &ids).await.unwrap();
    assert_eq!(used, [(first.id.clone(), [(node(1), 1)].into())].into(), "the stopped one takes no slot");
    assert_eq!(capacity_next_end(&store).await.unwrap(), Some(100));
    assert_eq!(capacity_list_due(&store, 99, 9).await.unwrap(), []);
    assert_eq!(capacity_list_due(&store, 100, 9).await.unwrap(), [first.clone()]);
    let mut tx = store.write().await.unwrap();
    first.state = CapacityState::Expired;
    first.ended_ms = Some(101);
    capacity_update(&mut tx, &first).await.unwrap();
    assert!(matches!(capacity_update(&mut tx, &first).await, Err(StoreError::Stale { .. })));
    tx.commit().await.unwrap();
    assert_eq!(capacity_fetch(&store, &first.id).await.unwrap().generation, Generation(2));
    assert_eq!(capacity_list_purgeable(&store, 500, 9).await.unwrap(), [], "instances remember it");
    let left = capacity_leftovers(&store, 9).await.unwrap();
    assert_eq!(left.len(), 2);
    let mut tx = store.write().await.unwrap();
    for id in &left {
        capacity_unuse(&mut tx, id).await.unwrap();
    }
    assert_eq!(capacity_fetch_locked(&mut tx, &first.id).await.unwrap().count(), 3);
    // What an instance used goes with it.
    capacity_use(&mut tx, &runs.id, &second.id).await.unwrap();
    runs.terminated_ms = Some(1);
    instance_observe(&mut tx, &runs).await.unwrap();
    assert!(instance_delete(&mut tx, &runs.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(capacity_used(&store, &ids).await.unwrap(), Default::default());
    assert_eq!(capacity_list_purgeable(&store, 500, 9).await.unwrap(), [first.id.clone()]);
    let mut tx = store.write().await.unwrap();
    assert!(capacity_delete(&mut tx, &first.id).await.unwrap());
    assert!(!capacity_delete(&mut tx, &second.id).await.unwrap(), "it is active");
    tx.commit().await.unwrap();
}

fn account_ref() -> &'static AccountId {
    static ACCOUNT: std::sync::OnceLock<AccountId> = std::sync::OnceLock::new();
    ACCOUNT.get_or_init(account)
}

async fn hosts_and_their_users(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let mut host = HostRow {
        id: HostId::from_random(1),
        account_id: account(),
        zone: zone(),
        node_id: node(1),
        state: HostState::Available,
        generation: Generation(1),
        instance_type: None,
        instance_family: Some("m1".into()),
        auto_placement: true,
        client_token: None,
        vcpus: 8,
        memory_mib: 8192,
        disk_bytes: 1 << 40,
        created_ms: 5,
        released_ms: None,
    };
    let one = instance(&subnet, 1);
    let mut tx = store.write().await.unwrap();
    host_insert(&mut tx, &host).await.unwrap();
    instance_insert(&mut tx, &one, None).await.unwrap();
    host_use(&mut tx, &one.id, &host.id).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let twin = HostRow { id: HostId::from_random(2), ..host.clone() };
    let twice = host_insert(&mut tx, &twin).await.unwrap_err();
    assert!(twice.is_conflict("dedicated_hosts_node_id"), "{twice:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let users = host_users(&mut tx, &[host.id.clone()], None, 9).await.unwrap();
    assert_eq!(users, [(host.id.clone(), one.id.clone())]);
    host_unuse(&mut tx, &one.id).await.unwrap();
    host.state = HostState::Released;
    host.released_ms = Some(9);
    assert_eq!(host_fetch_locked(&mut tx, &host.id).await.unwrap().generation, Generation(1));
    host_update(&mut tx, &host).await.unwrap();
    // A node that was given back can be a host again.
    host_insert(&mut tx, &twin).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(host_count(&store, &account()).await.unwrap(), 1);
    assert_eq!(host_list_purgeable(&store, 10, 9).await.unwrap(), [host.id.clone()]);
}
