//! Pieces of IAM's replies that roles, profiles, certificates and devices share: pages, tags, documents, times.

use crate::IdentityApi;
use mallee_app::fail::OrFail as _;
use mallee_app::tags::Tag as Label;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::iam::Tag;
use mallee_store::{Store, iam_tag_list};
use time::OffsetDateTime;

/// Entries on a page when the request does not say how many (IAM: 100).
const PAGE_ITEMS: usize = 100;
/// Most entries on a page (IAM: 1000).
const PAGE_ITEMS_MAX: usize = 1000;
/// Letters that stay as they are in a document.
const UNRESERVED: &[u8] = b"-._~";

impl IdentityApi {
    pub(crate) fn store(&self) -> &Store {
        self.cloud.store()
    }
}

/// The page a request asks for. A marker is the key of the last entry shown.
pub(crate) struct Slice {
    /// Only keys after this one.
    pub(crate) after: Option<String>,
    limit: usize,
}

/// A page with what says whether another one follows.
pub(crate) struct Sliced<T> {
    pub(crate) items: Vec<T>,
    pub(crate) is_truncated: Option<bool>,
    pub(crate) marker: Option<String>,
}

impl Slice {
    /// Reads `Marker` and `MaxItems`, whose bounds the model has checked.
    ///
    /// # Errors
    /// `ValidationError` for a marker that is none of ours.
    pub(crate) fn new(marker: Option<&str>, max_items: Option<i32>) -> Result<Self, ApiError> {
        let bad = |_| Code::ValidationError.message("Invalid Marker.");
        let after = marker.map(|m| hex::decode(m).map_err(bad)).transpose()?;
        let after =
            after.map(|bytes| String::from_utf8(bytes).map_err(|_| Code::ValidationError.message("Invalid Marker.")));
        let limit = max_items.and_then(|n| usize::try_from(n).ok()).unwrap_or(PAGE_ITEMS).clamp(1, PAGE_ITEMS_MAX);
        Ok(Self { after: after.transpose()?, limit })
    }

    /// Rows to read: the page and one more, which tells whether another page follows.
    pub(crate) fn rows(&self) -> u32 {
        u32::try_from(self.limit + 1).unwrap_or(u32::MAX)
    }

    /// Cuts the page out of what was read after `self.after`.
    pub(crate) fn cut<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Sliced<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let marker = items.last().filter(|_| more).map(|last| hex::encode(key(last)));
        Sliced { items, is_truncated: Some(more), marker }
    }

    /// Cuts the page out of a whole list in ascending order of `key`.
    pub(crate) fn cut_all<T>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> Sliced<T> {
        let after = self.after.as_ref();
        let rest = items.into_iter().filter(|item| after.is_none_or(|after| key(item) > *after)).collect();
        self.cut(rest, key)
    }
}

/// A stored time.
pub(crate) fn time(ms: i64) -> Option<OffsetDateTime> {
    Some(mallee_runtime::clock::from_unix_ms(ms - ms.rem_euclid(1000)))
}

/// A policy document as IAM's replies carry it: percent-encoded (RFC 3986).
pub(crate) fn document(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || UNRESERVED.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A request's tags. The model has checked that keys and values are there.
pub(crate) fn labels(tags: Vec<Tag>) -> Vec<Label> {
    tags.into_iter().map(|Tag { key, value }| (key.unwrap_or_default(), value.unwrap_or_default())).collect()
}

/// The tags of a resource, as replies show them.
pub(crate) async fn tags_of(store: &Store, resource: &str) -> Result<Vec<Tag>, ApiError> {
    let rows = iam_tag_list(store, resource).await.or_fail()?;
    Ok(rows.into_iter().map(|row| Tag { key: Some(row.key), value: Some(row.value) }).collect())
}

/// One page of a resource's tags.
pub(crate) async fn tag_page(
    store: &Store,
    resource: &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Sliced<Tag>, ApiError> {
    let slice = Slice::new(marker, max_items)?;
    let key = |tag: &Tag| tag.key.as_deref().map(mallee_store::iam_tag_fold).unwrap_or_default();
    Ok(slice.cut_all(tags_of(store, resource).await?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let names: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let first = Slice::new(None, Some(2)).unwrap().cut_all(names.clone(), Clone::clone);
        assert_eq!((first.items.as_slice(), first.is_truncated), (&names[..2], Some(true)));
        let rest = Slice::new(first.marker.as_deref(), Some(2)).unwrap().cut_all(names, Clone::clone);
        assert_eq!((rest.items, rest.is_truncated, rest.marker), (vec!["c".to_owned()], Some(false), None));
        assert!(Slice::new(Some("zz"), None).is_err());
    }

    #[test]
    fn documents_are_percent_encoded() {
        assert_eq!(document("{\"a\": [\"b-c_d.~*\"]}"), "%7B%22a%22%3A%20%5B%22b-c_d.~%2A%22%5D%7D");
    }
}
