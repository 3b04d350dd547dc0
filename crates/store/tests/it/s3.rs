//! Walrus's metadata: listings, blobs, uploads, images, buckets.

use crate::s3_support::{BUCKET, bucket, consistent, delete, delete_one, garbage, put, put_one, version, versioning};
use crate::seed::account;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use std::collections::HashSet;

mallee_store::store_test_suite!(
    listings_follow_the_bytes_of_the_keys,
    blobs_live_as_long_as_they_are_referred_to,
    an_upload_hands_its_blobs_to_the_object,
    a_thousand_pieces_come_and_go,
    concurrent_puts_of_one_key_leave_one_object,
    images_are_kept_while_claimed,
    a_bucket_with_contents_stays,
    documents_and_the_revision_of_a_bucket,
    garbage_waits_until_it_is_gone,
);

async fn listings_follow_the_bytes_of_the_keys(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    let mut keys = ["a", "a/b", "a/c/1", "a/c/2", "a/d", "B", "z", "é", "𐍈", "\u{ffff}", "a\u{0}b", "~"];
    let mut tx = store.write().await.unwrap();
    for (n, key) in keys.iter().enumerate() {
        put(&mut tx, version(key, None, &format!("v{n}")), false).await.unwrap();
    }
    tx.commit().await.unwrap();
    keys.sort_unstable();
    let list = async |prefix: &str, from: S3ListFrom<'_>, limit| -> Vec<String> {
        let rows = s3_object_list(&store, BUCKET, prefix, from, limit).await.unwrap();
        let versions = s3_version_list(&store, BUCKET, prefix, S3VersionsFrom::Keys(from), limit).await.unwrap();
        let keys: Vec<_> = rows.into_iter().map(|row| row.key.0).collect();
        assert_eq!(versions.into_iter().map(|row| row.key.0).collect::<Vec<_>>(), keys);
        keys
    };
    assert_eq!(list("", S3ListFrom::Start, 100).await, keys);
    assert_eq!(list("a/", S3ListFrom::Start, 100).await, ["a/b", "a/c/1", "a/c/2", "a/d"]);
    assert_eq!(list("a/", S3ListFrom::AfterKey("a/b"), 1).await, ["a/c/1"]);
    assert_eq!(list("a/", S3ListFrom::AfterPrefix("a/c/"), 9).await, ["a/d"]);
    assert_eq!(list("", S3ListFrom::AfterKey("z"), 9).await, ["~", "é", "\u{ffff}", "𐍈"]);
    assert!(list("nothing", S3ListFrom::Start, 9).await.is_empty());
    assert!(list("a/", S3ListFrom::AfterKey("b"), 9).await.is_empty());
    let entries = async |prefix: &str, delimiter: &str, from: S3ListFrom<'_>, limit| -> Vec<String> {
        let entries = s3_entry_list(&store, BUCKET, prefix, delimiter, from, limit).await.unwrap();
        let rows = s3_object_list(&store, BUCKET, prefix, S3ListFrom::Start, 100).await.unwrap();
        let shown = entries.into_iter().map(|entry| match entry {
            S3Entry::Object(row) => {
                assert!(rows.contains(&row));
                row.key.0
            }
            S3Entry::Prefix(common) => format!("{common}…"),
        });
        shown.collect()
    };
    assert_eq!(
        entries("", "/", S3ListFrom::Start, 100).await,
        ["B", "a", "a\u{0}b", "a/…", "z", "~", "é", "\u{ffff}", "𐍈"]
    );
    assert_eq!(entries("a/", "/", S3ListFrom::Start, 100).await, ["a/b", "a/c/…", "a/d"]);
    assert_eq!(entries("a/", "/", S3ListFrom::Start, 2).await, ["a/b", "a/c/…"]);
    assert_eq!(entries("a/", "/", S3ListFrom::AfterPrefix("a/c/"), 9).await, ["a/d"]);
    assert_eq!(entries("a", "/c", S3ListFrom::AfterKey("a"), 9).await, ["a\u{0}b", "a/b", "a/c…", "a/d"]);
    assert_eq!(entries("", "\u{ffff}", S3ListFrom::AfterKey("é"), 9).await, ["\u{ffff}…", "𐍈"]);
    assert_eq!(entries("", "\u{0}", S3ListFrom::AfterKey("a"), 1).await, ["a\u{0}…"]);
    for (prefix, delimiter, limit) in [("", "/", 0), ("", "", 9), ("none", "/", 9)] {
        assert!(entries(prefix, delimiter, S3ListFrom::Start, limit).await.is_empty());
    }
    let found = s3_version_fetch(&store, BUCKET, "a\u{0}b", S3Which::Latest).await.unwrap().unwrap();
    assert_eq!(found, S3VersionRow { bucket_id: b.id, ..version("a\u{0}b", None, "v10") });
    assert_eq!(s3_version_fetch(&store, BUCKET, "none", S3Which::Latest).await.unwrap(), None);
    assert_eq!(s3_version_fetch(&store, "none", "a", S3Which::Latest).await.unwrap(), None);
    consistent(&store, &b).await;
}

