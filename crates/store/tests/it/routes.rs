//! Route tables, their routes and associations, and internet gateways.

use crate::seed::{account, world};
use ipnet::Ipv4Net;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use sqlx::{AssertSqlSafe, Connection as _};

mallee_store::store_test_suite!(
    tables_and_their_routes,
    a_subnet_has_one_table,
    a_vpc_has_one_gateway,
    older_vpcs_get_their_routes
);

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

async fn table(tx: &mut Tx, vpc: &VpcRow, n: u128) -> RouteTableRow {
    let row = RouteTableRow {
        id: RouteTableId::from_random(n),
        account_id: account(),
        vpc_id: vpc.id.clone(),
        number: route_table_number(tx, &vpc.id).await.unwrap(),
        generation: Generation(1),
        created_ms: 1,
    };
    route_table_insert(tx, &row).await.unwrap();
    row
}

fn route(table: &RouteTableRow, to: &str, gateway: &str) -> RouteRow {
    RouteRow {
        table_id: table.id.clone(),
        destination: net(to).into(),
        target_kind: TO_INTERNET_GATEWAY.into(),
        target_id: gateway.into(),
    }
}

async fn tables_and_their_routes(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let tables = [table(&mut tx, &vpc, 1).await, table(&mut tx, &vpc, 2).await, table(&mut tx, &vpc, 3).await];
    assert_eq!(tables.each_ref().map(|table| table.number), [1, 2, 3]);
    let (first, second) = (&tables[0], &tables[1]);
    let (all, part) = (route(first, "0.0.0.0/0", "igw-1"), route(first, "10.0.0.0/8", "igw-2"));
    route_insert(&mut tx, &all).await.unwrap();
    route_insert(&mut tx, &part).await.unwrap();
    route_insert(&mut tx, &route(second, "0.0.0.0/0", "igw-1")).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(route_insert(&mut tx, &all).await.unwrap_err().is_conflict("routes_table_id_destination"));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let ids = [first.id.clone()];
    assert_eq!(route_list(&mut tx, &ids).await.unwrap(), [all.clone(), part.clone()]);
    let other = route(first, "10.0.0.0/8", "igw-3");
    assert!(route_replace(&mut tx, &other).await.unwrap());
    assert!(!route_replace(&mut tx, &route(first, "11.0.0.0/8", "igw-3")).await.unwrap());
    assert!(route_delete(&mut tx, &first.id, &net("0.0.0.0/0").into()).await.unwrap());
    assert!(!route_delete(&mut tx, &first.id, &net("0.0.0.0/0").into()).await.unwrap());
    assert_eq!(route_list(&mut tx, &ids).await.unwrap(), [other]);
    route_table_touch(&mut tx, &first.id).await.unwrap();
    let filter = RouteTableFilter { ids: Some(&ids), ..Default::default() };
    let held = route_table_list(&mut tx, filter, 9).await.unwrap();
    assert_eq!(held, [RouteTableRow { generation: Generation(2), ..first.clone() }]);
    // A number is free again with its table, and the routes are gone with it.
    assert!(route_table_delete(&mut tx, &first.id).await.unwrap());
    assert!(route_list(&mut tx, &ids).await.unwrap().is_empty());
    assert_eq!(route_table_number(&mut tx, &vpc.id).await.unwrap(), 1);
    let filter = RouteTableFilter { account: Some(&account()), after: Some(&second.id), ..Default::default() };
    assert_eq!(route_table_list(&mut tx, filter, 9).await.unwrap(), [tables[2].clone()]);
    assert!(matches!(route_table_touch(&mut tx, &first.id).await, Err(StoreError::NotFound { .. })));
}

