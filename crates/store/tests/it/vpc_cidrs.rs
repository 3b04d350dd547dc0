//! The blocks of VPCs besides the first.

use crate::seed::world;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(blocks_come_in_their_order_once_each, a_vpc_goes_with_its_blocks);

fn block(vpc: &VpcRow, n: u128, cidr: &str, created_ms: i64) -> VpcCidrRow {
    let id = VpcCidrAssociationId::from_random(n);
    VpcCidrRow { id, vpc_id: vpc.id.clone(), cidr: cidr.parse().unwrap(), created_ms }
}

async fn blocks_come_in_their_order_once_each(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    assert_eq!(vpc_blocks(&store, &vpc).await.unwrap(), [vpc.cidr]);
    let (late, early) = (block(&vpc, 1, "10.0.0.0/16", 9), block(&vpc, 2, "100.64.0.0/24", 5));
    let mut tx = store.write().await.unwrap();
    for row in [&late, &early] {
        vpc_cidr_insert(&mut tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let twice = vpc_cidr_insert(&mut tx, &block(&vpc, 3, "10.0.0.0/16", 1)).await.unwrap_err();
    assert!(twice.is_conflict("vpc_cidrs_vpc_id_cidr"));
    drop(tx);
    assert_eq!(vpc_blocks(&store, &vpc).await.unwrap(), [vpc.cidr, early.cidr, late.cidr]);
    let (own, other) = ([vpc.id.clone()], [VpcId::from_random(9)]);
    let both = [early.clone(), late.clone()];
    assert_eq!(vpc_cidr_list(&store, Some(&own)).await.unwrap(), both);
    assert_eq!(vpc_cidr_list(&store, None).await.unwrap(), both);
    assert!(vpc_cidr_list(&store, Some(&other)).await.unwrap().is_empty());
    assert_eq!(vpc_cidr_fetch(&store, &late.id).await.unwrap(), Some(late.clone()));
    let mut tx = store.write().await.unwrap();
    assert!(vpc_cidr_delete(&mut tx, &early.id).await.unwrap());
    assert!(!vpc_cidr_delete(&mut tx, &early.id).await.unwrap());
    assert_eq!(vpc_cidr_fetch(&mut tx, &early.id).await.unwrap(), None);
    assert_eq!(vpc_blocks(&mut tx, &vpc).await.unwrap(), [vpc.cidr, late.cidr]);
}

async fn a_vpc_goes_with_its_blocks(db: TestDb) {
    let store = db.open().await;
    let (first, _) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let vni = vpc_vni_take(&mut tx).await.unwrap();
    let vpc = VpcRow { id: VpcId::from_random(2), vni, is_default: false, ..first.clone() };
    vpc_insert(&mut tx, &vpc).await.unwrap();
    vpc_cidr_insert(&mut tx, &block(&vpc, 1, "10.0.0.0/16", 1)).await.unwrap();
    let kept = block(&first, 2, "10.0.0.0/16", 1);
    vpc_cidr_insert(&mut tx, &kept).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(vpc_delete(&mut tx, &vpc.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(vpc_cidr_list(&store, None).await.unwrap(), [kept]);
}
