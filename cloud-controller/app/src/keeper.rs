//! What keepers (tasks over rows, in the background) that act as callers do have in common.

use mallee_awswire::ApiError;

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeeperError(String);

impl From<ApiError> for KeeperError {
    fn from(error: ApiError) -> Self {
        let cause = error.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
        Self(format!("{}{cause}", error.message()))
    }
}
