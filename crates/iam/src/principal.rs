//! Who calls, as policies see it.

use crate::context::Context;
use mallee_types::AccountId;
use std::sync::Arc;

/// The caller of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Nobody signed.
    Anonymous,
    /// The account itself: its implicit right is everything in it.
    Root {
        /// The account.
        account: AccountId,
    },
    /// A user with a key of its own or a session of GetSessionToken.
    User {
        /// The account.
        account: AccountId,
        /// `/` or `/path/`.
        path: Arc<str>,
        /// Name.
        name: Arc<str>,
        /// Unique id (`AIDA…`).
        id: Arc<str>,
    },
    /// A session of a role.
    Role(RoleSession),
    /// A session of GetFederationToken.
    Federated {
        /// The account.
        account: AccountId,
        /// The name that GetFederationToken was given.
        name: Arc<str>,
        /// ARN of the user (or account root) that asked for the session.
        issuer: Arc<str>,
        /// Unique id of that user.
        issuer_id: Arc<str>,
    },
    /// Somebody whom an identity provider vouches for, before it has assumed a role.
    WebIdentity {
        /// ARN of the provider (`arn:aws:iam::…:oidc-provider/…`).
        provider: Arc<str>,
    },
    /// A service of this cloud (`ec2.amazonaws.com`).
    Service {
        /// Its principal name.
        name: Arc<str>,
    },
}

/// The session of a role: whom AssumeRole made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleSession {
    /// The role's account.
    pub account: AccountId,
    /// The role's path: `/` or `/path/`.
    pub path: Arc<str>,
    /// The role's name.
    pub name: Arc<str>,
    /// The role's unique id (`AROA…`).
    pub id: Arc<str>,
    /// Session name.
    pub session: Arc<str>,
}

impl RoleSession {
    /// `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
    #[must_use]
    pub fn role_arn(&self) -> String {
        format!("arn:aws:iam::{}:role{}{}", self.account, self.path, self.name)
    }

    /// `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION` (no path, as AWS).
    #[must_use]
    pub fn session_arn(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/{}/{}", self.account, self.name, self.session)
    }
}

impl Principal {
    /// The account whose policies and resources are the caller's own; none for the anonymous, services and identities
    /// that have no account yet.
    #[must_use]
    pub const fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Root { account } | Self::User { account, .. } | Self::Federated { account, .. } => Some(account),
            Self::Role(role) => Some(&role.account),
            Self::Anonymous | Self::WebIdentity { .. } | Self::Service { .. } => None,
        }
    }

    /// The ARN that GetCallerIdentity and error texts show; `anonymous` or the service's name where there is none.
    #[must_use]
    pub fn arn(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Root { account } => format!("arn:aws:iam::{account}:root"),
            Self::User { account, path, name, .. } => format!("arn:aws:iam::{account}:user{path}{name}"),
            Self::Role(role) => role.session_arn(),
            Self::Federated { account, name, .. } => format!("arn:aws:sts::{account}:federated-user/{name}"),
            Self::WebIdentity { provider } => provider.to_string(),
            Self::Service { name } => name.to_string(),
        }
    }

    /// What `aws:userid` and GetCallerIdentity's `UserId` say.
    #[must_use]
    pub fn user_id(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Root { account } => account.to_string(),
            Self::User { id, .. } => id.to_string(),
            Self::Role(role) => format!("{}:{}", role.id, role.session),
            Self::Federated { account, name, .. } => format!("{account}:{name}"),
            Self::WebIdentity { provider } => provider.to_string(),
            Self::Service { name } => name.to_string(),
        }
    }

    /// Puts the keys that follow from the caller alone: `aws:PrincipalArn`, `aws:PrincipalAccount`, `aws:PrincipalType`,
    /// `aws:userid`, `aws:username` (users only), `aws:PrincipalIsAWSService`, `aws:PrincipalServiceName`,
    /// `aws:FederatedProvider`. Tags are the caller's business.
    pub fn describe(&self, context: &mut Context) {
        let kind = match self {
            Self::Anonymous => "Anonymous",
            Self::Root { .. } => "Account",
            Self::User { name, .. } => {
                context.set("aws:username", name.as_ref());
                "User"
            }
            Self::Role(_) => "AssumedRole",
            Self::Federated { .. } => "FederatedUser",
            Self::WebIdentity { provider } => {
                context.set("aws:FederatedProvider", provider.as_ref());
                "WebIdentity"
            }
            Self::Service { name } => {
                context.set("aws:PrincipalServiceName", name.as_ref());
                "Service"
            }
        };
        context.set("aws:PrincipalType", kind);
        context.set("aws:PrincipalIsAWSService", if matches!(self, Self::Service { .. }) { "true" } else { "false" });
        if let Some(account) = self.account() {
            context.set("aws:PrincipalAccount", account.as_ref());
            context.set("aws:userid", self.user_id());
            context.set(
                "aws:PrincipalArn",
                match self {
                    Self::Role(role) => role.role_arn(),
                    other => other.arn(),
                },
            );
        }
    }
}
