//! Walrus, the object store daemon: the S3 service and the image service over one engine, with its background work.
//!
//! [`Walrus::open`] gives both services; `mallee up` mounts them in its own listeners, `mallee walrus` serves them alone.
//! Listeners must set `TCP_NODELAY` on the sockets of S3.

mod keys;
mod lock;
mod metrics;
mod offline;
mod owner;
mod place;
mod replicas;

pub use keys::{StaticAuthority, StaticKey};
pub use mallee_objects::check::{Checker, Finding, Report, Weight};
pub use mallee_objects::scrub::{ScrubPace, ScrubState, state as scrub_state};
pub use mallee_objects::{Engine, Error, SweepReport};
pub use mallee_remote_blobs::{RemoteKeys, RemotePlace};
pub use mallee_s3::{
    Authority, Caller, Case, DataKey, Event, Identified, Identity, Judgement, KeyCaller, KeyService, Keys, Limits,
    NewBuckets, Question, Resource, S3, S3_SERVICE, SealedKey, SecondFactor,
};
pub use mallee_s3_jobs::{Day, JobsConfig, LOG_DELIVERY, Peers, Targets};
pub use offline::Offline;

use lock::DirectoryLock;
use mallee_objects::crypt::Vault;
use mallee_objects::images::{ImageStore, ImagesService};
use mallee_objects::scrub::{Next, Scrub};
use mallee_objects::{ORPHAN_GRACE, ObjectsService, PACK_BYTES, RESERVE_BYTES};
use mallee_proto::v1::images_server::ImagesServer;
use mallee_proto::v1::objects_server::ObjectsServer;
use mallee_runtime::task::{Nudge, spawn_periodic};
use mallee_runtime::{Clock, Faults, Rng, TaskScope};
use mallee_s3::{Background, S3Config};
use mallee_store::Store;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Time between two sweeps.
pub const SWEEP_PERIOD: Duration = Duration::from_secs(3600);

/// Time between two looks for garbage that nobody told of: what an earlier process left, what could not be deleted.
pub const COLLECT_PERIOD: Duration = Duration::from_secs(60);

/// Time between two looks whether a pass of the scrub is due.
const SCRUB_LOOK_PERIOD: Duration = Duration::from_secs(600);

/// Settings of the daemon.
#[derive(Debug, Clone)]
pub struct WalrusConfig {
    /// The directory of the blobs, made if needed. One process may use it at a time.
    pub data: PathBuf,
    /// The region that is answered for buckets made without one being named.
    pub region: String,
    /// Domains under which `BUCKET.DOMAIN` names a bucket.
    pub domains: Vec<String>,
    /// Domains under which `BUCKET.DOMAIN` is the web site of a bucket.
    pub websites: Vec<String>,
    /// Whether keys that clients bring (SSE-C) are taken over plain HTTP, too.
    pub sse_c_over_http: bool,
    /// Whether objects are encrypted (SSE-S3) where neither the request nor the bucket says anything.
    pub encrypt_all: bool,
    /// What new buckets are like.
    pub new_buckets: NewBuckets,
    /// How long a blob without a row is left alone.
    pub orphan_grace: Duration,
    /// Time between two sweeps.
    pub sweep_period: Duration,
    /// Where the blobs are, if not in files below `data`.
    pub blobs: Option<RemotePlace>,
    /// Background work that buckets are configured with.
    pub jobs: JobsConfig,
    /// Bytes that stay free on the disk: uploads are refused that would need them, deletions go on.
    pub reserve: u64,
    /// Bytes after which a file that holds many small objects is ended and the next one is begun.
    pub pack_bytes: u64,
    /// How often and how fast all blobs are read and held against their checksums.
    pub scrub: ScrubPace,
}

impl WalrusConfig {
    /// The defaults for a directory and a region.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, region: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            region: region.into(),
            domains: Vec::new(),
            websites: Vec::new(),
            sse_c_over_http: false,
            encrypt_all: false,
            new_buckets: NewBuckets::default(),
            orphan_grace: ORPHAN_GRACE,
            sweep_period: SWEEP_PERIOD,
            blobs: None,
            jobs: JobsConfig::default(),
            reserve: RESERVE_BYTES,
            pack_bytes: PACK_BYTES,
            scrub: ScrubPace::default(),
        }
    }
}

/// The open object store. Keep it as long as the services it gave out run: dropping it frees the directory for others.
#[derive(Debug)]
pub struct Walrus {
    config: WalrusConfig,
    engine: Engine,
    store: Store,
    scrub: Scrub,
    s3: S3,
    images: ImageStore,
    work: metrics::Work,
    _lock: Option<DirectoryLock>,
}

