//! Client tokens of use cases: the second call with a token gets the result of the first.

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{ClientTokenClaim, Tx, client_token_claim, client_token_result_set};

/// Longest client token, in characters (EC2 documents 64 or 128, by operation).
const CLIENT_TOKEN_CHARS_MAX: usize = 128;

/// A caller's token, and the hash of everything else in the request.
#[derive(Debug, Clone, Default)]
pub struct Once {
    /// The token, if any.
    pub token: Option<String>,
    /// Of the parameters.
    pub params_hash: String,
}

impl Cloud {
    /// Claims the token in the call's transaction: the result of an earlier call, or `None` for the first one.
    ///
    /// # Errors
    /// A token that is none, or that was used for something else.
    pub(crate) async fn claim(
        &self,
        tx: &mut Tx,
        cx: &OpContext,
        operation: &str,
        once: &Once,
    ) -> Result<Option<String>, ApiError> {
        let Some(token) = &once.token else { return Ok(None) };
        if token.is_empty() || token.len() > CLIENT_TOKEN_CHARS_MAX || !token.bytes().all(|b| (0x20..0x7f).contains(&b))
        {
            return Err(Code::InvalidParameterValue.message(format!(
                "Invalid value for parameter clientToken. It must be 1 to {CLIENT_TOKEN_CHARS_MAX} ASCII characters."
            )));
        }
        match client_token_claim(tx, cx.account(), operation, token, &once.params_hash).await.or_fail()? {
            ClientTokenClaim::New => Ok(None),
            ClientTokenClaim::Mismatch => Err(Code::IdempotentParameterMismatch.error()),
            ClientTokenClaim::Repeat(result) => Ok(Some(result)),
        }
    }
}

/// Remembers the result of a call that has a token, before its commit.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn record(
    tx: &mut Tx,
    cx: &OpContext,
    operation: &str,
    once: &Once,
    result: &str,
) -> Result<(), ApiError> {
    match &once.token {
        None => Ok(()),
        Some(token) => client_token_result_set(tx, cx.account(), operation, token, result).await.or_fail(),
    }
}
