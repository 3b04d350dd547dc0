//! Access logs: of each request to a bucket that asks for it a record, collected here and delivered from time to time as
//! objects of another bucket (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html>).
//!
//! As at AWS it is best effort: a request never waits for its record. Records are kept in memory, within a limit, until
//! they are delivered; beyond it new ones are dropped, counted and told of. What a process holds when it is killed is lost.

mod collect;
mod line;
mod names;
mod send;
mod trace;

pub use collect::AccessLog;
pub use names::transition;
pub(crate) use send::named;
pub use send::spawn_log_delivery;
pub(crate) use trace::{Begun, ErrorCode, Trace};

use mallee_objects::Bucket;
use mallee_s3_config::{Document as _, Logging};

/// The service that delivers logs, as policies name it.
pub(crate) const SERVICE: &str = "logging.s3.amazonaws.com";

/// Whether requests to a bucket are recorded: the document that says so.
pub(crate) fn of(bucket: &Bucket) -> Option<&str> {
    bucket.docs.get(Logging::KIND)
}
