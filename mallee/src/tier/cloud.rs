//! `mallee cloud`: the cloud controller.

use super::s3_proxy::RemoteS3;
use super::ways::FromStore;
use super::{Around, PKI_DIR, STOP_GRACE, Signals, advertised, bind};
use crate::pool_v6::{DEFAULT_PUBLIC_POOL_V6, PoolV6};
use crate::s3_hosts::S3Hosts;
use crate::state::StateDir;
use crate::switches::Switches;
use crate::up::{DEFAULT_LISTEN, DEFAULT_PUBLIC_POOL, zone_names};
use anyhow::{Context as _, Result};
use ipnet::Ipv4Net;
use mallee_app::images::RemoteImages;
use mallee_app::trails::RemoteObjects;
use mallee_app::{CloudConfig, Parts};
use mallee_cli::{Access, write_access_files};
use mallee_cloud_controller::audit::{AUDIT_DIR, Trail};
use mallee_cloud_controller::{CloudController, verifier};
use mallee_pki::{Ca, CredentialStore, Identity, Role, spawn_rotator};
use mallee_runtime::{Shutdown, TaskScope};
use mallee_store::{SealKey, Store, StoreConfig};
use mallee_types::ZoneName;
use mallee_types::limits::TERMINATED_VISIBLE_SECONDS;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// `mallee cloud`.
#[derive(Debug, Clone, clap::Args)]
pub struct CloudArgs {
    /// Address and port of the API.
    #[arg(long, default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// Address and port for the other daemons.
    #[arg(long, default_value = "127.0.0.1:8776")]
    pub control: SocketAddr,
    /// The address by which the other daemons reach it (default: that of --control).
    #[arg(long, value_name = "https://HOST:PORT")]
    pub advertise: Option<String>,
    /// The name of this replica, different from every other's.
    #[arg(long, default_value = "cloud-1")]
    pub name: String,
    /// The database: `sqlite:PATH` or `postgres://…` (default: SQLite in the state directory).
    #[arg(long, env = "MALLEE_DATABASE")]
    pub database: Option<String>,
    /// The region's name.
    #[arg(long, default_value = "local")]
    pub region: String,
    /// How many availability zones it has, named after the region.
    #[arg(long, default_value_t = 1, conflicts_with = "zone", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub zones: u8,
    /// The name of an availability zone; once for each. The first is the default.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub zone: Vec<ZoneName>,
    /// Addresses by which instances are reached from outside.
    #[arg(long, default_value = DEFAULT_PUBLIC_POOL)]
    pub public_pool: Ipv4Net,
    /// IPv6 addresses that VPCs get their blocks of: a block of /40 to /56, or `none`. By default one of addresses that no
    /// network routes: instances reach the world by IPv6 from behind their host then.
    #[arg(long, value_name = "BLOCK", default_value = DEFAULT_PUBLIC_POOL_V6)]
    pub public_pool_v6: PoolV6,
    /// Hosts of buckets.
    #[command(flatten)]
    pub hosts: S3Hosts,
    /// What is off by itself.
    #[command(flatten)]
    pub switches: Switches,
}

struct Running {
    cloud: CloudController,
    tasks: TaskScope,
    store: Store,
}

/// Runs a cloud controller until Ctrl-C or SIGTERM. Instances run on.
///
/// # Errors
/// One line that says what to do.
pub async fn cloud(state: &Path, args: &CloudArgs) -> Result<()> {
    let dir = StateDir::take(state)?;
    let mut signals = Signals::watch()?;
    let running = tokio::select! {
        running = start(&dir, args) => running?,
        () = signals.received() => return Ok(()),
    };
    signals.received().await;
    tracing::info!("stopping the cloud controller; instances run on");
    running.cloud.stop().await;
    running.tasks.stop(STOP_GRACE).await;
    running.store.close().await;
    Ok(())
}

async fn start(dir: &StateDir, args: &CloudArgs) -> Result<Running> {
    let around = Around::system();
    let Around { clock, rng, faults } = around.clone();
    let zones = if args.zone.is_empty() { zone_names(&args.region, args.zones)? } else { args.zone.clone() };
    let listener = bind(args.listen, "--listen").await?;
    let control = bind(args.control, "--control").await?;
    let uri = advertised(args.advertise.as_deref(), "https", &control, "--advertise")?;
    let address = local(listener.local_addr()?);

    let cloud_id = dir.cloud_id(&rng)?;
    let ca = Arc::new(Ca::load_or_create(&dir.join(PKI_DIR), &cloud_id, &clock)?);
    let identity = Identity::new(&cloud_id, Role::Cloud, &args.name).with_context(|| {
        format!("{:?} is no name for a replica: say one of lower-case letters, digits and dashes", args.name)
    })?;
    let credentials = CredentialStore::new(ca.credentials(&identity)?, &clock);
    let seal = SealKey::load_or_create(&dir.join("seal.key"), &rng)?;
    let url = args.database.clone().unwrap_or_else(|| format!("sqlite:{}", dir.join("mallee.db").display()));
    let store = Store::open(StoreConfig::new(url), clock.clone(), rng.clone(), seal)
        .await
        .context("cannot open the database")?;

    let ways = FromStore { store: store.clone(), credentials: credentials.clone() };
    let config = CloudConfig {
        region: args.region.clone(),
        endpoint: address.to_string(),
        replica: format!("{cloud_id}/{}", args.name),
        zones,
        public_pool: args.public_pool,
        public_pool_v6: args.public_pool_v6.0,
        host_source: None,
        terminated_visible_seconds: TERMINATED_VISIBLE_SECONDS,
    };
    let parts = Parts {
        store: store.clone(),
        clock: clock.clone(),
        rng: rng.clone(),
        faults,
        connector: Arc::new(ways.clone()),
        images: Arc::new(RemoteImages(ways.clone())),
    };
    let shutdown = Shutdown::new();
    let trail = Trail::open(&dir.join(AUDIT_DIR)).await.context("the audit trail cannot be written")?;
    let trail = trail.with_objects(Arc::new(RemoteObjects(ways)));
    let cloud = CloudController::start(config, parts, &shutdown).await?;
    let cloud = cloud.with_trail(trail).with_s3_hosts(args.hosts.all());
    args.switches.apply(cloud.cloud());
    let tasks = TaskScope::new(&shutdown);
    let tokens = cloud.serve_control(control, credentials.clone(), ca.clone(), uri.clone())?;
    // Its own certificate it signs itself.
    let renew = move |csr: Vec<u8>| {
        let (ca, identity) = (ca.clone(), identity.clone());
        async move {
            let certificate = ca.issue(&csr, &identity).map_err(|error| error.to_string())?;
            Ok((certificate, ca.certificate().to_vec()))
        }
    };
    spawn_rotator(&tasks, credentials, dir.join(PKI_DIR), clock, rng.clone(), renew);
    let access = Access {
        endpoint: format!("http://{address}"),
        access_key_id: cloud.admin().access_key_id.clone(),
        secret_access_key: cloud.admin().secret_access_key.clone(),
        region: args.region.clone(),
    };
    write_access_files(dir.path(), &access)?;
    let s3 = Arc::new(RemoteS3::new(store.clone(), around.clock.clone(), rng));
    cloud.serve_with_tokens(listener, s3, verifier(&store), Some(tokens));
    tracing::info!(endpoint = access.endpoint, control = uri, "the cloud controller is up");
    Ok(Running { cloud, tasks, store })
}

/// By which address this host itself reaches a listener.
pub(super) fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
