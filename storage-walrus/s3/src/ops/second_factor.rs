//! The second factor that buckets with MFA delete ask for: `x-amz-mfa: SERIAL CODE`
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/MultiFactorAuthenticationDelete.html>).

use crate::auth::SecondFactor;
use crate::call::Call;
use crate::error::invalid_argument;
use crate::headers::text;
use http::HeaderMap;
use mallee_awswire::{ApiError, Code};
use mallee_objects::Engine;

const HEADER: &str = "x-amz-mfa";
/// Most bytes of a device's ARN and a code.
const BYTES_MAX: usize = 512;

/// The device and its code, if the request gives them.
fn given(headers: &HeaderMap) -> Result<Option<(&str, &str)>, ApiError> {
    let Some(value) = text(headers, HEADER) else { return Ok(None) };
    let pair = value.trim().split_once(' ').map(|(serial, code)| (serial, code.trim()));
    let good = |(serial, code): &(&str, &str)| {
        value.len() <= BYTES_MAX && !serial.is_empty() && code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit())
    };
    // The value is not said again: it may be a code that is good.
    let refused = || {
        invalid_argument(
            "The x-amz-mfa header must have a device's serial number, a space and a code of six digits.",
            HEADER,
            "",
        )
    };
    pair.filter(good).map(Some).ok_or_else(refused)
}

/// Whether the caller of a request has proven a second factor: once is enough, for its code is good once.
///
/// The bucket may have begun to ask for one since the request was decided. So where none is proven, a change is made by
/// [`Factor::store`] and is [`Error::Gone`](mallee_objects::Error::Gone) once the bucket was configured anew: whoever
/// makes it looks again then.
#[derive(Debug, Default)]
pub(crate) struct Factor {
    proven: bool,
}

impl Factor {
    /// Has the caller prove it, unless it has.
    ///
    /// # Errors
    /// `AccessDenied` without one, and for a wrong one.
    pub(crate) async fn require(&mut self, call: &Call) -> Result<(), ApiError> {
        if self.proven {
            return Ok(());
        }
        let Some((serial, code)) = given(&call.headers)? else {
            return Err(Code::AccessDenied.message("Mfa Authentication must be used for this request"));
        };
        let factor = SecondFactor { claim: call.access.claim.as_ref(), serial, code };
        call.access.identity.prove(&factor).await?;
        self.proven = true;
        Ok(())
    }

    /// The engine for a change that a bucket may ask a second factor for.
    pub(crate) fn store(&self, engine: &Engine) -> Engine {
        if self.proven { engine.clone() } else { engine.unchanged() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_header() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(value).expect("a header"));
            given(&headers).map(|pair| pair.map(|(a, b)| (a.to_owned(), b.to_owned()))).map_err(|e| e.code())
        };
        assert!(given(&HeaderMap::new()).is_ok_and(|pair| pair.is_none()));
        let (serial, code) = ("arn:aws:iam::1:mfa/x".to_owned(), "123456".to_owned());
        assert_eq!(read("arn:aws:iam::1:mfa/x 123456"), Ok(Some((serial, code))));
        for bad in ["", "123456", " 123456", "x 12345", "x 1234567", "x 12345a", "x y 123456", &"x".repeat(600)] {
            assert_eq!(read(bad), Err(Code::InvalidArgument), "{bad}");
        }
    }
}
