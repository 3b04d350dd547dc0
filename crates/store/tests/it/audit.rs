//! The index of the audit trail.

use crate::seed::account;
use mallee_store::test_support::TestDb;
use mallee_store::*;

mallee_store::store_test_suite!(events_are_found_by_each_attribute_and_page_by_page);

fn event(n: i64) -> AuditEventRow {
    AuditEventRow {
        id: format!("e-{n}"),
        account_id: account(),
        event_ms: n / 2,
        name: if n % 2 == 0 { "RunInstances" } else { "DescribeInstances" }.into(),
        source: "ec2.amazonaws.com".into(),
        username: format!("user-{}", n % 3),
        access_key_id: "AKIA".into(),
        read_only: n % 2 == 1,
        body: "{}".into(),
    }
}

async fn events_are_found_by_each_attribute_and_page_by_page(db: TestDb) {
    let store = db.open().await;
    let events: Vec<_> = (0..9).map(event).collect();
    let about = AuditResourceRow {
        event_id: "e-4".into(),
        account_id: account(),
        kind: "AWS::EC2::Instance".into(),
        name: "i-1".into(),
    };
    let mut tx = store.write().await.unwrap();
    audit_insert(&mut tx, &events, &[about.clone()]).await.unwrap();
    // What a crash has indexed twice stays what it was.
    audit_insert(&mut tx, &events[..3], &[about.clone()]).await.unwrap();
    tx.commit().await.unwrap();

    let ids = async |filter: AuditFilter<'_>| -> Vec<String> {
        audit_list(&store, &account(), filter, 100).await.unwrap().into_iter().map(|e| e.id).collect()
    };
    assert_eq!(ids(AuditFilter::default()).await, ["e-8", "e-7", "e-6", "e-5", "e-4", "e-3", "e-2", "e-1", "e-0"]);
    assert_eq!(
        ids(AuditFilter { before: Some((2, "e-5")), ..Default::default() }).await,
        ["e-4", "e-3", "e-2", "e-1", "e-0"]
    );
    assert_eq!(ids(AuditFilter { from_ms: 1, to_ms: 2, ..Default::default() }).await, ["e-5", "e-4", "e-3", "e-2"]);
    assert_eq!(ids(AuditFilter { read_only: Some(false), from_ms: 3, ..Default::default() }).await, ["e-8", "e-6"]);
    assert_eq!(ids(AuditFilter { username: Some("user-2"), ..Default::default() }).await, ["e-8", "e-5", "e-2"]);
    assert_eq!(ids(AuditFilter { id: Some("e-3"), ..Default::default() }).await, ["e-3"]);
    assert_eq!(ids(AuditFilter { name: Some("RunInstances"), to_ms: 0, ..Default::default() }).await, ["e-0"]);
    assert_eq!(ids(AuditFilter { resource_name: Some("i-1"), ..Default::default() }).await, ["e-4"]);
    assert_eq!(ids(AuditFilter { resource_kind: Some("AWS::EC2::Volume"), ..Default::default() }).await, [""; 0]);
    let shown = audit_resource_list(&store, &account(), &["e-4".into(), "e-5".into()], 10).await.unwrap();
    assert_eq!(shown, [about]);

    assert_eq!(audit_purge(&store, 3).await.unwrap(), 6);
    assert_eq!(ids(AuditFilter::default()).await, ["e-8", "e-7", "e-6"]);
    assert!(audit_resource_list(&store, &account(), &["e-4".into()], 10).await.unwrap().is_empty());
}
