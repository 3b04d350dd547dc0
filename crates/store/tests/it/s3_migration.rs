//! A database of the build before versions: nothing is lost on the way to the new tables, and what must be read by an
//! index alone is.

use crate::s3_support::{BUCKET, consistent, delete_one, garbage, put_one, version, versioning};
use crate::seed::account;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

mallee_store::store_test_suite!(an_older_database_comes_along, listings_read_an_index_alone);

/// The last step before.
const OLDER: i64 = 17;

/// One object of each kind, an upload with parts, an image; `x'…'` is SQLite's way to write bytes.
fn rows(postgres: bool) -> String {
    let bytes = |hex: &str| if postgres { format!("'\\x{hex}'") } else { format!("x'{hex}'") };
    let (inline, blob, parts, up) = (bytes("61"), bytes("62ff"), bytes("63"), bytes("64"));
    let data = bytes("0102");
    let account = account();
    let blobs: String = ["one", "two", "p1", "p2", "u1", "image"]
        .map(|id| format!("INSERT INTO s3_blobs VALUES ('{id}', 7, 1, {});", if id == "two" { 2 } else { 1 }))
        .concat();
    // A key may be no UTF-8 in the table, but never comes so; 0x62ff is replaced by one that is.
    let blob = blob.replace("62ff", "62c3a9");
    format!(
        "INSERT INTO s3_buckets VALUES ('a', '{account}', 'r', 1);
         INSERT INTO s3_buckets VALUES ('{BUCKET}', '{account}', 'r', 2);
         {blobs}
         INSERT INTO s3_objects VALUES ('{BUCKET}', {inline}, 2, 'e1', NULL, {data}, 't/1', '{{\"user\":{{\"a\":\"b\"}}}}', 'F CRC32=x', 11, 'w1');
         INSERT INTO s3_objects VALUES ('{BUCKET}', {blob}, 7, 'e2', 'two', NULL, 't/2', '{{}}', '', 12, 'w2');
         INSERT INTO s3_objects VALUES ('a', {blob}, 7, 'e2', 'two', NULL, 't/2', '{{}}', '', 12, 'w4');
         INSERT INTO s3_objects VALUES ('{BUCKET}', {parts}, 14, 'e3-2', NULL, NULL, 't/3', '{{\"upload\":\"old\"}}', '', 13, 'w3');
         INSERT INTO s3_object_parts VALUES ('w3', 5, 7, 'p2', 'c2');
         INSERT INTO s3_object_parts VALUES ('w3', 1, 7, 'p1', 'c1');
         INSERT INTO s3_uploads VALUES ('up', '{BUCKET}', {up}, '{account}', 14, '{{}}');
         INSERT INTO s3_parts VALUES ('up', 3, 7, 'pe', 'u1', 'pc', 15);
         INSERT INTO image_blobs VALUES ('digest', 'raw', 7, 7, 16, 'image');
         INSERT INTO image_claims VALUES ('digest', 'ami-1');
         INSERT INTO resource_creators VALUES ('bucket:{BUCKET}', 'AIDA');"
    )
}

