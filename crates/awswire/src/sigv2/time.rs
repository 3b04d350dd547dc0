//! The forms that times have had.

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// `2011-10-03T15:19:30Z`, with or without a zone and parts of a second; without a zone it is UTC.
pub(super) fn iso(text: &str) -> Option<OffsetDateTime> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    parse(text).or_else(|| parse(&format!("{text}Z")))
}

/// Of HTTP: `Tue, 27 Mar 2007 19:36:42 +0000`, or `GMT`; and the forms of ISO 8601.
pub(super) fn http(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc2822).ok().or_else(|| crate::sigv4::timestamp(text)).or_else(|| iso(text))
}

/// Seconds since 1970.
pub(super) fn epoch(text: &str) -> Option<OffsetDateTime> {
    let digits = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return None;
    }
    OffsetDateTime::from_unix_timestamp(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let at = OffsetDateTime::from_unix_timestamp(1_175_024_202).unwrap();
        for text in ["Tue, 27 Mar 2007 19:36:42 +0000", "Tue, 27 Mar 2007 19:36:42 GMT", "20070327T193642Z"] {
            assert_eq!(http(text), Some(at), "{text}");
        }
        for text in ["2007-03-27T19:36:42Z", "2007-03-27T19:36:42", "2007-03-27T21:36:42+02:00"] {
            assert_eq!(iso(text), Some(at), "{text}");
        }
        assert_eq!(epoch("1175024202"), Some(at));
        for text in ["", "-1", "+1", "1e3", "9999999999999"] {
            assert_eq!(epoch(text), None, "{text}");
        }
        assert_eq!((iso("yesterday"), http("2007")), (None, None));
    }
}
