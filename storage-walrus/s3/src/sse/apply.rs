//! From what is asked to data keys, and from what is kept to replies.

use super::asked::{ARN, Asked, BUCKET_KEY, CONTEXT, Customer, KMS_KEY, METHOD, Side};
use crate::call::Call;
use crate::error::{engine, not_implemented};
use crate::ops::config;
use crate::reply::{self, Reply};
use crate::service::S3;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::HeaderName;
use mallee_awswire::{ApiError, Code};
use mallee_objects::Bucket;
use mallee_objects::crypt::{DataKey, Encryption, KmsSealed};
use mallee_runtime::Rng;
use mallee_s3_config::{BucketEncryption, DefaultEncryption};
use std::collections::BTreeMap;

/// How a new object is encrypted.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) key: DataKey,
    pub(crate) encryption: Encryption,
}

impl Sealing {
    /// What is kept with the object.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn text(&self) -> Result<String, ApiError> {
        self.encryption.to_text().map_err(engine)
    }
}

/// KMS's errors in S3's words.
fn kms_error(error: ApiError) -> ApiError {
    let text = error.message().to_owned();
    match error.code() {
        Code::NotFoundException | Code::InvalidArnException => Code::KmsNotFound.message(text),
        Code::DisabledException => Code::KmsDisabled.message(text),
        Code::KMSInvalidStateException => Code::KmsInvalidState.message(text),
        Code::ValidationException => Code::InvalidArgument.message(text),
        Code::AccessDenied | Code::ServiceUnavailable | Code::InternalError => error,
        Code::Unavailable => Code::ServiceUnavailable.message(text),
        _ => ApiError::internal(text),
    }
}

/// What a bucket does where a request asks for nothing. `None`: nothing is encrypted.
pub(crate) fn default_document(call: &Call, bucket: &Bucket) -> Result<Option<BucketEncryption>, ApiError> {
    default_of(&call.s3, bucket)
}

/// As [`default_document`], where no request is there.
pub(crate) fn default_of(s3: &S3, bucket: &Bucket) -> Result<Option<BucketEncryption>, ApiError> {
    let everything = s3.config().encrypt_all.then_some(BucketEncryption {
        default: DefaultEncryption::Store,
        bucket_key: false,
        blocks_customer_keys: false,
    });
    Ok(config::of(bucket)?.or(everything))
}

/// The data key for a new object, and how it is kept; `None` where nothing is encrypted.
///
/// # Errors
/// `NotImplemented` without a store's key or KMS; what KMS says.
pub(crate) async fn plan(call: &Call, bucket: &Bucket, key: &str, asked: &Asked) -> Result<Option<Sealing>, ApiError> {
    let document = default_document(call, bucket)?;
    let usual = document.as_ref().is_some_and(|document| document.bucket_key);
    let asked = match (asked, &document) {
        (Asked::Default, None) => return Ok(None),
        (Asked::Default, Some(document)) => match &document.default {
            DefaultEncryption::Store => Asked::Store,
            DefaultEncryption::Kms(key) => {
                Asked::Kms { key: key.clone(), context: BTreeMap::new(), bucket_key: Some(usual) }
            }
        },
        (asked, _) => asked.clone(),
    };
    let (store, rng) = (call.s3.engine(), call.s3.engine().rng());
    let sealing = match asked {
        Asked::Default => return Ok(None),
        Asked::Store => {
            let vault = store.vault().ok_or_else(|| not_implemented("Server-side encryption"))?;
            let key = DataKey::random(rng);
            Sealing { encryption: vault.seal(rng, &key).map_err(engine)?, key }
        }
        Asked::Customer(customer) => {
            if document.is_some_and(|document| document.blocks_customer_keys) {
                return Err(Code::AccessDenied
                    .message("The bucket does not allow server-side encryption with customer-provided keys (SSE-C)."));
            }
            let key = DataKey::random(rng);
            Sealing { encryption: customer.key.seal(rng, &key).map_err(engine)?, key }
        }
        Asked::Kms { key: named, context: given, bucket_key } => {
            let bucket_key = bucket_key.unwrap_or(usual);
            let arn = format!("arn:aws:s3:::{}", bucket.name);
            let arn = if bucket_key { arn } else { format!("{arn}/{key}") };
            let mut context = given.clone();
            context.insert(ARN.to_owned(), arn);
            let made = call.keys()?.generate(&call.signer, named.as_deref(), &context).await.map_err(kms_error)?;
            let (key, dek) = (made.key_arn, hex::encode(made.sealed));
            let encryption = Encryption::Kms(KmsSealed { key, dek, context, given, bucket_key });
            Sealing { key: made.plain, encryption }
        }
    };
    Ok(Some(sealing))
}