async fn blobs_live_as_long_as_they_are_referred_to(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(put(&mut tx, version("k", Some("blob-1"), "v1"), true).await.unwrap().freed, 0);
    assert_eq!(put(&mut tx, version("copy", Some("blob-1"), "v2"), false).await.unwrap().freed, 0);
    let onto_itself = put(&mut tx, version("copy", Some("blob-1"), "v3"), false).await.unwrap();
    assert_eq!(onto_itself, S3Written { rank: 0, vid: 0, freed: 0 });
    tx.commit().await.unwrap();
    assert_eq!(s3_blob_fetch(&store, "blob-1").await.unwrap().refs, 2);
    let mut tx = store.write().await.unwrap();
    assert_eq!(put(&mut tx, version("k", Some("blob-2"), "v4"), true).await.unwrap().freed, 0);
    let gone = S3Deleted::Removed { rank: 0, vid: 0, marker: false };
    assert_eq!(delete(&mut tx, "copy", S3Target::Key).await, gone);
    assert_eq!(delete(&mut tx, "copy", S3Target::Key).await, S3Deleted::Nothing);
    tx.commit().await.unwrap();
    let left = s3_blob_list(&store, None, 9).await.unwrap();
    assert_eq!(left.iter().map(|b| b.id.as_str()).collect::<Vec<_>>(), ["blob-2"]);
    assert_eq!(garbage(&store).await, ["blob-1"]);
    let mut tx = store.write().await.unwrap();
    let missing = put(&mut tx, version("k", Some("blob-1"), "v5"), false).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    drop(tx);
    let mut tx = store.write().await.unwrap();
    let missing = s3_bucket_hold(&mut tx, "none").await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    drop(tx);
    consistent(&store, &b).await;
}

fn upload(b: &S3BucketRow, id: &str) -> S3UploadRow {
    S3UploadRow {
        id: id.into(),
        bucket_id: b.id,
        bucket: BUCKET.into(),
        key: S3Key("big/1".into()),
        account_id: account(),
        created_ms: 5,
        doc: "{}".into(),
    }
}

fn part(n: u32, blob: &str) -> S3PartRow {
    S3PartRow {
        upload_id: "u1".into(),
        part_number: n,
        size_bytes: 5,
        etag: "e".into(),
        blob_id: blob.into(),
        checksums: String::new(),
        created_ms: 6,
    }
}

fn piece(part_number: u32, blob: &str) -> S3PieceRow {
    S3PieceRow { part_number, size_bytes: 5, blob_id: blob.into(), checksums: String::new() }
}

