//! The cloud controller as a daemon: the front door, the background tasks, and the wiring between them.

mod admin;
pub mod audit;
pub mod data_keys;
pub mod directory;
pub mod enrol;
pub mod front;
pub mod identity;
pub mod origin;
mod s3_authority;
mod s3_local;
mod servicequotas;
pub mod tokens;

pub use front::S3Service;
pub use s3_authority::CloudAuthority;
pub use s3_local::LocalS3;

use data_keys::DataKeys;
use directory::DirectoryService;
use enrol::{ControlPlane, EnrolmentService};
use identity::{SharedVerifier, StoreCredentials};
use mallee_api_ec2::Ec2Api;
use mallee_app::bootstrap::{AdminAccess, bootstrap};
use mallee_app::iam::key_uses::write_key_uses;
use mallee_app::{Cloud, CloudConfig, Parts, capacity, cluster_link, events, images, instances, spot, sts};
use mallee_awswire::sigv4::{Verifier, VerifierConfig};
use mallee_pki::{Ca, ClientAuth, CredentialStore, PkiError, TlsIncoming};
use mallee_runtime::task::{Nudge, spawn_periodic};
use mallee_runtime::{Shutdown, TaskScope};
use mallee_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokens::JoinTokens;
use tokio::net::TcpListener;

/// How often terminated instances and old tokens are looked for.
const PURGE_PERIOD: Duration = Duration::from_secs(60);
/// How often role credentials of instances that are due are looked for: how soon a change of a role shows in them.
const CREDENTIALS_PERIOD: Duration = Duration::from_secs(5);
/// How often the last uses of access keys are written down.
const KEY_USES_PERIOD: Duration = Duration::from_secs(15);
/// How often the image keeper looks when nobody wakes it.
const IMAGES_PERIOD: Duration = Duration::from_secs(30);
/// How often the spot keeper looks for interruptions that are due, and for room, when nobody wakes it.
const SPOT_PERIOD: Duration = Duration::from_secs(1);
/// How often the keeper of scheduled events looks for what is due, when nobody wakes it.
const EVENTS_PERIOD: Duration = Duration::from_secs(1);
/// How often keys are looked for whose time has come to go, or to get new material.
const KEYS_PERIOD: Duration = Duration::from_secs(10);
/// How often fleets are looked at when nobody wakes their keeper.
const FLEETS_PERIOD: Duration = Duration::from_secs(2);
/// How often addresses of NAT gateways are looked for whose flows have had their time.
const DRAINS_PERIOD: Duration = Duration::from_secs(2);
/// How often Walrus is asked for a sign of life.
const WALRUS_PERIOD: Duration = Duration::from_secs(15);
/// Interval of pings to other daemons, and how long one may stay unanswered: a host that vanished holds no connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long open requests may take to end when the controller stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// A verifier over the database's keys, to be shared by every service of a process.
#[must_use]
pub fn verifier(store: &Store) -> SharedVerifier {
    Arc::new(Verifier::new(StoreCredentials::new(store.clone()), VerifierConfig::default()))
}

/// Starts what keeps users, sessions and keys.
fn spawn_identity(cloud: &Arc<Cloud>, scope: &TaskScope) {
    let rng = cloud.rng().clone();
    let forgetter = cloud.clone();
    spawn_periodic(scope, "purge-sessions", PURGE_PERIOD, Nudge::default(), rng.clone(), move || {
        let cloud = forgetter.clone();
        async move { sts::purge_sessions(&cloud).await }
    });
    let keeper = cloud.clone();
    spawn_periodic(scope, "key-keeper", KEYS_PERIOD, Nudge::default(), rng.clone(), move || {
        let cloud = keeper.clone();
        async move { mallee_api_kms::keep_keys(&cloud).await }
    });
    let writer = cloud.clone();
    spawn_periodic(scope, "key-uses", KEY_USES_PERIOD, Nudge::default(), rng, move || {
        let cloud = writer.clone();
        async move { write_key_uses(&cloud).await }
    });
}

/// A running cloud controller.
#[derive(Debug)]
pub struct CloudController {
    cloud: Arc<Cloud>,
    admin: AdminAccess,
    scope: TaskScope,
    trail: Option<Arc<audit::Trail>>,
    s3_hosts: Vec<String>,
    has_instances: bool,
}

