//! Whether a statement speaks of a request.

use crate::context::Request;
use crate::pattern::ResourcePattern;
use crate::policy::{Effect, Set, Statement};
use crate::principal::Principal;
use crate::principal_pattern::Grant;

impl Statement {
    /// Whether action and resource match.
    pub(crate) fn covers(&self, request: &Request<'_>) -> bool {
        self.covers_action(request.action)
            && self.resource.as_ref().is_none_or(|resources| self.covers_resource(resources, request))
    }

    fn covers_action(&self, action: &str) -> bool {
        self.action.items.iter().any(|pattern| pattern.matches(action)) != self.action.negated
    }

    /// As [`crate::condition::Condition::holds`]: a variable without value matches nothing, and does not widen what
    /// `NotResource` allows nor narrow what it denies.
    fn covers_resource(&self, resources: &Set<ResourcePattern>, request: &Request<'_>) -> bool {
        let unresolved = resources.negated && self.effect != Effect::Deny;
        let matches =
            |pattern: &ResourcePattern| pattern.matches(request.resource, request.context).unwrap_or(unresolved);
        resources.items.iter().any(matches) != resources.negated
    }

    /// Whether the action matches, and the resource cannot be told because a variable has no value.
    pub(crate) fn asks_resource(&self, request: &Request<'_>) -> bool {
        let unknown = |pattern: &ResourcePattern| pattern.matches(request.resource, request.context).is_none();
        self.covers_action(request.action) && self.resource.iter().flat_map(|set| &set.items).any(unknown)
    }

    /// Whether all conditions hold.
    pub(crate) fn conditions_hold(&self, request: &Request<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(request.context, self.effect))
    }

    /// What the caller gets from `Principal`; a policy without one is attached to whom it is for.
    pub(crate) fn grant(&self, caller: &Principal) -> Option<Grant> {
        match &self.principal {
            None => Some(Grant::Direct),
            Some(set) if set.negated => {
                (!set.items.iter().any(|pattern| pattern.exempts(caller))).then_some(Grant::Direct)
            }
            Some(set) => set.items.iter().filter_map(|pattern| pattern.grant(caller)).max(),
        }
    }
}
