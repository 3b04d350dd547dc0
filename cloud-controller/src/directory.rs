//! What daemons of the cluster ask the cloud controller: a new certificate, where the others are, and, for Walrus, the
//! signing keys of users. Every call needs a certificate; each daemon speaks for itself only.

mod trail;

use crate::audit::Trail;
use crate::data_keys::DataKeys;
use crate::enrol::{ControlPlane, S3_ENDPOINT, S3_ROLE, WALRUS_ENDPOINT, member_setting, pki_error, store_error};
use crate::identity::StoreCredentials;
use crate::origin;
use crate::s3_authority::{Asked, Party, is_principal, is_root, judge};
use mallee_app::{Actor, Cloud, OpContext, RequestFacts};
use mallee_awswire::sigv2::is_right;
use mallee_awswire::sigv4::{CredentialSource as _, KeyError, derive_signing_key};
use mallee_awswire::{ApiError, Code};
use mallee_pki::{Identity, Role, authorise};
use mallee_proto::v1::directory_server::{Directory, DirectoryServer};
use mallee_proto::v1::{
    AnnounceReply, AnnounceRequest, AuthorizeS3Reply, AuthorizeS3Request, DataKeyReply, DataKeyRequest, Endpoint,
    KeyRefusal, KnowPrincipalsReply, KnowPrincipalsRequest, LocateReply, LocateRequest, ProveFactorReply,
    ProveFactorRequest, RecordFlowsReply, RecordFlowsRequest, RecordS3Reply, RecordS3Request, RenewReply, RenewRequest,
    ResolveKeyReply, ResolveKeyRequest, S3Key, S3Question, S3Resource,
};
use mallee_proto::{Kind, WireError};
use mallee_s3::{Judgement, Keys, Question, Resource, S3_SERVICE};
use mallee_store::{ClusterRow, cluster_put, setting_fetch, setting_put};
use mallee_types::{NodeId, ZoneName};
use secrecy::ExposeSecret as _;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use time::macros::format_description;
use time::{Date, Duration};
use tonic::{Request, Response, Status};

/// Largest message of a caller, in bytes.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest announced address, in bytes.
const URI_BYTES_MAX: usize = 256;
/// Longest access key id, region and date in a question for a key, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// A presigned request lives up to seven days, and so does its signing day; with the clock window at either end.
const KEY_DAYS_BACK: i64 = 8;
const KEY_DAYS_AHEAD: i64 = 1;
/// Most questions about one request: a DeleteObjects names 1,000 keys, and may ask to pass their retentions by.
const QUESTIONS_MAX: usize = 2100;
/// Most resources that they are about: a bucket, an object, and those of a copy source.
const RESOURCES_MAX: usize = 8;
/// Most principals asked about at once: a bucket policy has 20 KiB.
const PRINCIPALS_MAX: usize = 1000;
/// Walrus signs for nothing else: with keys for other services it could act as any user anywhere.
const KEY_SERVICE: &str = "s3";

/// Longest text that Walrus says was signed: headers of a request.
const STRING_TO_SIGN_BYTES_MAX: usize = 128 * 1024;

/// Daemons whose certificates the cloud controller renews; its own it renews without asking anyone.
const RENEWED: &[Role] = &[Role::Cluster, Role::Node, Role::Walrus, Role::Block];
const EVERYONE: &[Role] = &[Role::Cloud, Role::Cluster, Role::Node, Role::Walrus, Role::Block];

/// The Directory service.
#[derive(Debug, Clone)]
pub struct DirectoryService {
    control: Arc<ControlPlane>,
    credentials: StoreCredentials,
    /// Who knows what policies say; none where nobody has to be asked.
    cloud: Option<Arc<Cloud>>,
    /// Where it is recorded what KMS is asked.
    trail: Option<Arc<Trail>>,
}

