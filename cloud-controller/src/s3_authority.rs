//! What Walrus asks the cloud's identities: who signed a request, and what policies say of it. In one process it asks
//! here; a Walrus of its own asks over the Directory, which comes here too.

use crate::audit::Trail;
use crate::audit::s3::{S3Call, not_written, records_of};
use crate::front::facts;
use crate::identity::SharedVerifier;
use async_trait::async_trait;
use http::request::Parts;
use mallee_app::authorize::{Ask, Refusal, ResourcePolicy};
use mallee_app::quotas::storage::{Storage, StorageLimit};
use mallee_app::{Actor, Cloud, OpContext, RequestFacts};
use mallee_audit::Record;
use mallee_awswire::sigv4::{Authenticated, Claim, Fault, SignedRequest};
use mallee_awswire::{ApiError, Code};
use mallee_iam::Principal;
use mallee_s3::{
    Authority, Caller, Case, Event, Identified, Identity, Judgement, Keys, Limit, Limited as What, Limits, Question,
    Resource, SecondFactor,
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
    Nobody(RequestFacts),
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
                true if !matches!(cx.actor.principal, Principal::Anonymous) => {
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
    matches!(cx.actor.principal, Principal::Anonymous)
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
    attached: Arc<OnceLock<Attached>>,
}

/// A cloud, and where it is recorded what happens in it.
#[derive(Debug)]
struct Attached {
    cloud: Arc<Cloud>,
    trail: Option<Arc<Trail>>,
}

impl CloudAuthority {
    /// Over this verifier. The object store is opened before the cloud that it asks: see [`CloudAuthority::attach`].
    #[must_use]
    pub fn new(verifier: SharedVerifier) -> Self {
        Self { verifier, attached: Arc::default() }
    }

    /// Asks this cloud from now on, and has calls that manage buckets recorded in this trail; the first that are given are
    /// the ones.
    pub fn attach(&self, cloud: &Arc<Cloud>, trail: Option<Arc<Trail>>) {
        self.attached.get_or_init(|| Attached { cloud: cloud.clone(), trail });
    }
}

#[async_trait]
impl Authority for CloudAuthority {
    async fn identify(&self, request: &SignedRequest<'_>, now: OffsetDateTime) -> Result<Option<Identified>, Fault> {
        let Some(Authenticated { principal: actor, claim, payload }) = self.verifier.verify(request, now).await? else {
            return Ok(None);
        };
        let caller = caller(&actor);
        let identity = Arc::new(Somebody { actor: Some((actor, caller)), attached: self.attached.clone() });
        Ok(Some(Identified { identity, claim, payload }))
    }

    fn nobody(&self) -> Arc<dyn Identity> {
        Arc::new(Somebody { actor: None, attached: self.attached.clone() })
    }

    async fn principals(&self, names: &[String]) -> Result<Vec<bool>, ApiError> {
        let cloud = &attached(&self.attached)?.cloud;
        let mut known = Vec::with_capacity(names.len());
        for name in names {
            known.push(is_principal(cloud, name).await?);
        }
        Ok(known)
    }

    async fn role(&self, arn: &str, service: &str, session: &str) -> Result<Option<Arc<dyn Identity>>, ApiError> {
        let actor = attached(&self.attached)?.cloud.service_role(arn, service, session).await;
        let Some(actor) = actor.map_err(|error| Code::ServiceUnavailable.error().because(error))? else {
            return Ok(None);
        };
        let caller = caller(&actor);
        Ok(Some(Arc::new(Somebody { actor: Some((actor, caller)), attached: self.attached.clone() })))
    }
}

/// A caller, as far as S3 needs it.
fn caller(actor: &Actor) -> Caller {
    Caller { account: actor.account.to_string(), arn: actor.arn.to_string(), root: is_root(actor) }
}

/// Whether it is the root of its account, or the administrator whom an account here has in its place; sessions are neither.
pub(crate) fn is_root(actor: &Actor) -> bool {
    let principal = matches!(actor.principal, Principal::Root { .. } | Principal::User { .. });
    principal && actor.is_account_admin && actor.session.is_none()
}

fn attached(attached: &OnceLock<Attached>) -> Result<&Attached, ApiError> {
    attached.get().ok_or_else(|| Code::ServiceUnavailable.message("The cloud is starting. Please try again."))
}

/// Who asks, or nobody.
struct Somebody {
    actor: Option<(Actor, Caller)>,
    attached: Arc<OnceLock<Attached>>,
}

fn facts_of(head: &Parts, claim: Option<&Claim>) -> RequestFacts {
    let peer = head.extensions.get::<Peer>().map(|peer| peer.0);
    match claim {
        Some(claim) => facts::of(claim, &head.headers, peer),
        None => facts::of_stranger(&head.headers, peer),
    }
}

impl Somebody {
    fn records_of(&self, cloud: &Cloud, event: &Event<'_>) -> Vec<Record> {
        let Event { name, request_id, head, claim, bucket, owner, allowed, .. } = *event;
        let (facts, parameters) = (facts_of(head, claim), event.parameters.clone());
        let actor = self.actor.as_ref().map(|(actor, _)| actor);
        let (facts, account) = (&facts, None);
        records_of(cloud, S3Call { actor, account, facts, request_id, name, bucket, owner, allowed, parameters })
    }
}

#[async_trait]
impl Identity for Somebody {
    fn caller(&self) -> Option<&Caller> {
        self.actor.as_ref().map(|(_, caller)| caller)
    }

    async fn judge(&self, case: &Case<'_>) -> Result<Judgement, ApiError> {
        let cloud = &attached(&self.attached)?.cloud;
        let Case { resources, questions, keys, quotas, .. } = *case;
        let asked = Asked { resources, questions, keys, quotas };
        let facts = facts_of(case.head, case.claim);
        match &self.actor {
            Some((actor, _)) => {
                let cx = OpContext::new(actor.clone(), "").with_facts(facts);
                judge(cloud, Party::Known(&cx), asked).await
            }
            None => judge(cloud, Party::Nobody(facts), asked).await,
        }
    }

    async fn prove(&self, factor: &SecondFactor<'_>) -> Result<(), ApiError> {
        let Some((actor, _)) = &self.actor else { return Err(Code::AccessDenied.error()) };
        attached(&self.attached)?
            .cloud
            .prove_factor(&OpContext::new(actor.clone(), ""), factor.serial, factor.code)
            .await
    }

    async fn begin(&self, event: &Event<'_>) -> Result<(), ApiError> {
        let Attached { cloud, trail } = attached(&self.attached)?;
        let Some(trail) = trail else { return Ok(()) };
        trail.begin_surely(&self.records_of(cloud, event)).map_err(|error| not_written(&error))
    }

    async fn record(&self, event: &Event<'_>, _: bool, error: Option<&ApiError>) {
        let Some(Attached { cloud, trail: Some(trail) }) = self.attached.get() else { return };
        trail.record_all(cloud, self.records_of(cloud, event), error.map_or(Ok(""), Err)).await;
    }
}
