//! Who calls.

use mallee_awswire::sigv4::{Authenticated, Claim, CredentialSource, Fault, Payload, SignedRequest, Verifier};
use std::sync::Arc;
use time::OffsetDateTime;

/// The caller of a request, as far as S3 needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account: it owns the buckets it makes.
    pub account: String,
    /// The ARN of the user or session, for logs and errors.
    pub arn: String,
}

/// Tells who signed a request.
#[async_trait::async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// As [`Verifier::verify`]; `None` is a request without a signature.
    ///
    /// # Errors
    /// [`Fault`].
    async fn authenticate(
        &self,
        request: &SignedRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<(Caller, Claim, Payload)>, Fault>;
}

/// A [`Verifier`] whose principals are read as callers by a function.
pub struct VerifierAuth<S: CredentialSource> {
    verifier: Arc<Verifier<S>>,
    caller: fn(&S::Principal) -> Caller,
}

impl<S: CredentialSource> VerifierAuth<S> {
    /// From a verifier, which other services may share.
    #[must_use]
    pub const fn new(verifier: Arc<Verifier<S>>, caller: fn(&S::Principal) -> Caller) -> Self {
        Self { verifier, caller }
    }
}

impl<S: CredentialSource> std::fmt::Debug for VerifierAuth<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifierAuth").finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl<S: CredentialSource> Authenticator for VerifierAuth<S> {
    async fn authenticate(
        &self,
        request: &SignedRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<(Caller, Claim, Payload)>, Fault> {
        let Some(Authenticated { principal, claim, payload }) = self.verifier.verify(request, now).await? else {
            return Ok(None);
        };
        Ok(Some(((self.caller)(&principal), claim, payload)))
    }
}
