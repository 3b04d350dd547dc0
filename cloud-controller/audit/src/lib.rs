//! The audit trail: one record of every API call, allowed or denied, in the shape of AWS CloudTrail's, in files whose
//! lines are chained by hashes so that a change, a gap or a cut shows ([`chain`]).
//!
//! The files are the truth and need no database; what is asked often (`LookupEvents`) is answered from an index that is
//! made from them ([`read`]).

pub mod chain;
mod files;
pub mod journal;
mod open_calls;
pub mod parameters;
pub mod read;
mod record;
mod recover;
pub mod resources;

pub use files::Position;
pub use journal::{Journal, JournalError};
pub use record::{
    Addendum, EVENT_VERSION, Record, Resource, SessionContext, SessionIssuer, UNKNOWN_CODE, UserIdentity,
};
