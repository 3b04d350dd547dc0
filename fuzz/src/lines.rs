//! Requests as seeds have them.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

/// A request by its lines: `METHOD target`, then `name:value` of headers, an empty line, and all the rest is its body.
/// None if HTTP has no such request.
#[must_use]
pub fn request(data: &[u8]) -> Option<(Parts, &[u8])> {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((data, &b""[..]), |end| (&data[..end], &data[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ').unwrap_or((first, "/"));
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(&line[at + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    Some((request.body(()).ok()?.into_parts().0, body))
}
