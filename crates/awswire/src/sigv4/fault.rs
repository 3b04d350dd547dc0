//! What can be wrong with a signature, and how each service says it.

use time::OffsetDateTime;

use super::CLOCK_WINDOW_SECONDS;
use super::parse::compact;
use crate::codes::Code;
use crate::error::{ApiError, Flavour};

const USE_V4: &str =
    "Please use AWS4-HMAC-SHA256. (The operator of this cloud can allow signature version 2 with --allow-sigv2.)";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No signature at all.
    #[error("the request is not signed")]
    Missing,
    /// The signature's syntax is wrong or a part is missing; AWS's words.
    #[error("{0}")]
    Incomplete(String),
    /// A signature of version 2 is not well-formed or covers too little; AWS's words.
    #[error("{0}")]
    Old(String),
    /// Signature version 2 is off.
    #[error("signature version 2 is off")]
    Sigv2Off,
    /// The credential scope is wrong; AWS's words.
    #[error("{0}")]
    Scope(String),
    /// The presigned URL's parameters are wrong; AWS's words.
    #[error("{0}")]
    Query(String),
    /// A header or parameter of the signature is given twice.
    #[error("{0} is given twice")]
    Duplicate(&'static str),
    /// A header that must be signed is not.
    #[error("the header {0} is not signed")]
    Unsigned(String),
    /// The access key is unknown or inactive.
    #[error("the access key is unknown or inactive")]
    UnknownKey(String),
    /// The signature is wrong. Carries what we signed, which S3 tells the caller.
    #[error("the signature is wrong")]
    Mismatch {
        /// The caller's access key id.
        access_key_id: String,
        /// Our string to sign.
        string_to_sign: String,
        /// Our canonical request.
        canonical: String,
    },
    /// The request's time is too far from ours.
    #[error("the request's time is more than 15 minutes from ours")]
    Skewed {
        /// The request's time.
        at: OffsetDateTime,
        /// Ours.
        now: OffsetDateTime,
    },
    /// A presigned URL whose time is over.
    #[error("the presigned URL has expired")]
    Expired {
        /// When it ended.
        at: OffsetDateTime,
        /// Our time.
        now: OffsetDateTime,
    },
    /// The body is not the one that was signed.
    #[error("the body does not match its signed hash")]
    BodyHash {
        /// The hash that the request gives.
        claimed: String,
        /// The hash of what arrived.
        computed: String,
    },
    /// `x-amz-content-sha256` is no hash and none of the words that stand for one.
    #[error("x-amz-content-sha256 is invalid")]
    BadBodyHash,
    /// `x-amz-content-sha256` is absent where it must be there.
    #[error("x-amz-content-sha256 is absent")]
    NoBodyHash,
    /// The session has ended.
    #[error("the session token has expired")]
    TokenExpired,
    /// The session token is invalid.
    #[error("the session token is invalid")]
    TokenInvalid,
    /// The identity service cannot answer.
    #[error("{0}")]
    Unavailable(String),
}

impl Fault {
    /// The answer in the codes and words of a service. EC2 says `AuthFailure` for unknown keys and wrong signatures alike.
    #[must_use]
    pub fn to_api(&self, flavour: Flavour) -> ApiError {
        let error = match flavour {
            Flavour::Ec2 => self.ec2(),
            Flavour::Query => self.query(),
            Flavour::S3 => self.s3(),
        };
        error.because(self)
    }

    fn ec2(&self) -> ApiError {
        match self {
            Self::Skewed { .. } | Self::Expired { .. } | Self::TokenExpired => Code::RequestExpired.error(),
            Self::UnknownKey(_) | Self::Mismatch { .. } | Self::TokenInvalid => Code::AuthFailure.error(),
            Self::BodyHash { .. } => Code::SignatureDoesNotMatch.error(),
            other => other.query(),
        }
    }