impl Walrus {
    /// Opens the directory, removes what unfinished writes of an earlier process left, and makes the services ready.
    ///
    /// # Errors
    /// When the directory cannot be made or is in use by another process.
    pub async fn open(
        config: WalrusConfig,
        store: Store,
        auth: Arc<dyn Authority>,
        clock: Clock,
        rng: Rng,
        faults: Faults,
    ) -> anyhow::Result<Self> {
        offline::must_be_alone(&store)?;
        let (blobs, lock) = place::open(&config, &store, clock.clone(), rng.clone(), faults.clone()).await?;
        let scrub = Scrub::new(store.clone(), blobs.clone(), clock.clone(), faults.clone(), config.scrub);
        let meta = mallee_objects::metadata_of(store.clone());
        let engine = Engine::new(meta, blobs, clock, rng, faults).with_vault(Vault::new(store.clone()));
        let unfinished = engine.recover().await?;
        if unfinished > 0 {
            tracing::info!(unfinished, "removed what unfinished uploads had left");
        }
        let targets = config.jobs.targets.all().map(|(name, service)| (service, name.to_owned()));
        let s3_config = S3Config {
            region: config.region.clone(),
            domains: config.domains.clone(),
            websites: config.websites.clone(),
            new_buckets: config.new_buckets,
            sse_c_over_http: config.sse_c_over_http,
            encrypt_all: config.encrypt_all,
            background: Arc::new(Background::new(config.jobs.day, targets)),
        };
        let s3 = S3::new(engine.clone(), auth, s3_config).with_peers(Arc::new(config.jobs.peers.clone()));
        let images = ImageStore::new(engine.clone());
        Ok(Self { config, engine, store, scrub, s3, images, work: metrics::Work::default(), _lock: lock })
    }

    /// With a key management service, for objects that its keys encrypt. Before the services are given out.
    #[must_use]
    pub fn with_keys(self, keys: Arc<dyn KeyService>) -> Self {
        Self { s3: self.s3.with_keys(keys), ..self }
    }

    /// The S3 service.
    #[must_use]
    pub const fn s3(&self) -> &S3 {
        &self.s3
    }

    /// The S3 service as an axum router. The server puts the address that a request came from into its extensions.
    pub fn router(&self) -> axum::Router {
        mallee_s3::router(self.s3.clone())
    }

    /// `GET /metrics`, for a port of its own: whoever reaches it may read them.
    pub fn metrics(&self) -> axum::Router {
        metrics::router(self.store.clone(), self.s3.metrics(), &self.work)
    }

    /// The image service.
    #[must_use]
    pub fn images(&self) -> ImagesServer<ImagesService> {
        ImagesService::new(self.images.clone()).into_server()
    }

    /// The service by which the cloud itself keeps objects in buckets of accounts.
    #[must_use]
    pub fn objects(&self) -> ObjectsServer<ObjectsService> {
        ObjectsService::new(self.engine.clone(), self.store.clone()).encrypting(self.config.encrypt_all).into_server()
    }

    /// The image store, for use without gRPC.
    #[must_use]
    pub const fn image_store(&self) -> &ImageStore {
        &self.images
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The scrub.
    #[must_use]
    pub const fn scrub(&self) -> &Scrub {
        &self.scrub
    }

    /// Starts what buckets' configurations ask for, the collector of garbage, the scrub, and the sweep: now and every
    /// [`WalrusConfig::sweep_period`].
    pub fn spawn_background(&self, scope: &TaskScope) {
        self.s3.run_in(scope);
        let carrier = Arc::new(replicas::S3Carrier(self.s3.clone()));
        mallee_s3_jobs::spawn(scope, &self.config.jobs, &self.s3, &self.store, carrier);
        let (engine, nudge) = (self.engine.clone(), self.engine.garbage_nudge().clone());
        let (rng, work) = (engine.rng().clone(), self.work.clone());
        spawn_periodic(scope, "walrus-collect", COLLECT_PERIOD, nudge, rng, move || {
            let (engine, work) = (engine.clone(), work.clone());
            async move { engine.collect().await.map(|deleted| work.collected(deleted)) }
        });
        let (scrub, rng, more) = (self.scrub.clone(), self.engine.rng().clone(), Nudge::default());
        spawn_periodic(scope, "walrus-scrub", SCRUB_LOOK_PERIOD, more.clone(), rng, move || {
            let (scrub, more) = (scrub.clone(), more.clone());
            async move {
                if scrub.portion().await? == Next::Portion {
                    more.wake();
                }
                Ok::<_, Error>(())
            }
        });
        let (engine, grace) = (self.engine.clone(), self.config.orphan_grace);
        let (rng, work) = (engine.rng().clone(), self.work.clone());
        spawn_periodic(scope, "walrus-sweep", self.config.sweep_period, Nudge::default(), rng, move || {
            let (engine, work) = (engine.clone(), work.clone());
            async move {
                let report = engine.sweep(grace).await?;
                work.swept(&report);
                if report.deleted > 0 {
                    tracing::info!(
                        deleted = report.deleted,
                        seen = report.seen,
                        "deleted blobs that nothing refers to"
                    );
                }
                Ok::<_, Error>(())
            }
        });
    }
}
