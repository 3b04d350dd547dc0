//! Who may call what: a table of services and roles in front of a server, and the rule that a daemon may only speak
//! for itself. What the table does not name is denied.

use crate::in_process::PeerInfo;
use crate::{Identity, Role};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

/// Who may call one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// Peers of these roles.
    Roles(&'static [Role]),
    /// Anyone, without a certificate too (enrolment: the token is the proof).
    Anyone,
}

/// A service's full name, for example `mallee.v1.NodeGateway`, or that of one method, `mallee.v1.Images/Read`, and who
/// may call it. The first rule that fits decides: methods come before their service.
pub type Rule = (&'static str, Allow);

/// Decides one call.
///
/// # Errors
/// `Unauthenticated` without an identity, `PermissionDenied` for another role or an unknown service.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn decide(rules: &[Rule], path: &str, peer: Option<&Identity>) -> Result<(), Status> {
    let method = path.strip_prefix('/').unwrap_or_default();
    let service = method.split_once('/').map_or("", |(service, _)| service);
    let rule = rules.iter().find(|(name, _)| !service.is_empty() && (*name == service || *name == method));
    match (rule, peer) {
        (Some((_, Allow::Anyone)), _) => Ok(()),
        (Some((_, Allow::Roles(_))), None) => {
            Err(Status::unauthenticated("this call needs a certificate of the cluster"))
        }
        (Some((_, Allow::Roles(roles))), Some(peer)) if roles.contains(&peer.role) => Ok(()),
        (Some(_), Some(peer)) => Err(Status::permission_denied(format!("{peer} may not call {service}"))),
        (None, _) => Err(Status::permission_denied("this service is not offered here")),
    }
}

/// A daemon may only speak for itself: the name it claims must be the one in its certificate.
///
/// # Errors
/// `Unauthenticated` without an identity, `PermissionDenied` for another role or name.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn authorise_self<'a>(
    extensions: &'a tonic::Extensions,
    role: Role,
    claimed: &str,
) -> Result<&'a Identity, Status> {
    let identity = crate::authorise(extensions, &[role])?;
    if identity.id == claimed {
        return Ok(identity);
    }
    Err(Status::permission_denied(format!("{identity} may not speak for {claimed:?}")))
}

/// Puts a table of rules in front of a server: `Server::builder().layer(GuardLayer::new(RULES))`.
#[derive(Debug, Clone, Copy)]
pub struct GuardLayer {
    rules: &'static [Rule],
}

impl GuardLayer {
    /// With these rules.
    #[must_use]
    pub const fn new(rules: &'static [Rule]) -> Self {
        Self { rules }
    }
}

impl<S> tower::Layer<S> for GuardLayer {
    type Service = Guard<S>;
    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, rules: self.rules }
    }
}

/// The guarded server.
#[derive(Debug, Clone)]
pub struct Guard<S> {
    inner: S,
    rules: &'static [Rule],
}

impl<S, B> Service<http::Request<B>> for Guard<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let peer = request.extensions().get::<PeerInfo>().and_then(|info| info.identity.as_ref());
        match decide(self.rules, request.uri().path(), peer) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(status) => {
                tracing::info!(path = request.uri().path(), reason = status.message(), "call denied");
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    const RULES: &[Rule] = &[
        ("mallee.v1.NodeGateway", Allow::Roles(&[Role::Node])),
        ("mallee.v1.Images/Read", Allow::Roles(&[Role::Node, Role::Cloud])),
        ("mallee.v1.Images", Allow::Roles(&[Role::Cloud])),
        ("mallee.v1.Directory", Allow::Roles(&[Role::Node, Role::Cluster])),
        ("mallee.v1.Enrolment", Allow::Anyone),
    ];

    #[test]
    fn the_table_is_the_law_and_silence_is_no() {
        let identity = |role| Identity::new("c", role, "x").unwrap();
        let code = |path, peer: Option<Role>| decide(RULES, path, peer.map(identity).as_ref()).err().map(|s| s.code());
        assert_eq!(code("/mallee.v1.NodeGateway/Session", Some(Role::Node)), None);
        assert_eq!(code("/mallee.v1.NodeGateway/Session", Some(Role::Cluster)), Some(Code::PermissionDenied));
        assert_eq!(code("/mallee.v1.NodeGateway/Session", None), Some(Code::Unauthenticated));
        assert_eq!(code("/mallee.v1.Enrolment/Enrol", None), None);
        assert_eq!(code("/mallee.v1.Images/Read", Some(Role::Node)), None);
        assert_eq!(code("/mallee.v1.Images/Import", Some(Role::Node)), Some(Code::PermissionDenied));
        assert_eq!(code("/mallee.v1.Images/Import", Some(Role::Cloud)), None);
        for path in ["", "/", "/mallee.v1.Other/X", "/mallee.v1.NodeGateway", "mallee.v1.NodeGateway/Session", "//"] {
            assert_eq!(code(path, Some(Role::Node)), Some(Code::PermissionDenied), "{path}");
        }
    }

    #[test]
    fn a_node_speaks_for_itself_only() {
        let mut extensions = tonic::Extensions::new();
        let code = |e: &tonic::Extensions, claimed| authorise_self(e, Role::Node, claimed).err().map(|s| s.code());
        assert_eq!(code(&extensions, "node-1"), Some(Code::Unauthenticated));
        extensions.insert(PeerInfo { identity: Identity::new("c", Role::Node, "node-1").ok() });
        assert_eq!(code(&extensions, "node-1"), None);
        assert_eq!(code(&extensions, "node-2"), Some(Code::PermissionDenied));
        extensions.insert(PeerInfo { identity: Identity::new("c", Role::Cluster, "node-1").ok() });
        assert_eq!(code(&extensions, "node-1"), Some(Code::PermissionDenied));
    }
}
