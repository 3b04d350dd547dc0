//! What Walrus asks the cloud's identities: who signed a request, and what policies say of it. In one process it asks
//! here; a Walrus of its own asks over the Directory, which comes here too.

use crate::front::facts;
use crate::identity::SharedVerifier;
use async_trait::async_trait;
use mallee_app::authorize::{Ask, Refusal, ResourcePolicy};
use mallee_app::quotas::storage::{Storage, StorageLimit};
use mallee_app::{Actor, Cloud, OpContext};
use mallee_awswire::sigv4::{Authenticated, Fault, SignedRequest};
use mallee_awswire::{ApiError, Code};
use mallee_s3::{
    Authority, Caller, Case, Identified, Identity, Judgement, Keys, Limit, Limited as What, Limits, Question, Resource,
};
use mallee_serve::Peer;
use mallee_store::{StoreError, account_fetch, role_by_name, role_fetch, user_by_name, user_fetch};
use mallee_types::AccountId;
use std::sync::{Arc, OnceLock};
use time::OffsetDateTime;

/// What is said to those who are told nothing more: nobody, and callers of another account.
const DENIED: &str = "Access Denied";

/// What a request asks, without where it came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub resources: &'a [Resource],
    pub questions: &'a [Question],
    pub keys: &'a Keys,
    /// The question whose quotas are wanted.
    pub quotas: Option<usize>,
}

/// The caller's context, or that of nobody.
#[derive(Debug)]
pub(crate) enum Party<'a> {
    Known(&'a OpContext),
    Nobody(mallee_app::RequestFacts),
}

fn account(text: &str) -> Result<AccountId, ApiError> {
    text.parse().map_err(ApiError::internal)
}

/// Decides the questions of a request.
///
/// # Errors
/// What the database says; policies that cannot be read.
pub(crate) async fn judge(cloud: &Cloud, party: Party<'_>, asked: Asked<'_>) -> Result<Judgement, ApiError> {
    let Asked { resources, questions, keys, quotas } = asked;
    let stranger;
    let cx = match party {
        Party::Known(cx) => cx,
        Party::Nobody(facts) => {
            // Whose resource it is stands for an account that it has not.
            let Some(owner) = resources.iter().find_map(|resource| resource.account.as_deref()) else {
                let refusals = questions.iter().map(|_| Some(DENIED.to_owned())).collect();
                return Ok(Judgement { refusals, ..Judgement::default() });
            };
            stranger = OpContext::new(Actor::stranger(account(owner)?), "").with_facts(facts);
            &stranger
        }
    };
    let refusals;
    let mut asks_object_tags = false;
    if cx.is_unrestricted() && resources.iter().all(|resource| is_plain(cx, resource)) {
        refusals = vec![None; questions.len()];
    } else {
        let about = resources.iter().map(|resource| About::read(cloud, resource)).collect::<Result<Vec<_>, _>>()?;
        asks_object_tags =
            about.iter().any(|about| about.policy.as_ref().is_some_and(|policy| policy.asks_object_tags));
        let texts: Vec<Vec<(&str, Vec<String>)>> = questions
            .iter()
            .map(|question| keys.iter().chain(&question.keys).map(|(k, v)| (k.as_str(), v.clone())).collect())
            .collect();
        let mut asks = Vec::with_capacity(questions.len());
        for (question, keys) in questions.iter().zip(&texts) {
            let about = about.get(question.on).ok_or_else(|| ApiError::internal("a question about nothing"))?;
            asks.push(about.ask(question, keys));
        }
        let decided = cloud.decide_all(cx, &asks).await?;
        asks_object_tags |= decided.asks_object_tags;
        let told = asks.iter().zip(&decided.decisions).map(|(ask, decision)| {
            (!decision.is_allowed()).then(|| match ask.owner.is_none_or(|owner| owner == cx.account()) {
                true if !matches!(cx.actor.principal, mallee_iam::Principal::Anonymous) => {
                    let resource = (ask.resource != "*").then_some(ask.resource);
                    Refusal::of(&cx.actor.arn, ask.action, resource, decision).0
                }
                _ => DENIED.to_owned(),
            })
        });
        refusals = told.collect();
    }
    let limits = match quotas.and_then(|at| questions.get(at)) {
        Some(question) if refusals.iter().all(Option::is_none) => {
            let owner = resources.get(question.on).and_then(|resource| resource.account.as_deref());
            let owner = owner.map(account).transpose()?.filter(|owner| owner != cx.account() || is_nobody(cx));
            // Whoever writes: it is the account of the bucket whose room it takes.
            let host = owner.map(|owner| OpContext::new(Actor::stranger(owner), ""));
            let limits = limits_of(cloud, host.as_ref().unwrap_or(cx), &question.action, &question.resource).await?;
            // What strangers make is no user's of that account.
            let creator = limits.creator.clone().filter(|_| host.is_none());
            Some(Arc::new(Limits { creator, ..limits }))
        }
        _ => None,
    };
    Ok(Judgement { refusals, limits, asks_object_tags })
}

