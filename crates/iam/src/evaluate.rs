//! The decision.

use crate::context::Request;
use crate::policy::{Effect, Policy};
use crate::principal::Principal;
use crate::principal_pattern::Grant;
use mallee_types::AccountId;
use std::sync::Arc;

/// The policies that have a say in one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// Policies of the caller's account (Eucalyptus): only their denials count.
    pub account: &'a [Arc<Policy>],
    /// Policies of the caller: inline, attached, and those of its groups. For a session of GetFederationToken those of
    /// the user that asked for it; empty for an account root, whose right is implicit.
    pub identity: &'a [Arc<Policy>],
    /// Permissions boundary of the user or role.
    pub boundary: Option<&'a Policy>,
    /// Session policies. `Some` and empty allows nothing: GetFederationToken without policies.
    pub session: Option<&'a [Arc<Policy>]>,
    /// Policy of the resource.
    pub resource: Option<&'a Policy>,
    /// Only the denials of [`Inputs::resource`] count: what it is about belongs to somebody else, or what it allows is
    /// switched off.
    pub resource_denies_only: bool,
    /// What access control lists of the resource grant, as statements.
    pub grants: Option<&'a Policy>,
    /// Account that owns the resource; `None` means the caller's.
    pub resource_account: Option<&'a AccountId>,
    /// The resource's policy alone decides, even in one account: role trust policies, keys. It must allow; whom it names
    /// directly needs no other right, whom it lets in by the account does.
    pub resource_must_allow: bool,
}

/// Which set of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// [`Inputs::account`].
    Account,
    /// [`Inputs::resource`].
    Resource,
    /// [`Inputs::identity`].
    Identity,
    /// [`Inputs::boundary`].
    Boundary,
    /// [`Inputs::session`].
    Session,
}

impl Layer {
    /// All, in the order in which denials are looked for.
    pub const ALL: [Self; 5] = [Self::Account, Self::Resource, Self::Identity, Self::Boundary, Self::Session];
}

/// One statement among the inputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatementRef {
    /// Where its policy was.
    pub layer: Layer,
    /// Index of the policy in its layer (0 where a layer has one).
    pub policy: usize,
    /// Index of the statement in its policy.
    pub statement: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allow,
    /// A statement denies.
    ExplicitDeny(StatementRef),
    /// Nothing allows it in this layer.
    ImplicitDeny {
        /// The layer that AWS's message names ("because no {identity}-based policy allows the … action").
        layer: Layer,
    },
}

impl Decision {
    /// Whether it is [`Decision::Allow`].
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// What one layer says.
#[derive(Debug, Clone, Copy, Default)]
struct Verdict {
    /// The first statement that denies: policy, statement.
    deny: Option<(usize, usize)>,
    /// The best that an allowing statement gives.
    allow: Option<Grant>,
}

fn ask<'p>(request: &Request<'_>, policies: impl IntoIterator<Item = &'p Policy>) -> Verdict {
    let mut verdict = Verdict::default();
    for (p, policy) in policies.into_iter().enumerate() {
        for (s, statement) in policy.statements.iter().enumerate() {
            // Cheapest first: most statements are of other actions.
            if statement.effect == Effect::Limit || !statement.covers(request) {
                continue;
            }
            let grant = statement.grant(request.principal);
            if grant.is_none() || !statement.conditions_hold(request) {
                continue;
            }
            match statement.effect {
                Effect::Deny => {
                    verdict.deny = Some((p, s));
                    return verdict;
                }
                Effect::Allow | Effect::Limit => verdict.allow = verdict.allow.max(grant),
            }
        }
    }
    verdict
}

/// The policies of a layer; `None` where the layer does not exist.
pub(crate) fn policies_of<'a>(inputs: &Inputs<'a>, layer: Layer) -> Option<Vec<&'a Policy>> {
    let refs = |policies: &'a [Arc<Policy>]| policies.iter().map(Arc::as_ref).collect();
    match layer {
        Layer::Account => Some(refs(inputs.account)),
        Layer::Resource => {
            let both: Vec<&Policy> = inputs.resource.into_iter().chain(inputs.grants).collect();
            (!both.is_empty()).then_some(both)
        }
        Layer::Identity => Some(refs(inputs.identity)),
        Layer::Boundary => inputs.boundary.map(|policy| vec![policy]),
        Layer::Session => inputs.session.map(refs),
    }
}

/// Decides one request in AWS's order: an explicit denial anywhere; then what the resource's policy grants; then
/// identity, boundary and session policies, each of which must allow.
#[must_use]
pub fn evaluate(request: &Request<'_>, inputs: &Inputs<'_>) -> Decision {
    let mut allowed = [None; Layer::ALL.len()];
    for (layer, allow) in Layer::ALL.into_iter().zip(&mut allowed) {
        let Some(policies) = policies_of(inputs, layer) else { continue };
        let verdict = ask(request, policies.iter().copied());
        if let Some((policy, statement)) = verdict.deny {
            let sid = policies.get(policy).and_then(|p| p.statements.get(statement)).and_then(|s| s.sid.clone());
            return Decision::ExplicitDeny(StatementRef { layer, policy, statement, sid });
        }
        *allow = match layer {
            Layer::Resource if inputs.resource_denies_only => ask(request, inputs.grants).allow,
            _ => verdict.allow,
        };
    }
    let [_, resource, identity, boundary, session] = allowed;
    let own = OwnRights {
        identity: identity.is_some() || matches!(request.principal, Principal::Root { .. }),
        boundary: inputs.boundary.is_none() || boundary.is_some(),
        session: inputs.session.is_none() || session.is_some(),
    };
    match decide(request.principal, inputs, resource, own) {
        None => Decision::Allow,
        Some(layer) => Decision::ImplicitDeny { layer },
    }
}

/// What the caller's own policies allow.
#[derive(Debug, Clone, Copy)]
struct OwnRights {
    identity: bool,
    boundary: bool,
    session: bool,
}

impl OwnRights {
    /// The layer that does not let what a resource has granted to the session's origin.
    const fn limit(self) -> Option<Layer> {
        match (self.boundary, self.session) {
            (false, _) => Some(Layer::Boundary),
            (true, false) => Some(Layer::Session),
            (true, true) => None,
        }
    }

    /// The first layer that does not allow.
    const fn gap(self) -> Option<Layer> {
        if self.identity { self.limit() } else { Some(Layer::Identity) }
    }
}

/// The layer that is missing, or `None` when it is allowed. Nothing denies at this point.
fn decide(principal: &Principal, inputs: &Inputs<'_>, resource: Option<Grant>, own: OwnRights) -> Option<Layer> {
    let Some(account) = principal.account() else {
        // Without an account there are no policies of one's own.
        return if resource.is_some() { None } else { Some(Layer::Resource) };
    };
    let same_account = inputs.resource_account.is_none_or(|owner| owner == account);
    match resource {
        Some(Grant::Direct) if same_account => None,
        Some(Grant::Limited) if same_account => own.limit(),
        Some(Grant::Account | Grant::Limited | Grant::Direct) => own.gap(),
        None if same_account && !inputs.resource_must_allow => own.gap(),
        None => own.gap().or(Some(Layer::Resource)),
    }
}
