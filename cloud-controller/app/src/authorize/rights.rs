//! What a caller's policies are: kept in memory until the log of changes says that its account's IAM changed.

use crate::iam::{EffectivePolicies, PolicyCache};
use crate::{Cloud, OpContext};
use mallee_iam::{Policy, PolicyKind, Principal, is_quota_key};
use mallee_store::{PrincipalKind, StoreError, iam_tag_list};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Callers whose rights are kept at most; beyond it the memory begins anew.
const CALLERS_MAX: usize = 10_000;
/// What a caller has who needs no policy.
static EVERYTHING: LazyLock<Option<Arc<Policy>>> = LazyLock::new(|| {
    let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    Policy::parse(text, PolicyKind::BuiltIn).ok().map(Arc::new)
});

/// What decides for one caller, ready for the evaluator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    /// Of its account.
    pub account: Vec<Arc<Policy>>,
    /// Of the caller and its groups.
    pub identity: Vec<Arc<Policy>>,
    /// Its permissions boundary.
    pub boundary: Option<Arc<Policy>>,
    /// Its own tags.
    pub tags: Vec<(String, String)>,
    /// A condition or variable is about what resources are like, so that they have to be looked up.
    pub asks_about_resources: bool,
    /// A condition or variable is about the tags of an object that is there.
    pub asks_object_tags: bool,
}

/// Whose rights, and whether everything is allowed without a policy.
pub(super) type Caller = (PrincipalKind, String, bool);

/// The policies of a caller, and the rights that they give.
type Known = (Arc<EffectivePolicies>, Arc<Rights>);

/// The rights of callers.
#[derive(Debug, Default)]
pub(crate) struct Authorizer {
    policies: PolicyCache,
    /// Good as long as the policies they were made of are those that the cache gives.
    known: Mutex<HashMap<Caller, Known>>,
    pub(super) resources: super::resource::Documents,
}

/// Prefixes of condition keys that say something of a resource.
const ABOUT_RESOURCES: [&str; 5] = ["aws:resource", "ec2:", "iam:permissionsboundary", "iam:resourcetag/", "s3:"];

fn asks_about_resources(policies: &[Arc<Policy>]) -> bool {
    let about = |key: &String| {
        let key = key.to_ascii_lowercase();
        !is_quota_key(&key) && ABOUT_RESOURCES.iter().any(|prefix| key.starts_with(prefix))
    };
    policies.iter().any(|policy| policy.context_keys().iter().any(about))
}

/// Whether a policy asks which tags an object has.
pub(super) fn asks_object_tags(policy: &Policy) -> bool {
    policy.context_keys().iter().any(|key| key.to_ascii_lowercase().starts_with("s3:existingobjecttag/"))
}

/// Whose rights a request has, and whether everything is allowed without a policy.
pub(super) fn caller(cx: &OpContext) -> Caller {
    let (kind, id, mut everything) = match &cx.actor.principal {
        Principal::User { id, .. } => (PrincipalKind::User, id.to_string(), cx.actor.is_account_admin),
        Principal::Role(role) => (PrincipalKind::Role, role.id.to_string(), false),
        Principal::Federated { issuer, issuer_id, .. } => {
            (PrincipalKind::User, issuer_id.to_string(), issuer.ends_with(":root") || cx.actor.is_account_admin)
        }
        // What has no policies of its own gets none; of an account's root the right is implicit.
        other => (PrincipalKind::User, other.user_id(), false),
    };
    everything &= !matches!(cx.actor.principal, Principal::Root { .. });
    (kind, id, everything)
}

impl Cloud {
    /// The policies that apply to a caller.
    pub(super) async fn policies_of_caller(
        &self,
        cx: &OpContext,
        (kind, id, _): &Caller,
    ) -> Result<Arc<EffectivePolicies>, StoreError> {
        self.authorizer().policies.get(self.store(), cx.account(), *kind, id).await
    }

    /// The rights of the caller. What this replica committed before counts.
    pub(crate) async fn rights(&self, cx: &OpContext) -> Result<Arc<Rights>, StoreError> {
        let caller = caller(cx);
        let authorizer = self.authorizer();
        let policies = self.policies_of_caller(cx, &caller).await?;
        {
            let known = authorizer.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((of, rights)) = known.get(&caller)
                && Arc::ptr_eq(of, &policies)
            {
                return Ok(rights.clone());
            }
        }
        let tags = iam_tag_list(self.store(), &caller.1).await?;
        let tags = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let rights = Arc::new(rights_of(&policies, caller.2, tags));
        let mut known = authorizer.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CALLERS_MAX {
            known.clear();
        }
        known.insert(caller, (policies, rights.clone()));
        Ok(rights)
    }
}

fn rights_of(policies: &EffectivePolicies, everything: bool, tags: Vec<(String, String)>) -> Rights {
    let list = |of: &[crate::iam::EffectivePolicy]| of.iter().map(|one| one.policy.clone()).collect::<Vec<_>>();
    let account = list(&policies.account);
    let mut identity = list(&policies.identity);
    if everything {
        identity.extend(EVERYTHING.clone());
    }
    let boundary = policies.boundary.as_ref().map(|one| one.policy.clone());
    let asks = asks_about_resources(&account)
        || asks_about_resources(&identity)
        || boundary.as_ref().is_some_and(|boundary| asks_about_resources(std::slice::from_ref(boundary)));
    let mut policies = account.iter().chain(&identity).chain(boundary.as_ref());
    let asks_object_tags = policies.any(|policy| asks_object_tags(policy));
    Rights { account, identity, boundary, tags, asks_about_resources: asks, asks_object_tags }
}
