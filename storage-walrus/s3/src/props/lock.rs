//! Object lock, as headers have it (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>).

use crate::error::invalid_argument;
use crate::headers::text;
use crate::reply::{self, Reply};
use http::HeaderMap;
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, LockMode, OBJECT_LOCK, Properties, Retention};
use mallee_runtime::clock::from_unix_ms;
use mallee_s3_config::RetentionMode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const MODE: &str = "x-amz-object-lock-mode";
pub(crate) const UNTIL: &str = "x-amz-object-lock-retain-until-date";
pub(crate) const LEGAL_HOLD: &str = "x-amz-object-lock-legal-hold";
pub(crate) const BYPASS: &str = "x-amz-bypass-governance-retention";
const NS_PER_MS: i128 = 1_000_000;

/// What the headers of a write say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    /// A retention.
    pub(crate) retention: Option<Retention>,
    /// A legal hold, or that there is none.
    pub(crate) legal_hold: Option<bool>,
}

impl Given {
    /// Reads the headers, at a time.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(crate) fn read(headers: &HeaderMap, now_ms: i64) -> Result<Self, ApiError> {
        let retention = match (text(headers, MODE), text(headers, UNTIL)) {
            (None, None) => None,
            (Some(mode), Some(date)) => {
                let wrong = |text: &str| invalid_argument(text, MODE, mode);
                let mode = RetentionMode::parse(mode).ok_or_else(|| wrong("Unknown wormMode directive."))?;
                let until_ms = until(date).ok_or_else(|| {
                    invalid_argument("The retain until date must be provided in ISO 8601 format", UNTIL, date)
                })?;
                Some(Retention { mode: kept_mode(mode), until_ms })
            }
            (Some(given), None) => return Err(alone(MODE, given)),
            (None, Some(given)) => return Err(alone(UNTIL, given)),
        };
        check_future(retention, now_ms)?;
        let legal_hold = text(headers, LEGAL_HOLD).map(|status| {
            legal_hold(status)
                .ok_or_else(|| invalid_argument("Legal Hold must be either of 'ON' or 'OFF'", LEGAL_HOLD, status))
        });
        Ok(Self { retention, legal_hold: legal_hold.transpose()? })
    }

    /// Whether the headers say anything.
    pub(crate) const fn says(&self) -> bool {
        self.retention.is_some() || self.legal_hold.is_some()
    }

    /// Whether an object of this bucket can be locked, if it is to be.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub(crate) fn check(&self, bucket: &Bucket) -> Result<(), ApiError> {
        if self.says() { check_enabled(bucket) } else { Ok(()) }
    }
}

fn alone(name: &str, value: &str) -> ApiError {
    let text = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied";
    invalid_argument(text, name, value)
}

/// Whether a bucket has object lock.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn check_enabled(bucket: &Bucket) -> Result<(), ApiError> {
    if bucket.docs.get(OBJECT_LOCK).is_some() {
        return Ok(());
    }
    Err(Code::InvalidRequest.message("Bucket is missing Object Lock Configuration"))
}

/// Whether a retention is still to come.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn check_future(retention: Option<Retention>, now_ms: i64) -> Result<(), ApiError> {
    match retention.filter(|retention| retention.over(now_ms)) {
        None => Ok(()),
        Some(past) => {
            Err(invalid_argument("The retain until date must be in the future!", UNTIL, &date(past.until_ms)))
        }
    }
}

/// Reads `ON` and `OFF`.
pub(crate) fn legal_hold(text: &str) -> Option<bool> {
    match text {
        "ON" => Some(true),
        "OFF" => Some(false),
        _ => None,
    }
}

/// Reads a date in ISO 8601; milliseconds since 1970.
pub(crate) fn until(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(NS_PER_MS)).ok()
}

/// A date in ISO 8601.
pub(crate) fn date(ms: i64) -> String {
    mallee_awswire::xml::timestamp(from_unix_ms(ms))
}

/// The engine's word for a mode.
pub(crate) const fn kept_mode(mode: RetentionMode) -> LockMode {
    match mode {
        RetentionMode::Governance => LockMode::Governance,
        RetentionMode::Compliance => LockMode::Compliance,
    }
}

/// The name of a mode.
pub(crate) const fn mode_name(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => RetentionMode::Governance.name(),
        LockMode::Compliance => RetentionMode::Compliance.name(),
    }
}

/// Whether the caller wants to pass by a governance retention. The doors have asked whether it may.
pub(crate) fn bypass(headers: &HeaderMap) -> bool {
    text(headers, BYPASS).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Tells of the lock of an object that is read.
pub(crate) fn describe(response: &mut Reply, properties: &Properties) {
    if let Some(Retention { mode, until_ms }) = properties.retention {
        reply::set(response, HeaderName::from_static(MODE), mode_name(mode));
        reply::set(response, HeaderName::from_static(UNTIL), &date(until_ms));
    }
    if properties.legal_hold || properties.hold_known {
        let status = if properties.legal_hold { "ON" } else { "OFF" };
        reply::set(response, HeaderName::from_static(LEGAL_HOLD), status);
    }
}

/// The headers by which another store is told of a lock that still holds.
pub(crate) fn headers(properties: &Properties, now_ms: i64) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if let Some(Retention { mode, until_ms }) = properties.retention.filter(|retention| !retention.over(now_ms)) {
        headers.push((MODE, mode_name(mode).to_owned()));
        headers.push((UNTIL, date(until_ms)));
    }
    if properties.legal_hold || properties.hold_known {
        headers.push((LEGAL_HOLD, if properties.legal_hold { "ON" } else { "OFF" }.to_owned()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<Given, ApiError> {
        let headers = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        Given::read(&headers.collect(), 1000)
    }

    #[test]
    fn headers() {
        assert_eq!(read(&[]).expect("nothing"), Given::default());
        let both = read(&[(MODE, "COMPLIANCE"), (UNTIL, "1970-01-01T01:00:01.5+01:00"), (LEGAL_HOLD, "OFF")]);
        let retention = Some(Retention { mode: LockMode::Compliance, until_ms: 1500 });
        assert_eq!(both.expect("good"), Given { retention, legal_hold: Some(false) });
        for bad in [
            &[(MODE, "GOVERNANCE")][..],
            &[(UNTIL, "2030-01-01T00:00:00Z")],
            &[(MODE, "governance"), (UNTIL, "2030-01-01T00:00:00Z")],
            &[(MODE, "GOVERNANCE"), (UNTIL, "soon")],
            &[(MODE, "GOVERNANCE"), (UNTIL, "1970-01-01T00:00:01Z")],
            &[(LEGAL_HOLD, "on")],
        ] {
            assert_eq!(read(bad).expect_err("wrong").code(), Code::InvalidArgument, "{bad:?}");
        }
    }

    #[test]
    fn the_kind_is_what_the_engine_guards() {
        assert_eq!(<mallee_s3_config::ObjectLock as mallee_s3_config::Document>::KIND, OBJECT_LOCK);
    }
}
