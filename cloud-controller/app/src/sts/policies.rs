//! Policies given with a session.

use crate::Cloud;
use crate::fail::OrFail as _;
use crate::iam::builtin;
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Policy, PolicyKind};
use mallee_store::iam_policy_documents;
use mallee_types::AccountId;

/// Most managed policies given with a session (AWS: 10).
const POLICY_ARNS_MAX: usize = 10;
/// Bytes that policies and tags of one session may take together; a use of it is told in per cent.
const PACKED_BYTES_MAX: usize = 8_192;

/// What a request says of session policies.
#[derive(Debug, Clone, Default)]
pub struct SessionPolicies {
    /// A document.
    pub inline: Option<String>,
    /// ARNs of managed policies.
    pub arns: Vec<String>,
}

impl SessionPolicies {
    /// Bytes of what a request says of them: of managed policies only the ARNs count, as on AWS.
    pub(super) fn bytes(&self) -> usize {
        let inline = self.inline.as_deref().map_or(0, mallee_iam::policy_size);
        inline + self.arns.iter().map(String::len).sum::<usize>()
    }
}

/// How much of what a session may carry is used, in per cent; `None` for nothing.
///
/// # Errors
/// `PackedPolicyTooLarge`.
pub(super) fn packed_size(policies: usize, tags: &[(String, String)]) -> Result<Option<i32>, ApiError> {
    let bytes = policies + tags.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    if bytes == 0 {
        return Ok(None);
    }
    let percent = (bytes * 100).div_ceil(PACKED_BYTES_MAX);
    if percent > 100 {
        return Err(Code::PackedPolicyTooLarge
            .message(format!("Packed policy consumes {percent}% of allotted space, please use smaller policy.")));
    }
    Ok(i32::try_from(percent).ok())
}

impl Cloud {
    /// The documents of a session's policies; `None` when none are given.
    ///
    /// # Errors
    /// `MalformedPolicyDocument`, `ValidationError`.
    pub(super) async fn session_documents(
        &self,
        account: &AccountId,
        given: SessionPolicies,
    ) -> Result<Option<Vec<String>>, ApiError> {
        let SessionPolicies { inline, arns } = given;
        if inline.is_none() && arns.is_empty() {
            return Ok(None);
        }
        if arns.len() > POLICY_ARNS_MAX {
            return Err(Code::ValidationError.message(format!(
                "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to {POLICY_ARNS_MAX}"
            )));
        }
        if let Some(document) = &inline {
            Policy::parse(document, PolicyKind::Session)
                .map_err(|error| Code::MalformedPolicyDocument.message(error.to_string()))?;
        }
        let mut documents: Vec<String> = inline.into_iter().collect();
        if !arns.is_empty() {
            let own = format!("arn:aws:iam::{account}:policy/");
            let found = iam_policy_documents(self.store(), &arns).await.or_fail()?;
            for arn in arns {
                // A policy of another account reads as absent.
                let made = found.iter().find(|(of, _)| *of == arn && arn.starts_with(&own));
                let built_in = || builtin::by_arn(&arn).map(|policy| policy.document.to_owned());
                let document = made.map(|(_, document)| document.clone()).or_else(built_in);
                documents.push(document.ok_or_else(|| {
                    Code::ValidationError.message(format!("Policy {arn} does not exist or is not attachable."))
                })?);
            }
        }
        Ok(Some(documents))
    }
}
