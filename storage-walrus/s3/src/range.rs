//! `Range` headers.

use crate::PART_BYTES_MIN;
use mallee_awswire::{ApiError, Code};

/// The bytes of `size` that a `Range` header asks for, as offset and length; `None` where S3 ignores the header
/// (another unit, several ranges, bad syntax).
///
/// # Errors
/// `InvalidRange` when the range lies outside.
pub fn parse(header: &str, size: u64) -> Result<Option<(u64, u64)>, ApiError> {
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // More digits than fit mean a position far behind the end.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let outside = || {
        Code::InvalidRange
            .error()
            .field("RangeRequested", mallee_awswire::texts::clip(header).into_owned())
            .field("ActualObjectSize", size.to_string())
    };
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            None => Ok(None),
            Some(0) => Err(outside()),
            Some(_) if size == 0 => Err(outside()),
            Some(n) => Ok(Some((size - n.min(size), n.min(size)))),
        },
        (first, "") => match number(first) {
            None => Ok(None),
            Some(first) if first >= size => Err(outside()),
            Some(first) => Ok(Some((first, size - first))),
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first > last => Ok(None),
            (Some(first), Some(_)) if first >= size => Err(outside()),
            (Some(first), Some(last)) => Ok(Some((first, last.min(size - 1) - first + 1))),
            _ => Ok(None),
        },
    }
}

/// The range of an UploadPartCopy, which must be `bytes=first-last` and lie within the source; a source of one part's size
/// or less has none.
///
/// # Errors
/// `InvalidArgument`, `InvalidRange`, `InvalidRequest`.
pub fn parse_copy(header: &str, size: u64) -> Result<(u64, u64), ApiError> {
    let malformed = || {
        Code::InvalidArgument
            .message(
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
                 zero-based offsets of the first and last bytes to copy",
            )
            .field("ArgumentName", "x-amz-copy-source-range")
            .field("ArgumentValue", mallee_awswire::texts::clip(header).into_owned())
    };
    let (first, last) = header.strip_prefix("bytes=").and_then(|r| r.split_once('-')).ok_or_else(malformed)?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let (first, last) = number(first).zip(number(last)).filter(|(f, l)| f <= l).ok_or_else(malformed)?;
    match (last >= size, size > PART_BYTES_MIN) {
        (true, true) => {
            Err(Code::InvalidArgument
                .message(format!("Range specified is not valid for source object of size: {size}")))
        }
        (true, false) => Err(Code::InvalidRange
            .error()
            .field("RangeRequested", mallee_awswire::texts::clip(header).into_owned())
            .field("ActualObjectSize", size.to_string())),
        (false, false) => {
            Err(Code::InvalidRequest.message("The specified copy source is not supported as a byte-range copy source"))
        }
        (false, true) => Ok((first, last - first + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let at = |header: &str| parse(header, 10).map_err(|e| e.status());
        assert_eq!(at("bytes=0-0"), Ok(Some((0, 1))));
        assert_eq!(at("bytes=2-"), Ok(Some((2, 8))));
        assert_eq!(at("bytes=-3"), Ok(Some((7, 3))));
        assert_eq!(at("bytes=-30"), Ok(Some((0, 10))));
        assert_eq!(at("bytes=5-99"), Ok(Some((5, 5))));
        assert_eq!(at("bytes=99999999999999999999999-"), Err(416));
        assert_eq!(at("bytes=10-"), Err(416));
        assert_eq!(at("bytes=10-12"), Err(416));
        assert_eq!(at("bytes=-0"), Err(416));
        for ignored in ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=4-2", "bytes=0-1,3-4", "lines=1-2"] {
            assert_eq!(at(ignored), Ok(None), "{ignored}");
        }
        assert_eq!(parse("bytes=0-", 0).map_err(|e| e.status()), Err(416));
    }

    #[test]
    fn copy_ranges_are_strict() {
        let (small, large) = (PART_BYTES_MIN, PART_BYTES_MIN + 1);
        let read = |header: &str, size| parse_copy(header, size).map_err(|e| e.code());
        assert_eq!(read("bytes=2-9", large), Ok((2, 8)));
        assert_eq!(read("bytes=2-9", small), Err(Code::InvalidRequest), "too small to have ranges");
        assert_eq!(read(&format!("bytes=0-{large}"), large), Err(Code::InvalidArgument));
        assert_eq!(read("bytes=0-21", 5), Err(Code::InvalidRange));
        for bad in ["bytes=-3", "bytes=3-", "bytes=4-2", "0-1", "bytes=a-1", "bytes=0", "bytes=hello-", "bytes=0-2,3-5"]
        {
            assert_eq!(read(bad, large), Err(Code::InvalidArgument), "{bad}");
            assert_eq!(read(bad, 5), Err(Code::InvalidArgument), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_range_lies_within(header in "(bytes=)?[0-9-]{0,25}.{0,3}", size in 0u64..) {
            if let Ok(Some((offset, len))) = parse(&header, size) {
                proptest::prop_assert!(len > 0 && offset.checked_add(len).is_some_and(|end| end <= size));
            }
            if let Ok((offset, len)) = parse_copy(&header, size) {
                proptest::prop_assert!(len > 0 && offset.checked_add(len).is_some_and(|end| end <= size));
            }
        }
    }
}
