//! The IPv6 addresses of interfaces.

use crate::seed::{interface, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::net::Ipv6Addr;

mallee_store::store_test_suite!(an_ipv6_address_is_on_one_interface_and_goes_with_it);

async fn an_ipv6_address_is_on_one_interface_and_goes_with_it(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let block = VpcIpv6CidrRow {
        id: VpcCidrAssociationId::from_random(1),
        vpc_id: vpc.id.clone(),
        cidr: "2001:db8::/56".parse().unwrap(),
        created_ms: 1,
    };
    vpc_ipv6_cidr_insert(&mut tx, &block).await.unwrap();
    let part = SubnetIpv6CidrRow {
        id: SubnetCidrAssociationId::from_random(1),
        subnet_id: subnet.id.clone(),
        vpc_cidr_id: block.id.clone(),
        cidr: "2001:db8::/64".parse().unwrap(),
        assign_on_creation: true,
        created_ms: 1,
    };
    subnet_ipv6_cidr_insert(&mut tx, &part).await.unwrap();
    let eni = |n: u128| interface(&subnet, n, format!("172.31.0.{}", n + 3).parse().unwrap());
    let (one, two) = (eni(1), eni(2));
    interface_insert(&mut tx, &one, &[]).await.unwrap();
    interface_insert(&mut tx, &two, &[]).await.unwrap();
    let row = |of: &InterfaceRow, text: &str, position: u32| InterfaceIpv6Row {
        interface_id: of.id.clone(),
        subnet_cidr_id: part.id.clone(),
        address: text.parse().unwrap(),
        position,
    };
    let own = [row(&one, "2001:db8::a", 1), row(&one, "2001:db8::9", 2)];
    let other = row(&two, "2001:db8::b", 1);
    interface_ipv6_insert(&mut tx, &own).await.unwrap();
    interface_ipv6_insert(&mut tx, std::slice::from_ref(&other)).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.write().await.unwrap();
    interface_ipv6_insert(&mut tx, &[row(&two, "2001:db8::a", 2)]).await.unwrap();
    let twice = tx.commit().await.unwrap_err();
    assert!(twice.is_conflict("interface_ipv6_addresses_address"), "{twice}");

    assert_eq!(interface_ipv6_list(&store, Some(&[one.id.clone()]), None, 9).await.unwrap(), own, "as assigned");
    let all = interface_ipv6_list(&store, None, None, 9).await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(interface_ipv6_list(&store, None, Some(&all[0]), 9).await.unwrap(), all[1..]);
    let asked: [Ipv6Addr; 2] = ["2001:db8::b".parse().unwrap(), "2001:db8::c".parse().unwrap()];
    assert_eq!(interface_ipv6_holders(&store, &asked).await.unwrap(), std::slice::from_ref(&other));

    // The subnet's block stays while an interface has an address of it.
    let mut tx = store.write().await.unwrap();
    let error = subnet_ipv6_cidr_delete(&mut tx, &part.id).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse), "{error}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(!interface_ipv6_delete(&mut tx, &one.id, other.address).await.unwrap(), "it is not that interface's");
    assert!(interface_ipv6_delete(&mut tx, &two.id, other.address).await.unwrap());
    assert!(interface_delete(&mut tx, &one.id).await.unwrap());
    assert!(interface_ipv6_list(&mut tx, None, None, 9).await.unwrap().is_empty());
    // Free again.
    interface_ipv6_insert(&mut tx, &[row(&two, "2001:db8::a", 1)]).await.unwrap();
    tx.commit().await.unwrap();
}
