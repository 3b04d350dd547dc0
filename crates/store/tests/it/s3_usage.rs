//! What buckets and accounts hold, a page at a time; and counters that are wrong.

use crate::s3_support::{BUCKET, bucket, delete_one, put_one, version};
use crate::seed::account;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::AccountId;

mallee_store::store_test_suite!(usage_is_told_in_pages, counters_are_checked_by_class,);

const OTHER: &str = "999999999999";

async fn usage_is_told_in_pages(db: TestDb) {
    let store = db.open().await;
    let other: AccountId = OTHER.parse().unwrap();
    bucket(&store).await;
    let mut tx = store.write().await.unwrap();
    for name in ["a", "c"] {
        s3_bucket_insert(&mut tx, name, &other, "r", 2).await.unwrap();
    }
    tx.commit().await.unwrap();
    put_one(&store, version("one", Some("blob-1"), "v1"), true).await;
    put_one(&store, version("two", None, "v2"), false).await;

    let page = |account: Option<AccountId>, after: &'static str, limit| {
        let store = store.clone();
        async move {
            let rows = s3_usage_of_buckets(&store, account.as_ref(), after, limit).await.unwrap();
            rows.into_iter().map(|row| (row.name, row.objects, row.version_bytes)).collect::<Vec<_>>()
        }
    };
    let (a, b, c) = (("a".to_owned(), 0, 0), (BUCKET.to_owned(), 2, 6), ("c".to_owned(), 0, 0));
    assert_eq!(page(None, "", 9).await, [a.clone(), b.clone(), c.clone()]);
    assert_eq!(page(None, "a", 1).await, [b.clone()]);
    assert_eq!(page(Some(other.clone()), "", 9).await, [a, c.clone()]);
    assert_eq!(page(Some(other.clone()), "b", 9).await, [c]);
    assert_eq!(page(Some(account()), "", 9).await, [b]);

    let accounts = s3_usage_of_accounts(&store, "", 9).await.unwrap();
    let told = |row: &S3AccountUsage| (row.account_id.to_string(), row.buckets, row.objects, row.bytes, row.versions);
    let mut wanted = [(account().to_string(), 1, 2, 6, 2), (OTHER.to_owned(), 2, 0, 0, 0)];
    wanted.sort();
    assert_eq!(accounts.iter().map(told).collect::<Vec<_>>(), wanted);
    let second = s3_usage_of_accounts(&store, &wanted[0].0, 9).await.unwrap();
    assert_eq!(second.iter().map(told).collect::<Vec<_>>(), wanted[1..]);

    let whole = s3_usage_whole(&store).await.unwrap();
    assert_eq!((whole.objects, whole.version_bytes, whole.part_bytes), (2, 6, 0));
    assert_eq!(s3_garbage_sum(&store).await.unwrap(), (0, 0));
    delete_one(&store, "one", S3Target::Key).await;
    assert_eq!(s3_garbage_sum(&store).await.unwrap(), (1, 3));
    assert_eq!(s3_usage_whole(&store).await.unwrap().objects, 1);
    let mut tx = store.write().await.unwrap();
    s3_damage_put(&mut tx, "blob-1", "gone").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(s3_damage_count(&store).await.unwrap(), 1);
}

/// Sums that are right may hide counters that are not.
async fn counters_are_checked_by_class(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    put_one(&store, version("k", Some("blob"), "v1"), true).await;
    put_one(&store, S3VersionRow { class: "STANDARD_IA".into(), ..version("l", None, "v2") }, false).await;
    assert_eq!(s3_check_usage(&store).await.unwrap(), []);
    let right = s3_usage_by_class(&store, b.id).await.unwrap();
    db.damage("UPDATE s3_usage SET objects = objects + 1 WHERE class = 'STANDARD'").await;
    db.damage("UPDATE s3_usage SET objects = objects - 1 WHERE class = 'STANDARD_IA'").await;
    assert_eq!(s3_usage(&store, b.id).await.unwrap().objects, 2);
    assert_eq!(s3_check_usage(&store).await.unwrap(), [(b.id, BUCKET.to_owned())]);
    let mut tx = store.write().await.unwrap();
    s3_mend_usage(&mut tx, b.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(s3_usage_by_class(&store, b.id).await.unwrap(), right);
    assert_eq!(s3_check_usage(&store).await.unwrap(), []);
}