impl DirectoryService {
    /// Over this control plane, with its message limit.
    #[must_use]
    pub fn server(
        control: &Arc<ControlPlane>,
        cloud: Option<Arc<Cloud>>,
        trail: Option<Arc<Trail>>,
    ) -> DirectoryServer<Self> {
        let credentials = StoreCredentials::new(control.store.clone());
        if let Some(cloud) = &cloud {
            credentials.follow_sigv2(cloud.sigv2());
        }
        let service = Self { control: control.clone(), credentials, cloud, trail };
        DirectoryServer::new(service).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    async fn renew_for(&self, identity: &Identity, csr: &[u8]) -> Result<RenewReply, WireError> {
        if setting_fetch(&self.control.store, &member_setting(identity)).await.map_err(store_error)?.is_none() {
            let text = format!("{identity} is not a member of the cloud any more; join again with a new token");
            return Err(WireError::new(Kind::Forbidden, text));
        }
        let certificate = self.control.ca.issue(csr, identity).map_err(|e| pki_error(&e))?;
        Ok(RenewReply { certificate, ca_certificate: self.control.ca.certificate().to_vec() })
    }

    async fn announce_for(&self, identity: &Identity, endpoint: Endpoint) -> Result<AnnounceReply, WireError> {
        let is_s3 = identity.role == Role::Walrus && endpoint.role == S3_ROLE;
        if endpoint.role != identity.role.name() && !is_s3 {
            let role: String = endpoint.role.chars().take(16).collect();
            return Err(WireError::new(Kind::Forbidden, format!("{identity} may not announce a {role:?}")));
        }
        check_uri(&endpoint.uri)?;
        let mut tx = self.control.store.write().await.map_err(store_error)?;
        if identity.role == Role::Cluster {
            if endpoint.zone != identity.id {
                let zone: String = endpoint.zone.chars().take(64).collect();
                return Err(WireError::new(Kind::Forbidden, format!("{identity} may not announce the zone {zone:?}")));
            }
            let zone = self.known_zone(&identity.id)?;
            // The time counts only when the row is new: a later announcement changes the endpoint.
            let registered_ms = self.control.clock.now_ms();
            cluster_put(&mut tx, &ClusterRow { zone, endpoint: endpoint.uri, registered_ms })
                .await
                .map_err(store_error)?;
        } else {
            let setting = if is_s3 { S3_ENDPOINT } else { WALRUS_ENDPOINT };
            setting_put(&mut tx, setting, &endpoint.uri).await.map_err(store_error)?;
        }
        tx.commit().await.map_err(store_error)?;
        Ok(AnnounceReply {})
    }

    fn known_zone(&self, name: &str) -> Result<ZoneName, WireError> {
        let zone = self.control.zones.iter().find(|zone| zone.as_str() == name).cloned();
        zone.ok_or_else(|| WireError::new(Kind::Invalid, format!("this cloud is not configured with a zone {name}")))
    }

    async fn resolve(&self, asked: &ResolveKeyRequest) -> Result<ResolveKeyReply, WireError> {
        let is_sigv2 = !asked.sigv2_string_to_sign.is_empty();
        if is_sigv2 {
            check_sigv2(asked)?;
            if !self.credentials.takes_sigv2() {
                return Ok(refused_key(KeyRefusal::Sigv2Off));
            }
        } else {
            self.check_scope(asked)?;
        }
        let holder = match self.credentials.holder(&asked.access_key_id, token(&asked.session_token)).await {
            Ok(holder) => holder,
            Err(KeyError::Unavailable(why)) => return Err(WireError::new(Kind::Unavailable, why)),
            Err(refused) => {
                let refusal = match refused {
                    KeyError::Expired => KeyRefusal::Expired,
                    KeyError::InvalidToken => KeyRefusal::InvalidToken,
                    KeyError::Sigv2Off => KeyRefusal::Sigv2Off,
                    KeyError::Unknown | KeyError::Unavailable(_) => KeyRefusal::Unknown,
                };
                return Ok(refused_key(refusal));
            }
        };
        let signing_key = if is_sigv2 {
            // The question was whether it is right: there is no key that only signs for so long.
            if !is_right(&holder.secret, &asked.sigv2_string_to_sign, &asked.sigv2_signature) {
                return Ok(refused_key(KeyRefusal::Mismatch));
            }
            Vec::new()
        } else {
            let key = derive_signing_key(&holder.secret, &asked.date, &asked.region, &asked.service);
            key.expose_secret().to_vec()
        };
        let (actor, expires_at_ms) = (holder.actor, holder.expires_ms.unwrap_or_default());
        Ok(ResolveKeyReply {
            found: true,
            signing_key,
            account_id: actor.account.to_string(),
            principal_arn: actor.arn.to_string(),
            user_id: actor.user_id.to_string(),
            is_admin: actor.is_admin,
            expires_at_ms,
            refusal: KeyRefusal::Unknown.into(),
            root: is_root(&actor),
            unrestricted: OpContext::new(actor, "").is_unrestricted(),
        })
    }

    /// A data key of KMS, or why not.
    async fn data_key_for(&self, asked: DataKeyRequest) -> Result<DataKeyReply, WireError> {
        let Some(cloud) = &self.cloud else {
            return Err(WireError::new(Kind::Unavailable, "there are no keys here"));
        };
        let keys = DataKeys::new(cloud.clone(), self.trail.clone());
        let caller = (asked.access_key_id.as_str(), token(&asked.session_token));
        let context: BTreeMap<String, String> = asked.context.into_iter().collect();
        let outcome = if asked.sealed.is_empty() {
            keys.generate(caller, token(&asked.key), &context).await.map(|made| DataKeyReply {
                plain: made.plain.to_vec(),
                sealed: made.sealed,
                key_arn: made.key_arn,
                ..DataKeyReply::default()
            })
        } else {
            let plain = keys.open(caller, &asked.sealed, &context).await;
            plain.map(|plain| DataKeyReply { plain: plain.to_vec(), ..DataKeyReply::default() })
        };
        Ok(outcome.unwrap_or_else(|error| {
            if let Some(cause) = error.cause() {
                tracing::error!(code = error.code().as_str(), cause, "a data key was not given");
            }
            let (code, message) = (error.code().as_str().to_owned(), error.message().to_owned());
            DataKeyReply { code, message, ..DataKeyReply::default() }
        }))
    }

    fn cloud(&self) -> Result<&Arc<Cloud>, WireError> {
        self.cloud.as_ref().ok_or_else(|| WireError::new(Kind::Unavailable, "nobody here knows what policies say"))
    }

    /// What policies say of a request that Walrus has verified.
    async fn authorize(&self, asked: AuthorizeS3Request) -> Result<AuthorizeS3Reply, WireError> {
        let cloud = self.cloud()?;
        let count = asked.questions.len();
        if count > QUESTIONS_MAX || asked.resources.len() > RESOURCES_MAX {
            return Err(WireError::new(
                Kind::Invalid,
                format!("at most {QUESTIONS_MAX} questions about {RESOURCES_MAX} resources can be asked at once"),
            ));
        }
        let source_ip = self.source(&asked).map_err(|why| WireError::new(Kind::Unavailable, why.to_string()))?;
        let facts = RequestFacts { source_ip, ..facts(&asked) };
        let resources: Vec<Resource> = asked.resources.into_iter().map(resource).collect();
        let questions: Vec<Question> = asked.questions.into_iter().map(question).collect();
        let keys = keys(asked.keys);
        let quotas = usize::try_from(asked.quotas).unwrap_or_default().checked_sub(1);
        let case = Asked { resources: &resources, questions: &questions, keys: &keys, quotas };
        let judged = if !asked.service_role.is_empty() {
            let role = cloud.service_role(&asked.service_role, S3_SERVICE, &asked.service_session).await;
            match role.map_err(|error| WireError::new(Kind::Unavailable, error.to_string()))? {
                Some(actor) => judge(cloud, Party::Known(&OpContext::new(actor, "").with_facts(facts)), case).await,
                None => {
                    let refusal = format!("The role {} does not exist, or does not trust S3.", asked.service_role);
                    return Ok(AuthorizeS3Reply { refusals: vec![refusal; count], ..AuthorizeS3Reply::default() });
                }
            }
        } else if asked.access_key_id.is_empty() {
            judge(cloud, Party::Nobody(facts), case).await
        } else {
            match self.present(&asked.access_key_id, &asked.session_token).await? {
                Ok(actor) => judge(cloud, Party::Known(&OpContext::new(actor, "").with_facts(facts)), case).await,
                Err(refusal) => {
                    return Ok(AuthorizeS3Reply { refusals: vec![refusal; count], ..AuthorizeS3Reply::default() });
                }
            }
        };
        let failed = |error: ApiError| WireError::new(Kind::Unavailable, error.to_string());
        let Judgement { refusals, limits, asks_object_tags } = judged.map_err(failed)?;
        let limits = limits.map(|limits| serde_json::to_string(&*limits)).transpose();
        Ok(AuthorizeS3Reply {
            refusals: refusals.into_iter().map(Option::unwrap_or_default).collect(),
            asks_object_tags,
            limits: limits.map_err(|e| failed(ApiError::internal(e)))?.unwrap_or_default(),
        })
    }

    /// Where a request came from.
    fn source(&self, asked: &AuthorizeS3Request) -> Result<Option<IpAddr>, origin::NotOurs> {
        let said = origin::Said {
            word: &asked.from,
            digest: &asked.digest,
            peer: asked.source_ip.parse().ok(),
            waited_ms: asked.waited_ms,
        };
        origin::source(&self.control.store, said, self.control.clock.now_ms())
    }

    /// Whoever has these credentials now, or what is said to whoever has none any more.
    async fn present(&self, key: &str, session_token: &str) -> Result<Result<Actor, String>, WireError> {
        match self.credentials.holder(key, token(session_token)).await {
            Ok(holder) if holder.expires_ms.is_some_and(|end| self.control.clock.now_ms() >= end) => {
                Ok(Err("The provided token has expired.".to_owned()))
            }
            Ok(holder) => Ok(Ok(holder.actor)),
            Err(KeyError::Unavailable(why)) => Err(WireError::new(Kind::Unavailable, why)),
            Err(KeyError::Unknown | KeyError::Expired | KeyError::InvalidToken | KeyError::Sigv2Off) => {
                Ok(Err("Access Denied".to_owned()))
            }
        }
    }

    async fn proof_of(&self, asked: ProveFactorRequest) -> Result<ProveFactorReply, WireError> {
        let cloud = self.cloud()?;
        let actor = match self.present(&asked.access_key_id, &asked.session_token).await? {
            Ok(actor) => actor,
            Err(refusal) => return Ok(ProveFactorReply { refusal }),
        };
        match cloud.prove_factor(&OpContext::new(actor, ""), &asked.serial, &asked.code).await {
            Ok(()) => Ok(ProveFactorReply::default()),
            Err(error) if error.code() == Code::AccessDenied => {
                Ok(ProveFactorReply { refusal: error.message().to_owned() })
            }
            Err(error) => Err(WireError::new(Kind::Unavailable, error.to_string())),
        }
    }

    async fn known_principals(&self, names: &[String]) -> Result<KnowPrincipalsReply, WireError> {
        let cloud = self.cloud()?;
        if names.len() > PRINCIPALS_MAX {
            return Err(WireError::new(Kind::Invalid, format!("at most {PRINCIPALS_MAX} principals at once")));
        }
        let mut known = Vec::with_capacity(names.len());
        for name in names {
            let found = is_principal(cloud, name).await;
            known.push(found.map_err(|error| WireError::new(Kind::Unavailable, error.to_string()))?);
        }
        Ok(KnowPrincipalsReply { known })
    }

    /// A signing key is good for a day, a region and a service: no more of them are given away than requests can use.
    fn check_scope(&self, asked: &ResolveKeyRequest) -> Result<(), WireError> {
        let invalid = |what: String| Err(WireError::new(Kind::Invalid, what));
        if asked.service != KEY_SERVICE {
            return Err(WireError::new(Kind::Forbidden, format!("signing keys are given for {KEY_SERVICE} only")));
        }
        if [&asked.access_key_id, &asked.region].iter().any(|text| text.is_empty() || text.len() > NAME_BYTES_MAX) {
            return invalid(format!("access key id and region must have 1 to {NAME_BYTES_MAX} bytes"));
        }
        let Ok(day) = Date::parse(&asked.date, format_description!("[year][month][day]")) else {
            return invalid("the date must be of the form YYYYMMDD".to_owned());
        };
        let today = self.control.clock.now().date();
        if day < today - Duration::days(KEY_DAYS_BACK) || day > today + Duration::days(KEY_DAYS_AHEAD) {
            return invalid(format!("the date {day} is too far from today, {today}"));
        }
        Ok(())
    }
}

/// What Walrus says of a request, but where it came from.
fn facts(asked: &AuthorizeS3Request) -> RequestFacts {
    let text = |text: &str| Some(text).filter(|text| !text.is_empty()).map(Into::into);
    RequestFacts {
        source_ip: None,
        user_agent: text(&asked.user_agent),
        referer: text(&asked.referer),
        secure: false,
        region: text(&asked.region),
        access_key_id: text(&asked.access_key_id),
        presigned: asked.presigned,
        sigv2: asked.sigv2,
        signed_ms: Some(asked.signed_at_ms).filter(|ms| *ms != 0),
    }
}

fn filled(text: String) -> Option<Arc<str>> {
    Some(text).filter(|text| !text.is_empty()).map(Into::into)
}

fn resource(asked: S3Resource) -> Resource {
    let S3Resource { account, policy, denies_only, grants } = asked;
    Resource {
        account: Some(account).filter(|account| !account.is_empty()),
        policy: filled(policy),
        denies_only,
        grants: filled(grants),
    }
}

fn keys(keys: Vec<S3Key>) -> Keys {
    keys.into_iter().map(|S3Key { name, values }| (name, values)).collect()
}

fn question(asked: S3Question) -> Question {
    let S3Question { action, resource, on, keys: own } = asked;
    Question { action: action.into(), resource, on: on as usize, keys: keys(own) }
}

fn refused_key(refusal: KeyRefusal) -> ResolveKeyReply {
    ResolveKeyReply { refusal: refusal.into(), ..ResolveKeyReply::default() }
}

/// A question whether a signature of version 2 is right: what Walrus learns of a secret is that.
fn check_sigv2(asked: &ResolveKeyRequest) -> Result<(), WireError> {
    if asked.service != KEY_SERVICE {
        return Err(WireError::new(Kind::Forbidden, format!("signatures are compared for {KEY_SERVICE} only")));
    }
    let key_is_short = (1..=NAME_BYTES_MAX).contains(&asked.access_key_id.len());
    if !key_is_short || asked.sigv2_string_to_sign.len() > STRING_TO_SIGN_BYTES_MAX {
        return Err(WireError::new(Kind::Invalid, "the access key id or the text that was signed is too long"));
    }
    Ok(())
}

/// The token that came with a request, if one did.
fn token(given: &str) -> Option<&str> {
    Some(given).filter(|token| !token.is_empty())
}

/// An address that others can connect to.
fn check_uri(uri: &str) -> Result<(), WireError> {
    let bad =
        |why: &str| Err(WireError::new(Kind::Invalid, format!("the endpoint {why}; announce http(s)://HOST:PORT")));
    if uri.len() > URI_BYTES_MAX {
        return bad("is too long");
    }
    let Ok(parsed) = uri.parse::<http::Uri>() else {
        return bad("is no URI");
    };
    let (Some("http" | "https"), Some(host), Some(port)) = (parsed.scheme_str(), parsed.host(), parsed.port_u16())
    else {
        return bad("lacks scheme, host or port");
    };
    let has_user = parsed.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if parsed.path() != "/" || uri.ends_with('/') || parsed.query().is_some() || has_user || port == 0 {
        return bad("has more than scheme, host and port, or port 0");
    }
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => bad("is an address to listen on, not to connect to"),
        _ => Ok(()),
    }
}

