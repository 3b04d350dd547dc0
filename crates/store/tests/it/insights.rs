//! Paths and analyses of them.

use crate::seed::{account, world};
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(paths_and_analyses_are_made_found_and_counted, a_path_stays_while_it_has_an_analysis);

fn path(n: u128) -> InsightsPathRow {
    let filter = InsightsFilter { source_ports: Some((1, 2)), ..Default::default() };
    let doc = InsightsPathDoc { destination_port: Some(22), at_destination: Some(filter), ..Default::default() };
    InsightsPathRow {
        id: InsightsPathId::from_random(n),
        account_id: account(),
        source: "i-1".to_owned(),
        destination: (n % 2 == 0).then(|| "i-2".to_owned()),
        protocol: "tcp".to_owned(),
        doc: Json(doc),
        created_ms: 7,
    }
}

fn analysis(n: u128, path: &InsightsPathRow, found: Option<bool>) -> InsightsAnalysisRow {
    InsightsAnalysisRow {
        id: InsightsAnalysisId::from_random(n),
        account_id: account(),
        path_id: path.id.clone(),
        filter_in: Json(vec!["arn:x".to_owned()]),
        filter_out: Json(Vec::new()),
        found,
        answer: "{}".to_owned(),
        started_ms: i64::try_from(n).unwrap(),
    }
}

async fn paths_and_analyses_are_made_found_and_counted(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let paths = [path(1), path(2)];
    let analyses =
        [analysis(1, &paths[0], Some(true)), analysis(2, &paths[0], Some(false)), analysis(3, &paths[1], None)];
    let mut tx = store.write().await.unwrap();
    for row in &paths {
        insights_path_insert(&mut tx, row).await.unwrap();
    }
    for row in &analyses {
        insights_analysis_insert(&mut tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
    let all = InsightsPathFilter { account: Some(&account()), ..Default::default() };
    let held = insights_path_list(&store, all, 9).await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(paths.iter().all(|path| held.contains(path)), "with all that they say");
    let after = InsightsPathFilter { after: Some(&held[0].id), ..Default::default() };
    assert_eq!(insights_path_list(&store, after, 9).await.unwrap(), held[1..]);
    let stranger: AccountId = "000000000009".parse().unwrap();
    assert_eq!(insights_path_fetch(&store, &stranger, &paths[0].id).await.unwrap(), None);
    assert_eq!(insights_path_fetch(&store, &account(), &paths[0].id).await.unwrap(), Some(paths[0].clone()));
    let found = |filter| {
        let store = &store;
        async move {
            let mut ids: Vec<_> =
                insights_analysis_list(store, filter, 9).await.unwrap().into_iter().map(|row| row.started_ms).collect();
            ids.sort_unstable();
            ids
        }
    };
    assert_eq!(found(InsightsAnalysisFilter { path: Some(&paths[0].id), ..Default::default() }).await, [1, 2]);
    assert_eq!(found(InsightsAnalysisFilter { from_ms: Some(2), ..Default::default() }).await, [2, 3]);
    assert_eq!(found(InsightsAnalysisFilter { to_ms: Some(2), ..Default::default() }).await, [1, 2]);
    let one = [analyses[2].id.clone()];
    let some = InsightsAnalysisFilter { ids: Some(&one), ..Default::default() };
    assert_eq!(insights_analysis_list(&store, some, 9).await.unwrap(), analyses[2..]);
    assert_eq!(quota_use(&store, Counted::InsightsPaths, &account(), None).await.unwrap(), 2);
    assert_eq!(quota_use(&store, Counted::InsightsAnalyses, &account(), None).await.unwrap(), 3);
}

async fn a_path_stays_while_it_has_an_analysis(db: TestDb) {
    let store = db.open().await;
    world(&store, "172.31.0.0/20").await;
    let (path, lost) = (path(1), path(2));
    let analysis_row = analysis(1, &path, Some(true));
    let mut tx = store.write().await.unwrap();
    insights_path_insert(&mut tx, &path).await.unwrap();
    insights_analysis_insert(&mut tx, &analysis_row).await.unwrap();
    let tag = |id: &str| TagRow {
        account_id: account(),
        resource_id: id.to_owned(),
        resource_type: "network-insights-path".to_owned(),
        key: "k".to_owned(),
        value: "v".to_owned(),
    };
    tag_put(&mut tx, &[tag(path.id.as_str()), tag(analysis_row.id.as_str())]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert_eq!(insights_analysis_count(&mut tx, &path.id).await.unwrap(), 1);
    assert!(matches!(insights_path_delete(&mut tx, &path.id).await, Err(StoreError::InUse)));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let of_none = analysis(2, &lost, None);
    assert!(matches!(insights_analysis_insert(&mut tx, &of_none).await, Err(StoreError::InUse)), "its path is gone");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(insights_analysis_delete(&mut tx, &analysis_row.id).await.unwrap());
    assert!(!insights_analysis_delete(&mut tx, &analysis_row.id).await.unwrap());
    assert!(insights_path_delete(&mut tx, &path.id).await.unwrap());
    assert!(!insights_path_delete(&mut tx, &path.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(tag_list(&store, &account(), TagFilter::default(), 9).await.unwrap().is_empty(), "tags go with them");
}
