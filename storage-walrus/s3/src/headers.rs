//! Headers that are stored with an object, and those that would change what a request means and are not offered.

use crate::METADATA_BYTES_MAX;
use crate::error::{invalid_argument, not_implemented};
use crate::props;
use crate::reply::{self, Reply};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Attributes, ObjectInfo};

/// System headers that are stored, besides `content-type`.
const STORED: &[&str] = &["cache-control", "content-disposition", "content-encoding", "content-language", "expires"];
/// What AWS answers for an object that came without a type.
pub(crate) const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";
pub(crate) const META: &str = "x-amz-meta-";
/// Where a website sends whoever asks for the object: stored with it, and not copied.
pub(crate) const WEBSITE_REDIRECT: &str = "x-amz-website-redirect-location";
/// Longest such place.
const REDIRECT_BYTES_MAX: usize = 2048;
/// Headers refused by their beginning, and the feature they ask for.
const REFUSED: &[(&str, &str)] =
    &[("x-amz-write-offset-bytes", "Appending to objects"), ("x-amz-rename-source", "RenameObject")];
/// Parameters that override a header of the reply to a GET.
const OVERRIDES: &[(&str, &str)] = &[
    ("response-content-type", "content-type"),
    ("response-content-language", "content-language"),
    ("response-expires", "expires"),
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
];

/// A header value as text: UTF-8, or else Latin-1, as HTTP once had it.
fn value_text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|b| char::from(*b)).collect(),
    }
}

/// A header as text, if it is there and ASCII.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim)
}

/// Refuses headers that ask for features this store does not have: nothing is silently left out.
pub(crate) fn refuse_unsupported(headers: &HeaderMap) -> Result<(), ApiError> {
    for name in headers.keys() {
        if let Some((_, feature)) = REFUSED.iter().find(|(start, _)| name.as_str().starts_with(start)) {
            return Err(not_implemented(feature).field("Header", name.as_str()));
        }
    }
    Ok(())
}

/// Where a website sends whoever asks for the object, if the headers say so.
fn redirect(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if !headers.contains_key(WEBSITE_REDIRECT) {
        return Ok(None);
    }
    // What is no ASCII policies would not see.
    let to = text(headers, WEBSITE_REDIRECT).unwrap_or_default();
    if !["/", "http://", "https://"].iter().any(|start| to.starts_with(start)) {
        return Err(Code::InvalidRedirectLocation.error());
    }
    if to.len() > REDIRECT_BYTES_MAX {
        let text = "The length of website redirect location cannot exceed 2,048 characters.";
        return Err(Code::InvalidRedirectLocation.message(text));
    }
    Ok(Some(to.to_owned()))
}

/// The headers to store: content type and attributes.
pub(crate) fn stored(headers: &HeaderMap) -> Result<(String, Attributes), ApiError> {
    let mut attributes = Attributes::default();
    for name in STORED {
        let Some(value) = headers.get(*name) else { continue };
        let mut value = value_text(value);
        if *name == "content-encoding" {
            // `aws-chunked` says how the body travels, not what it is. The rest stays as it was written.
            let real: Vec<_> = value.split(',').filter(|c| !matches!(c.trim(), "" | "aws-chunked")).collect();
            value = real.join(",").trim().to_owned();
        }
        if !value.is_empty() {
            attributes.system.insert((*name).to_owned(), value);
        }
    }
    if let Some(to) = redirect(headers)? {
        attributes.system.insert(WEBSITE_REDIRECT.to_owned(), to);
    }
    let mut total = 0;
    for name in headers.keys() {
        let Some(short) = name.as_str().strip_prefix(META) else { continue };
        let values: Vec<_> = headers.get_all(name).iter().map(value_text).collect();
        let value = values.join(",");
        total += short.len() + value.len();
        attributes.user.insert(short.to_owned(), value);
    }
    if total > METADATA_BYTES_MAX {
        return Err(Code::MetadataTooLarge
            .error()
            .field("Size", total.to_string())
            .field("MaxSizeAllowed", METADATA_BYTES_MAX.to_string()));
    }
    let content_type = headers.get(CONTENT_TYPE).map(value_text).filter(|t| !t.is_empty());
    Ok((content_type.unwrap_or_else(|| DEFAULT_CONTENT_TYPE.to_owned()), attributes))
}

/// Refuses what would override headers of the reply to a request that nobody signed: links could make of a public object
/// what its owner never meant.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn refuse_overrides(query: &crate::target::Query) -> Result<(), ApiError> {
    if OVERRIDES.iter().any(|(parameter, _)| query.value(parameter).is_some()) {
        let text = "Request specific response headers cannot be used for anonymous GET requests.";
        return Err(Code::InvalidRequest.message(text));
    }
    Ok(())
}

