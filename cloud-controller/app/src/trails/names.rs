//! Names of trails, and what is allowed in them.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-trail-naming-requirements.html>

use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_types::AccountId;

/// Characters of a name.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=128;
/// Longest prefix of keys, in characters.
const PREFIX_CHARS_MAX: usize = 200;

/// The ARN of an account's trail.
#[must_use]
pub fn arn(region: &str, account: &AccountId, name: &str) -> String {
    format!("arn:aws:cloudtrail:{region}:{account}:trail/{name}")
}

fn invalid(why: &'static str) -> ApiError {
    Code::InvalidTrailNameException.message(why)
}

/// # Errors
/// `InvalidTrailNameException`.
pub(super) fn check(name: &str) -> Result<(), ApiError> {
    let mark = |b: u8| matches!(b, b'.' | b'_' | b'-');
    let bytes = name.as_bytes();
    if !NAME_CHARS.contains(&name.chars().count()) {
        return Err(invalid("Trail name must be between 3 and 128 characters long."));
    }
    if !bytes.iter().all(|b| b.is_ascii_alphanumeric() || mark(*b)) {
        return Err(invalid(
            "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods \
             (.), hyphens (-), and underscores (_).",
        ));
    }
    let ends = [bytes.first(), bytes.last()];
    if ends.into_iter().flatten().any(|b| mark(*b)) {
        return Err(invalid("Trail name must start and end with a letter or number."));
    }
    if bytes.windows(2).any(|two| two.iter().all(|b| mark(*b))) {
        return Err(invalid("Trail name must not have adjacent periods, underscores or dashes."));
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(invalid("Trail name must not be in the format of an IP address."));
    }
    Ok(())
}

/// The name that a request's `Name` (a name or an ARN) means.
///
/// # Errors
/// `InvalidTrailNameException`, `CloudTrailARNInvalidException`; `TrailNotFoundException` for an ARN of elsewhere.
pub(super) fn resolve(cloud: &Cloud, cx: &OpContext, given: &str) -> Result<String, ApiError> {
    if !given.starts_with("arn:") {
        check(given)?;
        return Ok(given.to_owned());
    }
    let malformed = || Code::CloudTrailARNInvalidException.message(format!("The trail ARN {given} is not valid."));
    let rest = given.strip_prefix("arn:aws:cloudtrail:").ok_or_else(malformed)?;
    let (place, name) = rest.split_once(":trail/").ok_or_else(malformed)?;
    let (region, account) = place.split_once(':').ok_or_else(malformed)?;
    check(name)?;
    if region != cloud.config().region || account != cx.account().as_str() {
        return Err(unknown(cx, given));
    }
    Ok(name.to_owned())
}

/// There is no such trail of the caller's account.
pub(super) fn unknown(cx: &OpContext, given: &str) -> ApiError {
    Code::TrailNotFoundException.message(format!("Unknown trail: {given} for the user: {}", cx.account()))
}

/// # Errors
/// `InvalidS3BucketNameException`.
pub(super) fn check_bucket(name: &str) -> Result<(), ApiError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let is_name = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| allowed(*b))
        && edge(bytes.first())
        && edge(bytes.last());
    if is_name {
        return Ok(());
    }
    Err(Code::InvalidS3BucketNameException.message(format!("Bucket name {name} is not valid.")))
}

/// # Errors
/// `InvalidS3PrefixException`.
pub(super) fn check_prefix(prefix: &str) -> Result<(), ApiError> {
    if prefix.chars().count() > PREFIX_CHARS_MAX || prefix.chars().any(char::is_control) {
        return Err(Code::InvalidS3PrefixException.message(format!(
            "The S3 prefix must have at most {PREFIX_CHARS_MAX} characters, none of them a control character."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_cloudtrail_has_them() {
        for good in ["abc", "My.trail_1-x", "0ab"] {
            check(good).unwrap();
        }
        for bad in ["ab", "-abc", "abc-", "a--b", "a-_b", "a b c", "a/b", "1.2.3.4", &"x".repeat(129)] {
            assert_eq!(check(bad).unwrap_err().code(), Code::InvalidTrailNameException, "{bad}");
        }
    }

    #[test]
    fn buckets_and_prefixes() {
        check_bucket("logs.example-1").unwrap();
        assert!(["ab", "Logs", "-ab", "a_b", ""].into_iter().all(|bad| check_bucket(bad).is_err()));
        check_prefix("a/b").unwrap();
        assert!(check_prefix(&"x".repeat(201)).is_err() && check_prefix("a\n").is_err());
    }
}
