//! GetSessionToken, GetFederationToken and GetAccessKeyInfo.

use super::issue::{NewSession, SESSION_KEY_PREFIX};
use super::policies::packed_size;
use super::{Issued, SecondFactor, SessionPolicies, SessionTags};
use crate::authorize::Service;
use crate::fail::store_failure;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_iam::Principal;
use mallee_store::{SessionDoc, SessionKind, StoreError, access_key_fetch, session_fetch};
use mallee_types::AccountId;

/// How long a session of a user lasts that does not say, in seconds (AWS: twelve hours).
const DEFAULT_SECONDS: u32 = 43_200;
/// How long one of an account root may, in seconds (AWS: one hour, whatever is asked).
const ROOT_SECONDS_MAX: u32 = 3_600;
/// Characters of a bad message that its refusal repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// A session for somebody who is no user.
#[derive(Debug)]
pub struct Federation {
    /// The credentials.
    pub issued: Issued,
    /// Whose they are.
    pub principal: Principal,
    /// How much of what a session may carry is used, in per cent.
    pub packed_percent: Option<i32>,
}

fn seconds(asked: Option<u32>, is_root: bool) -> u32 {
    let asked = asked.unwrap_or(DEFAULT_SECONDS);
    if is_root { asked.min(ROOT_SECONDS_MAX) } else { asked }
}

/// The unique id of a user or account root that signed with a key of its own, and whether it is the root.
fn holder(cx: &OpContext, operation: &str) -> Result<(String, bool), ApiError> {
    if cx.actor.session.is_some() {
        return Err(Code::AccessDenied.message(format!("Cannot call {operation} with session credentials")));
    }
    match &cx.actor.principal {
        Principal::User { id, .. } => Ok((id.to_string(), false)),
        Principal::Root { account } => Ok((account.to_string(), true)),
        other => Err(Code::AccessDenied.message(format!("{} cannot call {operation}.", other.arn()))),
    }
}

/// What STS still answers to a session of GetSessionToken, with a second factor or without.
const WITH_A_SESSION: [&str; 2] = ["AssumeRole", "GetCallerIdentity"];
/// And to one of GetFederationToken.
const WITH_FEDERATION: &str = "GetCallerIdentity";

/// What sessions of users may not call whatever their policies say, as AWS documents GetSessionToken: IAM without a
/// second factor, and STS but for two operations; and GetFederationToken: IAM, and STS but for GetCallerIdentity.
///
/// # Errors
/// `InvalidClientTokenId` (IAM), `AccessDenied` (STS).
pub fn check_session(cx: &OpContext, service: Service, operation: &str) -> Result<(), ApiError> {
    let Some(session) = &cx.actor.session else { return Ok(()) };
    if matches!(cx.actor.principal, Principal::Federated { .. }) {
        let allowed = match service {
            Service::Iam => false,
            Service::Sts => operation == WITH_FEDERATION,
            Service::Ec2 | Service::S3 => true,
        };
        let text = || format!("Cannot call {operation} with the credentials of a federated user");
        return if allowed { Ok(()) } else { Err(Code::AccessDenied.message(text())) };
    }
    if !matches!(cx.actor.principal, Principal::User { .. } | Principal::Root { .. }) {
        return Ok(());
    }
    match service {
        Service::Iam if session.mfa_ms.is_none() => {
            Err(Code::InvalidClientTokenId.message("The security token included in the request is invalid"))
        }
        Service::Sts if !WITH_A_SESSION.contains(&operation) => {
            Err(Code::AccessDenied.message(format!("Cannot call {operation} with session credentials")))
        }
        Service::Iam | Service::Sts | Service::Ec2 | Service::S3 => Ok(()),
    }
}

impl Cloud {
    /// `GetSessionToken`.
    ///
    /// # Errors
    /// `AccessDenied` with temporary credentials, and for a second factor that is none; `ValidationError`.
    pub async fn get_session_token(
        &self,
        cx: &OpContext,
        asked: Option<u32>,
        factor: &SecondFactor,
    ) -> Result<Issued, ApiError> {
        let (principal_id, is_root) = holder(cx, "GetSessionToken")?;
        let mfa_ms = self.prove(cx, factor).await?;
        let new = NewSession {
            account: cx.account().clone(),
            kind: SessionKind::User,
            principal_id,
            name: String::new(),
            seconds: seconds(asked, is_root),
            doc: SessionDoc { mfa_ms, ..SessionDoc::default() },
        };
        self.issue(new).await
    }

    /// `GetFederationToken`: without policies the session may nothing but what resources grant to it by name.
    ///
    /// # Errors
    /// `AccessDenied` with temporary credentials; `MalformedPolicyDocument`, `PackedPolicyTooLarge`,
    /// `InvalidParameterValue`, `ValidationError`.
    pub async fn get_federation_token(
        &self,
        cx: &OpContext,
        name: String,
        asked: Option<u32>,
        policies: SessionPolicies,
        tags: SessionTags,
    ) -> Result<Federation, ApiError> {
        let (principal_id, is_root) = holder(cx, "GetFederationToken")?;
        tags.check()?;
        let packed_percent = packed_size(policies.bytes(), &tags.tags)?;
        let policies = self.session_documents(cx.account(), policies).await?.unwrap_or_default();
        let principal = Principal::Federated {
            account: cx.account().clone(),
            name: name.as_str().into(),
            issuer: cx.actor.arn.clone(),
            issuer_id: principal_id.as_str().into(),
        };
        let new = NewSession {
            account: cx.account().clone(),
            kind: SessionKind::Federated,
            principal_id,
            name,
            seconds: seconds(asked, is_root),
            doc: SessionDoc { policies: Some(policies), tags: tags.tags, ..SessionDoc::default() },
        };
        Ok(Federation { issued: self.issue(new).await?, principal, packed_percent })
    }

    /// `GetAccessKeyInfo`: whose account a key is of, active or not; anybody may know.
    ///
    /// # Errors
    /// `ValidationError` for a key that is not there.
    pub async fn access_key_account(&self, id: &str) -> Result<AccountId, ApiError> {
        let account = if id.starts_with(SESSION_KEY_PREFIX) {
            session_fetch(self.store(), id).await.map(|row| row.account_id)
        } else {
            access_key_fetch(self.store(), id).await.map(|row| row.account_id)
        };
        account.map_err(|error| match error {
            StoreError::NotFound { .. } => Code::ValidationError.message("The access key ID does not exist."),
            other => store_failure(other),
        })
    }

    /// `DecodeAuthorizationMessage`: the JSON that [`super::message::encode`] sealed for the caller's account.
    ///
    /// # Errors
    /// `InvalidAuthorizationMessageException`.
    pub fn decode_authorization_message(&self, cx: &OpContext, encoded: &str) -> Result<String, ApiError> {
        let shown: String = encoded.chars().take(SHOWN_CHARS_MAX).collect();
        super::message::decode(self.store(), cx.account(), encoded)
            .ok_or_else(|| Code::InvalidAuthorizationMessageException.with(&[&shown]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_have_short_sessions() {
        assert_eq!(seconds(None, false), 43_200);
        assert_eq!(seconds(Some(900), false), 900);
        assert_eq!(seconds(Some(129_600), true), 3_600);
        assert_eq!(seconds(Some(900), true), 900);
    }
}