async fn an_older_database_comes_along(db: TestDb) {
    db.migrate_to(OLDER).await;
    let text = AssertSqlSafe(rows(db.is_postgres()));
    if db.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(text).execute(&mut conn).await.unwrap();
    } else {
        let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(text).execute(&mut conn).await.unwrap();
    }
    let store = db.open().await;
    let b = s3_bucket_fetch(&store, BUCKET).await.unwrap();
    let other = s3_bucket_fetch(&store, "a").await.unwrap();
    assert_ne!(b.id, other.id);
    assert_eq!((b.versioning, b.created_ms), (S3Versioning::Off, 2));
    let get = async |key: &str| s3_version_fetch(&store, BUCKET, key, S3Which::Latest).await.unwrap().unwrap();
    let inline = get("a").await;
    let wanted = S3VersionRow {
        bucket_id: b.id,
        size_bytes: 2,
        etag: "e1".into(),
        modified_ms: 11,
        checksums: "F CRC32=x".into(),
        content_type: "t/1".into(),
        headers: r#"{"user":{"a":"b"}}"#.into(),
        inline: Some(vec![1, 2]),
        ..version("a", None, "w1")
    };
    assert_eq!(inline, wanted);
    let (blob, parts) = (get("b\u{e9}").await, get("c").await);
    assert_eq!((blob.blob_id.as_deref(), blob.upload_id, blob.pieces), (Some("two"), None, 0));
    assert_eq!((parts.blob_id, parts.upload_id.as_deref(), parts.pieces), (None, Some("old"), 2));
    let pieces = s3_piece_list(&store, "w3").await.unwrap();
    assert_eq!(pieces.iter().map(|p| (p.part_number, p.blob_id.as_str())).collect::<Vec<_>>(), [(1, "p1"), (5, "p2")]);
    let upload = s3_upload_fetch(&store, "up").await.unwrap();
    assert_eq!((upload.bucket.as_str(), upload.key.0.as_str(), upload.created_ms), (BUCKET, "d", 14));
    assert_eq!(s3_part_list(&store, "up", 0, 9).await.unwrap()[0].blob_id, "u1");
    let usage = s3_usage(&store, b.id).await.unwrap();
    assert_eq!(usage, S3Usage { objects: 3, bytes: 23, versions: 3, version_bytes: 23, part_bytes: 7 });
    assert_eq!(s3_usage(&store, other.id).await.unwrap().bytes, 7);
    assert_eq!(quota_use(&store, Counted::BucketBytes, &account(), None).await.unwrap(), 37, "with the part");
    assert_eq!(quota_use(&store, Counted::BucketBytes, &account(), Some("AIDA")).await.unwrap(), 30);
    consistent(&store, &b).await;

    // It lives on: overwritten, versioned, deleted, and nothing of it is left.
    put_one(&store, version("a", None, "new"), false).await;
    versioning(&store, S3Versioning::Enabled).await;
    put_one(&store, version("c", None, "newer"), false).await;
    assert_eq!(delete_one(&store, "c", S3Target::Null).await, S3Deleted::Removed { rank: 0, vid: 0, marker: false });
    delete_one(&store, "b\u{e9}", S3Target::Null).await;
    assert_eq!(garbage(&store).await, ["p1", "p2"], "the other bucket refers to `two`");
    let mut tx = store.write().await.unwrap();
    assert_eq!(s3_upload_delete(&mut tx, "up").await.unwrap(), Some(1));
    assert!(image_claim_delete(&mut tx, "digest", "ami-1").await.unwrap());
    assert_eq!(image_blob_delete_unclaimed(&mut tx, "digest").await.unwrap(), Some(1));
    let third = s3_bucket_insert(&mut tx, "third", &account(), "r", 3).await.unwrap();
    tx.commit().await.unwrap();
    assert!(third.id > b.id.max(other.id));
    consistent(&store, &b).await;
}

/// The text of a query in the registry.
fn text_of(file: &str, name: &str) -> &'static str {
    let texts = registry::SQL_BOTH.iter().find(|(f, _)| *f == file).map(|(_, texts)| *texts).unwrap();
    texts.iter().find(|(n, _)| *n == name).map(|(_, text)| *text).unwrap()
}

/// The text that SQLite has in the place of one of both.
fn text_of_sqlite(file: &str) -> &'static str {
    registry::SQL_SQLITE.iter().find(|(f, _)| *f == file).unwrap().1[0].1
}

