//! Elastic IPs: whose they are, and what they lead to.

use crate::seed::{account, interface, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::net::Ipv4Addr;

mallee_store::store_test_suite!(
    an_elastic_ip_is_kept_until_it_is_released,
    an_interface_that_goes_leaves_its_elastic_ip,
    one_of_two_gets_the_address_and_one_of_two_the_interface,
    a_chosen_public_address_is_given_once,
);

async fn eni(store: &Store, subnet: &SubnetRow, n: u128) -> InterfaceRow {
    let mut tx = store.write().await.unwrap();
    let ip = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 1).await.unwrap()[0];
    let row = interface(subnet, n, ip);
    interface_insert(&mut tx, &row, &[]).await.unwrap();
    tx.commit().await.unwrap();
    row
}

fn pool() -> ipnet::Ipv4Net {
    "192.0.2.0/24".parse().unwrap()
}

async fn allocate(store: &Store, n: u128) -> ElasticIpRow {
    let mut tx = store.write().await.unwrap();
    let row = ElasticIpRow {
        id: AllocationId::from_random(n),
        account_id: account(),
        address: public_addresses_take(&mut tx, pool(), 1).await.unwrap()[0],
        association_id: None,
        interface_id: None,
        allocated_ms: 1,
        private_ip: None,
    };
    elastic_ip_insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    row
}

async fn now(store: &Store, id: &AllocationId) -> ElasticIpRow {
    let filter = ElasticIpFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
    elastic_ip_list(store, filter, 10).await.unwrap().remove(0)
}

async fn shown(store: &Store, eni: &InterfaceRow) -> Option<Ipv4Addr> {
    let of = [eni.id.clone()];
    public_address_list(store, Some(&of), None, 10).await.unwrap().pop().map(|row| row.address)
}

async fn an_elastic_ip_is_kept_until_it_is_released(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let (first, second) = (eni(&store, &subnet, 1).await, eni(&store, &subnet, 2).await);
    let eip = allocate(&store, 1).await;
    let mut tx = store.write().await.unwrap();
    public_address_take(&mut tx, pool(), &second.id, &account()).await.unwrap();
    assert!(elastic_ip_associate(&mut tx, &eip, &AddressId::from_random(1), &first.id, None).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(public_address_count(&store).await.unwrap(), 2);
    assert_eq!(quota_use(&store, Counted::ElasticIps, &account(), None).await.unwrap(), 1);
    let listed = public_address_list(&store, None, None, 10).await.unwrap();
    let elastic: Vec<_> = listed.iter().filter(|row| row.allocation_id.is_some()).collect();
    assert_eq!(elastic.len(), 1);
    assert_eq!((&elastic[0].interface_id, &elastic[0].association_id), (&first.id, &Some(AddressId::from_random(1))));
    let after = public_address_list(&store, None, Some(listed[0].address), 10).await.unwrap();
    assert_eq!(after, listed[1..]);

    // What came with an instance goes with it, an elastic IP does not; nor is one released that is in use.
    let mut tx = store.write().await.unwrap();
    assert_eq!(public_address_release(&mut tx, &first.id).await.unwrap(), None);
    assert!(public_address_release(&mut tx, &second.id).await.unwrap().is_some());
    assert!(!elastic_ip_delete(&mut tx, &eip.id).await.unwrap());
    // It moves.
    let read = now_in(&mut tx, &eip.id).await;
    assert!(elastic_ip_associate(&mut tx, &read, &AddressId::from_random(2), &second.id, None).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!((shown(&store, &first).await, shown(&store, &second).await), (None, Some(eip.address)));

    let mut tx = store.write().await.unwrap();
    assert!(!elastic_ip_disassociate(&mut tx, &AddressId::from_random(1)).await.unwrap(), "that one is over");
    assert!(elastic_ip_disassociate(&mut tx, &AddressId::from_random(2)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(shown(&store, &second).await, None);
    assert_eq!(now(&store, &eip.id).await, eip);
    let mut tx = store.write().await.unwrap();
    assert!(elastic_ip_delete(&mut tx, &eip.id).await.unwrap());
    assert!(!elastic_ip_delete(&mut tx, &eip.id).await.unwrap());
    assert!(!public_address_take_exact(&mut tx, eip.address).await.unwrap(), "it is kept back");
    tx.commit().await.unwrap();
    assert_eq!(public_address_count(&store).await.unwrap(), 0);
}

async fn now_in(tx: &mut Tx, id: &AllocationId) -> ElasticIpRow {
    let filter = ElasticIpFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
    elastic_ip_list(tx, filter, 10).await.unwrap().remove(0)
}

async fn an_interface_that_goes_leaves_its_elastic_ip(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let eni = eni(&store, &subnet, 1).await;
    let eip = allocate(&store, 1).await;
    let mut tx = store.write().await.unwrap();
    assert!(elastic_ip_associate(&mut tx, &eip, &AddressId::from_random(1), &eni.id, None).await.unwrap());
    assert!(interface_delete(&mut tx, &eni.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(now(&store, &eip.id).await, eip);
    assert!(public_address_list(&store, None, None, 10).await.unwrap().is_empty());
    assert_eq!(public_address_count(&store).await.unwrap(), 1, "it is still its account's");
    let mut tx = store.write().await.unwrap();
    let left = account_leftovers(&mut tx, &account()).await.unwrap();
    assert!(left.contains(&"1 elastic IP addresses".to_owned()), "{left:?}");
}

async fn associate(store: &Store, eip: &ElasticIpRow, n: u128, eni: &InterfaceId) -> Result<bool, StoreError> {
    let mut tx = store.write().await?;
    let done = elastic_ip_associate(&mut tx, eip, &AddressId::from_random(n), eni, None).await?;
    tx.commit().await?;
    Ok(done)
}

async fn one_of_two_gets_the_address_and_one_of_two_the_interface(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let (first, second) = (eni(&store, &subnet, 1).await, eni(&store, &subnet, 2).await);
    let (one, other) = (allocate(&store, 1).await, allocate(&store, 2).await);
    // One address, two interfaces: both read it free.
    let (a, b) = tokio::join!(associate(&store, &one, 1, &first.id), associate(&store, &one, 2, &second.id));
    let won = [matches!(a, Ok(true)), matches!(b, Ok(true))];
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{a:?} {b:?}");
    assert_eq!(public_address_list(&store, None, None, 10).await.unwrap().len(), 1);
    // One interface, two addresses.
    let winner = if won[0] { &first } else { &second };
    let late = associate(&store, &other, 3, &winner.id).await.unwrap_err();
    assert!(late.is_conflict("elastic_ips_interface_id"), "{late:?}");
    let gone = associate(&store, &other, 3, &InterfaceId::from_random(9)).await;
    assert!(matches!(gone, Err(StoreError::InUse)), "{gone:?}");
    assert_eq!(now(&store, &other.id).await, other);
}

async fn a_chosen_public_address_is_given_once(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/24").await;
    let chosen = "192.0.2.77".parse().unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(public_address_take_exact(&mut tx, chosen).await.unwrap());
    assert!(!public_address_take_exact(&mut tx, chosen).await.unwrap());
    tx.commit().await.unwrap();
}
