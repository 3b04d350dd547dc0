//! NAT gateways: what has an interface, what each node and zone has, and what is gone.

use crate::seed::{account, interface, world, zone};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(
    a_gateway_keeps_its_interface_until_its_node_has_let_go,
    only_the_place_that_is_meant_makes_it_available,
    places_and_quotas_count_what_is_live,
    the_interface_of_a_gateway_is_no_instances,
    more_addresses_come_drain_and_go
);

async fn eni(store: &Store, subnet: &SubnetRow, n: u128) -> InterfaceRow {
    let mut tx = store.write().await.unwrap();
    let ip = private_addresses_take(&mut tx, &subnet.id, subnet.cidr, 1).await.unwrap()[0];
    let row = InterfaceRow { kind: InterfaceKind::NatGateway, source_dest_check: false, ..interface(subnet, n, ip) };
    interface_insert(&mut tx, &row, &[]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(interface_fetch(store, &row.id).await.unwrap(), row);
    row
}

fn node(n: u8) -> NodeId {
    format!("n-{n}").parse().unwrap()
}

pub fn gateway(n: u128, eni: &InterfaceRow, on: u8) -> NatGatewayRow {
    NatGatewayRow {
        id: NatGatewayId::from_random(n),
        account_id: account(),
        vpc_id: eni.vpc_id.clone(),
        subnet_id: eni.subnet_id.clone(),
        zone: zone(),
        private: true,
        interface_id: Some(eni.id.clone()),
        private_ip: Some(eni.private_ip),
        allocation_id: None,
        association_id: None,
        public_ip: None,
        state: NatGatewayState::Pending,
        failure_code: None,
        failure_message: None,
        node_id: Some(node(on)),
        incarnation: Incarnation(1),
        generation: Generation(1),
        created_ms: 5,
        ended_ms: None,
    }
}

pub fn failed(n: u128, of: &NatGatewayRow) -> NatGatewayRow {
    NatGatewayRow {
        id: NatGatewayId::from_random(n),
        interface_id: None,
        private_ip: None,
        state: NatGatewayState::Failed,
        failure_code: Some("Gateway.NotAttached".into()),
        failure_message: Some("why".into()),
        node_id: None,
        ended_ms: Some(6),
        ..of.clone()
    }
}

async fn insert(store: &Store, row: &NatGatewayRow) -> Result<(), StoreError> {
    let mut tx = store.write().await.unwrap();
    nat_gateway_insert(&mut tx, row).await?;
    tx.commit().await
}

async fn listed(store: &Store, filter: NatGatewayFilter<'_>) -> Vec<NatGatewayRow> {
    nat_gateway_list(store, filter, 10).await.unwrap()
}

async fn a_gateway_keeps_its_interface_until_its_node_has_let_go(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let eni = eni(&store, &subnet, 1).await;
    let row = gateway(1, &eni, 1);
    insert(&store, &row).await.unwrap();
    let again = insert(&store, &gateway(2, &eni, 1)).await.unwrap_err();
    assert!(again.is_conflict("nat_gateways_live_interface"), "{again}");
    assert_eq!(listed(&store, NatGatewayFilter { live: true, ..Default::default() }).await, [row.clone()]);
    let kept = {
        let mut tx = store.write().await.unwrap();
        match interface_delete(&mut tx, &eni.id).await {
            Ok(_) => tx.commit().await.unwrap_err(),
            Err(error) => error,
        }
    };
    assert!(matches!(kept, StoreError::InUse), "{kept}");
    let mut tx = store.write().await.unwrap();
    assert!(!nat_gateway_gone(&mut tx, &row.id, 9).await.unwrap(), "nobody wants it to go");
    assert!(nat_gateway_delete(&mut tx, &row.id).await.unwrap());
    assert!(!nat_gateway_delete(&mut tx, &row.id).await.unwrap());
    assert!(!nat_gateway_forget(&mut tx, &row.id).await.unwrap());
    assert!(nat_gateway_gone(&mut tx, &row.id, 9).await.unwrap());
    assert!(!nat_gateway_gone(&mut tx, &row.id, 10).await.unwrap());
    assert!(interface_delete(&mut tx, &eni.id).await.unwrap());
    tx.commit().await.unwrap();
    let (state, generation) = (NatGatewayState::Deleted, Generation(3));
    let gone = NatGatewayRow { state, generation, ended_ms: Some(9), ..row.clone() };
    assert_eq!(listed(&store, NatGatewayFilter { state: Some(state), ..Default::default() }).await, [gone]);
    assert!(nat_gateway_list_over(&store, 8, 10).await.unwrap().is_empty());
    assert_eq!(nat_gateway_list_over(&store, 9, 10).await.unwrap(), [row.id.clone()]);
    let mut tx = store.write().await.unwrap();
    assert!(nat_gateway_forget(&mut tx, &row.id).await.unwrap());
    tx.commit().await.unwrap();
    // One that names an interface that is not there is none.
    let lost = {
        let mut tx = store.write().await.unwrap();
        match nat_gateway_insert(&mut tx, &row).await {
            Ok(()) => tx.commit().await.unwrap_err(),
            Err(error) => error,
        }
    };
    assert!(matches!(lost, StoreError::InUse), "{lost}");
}

async fn only_the_place_that_is_meant_makes_it_available(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let row = gateway(1, &eni(&store, &subnet, 1).await, 1);
    insert(&store, &row).await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(!nat_gateway_up(&mut tx, &row.id, &node(2), Incarnation(1)).await.unwrap());
    assert!(!nat_gateway_up(&mut tx, &row.id, &node(1), Incarnation(2)).await.unwrap());
    assert!(nat_gateway_up(&mut tx, &row.id, &node(1), Incarnation(1)).await.unwrap());
    assert!(!nat_gateway_up(&mut tx, &row.id, &node(1), Incarnation(1)).await.unwrap(), "it is");
    assert!(nat_gateway_delete(&mut tx, &row.id).await.unwrap());
    assert!(!nat_gateway_up(&mut tx, &row.id, &node(1), Incarnation(1)).await.unwrap(), "it is to go");
    tx.commit().await.unwrap();
}

async fn places_and_quotas_count_what_is_live(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    for (n, on) in [(1, 1), (2, 2), (3, 2)] {
        insert(&store, &gateway(n, &eni(&store, &subnet, n).await, on)).await.unwrap();
    }
    let of = listed(&store, NatGatewayFilter::default()).await.remove(0);
    let lost = failed(4, &of);
    insert(&store, &lost).await.unwrap();
    assert_eq!(nat_gateway_count(&store, &account(), &zone()).await.unwrap(), 3);
    assert_eq!(nat_gateway_nodes(&store, &zone()).await.unwrap(), [(node(1), 1), (node(2), 2)]);
    let elsewhere = "elsewhere".parse().unwrap();
    assert_eq!(nat_gateway_count(&store, &account(), &elsewhere).await.unwrap(), 0);
    assert!(nat_gateway_nodes(&store, &elsewhere).await.unwrap().is_empty());
    let mut tx = store.write().await.unwrap();
    assert!(!nat_gateway_delete(&mut tx, &lost.id).await.unwrap(), "there is nothing to take down");
    assert!(nat_gateway_failed_delete(&mut tx, &lost.id, 9).await.unwrap());
    assert!(!nat_gateway_failed_delete(&mut tx, &of.id, 9).await.unwrap());
    tx.commit().await.unwrap();
    let some = [lost.id.clone()];
    let filter = NatGatewayFilter { account: Some(&account()), ids: Some(&some), ..Default::default() };
    assert_eq!(listed(&store, filter).await[0].state, NatGatewayState::Deleted);
}

async fn the_interface_of_a_gateway_is_no_instances(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let eni = eni(&store, &subnet, 1).await;
    assert!(eni.is_taken());
    let instance = crate::seed::instance(&subnet, 1);
    let mut tx = store.write().await.unwrap();
    instance_insert(&mut tx, &instance, None).await.unwrap();
    let attachment = AttachmentId::from_random(1);
    let refused = interface_attach(&mut tx, &eni.id, &instance.id, &attachment, 1, false).await.unwrap_err();
    assert!(matches!(refused, StoreError::Stale { .. }), "{refused}");
}

async fn more_addresses_come_drain_and_go(db: TestDb) {
    let store = db.open().await;
    let (_, subnet) = world(&store, "172.31.0.0/24").await;
    let row = gateway(1, &eni(&store, &subnet, 1).await, 1);
    insert(&store, &row).await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert_eq!(nat_gateway_touch(&mut tx, &row.id).await.unwrap(), None, "it is pending");
    assert!(nat_gateway_up(&mut tx, &row.id, &node(1), row.incarnation).await.unwrap());
    let generation = nat_gateway_touch(&mut tx, &row.id).await.unwrap().unwrap();
    assert_eq!(generation, Generation(2));
    let made = |ip: &str| NatAddressRow {
        gateway_id: row.id.clone(),
        address: ip.parse().unwrap(),
        allocation_id: None,
        association_id: None,
        public_ip: None,
        state: NatAddressState::Adding,
        generation,
        drained_ms: None,
    };
    let (a, b) = (made("172.31.0.20"), made("172.31.0.21"));
    nat_address_insert(&mut tx, &[a.clone(), b.clone()]).await.unwrap();
    assert_eq!(nat_address_up(&mut tx, &row.id, Generation(1)).await.unwrap(), 0, "its node does not have them");
    assert_eq!(nat_address_up(&mut tx, &row.id, generation).await.unwrap(), 2);
    assert!(!nat_address_leave(&mut tx, &a, Generation(3)).await.unwrap(), "it does not drain");
    assert!(nat_address_drain(&mut tx, &a, Generation(3), 100).await.unwrap());
    assert!(!nat_address_drain(&mut tx, &a, Generation(4), 200).await.unwrap(), "it keeps its time");
    tx.commit().await.unwrap();
    let drains = NatAddressRow {
        state: NatAddressState::Draining,
        generation: Generation(3),
        drained_ms: Some(100),
        ..a.clone()
    };
    let up = NatAddressRow { state: NatAddressState::Up, ..b.clone() };
    assert_eq!(nat_address_list(&store, std::slice::from_ref(&row.id)).await.unwrap(), [drains.clone(), up]);
    assert_eq!(nat_address_list_drained(&store, 99, 10).await.unwrap(), []);
    assert_eq!(nat_address_list_drained(&store, 100, 10).await.unwrap(), [drains]);
    let mut tx = store.write().await.unwrap();
    assert!(!nat_address_delete(&mut tx, &a, Generation(9)).await.unwrap(), "its flows go on");
    assert!(nat_address_leave(&mut tx, &a, Generation(4)).await.unwrap());
    assert!(!nat_address_delete(&mut tx, &a, Generation(3)).await.unwrap(), "its node may have it");
    assert!(nat_address_delete(&mut tx, &a, Generation(4)).await.unwrap());
    assert!(nat_address_drain(&mut tx, &b, Generation(5), 100).await.unwrap());
    assert!(nat_gateway_delete(&mut tx, &row.id).await.unwrap());
    assert_eq!(nat_address_list_drained(&mut tx, 100, 10).await.unwrap(), [], "the others go with the gateway");
    assert_eq!(nat_gateway_touch(&mut tx, &row.id).await.unwrap(), None, "it is to go");
    assert!(nat_gateway_gone(&mut tx, &row.id, 9).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(nat_address_list(&store, &[row.id]).await.unwrap(), [], "all go with it");
}
