//! What fuzz targets share.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

/// A request by its lines: `METHOD target`, then headers; the last line without a colon is its body. None if HTTP has no
/// such request.
#[must_use]
pub fn request(data: &[u8]) -> Option<(Parts, &[u8])> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ').unwrap_or((first, "/"));
    let mut request = Request::builder().method(method).uri(target);
    let mut body: &[u8] = b"";
    for line in lines {
        let Some(at) = line.iter().position(|byte| *byte == b':') else {
            body = line;
            continue;
        };
        let (name, value) = (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(&line[at + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    Some((request.body(()).ok()?.into_parts().0, body))
}
