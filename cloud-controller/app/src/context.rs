//! Who does what, and on whose behalf: the first argument of every use case.

use mallee_iam::{Policy, Principal};
use mallee_types::AccountId;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The account whose resources the call sees.
    pub account: AccountId,
    /// Who it is, as policies see it.
    pub principal: Principal,
    /// IAM's unique id of the caller, as GetCallerIdentity and `aws:userid` show it (`AIDA…`, `AROA…:session`).
    pub user_id: Arc<str>,
    /// Full ARN of the user or session.
    pub arn: Arc<str>,
    /// Belongs to the account that administers the cloud itself.
    pub is_admin: bool,
    /// May do everything in its account without a policy: what a user has who was made so. Boundaries and session
    /// policies count nevertheless.
    pub is_account_admin: bool,
    /// What temporary credentials bring with them; none for an access key of a user or an account root.
    pub session: Option<Arc<Session>>,
}

/// What temporary credentials bring with them.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// When they were issued, in milliseconds since 1970.
    pub issued_ms: i64,
    /// When the caller proved a second factor, in milliseconds since 1970.
    pub mfa_ms: Option<i64>,
    /// Policies given with the session: each action must be allowed by one of them too. `None`: they were none, and the
    /// session may what its principal may. `Some` and empty allows nothing (GetFederationToken without policies).
    pub policies: Option<Vec<Arc<Policy>>>,
    /// Session tags (`aws:PrincipalTag/…`), over those of the role or user.
    pub tags: Vec<(String, String)>,
    /// Keys of the session tags that go on in a chain of roles.
    pub transitive_tag_keys: Vec<String>,
    /// `aws:SourceIdentity`.
    pub source_identity: Option<String>,
    /// `aws:FederatedProvider`: ARN of the identity provider that vouched for a web identity.
    pub provider: Option<String>,
    /// `ec2:SourceInstanceARN`: the instance to which the metadata service gave the credentials.
    pub source_instance: Option<String>,
    /// `aws:Ec2InstanceSourceVpc`: its VPC.
    pub source_vpc: Option<String>,
    /// `aws:Ec2InstanceSourcePrivateIPv4`: the address of its first interface.
    pub source_private_ip: Option<String>,
}

impl Session {
    /// The condition keys of credentials that an instance was given.
    pub(crate) fn of_instance(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let texts = [
            ("ec2:SourceInstanceARN", &self.source_instance),
            ("aws:Ec2InstanceSourceVpc", &self.source_vpc),
            ("aws:Ec2InstanceSourcePrivateIPv4", &self.source_private_ip),
        ];
        texts.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }
}

impl Actor {
    /// The caller that this principal is, without a session. Anonymous callers and services have no account: `None`.
    #[must_use]
    pub fn new(principal: Principal, is_admin: bool) -> Option<Self> {
        let account = principal.account()?.clone();
        let (user_id, arn) = (principal.user_id().into(), principal.arn().into());
        Some(Self { account, principal, user_id, arn, is_admin, is_account_admin: false, session: None })
    }

    /// The root of an account: may do everything in it.
    #[must_use]
    pub fn root(account: AccountId, is_admin: bool) -> Self {
        let principal = Principal::Root { account: account.clone() };
        let (user_id, arn) = (principal.user_id().into(), principal.arn().into());
        Self { account, principal, user_id, arn, is_admin, is_account_admin: true, session: None }
    }

    /// Somebody unknown who asks something of an account: may nothing that is not granted to everybody.
    #[must_use]
    pub fn stranger(account: AccountId) -> Self {
        let principal = Principal::Anonymous;
        let (user_id, arn) = (principal.user_id().into(), principal.arn().into());
        Self { account, principal, user_id, arn, is_admin: false, is_account_admin: false, session: None }
    }

    /// With what temporary credentials bring.
    #[must_use]
    pub fn with_session(mut self, session: Arc<Session>) -> Self {
        self.session = Some(session);
        self
    }
}

/// What is known of a request besides who sent it and what it asks: values of condition keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// `aws:SourceIp`; none for calls of the cloud itself.
    pub source_ip: Option<IpAddr>,
    /// `aws:UserAgent`.
    pub user_agent: Option<Arc<str>>,
    /// `aws:referer`.
    pub referer: Option<Arc<str>>,
    /// `aws:SecureTransport`: it came over TLS.
    pub secure: bool,
    /// `aws:RequestedRegion`: of the credential scope.
    pub region: Option<Arc<str>>,
    /// The access key that signed it.
    pub access_key_id: Option<Arc<str>>,
    /// Signed in the query string: a presigned URL.
    pub presigned: bool,
    /// Signed with signature version 2: `s3:signatureversion`.
    pub sigv2: bool,
    /// When it was signed, in milliseconds since 1970; with `presigned` gives `s3:signatureAge`.
    pub signed_ms: Option<i64>,
}

/// A user or role for whom the cloud acts later: a fleet's, or a spot request's. Its own quotas bind what is made then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// IAM's unique id (`AIDA…`, `AROA…`).
    pub id: String,
    /// It is a role.
    pub is_role: bool,
    /// An administrator of its account: bound by the account's quotas only.
    pub is_account_admin: bool,
}

/// One operation in progress.
#[derive(Debug, Clone)]
pub struct OpContext {
    /// Who.
    pub actor: Actor,
    /// The id that the reply, the log and the audit trail carry.
    pub request_id: Arc<str>,
    /// What else is known of the request.
    pub facts: Arc<RequestFacts>,
    /// Of a call that the cloud makes itself: for whom.
    pub maker: Option<Maker>,
}

impl OpContext {
    /// A context for this actor, of a call that the cloud makes itself.
    #[must_use]
    pub fn new(actor: Actor, request_id: impl Into<Arc<str>>) -> Self {
        Self { actor, request_id: request_id.into(), facts: Arc::default(), maker: None }
    }

    /// With what is known of the request.
    #[must_use]
    pub fn with_facts(mut self, facts: RequestFacts) -> Self {
        self.facts = Arc::new(facts);
        self
    }

    /// For this user or role.
    #[must_use]
    pub fn made_for(mut self, maker: Option<Maker>) -> Self {
        self.maker = maker;
        self
    }

    /// Whether no policy can stand in the caller's way: an account's root without session policies.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        let limited = self.actor.session.as_ref().is_some_and(|session| session.policies.is_some());
        matches!(self.actor.principal, Principal::Root { .. }) && !limited
    }

    /// The account whose resources the operation sees.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.actor.account
    }
}