/// Puts an object's headers on a reply, overridden by the `response-*` parameters.
pub(crate) fn describe(reply: &mut Reply, info: &ObjectInfo, query: &crate::target::Query) -> Result<(), ApiError> {
    reply::set_etag(reply, &info.etag);
    reply::set_modified(reply, info.created_ms);
    reply::set(reply, http::header::ACCEPT_RANGES, "bytes");
    reply::set(reply, CONTENT_TYPE, &info.content_type);
    for (name, value) in &info.attributes.system {
        if let Ok(name) = HeaderName::try_from(name) {
            reply::set(reply, name, value);
        }
    }
    for (name, value) in &info.attributes.user {
        if let Ok(name) = HeaderName::try_from(format!("{META}{name}")) {
            reply::set(reply, name, value);
        }
    }
    props::describe(reply, &info.properties);
    for (parameter, header) in OVERRIDES {
        if let Some(value) = query.value(parameter) {
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| invalid_argument("A response header cannot have this value.", parameter, value))?;
            reply.headers_mut().insert(HeaderName::from_static(header), value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn what_is_stored() {
        let given = headers(&[
            ("content-encoding", "aws-chunked, gzip"),
            ("cache-control", "no-store"),
            ("x-amz-meta-a", "1"),
            ("x-amz-date", "no"),
        ]);
        let (content_type, attributes) = stored(&given).expect("fits");
        assert_eq!(content_type, DEFAULT_CONTENT_TYPE);
        assert_eq!(attributes.system.get("content-encoding").map(String::as_str), Some("gzip"));
        assert_eq!(attributes.system.len(), 2);
        assert_eq!(attributes.user.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "1".to_owned())]);
        for (given, kept) in [
            ("deflate, gzip", Some("deflate, gzip")),
            ("deflate, gzip,aws-chunked", Some("deflate, gzip")),
            ("gzip , aws-chunked", Some("gzip")),
            ("aws-chunked, aws-chunked", None),
        ] {
            let (_, attributes) = stored(&headers(&[("content-encoding", given)])).expect("fits");
            assert_eq!(attributes.system.get("content-encoding").map(String::as_str), kept, "{given}");
        }
        let mut large = HeaderMap::new();
        large.insert("x-amz-meta-abc", HeaderValue::from_str(&"x".repeat(2045)).expect("value"));
        assert!(stored(&large).is_ok());
        large.insert("x-amz-meta-abc", HeaderValue::from_str(&"x".repeat(2046)).expect("value"));
        assert_eq!(stored(&large).expect_err("too large").code(), Code::MetadataTooLarge);
    }

    #[test]
    fn what_is_refused() {
        for (name, value) in [("x-amz-rename-source", "a"), ("x-amz-write-offset-bytes", "1")] {
            assert_eq!(refuse_unsupported(&headers(&[(name, value)])).expect_err(name).status(), 501);
        }
        assert!(refuse_unsupported(&headers(&[("x-amz-acl", "private")])).is_ok());
    }

    #[test]
    fn nobody_overrides_headers() {
        let read = |query: &str| refuse_overrides(&crate::target::Query::read(query).expect("a query"));
        for (parameter, _) in OVERRIDES {
            let error = read(&format!("{parameter}=text/html")).expect_err(parameter);
            assert_eq!((error.code(), error.status()), (Code::InvalidRequest, 400));
        }
        assert!(read("versionId=null&response-other=1").is_ok());
    }

    #[test]
    fn redirects() {
        let read = |to| {
            let (_, attributes) = stored(&headers(&[(WEBSITE_REDIRECT, to)])).map_err(|error| error.code())?;
            Ok(attributes.system.get(WEBSITE_REDIRECT).cloned())
        };
        assert_eq!(read("/a b"), Ok(Some("/a b".to_owned())));
        assert_eq!(read("https://example.org/"), Ok(Some("https://example.org/".to_owned())));
        for bad in ["", "a", "ftp://example.org/"] {
            assert_eq!(read(bad), Err(Code::InvalidRedirectLocation), "{bad}");
        }
        // A policy that allows some places only would not see these.
        for bad in [&b"/caf\xc3\xa9"[..], b"https://example.org/\xff"] {
            let bad = HeaderValue::from_bytes(bad).expect("a value");
            let headers = HeaderMap::from_iter([(HeaderName::from_static(WEBSITE_REDIRECT), bad)]);
            assert_eq!(stored(&headers).map(drop).map_err(|error| error.code()), Err(Code::InvalidRedirectLocation));
        }
    }
}
