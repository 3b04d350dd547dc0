//! From the engine's errors to S3's.

use mallee_awswire::{ApiError, Code};
use mallee_objects::{Error, Limited};

/// The answer to an engine error. What is the operator's business goes to the log.
pub(crate) fn engine(error: Error) -> ApiError {
    match error {
        Error::NoBucket => Code::NoSuchBucket.error(),
        Error::Quota { what, origin } => quota(what, &origin),
        Error::BucketExists(_) => Code::BucketAlreadyExists.error(),
        Error::BucketNotEmpty => Code::BucketNotEmpty.error(),
        Error::NoObject => Code::NoSuchKey.error(),
        Error::NoUpload => Code::NoSuchUpload.error(),
        Error::PartChanged => Code::InvalidPart.error(),
        Error::Precondition => Code::PreconditionFailed.error(),
        Error::Locked => Code::AccessDenied.message("Access Denied because object protected by object lock."),
        Error::State(why) => Code::InvalidBucketState.message(why),
        Error::TooMany(what) => Code::InvalidRequest.message(format!("There are too many {what}.")),
        // Every caller looks up again first; who still meets this races with a stream of overwrites.
        Error::Gone => Code::OperationAborted.error(),
        Error::Full(_) => {
            tracing::warn!(%error, "an upload was refused");
            Code::ServiceUnavailable.message("There is not enough storage left to store the data.").because(error)
        }
        Error::Corrupt(_) => {
            tracing::error!(%error, "stored data is damaged and was not given out");
            ApiError::internal(error)
        }
        Error::Io { .. } | Error::Metadata(_) => {
            tracing::error!(%error, "the object store failed");
            ApiError::internal(error)
        }
        Error::Undone(_) | Error::Uncertain(_) => Code::ServiceUnavailable.error().because(error),
        Error::Fault(_) => ApiError::internal(error),
    }
}

/// `NotImplemented`, naming what it is.
pub(crate) fn not_implemented(feature: &str) -> ApiError {
    Code::NotImplemented
        .message(format!("{feature} is not implemented by this object store."))
        .field("Feature", feature)
}

/// `InvalidArgument` with the argument's name and value, as S3 gives them.
pub(crate) fn invalid_argument(text: impl Into<String>, name: &str, value: &str) -> ApiError {
    Code::InvalidArgument
        .message(text.into())
        .field("ArgumentName", name)
        .field("ArgumentValue", mallee_awswire::texts::clip(value).into_owned())
}

/// AWS's words for too many buckets; for sizes it has none.
fn quota(what: Limited, origin: &str) -> ApiError {
    match what {
        Limited::Buckets => Code::TooManyBuckets.message(format!("{} ({origin})", Code::TooManyBuckets.text(&[]))),
        Limited::BucketObjects | Limited::BucketBytes | Limited::TotalBytes => {
            Code::QuotaExceeded.message(format!("The object would exceed a quota. ({origin})"))
        }
    }
}
