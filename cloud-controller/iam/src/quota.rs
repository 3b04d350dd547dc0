//! Quotas as policy: Eucalyptus' effect `Limit`.

use crate::context::Request;
use crate::policy::{Effect, Policy};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the condition keys of quotas contain.
pub(crate) const QUOTA_MARK: &str = ":quota-";

/// A quota that a policy sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaLimit {
    /// The quota key, lower-case (`ec2:quota-vminstancenumber`).
    pub key: String,
    /// Most that may be in use after the request.
    pub max: u64,
}

/// The quotas that these policies set for a request, sorted by key, the smallest of each: statements of effect `Limit`
/// whose action and resource match and whose other conditions hold.
#[must_use]
pub fn quota_limits(request: &Request<'_>, policies: &[Arc<Policy>]) -> Vec<QuotaLimit> {
    let mut smallest: BTreeMap<&str, u64> = BTreeMap::new();
    let statements = policies.iter().flat_map(|policy| policy.statements());
    for statement in statements.filter(|s| s.effect == Effect::Limit && s.covers(request)) {
        let (quotas, others): (Vec<_>, Vec<_>) = statement.conditions.iter().partition(|c| c.key.contains(QUOTA_MARK));
        if !others.iter().all(|condition| condition.holds(request.context, Effect::Limit)) {
            continue;
        }
        for condition in quotas {
            for max in condition.operands.iter().filter_map(crate::condition::Operand::as_quota) {
                let entry = smallest.entry(&condition.key).or_insert(max);
                *entry = (*entry).min(max);
            }
        }
    }
    smallest.into_iter().map(|(key, max)| QuotaLimit { key: key.to_owned(), max }).collect()
}