impl CloudController {
    /// Makes what the first start makes, then starts links and background tasks. Requests are not yet served.
    ///
    /// # Errors
    /// What the database says.
    pub async fn start(config: CloudConfig, parts: Parts, shutdown: &Shutdown) -> Result<Self, StoreError> {
        let cloud = Cloud::new(config, parts);
        let admin = bootstrap(&cloud).await?;
        let scope = TaskScope::new(shutdown);
        for zone in cloud.zones().to_vec() {
            cluster_link::spawn(&scope, cloud.clone(), zone);
        }
        capacity::keeper::spawn(&scope, cloud.clone());
        instances::identity::spawn(&scope, cloud.clone());
        let rng = cloud.rng().clone();
        let keeper = cloud.clone();
        spawn_periodic(&scope, "image-keeper", IMAGES_PERIOD, cloud.image_nudge().clone(), rng.clone(), move || {
            let cloud = keeper.clone();
            async move { images::keep_images(&cloud).await }
        });
        let keeper = cloud.clone();
        spawn_periodic(&scope, "spot-keeper", SPOT_PERIOD, cloud.spot_nudge().clone(), rng.clone(), move || {
            let cloud = keeper.clone();
            async move { spot::keep_spot(&cloud).await }
        });
        let keeper = cloud.clone();
        spawn_periodic(&scope, "event-keeper", EVENTS_PERIOD, cloud.event_nudge().clone(), rng.clone(), move || {
            let cloud = keeper.clone();
            async move { events::keep_events(&cloud).await }
        });
        let (fleets, hands) = (cloud.clone(), Ec2Api::new(cloud.clone()));
        spawn_periodic(&scope, "fleet-keeper", FLEETS_PERIOD, cloud.fleet_nudge().clone(), rng.clone(), move || {
            let (cloud, hands) = (fleets.clone(), hands.clone());
            async move { mallee_app::fleets::keep_fleets(&cloud, &hands).await }
        });
        let watcher = cloud.clone();
        spawn_periodic(&scope, "walrus-watch", WALRUS_PERIOD, Nudge::default(), rng.clone(), move || {
            let cloud = watcher.clone();
            async move { images::watch_walrus(&cloud).await }
        });
        let drains = cloud.clone();
        spawn_periodic(&scope, "nat-drains", DRAINS_PERIOD, Nudge::default(), rng.clone(), move || {
            let cloud = drains.clone();
            async move { mallee_app::nat_gateways::keep_drains(&cloud).await }
        });
        let purger = cloud.clone();
        spawn_periodic(&scope, "purge", PURGE_PERIOD, Nudge::default(), rng, move || {
            let cloud = purger.clone();
            async move { instances::purge::purge(&cloud).await }
        });
        let renewer = cloud.clone();
        let rng = cloud.rng().clone();
        spawn_periodic(&scope, "role-credentials", CREDENTIALS_PERIOD, Nudge::default(), rng, move || {
            let cloud = renewer.clone();
            async move { instances::credentials::renew_due(&cloud).await }
        });
        spawn_identity(&cloud, &scope);
        Ok(Self { cloud, admin, scope, trail: None, s3_hosts: Vec::new(), has_instances: true })
    }

    /// As [`CloudController::start`], for an object store that has users and policies, and no instances.
    ///
    /// # Errors
    /// What the database says.
    pub async fn start_without_instances(
        config: CloudConfig,
        parts: Parts,
        shutdown: &Shutdown,
    ) -> Result<Self, StoreError> {
        let cloud = Cloud::new(config, parts);
        let admin = bootstrap(&cloud).await?;
        let scope = TaskScope::new(shutdown);
        spawn_identity(&cloud, &scope);
        Ok(Self { cloud, admin, scope, trail: None, s3_hosts: Vec::new(), has_instances: false })
    }

    /// With domains below which every host is S3's. Before [`CloudController::serve`].
    #[must_use]
    pub fn with_s3_hosts(mut self, domains: Vec<String>) -> Self {
        self.s3_hosts = domains;
        self
    }

