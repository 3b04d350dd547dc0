//! The quotas that policies set for a caller: Eucalyptus' effect `Limit`.

use super::rights::caller;
use super::{Ask, keys};
use crate::context::Maker;
use crate::iam::EffectivePolicy;
use crate::{Cloud, OpContext};
use mallee_iam::{Principal, QUOTA_KEYS, Request, quota_limits};
use mallee_store::{PrincipalKind, StoreError};

/// A quota that a policy sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyLimit {
    /// Its key, lower-case.
    pub key: String,
    /// In the unit of the key.
    pub max: u64,
    /// It counts what the caller itself made, not what the account has.
    pub own: bool,
    /// Which policy says so.
    pub source: String,
}

fn source(policy: &EffectivePolicy) -> String {
    match (&policy.arn, policy.holder.0) {
        (Some(arn), _) => format!("policy {arn}"),
        (None, PrincipalKind::Account) => format!("policy {} of the account", policy.name),
        (None, PrincipalKind::User) => format!("inline policy {} of the user", policy.name),
        (None, PrincipalKind::Role) => format!("inline policy {} of the role", policy.name),
        (None, PrincipalKind::Group) => format!("inline policy {} of a group", policy.name),
    }
}

impl OpContext {
    /// The unique id under which is kept what the caller makes: of its user or role. The root of an account has none.
    pub(crate) fn creator(&self) -> Option<String> {
        self.as_maker().map(|maker| maker.id)
    }

    /// Whose quotas bind what is made now, and what the cloud makes later because of this call. The root of an account
    /// has none of its own.
    pub(crate) fn as_maker(&self) -> Option<Maker> {
        if self.maker.is_some() {
            return self.maker.clone();
        }
        match self.actor.principal {
            Principal::User { .. } | Principal::Role(_) | Principal::Federated { .. } => {
                let (kind, id, _) = caller(self);
                let is_role = kind == PrincipalKind::Role;
                Some(Maker { id, is_role, is_account_admin: self.actor.is_account_admin })
            }
            _ => None,
        }
    }
}

impl Cloud {
    /// The quotas that policies set for this request: those of the account, and those of the user or role itself. As in
    /// Eucalyptus a group's have no effect, and the administrator of an account is bound by the account's only.
    pub(crate) async fn policy_limits(&self, cx: &OpContext, ask: &Ask<'_>) -> Result<Vec<PolicyLimit>, StoreError> {
        let (caller, is_admin) = match &cx.maker {
            Some(Maker { id, is_role, is_account_admin }) => {
                let kind = if *is_role { PrincipalKind::Role } else { PrincipalKind::User };
                ((kind, id.clone(), false), *is_account_admin)
            }
            None => (caller(cx), cx.actor.is_account_admin),
        };
        let policies = self.policies_of_caller(cx, &caller).await?;
        let is_bound = |policy: &&EffectivePolicy| policy.holder.0 != PrincipalKind::Group && !is_admin;
        let own = policies.identity.iter().filter(is_bound).map(|policy| (true, policy));
        let all: Vec<_> = policies.account.iter().map(|policy| (false, policy)).chain(own).collect();
        let limits = |policy: &EffectivePolicy| {
            policy.policy.statements().iter().any(|statement| statement.effect() == mallee_iam::Effect::Limit)
        };
        if !all.iter().any(|(_, policy)| limits(policy)) {
            return Ok(Vec::new());
        }
        let rights = self.rights(cx).await?;
        let mut context = keys::of_request(self, cx, &rights);
        for (key, values) in ask.keys {
            context.set_all(key, values.iter().map(String::as_str));
        }
        let request =
            Request { principal: &cx.actor.principal, action: ask.action, resource: ask.resource, context: &context };
        let account_only = |key: &str| QUOTA_KEYS.iter().any(|known| known.key == key && known.account_only);
        let mut found = Vec::new();
        for (own, policy) in all {
            for limit in quota_limits(&request, std::slice::from_ref(&policy.policy)) {
                if !(own && account_only(&limit.key)) {
                    found.push(PolicyLimit { key: limit.key, max: limit.max, own, source: source(policy) });
                }
            }
        }
        Ok(found)
    }
}
