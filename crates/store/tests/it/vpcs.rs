//! VPCs and subnets that users make, change and delete.

use crate::seed::{account, instance, interface, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(
    an_attribute_is_set_once_and_its_instances_are_shown_anew,
    a_network_identifier_is_not_given_again_soon,
    a_subnet_is_deleted_with_what_was_kept_back_in_it,
);

async fn version(store: &Store, id: &InstanceId) -> u64 {
    let filter = InstanceFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
    instance_versions(store, filter, 1).await.unwrap()[0].1
}

async fn an_attribute_is_set_once_and_its_instances_are_shown_anew(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    let row = instance(&subnet, 1);
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &row, None).await.unwrap();
    let port = InterfaceRow {
        instance_id: Some(row.id.clone()),
        device_index: Some(0),
        ..interface(&subnet, 1, "172.31.0.9".parse().unwrap())
    };
    interface_insert(&mut tx, &port, &[]).await.unwrap();
    tx.commit().await.unwrap();
    let vpcs = [vpc.id.clone()];
    assert_eq!(vpc_list_nameless(&store, &vpcs).await.unwrap(), []);
    let mut before = version(&store, &row.id).await;
    for (attribute, shows) in
        [(VpcAttribute::DnsSupport, true), (VpcAttribute::DnsHostnames, true), (VpcAttribute::Dedicated, false)]
    {
        let value = attribute == VpcAttribute::Dedicated;
        let mut tx = store.write().await.unwrap();
        assert!(vpc_attribute_set(&mut tx, &vpc.id, attribute, value).await.unwrap(), "{attribute:?}");
        assert!(!vpc_attribute_set(&mut tx, &vpc.id, attribute, value).await.unwrap(), "{attribute:?} is so already");
        tx.commit().await.unwrap();
        let after = version(&store, &row.id).await;
        assert_eq!(after > before, shows, "{attribute:?}");
        before = after;
    }
    let changed = vpc_fetch(&store, &vpc.id).await.unwrap();
    let generation = Generation(vpc.generation.0 + 3);
    assert_eq!(changed, VpcRow { dedicated: true, dns_support: false, dns_hostnames: false, generation, ..vpc });
    assert_eq!(vpc_list_nameless(&store, &vpcs).await.unwrap(), vpcs);
    let mut tx = store.write().await.unwrap();
    assert!(vpc_attribute_set(&mut tx, &changed.id, VpcAttribute::DnsHostnames, true).await.unwrap());
    assert_eq!(vpc_list_nameless(&mut tx, &vpcs).await.unwrap(), vpcs, "no names without a resolver");
    assert!(!vpc_attribute_set(&mut tx, &VpcId::from_random(9), VpcAttribute::DnsSupport, true).await.unwrap());
}

async fn a_network_identifier_is_not_given_again_soon(db: TestDb) {
    let store = db.open().await;
    let (first, _) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let vni = vpc_vni_take(&mut tx).await.unwrap();
    let second = VpcRow { id: VpcId::from_random(2), vni, is_default: false, ..first };
    vpc_insert(&mut tx, &second).await.unwrap();
    assert_eq!(quota_use(&mut tx, Counted::Vpcs, &account(), None).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(vpc_delete(&mut tx, &second.id).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert_eq!(vpc_vni_take(&mut tx).await.unwrap(), vni + 1, "nodes may still have the one that is gone");
}

async fn a_subnet_is_deleted_with_what_was_kept_back_in_it(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/20").await;
    let ended = InstanceRow {
        intent: RunIntent::Terminate,
        state: InstanceState::Terminated,
        released: true,
        terminated_ms: Some(1),
        ..instance(&subnet, 1)
    };
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &ended, None).await.unwrap();
    let taken = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 3).await.unwrap();
    private_addresses_release(&mut tx, &subnet.id, &taken).await.unwrap();
    assert!(subnet_map_public_ip_set(&mut tx, &subnet.id, false).await.unwrap());
    assert!(!subnet_map_public_ip_set(&mut tx, &subnet.id, false).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!subnet_fetch(&store, &subnet.id).await.unwrap().map_public_ip);
    let there = instance_list_terminated_in(&store, &account(), &subnet.id).await.unwrap();
    assert_eq!(there, [ended.id.clone()]);
    let mut tx = store.write().await.unwrap();
    assert!(matches!(subnet_delete(&mut tx, &subnet.id).await, Err(StoreError::InUse)), "its row is still there");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(instance_delete(&mut tx, &ended.id).await.unwrap());
    assert!(subnet_delete(&mut tx, &subnet.id).await.unwrap());
    assert!(!subnet_delete(&mut tx, &subnet.id).await.unwrap());
    subnet_insert(&mut tx, &subnet).await.unwrap();
    for address in taken {
        assert!(private_address_take_exact(&mut tx, &subnet.id, address).await.unwrap(), "{address} is free");
    }
}