fn is_nobody(cx: &OpContext) -> bool {
    matches!(cx.actor.principal, mallee_iam::Principal::Anonymous)
}

/// Whether a resource is the caller's own and has nothing that could stand in the way of its account's root.
fn is_plain(cx: &OpContext, resource: &Resource) -> bool {
    let own = resource.account.as_deref().is_none_or(|account| account == cx.account().as_str());
    own && resource.policy.is_none()
}

/// A resource, ready to be asked about.
struct About {
    owner: Option<AccountId>,
    policy: Option<ResourcePolicy>,
    denies_only: bool,
    grants: Option<ResourcePolicy>,
}

impl About {
    fn read(cloud: &Cloud, resource: &Resource) -> Result<Self, ApiError> {
        Ok(Self {
            owner: resource.account.as_deref().map(account).transpose()?,
            policy: resource.policy.as_deref().map(|text| cloud.resource_policy(text)).transpose()?,
            denies_only: resource.denies_only,
            grants: resource.grants.as_deref().map(|text| cloud.resource_policy(text)).transpose()?,
        })
    }

    fn ask<'a>(&'a self, question: &'a Question, keys: &'a [(&'a str, Vec<String>)]) -> Ask<'a> {
        Ask {
            action: &question.action,
            resource: &question.resource,
            keys,
            policy: self.policy.as_ref().map(|read| read.policy.as_ref()),
            policy_denies_only: self.denies_only,
            grants: self.grants.as_ref().map(|read| read.policy.as_ref()),
            owner: self.owner.as_ref(),
            policy_must_allow: false,
        }
    }
}

/// The quotas of a request that makes a bucket or an object.
async fn limits_of(cloud: &Cloud, cx: &OpContext, action: &str, resource: &str) -> Result<Limits, ApiError> {
    let found = cloud.storage_limits(cx, action, resource).await?;
    let limit = |limit: StorageLimit| Limit {
        what: match limit.what {
            Storage::Buckets => What::Buckets,
            Storage::BucketObjects => What::BucketObjects,
            Storage::BucketBytes => What::BucketBytes,
            Storage::TotalBytes => What::TotalBytes,
        },
        max: limit.max,
        own: limit.own,
        origin: limit.origin,
    };
    Ok(Limits { creator: found.creator, list: found.limits.into_iter().map(limit).collect() })
}

/// Whether there is a principal of this name: an account's number, an ARN or a unique id, as a bucket policy has them.
///
/// # Errors
/// What the database says.
pub(crate) async fn is_principal(cloud: &Cloud, name: &str) -> Result<bool, ApiError> {
    let found = find_principal(cloud, name).await;
    found.map_err(|error| Code::ServiceUnavailable.error().because(error))
}

async fn find_principal(cloud: &Cloud, name: &str) -> Result<bool, StoreError> {
    let there = |found: Result<(), StoreError>| match found {
        Ok(()) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    };
    let store = cloud.store();
    if let Ok(account) = name.parse::<AccountId>() {
        return there(account_fetch(store, &account).await.map(drop));
    }
    if name.starts_with("AIDA") {
        return there(user_fetch(store, name).await.map(drop));
    }
    if name.starts_with("AROA") {
        return there(role_fetch(store, name).await.map(drop));
    }
    let mut fields = name.splitn(6, ':').skip(2);
    let (service, _, account, path) = (fields.next(), fields.next(), fields.next(), fields.next());
    let (Some(service), Some(Ok(account)), Some(path)) = (service, account.map(str::parse::<AccountId>), path) else {
        return Ok(false);
    };
    if path == "root" {
        return there(account_fetch(store, &account).await.map(drop));
    }
    let (kind, rest) = path.split_once('/').unwrap_or((path, ""));
    // `PATH/NAME`, with the slashes that paths have in the store.
    let (path, last) = rest.rsplit_once('/').map_or(("/".to_owned(), rest), |(path, name)| (format!("/{path}/"), name));
    Ok(match (service, kind) {
        ("iam", "user") => user_by_name(store, &account, last).await?.is_some_and(|user| user.path == path),
        ("iam", "role") => role_by_name(store, &account, last).await?.is_some_and(|role| role.path == path),
        ("sts", "assumed-role") => {
            let role = rest.split_once('/').map_or(rest, |(role, _)| role);
            role_by_name(store, &account, role).await?.is_some()
        }
        ("sts", "federated-user") => there(account_fetch(store, &account).await.map(drop))?,
        _ => false,
    })
}

/// The identities of a cloud in the same process.
#[derive(Debug)]
pub struct CloudAuthority {
    verifier: SharedVerifier,
    cloud: Arc<OnceLock<Arc<Cloud>>>,
}

impl CloudAuthority {
    /// Over this verifier. The object store is opened before the cloud that it asks: see [`CloudAuthority::attach`].
    #[must_use]
    pub fn new(verifier: SharedVerifier) -> Self {
        Self { verifier, cloud: Arc::default() }
    }

    /// Asks this cloud from now on; the first that is given is the one.
    pub fn attach(&self, cloud: &Arc<Cloud>) {
        self.cloud.get_or_init(|| cloud.clone());
    }
}

#[async_trait]
impl Authority for CloudAuthority {
    async fn identify(&self, request: &SignedRequest<'_>, now: OffsetDateTime) -> Result<Option<Identified>, Fault> {
        let Some(Authenticated { principal: actor, claim, payload }) = self.verifier.verify(request, now).await? else {
            return Ok(None);
        };
        let caller = Caller { account: actor.account.to_string(), arn: actor.arn.to_string() };
        let identity = Arc::new(Somebody { actor: Some((actor, caller)), cloud: self.cloud.clone() });
        Ok(Some(Identified { identity, claim, payload }))
    }

    fn nobody(&self) -> Arc<dyn Identity> {
        Arc::new(Somebody { actor: None, cloud: self.cloud.clone() })
    }

    async fn principals(&self, names: &[String]) -> Result<Vec<bool>, ApiError> {
        let cloud = attached(&self.cloud)?;
        let mut known = Vec::with_capacity(names.len());
        for name in names {
            known.push(is_principal(cloud, name).await?);
        }
        Ok(known)
    }

    async fn role(&self, arn: &str, service: &str, session: &str) -> Result<Option<Arc<dyn Identity>>, ApiError> {
        let actor = attached(&self.cloud)?.service_role(arn, service, session).await;
        let Some(actor) = actor.map_err(|error| Code::ServiceUnavailable.error().because(error))? else {
            return Ok(None);
        };
        let caller = Caller { account: actor.account.to_string(), arn: actor.arn.to_string() };
        Ok(Some(Arc::new(Somebody { actor: Some((actor, caller)), cloud: self.cloud.clone() })))
    }
}

fn attached(cloud: &OnceLock<Arc<Cloud>>) -> Result<&Arc<Cloud>, ApiError> {
    cloud.get().ok_or_else(|| Code::ServiceUnavailable.message("The cloud is starting. Please try again."))
}

/// Who asks, or nobody.
struct Somebody {
    actor: Option<(Actor, Caller)>,
    cloud: Arc<OnceLock<Arc<Cloud>>>,
}

#[async_trait]
impl Identity for Somebody {
    fn caller(&self) -> Option<&Caller> {
        self.actor.as_ref().map(|(_, caller)| caller)
    }

    async fn judge(&self, case: &Case<'_>) -> Result<Judgement, ApiError> {
        let cloud = attached(&self.cloud)?;
        let peer = case.head.extensions.get::<Peer>().map(|peer| peer.0);
        let Case { resources, questions, keys, quotas, .. } = *case;
        let asked = Asked { resources, questions, keys, quotas };
        let facts = match case.claim {
            Some(claim) => facts::of(claim, &case.head.headers, peer),
            None => facts::of_stranger(&case.head.headers, peer),
        };
        match &self.actor {
            Some((actor, _)) => {
                let cx = OpContext::new(actor.clone(), "").with_facts(facts);
                judge(cloud, Party::Known(&cx), asked).await
            }
            None => judge(cloud, Party::Nobody(facts), asked).await,
        }
    }
}
