//! Versions that another bucket has, here under the ids that they have there.

use crate::model::{Marker, PutObject};

/// A version to be had here, too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and nearly always the large one")]
pub enum Replica {
    /// An object, with the version id that it has.
    Object(PutObject),
    /// A delete marker.
    Marker {
        /// Into which bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// The marker.
        marker: Marker,
        /// Names the writing of the marker.
        write_id: String,
    },
}

impl Replica {
    /// The bucket and key that it is written under.
    #[must_use]
    pub fn place(&self) -> (&str, &str) {
        match self {
            Self::Object(put) => (&put.bucket, &put.object.info.key),
            Self::Marker { bucket, key, .. } => (bucket, key),
        }
    }
}

/// What became of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It was written.
    Written,
    /// The version was there.
    There,
}

/// The state of a version that is to be brought elsewhere.
pub const PENDING: &str = "PENDING";
/// The state of a version that was brought wherever it was to be.
pub const COMPLETED: &str = "COMPLETED";
/// The state of a version that could not be brought somewhere.
pub const FAILED: &str = "FAILED";
/// The state of a version that comes from elsewhere.
pub const REPLICA: &str = "REPLICA";
