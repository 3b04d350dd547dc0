//! `mallee cluster`: the cluster controller of one availability zone.

use super::member::{JoinArgs, Member};
use super::{Around, STOP_GRACE, Signals, advertised, bind, serve_mtls};
use crate::state::StateDir;
use crate::up::cluster_peers;
use anyhow::Result;
use mallee_cluster_controller::{ClusterConfig, ClusterController};
use mallee_pki::{Allow, Role, Rule};
use mallee_runtime::{Shutdown, TaskScope};
use std::net::SocketAddr;
use std::path::Path;
use tonic::service::Routes;

/// Who may call what.
const RULES: &[Rule] =
    &[("mallee.v1.Cluster", Allow::Roles(&[Role::Cloud])), ("mallee.v1.NodeGateway", Allow::Roles(&[Role::Node]))];

/// `mallee cluster`.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterArgs {
    /// How it joins.
    #[command(flatten)]
    pub join: JoinArgs,
    /// Address and port for the cloud controller and the nodes.
    #[arg(long, default_value = "127.0.0.1:8774")]
    pub listen: SocketAddr,
    /// The address by which they reach it (default: that of --listen).
    #[arg(long, value_name = "https://HOST:PORT")]
    pub advertise: Option<String>,
}

struct Running {
    controller: ClusterController,
    servers: TaskScope,
}

/// Runs a cluster controller until Ctrl-C or SIGTERM. Instances run on.
///
/// # Errors
/// One line that says what to do.
pub async fn cluster(state: &Path, args: &ClusterArgs) -> Result<()> {
    let dir = StateDir::take(state)?;
    let mut signals = Signals::watch()?;
    let running = tokio::select! {
        running = start(&dir, args) => running?,
        () = signals.received() => return Ok(()),
    };
    signals.received().await;
    tracing::info!("stopping the cluster controller; instances run on");
    running.controller.stop().await;
    running.servers.stop(STOP_GRACE).await;
    Ok(())
}

async fn start(dir: &StateDir, args: &ClusterArgs) -> Result<Running> {
    let around = Around::system();
    let listener = bind(args.listen, "--listen").await?;
    let uri = advertised(args.advertise.as_deref(), "https", &listener, "--advertise")?;
    let member = Member::join(dir, &args.join, Role::Cluster, "", &around).await?;
    let config = ClusterConfig::for_zone(member.id.as_str());
    let controller = ClusterController::new(
        &config,
        cluster_peers(),
        around.clock.clone(),
        around.rng.clone(),
        around.faults.clone(),
    )?;
    let servers = TaskScope::new(&Shutdown::new());
    let services = Routes::new(controller.cluster_service()).add_service(controller.node_gateway());
    serve_mtls(&servers, listener, member.credentials.clone(), RULES, services)?;
    member.rotate(&servers, &around);
    tracing::info!(zone = member.id, %uri, "the cluster controller is up");
    member.announce(&servers, &around, vec![(Role::Cluster.name(), member.id.clone(), uri)]);
    Ok(Running { controller, servers })
}
