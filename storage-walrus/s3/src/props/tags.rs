//! Tags of an object, as headers have them.

use crate::error::invalid_argument;
use crate::reply::{self, Reply};
use crate::target::Query;
use http::HeaderMap;
use http::header::HeaderName;
use mallee_awswire::ApiError;
use mallee_objects::Tags;
use mallee_s3_config::{check_object_tags, check_tag};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The header that gives them, as a query string.
pub(crate) const TAGGING: &str = "x-amz-tagging";
/// What stays as it is in it.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The tags that a write gives; `None`: it says nothing of them.
///
/// # Errors
/// `InvalidArgument` for what is no such string, `InvalidTag`, `BadRequest` for too many.
pub(crate) fn given(headers: &HeaderMap) -> Result<Option<Tags>, ApiError> {
    let Some(value) = headers.get(TAGGING) else { return Ok(None) };
    let shown = String::from_utf8_lossy(value.as_bytes());
    let wrong = || {
        let text = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag \
                    name duplicates.";
        invalid_argument(text, TAGGING, &shown)
    };
    let query = value.to_str().ok().and_then(|text| Query::read(text.trim()).ok()).ok_or_else(wrong)?;
    let mut tags = Tags::new();
    for (key, value) in query.pairs() {
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(wrong());
        }
    }
    check_object_tags(&tags)?;
    tags.iter().try_for_each(|(key, value)| check_tag(key, value))?;
    Ok(Some(tags))
}

/// Tags as the header has them.
pub(crate) fn header(tags: &Tags) -> String {
    let encode = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
    let pairs = tags.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Tells how many an object has.
pub(crate) fn describe(response: &mut Reply, tags: &Tags) {
    if !tags.is_empty() {
        reply::set(response, HeaderName::from_static("x-amz-tagging-count"), &tags.len().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use mallee_awswire::Code;

    fn read(value: &str) -> Result<Vec<(String, String)>, Code> {
        let mut headers = HeaderMap::new();
        headers.insert(TAGGING, HeaderValue::from_str(value).expect("value"));
        given(&headers).map(|tags| tags.expect("given").into_iter().collect()).map_err(|error| error.code())
    }

    #[test]
    fn headers_are_query_strings() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(read("b=x+y&a=%C3%A9%2F&c"), Ok(vec![pair("a", "é/"), pair("b", "x y"), pair("c", "")]));
        assert_eq!(read(""), Ok(vec![]));
        let tags = Tags::from([pair("é=+", "a/b c"), pair("k", "")]);
        assert_eq!(read(&header(&tags)), Ok(tags.into_iter().collect()), "and back");
        assert_eq!(given(&HeaderMap::new()).expect("none"), None);
        for (bad, code) in [
            ("a=1&a=2", Code::InvalidArgument),
            ("a=%ff", Code::InvalidArgument),
            ("=x", Code::InvalidTag),
            ("a=%3F", Code::InvalidTag),
            ("aws:a=1", Code::InvalidTag),
            ("0&1&2&3&4&5&6&7&8&9&10", Code::BadRequest),
        ] {
            assert_eq!(read(bad), Err(code), "{bad}");
        }
    }
}
