//! Whom a `Principal` element names.

use crate::principal::Principal;
use mallee_types::AccountId;

/// One entry of `Principal` or `NotPrincipal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PrincipalPattern {
    /// `*`: everyone, the anonymous too.
    Everyone,
    /// An account's number or its root's ARN: whom the account lets.
    Account(AccountId),
    /// ARN of a user, role, role session or federated user.
    Arn(Box<str>),
    /// Unique id of a user or role: what an ARN becomes when its owner is deleted.
    UniqueId(Box<str>),
    /// A service.
    Service(Box<str>),
    /// An identity provider.
    Federated(Box<str>),
}

/// How much being named is worth. The greater one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grant {
    /// By the account: its own policies must allow too.
    Account,
    /// By what the session came from (a role, or the user of a federated session): boundary and session policies still
    /// limit it.
    Limited,
    /// Itself: nothing but a denial limits it.
    Direct,
}

impl PrincipalPattern {
    /// Reads an entry of the key `AWS`.
    pub(crate) fn aws(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everyone);
        }
        if let Ok(account) = text.parse() {
            return Some(Self::Account(account));
        }
        if is_unique_id(text) {
            return Some(Self::UniqueId(text.into()));
        }
        let mut fields = text.splitn(6, ':');
        if fields.next() != Some("arn") || fields.next() != Some("aws") {
            return None;
        }
        let (service, region, account, path) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let account: AccountId = account.parse().ok()?;
        if !region.is_empty() || path.contains(['*', '?', '$']) {
            return None;
        }
        match (service, path.split_once('/')) {
            ("iam", None) if path == "root" => Some(Self::Account(account)),
            ("iam", Some(("user" | "role", name))) if has_name(name) => Some(Self::Arn(text.into())),
            ("sts", Some(("assumed-role", rest))) => {
                let (role, session) = rest.split_once('/')?;
                let valid = has_name(role) && has_name(session) && !session.contains('/');
                valid.then(|| Self::Arn(text.into()))
            }
            ("sts", Some(("federated-user", name))) if has_name(name) => Some(Self::Arn(text.into())),
            _ => None,
        }
    }

    /// Reads an entry of the key `Service`: a host name.
    pub(crate) fn service(text: &str) -> Option<Self> {
        let host = text.contains('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        host.then(|| Self::Service(text.into()))
    }

    /// Reads an entry of the key `Federated`: a provider's ARN or a well-known provider's host name.
    pub(crate) fn federated(text: &str) -> Option<Self> {
        if Self::service(text).is_some() {
            return Some(Self::Federated(text.into()));
        }
        let (account, provider) = text.strip_prefix("arn:aws:iam::")?.split_once(':')?;
        account.parse::<AccountId>().ok()?;
        let name = provider.strip_prefix("oidc-provider/").or_else(|| provider.strip_prefix("saml-provider/"))?;
        (has_name(name) && !name.contains(['*', '?', '$'])).then(|| Self::Federated(text.into()))
    }

    /// What a caller gets from this entry of a `Principal`.
    pub(crate) fn grant(&self, caller: &Principal) -> Option<Grant> {
        let when = |named: bool, grant| named.then_some(grant);
        match (self, caller) {
            (Self::Everyone, _) => Some(Grant::Direct),
            (Self::Account(account), Principal::Root { account: root }) => when(account == root, Grant::Direct),
            (Self::Account(account), caller) => when(caller.account() == Some(account), Grant::Account),
            (Self::Arn(arn), Principal::Role(role)) => {
                if **arn == *role.session_arn() {
                    Some(Grant::Direct)
                } else {
                    when(**arn == *role.role_arn(), Grant::Limited)
                }
            }
            (Self::Arn(arn), Principal::Federated { issuer, .. }) => {
                if **arn == *caller.arn() {
                    Some(Grant::Direct)
                } else {
                    when(arn.as_ref() == issuer.as_ref(), Grant::Limited)
                }
            }
            (Self::Arn(arn), Principal::User { .. }) => when(**arn == *caller.arn(), Grant::Direct),
            (Self::UniqueId(unique), Principal::User { id, .. }) => when(unique.as_ref() == id.as_ref(), Grant::Direct),
            (Self::UniqueId(unique), Principal::Role(role)) => {
                when(unique.as_ref() == role.id.as_ref(), Grant::Limited)
            }
            (Self::UniqueId(unique), Principal::Federated { issuer_id, .. }) => {
                when(unique.as_ref() == issuer_id.as_ref(), Grant::Limited)
            }
            (Self::Service(service), Principal::Service { name }) => {
                when(service.as_ref() == name.as_ref(), Grant::Direct)
            }
            (Self::Federated(named), Principal::WebIdentity { provider }) => {
                when(named.as_ref() == provider.as_ref(), Grant::Direct)
            }
            _ => None,
        }
    }

    /// Whether an entry of `NotPrincipal` exempts a caller. As AWS: only the most specific name does; an account's entry
    /// exempts its root and nobody else, a role's does not exempt its sessions.
    pub(crate) fn exempts(&self, caller: &Principal) -> bool {
        self.grant(caller) == Some(Grant::Direct)
    }
}

/// `AIDA…` or `AROA…` with capitals and digits.
fn is_unique_id(text: &str) -> bool {
    (text.starts_with("AIDA") || text.starts_with("AROA"))
        && (16..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn has_name(text: &str) -> bool {
    !text.is_empty() && !text.ends_with('/') && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}
