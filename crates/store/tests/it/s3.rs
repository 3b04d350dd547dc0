//! Walrus's metadata.

use crate::seed::account;
use mallee_store::test_support::TestDb;
use mallee_store::*;

mallee_store::store_test_suite!(
    listings_follow_the_bytes_of_the_keys,
    blobs_live_as_long_as_they_are_referred_to,
    an_upload_hands_its_blobs_to_the_object,
    concurrent_puts_of_one_key_leave_one_object,
    images_are_kept_while_claimed,
    a_bucket_with_contents_stays,
);

fn object(key: &str, blob: Option<&str>, version: &str) -> S3ObjectRow {
    S3ObjectRow {
        bucket: "b".into(),
        key: S3Key(key.into()),
        size_bytes: 3,
        etag: "e".into(),
        blob_id: blob.map(str::to_owned),
        inline: if blob.is_none() { Some(b"a\0\xff".to_vec()) } else { None },
        content_type: "text/plain".into(),
        metadata: "{}".into(),
        checksums: "{}".into(),
        created_ms: 1,
        version: version.into(),
    }
}

async fn bucket(store: &Store) {
    let row = S3BucketRow { name: "b".into(), account_id: account(), region: "r".into(), created_ms: 1 };
    let mut tx = store.write().await.unwrap();
    s3_bucket_insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(s3_bucket_fetch(store, "b").await.unwrap(), row);
    assert_eq!(s3_bucket_list(store, &account()).await.unwrap(), [row]);
}

async fn listings_follow_the_bytes_of_the_keys(db: TestDb) {
    let store = db.open().await;
    bucket(&store).await;
    let mut keys = ["a", "a/b", "a/c/1", "a/c/2", "a/d", "B", "z", "é", "𐍈", "\u{ffff}", "a\u{0}b", "~"];
    let mut tx = store.write().await.unwrap();
    for (n, key) in keys.iter().enumerate() {
        let version = format!("v{n}");
        assert!(s3_object_put(&mut tx, &object(key, None, &version), &[]).await.unwrap().is_empty());
    }
    tx.commit().await.unwrap();
    keys.sort_unstable();
    let list = async |prefix: &str, from: S3ListFrom<'_>, limit| -> Vec<String> {
        let rows = s3_object_list(&store, "b", prefix, from, limit).await.unwrap();
        rows.into_iter().map(|row| row.key.0).collect()
    };
    assert_eq!(list("", S3ListFrom::Start, 100).await, keys);
    assert_eq!(list("a/", S3ListFrom::Start, 100).await, ["a/b", "a/c/1", "a/c/2", "a/d"]);
    assert_eq!(list("a/", S3ListFrom::AfterKey("a/b"), 1).await, ["a/c/1"]);
    assert_eq!(list("a/", S3ListFrom::AfterPrefix("a/c/"), 9).await, ["a/d"]);
    assert_eq!(list("", S3ListFrom::AfterKey("z"), 9).await, ["~", "é", "\u{ffff}", "𐍈"]);
    assert!(list("nothing", S3ListFrom::Start, 9).await.is_empty());
    assert!(list("a/", S3ListFrom::AfterKey("b"), 9).await.is_empty());
    let found = s3_object_fetch(&store, "b", "a\u{0}b").await.unwrap().unwrap();
    assert_eq!(found, object("a\u{0}b", None, "v10"));
    assert_eq!(s3_object_fetch(&store, "b", "none").await.unwrap(), None);
}

