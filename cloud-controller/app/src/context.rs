//! Who does what, and on whose behalf: the first argument of every use case.

use mallee_types::AccountId;
use std::sync::Arc;

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The account whose resources the call sees.
    pub account: AccountId,
    /// IAM's unique id of the user (`AIDA…`).
    pub user_id: Arc<str>,
    /// Full ARN of the user.
    pub arn: Arc<str>,
    /// May administer the cloud itself.
    pub is_admin: bool,
}

/// One operation in progress.
#[derive(Debug, Clone)]
pub struct OpContext {
    /// Who.
    pub actor: Actor,
    /// The id that the reply, the log and the audit trail carry.
    pub request_id: Arc<str>,
}

impl OpContext {
    /// A context for this actor.
    #[must_use]
    pub fn new(actor: Actor, request_id: impl Into<Arc<str>>) -> Self {
        Self { actor, request_id: request_id.into() }
    }

    /// The account whose resources the operation sees.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.actor.account
    }
}