fn incorrect() -> ApiError {
    Code::InvalidRequest.message(
        "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to \
         retrieve the object.",
    )
}

/// Whether a request brings the key that an object needs, and none that it does not need.
///
/// # Errors
/// `InvalidRequest`, `AccessDenied` for another key.
pub(crate) fn check_customer(
    encryption: Option<&Encryption>,
    customer: Option<&Customer>,
) -> Result<Option<DataKey>, ApiError> {
    match (encryption, customer) {
        (Some(Encryption::Customer { salt, digest, dek }), Some(customer)) => {
            customer.key.open(salt, digest, dek).map_err(engine)?.map(Some).ok_or_else(|| Code::AccessDenied.error())
        }
        (Some(Encryption::Customer { .. }), None) => Err(incorrect()),
        (_, Some(_)) => {
            Err(Code::InvalidRequest.message("The encryption parameters are not applicable to this object."))
        }
        (_, None) => Ok(None),
    }
}

/// The data key of what is stored so; `None` where nothing is encrypted.
///
/// # Errors
/// As [`check_customer`]; what KMS says.
pub(crate) async fn key_of(
    call: &Call,
    encryption: Option<&Encryption>,
    customer: Option<&Customer>,
) -> Result<Option<DataKey>, ApiError> {
    if let Some(key) = check_customer(encryption, customer)? {
        return Ok(Some(key));
    }
    match encryption {
        Some(Encryption::Store { id, dek }) => {
            let vault = call.s3.engine().vault().ok_or_else(|| not_implemented("Server-side encryption"))?;
            vault.open(id, dek).map(Some).map_err(engine)
        }
        Some(Encryption::Kms(KmsSealed { dek, context, .. })) => {
            let sealed = hex::decode(dek).map_err(ApiError::internal)?;
            call.keys()?.open(&call.signer, &sealed, context).await.map(Some).map_err(kms_error)
        }
        Some(Encryption::Customer { .. }) | None => Ok(None),
    }
}

/// Whether a request about an upload brings the key that the upload was begun with.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn same_customer(encryption: Option<&Encryption>, customer: Option<&Customer>) -> Result<(), ApiError> {
    let refused = |text: &'static str| Err(Code::InvalidRequest.message(text));
    match (encryption, customer) {
        (Some(Encryption::Customer { .. }), None) => refused(
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate \
             encryption parameters.",
        ),
        (Some(Encryption::Customer { .. }), Some(_)) => match check_customer(encryption, customer) {
            Err(error) if error.code() == Code::AccessDenied => {
                refused("The provided encryption parameters did not match the ones used originally.")
            }
            other => other.map(drop),
        },
        (_, Some(_)) => refused(
            "The multipart upload initiate did not request encryption. Please resend the request without sending \
             encryption parameters.",
        ),
        (_, None) => Ok(()),
    }
}

/// The data key of an upload, for a part of it.
///
/// # Errors
/// As [`same_customer`] and [`key_of`].
pub(crate) async fn part_key(
    call: &Call,
    encryption: Option<&Encryption>,
    customer: Option<&Customer>,
) -> Result<Option<DataKey>, ApiError> {
    same_customer(encryption, customer)?;
    key_of(call, encryption, customer).await
}

/// The entity tag of bytes with this MD5: of what KMS or a client's key protects it tells nothing of them.
pub(crate) fn etag(encryption: Option<&Encryption>, md5: &[u8], rng: &Rng) -> String {
    match encryption {
        None | Some(Encryption::Store { .. }) => hex::encode(md5),
        Some(Encryption::Kms(_) | Encryption::Customer { .. }) => format!("{:032x}", rng.u128()),
    }
}

/// Tells how an object is encrypted.
pub(crate) fn describe(response: &mut Reply, encryption: Option<&Encryption>) {
    let mut set = |name, value: &str| reply::set(response, HeaderName::from_static(name), value);
    match encryption {
        None | Some(Encryption::Customer { .. }) => {}
        Some(Encryption::Store { .. }) => set(METHOD, "AES256"),
        Some(Encryption::Kms(KmsSealed { key, bucket_key, given, .. })) => {
            set(METHOD, "aws:kms");
            set(KMS_KEY, key);
            if *bucket_key {
                set(BUCKET_KEY, "true");
            }
            if let (false, Ok(given)) = (given.is_empty(), serde_json::to_vec(given)) {
                set(CONTEXT, &BASE64.encode(given));
            }
        }
    }
}

/// Tells that the client's key was used.
pub(crate) fn describe_customer(response: &mut Reply, customer: Option<&Customer>) {
    if let Some(customer) = customer {
        reply::set(response, HeaderName::from_static(Side::Own.algorithm()), "AES256");
        reply::set(response, HeaderName::from_static(Side::Own.md5()), &customer.md5);
    }
}