async fn a_subnet_has_one_table(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    let mut tx = store.write().await.unwrap();
    let (first, second) = (table(&mut tx, &vpc, 1).await, table(&mut tx, &vpc, 2).await);
    let row = |n: u128, subnet_id: Option<SubnetId>| RouteAssociationRow {
        id: RouteAssociationId::from_random(n),
        table_id: first.id.clone(),
        vpc_id: vpc.id.clone(),
        subnet_id,
    };
    let (main, own) = (row(1, None), row(2, Some(subnet.id.clone())));
    route_association_insert(&mut tx, &main).await.unwrap();
    route_association_insert(&mut tx, &own).await.unwrap();
    tx.commit().await.unwrap();
    for (again, conflict) in
        [(row(3, None), "route_associations_vpc_id"), (row(3, Some(subnet.id.clone())), "route_associations_subnet_id")]
    {
        let mut tx = store.write().await.unwrap();
        assert!(route_association_insert(&mut tx, &again).await.unwrap_err().is_conflict(conflict));
    }
    let mut tx = store.write().await.unwrap();
    assert!(matches!(route_table_delete(&mut tx, &first.id).await, Err(StoreError::InUse)));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let mains = RouteAssociationFilter { vpc: Some(&vpc.id), main: true, ..Default::default() };
    assert_eq!(route_association_list(&mut tx, mains).await.unwrap(), [main.clone()]);
    let of_subnet = RouteAssociationFilter { subnet: Some(&subnet.id), ..Default::default() };
    assert_eq!(route_association_list(&mut tx, of_subnet).await.unwrap(), [own.clone()]);
    let new = RouteAssociationId::from_random(9);
    assert!(route_association_replace(&mut tx, &own.id, &new, &second.id).await.unwrap());
    assert!(!route_association_replace(&mut tx, &own.id, &new, &second.id).await.unwrap());
    let moved = RouteAssociationRow { id: new.clone(), table_id: second.id.clone(), ..own };
    assert_eq!(route_association_list(&mut tx, of_subnet).await.unwrap(), [moved]);
    assert!(route_association_delete(&mut tx, &new).await.unwrap());
    assert!(!route_association_delete(&mut tx, &new).await.unwrap());
    assert!(!route_association_of_subnet_delete(&mut tx, &subnet.id).await.unwrap());
    route_association_main_delete(&mut tx, &vpc.id).await.unwrap();
    assert!(route_table_delete(&mut tx, &first.id).await.unwrap());
}

async fn a_vpc_has_one_gateway(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let gateway = |n: u128| InternetGatewayRow {
        id: InternetGatewayId::from_random(n),
        account_id: account(),
        vpc_id: None,
        created_ms: 1,
    };
    let (first, second) = (gateway(1), gateway(2));
    let mut tx = store.write().await.unwrap();
    internet_gateway_insert(&mut tx, &first).await.unwrap();
    internet_gateway_insert(&mut tx, &second).await.unwrap();
    assert!(internet_gateway_attach(&mut tx, &first.id, &vpc.id).await.unwrap());
    assert!(!internet_gateway_attach(&mut tx, &first.id, &vpc.id).await.unwrap(), "it is attached");
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let taken = internet_gateway_attach(&mut tx, &second.id, &vpc.id).await.unwrap_err();
    assert!(taken.is_conflict("internet_gateways_vpc_id"));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let attached = InternetGatewayRow { vpc_id: Some(vpc.id.clone()), ..first.clone() };
    let vpcs = [vpc.id.clone()];
    assert_eq!(internet_gateway_list_attached(&mut tx, Some(&vpcs), None, 9).await.unwrap(), [attached.clone()]);
    let all = internet_gateway_list(&mut tx, &account(), None, None, None, 9).await.unwrap();
    assert_eq!(all, [attached, second.clone()]);
    assert!(!vpc_has_public_address(&mut tx, &vpc.id).await.unwrap());
    assert!(!internet_gateway_delete(&mut tx, &first.id).await.unwrap(), "it is attached");
    assert!(!internet_gateway_detach(&mut tx, &second.id, &vpc.id).await.unwrap(), "it is not");
    assert!(internet_gateway_detach(&mut tx, &first.id, &vpc.id).await.unwrap());
    assert!(internet_gateway_delete(&mut tx, &first.id).await.unwrap());
    assert_eq!(internet_gateway_list(&mut tx, &account(), None, Some(&vpcs), None, 9).await.unwrap(), []);
}

/// The last step before.
const OLDER: i64 = 29;

async fn older_vpcs_get_their_routes(db: TestDb) {
    db.migrate_to(OLDER).await;
    let text = format!(
        "INSERT INTO vpcs (id, account_id, cidr, vni, is_default, generation, created_ms)
            VALUES ('vpc-0123456789abcdef0', '{}', '172.31.0.0/16', 4096, {}, 3, 7);",
        account(),
        if db.is_postgres() { "TRUE" } else { "1" }
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
    assert!(vpc.dns_support && vpc.dns_hostnames && !vpc.dedicated);
    let tables = route_table_list(&store, RouteTableFilter::default(), 9).await.unwrap();
    let [main] = tables.as_slice() else { panic!("{tables:?}") };
    assert_eq!((main.id.as_str(), &main.vpc_id, main.number), ("rtb-0123456789abcdef0", &vpc.id, 1));
    let filter = RouteAssociationFilter { main: true, ..Default::default() };
    let mains = route_association_list(&store, filter).await.unwrap();
    assert_eq!((mains.len(), mains[0].id.as_str(), &mains[0].table_id), (1, "rtbassoc-0123456789abcdef0", &main.id));
    let gateways = internet_gateway_list_attached(&store, None, None, 9).await.unwrap();
    assert_eq!((gateways.len(), gateways[0].vpc_id.as_ref()), (1, Some(&vpc.id)));
    let routes = route_list(&store, &[main.id.clone()]).await.unwrap();
    assert_eq!(routes, [route(main, "0.0.0.0/0", gateways[0].id.as_str())]);
}
