//! From failures of the tiers below to what the caller is told.

use mallee_awswire::{ApiError, Code};
use mallee_proto::{Kind, WireError};
use mallee_store::StoreError;

/// Turns a failure that the caller can do nothing about into `Unavailable` (worth a retry) or `InternalError`; the
/// cause goes to the log only.
pub trait OrFail<T> {
    /// The value, or the error to answer.
    ///
    /// # Errors
    /// As described at the trait.
    fn or_fail(self) -> Result<T, ApiError>;
}

impl<T> OrFail<T> for Result<T, StoreError> {
    fn or_fail(self) -> Result<T, ApiError> {
        self.map_err(store_failure)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A store's failure as the caller sees it.
#[must_use]
pub fn store_failure(error: StoreError) -> ApiError {
    let cause = chain(&error);
    match error {
        StoreError::Unavailable(_) | StoreError::Undone(_) => {
            Code::Unavailable.message("The service is temporarily unavailable. Please try again.").because(cause)
        }
        StoreError::Stale { .. } => {
            Code::Unavailable.message("The resource was changed by another request. Please try again.").because(cause)
        }
        _ => ApiError::internal(cause),
    }
}

impl<T> OrFail<T> for Result<T, WireError> {
    fn or_fail(self) -> Result<T, ApiError> {
        self.map_err(wire_failure)
    }
}

/// Another tier's failure as the caller sees it: its words for the tenant if it has any.
#[must_use]
pub fn wire_failure(error: WireError) -> ApiError {
    if let Some(code) = Code::parse(&error.aws_code) {
        return code.message(error.tenant_message).because(error.message);
    }
    match error.kind {
        Kind::Unavailable | Kind::StaleEpoch => Code::Unavailable
            .message("The service is temporarily unavailable. Please try again.")
            .because(error.message),
        _ => ApiError::internal(error.message),
    }
}

impl<T> OrFail<T> for Result<T, mallee_runtime::FaultError> {
    fn or_fail(self) -> Result<T, ApiError> {
        self.map_err(ApiError::internal)
    }
}
