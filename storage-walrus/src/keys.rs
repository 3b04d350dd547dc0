//! Access keys from a fixed table, each the root of its account: for a Walrus that runs alone, and for tests. What an
//! account owns it may do everything with; others may what bucket policies and access control lists say.

use async_trait::async_trait;
use mallee_awswire::sigv4::{
    Authenticated, CredentialSource, Fault, KeyError, KeyQuery, ResolvedKey, SignedRequest, SigningKey, Verifier,
    VerifierConfig, derive_signing_key,
};
use mallee_awswire::xml::timestamp;
use mallee_awswire::{ApiError, Code};
use mallee_iam::{Context, Inputs, Policy, PolicyKind, Principal, Request, evaluate};
use mallee_runtime::clock::from_unix_ms;
use mallee_s3::{Authority, Caller, Case, Identified, Identity, Judgement, Question, Resource, SecondFactor};
use mallee_serve::Peer;
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use time::OffsetDateTime;

/// One access key.
#[derive(Debug, Clone)]
pub struct StaticKey {
    /// Its id.
    pub access_key_id: String,
    /// Its secret.
    pub secret: SecretString,
    /// The account of its owner: 12 digits.
    pub account: AccountId,
}

/// A fixed table of access keys.
#[derive(Debug, Clone, Default)]
struct StaticKeys(HashMap<String, StaticKey>);

#[async_trait]
impl CredentialSource for StaticKeys {
    type Principal = AccountId;

    async fn signing_key(&self, query: KeyQuery<'_>) -> Result<ResolvedKey<AccountId>, KeyError> {
        let key = self.0.get(query.access_key_id).ok_or(KeyError::Unknown)?;
        if query.session_token.is_some() {
            return Err(KeyError::InvalidToken);
        }
        let derived = derive_signing_key(&key.secret, query.date, query.region, query.service);
        Ok(ResolvedKey {
            principal: key.account.clone(),
            signing_key: SigningKey::new(derived.expose_secret()),
            expires_at: None,
        })
    }
}

/// Users that are the roots of the accounts of a fixed table of keys.
#[derive(Debug)]
pub struct StaticAuthority {
    verifier: Verifier<StaticKeys>,
    accounts: HashSet<AccountId>,
}

impl StaticAuthority {
    /// From a list of keys.
    pub fn new(keys: impl IntoIterator<Item = StaticKey>) -> Self {
        let keys = StaticKeys(keys.into_iter().map(|k| (k.access_key_id.clone(), k)).collect());
        let accounts = keys.0.values().map(|key| key.account.clone()).collect();
        Self { verifier: Verifier::new(keys, VerifierConfig::default()), accounts }
    }
}

#[async_trait]
impl Authority for StaticAuthority {
    async fn identify(&self, request: &SignedRequest<'_>, now: OffsetDateTime) -> Result<Option<Identified>, Fault> {
        let Some(Authenticated { principal, claim, payload }) = self.verifier.verify(request, now).await? else {
            return Ok(None);
        };
        let principal = Principal::Root { account: principal };
        let caller = principal.account().map(|account| Caller {
            account: account.to_string(),
            arn: principal.arn(),
            root: true,
        });
        Ok(Some(Identified { identity: Arc::new(Root { principal, caller }), claim, payload }))
    }

    fn nobody(&self) -> Arc<dyn Identity> {
        Arc::new(Root { principal: Principal::Anonymous, caller: None })
    }

    async fn principals(&self, names: &[String]) -> Result<Vec<bool>, ApiError> {
        let account = |name: &str| {
            let number = name.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root")).unwrap_or(name);
            number.parse::<AccountId>().is_ok_and(|account| self.accounts.contains(&account))
        };
        Ok(names.iter().map(|name| account(name)).collect())
    }

    /// There are no roles: of an account that is there each stands for its root.
    async fn role(&self, arn: &str, _: &str, _: &str) -> Result<Option<Arc<dyn Identity>>, ApiError> {
        let account = arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":role/"));
        let account = account.and_then(|(account, _)| account.parse::<AccountId>().ok());
        let Some(account) = account.filter(|account| self.accounts.contains(account)) else { return Ok(None) };
        let principal = Principal::Root { account: account.clone() };
        let caller = Caller { account: account.to_string(), arn: principal.arn(), root: false };
        Ok(Some(Arc::new(Root { principal, caller: Some(caller) })))
    }
}

