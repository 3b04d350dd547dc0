//! `mallee up`: a whole cloud in one process. The tiers speak the same gRPC as between hosts, over in-memory pipes.

mod assembly;
mod links;
mod nodes;
mod seed;

pub use assembly::{Assembly, Options, Simulated};
pub(crate) use assembly::{serve_walrus, zone_names};
pub use links::Links;
pub(crate) use links::{LocalClusters, LocalWalrus, cluster_peers};
pub(crate) use nodes::{IMAGE_CACHE_BYTES_MAX, host_name};

use crate::flows::FlowArgs;
use crate::metrics::MetricsArgs;
use crate::pool_v6::{DEFAULT_PUBLIC_POOL_V6, PoolV6};
use crate::s3_hosts::S3Hosts;
use crate::s3_jobs::S3JobsArgs;
use crate::state::StateDir;
use crate::switches::{S3NewBuckets, S3Switches, Switches};
use anyhow::{Context as _, Result};
use ipnet::Ipv4Net;
use mallee_cluster_controller::ClusterConfig;
use mallee_runtime::{Clock, Faults, Rng, Shutdown};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The address clients reach when none is given.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8773";
/// Addresses of instances as the host sees them: a benchmark range (RFC 2544) that is nobody's on the Internet.
pub const DEFAULT_PUBLIC_POOL: &str = "198.18.0.0/16";
/// Longest wait for the first node before the user is told what is missing.
const READY_PATIENCE: Duration = Duration::from_secs(10);

/// `mallee up`.
#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    /// Address and port of the API.
    #[arg(long, default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// Run N simulated nodes instead of this host: needs no root, libvirt or KVM.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub simulate: Option<u32>,
    /// The region's name.
    #[arg(long, default_value = "local")]
    pub region: String,
    /// How many availability zones a simulated cloud has.
    #[arg(long, default_value_t = 1, requires = "simulate", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub zones: u8,
    /// The database: `sqlite:PATH` or `postgres://…` (default: SQLite in the state directory).
    #[arg(long, env = "MALLEE_DATABASE")]
    pub database: Option<String>,
    /// Addresses by which this host reaches instances.
    #[arg(long, default_value = DEFAULT_PUBLIC_POOL)]
    pub public_pool: Ipv4Net,
    /// IPv6 addresses that VPCs get their blocks of: a block of /40 to /56, or `none`. By default one of addresses that no
    /// network routes: instances reach the world by IPv6 from behind their host then.
    #[arg(long, value_name = "BLOCK", default_value = DEFAULT_PUBLIC_POOL_V6)]
    pub public_pool_v6: PoolV6,
    /// This host's network interface on the network that the public pools are of: the host answers there (ARP, and neighbour
    /// discovery of IPv6) for the
    /// addresses of its instances (default: only this host reaches them, and they reach the world from behind it).
    #[arg(long, value_name = "INTERFACE", conflicts_with = "simulate")]
    pub public_link: Option<String>,
    /// What new buckets are like.
    #[arg(long, value_enum, default_value_t = S3NewBuckets::Closed)]
    pub s3_new_buckets: S3NewBuckets,
    /// Hosts of buckets.
    #[command(flatten)]
    pub hosts: S3Hosts,
    /// What is off by itself.
    #[command(flatten)]
    pub switches: Switches,
    /// What is off by itself in the object store.
    #[command(flatten)]
    pub s3_switches: S3Switches,
    /// The object store's background work.
    #[command(flatten)]
    pub jobs: S3JobsArgs,
    /// Flow logs.
    #[command(flatten)]
    pub flows: FlowArgs,
    /// Metrics of the object store.
    #[command(flatten)]
    pub metrics: MetricsArgs,
}

/// Runs a cloud until Ctrl-C or SIGTERM. Instances run on.
///
/// # Errors
/// One line that says what to do.
pub async fn up(state: &Path, args: &UpArgs) -> Result<()> {
    let dir = StateDir::take(state)?;
    let listener = TcpListener::bind(args.listen).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{} is in use by another program; choose another with --listen ADDR:PORT", args.listen)
        }
        _ => anyhow::anyhow!("cannot listen on {}: {e}; choose another with --listen ADDR:PORT", args.listen),
    })?;
    let options = Options {
        state: PathBuf::from(dir.path()),
        database: args.database.clone(),
        region: args.region.clone(),
        zones: args.zones,
        public_pool: args.public_pool,
        public_pool_v6: args.public_pool_v6.0,
        public_link: args.public_link.clone(),
        simulated: args.simulate.map(Simulated::nodes),
        clock: Clock::system(),
        rng: Rng::system(),
        faults: Faults::none(),
        cluster: ClusterConfig::for_zone(""),
        links: Links::default(),
        jobs: args.jobs.config()?,
        hosts: args.hosts.clone(),
        s3: args.s3_switches.clone(),
        new_buckets: args.s3_new_buckets.into(),
        flows: args.flows.times(),
    };
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let shutdown = Shutdown::new();
    let assembly = tokio::select! {
        assembly = Assembly::start(&dir, options, listener, &shutdown) => assembly?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    args.switches.apply(assembly.cloud());
    assembly.serve_metrics(&args.metrics).await?;
    announce(&assembly, args).await;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping the controllers; instances run on");
    assembly.stop().await;
    Ok(())
}

async fn announce(assembly: &Assembly, args: &UpArgs) {
    let ready = tokio::time::timeout(READY_PATIENCE, assembly.ready()).await.is_ok();
    if ready {
        tracing::info!(endpoint = %format!("http://{}", args.listen), "the cloud is ready");
    } else {
        tracing::warn!(reason = %assembly.trouble(), "the cloud cannot take instances yet");
    }
}
