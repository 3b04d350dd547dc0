//! Transit gateways: what names what, what ends with what, and what is forgotten.

use crate::seed::{account, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(
    a_gateway_is_written_read_and_found,
    a_vpc_is_attached_once_and_does_not_go_before_it_leaves,
    a_table_knows_blocks_until_it_or_they_go,
    routes_are_of_their_table,
    what_has_ended_is_forgotten_and_nothing_else
);

pub fn gateway(n: u128) -> TransitGatewayRow {
    TransitGatewayRow {
        id: TransitGatewayId::from_random(n),
        account_id: account(),
        description: "of all".into(),
        asn: 64_512,
        dns: true,
        ecmp: false,
        auto_accept: true,
        default_association: true,
        default_propagation: false,
        association_table: Some(TransitTableId::from_random(n)),
        propagation_table: None,
        state: TransitState::Available,
        generation: Generation(1),
        created_ms: 5,
        ended_ms: None,
    }
}

pub fn table(n: u128, of: &TransitGatewayRow) -> TransitTableRow {
    TransitTableRow {
        id: TransitTableId::from_random(n),
        account_id: account(),
        gateway_id: of.id.clone(),
        state: TransitState::Available,
        created_ms: 5,
        ended_ms: None,
    }
}

pub fn attachment(
    n: u128,
    of: &TransitGatewayRow,
    vpc: &VpcId,
    table: Option<&TransitTableRow>,
) -> TransitAttachmentRow {
    TransitAttachmentRow {
        id: TransitAttachmentId::from_random(n),
        account_id: account(),
        gateway_id: of.id.clone(),
        vpc_id: vpc.clone(),
        subnets: Json(vec![SubnetId::from_random(n)]),
        dns: true,
        table_id: table.map(|table| table.id.clone()),
        state: TransitState::Available,
        created_ms: 5,
        ended_ms: None,
    }
}

/// A gateway with two tables, and the VPC of the world, which is attached.
async fn seeded(store: &Store) -> (TransitGatewayRow, [TransitTableRow; 2], TransitAttachmentRow) {
    let (vpc, _) = world(store, "172.31.0.0/24").await;
    let row = gateway(1);
    let tables = [table(1, &row), table(2, &row)];
    let at = attachment(1, &row, &vpc.id, Some(&tables[0]));
    let mut tx = store.write().await.unwrap();
    transit_gateway_insert(&mut tx, &row).await.unwrap();
    for table in &tables {
        transit_table_insert(&mut tx, table).await.unwrap();
    }
    transit_attachment_insert(&mut tx, &at).await.unwrap();
    tx.commit().await.unwrap();
    (row, tables, at)
}

async fn attachments(store: &Store, filter: TransitAttachmentFilter<'_>) -> Vec<TransitAttachmentRow> {
    transit_attachment_list(store, filter, 10).await.unwrap()
}

async fn a_gateway_is_written_read_and_found(db: TestDb) {
    let store = db.open().await;
    let (mut row, tables, at) = seeded(&store).await;
    let list = async |filter| transit_gateway_list(&store, filter, 10).await.unwrap();
    assert_eq!(list(TransitGatewayFilter::default()).await, [row.clone()]);
    let mut tx = store.write().await.unwrap();
    assert!(transit_gateway_touch(&mut tx, &row.id).await.unwrap());
    assert!(!transit_gateway_touch(&mut tx, &TransitGatewayId::from_random(9)).await.unwrap());
    row.generation = Generation(2);
    (row.description, row.asn, row.dns, row.ecmp) = ("other".into(), 4_200_000_000, false, true);
    (row.auto_accept, row.default_association, row.default_propagation) = (false, false, true);
    (row.association_table, row.propagation_table) = (None, Some(tables[1].id.clone()));
    transit_gateway_set(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    let accounts = [account(), "999999999999".parse().unwrap()];
    let [own, of_another] =
        accounts.each_ref().map(|account| TransitGatewayFilter { account: Some(account), ..Default::default() });
    assert_eq!(list(own).await, [row.clone()]);
    assert!(list(of_another).await.is_empty());
    let ids = [row.id.clone()];
    let ids = TransitGatewayFilter { ids: Some(&ids), ..Default::default() };
    assert_eq!(list(ids).await.len(), 1);
    assert!(list(TransitGatewayFilter { after: Some(&row.id), ..Default::default() }).await.is_empty());
    let by = |table| TransitAttachmentFilter { table: Some(table), ..Default::default() };
    assert_eq!(attachments(&store, by(&tables[0].id)).await, [at]);
    assert!(attachments(&store, by(&tables[1].id)).await.is_empty());
    let gateways = Some(std::slice::from_ref(&row.id));
    let found = transit_table_list(&store, TransitTableFilter { gateways, ..Default::default() }, 10).await.unwrap();
    assert_eq!(found.len(), 2);
}

async fn a_vpc_is_attached_once_and_does_not_go_before_it_leaves(db: TestDb) {
    let store = db.open().await;
    let (row, tables, at) = seeded(&store).await;
    let mut tx = store.write().await.unwrap();
    let again = transit_attachment_insert(&mut tx, &attachment(2, &row, &at.vpc_id, None)).await.unwrap_err();
    assert!(again.is_conflict("transit_attachments_gateway_id_live_vpc"), "{again}");
    drop(tx);
    // To another gateway it may be.
    let mut tx = store.write().await.unwrap();
    let other = gateway(2);
    transit_gateway_insert(&mut tx, &other).await.unwrap();
    transit_attachment_insert(&mut tx, &attachment(2, &other, &at.vpc_id, None)).await.unwrap();
    tx.commit().await.unwrap();
    let of_vpc = TransitAttachmentFilter { live_vpc: Some(&at.vpc_id), ..Default::default() };
    assert_eq!(attachments(&store, of_vpc).await.len(), 2);
    let mut tx = store.write().await.unwrap();
    let subnets = subnet_list(&mut tx, &account(), None, None, None, 10).await.unwrap();
    for subnet in subnets {
        subnet_delete(&mut tx, &subnet.id).await.unwrap();
    }
    assert!(matches!(vpc_delete(&mut tx, &at.vpc_id).await, Err(StoreError::InUse)));
    drop(tx);
    // It changes, and leaves: then it is shown, of no table, and is attached anew.
    let mut tx = store.write().await.unwrap();
    let mut changed = TransitAttachmentRow { dns: false, table_id: Some(tables[1].id.clone()), ..at.clone() };
    changed.subnets = Json(vec![SubnetId::from_random(7), SubnetId::from_random(8)]);
    transit_attachment_set(&mut tx, &changed).await.unwrap();
    assert!(transit_attachment_end(&mut tx, &at.id, 9).await.unwrap());
    assert!(!transit_attachment_end(&mut tx, &at.id, 10).await.unwrap());
    transit_attachment_insert(&mut tx, &attachment(3, &row, &at.vpc_id, None)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(attachments(&store, of_vpc).await.len(), 2);
    let gone = TransitAttachmentRow { state: TransitState::Deleted, table_id: None, ended_ms: Some(9), ..changed };
    let ids = [at.id];
    assert_eq!(attachments(&store, TransitAttachmentFilter { ids: Some(&ids), ..Default::default() }).await, [gone]);
}

async fn a_table_knows_blocks_until_it_or_they_go(db: TestDb) {
    let store = db.open().await;
    let (_, tables, at) = seeded(&store).await;
    let pair =
        |table: &TransitTableRow| TransitPropagationRow { table_id: table.id.clone(), attachment_id: at.id.clone() };
    let known = async || transit_propagation_list(&store, None, Some(&at.id), 10).await.unwrap();
    let mut tx = store.write().await.unwrap();
    for table in &tables {
        assert!(transit_propagation_put(&mut tx, &pair(table)).await.unwrap());
        assert!(!transit_propagation_put(&mut tx, &pair(table)).await.unwrap(), "it does already");
    }
    tx.commit().await.unwrap();
    assert_eq!(known().await.len(), 2);
    let mut tx = store.write().await.unwrap();
    assert!(transit_propagation_delete(&mut tx, &pair(&tables[0])).await.unwrap());
    assert!(!transit_propagation_delete(&mut tx, &pair(&tables[0])).await.unwrap());
    assert!(transit_propagation_put(&mut tx, &pair(&tables[0])).await.unwrap());
    // A table ends with what it knows, and what is attached with what knows it.
    assert!(transit_table_end(&mut tx, &tables[1].id, 9).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(known().await, [pair(&tables[0])]);
    let mut tx = store.write().await.unwrap();
    transit_attachment_end(&mut tx, &at.id, 9).await.unwrap();
    tx.commit().await.unwrap();
    assert!(known().await.is_empty());
}

async fn routes_are_of_their_table(db: TestDb) {
    let store = db.open().await;
    let (_, tables, at) = seeded(&store).await;
    let route = |table: &TransitTableRow, to: &str, attachment: Option<&TransitAttachmentId>| TransitRouteRow {
        table_id: table.id.clone(),
        destination: to.parse().unwrap(),
        attachment_id: attachment.cloned(),
    };
    let (one, other) = (route(&tables[0], "10.0.0.0/8", Some(&at.id)), route(&tables[1], "10.0.0.0/8", None));
    let mut tx = store.write().await.unwrap();
    transit_route_insert(&mut tx, &one).await.unwrap();
    transit_route_insert(&mut tx, &other).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let again = transit_route_insert(&mut tx, &route(&tables[0], "10.0.0.0/8", None)).await.unwrap_err();
    assert!(again.is_conflict("transit_routes_table_id_destination"), "{again}");
    drop(tx);
    let list =
        async |table: &TransitTableRow| transit_route_list(&store, std::slice::from_ref(&table.id), 10).await.unwrap();
    assert_eq!(list(&tables[0]).await, [one]);
    let mut tx = store.write().await.unwrap();
    let nowhere = route(&tables[0], "10.0.0.0/8", None);
    assert!(transit_route_set(&mut tx, &nowhere).await.unwrap());
    assert!(!transit_route_set(&mut tx, &route(&tables[0], "10.0.0.0/9", None)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(list(&tables[0]).await, [nowhere.clone()]);
    let mut tx = store.write().await.unwrap();
    assert!(transit_route_delete(&mut tx, &tables[0].id, nowhere.destination).await.unwrap());
    assert!(!transit_route_delete(&mut tx, &tables[0].id, nowhere.destination).await.unwrap());
    transit_table_end(&mut tx, &tables[1].id, 9).await.unwrap();
    tx.commit().await.unwrap();
    assert!(list(&tables[0]).await.is_empty() && list(&tables[1]).await.is_empty());
}

async fn what_has_ended_is_forgotten_and_nothing_else(db: TestDb) {
    let store = db.open().await;
    let (row, tables, at) = seeded(&store).await;
    let mut tx = store.write().await.unwrap();
    transit_attachment_end(&mut tx, &at.id, 9).await.unwrap();
    transit_table_end(&mut tx, &tables[0].id, 9).await.unwrap();
    transit_table_end(&mut tx, &tables[1].id, 10).await.unwrap();
    assert!(transit_gateway_end(&mut tx, &row.id, 9).await.unwrap());
    assert!(!transit_gateway_touch(&mut tx, &row.id).await.unwrap(), "what has ended is not changed");
    transit_gateway_insert(&mut tx, &gateway(2)).await.unwrap();
    assert!(transit_forget(&mut tx, 8).await.unwrap().is_empty(), "it is shown for a while");
    // A gateway whose table is shown yet waits for that.
    assert_eq!(transit_forget(&mut tx, 9).await.unwrap(), [at.id.to_string(), tables[0].id.to_string()]);
    assert_eq!(transit_forget(&mut tx, 10).await.unwrap(), [tables[1].id.to_string(), row.id.to_string()]);
    tx.commit().await.unwrap();
    let left = transit_gateway_list(&store, TransitGatewayFilter::default(), 10).await.unwrap();
    assert_eq!(left, [gateway(2)]);
}
