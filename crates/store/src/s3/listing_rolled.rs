//! Listing with a delimiter: one statement goes from entry to entry, past everything below each common prefix. What is
//! not read costs nothing, and a page is one hand-over to the database, however many prefixes stand on it.

use super::listing::{AFTER_ALL_KEYS, S3ListFrom, S3ListedRow, first_of, lower_bound, prefix_successor};
use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record};
use crate::select::PAGE_ROWS_MAX;
use mallee_types::AccountId;

/// An entry of such a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum S3Entry {
    /// An object.
    Object(S3ListedRow),
    /// What all keys that it stands for begin with: it ends with the delimiter.
    Prefix(String),
}

record! {
    /// An entry as PostgreSQL gives it.
    pub struct S3EntryRow {
        /// Bytes of the key that are a common prefix; 0: it is an object.
        common: i64,
        /// The first key of the entry.
        key: S3Key,
        /// As in [`S3ListedRow`], like all that follow.
        size_bytes: u64,
        /// See there.
        etag: String,
        /// See there.
        modified_ms: i64,
        /// See there.
        class: String,
        /// See there.
        owner: AccountId,
        /// See there.
        checksums: String,
    }
}

/// The parameters: bucket, first key, end of the keys, entries, place in the key (from 1) where the delimiter is searched,
/// the delimiter, the smallest bytes after all that begin with it.
///
/// One key after the other is put into `walk`: the first that lies behind the entry of the one before. SQLite gives all of
/// it as one value, for the reasons that [`super::listing::SQLITE_PAGE`] has: objects as there, of a common prefix its
/// length as a negative number on a line, and then itself.
pub(crate) const SQLITE_ENTRIES: &str = "WITH RECURSIVE walk (key, n) AS (
    SELECT (SELECT key FROM s3_versions WHERE bucket_id = (SELECT id FROM s3_buckets WHERE name = $1)
        AND latest AND NOT marker AND key >= $2 AND key < $3 ORDER BY key LIMIT 1), 1
    UNION ALL
    SELECT (SELECT v.key FROM s3_versions v WHERE v.bucket_id = (SELECT id FROM s3_buckets WHERE name = $1)
        AND v.latest AND NOT v.marker AND v.key < $3 AND v.key >= CAST(
            CASE instr(substr(walk.key, $5), $6) WHEN 0 THEN walk.key || x'00'
            ELSE substr(walk.key, 1, $5 + instr(substr(walk.key, $5), $6) - 2) || $7 END AS BLOB)
        ORDER BY v.key LIMIT 1), n + 1
    FROM walk WHERE walk.key IS NOT NULL AND n < $4)
    SELECT group_concat(CASE instr(substr(walk.key, $5), $6)
        WHEN 0 THEN (SELECT length(v.key) || char(10) || v.size_bytes || char(10) || v.modified_ms
            || char(10) || v.etag || char(10) || v.class || char(10) || v.owner || char(10) || v.checksums || char(10)
            || CAST(v.key AS TEXT) FROM s3_versions v
            WHERE v.bucket_id = (SELECT id FROM s3_buckets WHERE name = $1) AND v.latest AND NOT v.marker
            AND v.key = walk.key)
        ELSE '-' || ($5 + instr(substr(walk.key, $5), $6) + length($6) - 2) || char(10)
            || CAST(substr(walk.key, 1, $5 + instr(substr(walk.key, $5), $6) + length($6) - 2) AS TEXT) END, '')
    FROM walk WHERE walk.key IS NOT NULL";

/// The same of PostgreSQL, as rows.
pub(crate) const PG_ENTRIES: &str = "WITH RECURSIVE walk (key, n) AS (
    (SELECT key, 1 FROM s3_versions WHERE bucket_id = (SELECT id FROM s3_buckets WHERE name = $1)
        AND latest AND NOT marker AND key >= $2 AND key < $3 ORDER BY key LIMIT 1)
    UNION ALL
    SELECT next.key, walk.n + 1 FROM walk CROSS JOIN LATERAL (SELECT v.key FROM s3_versions v
        WHERE v.bucket_id = (SELECT id FROM s3_buckets WHERE name = $1)
        AND v.latest AND NOT v.marker AND v.key < $3 AND v.key >=
            CASE position($6::bytea IN substring(walk.key FROM $5::int)) WHEN 0 THEN walk.key || '\\x00'::bytea
            ELSE substring(walk.key FROM 1 FOR $5::int + position($6::bytea IN substring(walk.key FROM $5::int)) - 2)
                || $7::bytea END
        ORDER BY v.key LIMIT 1) next
    WHERE walk.n < $4)
    SELECT CASE position($6::bytea IN substring(walk.key FROM $5::int)) WHEN 0 THEN 0
        ELSE ($5::int + position($6::bytea IN substring(walk.key FROM $5::int)) + length($6::bytea) - 2)::bigint END,
        v.key, v.size_bytes, v.etag, v.modified_ms, v.class, v.owner, v.checksums
    FROM walk JOIN s3_versions v ON v.bucket_id = (SELECT id FROM s3_buckets WHERE name = $1) AND v.latest
        AND NOT v.marker AND v.key = walk.key ORDER BY walk.n";

