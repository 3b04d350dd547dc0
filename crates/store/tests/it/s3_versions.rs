//! Versions of objects in Walrus's metadata.

use crate::s3_support::{BUCKET, bucket, consistent, delete_one, garbage, put_one, version, versioning};
use mallee_store::test_support::TestDb;
use mallee_store::*;

mallee_store::store_test_suite!(
    versions_stay_and_markers_hide_them,
    a_suspended_bucket_has_one_null_version,
    the_newest_is_found_whatever_goes,
    listings_of_versions_go_on_within_a_key,
    writers_of_one_key_make_as_many_versions,
    configuring_waits_for_writers,
);

fn id(written: S3Written) -> S3Target {
    S3Target::Id { rank: written.rank, vid: written.vid }
}

async fn fetch(store: &Store, which: S3Which<'_>) -> Option<S3VersionRow> {
    s3_version_fetch(store, BUCKET, "k", which).await.unwrap()
}

/// The writings of the key, newest first; markers as `-`.
async fn history(store: &Store) -> Vec<String> {
    let rows = s3_version_list(store, BUCKET, "k", S3VersionsFrom::Keys(S3ListFrom::Start), 99).await.unwrap();
    let mut out = Vec::new();
    for row in rows {
        let which = if row.vid == 0 { S3Which::Null } else { S3Which::Id { rank: row.rank, vid: row.vid } };
        let found = fetch(store, which).await.unwrap();
        assert_eq!((found.rank, found.vid, found.marker), (row.rank, row.vid, row.marker));
        out.push(if row.marker { "-".to_owned() } else { found.write_id });
    }
    out
}

async fn versions_stay_and_markers_hide_them(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    put_one(&store, version("k", Some("blob-0"), "old"), true).await;
    versioning(&store, S3Versioning::Enabled).await;
    let one = put_one(&store, version("k", Some("blob-1"), "one"), true).await;
    let two = put_one(&store, version("k", Some("blob-2"), "two"), true).await;
    assert!(two.rank < one.rank && one.rank < 0 && one.vid != 0, "{one:?} {two:?}");
    assert_eq!(history(&store).await, ["two", "one", "old"]);
    assert_eq!(fetch(&store, S3Which::Null).await.unwrap().write_id, "old");
    let S3Deleted::Marked { rank, vid } = delete_one(&store, "k", S3Target::Key).await else { panic!("no marker") };
    assert_eq!(history(&store).await, ["-", "two", "one", "old"]);
    assert!(fetch(&store, S3Which::Latest).await.unwrap().marker);
    assert!(garbage(&store).await.is_empty());
    consistent(&store, &b).await;
    // The marker goes, the object is back; a version in between goes for good.
    let gone = delete_one(&store, "k", S3Target::Id { rank, vid }).await;
    assert_eq!(gone, S3Deleted::Removed { rank, vid, marker: true });
    let gone = delete_one(&store, "k", id(one)).await;
    assert_eq!(gone, S3Deleted::Removed { rank: one.rank, vid: one.vid, marker: false });
    assert_eq!(history(&store).await, ["two", "old"]);
    assert_eq!(garbage(&store).await, ["blob-1"]);
    assert_eq!(delete_one(&store, "k", id(one)).await, S3Deleted::Nothing);
    let wrong = S3Target::Id { rank: two.rank, vid: two.vid + 1 };
    assert_eq!(delete_one(&store, "k", wrong).await, S3Deleted::Nothing, "the whole id counts");
    consistent(&store, &b).await;
}

async fn a_suspended_bucket_has_one_null_version(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    versioning(&store, S3Versioning::Suspended).await;
    put_one(&store, version("k", Some("blob-1"), "one"), true).await;
    let two = put_one(&store, version("k", Some("blob-2"), "two"), true).await;
    assert_eq!((two.vid, two.freed), (0, 1));
    assert_eq!(history(&store).await, ["two"]);
    versioning(&store, S3Versioning::Enabled).await;
    put_one(&store, version("k", Some("blob-3"), "three"), true).await;
    versioning(&store, S3Versioning::Suspended).await;
    assert_eq!(history(&store).await, ["three", "two"]);
    // A deletion makes a null marker, and takes the null version below with it.
    let S3Deleted::Marked { vid: 0, .. } = delete_one(&store, "k", S3Target::Key).await else { panic!("no marker") };
    assert_eq!(history(&store).await, ["-", "three"]);
    let S3Deleted::Marked { vid: 0, .. } = delete_one(&store, "k", S3Target::Key).await else { panic!("no marker") };
    assert_eq!(history(&store).await, ["-", "three"], "one null marker takes the place of the other");
    put_one(&store, version("k", Some("blob-4"), "four"), true).await;
    assert_eq!(history(&store).await, ["four", "three"]);
    assert_eq!(garbage(&store).await, ["blob-1", "blob-2"]);
    consistent(&store, &b).await;
    let S3Deleted::Removed { vid: 0, marker: false, .. } = delete_one(&store, "k", S3Target::Null).await else {
        panic!("the null version stays");
    };
    assert_eq!(history(&store).await, ["three"]);
    assert_eq!(delete_one(&store, "k", S3Target::Null).await, S3Deleted::Nothing);
    consistent(&store, &b).await;
}

