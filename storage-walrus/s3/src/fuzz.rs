//! Doors for the fuzz targets (`fuzz/`), into readers of what strangers send that nobody else needs. Only with the feature
//! `fuzzing`.

use crate::asked::Asked;
use crate::authz::policy_text;
use crate::checksum::Algorithm;
use crate::conditions;
use crate::headers;
use crate::ops::{buckets, complete, delete, lock, versioning};
use crate::post;
use crate::props::Given;
use crate::range;
use crate::sse;
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use mallee_awswire::ApiError;
use time::OffsetDateTime;

/// Reads a request's head: the operation, and how many rights it takes.
///
/// # Errors
/// What S3 answers.
pub fn request(head: &Parts, domains: &[String]) -> Result<(&'static str, usize), ApiError> {
    let asked = Asked::read(head, domains)?;
    // They are about what it names, whatever that is called.
    let questions = asked.questions();
    assert!(!questions.is_empty(), "an operation takes a right");
    Ok((asked.operation().name(), questions.len()))
}

/// Reads every header that says something of an object, as if each operation had all of them.
pub fn headers(of: &HeaderMap) {
    drop(headers::stored(of));
    drop(headers::refuse_unsupported(of));
    drop(conditions::write(of));
    drop(conditions::delete(of));
    drop(Given::read(of, 1_700_000_000_000));
    drop(sse::Asked::read(of, true));
    drop(sse::customer(of, sse::Side::CopySource, true));
    drop(crate::acl::of_headers(of));
    drop(Algorithm::asked(of));
    for algorithm in Algorithm::ALL {
        drop(headers::text(of, algorithm.header()).map(|value| algorithm.check_form(value)));
    }
    for size in [0, 1, 5_000_000, u64::MAX] {
        if let Some(Ok(Some((offset, len)))) = headers::text(of, "range").map(|range| range::parse(range, size)) {
            assert!(offset.checked_add(len).is_some_and(|end| end <= size), "a range within {size}");
        }
        if let Some(Ok((offset, len))) =
            headers::text(of, "x-amz-copy-source-range").map(|range| range::parse_copy(range, size))
        {
            assert!(offset.checked_add(len).is_some_and(|end| end <= size), "a range within {size}");
        }
    }
}

/// Reads the bodies that are no documents of a bucket.
pub fn bodies(body: &[u8]) {
    drop(buckets::asked_for(body));
    complete::read_any(body);
    delete::read_any(body);
    lock::read_any(body);
    versioning::read_any(body);
    drop(crate::acl::of_xml(body));
}

/// Reads the policy of a bucket.
pub fn bucket_policy(body: &[u8]) {
    drop(policy_text::read(body, "bucket"));
}

/// Reads a form that comes in these pieces: the names of its fields and its file.
///
/// # Errors
/// What S3 answers.
pub async fn form(content_type: &str, pieces: Vec<Bytes>) -> Result<(Vec<String>, Vec<u8>), ApiError> {
    post::read_any(content_type, pieces).await
}

/// Reads a form's policy, and checks these fields by it.
///
/// # Errors
/// What S3 answers.
pub fn form_policy(text: &str, fields: &[(String, String)], now: OffsetDateTime) -> Result<(), ApiError> {
    post::policy_of_any(text, fields, now)
}
