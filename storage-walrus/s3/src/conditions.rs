//! Conditional requests: reads, copy sources, and writes.

use crate::error::{invalid_argument, not_implemented};
use crate::headers::text;
use crate::reply::parse_date;
use http::HeaderMap;
use http::header::IF_RANGE;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Condition, DeleteIf, ObjectInfo};
use mallee_runtime::clock::from_unix_ms;
use time::OffsetDateTime;

/// What a conditional read comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Proceed,
    /// Answer 304.
    NotModified,
}

/// The tag itself, without quotes and weakness.
pub(crate) fn bare(tag: &str) -> &str {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(tag)
}

fn matches(list: &str, etag: &str) -> bool {
    list.split(',').any(|tag| tag.trim() == "*" || bare(tag) == etag)
}

fn failed(condition: &'static str) -> ApiError {
    Code::PreconditionFailed.error().field("Condition", condition)
}

/// The headers of one family of conditions.
struct Names {
    if_match: &'static str,
    if_none_match: &'static str,
    modified: &'static str,
    unmodified: &'static str,
}

const READ: Names = Names {
    if_match: "if-match",
    if_none_match: "if-none-match",
    modified: "if-modified-since",
    unmodified: "if-unmodified-since",
};
const COPY: Names = Names {
    if_match: "x-amz-copy-source-if-match",
    if_none_match: "x-amz-copy-source-if-none-match",
    modified: "x-amz-copy-source-if-modified-since",
    unmodified: "x-amz-copy-source-if-unmodified-since",
};

/// When an object was written, in the whole seconds that headers carry.
fn written(info: &ObjectInfo) -> OffsetDateTime {
    from_unix_ms(info.created_ms - info.created_ms.rem_euclid(1000))
}

fn check(headers: &HeaderMap, names: &Names, info: &ObjectInfo) -> Result<Verdict, ApiError> {
    let written = written(info);
    match text(headers, names.if_match) {
        Some(list) if !matches(list, &info.etag) => return Err(failed("If-Match")),
        // A match outweighs If-Unmodified-Since.
        Some(_) => {}
        None => {
            if text(headers, names.unmodified).and_then(parse_date).is_some_and(|at| written > at) {
                return Err(failed("If-Unmodified-Since"));
            }
        }
    }
    let unchanged = match text(headers, names.if_none_match) {
        Some(list) => matches(list, &info.etag),
        None => text(headers, names.modified).and_then(parse_date).is_some_and(|at| written <= at),
    };
    Ok(if unchanged { Verdict::NotModified } else { Verdict::Proceed })
}

/// The conditions of GET and HEAD.
///
/// # Errors
/// `PreconditionFailed`.
pub(crate) fn read(headers: &HeaderMap, info: &ObjectInfo) -> Result<Verdict, ApiError> {
    check(headers, &READ, info)
}

/// Whether a `Range` header counts: not where an `If-Range` names another state of the object. It is asked for with its
/// entity tag (a weak one names no bytes) or with exactly its time.
pub(crate) fn range_counts(headers: &HeaderMap, info: &ObjectInfo) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    let value = value.to_str().unwrap_or_default().trim();
    match value.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
        Some(tag) => tag == info.etag,
        None => parse_date(value) == Some(written(info)),
    }
}

/// The conditions on a copy source.
///
/// # Errors
/// `PreconditionFailed`, also where a read would answer 304.
pub(crate) fn copy_source(headers: &HeaderMap, info: &ObjectInfo) -> Result<(), ApiError> {
    match check(headers, &COPY, info)? {
        Verdict::Proceed => Ok(()),
        Verdict::NotModified => Err(failed("x-amz-copy-source-If-None-Match")),
    }
}

/// The condition of a write.
///
/// # Errors
/// `NotImplemented` for tags in `If-None-Match`, as AWS has it; `InvalidArgument`.
pub(crate) fn write(headers: &HeaderMap) -> Result<Condition, ApiError> {
    match (text(headers, "if-match"), text(headers, "if-none-match")) {
        (None, None) => Ok(Condition::None),
        (None, Some(tag)) if tag.trim() == "*" => Ok(Condition::Absent),
        (None, Some(_)) => Err(not_implemented("If-None-Match with an entity tag on writes")),
        (Some(tag), None) if tag.trim() == "*" => Ok(Condition::Present),
        (Some(tag), None) if tag.contains(',') => {
            Err(invalid_argument("If-Match on writes takes exactly one entity tag.", "If-Match", tag))
        }
        (Some(tag), None) => Ok(Condition::Etag(bare(tag).to_owned())),
        (Some(_), Some(_)) => Err(not_implemented("If-Match together with If-None-Match on writes")),
    }
}

const DELETE_MODIFIED: &str = "x-amz-if-match-last-modified-time";
const DELETE_SIZE: &str = "x-amz-if-match-size";

/// The conditions of a deletion.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn delete(headers: &HeaderMap) -> Result<DeleteIf, ApiError> {
    let wrong = |name, value| move || invalid_argument("The value of a condition is not valid.", name, value);
    let modified = text(headers, DELETE_MODIFIED);
    let size = text(headers, DELETE_SIZE);
    Ok(DeleteIf {
        etag: text(headers, "if-match").map(|tag| bare(tag).to_owned()),
        modified_ms: modified.map(|at| date_ms(at).ok_or_else(wrong(DELETE_MODIFIED, at))).transpose()?,
        size: size.map(|size| size.trim().parse().map_err(|_| wrong(DELETE_SIZE, size)())).transpose()?,
    })
}

/// Whether the answer to a deletion under these conditions tells what the object is like, not only whether it is there.
pub(crate) fn looks(headers: &HeaderMap) -> bool {
    let tag = text(headers, "if-match").is_some_and(|tag| bare(tag) != "*");
    tag || [DELETE_MODIFIED, DELETE_SIZE].iter().any(|name| headers.contains_key(*name))
}

