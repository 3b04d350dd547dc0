//! Launch templates: names are unique in an account, version numbers are never given twice, the default version stays.

use crate::seed::account;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;

mallee_store::store_test_suite!(templates_and_versions);

fn template(n: u128, name: &str) -> LaunchTemplateRow {
    LaunchTemplateRow {
        id: LaunchTemplateId::from_random(n),
        account_id: account(),
        name: name.into(),
        created_by: "arn:aws:iam::000000000001:user/admin".into(),
        created_ms: 5,
        default_version: 1,
        last_version: 1,
    }
}

fn version(of: &LaunchTemplateRow, version: u64) -> LaunchTemplateVersionRow {
    LaunchTemplateVersionRow {
        template_id: of.id.clone(),
        version,
        description: None,
        created_by: of.created_by.clone(),
        created_ms: 6,
        data: "[]".into(),
    }
}

async fn templates_and_versions(db: TestDb) {
    let store = db.open().await;
    let web = template(1, "web");
    let mut tx = store.write().await.unwrap();
    launch_template_insert(&mut tx, &web).await.unwrap();
    launch_template_insert(&mut tx, &template(2, "db")).await.unwrap();
    launch_template_version_insert(&mut tx, &version(&web, 1)).await.unwrap();
    for expected in 2..=4 {
        let number = launch_template_next_version(&mut tx, &account(), &web.id).await.unwrap().unwrap();
        assert_eq!(number, expected);
        launch_template_version_insert(&mut tx, &version(&web, number)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    let twice = launch_template_insert(&mut tx, &template(3, "web")).await.unwrap_err();
    assert!(twice.is_conflict("launch_templates_account_id_name"), "{twice:?}");
    drop(tx);
    let names = ["web".to_owned()];
    let found = launch_template_list(&store, &account(), None, Some(&names), None, 10).await.unwrap();
    assert_eq!(found, [LaunchTemplateRow { last_version: 4, ..web.clone() }]);
    assert_eq!(quota_use(&store, Counted::LaunchTemplates, &account(), None).await.unwrap(), 2);
    let numbers = async |filter| {
        let list = launch_template_version_list(&store, &web.id, filter, 10).await.unwrap();
        list.into_iter().map(|row| row.version).collect::<Vec<_>>()
    };
    assert_eq!(numbers(LaunchTemplateVersionFilter::default()).await, [4, 3, 2, 1]);
    let some = LaunchTemplateVersionFilter { min: Some(2), max: Some(4), before: Some(4), versions: None };
    assert_eq!(numbers(some).await, [3, 2]);

    let mut tx = store.write().await.unwrap();
    assert!(!launch_template_default_set(&mut tx, &account(), &web.id, 9).await.unwrap(), "there is no version 9");
    assert!(launch_template_default_set(&mut tx, &account(), &web.id, 2).await.unwrap());
    assert!(!launch_template_version_delete(&mut tx, &web.id, 2).await.unwrap(), "the default version stays");
    assert!(launch_template_version_delete(&mut tx, &web.id, 4).await.unwrap());
    assert!(!launch_template_version_delete(&mut tx, &web.id, 4).await.unwrap());
    assert_eq!(launch_template_version_latest(&mut tx, &web.id).await.unwrap(), Some(3));
    assert_eq!(launch_template_next_version(&mut tx, &account(), &web.id).await.unwrap(), Some(5), "4 is not reused");
    assert!(launch_template_delete(&mut tx, &account(), &web.id).await.unwrap());
    assert_eq!(launch_template_version_count(&mut tx, &web.id).await.unwrap(), 0, "its versions went with it");
    let other: AccountId = "999999999999".parse().unwrap();
    let db = LaunchTemplateId::from_random(2);
    assert!(!launch_template_delete(&mut tx, &other, &db).await.unwrap(), "another account's stays");
    tx.commit().await.unwrap();
}
