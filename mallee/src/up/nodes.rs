//! The nodes of one process: this host, or simulated ones.

use super::assembly::Simulated;
use super::links::{Links, LocalPeer};
use anyhow::{Context as _, Result};
use ipnet::{Ipv4Net, Ipv6Net};
use mallee_libvirt::LibvirtConfig;
use mallee_net::NetConfig;
use mallee_node_controller::real::{RealHost, drivers as real_drivers};
use mallee_node_controller::{NodeConfig, NodeHandle, Surroundings, simulated, start};
use mallee_node_core::NetworkEngine;
use mallee_pki::{Dialler, Identity, Role};
use mallee_runtime::{Clock, Faults, Rng, Shutdown};
use mallee_sim::SimHost;
use mallee_types::NodeId;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

/// The image cache keeps this much beyond what instances stand on.
pub(crate) const IMAGE_CACHE_BYTES_MAX: u64 = 20 << 30;

/// What every node of this process needs.
pub(super) struct Common<'a> {
    pub cloud_id: &'a str,
    pub clock: &'a Clock,
    pub rng: &'a Rng,
    pub faults: &'a Faults,
    pub shutdown: &'a Shutdown,
}

impl Common<'_> {
    fn peer(&self, dialler: &Dialler, node: &NodeId) -> Result<Arc<LocalPeer>> {
        let identity = Identity::new(self.cloud_id, Role::Node, node.as_str())?;
        Ok(Arc::new(LocalPeer { dialler: dialler.clone(), identity }))
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings { clock: self.clock.clone(), rng: self.rng.clone(), faults: self.faults.clone() }
    }
}

/// Simulated hosts, spread over the zones in turn, with what starting their nodes needs.
#[derive(Debug)]
pub(super) struct Fleet {
    cloud_id: String,
    around: Surroundings,
    shutdown: Shutdown,
    hosts: Vec<(SimHost, Dialler)>,
}

impl Fleet {
    /// Of no host when nothing is simulated.
    pub fn new(common: &Common<'_>, simulated: Option<&Simulated>, clusters: &[Dialler], links: &Links) -> Self {
        let hosts = simulated.into_iter().flat_map(|simulated| &simulated.hosts);
        Self {
            cloud_id: common.cloud_id.to_owned(),
            around: common.surroundings(),
            shutdown: common.shutdown.clone(),
            hosts: hosts
                .cloned()
                .zip(clusters.iter().cycle())
                .map(|(host, cluster)| {
                    let gate = links.nodes.get(host.name()).cloned().unwrap_or_default();
                    (host, cluster.through(gate))
                })
                .collect(),
        }
    }

    /// The place of a host in the list.
    pub fn index(&self, name: &str) -> Result<usize> {
        let place = self.hosts.iter().position(|(host, _)| host.name() == name);
        place.with_context(|| format!("no simulated node has the name {name:?}"))
    }

    pub async fn start_all(&self) -> Result<Vec<NodeHandle>> {
        let mut handles = Vec::with_capacity(self.hosts.len());
        for index in 0..self.hosts.len() {
            handles.push(self.start(index).await?);
        }
        Ok(handles)
    }

    /// The networks of the hosts, which outlive the controllers of their nodes.
    pub fn networks(&self) -> Result<Vec<(NodeId, Arc<dyn NetworkEngine>)>> {
        let network = |(host, _): &(SimHost, Dialler)| Ok((host.name().parse()?, simulated::drivers(host).network));
        self.hosts.iter().map(network).collect()
    }

    pub async fn start(&self, index: usize) -> Result<NodeHandle> {
        let (host, cluster) = self.hosts.get(index).context("no such simulated node")?;
        let node: NodeId = host.name().parse()?;
        let number = host.name().rsplit('-').next().and_then(|n| n.parse::<u32>().ok()).unwrap_or_default();
        let vtep = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 1)) + number);
        let identity = Identity::new(&self.cloud_id, Role::Node, node.as_str())?;
        let connector = Arc::new(LocalPeer { dialler: cluster.clone(), identity });
        let config = simulated::config(node, vtep.to_string(), host);
        Ok(start(config, simulated::drivers(host), connector, self.around.clone(), &self.shutdown).await?)
    }
}

/// This host as the one node.
pub(super) async fn start_real(
    common: &Common<'_>,
    state: &Path,
    (public_pool, public_pool6, public_link): (Ipv4Net, Option<Ipv6Net>, Option<String>),
    cluster: &Dialler,
    walrus: &Dialler,
) -> Result<(NodeHandle, Arc<dyn NetworkEngine>)> {
    let node = host_name()?;
    // One host has no overlay peers; the address is what it would be reached by.
    let vtep = Ipv4Addr::LOCALHOST;
    let dir = state.join("node");
    let network = NetConfig {
        public_pool: vec![public_pool],
        public_pool6: public_pool6.into_iter().collect(),
        public_link,
        ..NetConfig::new(vtep)
    };
    let host = RealHost {
        state_dir: &dir,
        image_cache_bytes_max: IMAGE_CACHE_BYTES_MAX,
        hypervisor: LibvirtConfig::new(&dir),
        network,
        walrus: common.peer(walrus, &node)?,
        clock: common.clock.clone(),
        faults: common.faults.clone(),
    };
    let drivers = real_drivers(host).await?;
    let config = NodeConfig::new(node.clone(), vtep.to_string(), &dir);
    let connector = common.peer(cluster, &node)?;
    let engine = drivers.network.clone();
    Ok((start(config, drivers, connector, common.surroundings(), common.shutdown).await?, engine))
}

/// The host's name as a node's name.
pub(crate) fn host_name() -> Result<NodeId> {
    let name = nix::unistd::gethostname().context("cannot read the host's name")?;
    let name = name.to_string_lossy().to_lowercase().replace('_', "-");
    name.parse().with_context(|| format!("the host's name {name:?} is no node name"))
}
