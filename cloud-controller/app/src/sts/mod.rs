//! STS: temporary credentials, who may have them, and what they may.

pub mod assume;
mod issue;
pub mod message;
mod policies;
mod rights;
mod tags;
pub mod tokens;

pub use issue::{Issued, SESSION_KEY_PREFIX, purge_sessions, token_hash};
pub use policies::SessionPolicies;
pub use tags::SessionTags;
