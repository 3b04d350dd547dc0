//! The IPv6 blocks of VPCs.

use crate::seed::world;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(an_ipv6_block_is_of_one_vpc_and_goes_with_it);

async fn an_ipv6_block_is_of_one_vpc_and_goes_with_it(db: TestDb) {
    let store = db.open().await;
    let (first, _) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let vni = vpc_vni_take(&mut tx).await.unwrap();
    let vpc = VpcRow { id: VpcId::from_random(2), vni, is_default: false, ..first.clone() };
    vpc_insert(&mut tx, &vpc).await.unwrap();
    let block = |n: u128, vpc: &VpcRow, cidr: &str| VpcIpv6CidrRow {
        id: VpcCidrAssociationId::from_random(n),
        vpc_id: vpc.id.clone(),
        cidr: cidr.parse().unwrap(),
        created_ms: 1,
    };
    let (gone, kept) = (block(1, &vpc, "2001:db8:0:100::/56"), block(2, &first, "2001:db8:0:200::/56"));
    vpc_ipv6_cidr_hold(&mut tx).await.unwrap();
    vpc_ipv6_cidr_insert(&mut tx, &gone).await.unwrap();
    vpc_ipv6_cidr_insert(&mut tx, &kept).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let twice = vpc_ipv6_cidr_insert(&mut tx, &block(3, &first, "2001:db8:0:100::/56")).await.unwrap_err();
    assert!(twice.is_conflict("vpc_ipv6_cidrs_cidr"), "{twice}");
    drop(tx);
    let of = [vpc.id.clone()];
    assert_eq!(vpc_ipv6_cidr_list(&store, Some(&of)).await.unwrap(), std::slice::from_ref(&gone));
    assert_eq!(vpc_ipv6_cidr_fetch(&store, &gone.id).await.unwrap(), Some(gone.clone()));
    let mut tx = store.write().await.unwrap();
    assert!(vpc_delete(&mut tx, &vpc.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(vpc_ipv6_cidr_list(&store, None).await.unwrap(), std::slice::from_ref(&kept));
    let mut tx = store.write().await.unwrap();
    assert!(vpc_ipv6_cidr_delete(&mut tx, &kept.id).await.unwrap());
    assert!(!vpc_ipv6_cidr_delete(&mut tx, &kept.id).await.unwrap());
    // Free again.
    vpc_ipv6_cidr_insert(&mut tx, &block(4, &first, "2001:db8:0:100::/56")).await.unwrap();
    tx.commit().await.unwrap();
}