async fn blobs_live_as_long_as_they_are_referred_to(db: TestDb) {
    let store = db.open().await;
    bucket(&store).await;
    let mut tx = store.write().await.unwrap();
    s3_blob_insert(&mut tx, "blob-1", 3).await.unwrap();
    s3_blob_insert(&mut tx, "blob-2", 3).await.unwrap();
    assert!(s3_object_put(&mut tx, &object("k", Some("blob-1"), "v1"), &[]).await.unwrap().is_empty());
    assert!(s3_object_put(&mut tx, &object("copy", Some("blob-1"), "v2"), &[]).await.unwrap().is_empty());
    assert!(
        s3_object_put(&mut tx, &object("copy", Some("blob-1"), "v3"), &[]).await.unwrap().is_empty(),
        "onto itself"
    );
    tx.commit().await.unwrap();
    assert_eq!(s3_blob_fetch(&store, "blob-1").await.unwrap().refs, 2);
    let mut tx = store.write().await.unwrap();
    assert!(s3_object_put(&mut tx, &object("k", Some("blob-2"), "v4"), &[]).await.unwrap().is_empty());
    assert_eq!(s3_object_delete(&mut tx, "b", "copy").await.unwrap(), Some(vec!["blob-1".to_owned()]));
    assert_eq!(s3_object_delete(&mut tx, "b", "copy").await.unwrap(), None);
    assert!(matches!(s3_object_delete(&mut tx, "none", "k").await, Err(StoreError::NotFound { .. })));
    tx.commit().await.unwrap();
    let left = s3_blob_list(&store, None, 9).await.unwrap();
    assert_eq!(left.iter().map(|b| b.id.as_str()).collect::<Vec<_>>(), ["blob-2"]);
    let mut tx = store.write().await.unwrap();
    let missing = s3_object_put(&mut tx, &object("k", Some("blob-1"), "v5"), &[]).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    let mut tx = store.write_or_after(tx).await;
    let nowhere = S3ObjectRow { bucket: "none".into(), ..object("k", None, "v6") };
    let missing = s3_object_put(&mut tx, &nowhere, &[]).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

/// Ends one transaction and begins the next.
trait After {
    async fn write_or_after(&self, tx: Tx) -> Tx;
}
impl After for Store {
    async fn write_or_after(&self, tx: Tx) -> Tx {
        tx.rollback().await.unwrap();
        self.write().await.unwrap()
    }
}

async fn an_upload_hands_its_blobs_to_the_object(db: TestDb) {
    let store = db.open().await;
    bucket(&store).await;
    let upload = S3UploadRow {
        id: "u1".into(),
        bucket: "b".into(),
        key: S3Key("big/1".into()),
        account_id: account(),
        created_ms: 5,
        doc: "{}".into(),
    };
    let part = |n: u32, blob: &str| S3PartRow {
        upload_id: "u1".into(),
        part_number: n,
        size_bytes: 5,
        etag: "e".into(),
        blob_id: blob.into(),
        checksums: "{}".into(),
        created_ms: 6,
    };
    let mut tx = store.write().await.unwrap();
    s3_upload_insert(&mut tx, &upload).await.unwrap();
    for (n, blob) in [(1, "one"), (2, "two-old"), (3, "three")] {
        s3_blob_insert(&mut tx, blob, 5).await.unwrap();
        assert!(s3_part_put(&mut tx, &part(n, blob)).await.unwrap().is_empty());
    }
    s3_blob_insert(&mut tx, "two", 5).await.unwrap();
    assert_eq!(s3_part_put(&mut tx, &part(2, "two")).await.unwrap(), ["two-old"]);
    tx.commit().await.unwrap();
    assert_eq!(s3_upload_fetch(&store, "u1").await.unwrap(), upload);
    assert_eq!(s3_upload_list(&store, "b", "big/", None, 9).await.unwrap(), [upload.clone()]);
    assert!(s3_upload_list(&store, "b", "", Some(("big/1", "u1")), 9).await.unwrap().is_empty());
    assert_eq!(s3_upload_list_stale(&store, 6, 9).await.unwrap(), [upload]);
    assert_eq!(s3_part_list(&store, "u1", 1, 9).await.unwrap(), [part(2, "two"), part(3, "three")]);

    // Completed with parts 1 and 2 only: 3 is garbage.
    let pieces: Vec<_> = [(1, "one"), (2, "two")]
        .map(|(part_number, blob)| S3ObjectPartRow {
            part_number,
            size_bytes: 5,
            blob_id: blob.into(),
            checksums: "{}".into(),
        })
        .into();
    let mut whole = object("big/1", None, "v1");
    whole.inline = None;
    let mut tx = store.write().await.unwrap();
    assert!(s3_object_put(&mut tx, &whole, &pieces).await.unwrap().is_empty());
    assert_eq!(s3_upload_delete(&mut tx, "u1").await.unwrap(), Some(vec!["three".to_owned()]));
    assert_eq!(s3_upload_delete(&mut tx, "u1").await.unwrap(), None);
    let late = s3_part_put(&mut tx, &part(4, "one")).await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
    tx.commit().await.unwrap();
    assert_eq!(s3_object_parts(&store, "v1").await.unwrap(), pieces);
    let mut tx = store.write().await.unwrap();
    let mut garbage = s3_object_delete(&mut tx, "b", "big/1").await.unwrap().unwrap();
    garbage.sort();
    assert_eq!(garbage, ["one", "two"]);
    tx.commit().await.unwrap();
    assert!(s3_blob_list(&store, None, 9).await.unwrap().is_empty());
}

async fn concurrent_puts_of_one_key_leave_one_object(db: TestDb) {
    let store = db.open().await;
    bucket(&store).await;
    let puts: Vec<_> = (0..10)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let (blob, version) = (format!("blob-{n}"), format!("v{n}"));
                let mut tx = store.write().await.unwrap();
                s3_blob_insert(&mut tx, &blob, 3).await.unwrap();
                let garbage = s3_object_put(&mut tx, &object("k", Some(&blob), &version), &[]).await.unwrap();
                tx.commit().await.unwrap();
                garbage
            })
        })
        .collect();
    let mut garbage = Vec::new();
    for put in puts {
        garbage.extend(put.await.unwrap());
    }
    garbage.sort();
    garbage.dedup();
    assert_eq!(garbage.len(), 9, "each loser is garbage once");
    let left = s3_blob_list(&store, None, 99).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(s3_object_fetch(&store, "b", "k").await.unwrap().unwrap().blob_id.as_ref(), Some(&left[0].id));
}

