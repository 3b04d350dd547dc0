//! Many nodes in one process.

use crate::cluster::Cluster;
use crate::setup::{eventually, id, intent};
use mallee_node_core::{Drivers, Node, Place, Settings, Surroundings};
use mallee_proto::v1::{InstanceIntent, RunIntent};
use mallee_runtime::{Clock, Faults, Rng, Shutdown};
use mallee_sim::{SimConfig, SimHost, SimHypervisor, SimImages, SimNetwork};
use std::sync::Arc;

const NODES: u32 = 400;
/// What one node may cost, its session (both ends of it, and the cluster played here) included.
const NODE_BYTES_MAX: u64 = 200 * 1024;
/// What one node may cost without a session.
const BARE_NODE_BYTES_MAX: u64 = 100 * 1024;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[derive(Debug)]
struct NoCluster;

#[tonic::async_trait]
impl mallee_node_core::Connector for NoCluster {
    async fn connect(&self) -> Result<tonic::transport::Channel, mallee_node_core::ConnectError> {
        Err(mallee_node_core::ConnectError("nobody there".into()))
    }
}

async fn start(n: u32, connector: Arc<dyn mallee_node_core::Connector>, shutdown: &Shutdown) -> SimHost {
    let name = format!("node-{n}");
    let host = SimHost::new(name.clone(), SimConfig::default(), Rng::seeded(u64::from(n)));
    let settings = Settings::new(name.parse().unwrap(), "192.0.2.1".into());
    let drivers = Drivers {
        hypervisor: Arc::new(SimHypervisor::new(host.clone())),
        network: Arc::new(SimNetwork::new(host.clone())),
        images: Arc::new(SimImages::new(host.clone())),
        held: Arc::default(),
    };
    let around = Surroundings { clock: Clock::system(), rng: Rng::seeded(0), faults: Faults::none() };
    let place = Place::Memory(host.ledger_disk());
    drop(Node::start(settings, place, drivers, connector, around, shutdown).await.unwrap());
    host
}

/// One test in a process of its own, because two at once would measure each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_nodes_cost_little() {
    let shutdown = Shutdown::new();
    let before = resident_bytes();
    let mut hosts = vec![];
    for n in 0..NODES {
        hosts.push(start(n, Arc::new(NoCluster), &shutdown).await);
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let bare = (resident_bytes() - before) / u64::from(NODES);
    let before = resident_bytes();
    let mut clusters = vec![];
    for n in NODES..2 * NODES {
        let cluster = Cluster::new();
        hosts.push(start(n, Arc::new(cluster.clone()), &shutdown).await);
        cluster.want(InstanceIntent { node_id: format!("node-{n}"), ..intent(n, 1, RunIntent::Run) });
        clusters.push(cluster);
    }
    for (n, cluster) in (NODES..).zip(&clusters) {
        eventually("its instance runs", || match cluster.observed(&id(n)) {
            Some(o) if o.network_applied => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
    let whole = (resident_bytes() - before) / u64::from(NODES);
    shutdown.stop();
    assert!(bare <= BARE_NODE_BYTES_MAX, "{bare} bytes per node without a session");
    assert!(whole <= NODE_BYTES_MAX, "{whole} bytes per node with a session and an instance");
}
