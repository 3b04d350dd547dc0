//! Users and policies for a Walrus of its own: asked of the cloud controller.

use super::directory::CloudLink;
use super::keys::{DirectoryKeys, Signer};
use super::trail;
use async_trait::async_trait;
use http::HeaderMap;
use http::header::{REFERER, USER_AGENT};
use mallee_awswire::sigv4::{
    Authenticated, Claim, Fault, Placement, SignatureVersion, SignedRequest, Verifier, VerifierConfig,
};
use mallee_awswire::{ApiError, Code};
use mallee_cloud_controller::origin;
use mallee_proto::v1::{
    AuthorizeS3Reply, AuthorizeS3Request, KnowPrincipalsRequest, ProveFactorRequest, S3Key, S3Question, S3Resource,
};
use mallee_proto::{Kind, WireError};
use mallee_serve::Peer;
use mallee_walrus::{
    Authority, Caller, Case, Event, Identified, Identity, Judgement, Keys, Limits, Question, Resource, S3_SERVICE,
    SecondFactor,
};
use std::sync::Arc;
use time::OffsetDateTime;

/// The identities of the cloud that this Walrus has joined.
#[derive(Debug)]
pub(super) struct DirectoryAuthority {
    verifier: Verifier<DirectoryKeys>,
    link: CloudLink,
}

impl DirectoryAuthority {
    /// Over this way to the cloud controller.
    pub fn new(link: CloudLink) -> Self {
        Self { verifier: Verifier::new(DirectoryKeys(link.clone()), VerifierConfig::default()), link }
    }
}

fn unknown(error: &WireError) -> ApiError {
    tracing::info!(%error, "the cloud controller did not say what policies allow");
    let (code, text) = match error.kind {
        Kind::Invalid => (Code::InvalidRequest, "The request asks for too much at once."),
        _ => (Code::ServiceUnavailable, "The identity service does not answer. Please try again."),
    };
    code.message(text)
}

#[async_trait]
impl Authority for DirectoryAuthority {
    async fn identify(&self, request: &SignedRequest<'_>, now: OffsetDateTime) -> Result<Option<Identified>, Fault> {
        let Some(Authenticated { principal, claim, payload }) = self.verifier.verify(request, now).await? else {
            return Ok(None);
        };
        let identity = Arc::new(Somebody { signer: Some(principal), link: self.link.clone() });
        Ok(Some(Identified { identity, claim, payload }))
    }

    fn nobody(&self) -> Arc<dyn Identity> {
        Arc::new(Somebody { signer: None, link: self.link.clone() })
    }

    async fn principals(&self, names: &[String]) -> Result<Vec<bool>, ApiError> {
        let request = KnowPrincipalsRequest { names: names.to_vec() };
        self.link.know_principals(request).await.map_err(|error| unknown(&error))
    }

    /// Whether the role trusts the service is said when it is asked what the role may.
    async fn role(&self, arn: &str, service: &str, session: &str) -> Result<Option<Arc<dyn Identity>>, ApiError> {
        let parts = arn.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":role/"));
        let Some((account, path)) = parts.filter(|_| service == S3_SERVICE) else { return Ok(None) };
        if !self.principals(&[arn.to_owned()]).await?.first().copied().unwrap_or_default() {
            return Ok(None);
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let caller = Caller {
            account: account.to_owned(),
            arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
            root: false,
        };
        let (role, session) = (arn.to_owned(), session.to_owned());
        Ok(Some(Arc::new(ServiceRole { role, session, caller, link: self.link.clone() })))
    }
}

/// Who asks, or nobody.
struct Somebody {
    signer: Option<Signer>,
    link: CloudLink,
}

impl Somebody {
    /// Whose account it is; empty: nobody's.
    fn account(&self) -> &str {
        self.signer.as_ref().map_or("", |signer| &signer.caller.account)
    }

    /// Whether no policy can stand in the way: then nobody has to be asked, but for quotas.
    fn is_free(&self, case: &Case<'_>) -> bool {
        let Some(Signer { caller, unrestricted: true }) = &self.signer else { return false };
        let plain = |resource: &Resource| {
            resource.account.as_ref().is_none_or(|account| *account == caller.account) && resource.policy.is_none()
        };
        case.quotas.is_none() && case.resources.iter().all(plain)
    }
}

#[async_trait]
impl Identity for Somebody {
    fn caller(&self) -> Option<&Caller> {
        self.signer.as_ref().map(|signer| &signer.caller)
    }

    async fn judge(&self, case: &Case<'_>) -> Result<Judgement, ApiError> {
        if self.is_free(case) {
            return Ok(Judgement { refusals: vec![None; case.questions.len()], ..Judgement::default() });
        }
        ask(&self.link, request(case)).await
    }

