//! Quotas as policy: Eucalyptus' effect `Limit`.

use crate::context::Request;
use crate::policy::{Effect, Policy};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the condition keys of quotas contain.
pub(crate) const QUOTA_MARK: &str = ":quota-";

/// A quota key of Eucalyptus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaKey {
    /// Lower-case.
    pub key: &'static str,
    /// It counts what an account has; in a policy of a user or role it has no effect.
    pub account_only: bool,
}

macro_rules! quota_keys {
    ($($key:literal $(($account:ident))?),* $(,)?) => {
        /// Every quota key of Eucalyptus 5, by name.
        pub const QUOTA_KEYS: &[QuotaKey] = &[$(QuotaKey {
            key: $key,
            account_only: quota_keys!(@ $($account)?),
        }),*];
    };
    (@) => { false };
    (@ account) => { true };
}

quota_keys! {
    "autoscaling:quota-autoscalinggroupnumber",
    "autoscaling:quota-launchconfigurationnumber",
    "autoscaling:quota-scalingpolicynumber",
    "cloudformation:quota-stacknumber" (account),
    "ec2:quota-addressnumber",
    "ec2:quota-cputotalsize",
    "ec2:quota-disktotalsize",
    "ec2:quota-imagenumber",
    "ec2:quota-internetgatewaynumber",
    "ec2:quota-launchtemplatenumber",
    "ec2:quota-memorytotalsize",
    "ec2:quota-securitygroupnumber",
    "ec2:quota-snapshotnumber",
    "ec2:quota-vminstanceactivenumber",
    "ec2:quota-vminstancenumber",
    "ec2:quota-volumenumber",
    "ec2:quota-volumetotalsize",
    "ec2:quota-vpcnumber",
    "elasticloadbalancing:quota-loadbalancernumber" (account),
    "iam:quota-groupnumber" (account),
    "iam:quota-instanceprofilenumber",
    "iam:quota-openidconnectprovidernumber" (account),
    "iam:quota-policynumber",
    "iam:quota-rolenumber",
    "iam:quota-servercertificatenumber",
    "iam:quota-usernumber" (account),
    "route53:quota-hostedzonenumber",
    "s3:quota-bucketnumber",
    "s3:quota-bucketobjectnumber",
    "s3:quota-bucketsize",
    "s3:quota-buckettotalsize",
    "sqs:quota-queuenumber",
    "swf:quota-domainnumber",
}

/// Services whose quota keys are all in [`QUOTA_KEYS`]: one that is not is a mistake that would limit nothing. Of other
/// services any is kept for the day on which they come.
const KNOWN_SERVICES: [&str; 3] = ["ec2:", "iam:", "s3:"];

/// Whether a condition key, lower-case, names a quota.
#[must_use]
pub fn is_quota_key(key: &str) -> bool {
    key.contains(QUOTA_MARK)
}

/// Whether a quota key, lower-case, may stand in a policy.
pub(crate) fn may_limit(key: &str) -> bool {
    !KNOWN_SERVICES.iter().any(|service| key.starts_with(service)) || QUOTA_KEYS.iter().any(|known| known.key == key)
}

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
