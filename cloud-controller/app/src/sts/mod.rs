//! STS: temporary credentials, who may have them, and what they may.

pub mod assume;
mod guesses;
mod issue;
pub mod message;
mod mfa;
mod policies;
mod rights;
mod service_role;
mod tags;
pub mod tokens;
pub mod web_identity;

pub(crate) use guesses::Guesses;
pub(crate) use issue::NewSession;
pub use issue::{Issued, SESSION_KEY_PREFIX, purge_sessions, token_hash};
pub use mfa::SecondFactor;
pub use policies::SessionPolicies;
pub(crate) use rights::trusts;
pub use tags::SessionTags;
