//! The head of an S3 request, by its lines: `METHOD target`, then headers. It names an operation or is refused, and no
//! header makes a reader stumble.
#![no_main]

use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use mallee_s3::fuzz;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some(Ok(first)) = lines.next().map(std::str::from_utf8) else { return };
    let (method, target) = first.split_once(' ').unwrap_or((first, "/"));
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(&line[at + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else { return };
    let (head, ()) = request.into_parts();
    for domains in [vec![], vec!["s3.example.com".to_owned()]] {
        drop(fuzz::request(&head, &domains));
    }
    fuzz::headers(&head.headers);
});
