//! How daemons join: the Enrolment service takes a one-time token and a certificate request, and answers with a
//! certificate for the identity that the token stands for. Needs no certificate of the caller.

use mallee_pki::{Ca, Identity, JoinToken, PkiError, Role, request_key_sha256};
use mallee_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use mallee_proto::v1::{Endpoint, EnrolReply, EnrolRequest};
use mallee_proto::{Kind, WireError};
use mallee_runtime::Clock;
use mallee_store::{
    JoinTokenRow, Store, StoreError, cluster_list, join_token_fetch, join_token_use, setting_fetch, setting_insert,
    setting_put,
};
use mallee_types::{NodeId, ZoneName};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Largest message from a daemon that is not known yet, in bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// A Walrus's name when neither it nor its token says one.
const WALRUS_NAME: &str = "walrus";
/// Setting that says where Walrus serves images, `https://HOST:PORT`.
pub const WALRUS_ENDPOINT: &str = "endpoint/walrus";
/// Setting that says where Walrus serves S3, `http://HOST:PORT`.
pub const S3_ENDPOINT: &str = "endpoint/s3";
/// The role under which Walrus announces its S3 port.
pub const S3_ROLE: &str = "s3";

/// What Enrolment and Directory work with.
#[derive(Debug)]
pub struct ControlPlane {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) ca: Arc<Ca>,
    pub(crate) zones: Vec<ZoneName>,
    /// Where daemons reach these services: `https://HOST:PORT`.
    uri: String,
}

impl ControlPlane {
    /// For a cloud with these zones, whose daemons reach it at `uri` (`https://HOST:PORT`).
    #[must_use]
    pub fn new(store: Store, clock: Clock, ca: Arc<Ca>, zones: Vec<ZoneName>, uri: String) -> Arc<Self> {
        Arc::new(Self { store, clock, ca, zones, uri })
    }

    /// Where every tier is, as far as it has said so.
    pub(crate) async fn endpoints(&self) -> Result<Vec<Endpoint>, WireError> {
        let endpoint =
            |role: &str, zone: &str, uri: String| Endpoint { role: role.to_owned(), zone: zone.to_owned(), uri };
        let mut endpoints = vec![endpoint(Role::Cloud.name(), "", self.uri.clone())];
        for cluster in cluster_list(&self.store).await.map_err(store_error)? {
            endpoints.push(endpoint(Role::Cluster.name(), cluster.zone.as_str(), cluster.endpoint));
        }
        for (role, setting) in [(Role::Walrus.name(), WALRUS_ENDPOINT), (S3_ROLE, S3_ENDPOINT)] {
            if let Some(uri) = setting_fetch(&self.store, setting).await.map_err(store_error)? {
                endpoints.push(endpoint(role, "", uri));
            }
        }
        Ok(endpoints)
    }
}

/// The setting that says that this identity has joined: by which token, and with which key (SHA-256). Without it a certificate is not renewed: to turn a daemon out,
/// delete it and wait for the certificate to expire.
pub(crate) fn member_setting(identity: &Identity) -> String {
    format!("member/{}/{}", identity.role.name(), identity.id)
}

pub(crate) fn store_error(error: StoreError) -> WireError {
    let kind = match error {
        StoreError::Unavailable(_) | StoreError::Undone(_) | StoreError::Stale { .. } => Kind::Unavailable,
        _ => Kind::Internal,
    };
    // The database's own words go to the log only: the caller may be anyone.
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    tracing::error!(%error, cause, "a daemon's request failed in the database");
    WireError::new(kind, format!("the cloud's database failed: {error}"))
}

pub(crate) fn pki_error(error: &PkiError) -> WireError {
    let kind = match error {
        PkiError::Request(_) => Kind::Invalid,
        _ => Kind::Internal,
    };
    WireError::new(kind, error.to_string())
}

/// The Enrolment service.
#[derive(Debug, Clone)]
pub struct EnrolmentService(Arc<ControlPlane>);

