//! Listing by range scans: a page costs what it returns. (With a delimiter: `listing_rolled`.)

use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::PAGE_ROWS_MAX;
use mallee_types::AccountId;

record! {
    /// What a listing shows of an object.
    pub struct S3ListedRow {
        /// Its key.
        key: S3Key,
        /// Its size.
        size_bytes: u64,
        /// Without quotes.
        etag: String,
        /// When it was written.
        modified_ms: i64,
        /// Its storage class.
        class: String,
        /// Whose it is.
        owner: AccountId,
        /// Its checksums, as text.
        checksums: String,
    }
}

sql! {
    // The index `s3_versions_listed` holds all that is read here.
    FROM_KEY = "SELECT key, size_bytes, etag, modified_ms, class, owner, checksums FROM s3_versions
        WHERE bucket_id = (SELECT id FROM s3_buckets WHERE name = $1) AND latest AND NOT marker
        AND key >= $2 AND key < $3 ORDER BY key LIMIT $4 + 0";
}

/// SQLite: the same page as one value, entry after entry: the bytes of the key, then each other fact on a line of its
/// own, then the key. Its driver copies every value of every row and hands each row from thread to thread, which takes
/// several times longer than reading them; there is one of each here.
pub(crate) const SQLITE_PAGE: &str =
    "SELECT group_concat(length(key) || char(10) || size_bytes || char(10) || modified_ms
    || char(10) || etag || char(10) || class || char(10) || owner || char(10) || checksums || char(10)
    || CAST(key AS TEXT), '') FROM (SELECT key, size_bytes, etag, modified_ms, class, owner, checksums FROM s3_versions
        WHERE bucket_id = (SELECT id FROM s3_buckets WHERE name = $1) AND latest AND NOT marker
        AND key >= $2 AND key < $3 ORDER BY key LIMIT $4 + 0)";

/// Sorts after every key: keys are UTF-8, in which this byte never is.
pub(super) const AFTER_ALL_KEYS: &[u8] = &[0xff];

/// Where a listing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3ListFrom<'a> {
    /// At the first key.
    Start,
    /// After this key.
    AfterKey(&'a str),
    /// After every key that begins with this.
    AfterPrefix(&'a str),
}

/// The smallest text of bytes greater than every text that begins with `prefix`; `None` if there is none.
#[must_use]
pub fn prefix_successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut successor = prefix.get(..=keep)?.to_vec();
    if let Some(last) = successor.last_mut() {
        *last += 1;
    }
    Some(successor)
}

/// The first key's bytes a listing may return, or `None` if it can return none.
pub(super) fn lower_bound(prefix: &str, from: S3ListFrom<'_>) -> Option<Vec<u8>> {
    let after = match from {
        S3ListFrom::Start => Vec::new(),
        S3ListFrom::AfterKey(key) => {
            let mut next = key.as_bytes().to_vec();
            next.push(0);
            next
        }
        S3ListFrom::AfterPrefix(passed) => prefix_successor(passed.as_bytes())?,
    };
    Some(after.max(prefix.as_bytes().to_vec()))
}

/// Objects whose key begins with `prefix`, in byte order of the keys, at most `limit`.
pub async fn s3_object_list<'a>(
    exec: impl Into<Exec<'a>>,
    bucket: &str,
    prefix: &str,
    from: S3ListFrom<'_>,
    limit: u32,
) -> Result<Vec<S3ListedRow>, StoreError> {
    let Some(low) = lower_bound(prefix, from) else { return Ok(Vec::new()) };
    let high = prefix_successor(prefix.as_bytes()).unwrap_or_else(|| AFTER_ALL_KEYS.to_vec());
    let values = args![bucket, low, high, limit.min(PAGE_ROWS_MAX)];
    let exec = exec.into();
    if exec.is_sqlite() {
        let page: Option<(Option<String>,)> = exec.maybe(SQLITE_PAGE, values).await?;
        return unpacked(&page.and_then(|(page,)| page).unwrap_or_default());
    }
    exec.all(FROM_KEY, values).await
}

/// The rows of a page that came as one text.
fn unpacked(page: &str) -> Result<Vec<S3ListedRow>, StoreError> {
    let mut rows = Vec::new();
    let mut rest = page;
    while !rest.is_empty() {
        let (row, behind) = first_of(rest).ok_or_else(|| StoreError::corrupt("a page of a listing"))?;
        rows.push(row);
        rest = behind;
    }
    Ok(rows)
}

/// The first row, and what follows it.
pub(super) fn first_of(page: &str) -> Option<(S3ListedRow, &str)> {
    let mut lines = page.splitn(8, '\n');
    let mut line = || lines.next();
    let (length, size, modified, etag, class, owner, checksums) =
        (line()?, line()?, line()?, line()?, line()?, line()?, line()?);
    let (key, behind) = line()?.split_at_checked(length.parse().ok()?)?;
    let row = S3ListedRow {
        key: S3Key(key.to_owned()),
        size_bytes: size.parse().ok()?,
        etag: etag.to_owned(),
        modified_ms: modified.parse().ok()?,
        class: class.to_owned(),
        owner: owner.parse().ok()?,
        checksums: checksums.to_owned(),
    };
    Some((row, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_follow_every_text_with_the_prefix() {
        assert_eq!(prefix_successor(b"a"), Some(b"b".to_vec()));
        assert_eq!(prefix_successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_successor(b"\xff"), None);
        assert_eq!(prefix_successor(b""), None);
    }

    #[test]
    fn a_page_of_one_text_has_its_rows() {
        let page = "3\n5\n-7\nabc-2\nSTANDARD\n000000000001\n\na\nb1\n0\n8\nd\nGLACIER\n000000000002\nC CRC32=x\nk";
        let rows = unpacked(page).unwrap();
        let keys: Vec<_> = rows.iter().map(|row| (row.key.0.as_str(), row.size_bytes, row.modified_ms)).collect();
        assert_eq!(keys, [("a\nb", 5, -7), ("k", 0, 8)]);
        assert_eq!((rows[0].checksums.as_str(), rows[1].checksums.as_str()), ("", "C CRC32=x"));
        assert_eq!((rows[0].etag.as_str(), rows[1].class.as_str()), ("abc-2", "GLACIER"));
        assert!(unpacked("").unwrap().is_empty());
        assert!(unpacked("9\n5\n1\ne\nc\n000000000001\n\nab").is_err());
    }

    #[test]
    fn a_listing_starts_at_the_later_of_prefix_and_place() {
        assert_eq!(lower_bound("b", S3ListFrom::Start), Some(b"b".to_vec()));
        assert_eq!(lower_bound("b", S3ListFrom::AfterKey("a")), Some(b"b".to_vec()));
        assert_eq!(lower_bound("b", S3ListFrom::AfterKey("ba")), Some(b"ba\0".to_vec()));
        assert_eq!(lower_bound("b/", S3ListFrom::AfterPrefix("b/c/")), Some(b"b/c0".to_vec()));
    }
}
