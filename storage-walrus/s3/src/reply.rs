//! Replies, and the dates in them.

use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};
use http::{Response, StatusCode};
use mallee_awswire::XmlWriter;
use mallee_objects::Checksums;
use mallee_runtime::clock::from_unix_ms;
use time::format_description::well_known::Rfc2822;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use crate::checksum::Algorithm;

pub(crate) use mallee_s3_config::XMLNS;

/// The header that tells the id of a version.
pub(crate) const VERSION_ID: &str = "x-amz-version-id";
/// The header that tells that something is a delete marker.
pub(crate) const DELETE_MARKER: &str = "x-amz-delete-marker";

pub(crate) type Reply = Response<Body>;

/// A reply without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    reply
}

/// A reply with an XML document.
pub(crate) fn xml(writer: XmlWriter) -> Reply {
    xml_text(writer.finish())
}

/// A reply with an XML document that was written by hand.
pub(crate) fn xml_text(body: String) -> Reply {
    let mut reply = Response::new(Body::from(body));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    reply
}

/// A document whose root element is open.
pub(crate) fn document(root: &str) -> XmlWriter {
    let mut writer = XmlWriter::document();
    writer.open_ns(root, XMLNS);
    writer
}

/// Sets a header, unless the value cannot be one.
pub(crate) fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        reply.headers_mut().insert(name, value);
    }
}

/// Sets the entity tag, in quotes.
pub(crate) fn set_etag(reply: &mut Reply, etag: &str) {
    set(reply, ETAG, &quoted(etag));
}

/// An entity tag in quotes.
pub(crate) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// Sets `Last-Modified`.
pub(crate) fn set_modified(reply: &mut Reply, ms: i64) {
    set(reply, LAST_MODIFIED, &http_date(from_unix_ms(ms)));
}

/// Sets the version id, if there is one to tell.
pub(crate) fn set_version(reply: &mut Reply, id: Option<String>) {
    if let Some(id) = id {
        set(reply, HeaderName::from_static(VERSION_ID), &id);
    }
}

/// Sets the checksum headers.
pub(crate) fn set_checksums(reply: &mut Reply, checksums: &Checksums) {
    for (name, value) in &checksums.values {
        if let Some(algorithm) = Algorithm::parse(name) {
            set(reply, HeaderName::from_static(algorithm.header()), value);
        }
    }
    if !checksums.values.is_empty() {
        set(reply, HeaderName::from_static("x-amz-checksum-type"), checksum_type(checksums));
    }
}

/// `COMPOSITE` or `FULL_OBJECT`.
pub(crate) const fn checksum_type(checksums: &Checksums) -> &'static str {
    if checksums.composite { "COMPOSITE" } else { "FULL_OBJECT" }
}

/// Writes the checksum elements.
pub(crate) fn write_checksums(writer: &mut XmlWriter, checksums: &Checksums) {
    for (name, value) in &checksums.values {
        if let Some(algorithm) = Algorithm::parse(name) {
            writer.text(algorithm.element(), value);
        }
    }
}

/// `Wed, 21 Oct 2015 07:28:00 GMT`
pub(crate) fn http_date(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        &weekday[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`, the form of RFC 850, as `06 Nov 1994 08:49:37 GMT`: its year is no more than fifty
/// years ahead.
fn long_year(text: &str, now: i32) -> Option<String> {
    let (_, date) = text.split_once(", ")?;
    let (date, time) = date.split_once(' ')?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 2 {
        return None;
    }
    let year = now - now.rem_euclid(100) + year.parse::<u8>().map(i32::from).ok()?;
    let year = if year > now + 50 { year - 100 } else { year };
    Some(format!("{day} {month} {year} {time}"))
}

/// Reads a date in one of the forms of HTTP or in ISO 8601; `None` reads as "no such header", as AWS does.
pub(crate) fn parse_date(text: &str) -> Option<OffsetDateTime> {
    use time::macros::format_description;
    let text = text.trim();
    let of_rfc_850 = long_year(text, OffsetDateTime::now_utc().year());
    let text = of_rfc_850.as_deref().unwrap_or(text);
    OffsetDateTime::parse(text, &Rfc2822)
        .or_else(|_| OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339))
        .ok()
        .or_else(|| {
            let form = format_description!(
                "[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]"
            );
            PrimitiveDateTime::parse(text, &form).ok().map(PrimitiveDateTime::assume_utc)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn dates_read_back() {
        let at = datetime!(2015-10-21 07:28:00 UTC);
        assert_eq!(http_date(at), "Wed, 21 Oct 2015 07:28:00 GMT");
        for text in [
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "2015-10-21T07:28:00Z",
            "Wed Oct 21 07:28:00 2015",
            "Wednesday, 21-Oct-15 07:28:00 GMT",
        ] {
            assert_eq!(parse_date(text), Some(at), "{text}");
        }
        for (now, year) in [(1994, 1994), (2026, 1994), (2044, 2094), (2099, 2094)] {
            let wanted = format!("06 Nov {year} 08:49:37 GMT");
            assert_eq!(long_year("Sunday, 06-Nov-94 08:49:37 GMT", now), Some(wanted), "{now}");
        }
        assert_eq!(parse_date("yesterday"), None);
    }
}
