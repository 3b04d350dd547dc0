//! Quotas: how much an account may have, from its policies (Eucalyptus' effect `Limit`) and from the table of quotas
//! with what an administrator set.
//!
//! Whoever makes something asks for an [`Allowance`] before its transaction (policies are read then) and takes from it
//! inside: one transaction at a time counts in an account, by the rows themselves, so the quota cannot be passed.

pub mod requests;
pub mod storage;
pub mod table;

use crate::authorize::{Ask, PolicyLimit};
use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, QuotaSettingRow, StoreError, Tx, account_fetch, creators_put, quota_hold, quota_setting_fetch,
    quota_setting_list, quota_use,
};
use mallee_types::AccountId;
use table::{Quota, Use, Words};

/// Where a quota comes from, in the words of refusals.
const SET: &str = "set by the administrator";
const USUAL: &str = "default";

/// So much of a quota is wanted.
pub type Demand = (&'static Quota, u64);

/// Whether the rows of what is wanted are written already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    ToCome,
    Written,
}

/// What a caller may still make.
#[derive(Debug, Clone)]
pub struct Allowance {
    account: AccountId,
    /// The user or role that makes it.
    creator: Option<String>,
    /// The administrator of the cloud: bound by what was set for its account, and by nothing else.
    unlimited: bool,
    /// Of policies.
    limits: Vec<PolicyLimit>,
}

/// The most there may be, in the quota's unit, and who says so.
struct Limit<'a> {
    max: u64,
    own: bool,
    source: &'a str,
}

impl Cloud {
    /// What the caller may still make by this action on this resource: to be asked before the transaction.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn allowance(&self, cx: &OpContext, ask: &Ask<'_>) -> Result<Allowance, ApiError> {
        let unlimited = cx.actor.is_admin && cx.actor.is_account_admin;
        let limits = if unlimited { Vec::new() } else { self.policy_limits(cx, ask).await.or_fail()? };
        Ok(Allowance { account: cx.account().clone(), creator: cx.creator(), unlimited, limits })
    }

    /// As [`Cloud::allowance`] for an action of EC2 that makes resources of this kind (`key-pair`).
    pub(crate) async fn ec2_allowance(
        &self,
        cx: &OpContext,
        action: &str,
        kind: &str,
        keys: &[(&str, Vec<String>)],
    ) -> Result<Allowance, ApiError> {
        // Images belong to nobody's account in their ARNs.
        let account = if kind == "image" { "" } else { cx.account().as_str() };
        let resource = format!("arn:aws:ec2:{}:{account}:{kind}/*", self.config().region);
        self.allowance(cx, &Ask { action, resource: &resource, keys, ..Ask::default() }).await
    }

    /// As [`Cloud::allowance`] for an action of IAM that makes the identity of this kind and name.
    pub(crate) async fn iam_allowance(
        &self,
        cx: &OpContext,
        action: &str,
        kind: &str,
        tail: &str,
    ) -> Result<Allowance, ApiError> {
        let resource = format!("arn:aws:iam::{}:{kind}/{}", cx.account(), tail.trim_start_matches('/'));
        self.allowance(cx, &Ask { action, resource: &resource, ..Ask::default() }).await
    }
}

/// Lets one transaction at a time count and make something in an account, until it ends: also for limits that are no
/// quotas. After the claim of a client token, before other locks.
///
/// # Errors
/// `AuthFailure` for an account that was deleted since the request was let in: nothing is made in it any more.
pub(crate) async fn hold_account(tx: &mut Tx, account: &AccountId) -> Result<(), ApiError> {
    quota_hold(tx, account).await.or_fail()?;
    match account_fetch(tx, account).await {
        Err(StoreError::NotFound { .. }) => Err(Code::AuthFailure.error()),
        other => other.or_fail().map(drop),
    }
}

