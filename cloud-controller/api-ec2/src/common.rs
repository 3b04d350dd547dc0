//! What every handler needs: dry runs, filters and pages from the wire, tags both ways, times.

use crate::filter::Filters;
use crate::page::Page;
use mallee_app::fail::OrFail as _;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{Filter, Tag, TagSpecification};
use mallee_store::{Store, StoreError, TagFilter, tag_list};
use mallee_types::limits::TAGS_PER_RESOURCE_MAX;
use mallee_types::{AccountId, ZoneName};
use std::collections::BTreeMap;
use std::future::Future;
use time::OffsetDateTime;

/// Rows read from the store at once.
pub(crate) const ROWS: u32 = 1000;
/// Rows one read of tags may give (the store's bound on a page).
const TAG_ROWS: usize = 10_000;
/// Resources whose tags are read at once: all of them fit into one read.
const TAGGED_AT_ONCE: usize = TAG_ROWS / TAGS_PER_RESOURCE_MAX;

/// Ends a request that asked for a dry run: by now it is known to be valid and allowed.
pub(crate) fn dry_run(asked: Option<bool>) -> Result<(), ApiError> {
    if asked == Some(true) { Err(Code::DryRunOperation.with(&[])) } else { Ok(()) }
}

/// The filters of a request.
pub(crate) fn filters(wanted: &[Filter], known: &[&str]) -> Result<Filters, ApiError> {
    Filters::new(wanted.iter().map(|f| (f.name.as_deref(), f.values.as_slice())), known)
}

/// The page of a request; ids and page sizes exclude each other, as on AWS.
pub(crate) fn page(
    operation: &'static str,
    max_results: Option<i32>,
    next_token: Option<&str>,
    bounds: std::ops::RangeInclusive<i32>,
    ids: &[String],
) -> Result<Page, ApiError> {
    if !ids.is_empty() && max_results.is_some() {
        return Err(ApiError::invalid_combination(
            "The parameter MaxResults cannot be used with a list of ids in the same request",
        ));
    }
    Page::new(operation, max_results, next_token, bounds)
}

/// A resource type and the tags for what is made of it.
type TagsOfType = (String, Vec<(String, String)>);

/// The tags for one resource type out of a request's tag specifications; other types are refused by name.
pub(crate) fn tags_for(specifications: Vec<TagSpecification>, allowed: &[&str]) -> Result<Vec<TagsOfType>, ApiError> {
    let mut out: Vec<TagsOfType> = Vec::new();
    for TagSpecification { resource_type, tags } in specifications {
        let kind = resource_type
            .ok_or_else(|| Code::InvalidParameterValue.message("Tag specification resource type must have a value"))?;
        if !allowed.contains(&kind.as_str()) {
            return Err(Code::InvalidParameterValue
                .message(format!("'{kind}' is not a valid taggable resource type for this operation.")));
        }
        if tags.is_empty() {
            return Err(Code::InvalidParameterValue.message("Tag specification must have at least one tag"));
        }
        if out.iter().any(|(seen, _)| *seen == kind) {
            return Err(Code::InvalidParameterValue
                .message(format!("Tag specification for resource type '{kind}' is given more than once")));
        }
        let tags = tags.into_iter().map(|t| (t.key.unwrap_or_default(), t.value.unwrap_or_default())).collect();
        out.push((kind, tags));
    }
    Ok(out)
}

/// The tags of the one resource type that an operation creates.
pub(crate) fn tags_of_one(
    specifications: Vec<TagSpecification>,
    kind: &str,
) -> Result<Vec<(String, String)>, ApiError> {
    Ok(tags_for(specifications, &[kind])?.pop().map(|(_, tags)| tags).unwrap_or_default())
}

/// Tags as the wire has them.
pub(crate) fn wire_tags<'a>(tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) }).collect()
}

/// A stored time as the wire has it.
pub(crate) fn time(ms: i64) -> Option<OffsetDateTime> {
    Some(mallee_runtime::clock::from_unix_ms(ms))
}

/// A stored time as the text EC2 uses where its model has a string.
pub(crate) fn time_text(ms: i64) -> String {
    let t = mallee_runtime::clock::from_unix_ms(ms);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        t.millisecond()
    )
}

/// Where things are shown to be: the names that shapes need besides their rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub region: &'a str,
    pub zones: &'a [ZoneName],
}

impl Look<'_> {
    /// The id of a zone.
    pub(crate) fn zone_id(&self, zone: &ZoneName) -> Option<String> {
        self.zones.iter().position(|z| z == zone).map(crate::catalog::zone_id)
    }

    /// The ARN of an account's resource.
    pub(crate) fn arn(&self, account: &AccountId, kind: &str, id: &str) -> String {
        format!("arn:aws:ec2:{}:{account}:{kind}/{id}", self.region)
    }
}

