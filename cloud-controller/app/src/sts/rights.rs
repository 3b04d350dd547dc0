//! What a caller's own policies say when it assumes a role: the trust policy decides together with them.

use crate::{Actor, Cloud, OpContext};
use mallee_iam::{Context, Inputs, Policy, PolicyKind, Principal, Request, evaluate};
use mallee_store::{
    PrincipalKind, StoreError, iam_attachment_list_of, iam_boundary_fetch, iam_groups_of_user, iam_inline_list_of,
    iam_policy_documents,
};
use std::sync::Arc;

/// Groups read of one user; the quota is less.
const GROUPS_READ_MAX: u32 = 1_000;

/// The policies of a caller.
#[derive(Debug, Default)]
pub(super) struct OwnPolicies {
    account: Vec<Arc<Policy>>,
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
}

fn parsed(document: &str, kind: PolicyKind) -> Result<Arc<Policy>, StoreError> {
    // It was read before it was written. One that does not read now must not be passed over: it may deny.
    let corrupt = |error: mallee_iam::PolicyError| StoreError::Corrupt { what: format!("a policy: {error}") };
    Policy::parse(document, kind).map(Arc::new).map_err(corrupt)
}

impl Cloud {
    /// The policies of whoever stands behind this caller.
    pub(super) async fn own_policies(&self, actor: &Actor) -> Result<OwnPolicies, StoreError> {
        let mut own = OwnPolicies::default();
        let mut tx = self.store().read().await?;
        let of_account = iam_inline_list_of(&mut tx, PrincipalKind::Account, &[actor.account.to_string()]).await?;
        for row in of_account {
            own.account.push(parsed(&row.document, PolicyKind::Account)?);
        }
        if actor.is_account_admin {
            own.identity
                .push(parsed(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#, PolicyKind::Inline)?);
        }
        let (kind, id) = match &actor.principal {
            Principal::User { id, .. } => (PrincipalKind::User, id.to_string()),
            Principal::Federated { issuer_id, .. } => (PrincipalKind::User, issuer_id.to_string()),
            Principal::Role(role) => (PrincipalKind::Role, role.id.to_string()),
            Principal::Root { .. }
            | Principal::Anonymous
            | Principal::WebIdentity { .. }
            | Principal::Service { .. } => {
                tx.rollback().await?;
                return Ok(own);
            }
        };
        let mut holders = vec![(kind, vec![id.clone()])];
        if kind == PrincipalKind::User {
            let groups = iam_groups_of_user(&mut tx, &id, None, GROUPS_READ_MAX).await?;
            holders.push((PrincipalKind::Group, groups.into_iter().map(|group| group.id).collect()));
        }
        let mut arns = Vec::new();
        for (kind, ids) in holders.iter().filter(|(_, ids)| !ids.is_empty()) {
            for row in iam_inline_list_of(&mut tx, *kind, ids).await? {
                own.identity.push(parsed(&row.document, PolicyKind::Inline)?);
            }
            arns.extend(iam_attachment_list_of(&mut tx, *kind, ids).await?.into_iter().map(|row| row.policy_arn));
        }
        let boundary = iam_boundary_fetch(&mut tx, kind, &id).await?.map(|row| row.policy_arn);
        let wanted: Vec<String> = arns.iter().chain(&boundary).cloned().collect();
        let documents = if wanted.is_empty() { Vec::new() } else { iam_policy_documents(&mut tx, &wanted).await? };
        tx.rollback().await?;
        let find = |arn: &String| {
            let found = documents.iter().find(|(of, _)| of == arn).map(|(_, document)| document.as_str());
            parsed(found.ok_or_else(|| StoreError::Corrupt { what: format!("no policy {arn}") })?, PolicyKind::BuiltIn)
        };
        for arn in &arns {
            own.identity.push(find(arn)?);
        }
        own.boundary = boundary.as_ref().map(find).transpose()?;
        Ok(own)
    }
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
        };
        evaluate(&request, &inputs).is_allowed()
    }
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
    set("aws:SourceIp", facts.source_ip.map(|ip| ip.to_string()));
    set("aws:UserAgent", facts.user_agent.as_deref().map(str::to_owned));
    set("aws:referer", facts.referer.as_deref().map(str::to_owned));
    set("aws:RequestedRegion", facts.region.as_deref().map(str::to_owned));
    set("aws:SecureTransport", Some(facts.secure.to_string()));
    if let Some(session) = &cx.actor.session {
        set("aws:SourceIdentity", session.source_identity.clone());
        set("aws:FederatedProvider", session.provider.clone());
        set("ec2:SourceInstanceARN", session.source_instance.clone());
        set("aws:TokenIssueTime", Some((session.issued_ms / 1000).to_string()));
        set("aws:MultiFactorAuthPresent", Some(session.mfa_ms.is_some().to_string()));
        set("aws:MultiFactorAuthAge", session.mfa_ms.map(|ms| ((now_ms - ms) / 1000).to_string()));
        for (key, value) in &session.tags {
            set(&format!("aws:PrincipalTag/{key}"), Some(value.clone()));
        }
    }
    context
}