    /// Has every call recorded in this trail. Before [`CloudController::serve`].
    #[must_use]
    pub fn with_trail(mut self, trail: audit::Trail) -> Self {
        let trail = Arc::new(trail);
        trail.spawn(&self.scope, &self.cloud);
        if let Some(objects) = trail.objects() {
            self.cloud.use_objects(objects);
        }
        self.trail = Some(trail);
        self
    }

    /// The cloud, for those who share its process.
    #[must_use]
    pub const fn cloud(&self) -> &Arc<Cloud> {
        &self.cloud
    }

    /// Has an object store of the same process ask this cloud. After [`CloudController::with_trail`], in which it is recorded
    /// who manages buckets.
    pub fn attach_to(&self, authority: &CloudAuthority) {
        authority.attach(&self.cloud, self.trail.clone());
    }

    /// Keys for an object store of the same process. After [`CloudController::with_trail`], in which they are recorded.
    #[must_use]
    pub fn data_keys(&self) -> DataKeys {
        DataKeys::new(self.cloud.clone(), self.trail.clone())
    }

    /// The administrator's keys.
    #[must_use]
    pub const fn admin(&self) -> &AdminAccess {
        &self.admin
    }

    /// Serves the API on this port until the controller stops.
    pub fn serve(&self, listener: TcpListener, s3: Arc<dyn S3Service>, verifier: SharedVerifier) {
        self.serve_with_tokens(listener, s3, verifier, None);
    }

    /// As [`CloudController::serve`]; administrators may make join tokens if there is somebody who issues them.
    pub fn serve_with_tokens(
        &self,
        listener: TcpListener,
        s3: Arc<dyn S3Service>,
        verifier: SharedVerifier,
        tokens: Option<Arc<JoinTokens>>,
    ) {
        let front = front::Front::new(self.cloud.clone(), s3, verifier)
            .with_join_tokens(tokens)
            .with_trail(self.trail.clone())
            .with_s3_hosts(self.s3_hosts.clone())
            .with_instances(self.has_instances)
            .within(self.scope.clone());
        let router = Arc::new(front).router();
        self.scope.spawn(front::serve(listener, router, self.scope.clone()));
    }

    /// Serves Enrolment and Directory to other daemons on this port until the controller stops. They reach it at
    /// `uri` (`https://HOST:PORT`). The result issues the join tokens that are good there.
    ///
    /// # Errors
    /// When TLS cannot be set up with these credentials.
    pub fn serve_control(
        &self,
        listener: TcpListener,
        credentials: CredentialStore,
        ca: Arc<Ca>,
        uri: String,
    ) -> Result<Arc<JoinTokens>, PkiError> {
        let (cloud, shutdown) = (&self.cloud, self.scope.shutdown().clone());
        let (store, clock, zones) = (cloud.store().clone(), cloud.clock().clone(), cloud.zones().to_vec());
        let tokens = JoinTokens::new(store.clone(), clock.clone(), cloud.rng().clone(), zones.clone(), ca.ca_sha256());
        let control = ControlPlane::new(store, clock, ca, zones, uri);
        // Who enrols has no certificate yet; Directory asks every caller for one itself.
        let incoming = TlsIncoming::new(listener, credentials, ClientAuth::Optional, &shutdown)?;
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE))
            .add_service(EnrolmentService::server(&control))
            .add_service(DirectoryService::server(&control, Some(cloud.clone()), self.trail.clone()));
        self.scope.spawn(async move {
            let stop = shutdown.clone();
            if let Err(error) = server.serve_with_incoming_shutdown(incoming, async move { stop.stopped().await }).await
            {
                tracing::error!(%error, "the control port failed; other daemons cannot join until a restart");
            }
        });
        Ok(Arc::new(tokens))
    }

    /// Ends in order: open requests get a moment, instances are not touched.
    pub async fn stop(&self) {
        self.scope.stop(STOP_GRACE).await;
        if let Err(error) = write_key_uses(&self.cloud).await {
            tracing::warn!(%error, "the last uses of access keys were not written down");
        }
    }

    /// Drops everything where it stands, as a crash would.
    pub async fn kill(&self) {
        self.scope.kill().await;
    }
}
