//! The headers that ask for encryption.

use crate::error::{invalid_argument, not_implemented};
use crate::headers::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use mallee_awswire::{ApiError, Code};
use mallee_objects::crypt::CustomerKey;
use md5::{Digest as _, Md5};
use std::collections::BTreeMap;

pub(super) const METHOD: &str = "x-amz-server-side-encryption";
pub(super) const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
pub(super) const CONTEXT: &str = "x-amz-server-side-encryption-context";
pub(super) const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
/// Longest context, in bytes of its JSON (KMS: 8,192).
const CONTEXT_BYTES_MAX: usize = 8192;
/// The name in a context that is S3's own.
pub(super) const ARN: &str = "aws:s3:arn";

/// Whose headers: those of the object that is written or read, or of a copy's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Own,
    CopySource,
}

impl Side {
    pub(super) const fn algorithm(self) -> &'static str {
        match self {
            Self::Own => "x-amz-server-side-encryption-customer-algorithm",
            Self::CopySource => "x-amz-copy-source-server-side-encryption-customer-algorithm",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Own => "x-amz-server-side-encryption-customer-key",
            Self::CopySource => "x-amz-copy-source-server-side-encryption-customer-key",
        }
    }

    pub(super) const fn md5(self) -> &'static str {
        match self {
            Self::Own => "x-amz-server-side-encryption-customer-key-md5",
            Self::CopySource => "x-amz-copy-source-server-side-encryption-customer-key-md5",
        }
    }
}

/// A key that the client brings.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    pub(crate) key: CustomerKey,
    /// Its MD5, base64, as it goes back in replies.
    pub(crate) md5: String,
}

/// What a write asks for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// Nothing: the bucket's default.
    Default,
    /// The store's key.
    Store,
    /// A key of KMS.
    Kms {
        key: Option<String>,
        context: BTreeMap<String, String>,
        /// None: as the bucket says.
        bucket_key: Option<bool>,
    },
    /// The client's key.
    Customer(Customer),
}

/// Reads the key that a client brings. `secure`: the connection keeps it from others.
///
/// # Errors
/// `InvalidArgument`, `InvalidRequest`, `InvalidEncryptionAlgorithmError`, as AWS words them.
pub(crate) fn customer(headers: &HeaderMap, side: Side, secure: bool) -> Result<Option<Customer>, ApiError> {
    let (algorithm, key, md5) = (text(headers, side.algorithm()), text(headers, side.key()), text(headers, side.md5()));
    if algorithm.is_none() && key.is_none() && md5.is_none() {
        return Ok(None);
    }
    let must = |what: &str| {
        Code::InvalidArgument.message(format!(
            "Requests specifying Server Side Encryption with Customer provided keys must provide {what}."
        ))
    };
    if !secure {
        return Err(Code::InvalidRequest.message(
            "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure \
             connection.",
        ));
    }
    let algorithm = algorithm.ok_or_else(|| must("a valid encryption algorithm"))?;
    if algorithm != "AES256" {
        return Err(Code::InvalidEncryptionAlgorithmError
            .error()
            .field("ArgumentName", side.algorithm())
            .field("ArgumentValue", mallee_awswire::texts::clip(algorithm).into_owned()));
    }
    let key = key.ok_or_else(|| must("an appropriate secret key"))?;
    let md5 = md5.ok_or_else(|| must("the client calculated MD5 of the secret key"))?;
    // The value of the key's header goes into no error.
    let invalid = |message: &str, header: &'static str| {
        Code::InvalidArgument.message(message.to_owned()).field("ArgumentName", header).field("ArgumentValue", "null")
    };
    let bytes = BASE64.decode(key).map(zeroize::Zeroizing::new).ok();
    let found =
        bytes.as_ref().and_then(|bytes| CustomerKey::from_bytes(bytes).zip(Some(Md5::digest(bytes.as_slice()))));
    let (key, digest) =
        found.ok_or_else(|| invalid("The secret key was invalid for the specified algorithm.", side.key()))?;
    if BASE64.decode(md5).ok().as_deref() != Some(&digest[..]) {
        let text = "The calculated MD5 hash of the key did not match the hash that was provided.";
        return Err(invalid(text, side.md5()));
    }
    Ok(Some(Customer { key, md5: BASE64.encode(digest) }))
}

fn context(headers: &HeaderMap) -> Result<BTreeMap<String, String>, ApiError> {
    let Some(given) = text(headers, CONTEXT) else { return Ok(BTreeMap::new()) };
    let bad = || {
        let text = "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON \
                    which represents a string-string map";
        invalid_argument(text, CONTEXT, given)
    };
    let bytes = BASE64.decode(given).ok().filter(|bytes| bytes.len() <= CONTEXT_BYTES_MAX).ok_or_else(bad)?;
    let map: BTreeMap<String, String> = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    if map.contains_key(ARN) {
        return Err(invalid_argument("The name aws:s3:arn in an encryption context is S3's own.", CONTEXT, given));
    }
    Ok(map)
}

fn flag(headers: &HeaderMap) -> Result<Option<bool>, ApiError> {
    match text(headers, BUCKET_KEY) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(invalid_argument(format!("{BUCKET_KEY} must be true or false."), BUCKET_KEY, other)),
    }
}

