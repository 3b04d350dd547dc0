//! `mallee walrus`: the object store, with a database of its own.

use super::alone::alone;
use super::authority::DirectoryAuthority;
use super::data_keys::RemoteKeys;
use super::member::{JoinArgs, Member};
use super::{Around, STOP_GRACE, Signals, advertised, bind, serve_mtls};
use crate::blobs::BlobsArgs;
use crate::metrics::MetricsArgs;
use crate::s3_hosts::S3Hosts;
use crate::s3_jobs::S3JobsArgs;
use crate::state::StateDir;
use crate::switches::{S3NewBuckets, S3Switches, Switches};
use anyhow::{Context as _, Result, bail};
use mallee_cloud_controller::enrol::S3_ROLE;
use mallee_cloud_controller::front;
use mallee_pki::{Allow, Role, Rule};
use mallee_runtime::{Shutdown, TaskScope};
use mallee_store::{SealKey, Store, StoreConfig};
use mallee_walrus::{Walrus, WalrusConfig};
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tonic::service::Routes;

/// Nodes read images; only the cloud controller says which are kept.
const RULES: &[Rule] = &[
    ("mallee.v1.Images/Read", Allow::Roles(&[Role::Cloud, Role::Node])),
    ("mallee.v1.Images", Allow::Roles(&[Role::Cloud])),
    ("mallee.v1.Objects", Allow::Roles(&[Role::Cloud])),
];

/// `mallee walrus`.
#[derive(Debug, Clone, clap::Args)]
pub struct WalrusArgs {
    /// The control port of the cloud controller. Without it the store is its own, with users and policies of its own.
    #[arg(long, value_name = "https://HOST:PORT")]
    pub join: Option<String>,
    /// A token that `mallee node token` printed; needed at the first start only.
    #[arg(long, env = "MALLEE_TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,
    /// Address and port of S3, for the cloud controller and for clients that come here directly.
    #[arg(long, default_value = "127.0.0.1:8778")]
    pub listen: SocketAddr,
    /// Address and port of the image service, for the cloud controller and the nodes.
    #[arg(long, default_value = "127.0.0.1:8777")]
    pub control: SocketAddr,
    /// The address by which the cloud controller reaches S3 (default: that of --listen).
    #[arg(long, value_name = "http://HOST:PORT")]
    pub advertise: Option<String>,
    /// The address by which others reach the image service (default: that of --control).
    #[arg(long, value_name = "https://HOST:PORT")]
    pub advertise_control: Option<String>,
    /// Directory of the objects (default: walrus/ in the state directory). Without --join all is kept there.
    #[arg(long, required_unless_present = "join")]
    pub data: Option<PathBuf>,
    /// Its database: `sqlite:PATH` or `postgres://…` (default: SQLite in the state directory).
    #[arg(long, env = "MALLEE_WALRUS_DATABASE")]
    pub database: Option<String>,
    /// What is off by itself.
    #[command(flatten)]
    pub s3_switches: S3Switches,
    /// The region of buckets whose maker named none.
    #[arg(long, default_value = "local")]
    pub region: String,
    /// Background work.
    #[command(flatten)]
    pub jobs: S3JobsArgs,
    /// What new buckets are like.
    #[arg(long, value_enum, default_value_t = S3NewBuckets::Closed)]
    pub s3_new_buckets: S3NewBuckets,
    /// Where the bytes are.
    #[command(flatten)]
    pub place: BlobsArgs,
    /// Hosts of buckets.
    #[command(flatten)]
    pub hosts: S3Hosts,
    /// What is off by itself; in a cloud its controller is asked.
    #[command(flatten)]
    pub switches: Switches,
    /// Metrics.
    #[command(flatten)]
    pub metrics: MetricsArgs,
}

impl WalrusArgs {
    /// The file of the key that seals what the database keeps secret.
    pub(super) fn seal_key(&self, dir: &StateDir) -> PathBuf {
        self.place.seal_key.clone().unwrap_or_else(|| dir.join("seal.key"))
    }
}

struct Running {
    servers: TaskScope,
    store: Store,
    // Holds the lock of the data directory.
    _walrus: Walrus,
}

/// Runs Walrus until Ctrl-C or SIGTERM.
///
/// # Errors
/// One line that says what to do.
pub async fn walrus(state: &Path, args: &WalrusArgs) -> Result<()> {
    match (&args.join, &args.data) {
        _ if args.switches.network_limits => bail!("--network-limits is for a cloud controller: no instance is here"),
        (None, Some(data)) => return alone(data, args).await,
        (None, None) => bail!("say --join https://HOST:PORT to join a cloud, or --data DIR for an object store alone"),
        (Some(_), _) if args.switches.is_any() => {
            bail!("--allow-sigv2 and --private-issuer are for an object store alone; give them to the cloud controller")
        }
        (Some(_), _) => {}
    }
    let dir = StateDir::take(state)?;
    let mut signals = Signals::watch()?;
    let running = tokio::select! {
        running = start(&dir, args) => running?,
        () = signals.received() => return Ok(()),
    };
    signals.received().await;
    tracing::info!("stopping walrus");
    running.servers.stop(STOP_GRACE).await;
    running.store.close().await;
    Ok(())
}

async fn start(dir: &StateDir, args: &WalrusArgs) -> Result<Running> {
    let around = Around::system();
    let join = JoinArgs { join: args.join.clone(), token: args.token.clone() };
    let s3_listener = bind(args.listen, "--listen").await?;
    let control_listener = bind(args.control, "--control").await?;
    let s3_uri = advertised(args.advertise.as_deref(), "http", &s3_listener, "--advertise")?;
    let images_uri = advertised(args.advertise_control.as_deref(), "https", &control_listener, "--advertise-control")?;
    let member = Member::join(dir, &join, Role::Walrus, "", &around).await?;

    let seal = SealKey::load_or_create(&args.seal_key(dir), &around.rng)?;
    let url = args.database.clone().unwrap_or_else(|| format!("sqlite:{}", dir.join("walrus.db").display()));
    let store = Store::open(StoreConfig::new(url), around.clock.clone(), around.rng.clone(), seal)
        .await
        .context("cannot open the database")?;
    let authority = Arc::new(DirectoryAuthority::new(member.link.clone()));
    let mut config = WalrusConfig::new(args.data.clone().unwrap_or_else(|| dir.join("walrus")), args.region.clone());
    args.hosts.apply(&mut config);
    config.new_buckets = args.s3_new_buckets.into();
    config.blobs = args.place.place()?;
    args.s3_switches.apply(&mut config);
    config.jobs = args.jobs.config()?;
    let Around { clock, rng, faults } = around.clone();
    let walrus = Walrus::open(config, store.clone(), authority, clock, rng, faults).await?;
    let walrus = walrus.with_keys(Arc::new(RemoteKeys(member.link.clone())));

    let servers = TaskScope::new(&Shutdown::new());
    walrus.spawn_background(&servers);
    args.metrics.serve(&walrus, &servers).await?;
    let services = Routes::new(walrus.images()).add_service(walrus.objects());
    serve_mtls(&servers, control_listener, member.credentials.clone(), RULES, services)?;
    servers.spawn(front::serve(s3_listener, walrus.router(), servers.clone()));
    member.rotate(&servers, &around);
    tracing::info!(s3 = s3_uri, images = images_uri, "walrus is up");
    let endpoints = vec![(Role::Walrus.name(), String::new(), images_uri), (S3_ROLE, String::new(), s3_uri)];
    member.announce(&servers, &around, endpoints);
    Ok(Running { servers, store, _walrus: walrus })
}
