//! What can be changed of a version after its writing: class, tags, access, locks, encryption and replication.

use super::bucket::S3BucketRow;
use super::usage::{self, S3Usage};
use super::version::{S3VersionRow, S3Which, s3_version_fetch};
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, sql};
use crate::tx::Tx;

sql! {
    SET = "UPDATE s3_versions SET class = $4, tags = $5, acl = $6, lock_mode = $7, lock_until_ms = $8, legal_hold = $9,
        hold_known = $10, enc = $11, repl = $12 WHERE bucket_id = $1 AND key = $2 AND rank = $3";
}

/// A version of a key, which nobody else writes until the end of the transaction. The bucket must be held
/// ([`super::s3_bucket_hold`]).
pub async fn s3_version_hold(
    tx: &mut Tx,
    bucket: &S3BucketRow,
    key: &str,
    which: S3Which<'_>,
) -> Result<Option<S3VersionRow>, StoreError> {
    super::version_write::lock(tx, bucket.id, key).await?;
    s3_version_fetch(tx, &bucket.name, key, which).await
}

/// Writes what can be changed of a version that is held; `old_class` is the class it had.
pub async fn s3_version_properties_set(tx: &mut Tx, row: &S3VersionRow, old_class: &str) -> Result<(), StoreError> {
    let S3VersionRow {
        bucket_id,
        key,
        rank,
        class,
        tags,
        acl,
        lock_mode,
        lock_until_ms,
        legal_hold,
        hold_known,
        enc,
        repl,
        ..
    } = row;
    let lock = (lock_mode, lock_until_ms, legal_hold, hold_known);
    let values = args![bucket_id, key, rank, class, tags, acl, lock.0, lock.1, lock.2, lock.3, enc, repl];
    Exec::Tx(tx).run(SET, values).await?;
    if class != old_class {
        for (class, by) in [(old_class, -1), (class.as_str(), 1)] {
            let mut change = S3Usage::default();
            change.version(by, row.size_bytes, row.latest && !row.marker);
            usage::add(tx, *bucket_id, class, &change).await?;
        }
    }
    Ok(())
}
