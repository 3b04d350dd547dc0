//! What must hold between Walrus's rows, asked of all of them at once. For the offline check: these queries read whole
//! tables.

use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{FILTER_VALUES_MAX, Select};
use crate::store::Store;
use crate::tx::Tx;

record! {
    /// A blob whose references were counted wrongly.
    pub struct S3RefsWrong {
        /// The blob.
        blob_id: String,
        /// Its size.
        size_bytes: u64,
        /// How many references its row says.
        said: i64,
        /// How many there are.
        found: i64,
    }
    /// References to a blob that has no row.
    pub struct S3RowMissing {
        /// The blob.
        blob_id: String,
        /// Its size, as those that refer to it say.
        size_bytes: u64,
        /// How many refer to it.
        found: i64,
    }
    /// A reference that says another size than the blob's row.
    pub struct S3SizeWrong {
        /// The blob.
        blob_id: String,
        /// What the reference says.
        said: u64,
        /// What the blob's row says.
        size_bytes: u64,
    }
    /// A version of a key.
    pub struct S3VersionName {
        /// The bucket's number.
        bucket_id: i64,
        /// The bucket.
        bucket: String,
        /// The key.
        key: S3Key,
        /// Its rank.
        rank: i64,
        /// Random part of its id; 0 for null.
        vid: i64,
    }
    /// A version whose pieces are not those it should have.
    pub struct S3PiecesWrong {
        /// The bucket.
        bucket: String,
        /// The key.
        key: S3Key,
        /// Its rank.
        rank: i64,
        /// How many pieces it says.
        said: i64,
        /// Its size.
        size_bytes: u64,
        /// How many pieces there are.
        found: i64,
        /// Their bytes.
        found_bytes: u64,
    }
    /// A version with its bytes in its row.
    pub struct S3InlineRow {
        /// The bucket's number.
        bucket_id: i64,
        /// The bucket.
        bucket: String,
        /// The key.
        key: S3Key,
        /// Its rank.
        rank: i64,
        /// Its size.
        size_bytes: u64,
        /// How it is encrypted, if it is.
        enc: Option<String>,
        /// The bytes, as they are stored.
        inline: Vec<u8>,
    }
}

/// Every reference to a blob, with the size that it says.
macro_rules! references {
    () => {
        "(SELECT blob_id, size_bytes FROM s3_versions WHERE blob_id IS NOT NULL
          UNION ALL SELECT blob_id, size_bytes FROM s3_pieces
          UNION ALL SELECT blob_id, size_bytes FROM s3_parts
          UNION ALL SELECT blob_id, size_bytes FROM image_blobs)"
    };
}

/// Versions for which the condition holds.
macro_rules! versions {
    ($condition:literal) => {
        concat!(
            "SELECT v.bucket_id, b.name, v.key, v.rank, v.vid FROM s3_versions v JOIN s3_buckets b ON b.id = v.bucket_id
             WHERE ",
            $condition,
            " LIMIT $1 + 0"
        )
    };
}

/// What the rows of a bucket come to.
macro_rules! counted {
    () => {
        "SELECT bucket_id, class, SUM(CASE WHEN latest AND NOT marker THEN 1 ELSE 0 END) AS objects,
            SUM(CASE WHEN latest AND NOT marker THEN size_bytes ELSE 0 END) AS bytes, COUNT(*) AS versions,
            SUM(size_bytes) AS version_bytes, 0 AS part_bytes
         FROM s3_versions GROUP BY bucket_id, class
         UNION ALL SELECT u.bucket_id, 'STANDARD', 0, 0, 0, 0, SUM(p.size_bytes)
         FROM s3_parts p JOIN s3_uploads u ON u.id = p.upload_id GROUP BY u.bucket_id"
    };
}

