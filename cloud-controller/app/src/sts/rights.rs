//! What a caller's own policies say when it assumes a role: the trust policy decides together with them.

use crate::iam::{EffectivePolicies, EffectivePolicy, policies_of};
use crate::{Actor, Cloud, OpContext};
use mallee_iam::{Context, Inputs, Policy, PolicyKind, Principal, Request, evaluate};
use mallee_store::{PrincipalKind, RoleRow, StoreError};
use std::sync::Arc;

/// The policies of a caller.
#[derive(Debug, Default)]
pub(super) struct OwnPolicies {
    account: Vec<Arc<Policy>>,
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
}

impl Cloud {
    /// The policies of whoever stands behind this caller.
    pub(super) async fn own_policies(&self, actor: &Actor) -> Result<OwnPolicies, StoreError> {
        let (kind, id) = match &actor.principal {
            Principal::User { id, .. } => (PrincipalKind::User, id),
            Principal::Federated { issuer_id, .. } => (PrincipalKind::User, issuer_id),
            Principal::Role(role) => (PrincipalKind::Role, &role.id),
            Principal::Root { .. }
            | Principal::Anonymous
            | Principal::WebIdentity { .. }
            | Principal::Service { .. } => {
                return Ok(OwnPolicies::default());
            }
        };
        let EffectivePolicies { account, identity, boundary } =
            policies_of(self.store(), &actor.account, kind, id).await?;
        let parsed = |policies: Vec<EffectivePolicy>| policies.into_iter().map(|of| of.policy).collect::<Vec<_>>();
        let mut identity = parsed(identity);
        if actor.is_account_admin {
            identity.push(everything()?);
        }
        Ok(OwnPolicies { account: parsed(account), identity, boundary: boundary.map(|of| of.policy) })
    }
}

/// What a user has who was made an administrator of its account.
fn everything() -> Result<Arc<Policy>, StoreError> {
    let text = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let corrupt = |error: mallee_iam::PolicyError| StoreError::Corrupt { what: error.to_string() };
    Policy::parse(text, PolicyKind::BuiltIn).map(Arc::new).map_err(corrupt)
}

impl OwnPolicies {
    /// Whether the trust policy of a role lets this caller do `action` on it.
    pub(super) fn may_assume(
        &self,
        actor: &Actor,
        action: &str,
        role: &str,
        trust: &Policy,
        context: &Context,
    ) -> bool {
        let request = Request { principal: &actor.principal, action, resource: role, context };
        let owner = role.split(':').nth(4).and_then(|account| account.parse().ok());
        let inputs = Inputs {
            account: &self.account,
            identity: &self.identity,
            boundary: self.boundary.as_deref(),
            session: actor.session.as_ref().and_then(|session| session.policies.as_deref()),
            resource: Some(trust),
            resource_account: owner.as_ref(),
            resource_must_allow: true,
            ..Inputs::default()
        };
        evaluate(&request, &inputs).is_allowed()
    }
}

/// Whether a role's trust policy alone lets somebody do `action` on it who has no policies of its own: a service, or
/// an identity that a provider vouches for.
pub(crate) fn trusts(role: &RoleRow, principal: &Principal, action: &str, context: &Context) -> bool {
    let trust = match Policy::parse(&role.trust, PolicyKind::Trust) {
        Ok(trust) => trust,
        Err(error) => {
            // A stored document that does not read lets nobody in.
            tracing::error!(role = role.name, %error, "the trust policy of a role does not read");
            return false;
        }
    };
    let arn = format!("arn:aws:iam::{}:role{}{}", role.account_id, role.path, role.name);
    let request = Request { principal, action, resource: &arn, context };
    let inputs = Inputs {
        account: &[],
        identity: &[],
        boundary: None,
        session: None,
        resource: Some(&trust),
        resource_account: Some(&role.account_id),
        resource_must_allow: true,
        ..Inputs::default()
    };
    evaluate(&request, &inputs).is_allowed()
}

/// The condition keys of a call that do not depend on what it asks.
pub(super) fn context(cx: &OpContext, now_ms: i64) -> Context {
    let mut context = Context::of(&cx.actor.principal);
    let facts = &cx.facts;
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            context.set(key, value);
        }
    };
    set("aws:EpochTime", Some((now_ms / 1000).to_string()));
    set("aws:CurrentTime", Some((now_ms / 1000).to_string()));
    set("aws:SourceIp", facts.source_ip.map(|ip| ip.to_canonical().to_string()));
    set("aws:UserAgent", facts.user_agent.as_deref().map(str::to_owned));
    set("aws:referer", facts.referer.as_deref().map(str::to_owned));
    set("aws:RequestedRegion", facts.region.as_deref().map(str::to_owned));
    set("aws:SecureTransport", Some(facts.secure.to_string()));
    if let Some(session) = &cx.actor.session {
        set("aws:SourceIdentity", session.source_identity.clone());
        set("aws:FederatedProvider", session.provider.clone());
        for (key, value) in session.of_instance() {
            set(key, Some(value.to_owned()));
        }
        set("aws:TokenIssueTime", Some((session.issued_ms / 1000).to_string()));
        set("aws:MultiFactorAuthPresent", Some(session.mfa_ms.is_some().to_string()));
        set("aws:MultiFactorAuthAge", session.mfa_ms.map(|ms| ((now_ms - ms) / 1000).to_string()));
        for (key, value) in &session.tags {
            set(&format!("aws:PrincipalTag/{key}"), Some(value.clone()));
        }
    }
    context
}