/// The values of a property for a filter: one or none.
pub(crate) fn values_of<T: ToString>(value: &Option<T>) -> Vec<String> {
    value.iter().map(ToString::to_string).collect()
}

/// A parameter that AWS knows and this cloud cannot honour: refused by name if it is given.
pub(crate) fn refuse(name: &str, given: bool) -> Result<(), ApiError> {
    if given { Err(ApiError::unsupported_parameter(name)) } else { Ok(()) }
}

/// A parameter of which this cloud honours only some values: those that say what it does anyway.
pub(crate) fn only(name: &str, value: Option<&str>, honoured: &[&str]) -> Result<(), ApiError> {
    match value {
        Some(value) if !honoured.contains(&value) => Err(Code::Unsupported.message(format!(
            "The value '{}' of the parameter {name} is not supported by this cloud. Supported: {}.",
            mallee_awswire::texts::clip(value),
            honoured.join(", ")
        ))),
        _ => Ok(()),
    }
}

/// A parameter that is one of some words.
pub(crate) fn choice<T: Copy>(name: &str, value: Option<&str>, words: &[(&str, T)]) -> Result<Option<T>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let found = words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
    found.map(Some).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        ApiError::invalid_value(name, value, &format!("Valid values are: {}.", words.join(", ")))
    })
}

/// What one read of the store gave: what passes the filters, and the key to go on from (none: that was all).
pub(crate) struct Chunk<K, T> {
    pub found: Vec<T>,
    pub next: Option<K>,
}

/// How many rows to read next: a page's worth first, then ever more where few of them pass the filters.
#[derive(Debug)]
pub(crate) struct Reach(u32);

impl Reach {
    /// Before the first read.
    pub(crate) fn new(page: &Page) -> Self {
        Self(u32::try_from(page.wanted()).map_or(ROWS, |wanted| wanted.min(ROWS)))
    }

    /// Rows of the next read.
    pub(crate) fn next(&mut self) -> u32 {
        let rows = self.0;
        self.0 = rows.saturating_mul(2).min(ROWS);
        rows
    }
}

/// The key to go on from after a read of up to [`ROWS`] rows.
pub(crate) fn next_key<R, K>(rows: &[R], key: impl Fn(&R) -> K) -> Option<K> {
    rows.last().filter(|_| rows.len() >= ROWS as usize).map(key)
}

/// Reads until the page is full or nothing is left, and cuts it. `after` is where to begin, `key` the text that
/// orders the items.
pub(crate) async fn fill<K, T, F: Future<Output = Result<Chunk<K, T>, ApiError>>>(
    page: &Page,
    mut after: Option<K>,
    mut read: impl FnMut(Option<K>) -> F,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let mut items = Vec::new();
    loop {
        let Chunk { found, next } = read(after).await?;
        items.extend(found);
        after = next;
        if after.is_none() || page.is_full(items.len()) {
            return Ok(page.cut(items, key));
        }
    }
}

/// Tags by resource.
pub(crate) type TagMap = BTreeMap<String, Vec<Tag>>;

/// The account's tags on these resources.
pub(crate) async fn tags_on(
    store: &Store,
    account: &AccountId,
    ids: impl IntoIterator<Item = String>,
) -> Result<TagMap, ApiError> {
    let ids: Vec<String> = ids.into_iter().collect();
    let mut out = TagMap::new();
    for some in ids.chunks(TAGGED_AT_ONCE) {
        let filter = TagFilter { resources: Some(some), ..Default::default() };
        let rows = tag_list(store, account, filter, u32::try_from(TAG_ROWS).unwrap_or(u32::MAX)).await;
        for row in rows.or_fail()? {
            out.entry(row.resource_id).or_default().push(Tag { key: Some(row.key), value: Some(row.value) });
        }
    }
    Ok(out)
}

/// Tags of a shape as its tag filters see them.
pub(crate) fn tag_filter_values(name: &str, tags: &[Tag]) -> Vec<String> {
    let pairs = tags.iter().map(|t| (t.key.as_deref().unwrap_or_default(), t.value.as_deref().unwrap_or_default()));
    crate::filter::tag_values(name, pairs)
}

/// A read of the store that failed, as the caller is told.
pub(crate) fn rows<R>(read: Result<Vec<R>, StoreError>) -> Result<Vec<R>, ApiError> {
    read.or_fail()
}