/// Completes the upload `u1` with these pieces.
async fn complete(store: &Store, pieces: &[S3PieceRow]) -> usize {
    let mut tx = store.write().await.unwrap();
    let b = s3_bucket_hold(&mut tx, BUCKET).await.unwrap();
    let held = s3_upload_hold(&mut tx, "u1").await.unwrap();
    let heads = s3_version_heads(&mut tx, &b, &held.key.0).await.unwrap();
    let count = u32::try_from(pieces.len()).unwrap();
    let row = S3VersionRow {
        inline: None,
        pieces: count,
        size_bytes: 5 * u64::from(count),
        upload_id: Some("u1".into()),
        ..version("big/1", None, "v1")
    };
    assert_eq!(s3_version_put(&mut tx, &b, &heads, row, 9, pieces, &[]).await.unwrap().freed, 0);
    let kept: HashSet<&str> = pieces.iter().map(|p| p.blob_id.as_str()).collect();
    let freed = s3_upload_complete(&mut tx, "u1", &kept).await.unwrap().unwrap();
    assert_eq!(s3_upload_delete(&mut tx, "u1").await.unwrap(), None);
    let late = s3_upload_hold(&mut tx, "u1").await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
    tx.commit().await.unwrap();
    freed
}

async fn an_upload_hands_its_blobs_to_the_object(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    let row = upload(&b, "u1");
    let mut tx = store.write().await.unwrap();
    s3_upload_insert(&mut tx, &row).await.unwrap();
    for (n, blob) in [(1, "one"), (2, "two-old"), (3, "three")] {
        assert_eq!(s3_part_put(&mut tx, &row, &part(n, blob), 1).await.unwrap(), 0);
    }
    assert_eq!(s3_part_put(&mut tx, &row, &part(2, "two"), 1).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(s3_usage(&store, b.id).await.unwrap().part_bytes, 15);
    assert_eq!(s3_upload_fetch(&store, "u1").await.unwrap(), row);
    assert_eq!(s3_upload_list(&store, BUCKET, "big/", None, 9).await.unwrap(), [row]);
    assert!(s3_upload_list(&store, BUCKET, "", Some(("big/1", "u1")), 9).await.unwrap().is_empty());
    assert_eq!(s3_part_list(&store, "u1", 1, 9).await.unwrap(), [part(2, "two"), part(3, "three")]);

    // Completed with parts 1 and 2 only: 3 is garbage.
    let pieces = [piece(1, "one"), piece(2, "two")];
    assert_eq!(complete(&store, &pieces).await, 1);
    assert_eq!(s3_piece_list(&store, "v1").await.unwrap(), pieces);
    assert_eq!(s3_usage(&store, b.id).await.unwrap().part_bytes, 0);
    let found = s3_version_fetch(&store, BUCKET, "big/1", S3Which::OfUpload("u1")).await.unwrap();
    assert_eq!(found.unwrap().write_id, "v1");
    assert_eq!(s3_version_fetch(&store, BUCKET, "big/1", S3Which::OfUpload("u2")).await.unwrap(), None);
    delete_one(&store, "big/1", S3Target::Key).await;
    assert_eq!(garbage(&store).await, ["one", "three", "two", "two-old"]);
    assert!(s3_blob_list(&store, None, 9).await.unwrap().is_empty());
    assert!(s3_piece_list(&store, "v1").await.unwrap().is_empty());
    consistent(&store, &b).await;
}

/// More than one statement's list takes; a copy refers to all of them.
async fn a_thousand_pieces_come_and_go(db: TestDb) {
    const PARTS: u32 = 2600;
    let store = db.open().await;
    let b = bucket(&store).await;
    let mut tx = store.write().await.unwrap();
    s3_upload_insert(&mut tx, &upload(&b, "u1")).await.unwrap();
    let pieces: Vec<_> = (1..=PARTS).map(|n| piece(n, &format!("blob-{n:04}"))).collect();
    for p in &pieces {
        s3_part_put(&mut tx, &upload(&b, "u1"), &part(p.part_number, &p.blob_id), 1).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(complete(&store, &pieces).await, 0);
    let mut tx = store.write().await.unwrap();
    let heads = s3_version_heads(&mut tx, &b, "copy").await.unwrap();
    let row = S3VersionRow { inline: None, pieces: PARTS + 1, ..version("copy", None, "v2") };
    let mut blobs: Vec<String> = pieces.iter().map(|p| p.blob_id.clone()).collect();
    blobs.push(blobs[0].clone());
    let mut twice = pieces.clone();
    twice.push(piece(PARTS + 1, &blobs[0]));
    s3_version_put(&mut tx, &b, &heads, row, 9, &twice, &blobs).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(s3_blob_fetch(&store, "blob-0001").await.unwrap().refs, 3);
    assert_eq!(s3_blob_fetch(&store, "blob-2600").await.unwrap().refs, 2);
    delete_one(&store, "big/1", S3Target::Key).await;
    assert!(garbage(&store).await.is_empty());
    assert_eq!(s3_piece_list(&store, "v2").await.unwrap(), twice);
    delete_one(&store, "copy", S3Target::Null).await;
    assert_eq!(s3_garbage_list(&store, i64::MAX, 9999).await.unwrap().len(), PARTS as usize);
    assert!(s3_blob_list(&store, None, 9).await.unwrap().is_empty());
}

async fn concurrent_puts_of_one_key_leave_one_object(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    let puts: Vec<_> = (0..10)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                put_one(&store, version("k", Some(&format!("blob-{n}")), &format!("v{n}")), true).await.freed
            })
        })
        .collect();
    let mut freed = 0;
    for put in puts {
        freed += put.await.unwrap();
    }
    assert_eq!(freed, 9, "each loser is garbage once");
    assert_eq!(garbage(&store).await.len(), 9);
    let left = s3_blob_list(&store, None, 99).await.unwrap();
    assert_eq!(left.len(), 1);
    let found = s3_version_fetch(&store, BUCKET, "k", S3Which::Latest).await.unwrap().unwrap();
    assert_eq!(found.blob_id.as_ref(), Some(&left[0].id));
    consistent(&store, &b).await;
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
    s3_blob_insert(&mut tx, "blob", 1, 0).await.unwrap();
    assert!(image_blob_insert(&mut tx, &image).await.unwrap());
    assert!(!image_blob_insert(&mut tx, &image).await.unwrap());
    image_claim_insert(&mut tx, "d", "ami-1").await.unwrap();
    image_claim_insert(&mut tx, "d", "ami-1").await.unwrap();
    assert_eq!(image_claim_list(&mut tx, "d").await.unwrap(), ["ami-1"]);
    assert_eq!(image_blob_delete_unclaimed(&mut tx, "d").await.unwrap(), None);
    assert_eq!(image_blob_list(&mut tx).await.unwrap(), [image.clone()]);
    assert!(image_claim_delete(&mut tx, "d", "ami-1").await.unwrap());
    assert_eq!(image_blob_delete_unclaimed(&mut tx, "d").await.unwrap(), Some(1));
    assert_eq!(image_blob_fetch(&mut tx, "d").await.unwrap(), None);
    tx.commit().await.unwrap();
    assert_eq!(garbage(&store).await, ["blob"]);
}

