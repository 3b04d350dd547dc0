//! Rows for the tests of Walrus's metadata.

use crate::seed::account;
use mallee_store::*;

pub(crate) const BUCKET: &str = "b";

/// Makes the bucket.
pub(crate) async fn bucket(store: &Store) -> S3BucketRow {
    let mut tx = store.write().await.unwrap();
    let row = s3_bucket_insert(&mut tx, BUCKET, &account(), "r", 1).await.unwrap();
    tx.commit().await.unwrap();
    row
}

pub(crate) async fn versioning(store: &Store, versioning: S3Versioning) {
    let mut tx = store.write().await.unwrap();
    assert!(s3_bucket_versioning_set(&mut tx, BUCKET, versioning).await.unwrap());
    tx.commit().await.unwrap();
}

/// A version of three bytes: in a blob, or inline.
pub(crate) fn version(key: &str, blob: Option<&str>, write_id: &str) -> S3VersionRow {
    S3VersionRow {
        size_bytes: 3,
        etag: "e".into(),
        modified_ms: 1,
        content_type: "text/plain".into(),
        blob_id: blob.map(str::to_owned),
        inline: if blob.is_none() { Some(b"a\0\xff".to_vec()) } else { None },
        ..S3VersionRow::new(key, account(), write_id)
    }
}

/// Puts a version; `new`: its blob has no row yet.
pub(crate) async fn put(tx: &mut Tx, row: S3VersionRow, new: bool) -> Result<S3Written, StoreError> {
    let bucket = s3_bucket_hold(tx, BUCKET).await?;
    let heads = s3_version_heads(tx, &bucket, &row.key.0).await?;
    let mut retained: Vec<String> = row.blob_id.iter().cloned().collect();
    if new && let Some(blob) = retained.pop() {
        s3_blob_insert(tx, &blob, row.size_bytes, 1).await?;
    }
    // A number that differs for each writing.
    let vid = row.write_id.bytes().fold(7, |sum, byte| sum * 31 + i64::from(byte));
    s3_version_put(tx, &bucket, &heads, row, vid, &[], &retained).await
}

pub(crate) async fn put_one(store: &Store, row: S3VersionRow, new: bool) -> S3Written {
    let mut tx = store.write().await.unwrap();
    let written = put(&mut tx, row, new).await.unwrap();
    tx.commit().await.unwrap();
    written
}

pub(crate) async fn delete(tx: &mut Tx, key: &str, target: S3Target) -> S3Deleted {
    let bucket = s3_bucket_hold(tx, BUCKET).await.unwrap();
    let deletion = S3Deletion {
        key: key.into(),
        target,
        only_if: S3DeleteIf::default(),
        bypass_governance: false,
        write_id: format!("marker of {key}"),
        vid: 77,
        only: None,
    };
    let (done, _) = s3_versions_delete(tx, &bucket, &[deletion], 5).await.unwrap();
    assert_eq!(done.len(), 1);
    done[0]
}

pub(crate) async fn delete_one(store: &Store, key: &str, target: S3Target) -> S3Deleted {
    let mut tx = store.write().await.unwrap();
    let done = delete(&mut tx, key, target).await;
    tx.commit().await.unwrap();
    done
}

/// Ids of garbage.
pub(crate) async fn garbage(store: &Store) -> Vec<String> {
    let mut ids: Vec<_> = s3_garbage_list(store, i64::MAX, 99).await.unwrap().into_iter().map(|g| g.blob_id).collect();
    ids.sort();
    ids
}

/// Counters are what the rows add up to, each blob has as many references as its row says, and each key has one latest
/// version: the one of the smallest rank.
pub(crate) async fn consistent(store: &Store, bucket: &S3BucketRow) {
    let rows = s3_version_list(store, BUCKET, "", S3VersionsFrom::Keys(S3ListFrom::Start), 9999).await.unwrap();
    let mut sum = S3Usage { part_bytes: s3_usage(store, bucket.id).await.unwrap().part_bytes, ..S3Usage::default() };
    let mut last: Option<&S3Key> = None;
    for row in &rows {
        assert_eq!(row.latest, last != Some(&row.key), "{row:?}");
        last = Some(&row.key);
        let size = i64::try_from(row.size_bytes).unwrap();
        sum.versions += 1;
        sum.version_bytes += size;
        if row.latest && !row.marker {
            sum.objects += 1;
            sum.bytes += size;
        }
    }
    assert_eq!(s3_usage(store, bucket.id).await.unwrap(), sum);
    let listed = s3_object_list(store, BUCKET, "", S3ListFrom::Start, 9999).await.unwrap();
    let wanted: Vec<_> = rows.iter().filter(|r| r.latest && !r.marker).map(|r| &r.key).collect();
    assert_eq!(listed.iter().map(|r| &r.key).collect::<Vec<_>>(), wanted);
}
