//! Interfaces as objects of their own: secondary addresses, attachments, and what they show to the world.

use crate::seed::{account, instance, interface, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::net::Ipv4Addr;

mallee_store::store_test_suite!(
    a_secondary_address_is_taken_like_a_primary_one,
    an_address_moves_with_its_elastic_ip,
    public_addresses_are_read_in_pages,
    a_move_of_an_address_waits_for_who_holds_its_interface,
    an_interface_has_a_public_address_for_each_private_one,
    an_attachment_has_one_place_and_an_end,
    an_instance_is_found_by_a_secondary_address,
);

async fn eni(store: &Store, subnet: &SubnetRow, n: u128) -> InterfaceRow {
    let mut tx = store.write().await.unwrap();
    let ip = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 1).await.unwrap()[0];
    let row = InterfaceRow { instance_id: None, attachment_id: None, device_index: None, ..interface(subnet, n, ip) };
    interface_insert(&mut tx, &row, &[]).await.unwrap();
    tx.commit().await.unwrap();
    row
}

async fn give(store: &Store, subnet: &SubnetRow, eni: &InterfaceRow, position: u32) -> InterfaceAddressRow {
    let mut tx = store.write().await.unwrap();
    let address = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 1).await.unwrap()[0];
    let row = InterfaceAddressRow { interface_id: eni.id.clone(), subnet_id: subnet.id.clone(), address, position };
    interface_addresses_insert(&mut tx, &[row.clone()]).await.unwrap();
    tx.commit().await.unwrap();
    row
}

async fn allocate(store: &Store, n: u128) -> ElasticIpRow {
    let mut tx = store.write().await.unwrap();
    let row = ElasticIpRow {
        id: AllocationId::from_random(n),
        account_id: account(),
        address: public_addresses_take(&mut tx, "192.0.2.0/24".parse().unwrap(), 1).await.unwrap()[0],
        association_id: None,
        interface_id: None,
        allocated_ms: 1,
        private_ip: None,
    };
    elastic_ip_insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    row
}

async fn associate(store: &Store, eip: &ElasticIpRow, eni: &InterfaceRow, ip: Option<Ipv4Addr>) -> bool {
    let mut tx = store.write().await.unwrap();
    let id = AddressId::from_random(u128::from(u32::from(eip.address)));
    let done = elastic_ip_associate(&mut tx, eip, &id, &eni.id, ip).await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn shown(store: &Store, eni: &InterfaceRow) -> Vec<(Option<Ipv4Addr>, Ipv4Addr)> {
    let mut rows: Vec<_> = public_address_list(store, Some(&[eni.id.clone()]), None, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.private_ip, row.address))
        .collect();
    rows.sort();
    rows
}

