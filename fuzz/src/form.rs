//! Forms of browsers: the first byte says how the body is cut, which must not matter. And their policies: the first line
//! is a policy (base64 or JSON), the others are fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mallee_s3::fuzz;
use std::sync::LazyLock;
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};

/// Forms have a clock: they must come in time.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// The outcome, an error by its code.
fn form(content_type: &str, body: &[u8], cut: usize) -> Result<(Vec<String>, Vec<u8>), String> {
    let pieces = body.chunks(cut.max(1)).map(Bytes::copy_from_slice).collect();
    RUNTIME.block_on(fuzz::form(content_type, pieces)).map_err(|error| error.code().as_str().to_owned())
}

fn policy(text: &str) {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    drop(fuzz::form_policy(first, &fields, OffsetDateTime::UNIX_EPOCH));
    drop(fuzz::form_policy(&STANDARD.encode(first), &fields, OffsetDateTime::UNIX_EPOCH));
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let [cut, body @ ..] = data else { return };
    let whole = form("multipart/form-data; boundary=b", body, body.len());
    assert_eq!(form("multipart/form-data; boundary=b", body, usize::from(*cut)), whole, "however it is cut");
    if let Ok(text) = std::str::from_utf8(body) {
        drop(form(text.lines().next().unwrap_or_default(), body, body.len()));
        policy(text);
    }
}