    fn query(&self) -> ApiError {
        match self {
            Self::Missing => Code::MissingAuthenticationToken.error(),
            Self::Incomplete(text) | Self::Query(text) | Self::Old(text) => {
                Code::IncompleteSignature.message(text.clone())
            }
            Self::Sigv2Off => {
                Code::IncompleteSignature.message(format!("Signature version 2 is not supported. {USE_V4}"))
            }
            Self::Scope(text) => Code::SignatureDoesNotMatch.message(text.clone()),
            Self::Duplicate(name) => Code::IncompleteSignature.message(format!("{name} must be given exactly once.")),
            Self::Unsigned(name) => Code::SignatureDoesNotMatch
                .message(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")),
            Self::UnknownKey(_) | Self::TokenInvalid => Code::InvalidClientTokenId.error(),
            Self::Mismatch { .. } | Self::BodyHash { .. } => Code::SignatureDoesNotMatch.error(),
            Self::Skewed { at, now } => Code::SignatureDoesNotMatch.message(skew_text(*at, *now)),
            Self::Expired { at, now } => Code::SignatureDoesNotMatch.message(format!(
                "Signature expired: {} is now earlier than {}",
                compact(*at),
                compact(*now)
            )),
            Self::BadBodyHash | Self::NoBodyHash => {
                Code::IncompleteSignature.message("The value of x-amz-content-sha256 is invalid.")
            }
            Self::TokenExpired => Code::ExpiredToken.error(),
            Self::Unavailable(_) => Code::ServiceUnavailable.error(),
        }
    }

    fn s3(&self) -> ApiError {
        match self {
            Self::Missing => Code::AccessDenied.error(),
            Self::Old(text) => Code::AccessDenied.message(text.clone()),
            Self::Sigv2Off => Code::InvalidRequest
                .message(format!("The authorization mechanism you have provided is not supported. {USE_V4}")),
            Self::Incomplete(text) | Self::Scope(text) => {
                Code::AuthorizationHeaderMalformed.message(format!("The authorization header is malformed; {text}"))
            }
            Self::Query(text) => Code::AuthorizationQueryParametersError.message(text.clone()),
            Self::Duplicate(name) => Code::InvalidArgument.message(format!("{name} must be given exactly once.")),
            Self::Unsigned(name) => Code::AccessDenied
                .message("There were headers present in the request which were not signed")
                .field("HeadersNotSigned", name.clone()),
            Self::UnknownKey(id) => Code::InvalidAccessKeyId.error().field("AWSAccessKeyId", id.clone()),
            Self::Mismatch { access_key_id, string_to_sign, canonical } => {
                let error = Code::SignatureDoesNotMatch
                    .message(
                        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
                    )
                    .field("AWSAccessKeyId", access_key_id.clone())
                    .field("StringToSign", string_to_sign.clone());
                // A policy and a request of version 2 have none.
                if canonical.is_empty() { error } else { error.field("CanonicalRequest", canonical.clone()) }
            }
            Self::Skewed { at, now } => Code::RequestTimeTooSkewed
                .error()
                .field("RequestTime", compact(*at))
                .field("ServerTime", crate::xml::timestamp(*now))
                .field("MaxAllowedSkewMilliseconds", (CLOCK_WINDOW_SECONDS * 1000).to_string()),
            Self::Expired { at, now } => Code::AccessDenied
                .message("Request has expired")
                .field("Expires", crate::xml::timestamp(*at))
                .field("ServerTime", crate::xml::timestamp(*now)),
            Self::BodyHash { claimed, computed } => Code::XAmzContentSha256Mismatch
                .error()
                .field("ClientComputedContentSHA256", claimed.clone())
                .field("S3ComputedContentSHA256", computed.clone()),
            Self::BadBodyHash => Code::InvalidArgument
                .message(
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                     STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, or a valid sha256 \
                     value.",
                )
                .field("ArgumentName", "x-amz-content-sha256"),
            Self::NoBodyHash => {
                Code::InvalidRequest.message("Missing required header for this request: x-amz-content-sha256")
            }
            Self::TokenExpired => Code::ExpiredToken.message("The provided token has expired."),
            Self::TokenInvalid => Code::InvalidToken.error(),
            Self::Unavailable(_) => Code::ServiceUnavailable.message("Please reduce your request rate."),
        }
    }
}

fn skew_text(at: OffsetDateTime, now: OffsetDateTime) -> String {
    let window = time::Duration::seconds(CLOCK_WINDOW_SECONDS);
    let minutes = CLOCK_WINDOW_SECONDS / 60;
    if at < now {
        format!(
            "Signature expired: {} is now earlier than {} ({} - {minutes} min.)",
            compact(at),
            compact(now - window),
            compact(now)
        )
    } else {
        format!(
            "Signature not yet current: {} is still later than {} ({} + {minutes} min.)",
            compact(at),
            compact(now + window),
            compact(now)
        )
    }
}
