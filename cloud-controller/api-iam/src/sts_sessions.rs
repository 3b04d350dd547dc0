//! The operations of STS that give out credentials, and those about keys and messages.

use crate::IdentityApi;
use crate::parts::time;
use mallee_app::OpContext;
use mallee_app::sts::assume::{AssumeRole, Assumed};
use mallee_app::sts::tokens::Federation;
use mallee_app::sts::web_identity::{AssumeRoleWithWebIdentity, WebAssumed};
use mallee_app::sts::{Issued, SecondFactor, SessionPolicies, SessionTags};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::sts::{
    AssumeRoleRequest, AssumeRoleResponse, AssumeRoleWithWebIdentityRequest, AssumeRoleWithWebIdentityResponse,
    AssumedRoleUser, Credentials, DecodeAuthorizationMessageRequest, DecodeAuthorizationMessageResponse, FederatedUser,
    GetAccessKeyInfoRequest, GetAccessKeyInfoResponse, GetFederationTokenRequest, GetFederationTokenResponse,
    GetSessionTokenRequest, GetSessionTokenResponse, PolicyDescriptorType, Tag,
};
use secrecy::ExposeSecret as _;

fn credentials(issued: Issued) -> Credentials {
    Credentials {
        access_key_id: Some(issued.access_key_id),
        expiration: time(issued.expires_ms),
        secret_access_key: Some(issued.secret),
        session_token: Some(issued.token.expose_secret().to_owned()),
    }
}

fn policies(inline: Option<String>, arns: Vec<PolicyDescriptorType>) -> SessionPolicies {
    let arn = |PolicyDescriptorType { arn }| arn.unwrap_or_default();
    SessionPolicies { inline, arns: arns.into_iter().map(arn).collect() }
}

fn tags(tags: Vec<Tag>, transitive: Vec<String>) -> SessionTags {
    let pair = |Tag { key, value }| (key.unwrap_or_default(), value.unwrap_or_default());
    SessionTags { tags: tags.into_iter().map(pair).collect(), transitive }
}

fn seconds(given: Option<i32>) -> Option<u32> {
    given.and_then(|n| u32::try_from(n).ok())
}

/// What is refused by name.
fn refuse(name: &str, is_given: bool) -> Result<(), ApiError> {
    if is_given {
        return Err(Code::UnsupportedOperation.message(format!("The parameter {name} is not supported by this cloud.")));
    }
    Ok(())
}

impl IdentityApi {
    pub(crate) async fn assume_role(
        &self,
        cx: &OpContext,
        r: AssumeRoleRequest,
    ) -> Result<AssumeRoleResponse, ApiError> {
        let AssumeRoleRequest {
            duration_seconds,
            external_id,
            minimum_session_token_size,
            policy,
            policy_arns,
            provided_contexts,
            role_arn,
            role_session_name,
            serial_number,
            source_identity,
            tags: given_tags,
            token_code,
            transitive_tag_keys,
        } = r;
        refuse("MinimumSessionTokenSize", minimum_session_token_size.is_some())?;
        refuse("ProvidedContexts", !provided_contexts.is_empty())?;
        let asked = AssumeRole {
            role_arn: role_arn.unwrap_or_default(),
            session_name: role_session_name.unwrap_or_default(),
            seconds: seconds(duration_seconds),
            external_id,
            policies: policies(policy, policy_arns),
            tags: tags(given_tags, transitive_tag_keys),
            source_identity,
            factor: SecondFactor { serial: serial_number, code: token_code },
        };
        let Assumed { issued, session, packed_percent, source_identity } = self.cloud.assume_role(cx, asked).await?;
        Ok(AssumeRoleResponse {
            assumed_role_user: Some(AssumedRoleUser {
                arn: Some(session.session_arn()),
                assumed_role_id: Some(format!("{}:{}", session.id, session.session)),
            }),
            credentials: Some(credentials(issued)),
            packed_policy_size: packed_percent,
            session_token_size: None,
            session_token_utilization: None,
            source_identity,
        })
    }

