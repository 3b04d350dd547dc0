//! What SimulatePrincipalPolicy tells beside the decision, and AWS's text of a refusal.

use crate::context::{Request, plain_key};
use crate::evaluate::{Decision, Inputs, Layer, StatementRef, evaluate, policies_of};
use crate::policy::{Effect, Statement};
use std::collections::BTreeSet;

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What [`evaluate`] says.
    pub decision: Decision,
    /// Every statement that decided: all that deny where it is denied, all that allow where it is allowed (of every
    /// layer), none otherwise; in the order of [`Layer::ALL`], policies, statements. Their places in the documents:
    /// [`Statement::span`].
    pub matched: Vec<StatementRef>,
    /// Condition keys, as first written, that statements for this action and resource ask for and the request has not;
    /// sorted.
    pub missing_context: Vec<String>,
    /// Whether the boundary allows and does not deny, where there is one.
    pub boundary_allows: Option<bool>,
}

/// As [`evaluate`], with the reasons.
#[must_use]
pub fn explain(request: &Request<'_>, inputs: &Inputs<'_>) -> Explanation {
    let decision = evaluate(request, inputs);
    let wanted = match &decision {
        Decision::Allow => Some(Effect::Allow),
        Decision::ExplicitDeny(_) => Some(Effect::Deny),
        Decision::ImplicitDeny { .. } => None,
    };
    let mut matched = Vec::new();
    let mut missing = Missing::default();
    let mut boundary = (false, false);
    for layer in Layer::ALL {
        for (p, policy) in policies_of(inputs, layer).unwrap_or_default().into_iter().enumerate() {
            for (s, statement) in policy.statements.iter().enumerate() {
                missing.collect(statement, request);
                let applies = statement.effect != Effect::Limit
                    && statement.covers(request)
                    && statement.grant(request.principal).is_some()
                    && statement.conditions_hold(request);
                if !applies {
                    continue;
                }
                if layer == Layer::Boundary {
                    boundary.0 |= statement.effect == Effect::Allow;
                    boundary.1 |= statement.effect == Effect::Deny;
                }
                if Some(statement.effect) == wanted && (layer != Layer::Account || statement.effect == Effect::Deny) {
                    matched.push(StatementRef { layer, policy: p, statement: s, sid: statement.sid.clone() });
                }
            }
        }
    }
    let boundary_allows = inputs.boundary.map(|_| boundary == (true, false));
    Explanation { decision, matched, missing_context: missing.sorted(), boundary_allows }
}

/// Keys that the request has not, each once whatever its case.
#[derive(Default)]
struct Missing {
    seen: BTreeSet<String>,
    keys: Vec<String>,
}

impl Missing {
    fn collect(&mut self, statement: &Statement, request: &Request<'_>) {
        // A variable without value keeps its own resource from matching: then only the action tells.
        if statement.effect == Effect::Limit || !(statement.covers(request) || statement.asks_resource(request)) {
            return;
        }
        statement.each_key(&mut |key| {
            if request.context.get(key).is_empty() && self.seen.insert(plain_key(key).into_owned()) {
                self.keys.push(key.to_owned());
            }
        });
    }

    fn sorted(mut self) -> Vec<String> {
        self.keys.sort_unstable();
        self.keys
    }
}

impl Decision {
    /// AWS's text of a refusal (`AccessDenied`, and `UnauthorizedOperation`'s long form); `None` when it is allowed.
    ///
    /// `caller` is the caller's ARN; a `resource` of `*` is named, as AWS does for actions without one.
    #[must_use]
    pub fn refusal(&self, caller: &str, action: &str, resource: &str) -> Option<String> {
        let why = match self {
            Self::Allow => return None,
            Self::ExplicitDeny(statement) => format!("with an explicit deny in {}", statement.layer.with_article()),
            Self::ImplicitDeny { layer } => format!("because no {} allows the {action} action", layer.name()),
        };
        Some(format!("User: {caller} is not authorized to perform: {action} on resource: {resource} {why}"))
    }
}

impl Layer {
    /// As AWS names it in refusals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "service control policy",
            Self::Resource => "resource-based policy",
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
        }
    }

    /// With `a` or `an`.
    fn with_article(self) -> String {
        let article = if self == Self::Identity { "an" } else { "a" };
        format!("{article} {}", self.name())
    }
}
