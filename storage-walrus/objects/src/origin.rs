//! By whom and by what an object is changed: for those who are told of it.

/// Where a change comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// AWS's name of the operation (`PutObject`), or one of [`LIFECYCLE`] and [`REPLICATION`].
    pub operation: &'static str,
    /// Who asked for it, as events name them.
    pub principal: String,
    /// The address it was asked from, if it is known; of the store itself its name.
    pub address: Option<String>,
    /// The id of the request.
    pub request_id: String,
}

/// A rule of the bucket's lifecycle.
pub const LIFECYCLE: &str = "lifecycle";
/// A rule of another bucket's replication.
pub const REPLICATION: &str = "replication";

impl Origin {
    /// Work of the store itself.
    #[must_use]
    pub fn internal(operation: &'static str, request_id: String) -> Self {
        let itself = || "s3.amazonaws.com".to_owned();
        Self { operation, principal: itself(), address: Some(itself()), request_id }
    }
}
