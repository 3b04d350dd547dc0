//! The Query services: from parameters to a typed request, to its reply.

use super::{Front, Received};
use http::Method;
use mallee_app::OpContext;
use mallee_awswire::server::Service;
use mallee_awswire::{ApiError, Code, Params};

/// The action and all parameters of a request.
fn parse(received: &Received) -> Result<Params, ApiError> {
    if !matches!(received.method, Method::GET | Method::POST) {
        return Err(Code::InvalidAction.message(format!("The method {} is not allowed here.", received.method)));
    }
    Params::parse(received.query(), &received.body)
}

fn action(params: &Params) -> Result<&str, ApiError> {
    params.action().filter(|action| !action.is_empty()).ok_or_else(|| Code::MissingAction.error())
}

impl Front {
    pub(super) async fn ec2_call(&self, cx: &OpContext, received: &Received) -> Result<String, ApiError> {
        let params = parse(received)?;
        self.ec2.call(cx, action(&params)?, &params).await
    }

    pub(super) async fn identity_call(
        &self,
        cx: &OpContext,
        service: &Service,
        received: &Received,
    ) -> Result<String, ApiError> {
        let params = parse(received)?;
        let action = action(&params)?;
        if *service == Service::Sts {
            self.identity.sts_call(cx, action, &params).await
        } else {
            self.identity.iam_call(cx, action, &params).await
        }
    }
}
