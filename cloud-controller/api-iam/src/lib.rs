//! Handlers of STS and IAM.

mod account;
mod attachments;
mod certificates;
mod credential_report;
mod details;
mod euare;
mod groups;
mod iam;
mod inline;
mod instance_profiles;
mod keys;
mod logins;
mod mfa_devices;
mod oidc;
mod parts;
mod policies;
mod role_policies;
mod roles;
mod simulate;
mod ssh_keys;
mod sts;
mod sts_sessions;
mod users;
mod wire;

pub use iam::IAM_OFFERED;
pub use sts::STS_OFFERED;

use mallee_app::authorize::{Ask, Service};
use mallee_app::sts::tokens::check_session;
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Params};
use mallee_ec2_types::iam::IamRequest;
use mallee_ec2_types::sts::StsRequest;
use std::sync::Arc;

/// The identity services.
#[derive(Debug, Clone)]
pub struct IdentityApi {
    cloud: Arc<Cloud>,
}

impl IdentityApi {
    /// Handlers over this cloud.
    #[must_use]
    pub const fn new(cloud: Arc<Cloud>) -> Self {
        Self { cloud }
    }

    /// Answers one STS call with its XML.
    ///
    /// # Errors
    /// The error to answer instead.
    pub async fn sts_call(&self, cx: &OpContext, action: &str, params: &Params) -> Result<String, ApiError> {
        let request = StsRequest::parse(action, params)?;
        self.cloud.authorize(cx, Service::Sts, action, params).await?;
        check_session(cx, Service::Sts, action)?;
        Box::pin(sts::dispatch(self, cx, params, request)).await
    }

    /// Answers one IAM call with its XML.
    ///
    /// # Errors
    /// The error to answer instead.
    pub async fn iam_call(&self, cx: &OpContext, action: &str, params: &Params) -> Result<String, ApiError> {
        // Accounts are no subject of AWS's IAM, but of Eucalyptus'. Their operations are the cloud administrators' only;
        // boundaries and session policies of one count there as everywhere.
        let on_accounts = euare::OPERATIONS.contains(&action).then_some(action);
        for action in params.get(euare::DELEGATE).map(|_| euare::DELEGATE).into_iter().chain(on_accounts) {
            let ask = Ask { action: &format!("iam:{action}"), resource: "*", ..Ask::default() };
            self.cloud.require(cx, &ask).await?;
        }
        check_session(cx, Service::Iam, action)?;
        let delegated = self.delegated(cx, params).await?;
        let (cx, params) = delegated.as_ref().map_or((cx, params), |(cx, params)| (cx, params));
        if let Some(reply) = Box::pin(self.euare_call(cx, action, params)).await {
            return reply;
        }
        let request = IamRequest::parse(action, params)?;
        self.cloud.authorize(cx, Service::Iam, action, params).await?;
        Box::pin(iam::dispatch(self, cx, params, request)).await
    }
}