async fn images_are_kept_while_claimed(db: TestDb) {
    let store = db.open().await;
    let image = ImageBlobRow {
        digest: "d".into(),
        format: "qcow2".into(),
        size_bytes: 1,
        virtual_size_bytes: 2,
        created_ms: 3,
        blob_id: "blob".into(),
    };
    let mut tx = store.write().await.unwrap();
    s3_blob_insert(&mut tx, "blob", 1).await.unwrap();
    assert!(image_blob_insert(&mut tx, &image).await.unwrap());
    assert!(!image_blob_insert(&mut tx, &image).await.unwrap());
    image_claim_insert(&mut tx, "d", "ami-1").await.unwrap();
    image_claim_insert(&mut tx, "d", "ami-1").await.unwrap();
    assert_eq!(image_claim_list(&mut tx, "d").await.unwrap(), ["ami-1"]);
    assert_eq!(image_blob_delete_unclaimed(&mut tx, "d").await.unwrap(), None);
    assert_eq!(image_blob_list(&mut tx).await.unwrap(), [image.clone()]);
    assert!(image_claim_delete(&mut tx, "d", "ami-1").await.unwrap());
    assert_eq!(image_blob_delete_unclaimed(&mut tx, "d").await.unwrap(), Some(vec!["blob".to_owned()]));
    assert_eq!(image_blob_fetch(&mut tx, "d").await.unwrap(), None);
    tx.commit().await.unwrap();
}

async fn a_bucket_with_contents_stays(db: TestDb) {
    let store = db.open().await;
    bucket(&store).await;
    let mut tx = store.write().await.unwrap();
    s3_object_put(&mut tx, &object("k", None, "v"), &[]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await.unwrap();
    assert!(matches!(s3_bucket_delete(&mut tx, "b").await, Err(StoreError::InUse)));
    let mut tx = store.write_or_after(tx).await;
    s3_object_delete(&mut tx, "b", "k").await.unwrap();
    assert!(s3_bucket_delete(&mut tx, "b").await.unwrap());
    assert!(!s3_bucket_delete(&mut tx, "b").await.unwrap());
    tx.commit().await.unwrap();
}
