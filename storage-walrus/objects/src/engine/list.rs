//! Listings: prefix, delimiter, paging. Common prefixes are passed by seeking behind them, so that the cost depends
//! on what is returned and not on what lies below a prefix. Of objects the store does that by itself
//! ([`crate::Metadata::list_entries`]), which costs more for each entry than reading on: it is asked to only behind a
//! common prefix, where more are likely.

use super::Engine;
use crate::error::Error;
use crate::metadata::{Place, VersionPlace};
use crate::model::{Found, ListEntry, Listed, ListedVersion, Upload};
use crate::version::{VersionId, VersionName, Which};

/// Rows fetched at once when a delimiter may make most of them useless: few behind a common prefix, and more and more
/// while none is met.
const PROBE_ROWS_MIN: usize = 2;
const PROBE_GROWTH: usize = 4;
/// Entries fetched at once behind a common prefix; none of them is useless.
const ENTRIES_MIN: usize = 16;
/// Sorts after every upload id, which are hex.
const AFTER_ALL_IDS: &str = "z";

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only keys that begin so.
    pub prefix: String,
    /// Keys that have this after the prefix are rolled up to a common prefix that ends with it.
    pub delimiter: Option<String>,
    /// Only entries after this key; inside a common prefix, after all of it.
    pub after: Option<String>,
    /// Most entries (keys and common prefixes together).
    pub limit: usize,
}

/// After which version of a key a listing of versions goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionMarker {
    /// After the null version, if the key has one.
    Null,
    /// After this place, whether there is a version still or not.
    At(VersionId),
}

impl VersionMarker {
    /// Reads what [`VersionId::mark`] wrote, or a version's name; `None` if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "null" { Some(Self::Null) } else { VersionId::parse(text).map(Self::At) }
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T = Listed> {
    /// Entries, by key.
    pub items: Vec<T>,
    /// Common prefixes, in order.
    pub prefixes: Vec<String>,
    /// Whether entries follow.
    pub truncated: bool,
    /// The last entry of this page, key or common prefix: give it as `after`.
    pub last: Option<String>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { items: Vec::new(), prefixes: Vec::new(), truncated: false, last: None }
    }
}

/// The common prefix a key is rolled up to, if any.
fn rolled<'a>(key: &'a str, prefix: &str, delimiter: Option<&str>) -> Option<&'a str> {
    let delimiter = delimiter.filter(|d| !d.is_empty())?;
    let tail = key.get(prefix.len()..)?;
    tail.find(delimiter).map(|at| &key[..prefix.len() + at + delimiter.len()])
}

/// Where a page begins.
fn start(query: &ListQuery) -> Place<'_> {
    match query.after.as_deref() {
        None => Place::Start,
        Some(after) => {
            let common =
                after.starts_with(&query.prefix).then(|| rolled(after, &query.prefix, query.delimiter.as_deref()));
            common.flatten().map_or(Place::AfterKey(after), Place::AfterPrefix)
        }
    }
}

/// Rows to fetch next, after so many of which the last was rolled up or not.
const fn next_probe(rows: usize, rolled: bool) -> usize {
    if rolled { PROBE_ROWS_MIN } else { rows.saturating_mul(PROBE_GROWTH) }
}

/// Puts rows on a page until it is full.
struct Filler<'q, T> {
    query: &'q ListQuery,
    page: Listing<T>,
    /// The common prefix that the last row was rolled up to.
    within: Option<String>,
}

impl<T> Filler<'_, T> {
    fn len(&self) -> usize {
        self.page.items.len() + self.page.prefixes.len()
    }

    /// Adds a row; false if the page was full before it.
    fn add(&mut self, key: &str, row: T) -> bool {
        if self.within.as_ref().is_some_and(|common| key.starts_with(common.as_str())) {
            return true;
        }
        if let Some(common) = rolled(key, &self.query.prefix, self.query.delimiter.as_deref()) {
            return self.add_prefix(common);
        }
        if self.is_full() {
            return false;
        }
        self.within = None;
        self.page.last = Some(key.to_owned());
        self.page.items.push(row);
        true
    }

    /// Adds a common prefix that is not there yet; false if the page was full before it.
    fn add_prefix(&mut self, common: &str) -> bool {
        if self.is_full() {
            return false;
        }
        self.within = Some(common.to_owned());
        self.page.prefixes.push(common.to_owned());
        self.page.last = Some(common.to_owned());
        true
    }

    /// Whether the page is full: then what would be added is left out, and the page says so.
    fn is_full(&mut self) -> bool {
        self.page.truncated = self.len() == self.query.limit;
        self.page.truncated
    }
}