async fn the_newest_is_found_whatever_goes(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    put_one(&store, version("k", None, "null"), false).await;
    versioning(&store, S3Versioning::Enabled).await;
    let mut made = Vec::new();
    for n in 0..4 {
        made.push(put_one(&store, version("k", None, &format!("v{n}")), false).await);
    }
    for (n, left) in [(3, &["v2", "v1", "v0", "null"][..]), (1, &["v2", "v0", "null"]), (2, &["v0", "null"])] {
        delete_one(&store, "k", id(made[n])).await;
        assert_eq!(history(&store).await, left);
        assert_eq!(fetch(&store, S3Which::Latest).await.unwrap().write_id, left[0]);
        consistent(&store, &b).await;
    }
    delete_one(&store, "k", id(made[0])).await;
    delete_one(&store, "k", S3Target::Null).await;
    assert_eq!(fetch(&store, S3Which::Latest).await, None);
    assert_eq!(s3_usage(&store, b.id).await.unwrap(), S3Usage::default());
}

async fn listings_of_versions_go_on_within_a_key(db: TestDb) {
    let store = db.open().await;
    bucket(&store).await;
    versioning(&store, S3Versioning::Enabled).await;
    let mut ids = Vec::new();
    for (n, key) in ["a", "k", "k", "k", "k/x", "z"].into_iter().enumerate() {
        ids.push(put_one(&store, version(key, None, &format!("v{n}")), false).await);
    }
    let list = async |prefix: &str, from: S3VersionsFrom<'_>| -> Vec<String> {
        let rows = s3_version_list(&store, BUCKET, prefix, from, 99).await.unwrap();
        rows.into_iter()
            .map(|row| {
                let n = ids.iter().position(|id| (id.rank, id.vid) == (row.rank, row.vid)).unwrap();
                format!("{}{n}", row.key.0)
            })
            .collect()
    };
    let after = |key, n: usize| S3VersionsFrom::AfterVersion { key, rank: ids[n].rank };
    let start = S3VersionsFrom::Keys(S3ListFrom::Start);
    assert_eq!(list("", start).await, ["a0", "k3", "k2", "k1", "k/x4", "z5"]);
    assert_eq!(list("", after("k", 3)).await, ["k2", "k1", "k/x4", "z5"]);
    assert_eq!(list("k", after("k", 2)).await, ["k1", "k/x4"]);
    assert_eq!(list("k", after("k", 1)).await, ["k/x4"]);
    assert_eq!(list("k", after("a", 0)).await, ["k3", "k2", "k1", "k/x4"], "before the prefix");
    assert!(list("k", after("z", 5)).await.is_empty());
    assert_eq!(list("", S3VersionsFrom::Keys(S3ListFrom::AfterKey("k"))).await, ["k/x4", "z5"]);
    assert_eq!(list("k", S3VersionsFrom::Keys(S3ListFrom::AfterPrefix("k/"))).await, Vec::<String>::new());
}

async fn writers_of_one_key_make_as_many_versions(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    versioning(&store, S3Versioning::Enabled).await;
    let puts: Vec<_> = (0..12)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                if n % 4 == 3 {
                    delete_one(&store, "k", S3Target::Key).await;
                } else {
                    put_one(&store, version("k", None, &format!("v{n}")), false).await;
                }
            })
        })
        .collect();
    for put in puts {
        put.await.unwrap();
    }
    let history = history(&store).await;
    assert_eq!((history.len(), history.iter().filter(|w| *w == "-").count()), (12, 3), "{history:?}");
    consistent(&store, &b).await;
}

/// Nobody writes by a setting that is no longer so.
async fn configuring_waits_for_writers(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    let mut tx = store.write().await.unwrap();
    let held = s3_bucket_hold(&mut tx, BUCKET).await.unwrap();
    let enabling = tokio::spawn({
        let store = store.clone();
        async move { versioning(&store, S3Versioning::Enabled).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!enabling.is_finished());
    let heads = s3_version_heads(&mut tx, &held, "k").await.unwrap();
    s3_version_put(&mut tx, &held, &heads, version("k", None, "old"), 5, &[], &[]).await.unwrap();
    tx.commit().await.unwrap();
    enabling.await.unwrap();
    put_one(&store, version("k", None, "new"), false).await;
    assert_eq!(history(&store).await, ["new", "old"]);
    consistent(&store, &b).await;
}