/// The root of an account, or nobody.
struct Root {
    principal: Principal,
    caller: Option<Caller>,
}

/// A resource with its policies read.
struct About {
    owner: Option<AccountId>,
    policy: Option<Policy>,
    grants: Option<Policy>,
    denies_only: bool,
}

impl About {
    fn read(resource: &Resource) -> Result<Self, ApiError> {
        let policy = |text: &Option<Arc<str>>| {
            text.as_deref()
                .map(|text| Policy::parse(text, PolicyKind::Resource))
                .transpose()
                .map_err(ApiError::internal)
        };
        let owner = resource.account.as_deref().map(str::parse).transpose().map_err(ApiError::internal)?;
        let (policy, grants) = (policy(&resource.policy)?, policy(&resource.grants)?);
        Ok(Self { owner, policy, grants, denies_only: resource.denies_only })
    }
}

impl Root {
    fn context(&self, case: &Case<'_>) -> Context {
        let mut context = Context::of(&self.principal);
        if let Some(Peer(ip)) = case.head.extensions.get::<Peer>() {
            context.set("aws:SourceIp", ip.to_canonical().to_string());
        }
        for (header, key) in [("user-agent", "aws:UserAgent"), ("referer", "aws:Referer")] {
            if let Some(value) = case.head.headers.get(header).and_then(|value| value.to_str().ok()) {
                context.set(key, value);
            }
        }
        context.set("aws:SecureTransport", "false");
        context.set("aws:ViaAWSService", "false");
        context.set("aws:CurrentTime", timestamp(from_unix_ms(case.now_ms)));
        context.set("aws:EpochTime", (case.now_ms / 1000).to_string());
        if let Some(claim) = case.claim.filter(|claim| !claim.region.is_empty()) {
            context.set("aws:RequestedRegion", claim.region.as_str());
        }
        for (key, values) in case.keys {
            context.set_all(key, values.iter().map(String::as_str));
        }
        context
    }

    fn refusal(&self, question: &Question, about: &About, context: &Context) -> Option<String> {
        let mut context = context.clone();
        if let Some(owner) = &about.owner {
            context.set("aws:ResourceAccount", owner.as_str());
            context.set("s3:ResourceAccount", owner.as_str());
        }
        for (key, values) in &question.keys {
            context.set_all(key, values.iter().map(String::as_str));
        }
        let (action, resource) = (question.action.as_ref(), question.resource.as_str());
        let request = Request { principal: &self.principal, action, resource, context: &context };
        let inputs = Inputs {
            resource: about.policy.as_ref(),
            resource_denies_only: about.denies_only,
            grants: about.grants.as_ref(),
            resource_account: about.owner.as_ref(),
            ..Inputs::default()
        };
        let decision = evaluate(&request, &inputs);
        let own = about.owner.is_none() || about.owner.as_ref() == self.principal.account();
        if own && self.caller.is_some() {
            return decision.refusal(&self.principal.arn(), action, resource);
        }
        (!decision.is_allowed()).then(|| "Access Denied".to_owned())
    }
}

#[async_trait]
impl Identity for Root {
    fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    async fn judge(&self, case: &Case<'_>) -> Result<Judgement, ApiError> {
        let about = case.resources.iter().map(About::read).collect::<Result<Vec<_>, _>>()?;
        let context = self.context(case);
        let mut refusals = Vec::with_capacity(case.questions.len());
        for question in case.questions {
            let about = about.get(question.on).ok_or_else(|| ApiError::internal("a question about nothing"))?;
            refusals.push(self.refusal(question, about, &context));
        }
        let policies = about.iter().flat_map(|about| &about.policy);
        let mut asked = policies.flat_map(Policy::context_keys);
        let asks_object_tags = asked.any(|key| key.to_ascii_lowercase().starts_with("s3:existingobjecttag/"));
        Ok(Judgement { refusals, limits: None, asks_object_tags })
    }

    async fn prove(&self, _factor: &SecondFactor<'_>) -> Result<(), ApiError> {
        Err(Code::NotImplemented.message("Nobody has devices for a second factor here: the users are a fixed table."))
    }
}