impl Asked {
    /// Reads what a write asks for.
    ///
    /// # Errors
    /// As [`customer`]; `NotImplemented` for dual-layer encryption.
    pub(crate) fn read(headers: &HeaderMap, secure: bool) -> Result<Self, ApiError> {
        let customer = customer(headers, Side::Own, secure)?;
        let method = text(headers, METHOD);
        if customer.is_some() && (method.is_some() || headers.contains_key(KMS_KEY)) {
            return Err(invalid_argument(
                "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
                METHOD,
                method.unwrap_or_default(),
            ));
        }
        if method != Some("aws:kms") {
            let further = [KMS_KEY, CONTEXT].into_iter().find(|name| headers.contains_key(*name));
            if let Some(name) = further {
                return Err(invalid_argument(
                    "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption \
                     : aws:kms",
                    name,
                    text(headers, name).unwrap_or_default(),
                ));
            }
        }
        match (customer, method) {
            (Some(customer), _) => Ok(Self::Customer(customer)),
            // A bucket key means something with KMS; AWS takes the header without a word, too.
            (None, None) => flag(headers).map(|_| Self::Default),
            (None, Some("AES256")) => flag(headers).map(|_| Self::Store),
            (None, Some("aws:kms")) => Ok(Self::Kms {
                key: text(headers, KMS_KEY).filter(|key| !key.is_empty()).map(str::to_owned),
                context: context(headers)?,
                bucket_key: flag(headers)?,
            }),
            (None, Some("aws:kms:dsse")) => {
                Err(not_implemented("Dual-layer encryption (aws:kms:dsse)").field("Header", METHOD))
            }
            (None, Some(other)) => {
                Err(invalid_argument("The encryption method specified is not supported", METHOD, other))
            }
        }
    }
}

/// Refuses a method of encryption where none can be asked for: the object has, or will have, one already.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn refuse_method(headers: &HeaderMap) -> Result<(), ApiError> {
    match [METHOD, KMS_KEY, CONTEXT].into_iter().find_map(|name| Some((name, text(headers, name)?))) {
        None => Ok(()),
        Some((name, value)) => {
            Err(invalid_argument(format!("{name} header is not supported for this operation."), name, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::HeaderName;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let value = |v: &str| HeaderValue::from_str(v).expect("a value");
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), value(v))).collect()
    }

    fn code(pairs: &[(&'static str, &str)]) -> Result<Asked, Code> {
        Asked::read(&headers(pairs), true).map_err(|e| e.code())
    }

    #[test]
    fn methods() {
        assert!(matches!(code(&[]), Ok(Asked::Default)));
        assert!(matches!(code(&[(METHOD, "AES256")]), Ok(Asked::Store)));
        let context = BASE64.encode(r#"{"app":"x"}"#);
        let asked = code(&[(METHOD, "aws:kms"), (KMS_KEY, "alias/a"), (CONTEXT, &context), (BUCKET_KEY, "true")]);
        let Ok(Asked::Kms { key, context, bucket_key }) = asked else { panic!("{asked:?}") };
        assert_eq!((key.as_deref(), bucket_key), (Some("alias/a"), Some(true)));
        assert_eq!(context.get("app").map(String::as_str), Some("x"));
        let own = BASE64.encode(r#"{"aws:s3:arn":"x"}"#);
        for bad in [
            &[(METHOD, "ROT13")][..],
            &[(KMS_KEY, "alias/a")],
            &[(METHOD, "AES256"), (KMS_KEY, "alias/a")],
            &[(METHOD, "aws:kms"), (CONTEXT, "{}")],
            &[(METHOD, "aws:kms"), (CONTEXT, &own)],
            &[(METHOD, "aws:kms"), (BUCKET_KEY, "yes")],
        ] {
            assert_eq!(code(bad).err(), Some(Code::InvalidArgument), "{bad:?}");
        }
        assert_eq!(code(&[(METHOD, "aws:kms:dsse")]).err(), Some(Code::NotImplemented));
        assert!(refuse_method(&headers(&[(METHOD, "AES256")])).is_err());
        assert!(refuse_method(&headers(&[])).is_ok());
    }

    #[test]
    fn keys_of_clients() {
        let (algorithm, key, md5) = (Side::Own.algorithm(), Side::Own.key(), Side::Own.md5());
        let good = BASE64.encode([7; 32]);
        let hash = BASE64.encode(Md5::digest([7; 32]));
        let all = [(algorithm, "AES256"), (key, good.as_str()), (md5, hash.as_str())];
        assert!(matches!(code(&all), Ok(Asked::Customer(_))));
        assert_eq!(Asked::read(&headers(&all), false).map_err(|e| e.code()).err(), Some(Code::InvalidRequest));
        for (bad, wanted) in [
            (vec![all[1], all[2]], Code::InvalidArgument),
            (vec![all[0], all[2]], Code::InvalidArgument),
            (vec![all[0], all[1]], Code::InvalidArgument),
            (vec![(algorithm, "AES128"), all[1], all[2]], Code::InvalidEncryptionAlgorithmError),
            (vec![all[0], (key, "c2hvcnQ="), all[2]], Code::InvalidArgument),
            (vec![all[0], all[1], (md5, "AAAA")], Code::InvalidArgument),
            (vec![all[0], all[1], all[2], (METHOD, "AES256")], Code::InvalidArgument),
        ] {
            assert_eq!(code(&bad).err(), Some(wanted), "{bad:?}");
            let error = Asked::read(&headers(&bad), true).expect_err("bad");
            assert!(!format!("{error:?}").contains(&good), "a key in an error");
        }
    }
}
