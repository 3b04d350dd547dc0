//! The signature of a browser's upload (S3's POST): not of the request, but of the policy document in its form. What the
//! policy says, and whether the form keeps to it, is not looked at here.

use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use super::fault::Fault;
use super::key::CredentialSource;
use super::parse::Claim;
use super::verify::{Authenticated, Payload, SignedRequest, Verifier};
use crate::sigv2;

/// The one algorithm of version 4.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A policy document and its signature, as the fields of the form have them.
#[derive(Debug, Clone, Copy)]
pub struct SignedPolicy<'a> {
    /// The policy, base64 as it came: that text is what is signed.
    pub policy: &'a str,
    /// The signature.
    pub seal: PolicySeal<'a>,
    /// Session token.
    pub session_token: Option<&'a str>,
}

/// The signature of a policy.
#[derive(Debug, Clone, Copy)]
pub enum PolicySeal<'a> {
    /// Of version 4.
    V4 {
        /// `x-amz-algorithm`
        algorithm: &'a str,
        /// `x-amz-credential`: `KEY/DATE/REGION/SERVICE/aws4_request`
        credential: &'a str,
        /// `x-amz-date`: `YYYYMMDDTHHMMSSZ`
        date: &'a str,
        /// `x-amz-signature`: hex
        signature: &'a str,
    },
    /// Of version 2.
    V2 {
        /// `AWSAccessKeyId`
        access_key_id: &'a str,
        /// `signature`: base64
        signature: &'a str,
    },
}

impl<S: CredentialSource> Verifier<S> {
    /// Verifies the signature of a form: its policy's. When the policy ends is for its reader to check.
    pub(super) async fn verify_policy(
        &self,
        signed: &SignedPolicy<'_>,
        req: &SignedRequest<'_>,
        now: OffsetDateTime,
    ) -> Result<Authenticated<S::Principal>, Fault> {
        let SignedPolicy { policy, seal, session_token } = *signed;
        let (algorithm, credential, date, signature) = match seal {
            PolicySeal::V4 { algorithm, credential, date, signature } => (algorithm, credential, date, signature),
            PolicySeal::V2 { access_key_id, signature } => {
                if !self.source().takes_sigv2() {
                    return Err(Fault::Sigv2Off);
                }
                let token = session_token.map(str::to_owned);
                return self.prove(sigv2::of_policy(req, access_key_id, signature, token, policy, now)?, now).await;
            }
        };
        if algorithm != ALGORITHM {
            return Err(Fault::Query(format!("X-Amz-Algorithm only supports \"{ALGORITHM}\"")));
        }
        let claim = Claim::of_policy(credential, date, signature, session_token)?;
        self.check_scope(&claim, req)?;
        let key = self.key(&claim, now).await?;
        if !bool::from(key.signing_key.sign(policy.as_bytes()).ct_eq(&claim.signature)) {
            return Err(Fault::Mismatch {
                access_key_id: claim.access_key_id,
                string_to_sign: policy.to_owned(),
                canonical: String::new(),
            });
        }
        Ok(Authenticated { principal: key.principal, claim, payload: Payload::Unsigned })
    }
}
