//! Network ACLs, their entries and associations.

use crate::seed::{account, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use sqlx::{AssertSqlSafe, Connection as _};

mallee_store::store_test_suite!(
    acls_and_their_entries,
    a_subnet_has_one_network_acl,
    a_vpc_has_one_default_network_acl,
    older_vpcs_get_acls_through_which_everything_passes
);

fn acl(vpc: &VpcRow, n: u128, is_default: bool) -> NetworkAclRow {
    NetworkAclRow {
        id: NetworkAclId::from_random(n),
        account_id: account(),
        vpc_id: vpc.id.clone(),
        is_default,
        generation: Generation(1),
        created_ms: 1,
    }
}

fn entry(acl: &NetworkAclRow, egress: bool, number: u32) -> NetworkAclEntryRow {
    NetworkAclEntryRow {
        acl_id: acl.id.clone(),
        egress,
        number,
        allow: true,
        protocol: 6,
        cidr: "10.0.0.0/8".parse().unwrap(),
        from_port: Some(22),
        to_port: Some(80),
    }
}

async fn acls_and_their_entries(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let (first, second) = (acl(&vpc, 1, true), acl(&vpc, 2, false));
    let rows = [entry(&first, false, 9), entry(&first, false, 100), entry(&first, true, 5)];
    let mut tx = store.write().await.unwrap();
    for row in [&first, &second] {
        network_acl_insert(&mut tx, row).await.unwrap();
    }
    for row in rows.iter().rev().chain([&entry(&second, false, 9)]) {
        network_acl_entry_insert(&mut tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let twice = network_acl_entry_insert(&mut tx, &rows[0]).await.unwrap_err();
    assert!(twice.is_conflict("network_acl_entries_acl_id_egress_number"));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let ids = [first.id.clone()];
    assert_eq!(network_acl_entry_list(&mut tx, &ids).await.unwrap(), rows);
    let other = NetworkAclEntryRow { allow: false, protocol: -1, from_port: None, to_port: None, ..rows[1].clone() };
    assert!(network_acl_entry_replace(&mut tx, &other).await.unwrap());
    assert!(!network_acl_entry_replace(&mut tx, &entry(&first, true, 100)).await.unwrap(), "the other direction");
    assert!(network_acl_entry_delete(&mut tx, &first.id, false, 9).await.unwrap());
    assert!(!network_acl_entry_delete(&mut tx, &first.id, false, 9).await.unwrap());
    assert_eq!(network_acl_entry_list(&mut tx, &ids).await.unwrap(), [other, rows[2].clone()]);
    network_acl_touch(&mut tx, &first.id).await.unwrap();
    let filter = NetworkAclFilter { ids: Some(&ids), ..Default::default() };
    let held = network_acl_list(&mut tx, filter, 9).await.unwrap();
    assert_eq!(held, [NetworkAclRow { generation: Generation(2), ..first.clone() }]);
    assert!(network_acl_delete(&mut tx, &first.id).await.unwrap());
    assert!(!network_acl_delete(&mut tx, &first.id).await.unwrap());
    assert!(network_acl_entry_list(&mut tx, &ids).await.unwrap().is_empty(), "they went with it");
    let vpcs = [vpc.id.clone()];
    let filter = NetworkAclFilter { account: Some(&account()), vpcs: Some(&vpcs), ..Default::default() };
    assert_eq!(network_acl_list(&mut tx, filter, 9).await.unwrap(), [second]);
    assert!(matches!(network_acl_touch(&mut tx, &first.id).await, Err(StoreError::NotFound { .. })));
}

async fn a_subnet_has_one_network_acl(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    let (first, second) = (acl(&vpc, 1, true), acl(&vpc, 2, false));
    let row = |n: u128| NetworkAclAssociationRow {
        id: NetworkAclAssociationId::from_random(n),
        acl_id: first.id.clone(),
        subnet_id: subnet.id.clone(),
    };
    let mut tx = store.write().await.unwrap();
    for acl in [&first, &second] {
        network_acl_insert(&mut tx, acl).await.unwrap();
    }
    network_acl_association_insert(&mut tx, &row(1)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let twice = network_acl_association_insert(&mut tx, &row(2)).await.unwrap_err();
    assert!(twice.is_conflict("network_acl_associations_subnet_id"));
    drop(tx);
    for what in ["acl", "subnet"] {
        let mut tx = store.write().await.unwrap();
        let gone = match what {
            "acl" => network_acl_delete(&mut tx, &first.id).await,
            _ => subnet_delete(&mut tx, &subnet.id).await,
        };
        assert!(matches!(gone, Err(StoreError::InUse)), "{what}: {gone:?}");
    }
    let mut tx = store.write().await.unwrap();
    let new = NetworkAclAssociationId::from_random(9);
    assert!(network_acl_association_replace(&mut tx, &row(1).id, &new, &second.id).await.unwrap());
    assert!(!network_acl_association_replace(&mut tx, &row(1).id, &new, &second.id).await.unwrap());
    let moved = NetworkAclAssociationRow { id: new.clone(), acl_id: second.id.clone(), ..row(1) };
    let acls = [second.id.clone()];
    for filter in [
        NetworkAclAssociationFilter { id: Some(&new), ..Default::default() },
        NetworkAclAssociationFilter { acls: Some(&acls), ..Default::default() },
        NetworkAclAssociationFilter { subnet: Some(&subnet.id), ..Default::default() },
    ] {
        assert_eq!(network_acl_association_list(&mut tx, filter).await.unwrap(), [moved.clone()]);
    }
    assert!(network_acl_delete(&mut tx, &first.id).await.unwrap());
    network_acl_association_of_subnet_delete(&mut tx, &subnet.id).await.unwrap();
    assert!(subnet_delete(&mut tx, &subnet.id).await.unwrap());
}

async fn a_vpc_has_one_default_network_acl(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    for row in [acl(&vpc, 1, true), acl(&vpc, 2, false), acl(&vpc, 3, false)] {
        network_acl_insert(&mut tx, &row).await.unwrap();
    }
    assert_eq!(network_acl_default(&mut tx, &vpc.id).await.unwrap(), Some(acl(&vpc, 1, true)));
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let second = network_acl_insert(&mut tx, &acl(&vpc, 4, true)).await.unwrap_err();
    assert!(second.is_conflict("network_acls_vpc_id"));
}

/// The last step before.
const OLDER: i64 = 40;

async fn older_vpcs_get_acls_through_which_everything_passes(db: TestDb) {
    db.migrate_to(OLDER).await;
    let (account, yes) = (account(), if db.is_postgres() { "TRUE" } else { "1" });
    let text = format!(
        "INSERT INTO vpcs (id, account_id, cidr, vni, is_default, generation, created_ms)
            VALUES ('vpc-0123456789abcdef0', '{account}', '172.31.0.0/16', 4096, {yes}, 3, 7);
        INSERT INTO subnets (id, account_id, vpc_id, zone, cidr, is_default, map_public_ip, generation, created_ms)
            VALUES ('subnet-0123456789abcdef1', '{account}', 'vpc-0123456789abcdef0', 'zone-a', '172.31.0.0/20', {yes},
                {yes}, 5, 7);",
    );
    if db.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
    } else {
        let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
    }
    let store = db.open().await;
    let vpc = vpc_default(&store, &account).await.unwrap().unwrap();
    let acl = network_acl_default(&store, &vpc.id).await.unwrap().unwrap();
    assert_eq!((acl.id.as_str(), &acl.account_id, acl.created_ms), ("acl-0123456789abcdef0", &account, 7));
    let entries = network_acl_entry_list(&store, std::slice::from_ref(&acl.id)).await.unwrap();
    let passing = |egress| NetworkAclEntryRow {
        protocol: -1,
        cidr: "0.0.0.0/0".parse().unwrap(),
        from_port: None,
        to_port: None,
        ..entry(&acl, egress, 100)
    };
    assert_eq!(entries, [passing(false), passing(true)]);
    let associations = network_acl_association_list(&store, NetworkAclAssociationFilter::default()).await.unwrap();
    let [only] = associations.as_slice() else { panic!("{associations:?}") };
    assert_eq!(
        (only.id.as_str(), &only.acl_id, only.subnet_id.as_str()),
        ("aclassoc-0123456789abcdef1", &acl.id, "subnet-0123456789abcdef1")
    );
    // A cluster that knows the subnet must hear of it again.
    assert_eq!(subnet_fetch(&store, &only.subnet_id).await.unwrap().generation, Generation(6));
}