    pub(crate) async fn assume_role_with_web_identity(
        &self,
        cx: &OpContext,
        r: AssumeRoleWithWebIdentityRequest,
    ) -> Result<AssumeRoleWithWebIdentityResponse, ApiError> {
        let AssumeRoleWithWebIdentityRequest {
            duration_seconds,
            minimum_session_token_size,
            policy,
            policy_arns,
            provider_id,
            role_arn,
            role_session_name,
            web_identity_token,
        } = r;
        refuse("MinimumSessionTokenSize", minimum_session_token_size.is_some())?;
        // Providers of OAuth 2.0 access tokens, which say nothing by themselves.
        refuse("ProviderId", provider_id.is_some())?;
        let asked = AssumeRoleWithWebIdentity {
            role_arn: role_arn.unwrap_or_default(),
            session_name: role_session_name.unwrap_or_default(),
            token: web_identity_token.unwrap_or_default(),
            seconds: seconds(duration_seconds),
            policies: policies(policy, policy_arns),
        };
        let WebAssumed { assumed, subject, audience, provider } =
            self.cloud.assume_role_with_web_identity(cx, asked).await?;
        let Assumed { issued, session, packed_percent, source_identity } = assumed;
        Ok(AssumeRoleWithWebIdentityResponse {
            assumed_role_user: Some(AssumedRoleUser {
                arn: Some(session.session_arn()),
                assumed_role_id: Some(format!("{}:{}", session.id, session.session)),
            }),
            audience: Some(audience),
            credentials: Some(credentials(issued)),
            packed_policy_size: packed_percent,
            provider: Some(provider),
            session_token_size: None,
            session_token_utilization: None,
            source_identity,
            subject_from_web_identity_token: Some(subject),
        })
    }

    pub(crate) async fn get_session_token(
        &self,
        cx: &OpContext,
        r: GetSessionTokenRequest,
    ) -> Result<GetSessionTokenResponse, ApiError> {
        let GetSessionTokenRequest { duration_seconds, minimum_session_token_size, serial_number, token_code } = r;
        refuse("MinimumSessionTokenSize", minimum_session_token_size.is_some())?;
        let factor = SecondFactor { serial: serial_number, code: token_code };
        let issued = self.cloud.get_session_token(cx, seconds(duration_seconds), &factor).await?;
        Ok(GetSessionTokenResponse {
            credentials: Some(credentials(issued)),
            session_token_size: None,
            session_token_utilization: None,
        })
    }

    pub(crate) async fn get_federation_token(
        &self,
        cx: &OpContext,
        r: GetFederationTokenRequest,
    ) -> Result<GetFederationTokenResponse, ApiError> {
        let GetFederationTokenRequest {
            duration_seconds,
            minimum_session_token_size,
            name,
            policy,
            policy_arns,
            tags: given_tags,
        } = r;
        refuse("MinimumSessionTokenSize", minimum_session_token_size.is_some())?;
        let (policies, tags) = (policies(policy, policy_arns), tags(given_tags, Vec::new()));
        let asked =
            self.cloud.get_federation_token(cx, name.unwrap_or_default(), seconds(duration_seconds), policies, tags);
        let Federation { issued, principal, packed_percent } = asked.await?;
        Ok(GetFederationTokenResponse {
            credentials: Some(credentials(issued)),
            federated_user: Some(FederatedUser {
                arn: Some(principal.arn()),
                federated_user_id: Some(principal.user_id()),
            }),
            packed_policy_size: packed_percent,
            session_token_size: None,
            session_token_utilization: None,
        })
    }

    pub(crate) async fn get_access_key_info(
        &self,
        _cx: &OpContext,
        r: GetAccessKeyInfoRequest,
    ) -> Result<GetAccessKeyInfoResponse, ApiError> {
        let GetAccessKeyInfoRequest { access_key_id } = r;
        let account = self.cloud.access_key_account(&access_key_id.unwrap_or_default()).await?;
        Ok(GetAccessKeyInfoResponse { account: Some(account.to_string()) })
    }

    pub(crate) fn decode_authorization_message(
        &self,
        cx: &OpContext,
        r: DecodeAuthorizationMessageRequest,
    ) -> Result<DecodeAuthorizationMessageResponse, ApiError> {
        let DecodeAuthorizationMessageRequest { encoded_message } = r;
        let decoded = self.cloud.decode_authorization_message(cx, &encoded_message.unwrap_or_default())?;
        Ok(DecodeAuthorizationMessageResponse { decoded_message: Some(decoded) })
    }
}
