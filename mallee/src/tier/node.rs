//! `mallee node`: the node controller of this host.

use super::member::{JoinArgs, Member};
use super::ways::FromDirectory;
use super::{Around, STOP_GRACE, Signals};
use crate::flows::{self, FlowArgs, RemoteFlows, SPOOL_DIR};
use crate::pool_v6::{DEFAULT_PUBLIC_POOL_V6, PoolV6};
use crate::state::StateDir;
use crate::up::{DEFAULT_PUBLIC_POOL, IMAGE_CACHE_BYTES_MAX, host_name};
use anyhow::{Context as _, Result, bail};
use ipnet::Ipv4Net;
use mallee_libvirt::LibvirtConfig;
use mallee_net::NetConfig;
use mallee_node_controller::real::{RealHost, drivers as real_drivers};
use mallee_node_controller::{Drivers, NodeConfig, NodeHandle, Surroundings, simulated, start as start_node};
use mallee_pki::Role;
use mallee_runtime::{Shutdown, TaskScope};
use mallee_sim::{SimConfig, SimHost};
use mallee_types::NodeId;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// Where the node's own things are, in the state directory.
const NODE_DIR: &str = "node";

/// `mallee node --join …`.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeArgs {
    /// How it joins.
    #[command(flatten)]
    pub join: JoinArgs,
    /// The node's name, unless its token fixes one (default: the host's name).
    #[arg(long)]
    pub name: Option<NodeId>,
    /// The address by which other nodes reach this one (default: that from which this host reaches the cloud controller).
    #[arg(long, value_name = "IPV4")]
    pub address: Option<Ipv4Addr>,
    /// Addresses by which instances are reached from outside: the cloud controller's --public-pool.
    #[arg(long, default_value = DEFAULT_PUBLIC_POOL)]
    pub public_pool: Ipv4Net,
    /// IPv6 addresses that VPCs have their blocks of: the cloud controller's --public-pool-v6.
    #[arg(long, value_name = "BLOCK", default_value = DEFAULT_PUBLIC_POOL_V6)]
    pub public_pool_v6: PoolV6,
    /// This host's network interface on the network that the public pools are of: the host answers there (ARP, and
    /// neighbour discovery of IPv6) for the
    /// public addresses of its instances. Needed where several nodes have public addresses (default: only this host
    /// reaches them, and they reach the world from behind it).
    #[arg(long, value_name = "INTERFACE")]
    pub public_link: Option<String>,
    /// Simulate a host instead of using this one. The simulated host ends with the process, as by a loss of power; its
    /// instances boot again at the next start.
    #[arg(long)]
    pub simulate_host: bool,
    /// Flow logs.
    #[command(flatten)]
    pub flows: FlowArgs,
}

struct Running {
    node: NodeHandle,
    tasks: TaskScope,
}

/// Runs a node controller until Ctrl-C or SIGTERM. Its instances run on.
///
/// # Errors
/// One line that says what to do.
pub async fn node(state: &Path, args: &NodeArgs) -> Result<()> {
    let dir = StateDir::take(state)?;
    let mut signals = Signals::watch()?;
    let running = tokio::select! {
        running = start(&dir, args) => running?,
        () = signals.received() => return Ok(()),
    };
    signals.received().await;
    tracing::info!("stopping the node controller; instances run on");
    running.node.stop().await;
    running.tasks.stop(STOP_GRACE).await;
    Ok(())
}

async fn start(dir: &StateDir, args: &NodeArgs) -> Result<Running> {
    let around = Around::system();
    let address = match args.address {
        Some(address) => address,
        None => own_address(&args.join).await?,
    };
    let wish = match &args.name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let member = Member::join(dir, &args.join, Role::Node, wish.as_str(), &around).await?;
    let id: NodeId = member.id.parse()?;
    let whereabouts = Arc::new(member.whereabouts());
    let way = |role: Role, zone: &str| {
        Arc::new(FromDirectory {
            whereabouts: whereabouts.clone(),
            credentials: member.credentials.clone(),
            role,
            zone: zone.to_owned(),
        })
    };
    let cluster = way(Role::Cluster, member.zone()?);
    let node_dir = dir.join(NODE_DIR);
    let drivers = if args.simulate_host {
        simulated::drivers(&SimHost::new(id.as_str(), SimConfig::default(), around.rng.clone()))
    } else {
        this_host(&node_dir, network(args, address), way(Role::Walrus, ""), &around).await?
    };
    let config = NodeConfig::new(id, address.to_string(), &node_dir);
    let shutdown = Shutdown::new();
    let surroundings =
        Surroundings { clock: around.clock.clone(), rng: around.rng.clone(), faults: around.faults.clone() };
    let engine = drivers.network.clone();
    let node = start_node(config, drivers, cluster, surroundings, &shutdown).await?;
    let tasks = TaskScope::new(&shutdown);
    let sink = Arc::new(RemoteFlows(member.link.clone()));
    let spool = Some(node_dir.join(SPOOL_DIR));
    flows::spawn(&tasks, engine, sink, spool, args.flows.times(), (around.clock.clone(), around.rng.clone()));
    member.rotate(&tasks, &around);
    tracing::info!(node = member.id, zone = member.zone()?, %address, "the node controller is up");
    Ok(Running { node, tasks })
}

fn network(args: &NodeArgs, address: Ipv4Addr) -> NetConfig {
    NetConfig {
        public_pool: vec![args.public_pool],
        public_pool6: args.public_pool_v6.0.into_iter().collect(),
        public_link: args.public_link.clone(),
        ..NetConfig::new(address)
    }
}

async fn this_host(dir: &Path, network: NetConfig, walrus: Arc<FromDirectory>, around: &Around) -> Result<Drivers> {
    let host = RealHost {
        state_dir: dir,
        image_cache_bytes_max: IMAGE_CACHE_BYTES_MAX,
        hypervisor: LibvirtConfig::new(dir),
        network,
        walrus,
        clock: around.clock.clone(),
        faults: around.faults.clone(),
    };
    Ok(real_drivers(host).await?)
}

/// The address from which this host reaches the cloud controller. Nothing is sent.
async fn own_address(join: &JoinArgs) -> Result<Ipv4Addr> {
    let (_, host, port) = join.uri()?;
    let unknown =
        || format!("the address of this host is not clear ({host} cannot be reached by IPv4); say it with --address");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.with_context(unknown)?;
    socket.connect((host.as_str(), port)).await.with_context(unknown)?;
    match socket.local_addr().with_context(unknown)?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => bail!(unknown()),
    }
}
