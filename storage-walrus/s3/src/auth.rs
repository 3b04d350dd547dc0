//! Who calls.

use crate::authz::{Case, Judgement};
use crate::trail::Event;
use mallee_awswire::ApiError;
use mallee_awswire::sigv4::{Claim, Fault, Payload, SignedRequest};
use std::sync::Arc;
use time::OffsetDateTime;

/// The account that stands for those who have none: objects that anybody may write are its.
pub const ANONYMOUS_ACCOUNT: &str = "000000000000";

/// The principal of S3 itself, which roles trust that it works with.
pub const S3_SERVICE: &str = "s3.amazonaws.com";

/// The caller of a request, as far as S3 needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account: it owns the buckets it makes.
    pub account: String,
    /// The ARN of the user or session, for logs and errors.
    pub arn: String,
    /// With a key of its own (no session) the root of the account, or the administrator whom an account has in its place.
    pub root: bool,
}

impl Caller {
    /// Whoever did not sign.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { account: ANONYMOUS_ACCOUNT.to_owned(), arn: "anonymous".to_owned(), root: false }
    }

    /// Whether nobody signed.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.account == ANONYMOUS_ACCOUNT
    }

    /// Whether it is the root of this account: what no policy keeps from it, and what nobody else may.
    #[must_use]
    pub fn is_root_of(&self, account: &str) -> bool {
        self.root && self.account == account
    }
}

/// Knows users and policies: the cloud's IAM, in this process or another one.
#[async_trait::async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Who signed a request, as [`mallee_awswire::sigv4::Verifier::verify`] says; `None` is a request without a signature.
    ///
    /// # Errors
    /// [`Fault`].
    async fn identify(&self, request: &SignedRequest<'_>, now: OffsetDateTime) -> Result<Option<Identified>, Fault>;

    /// Who did not sign.
    fn nobody(&self) -> Arc<dyn Identity>;

    /// Of each of these names (accounts' numbers, ARNs and unique ids, as bucket policies have them), whether there is such
    /// a principal.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be told now.
    async fn principals(&self, names: &[String]) -> Result<Vec<bool>, ApiError>;

    /// A session of the role of this ARN, as a service takes it on for work of its own; `None`: there is no such role, or it
    /// does not trust the service.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be told now.
    async fn role(&self, arn: &str, service: &str, session: &str) -> Result<Option<Arc<dyn Identity>>, ApiError>;
}

/// A request whose signature is right.
pub struct Identified {
    /// Who signed it.
    pub identity: Arc<dyn Identity>,
    /// What it says of its signature.
    pub claim: Claim,
    /// What is still to be verified of its body.
    pub payload: Payload,
}

impl std::fmt::Debug for Identified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identified").field("caller", &self.identity.caller()).finish_non_exhaustive()
    }
}

/// A second factor, as a request gives it (`x-amz-mfa: SERIAL CODE`).
#[derive(Clone, Copy)]
pub struct SecondFactor<'r> {
    /// The access key that the request is signed with.
    pub claim: Option<&'r Claim>,
    /// The device: its ARN.
    pub serial: &'r str,
    /// Six digits, good once.
    pub code: &'r str,
}

impl std::fmt::Debug for SecondFactor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondFactor").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// Somebody who asks for something, or nobody in particular.
#[async_trait::async_trait]
pub trait Identity: Send + Sync {
    /// Who; `None`: nobody signed.
    fn caller(&self) -> Option<&Caller>;

    /// What policies say: those of the caller (identity, boundary, session, account) and those of the resources.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be told now. A refusal is no error: see [`Judgement`].
    async fn judge(&self, case: &Case<'_>) -> Result<Judgement, ApiError>;

    /// Proves a second factor: a device of the caller's, and the code that it shows now, which is spent. Devices have the
    /// root of an account and users with keys of their own; sessions have none.
    ///
    /// # Errors
    /// `AccessDenied` for a wrong code or another's device, `NotImplemented` where nobody knows of devices,
    /// `ServiceUnavailable` when it cannot be told now.
    async fn prove(&self, factor: &SecondFactor<'_>) -> Result<(), ApiError>;

    /// Writes down a call that manages buckets and is about to be done. Without an audit trail there is nothing to write.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be written.
    async fn begin(&self, _: &Event<'_>) -> Result<(), ApiError> {
        Ok(())
    }

    /// Records such a call, which was begun or has changed nothing, with the error that is answered. What cannot be
    /// recorded is logged: it has been done.
    async fn record(&self, _: &Event<'_>, _begun: bool, _error: Option<&ApiError>) {}
}
