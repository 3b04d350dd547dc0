//! Buckets whose requesters pay (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html>): whoever
//! is not their owner must say that he knows it. Nothing is billed here; the word is kept, so that tools and records of
//! requests are as they are at AWS.

use crate::access_log::Trace;
use crate::call::Call;
use crate::headers::text;
use crate::ops::config;
use mallee_awswire::{ApiError, Code};
use mallee_objects::Bucket;
use mallee_s3_config::{Document as _, RequestPayment};

/// The header, and the parameter of presigned requests, by which a requester says so.
const PAYER: &str = "x-amz-request-payer";

/// Whether requesters pay for a bucket.
///
/// # Errors
/// An internal one: what is kept of the bucket cannot be read.
pub(crate) fn requester_pays(bucket: &Bucket) -> Result<bool, ApiError> {
    // Most buckets say nothing of it.
    if bucket.docs.get(RequestPayment::KIND).is_none() {
        return Ok(false);
    }
    Ok(config::of::<RequestPayment>(bucket)? == Some(RequestPayment::Requester))
}

/// Refuses a request to buckets whose requesters pay, unless it says that it will.
///
/// # Errors
/// `AccessDenied`.
pub(super) fn check(call: &Call) -> Result<(), ApiError> {
    let mut charged = false;
    for bucket in call.held.iter().filter(|bucket| bucket.account != call.caller.account) {
        charged |= requester_pays(bucket)?;
    }
    if !charged {
        return Ok(());
    }
    let said = text(&call.headers, PAYER).or_else(|| call.asked.query.value(PAYER));
    let says = said.is_some_and(|payer| payer.eq_ignore_ascii_case("requester"));
    if call.caller.is_anonymous() || !says {
        return Err(Code::AccessDenied.error());
    }
    if let Some(trace) = Trace::of(&call.access.head) {
        trace.charge();
    }
    Ok(())
}