async fn listings_read_an_index_alone(db: TestDb) {
    let store = db.open().await;
    crate::s3_support::bucket(&store).await;
    let listing = text_of("s3/listing.rs", "FROM_KEY");
    if db.is_postgres() {
        let mut conn = sqlx::PgConnection::connect(&db.url).await.unwrap();
        // Of an empty table the planner would rather read all of it.
        sqlx::raw_sql(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan",
        )
        .execute(&mut conn)
        .await
        .unwrap();
        let prepared = format!("PREPARE listing AS {listing}");
        sqlx::raw_sql(AssertSqlSafe(prepared)).execute(&mut conn).await.unwrap();
        let plan = sqlx::raw_sql("EXPLAIN EXECUTE listing('b', 'a', 'b', 10)").fetch_all(&mut conn).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().any(|l| l.contains("Index Only Scan using s3_versions_listed")), "{plan:#?}");
        assert!(!plan.iter().any(|l| l.contains("Sort")), "{plan:#?}");
        let entries = registry::SQL_POSTGRES.iter().find(|(file, _)| *file == "s3/listing_rolled.rs").unwrap().1[0].1;
        sqlx::raw_sql(AssertSqlSafe(format!("PREPARE entries AS {entries}"))).execute(&mut conn).await.unwrap();
        let plan = sqlx::raw_sql("EXPLAIN EXECUTE entries('b', 'a', 'b', 10, 1, '/', '0')");
        let plan: Vec<String> = plan.fetch_all(&mut conn).await.unwrap().iter().map(|row| row.get(0)).collect();
        // Where it begins, and from each entry to the next; behind them what the entries themselves are.
        let walk = plan.iter().position(|l| l.contains("CTE walk")).unwrap();
        let searches = plan[walk..].iter().filter(|l| l.contains("Index Only Scan using s3_versions_listed")).count();
        assert!(searches >= 2, "{plan:#?}");
        assert!(!plan.iter().any(|l| l.contains("Seq Scan on s3_versions")), "{plan:#?}");
        return;
    }
    let mut conn = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
    let mut plan = async |text: &str| -> Vec<String> {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let rows = sqlx::raw_sql(explain).fetch_all(&mut conn).await.unwrap();
        rows.iter().map(|row| row.get(3)).collect()
    };
    let page = text_of_sqlite("s3/listing.rs");
    for listing in [listing, page] {
        let of_listing = plan(listing).await;
        let index = "USING COVERING INDEX s3_versions_listed (bucket_id=? AND key>";
        assert!(of_listing.iter().any(|line| line.contains(index)), "{of_listing:?}");
        assert!(!of_listing.iter().any(|line| line.contains("TEMP B-TREE")), "{of_listing:?}");
    }
    let of_entries = plan(text_of_sqlite("s3/listing_rolled.rs")).await;
    let searches = of_entries.iter().filter(|line| line.contains("s3_versions_listed (bucket_id=? AND key"));
    assert_eq!(searches.count(), 3, "where it begins, the next one, and what it is: {of_entries:#?}");
    assert!(!of_entries.iter().any(|line| line.contains("TEMP B-TREE")), "{of_entries:#?}");
    for (file, name, wanted) in [
        ("s3/listing_versions.rs", "FROM_KEY", "USING PRIMARY KEY (bucket_id=? AND key>"),
        ("s3/listing_versions.rs", "AFTER", "USING PRIMARY KEY (bucket_id=? AND (key,rank)>"),
        ("s3/version.rs", "LATEST", "USING PRIMARY KEY (bucket_id=? AND key=?)"),
        ("s3/version.rs", "OLD_NULL", "USING INDEX s3_versions_bucket_id_key (bucket_id=? AND key=?)"),
        ("s3/version_write.rs", "NEXT", "USING PRIMARY KEY (bucket_id=? AND key=?)"),
        ("s3/garbage.rs", "LIST", "USING INDEX s3_garbage_by_due (due_ms<?)"),
    ] {
        let plan = plan(text_of(file, name)).await;
        assert!(plan[0].contains(wanted), "{file} {name}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{file} {name} sorts: {plan:?}");
    }
}