impl EnrolmentService {
    /// Over this control plane, with its message limit.
    #[must_use]
    pub fn server(control: &Arc<ControlPlane>) -> EnrolmentServer<Self> {
        EnrolmentServer::new(Self(control.clone())).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    /// The row of a token whose secret is right and that is not expired. Only who has the secret learns more
    /// than "not valid".
    async fn redeemable(&self, token: &JoinToken) -> Result<JoinTokenRow, WireError> {
        let invalid = || {
            WireError::new(
                Kind::Forbidden,
                "this join token is not valid here; ask an administrator for a new one: mallee node token",
            )
        };
        let row = match join_token_fetch(&self.0.store, token.id()).await {
            Ok(row) => row,
            Err(StoreError::NotFound { .. }) => return Err(invalid()),
            Err(error) => return Err(store_error(error)),
        };
        // A token of another cloud or with another CA would leave its bearer talking to strangers.
        if !token.matches(&row.secret_hash) || token.ca_sha256() != self.0.ca.ca_sha256() {
            return Err(invalid());
        }
        if row.expires_ms <= self.0.clock.now_ms() {
            return Err(WireError::new(
                Kind::Forbidden,
                "this join token has expired; make a new one: mallee node token",
            ));
        }
        Ok(row)
    }

    /// A request of a daemon that has joined with this token and this key, and may not have heard so, is granted again:
    /// the same identity for the same key. Anybody else's is refused.
    async fn repeated(&self, named: &Named, joined: &str) -> Result<(), WireError> {
        let member = setting_fetch(&self.0.store, &member_setting(&named.identity)).await.map_err(store_error)?;
        if member.as_deref() != Some(joined) {
            return Err(used());
        }
        tracing::info!(identity = %named.identity, "a daemon that had joined asked again with the same key");
        Ok(())
    }

    /// Uses the token up, and records whom it made a member, by which key.
    async fn record(&self, row: &JoinTokenRow, named: &Named, joined: &str) -> Result<(), WireError> {
        let mut tx = self.0.store.write().await.map_err(store_error)?;
        match join_token_use(&mut tx, &row.id).await {
            Ok(()) => {}
            Err(StoreError::Stale { .. }) => {
                // Meanwhile: perhaps by the first of two requests of the same daemon.
                tx.rollback().await.map_err(store_error)?;
                return self.repeated(named, joined).await;
            }
            Err(error) => return Err(store_error(error)),
        }
        let member = member_setting(&named.identity);
        if named.by_token {
            setting_put(&mut tx, &member, joined).await.map_err(store_error)?;
        } else if !setting_insert(&mut tx, &member, joined).await.map_err(store_error)? {
            // Else the bearer of any token could become any daemon. The token stays good: nothing is committed.
            let (role, id) = (named.identity.role.name(), &named.identity.id);
            return Err(WireError::new(
                Kind::Conflict,
                format!("a {role} named {id} has joined already; take another name, or a token made for that name"),
            ));
        }
        tx.commit().await.map_err(store_error)?;
        tracing::info!(identity = %named.identity, token = row.id, "a daemon joined");
        Ok(())
    }

    async fn enrol_daemon(&self, request: EnrolRequest) -> Result<EnrolReply, WireError> {
        let token = JoinToken::parse(&request.token).map_err(|e| WireError::new(Kind::Invalid, e.to_string()))?;
        let row = self.redeemable(&token).await?;
        let named = named(&row, &request.name, self.0.ca.cloud_id())?;
        // Before the token is used up: a request that cannot be signed costs none.
        let certificate = self.0.ca.issue(&request.csr, &named.identity).map_err(|e| pki_error(&e))?;
        let endpoints = self.0.endpoints().await?;
        let joined = format!("{} {}", row.id, request_key_sha256(&request.csr).map_err(|e| pki_error(&e))?);
        if row.used_ms.is_some() {
            self.repeated(&named, &joined).await?;
        } else {
            self.record(&row, &named, &joined).await?;
        }
        Ok(EnrolReply {
            certificate,
            ca_certificate: self.0.ca.certificate().to_vec(),
            identity: named.identity.to_string(),
            endpoints: for_daemon(endpoints, row.zone.as_ref()),
            zone: row.zone.map_or_else(String::new, |zone| zone.as_str().to_owned()),
        })
    }
}

fn used() -> WireError {
    WireError::new(Kind::Forbidden, "this join token was used already; make a new one: mallee node token")
}

/// A daemon needs the cluster controller of its own zone only.
fn for_daemon(mut endpoints: Vec<Endpoint>, zone: Option<&ZoneName>) -> Vec<Endpoint> {
    if let Some(zone) = zone {
        endpoints.retain(|endpoint| endpoint.zone.is_empty() || endpoint.zone == zone.as_str());
    }
    endpoints
}

/// Who the bearer becomes, and whether the token itself says so.
struct Named {
    identity: Identity,
    by_token: bool,
}

/// A cluster controller is named by its zone, others by their token, or else as they wish.
fn named(row: &JoinTokenRow, wish: &str, cloud: &str) -> Result<Named, WireError> {
    let broken =
        |what: &str| WireError::new(Kind::Internal, format!("the join token {} {what}; make a new one", row.id));
    let role = match Role::from_name(&row.role) {
        Some(role @ (Role::Cluster | Role::Node | Role::Walrus)) => role,
        Some(Role::Cloud | Role::Block) | None => return Err(broken("is for no role that joins")),
    };
    let (name, by_token) = match (role, &row.zone, &row.name) {
        (Role::Cluster, Some(zone), _) => (zone.as_str(), true),
        (Role::Cluster, None, _) => return Err(broken("names no zone")),
        (_, _, Some(name)) => (name.as_str(), true),
        (Role::Walrus, _, None) if wish.is_empty() => (WALRUS_NAME, false),
        (_, _, None) => (wish, false),
    };
    let bad = || {
        let shown: String = name.chars().take(64).collect();
        WireError::new(
            Kind::Invalid,
            format!("{shown:?} is no name for a daemon: say one of lower-case letters, digits, dashes and dots"),
        )
    };
    name.parse::<NodeId>().map_err(|_| bad())?;
    Ok(Named { identity: Identity::new(cloud, role, name).map_err(|_| bad())?, by_token })
}

#[tonic::async_trait]
impl Enrolment for EnrolmentService {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let from = request.remote_addr();
        self.enrol_daemon(request.into_inner()).await.map(Response::new).map_err(|error| {
            tracing::info!(?from, %error, "a daemon was not let in");
            Status::from(error)
        })
    }
}