/// A date as milliseconds since 1970.
pub(crate) fn date_ms(text: &str) -> Option<i64> {
    parse_date(text).map(|at| at.unix_timestamp().saturating_mul(1000))
}

/// The name that failed conditions of a deletion have in error bodies.
pub(crate) const fn delete_name(only_if: &DeleteIf) -> &'static str {
    match only_if {
        DeleteIf { etag: Some(_), .. } => "If-Match",
        DeleteIf { modified_ms: Some(_), .. } => DELETE_MODIFIED,
        DeleteIf { .. } => DELETE_SIZE,
    }
}

/// The name that a failed write condition has in error bodies.
pub(crate) const fn name(condition: &Condition) -> &'static str {
    match condition {
        Condition::None => "",
        Condition::Absent => "If-None-Match",
        Condition::Present | Condition::Etag(_) => "If-Match",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> ObjectInfo {
        ObjectInfo {
            key: "k".into(),
            size: 1,
            etag: "abc".into(),
            // 1970-01-01 00:01:40.5
            created_ms: 100_500,
            write_id: String::new(),
            version: mallee_objects::VersionId::default(),
            upload: None,
            content_type: String::new(),
            attributes: mallee_objects::Attributes::default(),
            checksums: mallee_objects::Checksums::default(),
            properties: mallee_objects::Properties::default(),
        }
    }

    fn verdict(pairs: &[(&'static str, &'static str)]) -> Result<Verdict, u16> {
        let headers = pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), http::HeaderValue::from_static(v)));
        read(&headers.collect(), &info()).map_err(|e| e.status())
    }

    #[test]
    fn conditions_of_deletions() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let pairs =
                pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), http::HeaderValue::from_static(v)));
            delete(&pairs.collect()).map_err(|error| error.status())
        };
        assert_eq!(read(&[]), Ok(DeleteIf::default()));
        let all = [("if-match", "\"e\""), (DELETE_MODIFIED, "Thu, 01 Jan 1970 00:00:05 GMT"), (DELETE_SIZE, "7")];
        let wanted = DeleteIf { etag: Some("e".to_owned()), modified_ms: Some(5000), size: Some(7) };
        assert_eq!((read(&all), delete_name(&wanted)), (Ok(wanted.clone()), "If-Match"));
        assert_eq!(read(&[(DELETE_MODIFIED, "then")]), Err(400));
        assert_eq!(read(&[(DELETE_SIZE, "-1")]), Err(400));
    }

    #[test]
    fn conditions_of_writes() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let pairs =
                pairs.iter().map(|(n, v)| (http::HeaderName::from_static(n), http::HeaderValue::from_static(v)));
            write(&pairs.collect()).map_err(|error| error.status())
        };
        assert_eq!(read(&[]), Ok(Condition::None));
        assert_eq!(read(&[("if-none-match", "*")]), Ok(Condition::Absent));
        assert_eq!(read(&[("if-match", "*")]), Ok(Condition::Present));
        assert_eq!(read(&[("if-match", "\"e\"")]), Ok(Condition::Etag("e".to_owned())));
        assert_eq!(read(&[("if-match", "\"e\", \"f\"")]), Err(400));
        assert_eq!(read(&[("if-none-match", "\"e\"")]), Err(501));
        assert_eq!(read(&[("if-match", "e"), ("if-none-match", "*")]), Err(501));
    }

    #[test]
    fn ranges_of_another_state_do_not_count() {
        let counts =
            |value| range_counts(&HeaderMap::from_iter([(IF_RANGE, http::HeaderValue::from_static(value))]), &info());
        assert!(range_counts(&HeaderMap::new(), &info()));
        for same in ["\"abc\"", "Thu, 01 Jan 1970 00:01:40 GMT"] {
            assert!(counts(same), "{same}");
        }
        for other in
            ["\"abd\"", "W/\"abc\"", "abc", "", "*", "Thu, 01 Jan 1970 00:01:39 GMT", "Thu, 01 Jan 1970 00:01:41 GMT"]
        {
            assert!(!counts(other), "{other}");
        }
    }

    #[test]
    fn rfc_7232_precedence() {
        const AT: &str = "Thu, 01 Jan 1970 00:01:40 GMT";
        const BEFORE: &str = "Thu, 01 Jan 1970 00:01:39 GMT";
        assert_eq!(verdict(&[]), Ok(Verdict::Proceed));
        assert_eq!(verdict(&[("if-match", "\"abc\"")]), Ok(Verdict::Proceed));
        assert_eq!(verdict(&[("if-match", "\"x\", W/\"abc\"")]), Ok(Verdict::Proceed));
        assert_eq!(verdict(&[("if-match", "x")]), Err(412));
        assert_eq!(verdict(&[("if-match", "abc"), ("if-unmodified-since", BEFORE)]), Ok(Verdict::Proceed));
        assert_eq!(verdict(&[("if-unmodified-since", BEFORE)]), Err(412));
        assert_eq!(verdict(&[("if-unmodified-since", AT)]), Ok(Verdict::Proceed));
        assert_eq!(verdict(&[("if-none-match", "*")]), Ok(Verdict::NotModified));
        assert_eq!(verdict(&[("if-none-match", "x"), ("if-modified-since", AT)]), Ok(Verdict::Proceed));
        assert_eq!(verdict(&[("if-modified-since", AT)]), Ok(Verdict::NotModified));
        assert_eq!(verdict(&[("if-modified-since", BEFORE)]), Ok(Verdict::Proceed));
        assert_eq!(verdict(&[("if-modified-since", "nonsense")]), Ok(Verdict::Proceed));
    }
}
