//! What a request of the control plane asks for.

use super::Received;
use crate::admin;
use crate::audit::cloudtrail;
use crate::servicequotas;
use http::Method;
use mallee_awswire::server::Service;
use mallee_awswire::{ApiError, Code, Params};

/// The operation, and the parameters of a Query service.
pub(super) struct Asked {
    /// As the request names it; empty where it names none.
    pub(super) action: String,
    /// Or why they cannot be read.
    pub(super) params: Result<Params, ApiError>,
}

impl Asked {
    pub(super) fn of(service: &Service, received: &Received) -> Self {
        let params = parse(received);
        let action = match service {
            Service::Mallee => admin::action(received),
            Service::Other(name) if is_json(name) => cloudtrail::action(&received.headers).to_owned(),
            _ => params.as_ref().ok().and_then(Params::action).unwrap_or_default().to_owned(),
        };
        Self { action, params }
    }

    pub(super) fn params(&self) -> Result<&Params, ApiError> {
        self.params.as_ref().map_err(Clone::clone)
    }

    pub(super) fn action(&self) -> Result<&str, ApiError> {
        self.params()?;
        if self.action.is_empty() { Err(Code::MissingAction.error()) } else { Ok(&self.action) }
    }
}

/// Whether a service speaks JSON: the operation is in a header, the parameters are the body.
pub(super) fn is_json(service: &str) -> bool {
    [cloudtrail::SERVICE, mallee_api_kms::SERVICE, servicequotas::SERVICE].contains(&service)
}

fn parse(received: &Received) -> Result<Params, ApiError> {
    if !matches!(received.method, Method::GET | Method::POST) {
        return Err(Code::InvalidAction.message(format!("The method {} is not allowed here.", received.method)));
    }
    Params::parse(received.query(), &received.body)
}