impl Engine {
    /// One page of a bucket's objects.
    ///
    /// # Errors
    /// A failing store.
    pub async fn list_objects(&self, bucket: &str, query: &ListQuery) -> Result<Listing, Error> {
        let mut filler = Filler { query, page: Listing::default(), within: None };
        let mut last: Option<String> = None;
        if query.limit == 0 {
            return Ok(filler.page);
        }
        let (mut probe, mut seeks) = (PROBE_ROWS_MIN, false);
        loop {
            let room = query.limit - filler.len();
            // One row more than fits tells whether anything follows.
            let rows = if query.delimiter.is_some() { (room + 1).min(probe) } else { room + 1 };
            let from = match (&filler.within, &last) {
                (Some(common), _) => Place::AfterPrefix(common),
                (None, Some(last)) => Place::AfterKey(last),
                (None, None) => start(query),
            };
            let batch = match query.delimiter.as_deref().filter(|_| seeks) {
                Some(delimiter) => self.meta.list_entries(bucket, &query.prefix, delimiter, from, rows).await?,
                None => {
                    let page = self.meta.list_objects(bucket, &query.prefix, from, rows).await?;
                    page.into_iter().map(ListEntry::Object).collect()
                }
            };
            let complete = batch.len() < rows;
            for entry in batch {
                let (key, fits) = match entry {
                    ListEntry::Object(row) => {
                        let key = row.key.clone();
                        let fits = filler.add(&key, row);
                        (key, fits)
                    }
                    ListEntry::Prefix(common) => {
                        let fits = filler.add_prefix(&common);
                        (common, fits)
                    }
                };
                if !fits {
                    return Ok(filler.page);
                }
                last = Some(key);
            }
            if complete {
                break;
            }
            probe = match (std::mem::replace(&mut seeks, filler.within.is_some()), seeks) {
                (false, true) => ENTRIES_MIN,
                (true, false) => PROBE_ROWS_MIN,
                _ => probe.saturating_mul(PROBE_GROWTH),
            };
        }
        Ok(filler.page)
    }

    /// One page of a bucket's versions and delete markers: by key, of a key the newest first. `after` goes on within
    /// the key `query.after`; without it that key is passed.
    ///
    /// # Errors
    /// A failing store.
    pub async fn list_versions(
        &self,
        bucket: &str,
        query: &ListQuery,
        after: Option<VersionMarker>,
    ) -> Result<Listing<ListedVersion>, Error> {
        let mut filler = Filler { query, page: Listing::default(), within: None };
        if query.limit == 0 {
            return Ok(filler.page);
        }
        let begin = start(query);
        let mut last = match (begin, after) {
            (Place::AfterKey(key), Some(marker)) => {
                self.resolve(bucket, key, marker).await?.map(|version| (key.to_owned(), version))
            }
            _ => None,
        };
        let mut probe = PROBE_ROWS_MIN;
        loop {
            let room = query.limit - filler.len();
            let rows = if query.delimiter.is_some() { (room + 1).min(probe) } else { room + 1 };
            let from = match (&filler.within, &last) {
                (Some(common), _) => VersionPlace::Keys(Place::AfterPrefix(common)),
                (None, Some((key, version))) => VersionPlace::AfterVersion(key, *version),
                (None, None) => VersionPlace::Keys(begin),
            };
            let batch = self.meta.list_versions(bucket, &query.prefix, from, rows).await?;
            let complete = batch.len() < rows;
            for row in batch {
                let place = (row.listed.key.clone(), row.version);
                if !filler.add(&place.0, row) {
                    return Ok(filler.page);
                }
                last = Some(place);
            }
            if complete {
                return Ok(filler.page);
            }
            probe = next_probe(probe, filler.within.is_some());
        }
    }

    /// The place of a marker among the versions of its key; `None`: there is no null version, so that the key is passed.
    async fn resolve(&self, bucket: &str, key: &str, marker: VersionMarker) -> Result<Option<VersionId>, Error> {
        match marker {
            VersionMarker::At(version) => Ok(Some(version)),
            VersionMarker::Null => {
                let found = self.meta.object(bucket, None, key, Which::Named(VersionName::Null)).await?;
                Ok(found.map(|found| match found {
                    Found::Object(object) => object.info.version,
                    Found::Marker(marker) => marker.version,
                }))
            }
        }
    }

    /// One page of a bucket's unfinished uploads, by key and id. `after_id` goes on within the key `query.after`;
    /// without it that key is passed.
    ///
    /// # Errors
    /// A failing store.
    pub async fn list_uploads(
        &self,
        bucket: &str,
        query: &ListQuery,
        after_id: &str,
    ) -> Result<Listing<Upload>, Error> {
        let mut filler = Filler { query, page: Listing::default(), within: None };
        if let Place::AfterPrefix(common) = start(query) {
            filler.within = Some(common.to_owned());
        }
        let after_id = if after_id.is_empty() { AFTER_ALL_IDS } else { after_id };
        let mut last = query.after.as_ref().map(|key| (key.clone(), after_id.to_owned()));
        if query.limit == 0 {
            return Ok(filler.page);
        }
        loop {
            let rows = query.limit - filler.len() + 1;
            // What is below a common prefix is passed at once, but for keys that go on with the last of all characters.
            let below = filler.within.as_ref().map(|common| format!("{common}{}", char::MAX));
            let below = below.as_ref().map(|key| (key.as_str(), AFTER_ALL_IDS));
            let after = last.as_ref().map(|(key, id)| (key.as_str(), id.as_str())).max(below);
            let batch = self.meta.list_uploads(bucket, &query.prefix, after, rows).await?;
            let complete = batch.len() < rows;
            for row in batch {
                let place = (row.key.clone(), row.id.clone());
                if !filler.add(&place.0, row) {
                    return Ok(filler.page);
                }
                last = Some(place);
            }
            if complete {
                break;
            }
        }
        Ok(filler.page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_behind_what_was_shown() {
        let query = |after: &str| ListQuery {
            prefix: "p/".into(),
            delimiter: Some("/".into()),
            after: Some(after.into()),
            limit: 1,
        };
        assert_eq!(start(&query("a")), Place::AfterKey("a"), "before the prefix");
        assert_eq!(start(&query("p/x")), Place::AfterKey("p/x"));
        assert_eq!(start(&query("p/x/")), Place::AfterPrefix("p/x/"), "behind the common prefix");
        assert_eq!(start(&query("p/x/y")), Place::AfterPrefix("p/x/"));
    }
}
