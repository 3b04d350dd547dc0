//! Placement groups: a group with members stays, and no instance joins one that is gone.

use crate::seed::{account, zone};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(groups_and_members);

async fn groups_and_members(db: TestDb) {
    let store = db.open().await;
    let group = PlacementGroupRow {
        id: PlacementGroupId::from_random(1),
        account_id: account(),
        name: "apart".into(),
        strategy: PlacementStrategy::Spread,
        partition_count: 0,
        spread_level: "rack".into(),
        created_ms: 5,
    };
    let instance = InstanceId::from_random(7);
    let mut tx = store.write().await.unwrap();
    placement_group_insert(&mut tx, &group).await.unwrap();
    placement_group_join(&mut tx, &instance, &group.id, &zone()).await.unwrap();
    placement_group_join(&mut tx, &instance, &group.id, &zone()).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let twice = PlacementGroupRow { id: PlacementGroupId::from_random(2), ..group.clone() };
    let twice = placement_group_insert(&mut tx, &twice).await.unwrap_err();
    assert!(twice.is_conflict("placement_groups_account_id_name"), "{twice:?}");
    drop(tx);
    assert_eq!(placement_group_list(&store, &account(), None, None, None, 9).await.unwrap(), [group.clone()]);
    assert_eq!(quota_use(&store, Counted::PlacementGroups, &account(), None).await.unwrap(), 1);
    assert_eq!(placement_group_member_count(&store, &group.id).await.unwrap(), 1);
    assert_eq!(placement_group_zones(&store, &group.id).await.unwrap(), [zone()]);
    let mut tx = store.write().await.unwrap();
    let gone = placement_group_delete(&mut tx, &account(), &group.id).await;
    assert!(matches!(gone, Err(StoreError::InUse)), "it has a member: {gone:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    placement_group_leave(&mut tx, &instance).await.unwrap();
    assert!(placement_group_delete(&mut tx, &account(), &group.id).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let late = placement_group_join(&mut tx, &instance, &group.id, &zone()).await;
    assert!(matches!(late, Err(StoreError::InUse)), "there is no such group: {late:?}");
}
