//! Requests for spot instances: what is open, what is due, what is over; and prices.

use crate::seed::{account, zone};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(requests_are_found_by_what_is_to_be_done, an_instance_has_one_request, prices);

fn request(n: u128) -> SpotRequestRow {
    SpotRequestRow {
        id: SpotRequestId::from_random(n),
        account_id: account(),
        state: SpotState::Open,
        status_code: "pending-evaluation".into(),
        status_message: String::new(),
        status_ms: 1,
        kind: SpotKind::OneTime,
        behavior: InterruptionBehavior::Terminate,
        max_price: Some("0.100000".into()),
        zone: None,
        instance_id: None,
        valid_from_ms: None,
        valid_until_ms: Some(9),
        interrupt_ms: None,
        interrupted_ms: None,
        interruption: None,
        created_ms: 10 - i64::try_from(n).unwrap(),
        ended_ms: None,
        launch: "{}".into(),
    }
}

async fn requests_are_found_by_what_is_to_be_done(db: TestDb) {
    let store = db.open().await;
    let rows: Vec<SpotRequestRow> = (1..=4).map(request).collect();
    let mut tx = store.write().await.unwrap();
    for row in &rows {
        spot_request_insert(&mut tx, row, Some(b"data")).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(spot_request_fetch(&store, &rows[0].id).await.unwrap(), rows[0]);
    assert_eq!(spot_request_user_data(&store, &rows[0].id).await.unwrap().as_deref(), Some(b"data".as_slice()));
    assert_eq!(spot_request_count(&store, &account()).await.unwrap(), 4);
    let open = spot_request_open(&store, None, 2).await.unwrap();
    assert_eq!(open, [rows[3].clone(), rows[2].clone()], "the oldest first");
    let next = spot_request_open(&store, Some((open[1].created_ms, &open[1].id)), 9).await.unwrap();
    assert_eq!(next, [rows[1].clone(), rows[0].clone()]);
    assert_eq!(spot_request_last_interruption(&store, &zone()).await.unwrap(), None);

    let mut tx = store.write().await.unwrap();
    let mut marked = spot_request_fetch_locked(&mut tx, &rows[0].id).await.unwrap();
    (marked.state, marked.zone, marked.interrupt_ms) = (SpotState::Active, Some(zone()), Some(50));
    marked.instance_id = Some(InstanceId::from_random(1));
    spot_request_update(&mut tx, &marked).await.unwrap();
    let mut over = rows[1].clone();
    (over.state, over.zone, over.interrupted_ms, over.ended_ms) = (SpotState::Closed, Some(zone()), Some(70), Some(7));
    spot_request_update(&mut tx, &over).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(spot_request_due(&store, 49, 9).await.unwrap(), []);
    assert_eq!(spot_request_due(&store, 50, 9).await.unwrap(), [marked.id.clone()]);
    assert_eq!(spot_request_last_interruption(&store, &zone()).await.unwrap(), Some(70));
    assert_eq!(spot_request_open(&store, None, 9).await.unwrap().len(), 2);
    assert_eq!(spot_request_count(&store, &account()).await.unwrap(), 3);
    assert_eq!(spot_request_list(&store, None, Some(&[over.id.clone()]), None, 9).await.unwrap(), [over.clone()]);

    assert_eq!(spot_request_list_purgeable(&store, 7, 9).await.unwrap(), []);
    assert_eq!(spot_request_list_purgeable(&store, 8, 9).await.unwrap(), [over.id.clone()]);
    let mut tx = store.write().await.unwrap();
    assert!(spot_request_delete(&mut tx, &over.id).await.unwrap());
    assert!(!spot_request_delete(&mut tx, &marked.id).await.unwrap(), "it is not over");
    tx.commit().await.unwrap();
    assert!(matches!(spot_request_fetch(&store, &over.id).await, Err(StoreError::NotFound { .. })));
}

async fn an_instance_has_one_request(db: TestDb) {
    let store = db.open().await;
    let mut tx = store.write().await.unwrap();
    for n in 1..=2 {
        let row = SpotRequestRow { instance_id: Some(InstanceId::from_random(7)), ..request(n) };
        let inserted = spot_request_insert(&mut tx, &row, None).await;
        assert_eq!(inserted.is_ok(), n == 1, "{inserted:?}");
    }
}

async fn prices(db: TestDb) {
    let store = db.open().await;
    let price =
        |from_ms: i64, price: &str| SpotPriceRow { instance_type: "t3.nano".into(), from_ms, price: price.into() };
    let mut tx = store.write().await.unwrap();
    for row in [price(30, "0.3"), price(10, "0.1"), price(20, "0.2"), price(20, "0.25")] {
        spot_price_put(&mut tx, &row).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(spot_price_list(&store).await.unwrap(), [price(10, "0.1"), price(20, "0.25"), price(30, "0.3")]);
    let mut tx = store.write().await.unwrap();
    assert_eq!(spot_price_purge(&mut tx, 25).await.unwrap(), 1, "what held then is kept");
    tx.commit().await.unwrap();
    assert_eq!(spot_price_list(&store).await.unwrap(), [price(20, "0.25"), price(30, "0.3")]);
}