/// The value of a quota of an account; none: as much as there is.
///
/// # Errors
/// What the database says.
pub async fn quota_value<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    quota: &Quota,
) -> Result<Option<u64>, StoreError> {
    Ok(quota_setting_fetch(exec, account, quota.service, quota.code).await?.or(quota.default))
}

/// A quota of each resource: whether one of the account's may have so many.
pub(crate) async fn within(
    tx: &mut Tx,
    account: &AccountId,
    quota: &'static Quota,
    count: usize,
) -> Result<(), ApiError> {
    let set = quota_setting_fetch(tx, account, quota.service, quota.code).await.or_fail()?;
    let source = if set.is_some() { SET } else { USUAL };
    match set.or(quota.default) {
        Some(max) if count as u64 > max => Err(refusal(quota, count as u64, &Limit { max, own: false, source })),
        _ => Ok(()),
    }
}

fn set_for(settings: &[QuotaSettingRow], quota: &Quota) -> Option<u64> {
    settings.iter().find(|row| row.service == quota.service && row.code == quota.code).map(|row| row.value)
}

impl Allowance {
    /// Takes these demands, or says which quota is exceeded, and notes who makes these resources. Their rows are
    /// written after it, in the same transaction.
    pub(crate) async fn take(&self, tx: &mut Tx, demands: &[Demand], resources: &[String]) -> Result<(), ApiError> {
        self.hold(tx).await?;
        self.check(tx, demands, Rows::ToCome).await?;
        self.made(tx, resources).await
    }

    /// Notes who makes these resources.
    pub(crate) async fn made(&self, tx: &mut Tx, resources: &[String]) -> Result<(), ApiError> {
        match &self.creator {
            Some(creator) if !resources.is_empty() => creators_put(tx, creator, resources).await.or_fail(),
            _ => Ok(()),
        }
    }

    /// Keeps every other transaction from counting in the account until this one ends. Before other locks.
    pub(crate) async fn hold(&self, tx: &mut Tx) -> Result<(), ApiError> {
        hold_account(tx, &self.account).await
    }

    /// After [`Allowance::hold`] and after the rows were changed so that they count this much more: whether it may be.
    pub(crate) async fn verify(&self, tx: &mut Tx, demands: &[Demand]) -> Result<(), ApiError> {
        self.check(tx, demands, Rows::Written).await
    }

    async fn check(&self, tx: &mut Tx, demands: &[Demand], rows: Rows) -> Result<(), ApiError> {
        let settings = quota_setting_list(&mut *tx, &self.account).await.or_fail()?;
        for (quota, wanted) in demands.iter().filter(|(_, wanted)| *wanted > 0) {
            let Use::Sum(counted, scale) = quota.used else { continue };
            let mut counts = [None; 2];
            for limit in self.limits_of(quota, &settings) {
                let creator = self.creator.as_deref().filter(|_| limit.own);
                let count = match counts[usize::from(limit.own)] {
                    Some(count) => count,
                    None => quota_use(&mut *tx, counted, &self.account, creator).await.or_fail()?,
                };
                counts[usize::from(limit.own)] = Some(count);
                let after = if rows == Rows::Written { count } else { count.saturating_add(*wanted) };
                if after > limit.max.saturating_mul(scale) {
                    return Err(refusal(quota, wanted.div_ceil(scale), &limit));
                }
            }
        }
        Ok(())
    }

    fn limits_of<'a>(&'a self, quota: &'static Quota, settings: &[QuotaSettingRow]) -> Vec<Limit<'a>> {
        let set = set_for(settings, quota).map(|max| Limit { max, own: false, source: SET });
        let usual = || {
            let max = if self.unlimited { quota.most } else { quota.default };
            max.map(|max| Limit { max, own: false, source: USUAL })
        };
        let by_policy = self.limits.iter().filter(|limit| quota.key.is_some_and(|key| key == limit.key));
        let by_policy = by_policy.map(|limit| Limit { max: limit.max, own: limit.own, source: &limit.source });
        set.or_else(usual).into_iter().chain(by_policy).collect()
    }
}