/// Entries of the keys that begin with `prefix`, in their order, at most `limit`: those that have the delimiter behind the
/// prefix are one entry each for all that begin so far alike. Without a delimiter there are no entries.
pub async fn s3_entry_list<'a>(
    exec: impl Into<Exec<'a>>,
    bucket: &str,
    prefix: &str,
    delimiter: &str,
    from: S3ListFrom<'_>,
    limit: u32,
) -> Result<Vec<S3Entry>, StoreError> {
    let behind = prefix_successor(delimiter.as_bytes()).filter(|_| limit > 0);
    let (Some(low), Some(behind)) = (lower_bound(prefix, from), behind) else { return Ok(Vec::new()) };
    let high = prefix_successor(prefix.as_bytes()).unwrap_or_else(|| AFTER_ALL_KEYS.to_vec());
    let place = i64::try_from(prefix.len() + 1).unwrap_or(i64::MAX);
    let values = args![bucket, low, high, limit.min(PAGE_ROWS_MAX), place, delimiter.as_bytes(), behind];
    let exec = exec.into();
    if exec.is_sqlite() {
        let page: Option<(Option<String>,)> = exec.maybe(SQLITE_ENTRIES, values).await?;
        return unpacked(&page.and_then(|(page,)| page).unwrap_or_default());
    }
    exec.all::<S3EntryRow>(PG_ENTRIES, values).await?.into_iter().map(entry).collect()
}

fn entry(row: S3EntryRow) -> Result<S3Entry, StoreError> {
    let S3EntryRow { common, key, size_bytes, etag, modified_ms, class, owner, checksums } = row;
    if common == 0 {
        return Ok(S3Entry::Object(S3ListedRow { key, size_bytes, etag, modified_ms, class, owner, checksums }));
    }
    let common = usize::try_from(common).ok().and_then(|common| key.0.get(..common));
    common.map(|common| S3Entry::Prefix(common.to_owned())).ok_or_else(corrupt)
}

fn corrupt() -> StoreError {
    StoreError::corrupt("a page of a listing")
}

/// The entries of a page that came as one text.
fn unpacked(page: &str) -> Result<Vec<S3Entry>, StoreError> {
    let mut entries = Vec::new();
    let mut rest = page;
    while !rest.is_empty() {
        let (entry, behind) = match rest.strip_prefix('-') {
            Some(common) => first_common(common).ok_or_else(corrupt)?,
            None => first_of(rest).map(|(row, behind)| (S3Entry::Object(row), behind)).ok_or_else(corrupt)?,
        };
        entries.push(entry);
        rest = behind;
    }
    Ok(entries)
}

fn first_common(page: &str) -> Option<(S3Entry, &str)> {
    let (length, behind) = page.split_once('\n')?;
    let (common, behind) = behind.split_at_checked(length.parse().ok()?)?;
    Some((S3Entry::Prefix(common.to_owned()), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_one_text_has_objects_and_prefixes() {
        let page = "-3\na/\n1\n5\n-7\ne\nSTANDARD\n000000000001\n\nb-2\n-/";
        let shown = |entry: &S3Entry| match entry {
            S3Entry::Object(row) => format!("object {} {}", row.key.0, row.size_bytes),
            S3Entry::Prefix(common) => format!("prefix {common:?}"),
        };
        let entries: Vec<_> = unpacked(page).unwrap().iter().map(shown).collect();
        assert_eq!(entries, [r#"prefix "a/\n""#, "object b 5", r#"prefix "-/""#]);
        for bad in ["-9\na/", "-x\na/", "-2", "5\n"] {
            assert!(unpacked(bad).is_err(), "{bad}");
        }
    }
}
