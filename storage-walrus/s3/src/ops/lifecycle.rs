//! Lifecycle rules, and what replies about objects tell of them.

use crate::call::Call;
use crate::error::{engine, invalid_argument};
use crate::headers::text;
use crate::ops::config;
use crate::reply::{self, Reply};
use http::StatusCode;
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error, ObjectInfo, Upload};
use mallee_runtime::clock::from_unix_ms;
use mallee_s3_config::Document as _;
use mallee_s3_config::lifecycle::{Lifecycle, Minimum, Version, abort_due, expiration_of};
use mallee_s3_config::text as kept_text;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Says below which size objects keep their class. Both of its values mean the same of the classes that there are here:
/// they differ where objects are archived.
const MINIMUM: &str = "x-amz-transition-default-minimum-object-size";
/// What stays as it is in the id of a rule in a header.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn with_minimum(mut response: Reply, minimum: Minimum) -> Reply {
    reply::set(&mut response, HeaderName::from_static(MINIMUM), minimum.name());
    response
}

/// PUT /bucket?lifecycle
pub(crate) async fn put(mut call: Call, bucket: String) -> Result<Reply, ApiError> {
    let named = text(&call.headers, MINIMUM).map(str::to_owned);
    let minimum = named.as_deref().map_or(Some(Minimum::default()), Minimum::parse).ok_or_else(|| {
        let given = named.as_deref().unwrap_or_default();
        invalid_argument("Invalid value for the default minimum object size.", MINIMUM, given)
    })?;
    call.bucket(&bucket).await?;
    let rules = Lifecycle { minimum, ..config::from_body(&mut call).await? };
    let check = |found: &Bucket| match found.docs.mfa_delete() {
        true => Err(Error::State("Lifecycle configuration is not supported on MFA-enabled bucket".to_owned())),
        false => Ok(()),
    };
    let put = call.s3.engine().set_document(&bucket, Lifecycle::KIND, "", &kept_text(&rules), &check).await;
    put.map_err(|e| engine(e).field("BucketName", bucket))?;
    Ok(with_minimum(reply::empty(StatusCode::OK), minimum))
}

/// GET /bucket?lifecycle
pub(crate) async fn get(call: Call, bucket: String) -> Result<Reply, ApiError> {
    let minimum = config::of::<Lifecycle>(&call.bucket(&bucket).await?)?.map(|rules| rules.minimum);
    let response = config::get::<Lifecycle>(call, bucket, Code::NoSuchLifecycleConfiguration).await?;
    Ok(with_minimum(response, minimum.unwrap_or_default()))
}

/// Tells when an object expires. To be asked of what a key stands for.
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
