//! DHCP option sets, and which VPC has which.

use crate::seed::{account, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use sqlx::{AssertSqlSafe, Connection as _};

mallee_store::store_test_suite!(
    a_vpc_has_one_set_or_none,
    an_account_has_one_default_set,
    a_set_of_another_account_is_found,
    older_vpcs_get_the_default_set,
);

pub fn options(n: u128, is_default: bool) -> DhcpOptionsRow {
    let doc = DhcpOptionsDoc {
        domain_name: Some("a.example b.example".into()),
        domain_name_servers: vec!["10.0.0.9".into(), "AmazonProvidedDNS".into()],
        ntp_servers: vec!["10.0.0.10".parse().unwrap()],
        netbios_name_servers: vec!["10.0.0.11".parse().unwrap()],
        netbios_node_type: Some(2),
    };
    DhcpOptionsRow {
        id: DhcpOptionsId::from_random(n),
        account_id: account(),
        is_default,
        doc: Json(if is_default { DhcpOptionsDoc::default() } else { doc }),
        created_ms: 5,
    }
}

async fn a_vpc_has_one_set_or_none(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let (first, second) = (options(1, false), options(2, false));
    let mut tx = store.write().await.unwrap();
    for set in [&first, &second] {
        assert!(dhcp_options_insert(&mut tx, set).await.unwrap());
    }
    assert!(!dhcp_options_associate(&mut tx, &vpc.id, None).await.unwrap(), "it has none");
    assert!(dhcp_options_associate(&mut tx, &vpc.id, Some(&first.id)).await.unwrap());
    assert!(!dhcp_options_associate(&mut tx, &vpc.id, Some(&first.id)).await.unwrap(), "it has it");
    tx.commit().await.unwrap();
    let row = vpc_fetch(&store, &vpc.id).await.unwrap();
    assert_eq!(row.dhcp_options_id.as_ref(), Some(&first.id));
    assert_eq!(row.generation, Generation(vpc.generation.0 + 1), "nodes hear of it");
    assert_eq!(dhcp_options_list_used(&store, None, None, 9).await.unwrap(), [first.clone()]);
    assert_eq!(dhcp_options_list_used(&store, Some(&[second.id.clone()]), None, 9).await.unwrap(), []);
    let list = dhcp_options_list(&store, &account(), None, None, 9).await.unwrap();
    assert_eq!(list, [first.clone(), second.clone()]);
    let list = dhcp_options_list(&store, &account(), None, Some(&first.id), 9).await.unwrap();
    assert_eq!(list, [second.clone()]);
    let other: AccountId = "000000000002".parse().unwrap();
    assert_eq!(dhcp_options_list(&store, &other, Some(&[first.id.clone()]), None, 9).await.unwrap(), []);

    let mut tx = store.write().await.unwrap();
    let refused = dhcp_options_delete(&mut tx, &first.id).await;
    assert!(matches!(refused, Err(StoreError::InUse)), "{refused:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(dhcp_options_delete(&mut tx, &second.id).await.unwrap());
    assert!(!dhcp_options_delete(&mut tx, &second.id).await.unwrap());
    let gone = dhcp_options_associate(&mut tx, &vpc.id, Some(&second.id)).await;
    assert!(matches!(gone, Err(StoreError::InUse)), "{gone:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(dhcp_options_associate(&mut tx, &vpc.id, None).await.unwrap());
    assert!(dhcp_options_delete(&mut tx, &first.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(vpc_fetch(&store, &vpc.id).await.unwrap().dhcp_options_id, None);
}

async fn an_account_has_one_default_set(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(dhcp_options_default(&mut tx, &account()).await.unwrap(), None);
    assert!(dhcp_options_insert(&mut tx, &options(1, true)).await.unwrap());
    assert!(!dhcp_options_insert(&mut tx, &options(2, true)).await.unwrap(), "another replica's stays");
    assert_eq!(dhcp_options_default(&mut tx, &account()).await.unwrap(), Some(options(1, true)));
    dhcp_options_associate(&mut tx, &vpc.id, Some(&options(1, true).id)).await.unwrap();
    assert_eq!(
        dhcp_options_list_used(&mut tx, None, None, 9).await.unwrap(),
        [],
        "a default set says what the cloud says"
    );
    creators_put(&mut tx, "AIDAANN", &[options(3, false).id.to_string()]).await.unwrap();
    dhcp_options_insert(&mut tx, &options(3, false)).await.unwrap();
    assert_eq!(quota_use(&mut tx, Counted::DhcpOptions, &account(), None).await.unwrap(), 2);
    assert_eq!(quota_use(&mut tx, Counted::DhcpOptions, &account(), Some("AIDAANN")).await.unwrap(), 1);
    tx.commit().await.unwrap();
}

async fn a_set_of_another_account_is_found(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let foreign = DhcpOptionsRow { account_id: "000000000002".parse().unwrap(), ..options(1, false) };
    let mut tx = store.write().await.unwrap();
    dhcp_options_insert(&mut tx, &foreign).await.unwrap();
    assert_eq!(vpc_list_strange_dhcp(&mut tx).await.unwrap(), []);
    dhcp_options_associate(&mut tx, &vpc.id, Some(&foreign.id)).await.unwrap();
    assert_eq!(vpc_list_strange_dhcp(&mut tx).await.unwrap(), [vpc.id]);
}

/// The last step before that all branches have.
const OLDER: i64 = 40;

async fn older_vpcs_get_the_default_set(db: TestDb) {
    db.migrate_to(OLDER).await;
    let yes = if db.is_postgres() { "TRUE" } else { "1" };
    let other = "000000000002";
    let text = format!(
        "INSERT INTO accounts (id, name, created_ms) VALUES ('{0}', 'first', 3), ('{other}', 'second', 4);
        INSERT INTO vpcs (id, account_id, cidr, vni, is_default, generation, created_ms)
            VALUES ('vpc-0123456789abcdef0', '{0}', '172.31.0.0/16', 4096, {yes}, 3, 7);",
        account(),
    );
    if db.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
    } else {
        let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut conn).await.unwrap();
    }
    let store = db.open().await;
    let vpc = vpc_default(&store, &account()).await.unwrap().unwrap();
    assert_eq!(vpc.generation, Generation(3), "its guests are told what they were: nodes need not hear of it");
    let of = async |account: &str| dhcp_options_default(&store, &account.parse().unwrap()).await.unwrap().unwrap();
    let set = of(crate::seed::ACCOUNT).await;
    assert_eq!(vpc.dhcp_options_id.as_ref(), Some(&set.id));
    assert_eq!((set.id.as_str(), set.created_ms), ("dopt-00000000000000001", 3));
    assert_eq!(of(other).await.id.as_str(), "dopt-00000000000000002", "also without a VPC");
}
