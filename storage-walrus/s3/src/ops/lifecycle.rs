//! Lifecycle rules, and what replies about objects tell of them.

use crate::call::Call;
use crate::error::{engine, invalid_argument};
use crate::headers::text;
use crate::ops::config;
use crate::reply::{self, Reply};
use http::StatusCode;
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, ObjectInfo, STANDARD, Upload};
use mallee_runtime::clock::from_unix_ms;
use mallee_s3_config::Document as _;
use mallee_s3_config::lifecycle::{Lifecycle, Version, abort_due, expiration_of};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Says below which size objects keep their class. Both of its values mean the same of the classes that there are here:
/// they differ where objects are archived.
const MINIMUM: &str = "x-amz-transition-default-minimum-object-size";
const MINIMUMS: [&str; 2] = ["all_storage_classes_128K", "varies_by_storage_class"];
/// Under which id it is kept beside the rules.
const MINIMUM_ID: &str = "minimum-object-size";
/// What stays as it is in the id of a rule in a header.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn with_minimum(mut response: Reply, minimum: &str) -> Reply {
    reply::set(&mut response, HeaderName::from_static(MINIMUM), minimum);
    response
}

/// PUT /bucket?lifecycle
pub(crate) async fn put(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let minimum = text(&call.headers, MINIMUM).unwrap_or(MINIMUMS[0]).to_owned();
    if !MINIMUMS.contains(&minimum.as_str()) {
        return Err(invalid_argument("Invalid value for the default minimum object size.", MINIMUM, &minimum));
    }
    let store = call.s3.engine().clone();
    let response = config::put::<Lifecycle>(call, bucket.clone(), StatusCode::OK, |_, _| Ok(())).await?;
    store.set_document(&bucket, Lifecycle::KIND, MINIMUM_ID, &minimum, &|_| Ok(())).await.map_err(engine)?;
    Ok(with_minimum(response, &minimum))
}

/// GET /bucket?lifecycle
pub(crate) async fn get(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let found = call.bucket(&bucket).await?;
    let minimum = found.docs.named(Lifecycle::KIND, MINIMUM_ID).unwrap_or(MINIMUMS[0]).to_owned();
    let response = config::get::<Lifecycle>(call, bucket, Code::NoSuchLifecycleConfiguration).await?;
    Ok(with_minimum(response, &minimum))
}

/// Tells when an object expires, and its class. To be asked of what a key stands for.
///
/// # Errors
/// The rules that are kept cannot be read.
pub(crate) fn set_expiration(
    response: &mut Reply,
    call: &Call,
    bucket: &Bucket,
    info: &ObjectInfo,
) -> Result<(), ApiError> {
    let background = &call.s3.config().background;
    let Some(rules) = background.lifecycle(bucket)? else { return Ok(()) };
    let version = Version {
        written_ms: info.created_ms,
        marker: false,
        size: info.size,
        class: info.properties.class.clone(),
        tags: info.properties.tags.clone(),
    };
    if let Some(due) = expiration_of(&rules, &info.key, &version, background.day()) {
        let date = reply::http_date(from_unix_ms(due.at_ms));
        let rule = utf8_percent_encode(&due.rule, PLAIN);
        let value = format!("expiry-date=\"{date}\", rule-id=\"{rule}\"");
        reply::set(response, HeaderName::from_static("x-amz-expiration"), &value);
    }
    Ok(())
}

/// Tells the class of an object, where it is not the usual one.
pub(crate) fn set_class(response: &mut Reply, info: &ObjectInfo) {
    if info.properties.class != STANDARD {
        reply::set(response, HeaderName::from_static("x-amz-storage-class"), &info.properties.class);
    }
}

/// Tells when an upload will be given up.
///
/// # Errors
/// The rules that are kept cannot be read.
pub(crate) fn set_abort_date(
    response: &mut Reply,
    call: &Call,
    bucket: &Bucket,
    upload: &Upload,
) -> Result<(), ApiError> {
    let background = &call.s3.config().background;
    let Some(rules) = background.lifecycle(bucket)? else { return Ok(()) };
    if let Some(due) = abort_due(&rules, &upload.key, upload.created_ms, background.day()) {
        let date = reply::http_date(from_unix_ms(due.at_ms));
        reply::set(response, HeaderName::from_static("x-amz-abort-date"), &date);
        let rule = utf8_percent_encode(&due.rule, PLAIN).to_string();
        reply::set(response, HeaderName::from_static("x-amz-abort-rule-id"), &rule);
    }
    Ok(())
}
