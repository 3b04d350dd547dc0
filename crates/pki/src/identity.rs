//! Identities of daemons, as certificates name them: `mallee://CLOUD/ROLE/ID` in the subject alternative name.

use crate::in_process::PeerInfo;
use std::fmt;
use std::str::FromStr;

/// What a daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Cloud controller.
    Cloud,
    /// Cluster controller; its id is the zone.
    Cluster,
    /// Node controller; its id is the node's name.
    Node,
    /// Object store.
    Walrus,
    /// Block storage of a zone.
    Block,
}

impl Role {
    /// Its name in identities and tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Walrus => "walrus",
            Self::Block => "block",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cloud, Self::Cluster, Self::Node, Self::Walrus, Self::Block].into_iter().find(|role| role.name() == name)
    }
}

/// One daemon of one cloud.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cloud's id.
    pub cloud: String,
    /// What it is.
    pub role: Role,
    /// Its name within the role.
    pub id: String,
}

/// A text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an identity of the form mallee://CLOUD/ROLE/ID")]
pub struct IdentityError;

/// Longest cloud id and daemon name.
const PART_BYTES_MAX: usize = 64;

fn is_part(text: &str) -> bool {
    (1..=PART_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

impl Identity {
    /// An identity of these parts.
    ///
    /// # Errors
    /// [`IdentityError`] when a part is empty, too long, or has other characters than `a-z0-9.-`.
    pub fn new(cloud: &str, role: Role, id: &str) -> Result<Self, IdentityError> {
        if is_part(cloud) && is_part(id) {
            Ok(Self { cloud: cloud.to_owned(), role, id: id.to_owned() })
        } else {
            Err(IdentityError)
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mallee://{}/{}/{}", self.cloud, self.role.name(), self.id)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let mut parts = text.strip_prefix("mallee://").ok_or(IdentityError)?.split('/');
        let (Some(cloud), Some(role), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(IdentityError);
        };
        Self::new(cloud, Role::from_name(role).ok_or(IdentityError)?, id)
    }
}

/// The identity behind a request: what the transport has verified.
#[must_use]
pub fn peer_identity(extensions: &tonic::Extensions) -> Option<&Identity> {
    extensions.get::<PeerInfo>().and_then(|info| info.identity.as_ref())
}

/// Lets a request through whose peer has one of these roles.
///
/// # Errors
/// `Unauthenticated` without an identity, `PermissionDenied` with another role.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn authorise<'a>(extensions: &'a tonic::Extensions, allowed: &[Role]) -> Result<&'a Identity, tonic::Status> {
    let identity = peer_identity(extensions)
        .ok_or_else(|| tonic::Status::unauthenticated("this call needs a certificate of the cluster"))?;
    if allowed.contains(&identity.role) {
        return Ok(identity);
    }
    Err(tonic::Status::permission_denied(format!("{identity} may not make this call")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_and_nonsense_is_refused() {
        let identity = Identity::new("c-1", Role::Node, "node-7.rack-2").unwrap();
        assert_eq!(identity.to_string(), "mallee://c-1/node/node-7.rack-2");
        assert_eq!(identity.to_string().parse(), Ok(identity));
        for bad in [
            "",
            "mallee://",
            "mallee://c/node",
            "mallee://c/king/n",
            "mallee://c/node/n/x",
            "mallee://C/node/n",
            "spiffe://c/node/n",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }
}