async fn a_bucket_with_contents_stays(db: TestDb) {
    let store = db.open().await;
    let first = bucket(&store).await;
    versioning(&store, S3Versioning::Enabled).await;
    put_one(&store, version("k", None, "v"), false).await;
    let S3Deleted::Marked { rank, vid } = delete_one(&store, "k", S3Target::Key).await else { panic!("no marker") };
    let refused = async |store: &Store| {
        let mut tx = store.write().await.unwrap();
        assert!(matches!(s3_bucket_delete(&mut tx, BUCKET).await, Err(StoreError::InUse)));
    };
    refused(&store).await;
    let mut tx = store.write().await.unwrap();
    let row = s3_version_list(&mut tx, BUCKET, "", S3VersionsFrom::Keys(S3ListFrom::Start), 9).await.unwrap().remove(1);
    delete(&mut tx, "k", S3Target::Id { rank: row.rank, vid: row.vid }).await;
    tx.commit().await.unwrap();
    refused(&store).await;
    let mut tx = store.write().await.unwrap();
    delete(&mut tx, "k", S3Target::Id { rank, vid }).await;
    assert!(s3_bucket_delete(&mut tx, BUCKET).await.unwrap());
    assert!(!s3_bucket_delete(&mut tx, BUCKET).await.unwrap());
    tx.commit().await.unwrap();
    let second = bucket(&store).await;
    assert!(second.id > first.id, "numbers are not given twice");
    assert_eq!(s3_usage(&store, second.id).await.unwrap(), S3Usage::default());
}

