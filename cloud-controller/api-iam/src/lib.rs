//! Handlers of STS and IAM. This cloud has, so far, one user per account and no policies: what it cannot do, it says.

use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Operation, Params};
use mallee_ec2_types::{iam, sts};
use std::sync::Arc;

/// The identity services.
#[derive(Debug)]
pub struct IdentityApi {
    #[allow(dead_code, reason = "IAM's operations read and write users here")]
    cloud: Arc<Cloud>,
}

/// Operations of STS that are answered.
pub const STS_OFFERED: &[&str] = &["GetCallerIdentity"];
/// Operations of IAM that are answered.
pub const IAM_OFFERED: &[&str] = &[];

fn sts_reply<R: Operation>(cx: &OpContext, output: &R::Output) -> String {
    sts::SERVICE.reply(R::META, None, &cx.request_id, output)
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
        match sts::StsRequest::parse(action, params)? {
            sts::StsRequest::GetCallerIdentity(request) => {
                let sts::GetCallerIdentityRequest {} = *request;
                let output = sts::GetCallerIdentityResponse {
                    account: Some(cx.account().to_string()),
                    arn: Some(cx.actor.arn.to_string()),
                    user_id: Some(cx.actor.user_id.to_string()),
                };
                Ok(sts_reply::<sts::GetCallerIdentityRequest>(cx, &output))
            }
            other => Err(ApiError::unsupported_operation(other.name())),
        }
    }

    /// Answers one IAM call: none is offered yet, and it says so.
    ///
    /// # Errors
    /// `UnsupportedOperation`, or what is wrong with the request.
    pub async fn iam_call(&self, _cx: &OpContext, action: &str, params: &Params) -> Result<String, ApiError> {
        Err(ApiError::unsupported_operation(iam::IamRequest::parse(action, params)?.name()))
    }
}
