//! The canonical request.

use std::fmt::Write as _;

use http::HeaderMap;

use super::fault::Fault;

/// How a service canonicalises paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathRules {
    /// Remove `.`, `..` and empty segments.
    pub normalize: bool,
    /// Encode the path as it came, escapes included, once more; else decode it and encode it once.
    pub double_encode: bool,
}

impl PathRules {
    /// S3: the key as it is.
    pub const S3: Self = Self { normalize: false, double_encode: false };
    /// All other services.
    pub const OTHERS: Self = Self { normalize: true, double_encode: true };
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `bytes` with everything but `A-Z a-z 0-9 - . _ ~` (and `/` if `slash`) percent-encoded.
pub fn uri_encode(out: &mut String, bytes: &[u8], slash: bool) {
    for &b in bytes {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') || (slash && b == b'/') {
            out.push(char::from(b));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
}

/// Percent-decodes; a broken escape stays as it is, so it cannot become something else.
fn decode(text: &str, plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let escape =
            |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match (bytes[i], escape(i + 1), escape(i + 2)) {
            (b'%', Some(hi), Some(lo)) => {
                out.push(hi << 4 | lo);
                i += 3;
                continue;
            }
            (b'+', ..) if plus => out.push(b' '),
            (b, ..) => out.push(b),
        }
        i += 1;
    }
    out
}

/// The canonical path of a raw one.
pub(super) fn path(raw: &str, rules: PathRules) -> String {
    let normal;
    let raw = if rules.normalize {
        normal = normalize(raw);
        &normal
    } else {
        raw
    };
    let mut out = String::with_capacity(raw.len() + 16);
    if rules.double_encode {
        uri_encode(&mut out, raw.as_bytes(), true);
    } else {
        // Segment by segment, so that an escaped slash stays one, as clients sign it.
        for (i, segment) in raw.split('/').enumerate() {
            if i > 0 {
                out.push('/');
            }
            uri_encode(&mut out, &decode(segment, false), false);
        }
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

fn normalize(raw: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in raw.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut out = format!("/{}", parts.join("/"));
    if !parts.is_empty() && (raw.ends_with('/') || raw.ends_with("/.") || raw.ends_with("/..")) {
        out.push('/');
    }
    out
}

/// The canonical query string of a raw one, without the parameter `omit`. `+` is a space, as in forms.
#[must_use]
pub fn canonical_query(raw: &str, omit: &str) -> String {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in raw.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = decode(name, true);
        if name == omit.as_bytes() && !omit.is_empty() {
            continue;
        }
        let (mut n, mut v) = (String::new(), String::new());
        uri_encode(&mut n, &name, false);
        uri_encode(&mut v, &decode(value, true), false);
        pairs.push((n, v));
    }
    pairs.sort_unstable();
    let mut out = String::with_capacity(raw.len());
    for (n, v) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&n);
        out.push('=');
        out.push_str(&v);
    }
    out
}

/// What goes into a canonical request, besides the signed headers.
pub(super) struct Parts<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    /// `host` where HTTP/2 gives it as the authority and not as a header.
    pub host: Option<&'a str>,
    pub signed_headers: &'a [&'a str],
    pub omit: &'a str,
    pub body_hash: &'a str,
    pub rules: PathRules,
}

/// The canonical request.
pub(super) fn request(p: &Parts<'_>) -> Result<String, Fault> {
    let mut out = String::with_capacity(512);
    out.push_str(p.method);
    out.push('\n');
    out.push_str(&path(p.path, p.rules));
    out.push('\n');
    out.push_str(&canonical_query(p.query, p.omit));
    out.push('\n');
    for name in p.signed_headers {
        out.push_str(name);
        out.push(':');
        let mut values = p.headers.get_all(*name).iter().peekable();
        if values.peek().is_none() {
            match p.host {
                Some(host) if *name == "host" => out.push_str(host),
                _ => {
                    return Err(Fault::Incomplete(format!("the signed header '{name}' is missing")));
                }
            }
        }
        for (i, value) in values.enumerate() {
            if i > 0 {
                out.push(',');
            }
            let text = std::str::from_utf8(value.as_bytes())
                .map_err(|_| Fault::Incomplete(format!("the header '{name}' is not UTF-8")))?;
            for (j, word) in text.split([' ', '\t']).filter(|w| !w.is_empty()).enumerate() {
                if j > 0 {
                    out.push(' ');
                }
                out.push_str(word);
            }
        }
        out.push('\n');
    }
    let _infallible = write!(out, "\n{}\n{}", p.signed_headers.join(";"), p.body_hash);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(path("/a%20b//c/../d/", PathRules::OTHERS), "/a%2520b/d/");
        assert_eq!(path("/a%20b//c/../d/", PathRules::S3), "/a%20b//c/../d/");
        assert_eq!(path("/b/k%2b~(%zz%2fx", PathRules::S3), "/b/k%2B~%28%25zz%2Fx");
        assert_eq!(path("", PathRules::S3), "/");
        assert_eq!(path("/..", PathRules::OTHERS), "/");
    }

    /// The two vectors of the official suite that have only a path (`double-encode-path`, `double-url-encode`).
    #[test]
    fn double_encoding_vectors() {
        assert_eq!(
            path("/test/@connections/JBDvjfGEIAMCERw%3D", PathRules::OTHERS),
            "/test/%40connections/JBDvjfGEIAMCERw%253D"
        );
        assert_eq!(
            path("/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-west-2/invocations", PathRules::OTHERS),
            "/2015-03-31/functions/arn%253Aaws%253Alambda%253Aus-west-2/invocations"
        );
    }

    #[test]
    fn queries() {
        assert_eq!(canonical_query("b=2&a=1&a=&acl&X=%e1+%7E", ""), "X=%E1%20~&a=&a=1&acl=&b=2");
        assert_eq!(canonical_query("X-Amz-Signature=x&a", "X-Amz-Signature"), "a=");
    }
}
