//! Listing by range scans: a page costs what it returns. With a delimiter the engine, having met a common prefix, asks
//! for what comes after all keys of that prefix ([`S3ListFrom::AfterPrefix`]), so that those are never read.

use super::version::S3Key;
use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::PAGE_ROWS_MAX;
use crate::value::{Arg, ToArg as _};
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
    FROM_KEY_OPEN = "SELECT key, size_bytes, etag, modified_ms, class, owner, checksums FROM s3_versions
        WHERE bucket_id = (SELECT id FROM s3_buckets WHERE name = $1) AND latest AND NOT marker
        AND key >= $2 ORDER BY key LIMIT $3 + 0";
}

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
    let limit = limit.min(PAGE_ROWS_MAX);
    match prefix_successor(prefix.as_bytes()) {
        Some(high) => {
            let values: Vec<Arg> = vec![bucket.to_arg(), low.to_arg(), high.to_arg(), limit.to_arg()];
            exec.into().all(FROM_KEY, values).await
        }
        None => exec.into().all(FROM_KEY_OPEN, args![bucket, low, limit]).await,
    }
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
    fn a_listing_starts_at_the_later_of_prefix_and_place() {
        assert_eq!(lower_bound("b", S3ListFrom::Start), Some(b"b".to_vec()));
        assert_eq!(lower_bound("b", S3ListFrom::AfterKey("a")), Some(b"b".to_vec()));
        assert_eq!(lower_bound("b", S3ListFrom::AfterKey("ba")), Some(b"ba\0".to_vec()));
        assert_eq!(lower_bound("b/", S3ListFrom::AfterPrefix("b/c/")), Some(b"b/c0".to_vec()));
    }
}
