//! Fills a bucket of a cloud that does not run with keys, for `cargo xtask bench --only s3`.
//!
//! ```text
//! fill_s3 DATABASE BUCKET KEYS PREFIXES     DATABASE: the SQLite file; the bucket is there
//! ```
//!
//! The keys are `pNNNN/kNNNNNNN`. One statement writes all rows as the cloud itself would have: empty objects in their
//! rows. Only listings are measured on them, so that one thing differs: their inline bytes have no checksum, and a GET
//! would answer that they are damaged.

use sqlx::Connection as _;
use std::error::Error;

const VERSIONS: &str = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
    INSERT INTO s3_versions (bucket_id, key, rank, vid, latest, marker, write_id, size_bytes, etag, modified_ms, owner,
        checksums, content_type, inline)
    SELECT b.id, CAST(printf('p%04d/k%07d', i * ?3 / ?2, i) AS BLOB), 0, 0, 1, 0, printf('%032x', i), 0,
        printf('%032x', i * 7919), 1700000000000 + i, b.account_id, 'F CRC64NVME=AAAAAAAAAAA=',
        'application/octet-stream', x''
    FROM n, s3_buckets b WHERE b.name = ?1";
const USAGE: &str = "UPDATE s3_usage SET objects = objects + ?2, versions = versions + ?2
    WHERE bucket_id = (SELECT id FROM s3_buckets WHERE name = ?1)";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, bucket, keys, prefixes] = &arguments[..] else {
        return Err("usage: fill_s3 DATABASE BUCKET KEYS PREFIXES".into());
    };
    let (keys, prefixes): (i64, i64) = (keys.parse()?, prefixes.parse()?);
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{database}")).await?;
    let mut tx = connection.begin().await?;
    let made = sqlx::query(VERSIONS).bind(bucket).bind(keys).bind(prefixes).execute(&mut *tx).await?.rows_affected();
    if i64::try_from(made)? != keys {
        return Err(format!("{made} of {keys} rows: is there a bucket {bucket}?").into());
    }
    sqlx::query(USAGE).bind(bucket).bind(keys).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