/// AWS's words, then which quota it was and where it comes from.
fn refusal(quota: &Quota, wanted: u64, limit: &Limit<'_>) -> ApiError {
    let (code, words) = quota.refusal;
    let max = limit.max.to_string();
    let text = match words {
        Words::Plain => code.text(&[]),
        Words::Instances => code.text(&[&wanted.to_string(), &max]),
        Words::Vcpus => code.text(&[&max]),
        Words::Iam(name) => return iam_refusal(code, name, quota, limit),
        Words::More(what) => format!("You have requested more {what} ({wanted}) than your quota of {max} allows."),
    };
    code.message(format!("{text} ({})", origin(quota, limit)))
}

fn iam_refusal(code: Code, name: &str, quota: &Quota, limit: &Limit<'_>) -> ApiError {
    code.message(format!("Cannot exceed quota for {name}: {} ({})", limit.max, origin(quota, limit)))
}

/// `Quota vpc/L-E79EC296: 5, default.`
fn origin(quota: &Quota, limit: &Limit<'_>) -> String {
    let whose = if limit.own { " of what this user or role made" } else { "" };
    format!("Quota {}/{}: {}{whose}, {}.", quota.service, quota.code, limit.max, limit.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(max: u64, source: &str) -> Limit<'_> {
        Limit { max, own: false, source }
    }

    #[test]
    fn refusals_are_awss_words_and_say_where_the_quota_comes_from() {
        let vcpus = refusal(&table::VCPUS, 8, &limit(4, "set by the administrator"));
        assert_eq!(vcpus.code(), Code::VcpuLimitExceeded);
        assert!(vcpus.message().contains("more vCPU capacity than your current vCPU limit of 4 allows"));
        assert!(
            vcpus.message().ends_with("(Quota ec2/L-1216C47A: 4, set by the administrator.)"),
            "{}",
            vcpus.message()
        );
        let users = refusal(&table::USERS, 1, &limit(5, "policy few of the account"));
        assert_eq!((users.code(), users.status()), (Code::LimitExceeded, 409));
        let text = "Cannot exceed quota for UsersPerAccount: 5 (Quota iam/L-F55AF5E4: 5, policy few of the account.)";
        assert_eq!(users.message(), text);
        let own = refusal(&table::MEMORY, 512, &Limit { max: 256, own: true, source: "policy arn:x" });
        assert_eq!(own.code(), Code::ResourceLimitExceeded);
        assert!(own.message().contains("256 of what this user or role made, policy arn:x"), "{}", own.message());
    }

    #[test]
    fn what_was_set_binds_everybody_and_the_rest_not_the_clouds_administrator() {
        let account: AccountId = "000000000001".parse().unwrap();
        let by_policy = PolicyLimit { key: "iam:quota-usernumber".into(), max: 3, own: false, source: "p".into() };
        let allowance = |unlimited| Allowance {
            account: account.clone(),
            creator: None,
            unlimited,
            limits: if unlimited { vec![] } else { vec![by_policy.clone()] },
        };
        let set = QuotaSettingRow {
            account_id: account.clone(),
            service: "iam".into(),
            code: table::USERS.code.into(),
            value: 7,
            set_ms: 1,
        };
        let maxima = |unlimited, settings: &[QuotaSettingRow]| -> Vec<u64> {
            allowance(unlimited).limits_of(&table::USERS, settings).iter().map(|limit| limit.max).collect()
        };
        assert_eq!(maxima(false, &[]), [5_000, 3]);
        assert_eq!(maxima(true, &[]), [10_000], "no more can be read at once");
        assert_eq!(maxima(false, std::slice::from_ref(&set)), [7, 3]);
        assert_eq!(maxima(true, std::slice::from_ref(&set)), [7]);
    }
}