sql! {
    REFS = concat!("SELECT b.id, b.size_bytes, b.refs, COUNT(r.blob_id) FROM s3_blobs b LEFT JOIN ", references!(),
        " r ON r.blob_id = b.id GROUP BY b.id, b.size_bytes, b.refs HAVING b.refs <> COUNT(r.blob_id) LIMIT $1 + 0");
    ROWS = concat!("SELECT r.blob_id, MIN(r.size_bytes), COUNT(*) FROM ", references!(),
        " r LEFT JOIN s3_blobs b ON b.id = r.blob_id WHERE b.id IS NULL GROUP BY r.blob_id LIMIT $1 + 0");
    // What is encrypted has a salt, and a tag for each chunk, more (crypt::layout).
    SIZES = concat!("SELECT r.blob_id, r.size_bytes, b.size_bytes FROM ", references!(),
        " r JOIN s3_blobs b ON b.id = r.blob_id WHERE r.size_bytes <> b.size_bytes
        AND b.size_bytes <> r.size_bytes + 32 + 16 * ((r.size_bytes + 65551) / 65520) LIMIT $1 + 0");
    GARBAGE_USED = "SELECT g.blob_id FROM s3_garbage g JOIN s3_blobs b ON b.id = g.blob_id LIMIT $1 + 0";
    GARBAGE_AMONG = "SELECT blob_id FROM s3_garbage WHERE 1 = 1";
    LATEST = versions!("v.latest AND EXISTS (SELECT 1 FROM s3_versions w WHERE w.bucket_id = v.bucket_id
        AND w.key = v.key AND w.rank < v.rank) OR NOT v.latest AND NOT EXISTS (SELECT 1 FROM s3_versions w
        WHERE w.bucket_id = v.bucket_id AND w.key = v.key AND w.rank < v.rank)");
    CONTENT = versions!("v.marker AND (v.blob_id IS NOT NULL OR v.inline IS NOT NULL OR v.pieces > 0)
        OR NOT v.marker AND CASE WHEN v.blob_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN v.inline IS NULL THEN 0 ELSE 1 END + CASE WHEN v.pieces > 0 THEN 1 ELSE 0 END <> 1");
    RANKS = versions!("b.versioning = '' AND (v.rank <> 0 OR v.vid <> 0 OR v.marker)");
    PIECES = "SELECT b.name, v.key, v.rank, v.pieces, v.size_bytes, COUNT(p.n), CAST(COALESCE(SUM(p.size_bytes), 0) AS BIGINT)
        FROM s3_versions v JOIN s3_buckets b ON b.id = v.bucket_id LEFT JOIN s3_pieces p ON p.write_id = v.write_id
        WHERE v.pieces > 0 GROUP BY b.name, v.bucket_id, v.key, v.rank, v.pieces, v.size_bytes
        HAVING v.pieces <> COUNT(p.n) OR v.size_bytes <> COALESCE(SUM(p.size_bytes), 0) LIMIT $1 + 0";
    PIECES_LOST = "SELECT DISTINCT p.write_id FROM s3_pieces p
        LEFT JOIN (SELECT write_id FROM s3_versions WHERE pieces > 0) v ON v.write_id = p.write_id
        WHERE v.write_id IS NULL LIMIT $1 + 0";
    // What the counters say less what was counted: nothing, for each class.
    USAGE = concat!("SELECT DISTINCT b.id, b.name FROM s3_buckets b JOIN (SELECT bucket_id, class FROM (
            SELECT bucket_id, class, objects, bytes, versions, version_bytes, part_bytes FROM s3_usage
            UNION ALL SELECT bucket_id, class, -objects, -bytes, -versions, -version_bytes, -part_bytes
            FROM (", counted!(), ") n) d GROUP BY bucket_id, class
            HAVING SUM(objects) <> 0 OR SUM(bytes) <> 0 OR SUM(versions) <> 0 OR SUM(version_bytes) <> 0
            OR SUM(part_bytes) <> 0) w ON w.bucket_id = b.id ORDER BY b.id");
    INLINE = "SELECT v.bucket_id, b.name, v.key, v.rank, v.size_bytes, v.enc, v.inline
        FROM s3_versions v JOIN s3_buckets b ON b.id = v.bucket_id
        WHERE (v.bucket_id, v.key, v.rank) > ($1, $2, $3) AND v.inline IS NOT NULL
        ORDER BY v.bucket_id, v.key, v.rank LIMIT $4 + 0";
    HOLDERS = versions!("v.blob_id = $2 OR v.write_id IN (SELECT p.write_id FROM s3_pieces p WHERE p.blob_id = $2)");
    SET_REFS = "UPDATE s3_blobs SET refs = $2 WHERE id = $1";
    UNGARBAGE = "DELETE FROM s3_garbage WHERE blob_id = $1";
    NOT_LATEST = "UPDATE s3_versions SET latest = $3 WHERE bucket_id = $1 AND key = $2 AND latest";
    IS_LATEST = "UPDATE s3_versions SET latest = $3 WHERE bucket_id = $1 AND key = $2
        AND rank = (SELECT MIN(w.rank) FROM s3_versions w WHERE w.bucket_id = $1 AND w.key = $2)";
    USAGE_CLEAR = "DELETE FROM s3_usage WHERE bucket_id = $1";
    USAGE_COUNT = concat!("INSERT INTO s3_usage (bucket_id, slot, class, objects, bytes, versions, version_bytes, part_bytes)
        SELECT bucket_id, 0, class, CAST(SUM(objects) AS BIGINT), CAST(SUM(bytes) AS BIGINT), CAST(SUM(versions) AS BIGINT),
        CAST(SUM(version_bytes) AS BIGINT), CAST(SUM(part_bytes) AS BIGINT)
        FROM (", counted!(), ") n WHERE bucket_id = $1 GROUP BY bucket_id, class");
}

/// SQLite's own look at its file: one row `ok`, or up to 100 that say what is wrong.
pub(crate) const SQLITE_INTEGRITY: &str = "PRAGMA integrity_check(100)";

/// What SQLite finds wrong with its file. (PostgreSQL looks after its own.)
pub async fn s3_check_file(store: &Store) -> Result<Vec<String>, StoreError> {
    if store.is_shared() {
        return Ok(Vec::new());
    }
    let lines: Vec<(String,)> = Exec::Store(store).all(SQLITE_INTEGRITY, vec![]).await?;
    Ok(lines.into_iter().map(|(line,)| line).filter(|line| line != "ok").collect())
}

/// Blobs whose references were counted wrongly.
pub async fn s3_check_refs(store: &Store, limit: u32) -> Result<Vec<S3RefsWrong>, StoreError> {
    Exec::Store(store).all(REFS, args![limit]).await
}

/// Blobs that are referred to and have no row.
pub async fn s3_check_rows(store: &Store, limit: u32) -> Result<Vec<S3RowMissing>, StoreError> {
    Exec::Store(store).all(ROWS, args![limit]).await
}

/// References that say another size than the blob's row.
pub async fn s3_check_sizes(store: &Store, limit: u32) -> Result<Vec<S3SizeWrong>, StoreError> {
    Exec::Store(store).all(SIZES, args![limit]).await
}

/// Blobs that are to be deleted and yet have a row.
pub async fn s3_check_garbage(store: &Store, limit: u32) -> Result<Vec<String>, StoreError> {
    let ids: Vec<(String,)> = Exec::Store(store).all(GARBAGE_USED, args![limit]).await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}

/// Those of the blobs that are known to be garbage.
pub async fn s3_garbage_among(store: &Store, ids: &[String]) -> Result<Vec<String>, StoreError> {
    let mut out = Vec::new();
    for chunk in ids.chunks(FILTER_VALUES_MAX) {
        let select = Select::new(GARBAGE_AMONG, vec![]).and_in("blob_id", Some(chunk))?;
        out.extend(select.all::<(String,)>(Exec::Store(store), "").await?.into_iter().map(|(id,)| id));
    }
    Ok(out)
}

/// Versions whose mark of being the newest is wrong.
pub async fn s3_check_latest(store: &Store, limit: u32) -> Result<Vec<S3VersionName>, StoreError> {
    Exec::Store(store).all(LATEST, args![limit]).await
}

/// Versions with no bytes or with more than one place of their bytes, and delete markers with any.
pub async fn s3_check_content(store: &Store, limit: u32) -> Result<Vec<S3VersionName>, StoreError> {
    Exec::Store(store).all(CONTENT, args![limit]).await
}

/// Versions that a bucket cannot have, as it was never versioned.
pub async fn s3_check_ranks(store: &Store, limit: u32) -> Result<Vec<S3VersionName>, StoreError> {
    Exec::Store(store).all(RANKS, args![limit]).await
}

/// Versions whose pieces are not those it should have.
pub async fn s3_check_pieces(store: &Store, limit: u32) -> Result<Vec<S3PiecesWrong>, StoreError> {
    Exec::Store(store).all(PIECES, args![limit]).await
}

/// Writes whose pieces are there without a version.
pub async fn s3_check_pieces_lost(store: &Store, limit: u32) -> Result<Vec<String>, StoreError> {
    let ids: Vec<(String,)> = Exec::Store(store).all(PIECES_LOST, args![limit]).await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}

/// Buckets (number, name) whose counters are wrong.
pub async fn s3_check_usage(store: &Store) -> Result<Vec<(i64, String)>, StoreError> {
    Exec::Store(store).all(USAGE, vec![]).await
}

/// Versions with their bytes in their rows, in the order of buckets, keys and ranks, after one of them.
pub async fn s3_inline_list(
    store: &Store,
    after: Option<&S3InlineRow>,
    limit: u32,
) -> Result<Vec<S3InlineRow>, StoreError> {
    let (bucket, key, rank) = after.map_or((i64::MIN, "", i64::MIN), |v| (v.bucket_id, v.key.0.as_str(), v.rank));
    Exec::Store(store).all(INLINE, args![bucket, key.as_bytes(), rank, limit]).await
}

/// Versions that refer to a blob.
pub async fn s3_blob_holders(store: &Store, id: &str, limit: u32) -> Result<Vec<S3VersionName>, StoreError> {
    Exec::Store(store).all(HOLDERS, args![limit, id]).await
}

/// Sets how many references a blob has; without any it becomes garbage.
pub async fn s3_mend_refs(tx: &mut Tx, wrong: &S3RefsWrong) -> Result<(), StoreError> {
    // Zero references go the way of any release: down from one.
    let refs = wrong.found.max(1);
    Exec::Tx(tx).run(SET_REFS, args![wrong.blob_id, refs]).await?;
    if wrong.found == 0 {
        super::s3_blobs_release(tx, std::slice::from_ref(&wrong.blob_id)).await?;
    }
    Ok(())
}

/// Takes a blob off the garbage.
pub async fn s3_mend_garbage(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(UNGARBAGE, args![id]).await.map(drop)
}

/// Marks the newest version of a key, and no other.
pub async fn s3_mend_latest(tx: &mut Tx, bucket_id: i64, key: &str) -> Result<(), StoreError> {
    Exec::Tx(tx).run(NOT_LATEST, args![bucket_id, key.as_bytes(), false]).await?;
    Exec::Tx(tx).run(IS_LATEST, args![bucket_id, key.as_bytes(), true]).await.map(drop)
}

/// Drops pieces that belong to no version. Their blobs then have references too many ([`s3_check_refs`]).
pub async fn s3_mend_pieces(tx: &mut Tx, write_id: &str) -> Result<(), StoreError> {
    super::pieces::delete(tx, write_id).await.map(drop)
}

/// Counts a bucket anew.
pub async fn s3_mend_usage(tx: &mut Tx, bucket_id: i64) -> Result<(), StoreError> {
    Exec::Tx(tx).run(USAGE_CLEAR, args![bucket_id]).await?;
    Exec::Tx(tx).run(USAGE_COUNT, args![bucket_id]).await.map(drop)
}
