//! What the engine can answer besides success.

use crate::model::Bucket;
use mallee_runtime::FaultError;

/// An error of the engine. The protocol crates map it to their codes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket does not exist.
    #[error("no such bucket")]
    NoBucket,
    /// The bucket name is taken; by whom stands inside.
    #[error("bucket {} exists", .0.name)]
    BucketExists(Box<Bucket>),
    /// The bucket still holds objects.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// The object does not exist.
    #[error("no such object")]
    NoObject,
    /// The upload does not exist, was completed or aborted.
    #[error("no such upload")]
    NoUpload,
    /// A part that was to be composed is no longer the one that was checked.
    #[error("a part of the upload was replaced or removed meanwhile")]
    PartChanged,
    /// The condition of a conditional write does not hold.
    #[error("a precondition does not hold")]
    Precondition,
    /// The bytes referred to went away between look-up and use; looking up again tells what is there now.
    #[error("the stored bytes were removed meanwhile")]
    Gone,
    /// A retention or a legal hold keeps the version as it is.
    #[error("the object is locked")]
    Locked,
    /// The bucket or object is in no state for this; why.
    #[error("{0}")]
    State(String),
    /// There are as many of these as there may be.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A quota of the caller would be exceeded.
    #[error("a quota is exceeded: {origin}")]
    Quota {
        /// Of what.
        what: crate::limits::Limited,
        /// Which quota, and where it comes from.
        origin: String,
    },
    /// No room for the bytes.
    #[error("the disk that holds {0} is full; free some space or move the data directory")]
    Full(String),
    /// Stored bytes do not match their checksum: they are not given out.
    #[error("stored bytes are damaged: {0}")]
    Corrupt(String),
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The metadata store refused, and nothing was written.
    #[error("metadata store: {0}")]
    Metadata(String),
    /// There was no room for it among the others (the metadata store gave its transaction up, say): nothing was written,
    /// and it may be tried again.
    #[error("not done: {0}")]
    Undone(String),
    /// The metadata store did not answer: what was asked may have happened or not.
    #[error("metadata store did not answer: {0}")]
    Uncertain(String),
    /// A test made the step fail.
    #[error(transparent)]
    Fault(#[from] FaultError),
}

impl Error {
    /// Wraps an I/O error; a full disk and an exceeded quota become [`Error::Full`].
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let what = what.into();
        match source.kind() {
            StorageFull | QuotaExceeded => Self::Full(what),
            _ => Self::Io { what, source },
        }
    }
}
