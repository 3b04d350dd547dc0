//! Which operations of STS are offered, and who answers them.

use crate::IdentityApi;
use mallee_app::OpContext;
use mallee_awswire::ApiError;
use mallee_ec2_types::sts::{self, SERVICE, StsRequest};

mallee_app::offered! {
    /// Every operation of STS this cloud offers, sorted by name.
    pub const STS_OFFERED: StsRequest of SERVICE;
    |api: &IdentityApi, cx, params, r|
    Write AssumeRole => api.assume_role(cx, r).await;
    Write AssumeRoleWithWebIdentity => api.assume_role_with_web_identity(cx, r).await;
    Read DecodeAuthorizationMessage => api.decode_authorization_message(cx, r);
    Read GetAccessKeyInfo => api.get_access_key_info(cx, r).await;
    Read GetCallerIdentity => api.get_caller_identity(cx, r);
    Write GetFederationToken => api.get_federation_token(cx, r).await;
    Write GetSessionToken => api.get_session_token(cx, r).await;
}

impl IdentityApi {
    #[allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "all handlers have one shape")]
    fn get_caller_identity(
        &self,
        cx: &OpContext,
        request: sts::GetCallerIdentityRequest,
    ) -> Result<sts::GetCallerIdentityResponse, ApiError> {
        let sts::GetCallerIdentityRequest {} = request;
        Ok(sts::GetCallerIdentityResponse {
            account: Some(cx.account().to_string()),
            arn: Some(cx.actor.arn.to_string()),
            user_id: Some(cx.actor.user_id.to_string()),
        })
    }
}
