//! Who calls: the transport proves it (mTLS), and puts it where this crate is told to look.

use mallee_proto::{Kind, WireError};
use std::sync::Arc;
use tonic::Extensions;

/// What a caller may act as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRole {
    /// A cloud controller.
    Cloud,
    /// A node controller.
    Node,
    /// Anything else: it may call nothing here.
    Other,
}

/// A proven caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What it may act as.
    pub role: PeerRole,
    /// Its name; of a node: its node id.
    pub id: String,
}

/// Reads the caller from a request's extensions; `None`: it has not proven who it is.
pub type PeerIdentity = Arc<dyn Fn(&Extensions) -> Option<Peer> + Send + Sync>;

/// The caller, if it has the wanted role.
///
/// # Errors
/// `Forbidden` when it has not, or has not proven who it is.
pub(crate) fn require(identity: &PeerIdentity, extensions: &Extensions, role: PeerRole) -> Result<Peer, WireError> {
    let peer = identity(extensions).ok_or_else(|| {
        WireError::new(Kind::Forbidden, "the caller has not proven who it is: a client certificate is needed")
    })?;
    if peer.role == role {
        Ok(peer)
    } else {
        Err(WireError::new(
            Kind::Forbidden,
            format!("{} may not make this call: its certificate names another role", peer.id),
        ))
    }
}
