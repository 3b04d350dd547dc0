//! Flow logs.

use crate::seed::{account, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(
    flow_logs_are_made_and_found,
    a_flow_log_goes_with_what_it_is_of,
    a_delivery_is_noted_when_it_is_news,
    what_has_gone_is_delivered_for_an_hour,
);

pub fn log(vpc: &VpcRow, n: u128, resource: &str) -> FlowLogRow {
    FlowLogRow {
        id: FlowLogId::from_random(n),
        account_id: account(),
        vpc_id: vpc.id.clone(),
        resource_id: resource.to_owned(),
        traffic: "ALL".to_owned(),
        bucket: "logs".to_owned(),
        prefix: "here/".to_owned(),
        format: "${version}".to_owned(),
        interval_s: 600,
        hive: false,
        per_hour: true,
        created_ms: 7,
        error: None,
    }
}

async fn flow_logs_are_made_and_found(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    let rows = [log(&vpc, 1, vpc.id.as_str()), log(&vpc, 2, subnet.id.as_str())];
    let mut tx = store.write().await.unwrap();
    for row in &rows {
        flow_log_insert(&mut tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let same = FlowLogRow { id: FlowLogId::from_random(3), traffic: "REJECT".to_owned(), ..rows[0].clone() };
    let twice = flow_log_insert(&mut tx, &same).await.unwrap_err();
    assert!(twice.is_conflict("flow_logs_resource_id_bucket_prefix"));
    drop(tx);
    let all =
        flow_log_list(&store, FlowLogFilter { account: Some(&account()), ..Default::default() }, 9).await.unwrap();
    assert_eq!(all.len(), 2);
    let after = FlowLogFilter { after: Some(&all[0].id), ..Default::default() };
    assert_eq!(flow_log_list(&store, after, 9).await.unwrap(), all[1..]);
    let of = [subnet.id.to_string()];
    let found = flow_log_list(&store, FlowLogFilter { resources: Some(&of), ..Default::default() }, 9).await.unwrap();
    assert_eq!(found, rows[1..]);
    let mut tx = store.write().await.unwrap();
    assert!(
        flow_log_delete(&mut tx, &rows[0].id).await.unwrap() && !flow_log_delete(&mut tx, &rows[0].id).await.unwrap()
    );
    tx.commit().await.unwrap();
}

async fn a_flow_log_goes_with_what_it_is_of(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    let row = log(&vpc, 1, subnet.id.as_str());
    let tag = TagRow {
        resource_id: row.id.to_string(),
        key: "k".into(),
        value: "v".into(),
        resource_type: "vpc-flow-log".into(),
        account_id: account(),
    };
    let mut tx = store.write().await.unwrap();
    flow_log_insert(&mut tx, &row).await.unwrap();
    tag_put(&mut tx, &[tag]).await.unwrap();
    subnet_delete(&mut tx, &subnet.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(flow_log_list(&store, FlowLogFilter::default(), 9).await.unwrap().is_empty());
    assert!(tag_list(&store, &account(), TagFilter::default(), 9).await.unwrap().is_empty(), "and so do its tags");
}

async fn a_delivery_is_noted_when_it_is_news(db: TestDb) {
    let store = db.open().await;
    let (vpc, _) = world(&store, "172.31.0.0/20").await;
    let row = log(&vpc, 1, vpc.id.as_str());
    let mut tx = store.write().await.unwrap();
    flow_log_insert(&mut tx, &row).await.unwrap();
    for (error, is_news) in [("", true), ("", false), ("Access error", true), ("Access error", false), ("", true)] {
        assert_eq!(flow_log_tried(&mut tx, &row.id, error).await.unwrap(), is_news, "{error:?}");
    }
    tx.commit().await.unwrap();
    assert_eq!(flow_log_list(&store, FlowLogFilter::default(), 9).await.unwrap()[0].error.as_deref(), Some(""));
}

async fn what_has_gone_is_delivered_for_an_hour(db: TestDb) {
    let store = db.open().await;
    let (vpc, subnet) = world(&store, "172.31.0.0/20").await;
    let row = log(&vpc, 1, subnet.id.as_str());
    let of = [subnet.id.to_string()];
    let tails = async || flow_log_tail_list(&store, &of, 9).await.unwrap();
    let mut tx = store.write().await.unwrap();
    flow_log_insert(&mut tx, &row).await.unwrap();
    flow_log_tails_put(&mut tx, subnet.id.as_str(), 1000, 0).await.unwrap();
    subnet_delete(&mut tx, &subnet.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(tails().await, [row]);
    for (since_ms, there) in [(1000, 1), (1001, 0)] {
        let mut tx = store.write().await.unwrap();
        flow_log_tails_put(&mut tx, "eni-none", 2000, since_ms).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(tails().await.len(), there, "{since_ms}");
    }
}