async fn a_secondary_address_is_taken_like_a_primary_one(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/28").await;
    let (one, other) = (eni(&store, &subnet, 1).await, eni(&store, &subnet, 2).await);
    let (second, third) = (give(&store, &subnet, &one, 1).await, give(&store, &subnet, &one, 2).await);
    assert_eq!(private_address_count(&store, &subnet.id).await.unwrap(), 4);
    let of = [one.id.clone(), other.id.clone()];
    let listed = interface_address_list(&store, Some(&of), None, 10).await.unwrap();
    assert_eq!(listed, [second.clone(), third.clone()]);
    assert_eq!(interface_address_list(&store, None, Some(&second), 10).await.unwrap(), [third.clone()]);
    let held = interface_address_holders(&store, &subnet.id, &[third.address, one.private_ip]).await.unwrap();
    assert_eq!(held, [third.clone()], "a primary address is no secondary one");
    let mut tx = store.write().await.unwrap();
    assert!(!private_address_take_exact(&mut tx, &subnet.id, second.address).await.unwrap());
    assert!(
        !interface_address_delete(&mut tx, &InterfaceAddressRow { interface_id: other.id.clone(), ..second.clone() })
            .await
            .unwrap()
    );
    assert!(interface_address_delete(&mut tx, &second).await.unwrap());
    assert!(!interface_address_delete(&mut tx, &second).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(private_address_count(&store, &subnet.id).await.unwrap(), 3);
    // What is left goes with the interface.
    let mut tx = store.write().await.unwrap();
    assert!(interface_delete(&mut tx, &one.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(private_address_count(&store, &subnet.id).await.unwrap(), 1);
    assert!(interface_address_list(&store, None, None, 10).await.unwrap().is_empty());
    let mut tx = store.write().await.unwrap();
    assert!(!private_address_take_exact(&mut tx, &subnet.id, third.address).await.unwrap(), "it is kept back");
    tx.rollback().await.unwrap();
    assert_eq!(quota_use(&store, Counted::NetworkInterfaces, &account(), None).await.unwrap(), 1);
}

async fn an_address_moves_with_its_elastic_ip(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let (one, other) = (eni(&store, &subnet, 1).await, eni(&store, &subnet, 2).await);
    let row = give(&store, &subnet, &one, 1).await;
    let eip = allocate(&store, 1).await;
    assert!(associate(&store, &eip, &one, Some(row.address)).await);
    let mut tx = store.write().await.unwrap();
    interface_address_move(&mut tx, &row, &other.id, 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(interface_address_list(&store, Some(&[other.id.clone()]), None, 10).await.unwrap().len(), 1);
    assert!(shown(&store, &one).await.is_empty());
    assert_eq!(shown(&store, &other).await, [(Some(row.address), eip.address)]);
    let now = elastic_ip_list(&store, ElasticIpFilter::default(), 10).await.unwrap().remove(0);
    assert_eq!((now.interface_id.as_ref(), now.private_ip), (Some(&other.id), Some(row.address)));
    // Taken away, it leaves the elastic IP behind.
    let mut tx = store.write().await.unwrap();
    let moved = InterfaceAddressRow { interface_id: other.id.clone(), ..row };
    assert!(interface_address_delete(&mut tx, &moved).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(elastic_ip_list(&store, ElasticIpFilter::default(), 10).await.unwrap(), [eip]);
    assert!(shown(&store, &other).await.is_empty());
}

async fn an_interface_has_a_public_address_for_each_private_one(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let one = eni(&store, &subnet, 1).await;
    let row = give(&store, &subnet, &one, 1).await;
    let (first, second, third) = (allocate(&store, 1).await, allocate(&store, 2).await, allocate(&store, 3).await);
    assert!(associate(&store, &first, &one, None).await);
    assert!(associate(&store, &second, &one, Some(row.address)).await);
    assert_eq!(shown(&store, &one).await, [(None, first.address), (Some(row.address), second.address)]);
    let mut tx = store.write().await.unwrap();
    let id = AddressId::from_random(9);
    let late = elastic_ip_associate(&mut tx, &third, &id, &one.id, Some(row.address)).await.unwrap_err();
    assert!(late.is_conflict("elastic_ips_interface_id"), "{late:?}");
    drop(tx);
    // Both lead nowhere when the interface goes.
    let mut tx = store.write().await.unwrap();
    assert!(interface_delete(&mut tx, &one.id).await.unwrap());
    tx.commit().await.unwrap();
    let left = elastic_ip_list(&store, ElasticIpFilter::default(), 10).await.unwrap();
    assert!(left.iter().all(|row| row.association_id.is_none() && row.interface_id.is_none()), "{left:?}");
    assert_eq!(public_address_list(&store, None, None, 10).await.unwrap(), []);
}

async fn an_attachment_has_one_place_and_an_end(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let (one, other) = (eni(&store, &subnet, 1).await, eni(&store, &subnet, 2).await);
    let on = instance(&subnet, 1);
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &on, None).await.unwrap();
    tx.commit().await.unwrap();
    let versions = async || instance_versions(&store, InstanceFilter::default(), 10).await.unwrap();
    let before = versions().await;
    let mut tx = store.write().await.unwrap();
    interface_attach(&mut tx, &one.id, &on.id, &AttachmentId::from_random(1), 1, false).await.unwrap();
    let row = InterfaceAttachmentRow {
        interface_id: one.id.clone(),
        attached_ms: 5,
        generation: Generation(2),
        detaching: false,
    };
    interface_attachment_put(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(versions().await, before, "descriptions that are kept are out of date");
    let mut tx = store.write().await.unwrap();
    let taken =
        interface_attach(&mut tx, &other.id, &on.id, &AttachmentId::from_random(2), 1, false).await.unwrap_err();
    assert!(taken.is_conflict("interfaces_instance_id_device_index"), "{taken:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert_eq!(interface_fetch_locked(&mut tx, &one.id).await.unwrap().device_index, Some(1));
    interface_delete_on_termination_set(&mut tx, &one.id, true).await.unwrap();
    let end = InterfaceAttachmentRow { attached_ms: 9, generation: Generation(3), detaching: true, ..row.clone() };
    interface_attachment_put(&mut tx, &end).await.unwrap();
    tx.commit().await.unwrap();
    let now = interface_attachment_list(&store, &[one.id.clone(), other.id.clone()], 10).await.unwrap();
    let kept = InterfaceAttachmentRow { attached_ms: 5, ..end };
    assert_eq!(now, [kept.clone()], "it keeps its beginning");
    let ids = [one.id.clone(), other.id.clone()];
    let both = interface_attached_list(&store, &ids, 10).await.unwrap();
    assert_eq!(both[0].row, interface_fetch(&store, &one.id).await.unwrap());
    assert_eq!(both[0].attachment, Some(kept));
    assert_eq!((&both[1].row, &both[1].attachment), (&other, &None));
    let mut tx = store.write().await.unwrap();
    assert!(interface_detach(&mut tx, &one.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(interface_attachment_list(&store, &[one.id.clone()], 10).await.unwrap().is_empty());
    assert!(interface_fetch(&store, &one.id).await.unwrap().delete_on_termination);
}

async fn an_instance_is_found_by_a_secondary_address(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let one = eni(&store, &subnet, 1).await;
    let row = give(&store, &subnet, &one, 1).await;
    let on = instance(&subnet, 1);
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &on, None).await.unwrap();
    interface_attach(&mut tx, &one.id, &on.id, &AttachmentId::from_random(1), 0, true).await.unwrap();
    tx.commit().await.unwrap();
    for ip in [one.private_ip, row.address] {
        let found = instance_search(&store, &account(), &InstanceTerm::PrivateIps(vec![ip]), None, 10).await.unwrap();
        assert_eq!(found, InstanceMatches::All(vec![on.id.clone()]));
    }
}

/// Moves the address in a transaction of its own, which begins now.
fn moving(
    store: &Store,
    row: &InterfaceAddressRow,
    to: &InterfaceRow,
) -> tokio::task::JoinHandle<Result<(), StoreError>> {
    let (store, row, to) = (store.clone(), row.clone(), to.id.clone());
    tokio::spawn(async move {
        let mut tx = store.write().await?;
        interface_address_move(&mut tx, &row, &to, 1).await?;
        tx.commit().await
    })
}

async fn a_move_of_an_address_waits_for_who_holds_its_interface(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let (one, other) = (eni(&store, &subnet, 1).await, eni(&store, &subnet, 2).await);
    let (row, eip) = (give(&store, &subnet, &one, 1).await, allocate(&store, 1).await);
    let soon = std::time::Duration::from_millis(300);
    // An elastic IP comes to the address meanwhile: it moves along.
    let mut tx = store.write().await.unwrap();
    interface_fetch_locked(&mut tx, &one.id).await.unwrap();
    let moved = moving(&store, &row, &other);
    tokio::time::sleep(soon).await;
    assert!(!moved.is_finished(), "it waits");
    let id = AddressId::from_random(1);
    assert!(elastic_ip_associate(&mut tx, &eip, &id, &one.id, Some(row.address)).await.unwrap());
    tx.commit().await.unwrap();
    moved.await.unwrap().unwrap();
    let now = elastic_ip_list(&store, ElasticIpFilter::default(), 10).await.unwrap().remove(0);
    assert_eq!(now.interface_id, Some(other.id.clone()));
    assert_eq!(shown(&store, &other).await, [(Some(row.address), eip.address)]);
    // The interface goes meanwhile, and its addresses with it: nobody has got them.
    let row = InterfaceAddressRow { interface_id: other.id.clone(), ..row };
    let mut tx = store.write().await.unwrap();
    interface_fetch_locked(&mut tx, &other.id).await.unwrap();
    let moved = moving(&store, &row, &one);
    tokio::time::sleep(soon).await;
    assert!(interface_delete(&mut tx, &other.id).await.unwrap());
    tx.commit().await.unwrap();
    let late = moved.await.unwrap().unwrap_err();
    assert!(matches!(late, StoreError::NotFound { .. }), "{late:?}");
    assert!(interface_address_list(&store, None, None, 10).await.unwrap().is_empty());
    assert_eq!(private_address_count(&store, &subnet.id).await.unwrap(), 1);
    // What somebody else has by now is not moved.
    let row = give(&store, &subnet, &one, 1).await;
    let third = eni(&store, &subnet, 3).await;
    let stale = InterfaceAddressRow { interface_id: third.id.clone(), ..row };
    let mut tx = store.write().await.unwrap();
    let late = interface_address_move(&mut tx, &stale, &third.id, 1).await.unwrap_err();
    assert!(matches!(late, StoreError::Stale { .. }), "{late:?}");
}

async fn public_addresses_are_read_in_pages(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let (one, other) = (eni(&store, &subnet, 1).await, eni(&store, &subnet, 2).await);
    for (n, of) in (1..).zip([&one, &one, &one, &one, &other]) {
        let (row, eip) = (give(&store, &subnet, of, u32::try_from(n).unwrap()).await, allocate(&store, n).await);
        assert!(associate(&store, &eip, of, Some(row.address)).await);
    }
    let of_one = public_address_list(&store, Some(&[one.id.clone()]), None, 10).await.unwrap();
    assert_eq!(of_one.len(), 4);
    // Also where the last page is full, and where one is enough.
    for page in [1, 2, 3, 10] {
        assert_eq!(public_addresses_of(&store, &[one.id.clone()], page).await.unwrap(), of_one, "{page}");
    }
    assert!(public_addresses_of(&store, &[], 1).await.unwrap().is_empty());
}