#[tonic::async_trait]
impl Directory for DirectoryService {
    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let identity = authorise(request.extensions(), RENEWED)?;
        Ok(Response::new(self.renew_for(identity, &request.get_ref().csr).await?))
    }

    async fn locate(&self, request: Request<LocateRequest>) -> Result<Response<LocateReply>, Status> {
        authorise(request.extensions(), EVERYONE)?;
        Ok(Response::new(LocateReply { endpoints: self.control.endpoints().await? }))
    }

    async fn announce(&self, request: Request<AnnounceRequest>) -> Result<Response<AnnounceReply>, Status> {
        let identity = authorise(request.extensions(), &[Role::Cluster, Role::Walrus])?.clone();
        let Some(endpoint) = request.into_inner().endpoint else {
            return Err(WireError::new(Kind::Invalid, "the announcement names no endpoint").into());
        };
        Ok(Response::new(self.announce_for(&identity, endpoint).await?))
    }

    async fn resolve_key(&self, request: Request<ResolveKeyRequest>) -> Result<Response<ResolveKeyReply>, Status> {
        authorise(request.extensions(), &[Role::Walrus])?;
        Ok(Response::new(self.resolve(request.get_ref()).await?))
    }

    async fn authorize_s3(&self, request: Request<AuthorizeS3Request>) -> Result<Response<AuthorizeS3Reply>, Status> {
        authorise(request.extensions(), &[Role::Walrus])?;
        Ok(Response::new(self.authorize(request.into_inner()).await?))
    }

    async fn data_key(&self, request: Request<DataKeyRequest>) -> Result<Response<DataKeyReply>, Status> {
        authorise(request.extensions(), &[Role::Walrus])?;
        Ok(Response::new(self.data_key_for(request.into_inner()).await?))
    }

    async fn prove_factor(&self, request: Request<ProveFactorRequest>) -> Result<Response<ProveFactorReply>, Status> {
        authorise(request.extensions(), &[Role::Walrus])?;
        Ok(Response::new(self.proof_of(request.into_inner()).await?))
    }

    async fn know_principals(
        &self,
        request: Request<KnowPrincipalsRequest>,
    ) -> Result<Response<KnowPrincipalsReply>, Status> {
        authorise(request.extensions(), &[Role::Walrus])?;
        Ok(Response::new(self.known_principals(&request.get_ref().names).await?))
    }

    async fn record_flows(&self, request: Request<RecordFlowsRequest>) -> Result<Response<RecordFlowsReply>, Status> {
        let identity = authorise(request.extensions(), &[Role::Node])?;
        let unknown = |_| WireError::new(Kind::Forbidden, "the certificate names no node");
        let node: NodeId = identity.id.parse().map_err(unknown)?;
        let cloud = self.cloud()?;
        let none = || WireError::new(Kind::Unavailable, "there is no object store");
        let objects = cloud.objects().ok_or_else(none)?;
        mallee_app::flow_logs::record(cloud, &**objects, &node, request.into_inner()).await?;
        Ok(Response::new(RecordFlowsReply {}))
    }

    async fn record_s3(&self, request: Request<RecordS3Request>) -> Result<Response<RecordS3Reply>, Status> {
        authorise(request.extensions(), &[Role::Walrus])?;
        self.record(request.into_inner()).await?;
        Ok(Response::new(RecordS3Reply {}))
    }
}
