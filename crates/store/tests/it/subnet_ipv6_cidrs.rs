//! The IPv6 blocks of subnets.

use crate::seed::world;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(a_subnet_has_one_ipv6_block_of_its_vpc_and_takes_it_along);

async fn a_subnet_has_one_ipv6_block_of_its_vpc_and_takes_it_along(db: TestDb) {
    let store = db.open().await;
    let (vpc, first) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let second = SubnetRow {
        id: SubnetId::from_random(2),
        cidr: "172.31.16.0/20".parse().unwrap(),
        is_default: false,
        ..first.clone()
    };
    subnet_insert(&mut tx, &second).await.unwrap();
    let block = VpcIpv6CidrRow {
        id: VpcCidrAssociationId::from_random(1),
        vpc_id: vpc.id.clone(),
        cidr: "2001:db8::/56".parse().unwrap(),
        created_ms: 1,
    };
    vpc_ipv6_cidr_insert(&mut tx, &block).await.unwrap();
    let part = |n: u128, subnet: &SubnetRow, cidr: &str| SubnetIpv6CidrRow {
        id: SubnetCidrAssociationId::from_random(n),
        subnet_id: subnet.id.clone(),
        vpc_cidr_id: block.id.clone(),
        cidr: cidr.parse().unwrap(),
        assign_on_creation: false,
        created_ms: 1,
    };
    let (one, two) = (part(1, &first, "2001:db8:0:1::/64"), part(2, &second, "2001:db8:0:2::/64"));
    subnet_ipv6_cidr_insert(&mut tx, &one).await.unwrap();
    tx.commit().await.unwrap();

    for (more, conflict) in [
        (part(3, &first, "2001:db8:0:3::/64"), "subnet_ipv6_cidrs_subnet_id"),
        (part(3, &second, "2001:db8:0:1::/64"), "subnet_ipv6_cidrs_cidr"),
    ] {
        let mut tx = store.write().await.unwrap();
        let error = subnet_ipv6_cidr_insert(&mut tx, &more).await.unwrap_err();
        assert!(error.is_conflict(conflict), "{error}");
    }
    let mut tx = store.write().await.unwrap();
    subnet_ipv6_cidr_insert(&mut tx, &two).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(subnet_ipv6_cidr_fetch(&store, &one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(subnet_ipv6_cidr_list(&store, Some(&[second.id.clone()])).await.unwrap(), std::slice::from_ref(&two));
    assert_eq!(subnet_ipv6_cidr_list_in(&store, &vpc.id).await.unwrap(), [one.clone(), two.clone()]);
    assert!(subnet_ipv6_cidr_list_in(&store, &VpcId::from_random(9)).await.unwrap().is_empty());

    let mut tx = store.write().await.unwrap();
    assert!(subnet_ipv6_assign_set(&mut tx, &first.id, true).await.unwrap());
    assert!(!subnet_ipv6_assign_set(&mut tx, &first.id, true).await.unwrap(), "it is so already");
    assert!(!subnet_ipv6_assign_set(&mut tx, &SubnetId::from_random(9), true).await.unwrap());
    let held = subnet_ipv6_cidr_fetch_locked(&mut tx, &first.id).await.unwrap();
    assert_eq!(held, Some(SubnetIpv6CidrRow { assign_on_creation: true, ..one.clone() }));
    tx.commit().await.unwrap();

    // The VPC's block stays while a subnet has a part of it.
    let mut tx = store.write().await.unwrap();
    let error = vpc_ipv6_cidr_delete(&mut tx, &block.id).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse), "{error}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(subnet_delete(&mut tx, &second.id).await.unwrap());
    assert_eq!(subnet_ipv6_cidr_list(&mut tx, None).await.unwrap().len(), 1, "it went with its subnet");
    assert!(subnet_ipv6_cidr_delete(&mut tx, &one.id).await.unwrap());
    assert!(!subnet_ipv6_cidr_delete(&mut tx, &one.id).await.unwrap());
    assert!(vpc_ipv6_cidr_delete(&mut tx, &block.id).await.unwrap());
    tx.commit().await.unwrap();
}