    async fn prove(&self, factor: &SecondFactor<'_>) -> Result<(), ApiError> {
        let SecondFactor { claim, serial, code } = *factor;
        let request = ProveFactorRequest {
            access_key_id: claim.map(|claim| claim.access_key_id.clone()).unwrap_or_default(),
            session_token: claim.and_then(|claim| claim.session_token.clone()).unwrap_or_default(),
            serial: serial.to_owned(),
            code: code.to_owned(),
        };
        let refusal = self.link.prove_factor(request).await.map_err(|error| unknown(&error))?;
        if refusal.is_empty() { Ok(()) } else { Err(Code::AccessDenied.message(refusal)) }
    }

    async fn begin(&self, event: &Event<'_>) -> Result<(), ApiError> {
        trail::begin(&self.link, self.account(), event).await
    }

    async fn record(&self, event: &Event<'_>, begun: bool, error: Option<&ApiError>) {
        trail::record(&self.link, self.account(), event, begun, error).await;
    }
}

/// A role that S3 takes on for work of its own.
struct ServiceRole {
    role: String,
    session: String,
    caller: Caller,
    link: CloudLink,
}

#[async_trait]
impl Identity for ServiceRole {
    fn caller(&self) -> Option<&Caller> {
        Some(&self.caller)
    }

    async fn judge(&self, case: &Case<'_>) -> Result<Judgement, ApiError> {
        let (service_role, service_session) = (self.role.clone(), self.session.clone());
        ask(&self.link, AuthorizeS3Request { service_role, service_session, ..request(case) }).await
    }

    async fn prove(&self, _factor: &SecondFactor<'_>) -> Result<(), ApiError> {
        Err(Code::AccessDenied.message("A service has no devices."))
    }
}

async fn ask(link: &CloudLink, request: AuthorizeS3Request) -> Result<Judgement, ApiError> {
    let reply = link.authorize_s3(request).await.map_err(|error| unknown(&error))?;
    let AuthorizeS3Reply { refusals, asks_object_tags, limits } = reply;
    let limits = match limits.as_str() {
        "" => None,
        text => Some(Arc::new(serde_json::from_str::<Limits>(text).map_err(ApiError::internal)?)),
    };
    let refusals = refusals.into_iter().map(|text| Some(text).filter(|text| !text.is_empty())).collect();
    Ok(Judgement { refusals, limits, asks_object_tags })
}

fn keys(keys: &Keys) -> Vec<S3Key> {
    keys.iter().map(|(name, values)| S3Key { name: name.clone(), values: values.clone() }).collect()
}

fn question(asked: &Question) -> S3Question {
    S3Question {
        action: asked.action.clone().into_owned(),
        resource: asked.resource.clone(),
        on: u32::try_from(asked.on).unwrap_or(u32::MAX),
        keys: keys(&asked.keys),
    }
}

fn resource(about: &Resource) -> S3Resource {
    S3Resource {
        account: about.account.clone().unwrap_or_default(),
        policy: about.policy.as_deref().unwrap_or_default().to_owned(),
        denies_only: about.denies_only,
        grants: about.grants.as_deref().unwrap_or_default().to_owned(),
    }
}

pub(super) fn request(case: &Case<'_>) -> AuthorizeS3Request {
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let headers = &case.head.headers;
    let claim = case.claim;
    AuthorizeS3Request {
        access_key_id: claim.map(|claim| claim.access_key_id.clone()).unwrap_or_default(),
        session_token: claim.and_then(|claim| claim.session_token.clone()).unwrap_or_default(),
        questions: case.questions.iter().map(question).collect(),
        source_ip: case.head.extensions.get::<Peer>().map(|Peer(ip)| ip.to_string()).unwrap_or_default(),
        user_agent: text(headers, USER_AGENT.as_str()),
        referer: text(headers, REFERER.as_str()),
        region: claim.map(|claim| claim.region.clone()).unwrap_or_default(),
        presigned: claim.is_some_and(|claim| matches!(claim.placement, Placement::Query { .. })),
        signed_at_ms: claim.and_then(Claim::signed_at).map_or(0, |at| at.unix_timestamp().saturating_mul(1000)),
        sigv2: claim.is_some_and(|claim| claim.version == SignatureVersion::V2),
        from: text(headers, origin::HEADER),
        digest: origin::digest(&case.head.method, &case.head.uri, headers),
        resources: case.resources.iter().map(resource).collect(),
        keys: keys(case.keys),
        waited_ms: case.now_ms.saturating_sub(case.arrived_ms),
        quotas: case.quotas.map_or(0, |at| u32::try_from(at + 1).unwrap_or_default()),
        service_role: String::new(),
        service_session: String::new(),
    }
}
