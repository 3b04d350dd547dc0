//! IAM policies: reading them as AWS reads them, and deciding requests by them.
//!
//! A pure crate: no I/O, no clock. What a policy says is [`Policy`]; who asks is [`Principal`]; what is asked is
//! [`Request`]; [`evaluate`] decides over [`Inputs`].
//!
//! Sources: AWS IAM User Guide, "Policy evaluation logic", "IAM JSON policy element reference", "Policy grammar";
//! error texts as moto and LocalStack recorded them from AWS.

mod condition;
mod context;
mod error;
mod evaluate;
mod explain;
mod json;
mod matching;
mod parse;
mod pattern;
mod policy;
mod principal;
mod principal_pattern;
mod public;
mod quota;
mod variable;

pub use context::{Context, Request};
pub use error::{JsonError, JsonErrorKind, PolicyError};
pub use evaluate::{Decision, Inputs, Layer, StatementRef, evaluate};
pub use explain::{Explanation, explain};
pub use json::{Position, Span};
pub use policy::{Effect, MAX_DOCUMENT_BYTES, MAX_LIST, Policy, PolicyKind, Statement, Version, policy_size};
pub use principal::{Principal, RoleSession};
pub use quota::{QUOTA_KEYS, QuotaKey, QuotaLimit, is_quota_key, quota_limits};
