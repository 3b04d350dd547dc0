//! Names of buckets and keys.

use crate::KEY_BYTES_MAX;
use mallee_awswire::{ApiError, Code};
use std::net::Ipv4Addr;

/// Checks a bucket name by the rules for new buckets: 3 to 63 of `a-z 0-9 . -`, labels that begin and end with a letter
/// or digit, no IPv4 address, none of the reserved prefixes and suffixes.
///
/// # Errors
/// `InvalidBucketName`.
pub fn check_bucket_name(name: &str) -> Result<(), ApiError> {
    let label = |label: &str| {
        let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        ends(label.bytes().next()) && ends(label.bytes().last())
    };
    let valid = (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        && name.split('.').all(label)
        && name.parse::<Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| name.starts_with(p))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3"].iter().any(|s| name.ends_with(s));
    if valid { Ok(()) } else { Err(Code::InvalidBucketName.error().field("BucketName", name)) }
}

/// Checks a key that is to be written or read.
///
/// # Errors
/// `KeyTooLongError`.
pub fn check_key(key: &str) -> Result<(), ApiError> {
    if key.len() <= KEY_BYTES_MAX {
        return Ok(());
    }
    Err(Code::KeyTooLongError
        .error()
        .field("Size", key.len().to_string())
        .field("MaxSizeAllowed", KEY_BYTES_MAX.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for good in ["abc", "a.b-c.d", "123", "my-bucket", "a".repeat(63).as_str()] {
            assert!(check_bucket_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            "a..b",
            ".abc",
            "a.-b",
            "192.168.5.4",
            "xn--abc",
            "abc-s3alias",
            "abc--ol-s3",
            "a/b",
            "a b",
            "..",
            "äbc",
            "a".repeat(64).as_str(),
        ] {
            assert!(check_bucket_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_count_in_bytes() {
        assert!(check_key(&"k".repeat(1024)).is_ok());
        assert!(check_key(&"ü".repeat(513)).is_err());
    }
}