async fn documents_and_the_revision_of_a_bucket(db: TestDb) {
    let store = db.open().await;
    let b = bucket(&store).await;
    assert_eq!(s3_bucket_fetch(&store, BUCKET).await.unwrap(), b);
    assert_eq!(s3_bucket_list(&store, &account(), "", 9).await.unwrap(), [b.clone()]);
    assert!(s3_bucket_list(&store, &account(), BUCKET, 9).await.unwrap().is_empty());
    let doc = |kind: &str, id: &str, doc: &str| S3BucketDocRow {
        bucket_id: b.id,
        kind: kind.into(),
        id: id.into(),
        doc: doc.into(),
        updated_ms: 3,
    };
    let mut tx = store.write().await.unwrap();
    s3_bucket_doc_put(&mut tx, &doc("inventory", "2", "x")).await.unwrap();
    s3_bucket_doc_put(&mut tx, &doc("inventory", "1", "y")).await.unwrap();
    s3_bucket_doc_put(&mut tx, &doc("cors", "", "z")).await.unwrap();
    s3_bucket_doc_put(&mut tx, &doc("cors", "", "new")).await.unwrap();
    assert!(s3_bucket_doc_delete(&mut tx, b.id, "inventory", "1").await.unwrap());
    assert!(!s3_bucket_doc_delete(&mut tx, b.id, "inventory", "1").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(s3_bucket_doc_list(&store, b.id).await.unwrap(), [doc("cors", "", "new"), doc("inventory", "2", "x")]);
    versioning(&store, S3Versioning::Suspended).await;
    let now = s3_bucket_fetch(&store, BUCKET).await.unwrap();
    assert_eq!((now.rev, now.versioning), (b.rev + 6, S3Versioning::Suspended));
    let mut tx = store.write().await.unwrap();
    let nowhere = S3BucketDocRow { bucket_id: 99, ..doc("cors", "", "") };
    assert!(matches!(s3_bucket_doc_put(&mut tx, &nowhere).await, Err(StoreError::InUse)));
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(!s3_bucket_versioning_set(&mut tx, "none", S3Versioning::Enabled).await.unwrap());
    assert!(s3_bucket_delete(&mut tx, BUCKET).await.unwrap(), "its documents go with it");
    tx.commit().await.unwrap();
}

async fn garbage_waits_until_it_is_gone(db: TestDb) {
    let store = db.open().await;
    bucket(&store).await;
    for n in 0..3 {
        put_one(&store, version("k", Some(&format!("blob-{n}")), &format!("v{n}")), true).await;
    }
    let now = store.clock().now_ms();
    assert!(s3_garbage_list(&store, now - 60_000, 9).await.unwrap().is_empty(), "not due");
    assert_eq!(s3_garbage_list(&store, now + 60_000, 9).await.unwrap().len(), 2);
    let mut tx = store.write().await.unwrap();
    s3_garbage_delay(&mut tx, &["blob-0".into()], now + 120_000).await.unwrap();
    tx.commit().await.unwrap();
    let due = s3_garbage_list(&store, now + 60_000, 9).await.unwrap();
    assert_eq!(due.iter().map(|g| (g.blob_id.as_str(), g.size_bytes, g.tries)).collect::<Vec<_>>(), [("blob-1", 3, 0)]);
    let mut tx = store.write().await.unwrap();
    s3_garbage_delete(&mut tx, &["blob-1".into(), "none".into()]).await.unwrap();
    tx.commit().await.unwrap();
    let left = s3_garbage_list(&store, i64::MAX, 9).await.unwrap();
    assert_eq!(left.iter().map(|g| (g.blob_id.as_str(), g.tries)).collect::<Vec<_>>(), [("blob-0", 1)]);
}
