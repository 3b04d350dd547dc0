//! Nodes with a hypervisor, a kernel network and images from Walrus.

use mallee_libvirt::LibvirtHypervisor;
use mallee_net::KernelNetwork;
use mallee_node_core::{
    Connector, Drivers, FileImageCache, GrpcImageSource, HeldInstances, HypervisorError, MetadataSource, NetworkError,
};
use mallee_runtime::{Clock, Faults};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use mallee_libvirt::LibvirtConfig;
pub use mallee_net::NetConfig;

/// The image cache's directory in a node's state directory.
const IMAGES_DIR: &str = "images";

/// Why a host cannot be a node.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// The image cache's directory is unusable.
    #[error("cannot open the image cache at {dir}; check that the directory is writable and has room")]
    ImageCache {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no usable hypervisor.
    #[error("no usable hypervisor on this host")]
    Hypervisor(#[source] HypervisorError),
    /// The network cannot be had on this host.
    #[error("the virtual network cannot be set up on this host")]
    Network(#[source] NetworkError),
}

/// Where a real node keeps its images, and how it reaches the tiers.
#[derive(Debug)]
pub struct RealHost<'a> {
    /// The node's state directory.
    pub state_dir: &'a Path,
    /// The image cache may hold this many bytes beyond what instances stand on.
    pub image_cache_bytes_max: u64,
    /// The hypervisor.
    pub hypervisor: LibvirtConfig,
    /// The network.
    pub network: NetConfig,
    /// The way to Walrus.
    pub walrus: Arc<dyn Connector>,
    /// The wall clock.
    pub clock: Clock,
    /// Fault points of the image cache.
    pub faults: Faults,
}

/// The directory of the image cache, which the hypervisor must be able to read.
#[must_use]
pub fn images_dir(state_dir: &Path) -> PathBuf {
    state_dir.join(IMAGES_DIR)
}

/// Connects to the hypervisor, checks the kernel, opens the cache.
///
/// # Errors
/// [`RealError`]: names what the host lacks.
pub async fn drivers(host: RealHost<'_>) -> Result<Drivers, RealError> {
    let held = Arc::new(HeldInstances::default());
    let dir = images_dir(host.state_dir);
    let source = Arc::new(GrpcImageSource::new(host.walrus));
    let images = FileImageCache::open(dir.clone(), host.image_cache_bytes_max, source, host.clock, host.faults)
        .map_err(|source| RealError::ImageCache { dir, source })?;
    let metadata = Arc::clone(&held) as Arc<dyn MetadataSource>;
    let network = KernelNetwork::new(host.network, metadata).map_err(RealError::Network)?;
    let hypervisor = LibvirtHypervisor::connect(host.hypervisor).await.map_err(RealError::Hypervisor)?;
    hypervisor.check_reach().await.map_err(RealError::Hypervisor)?;
    Ok(Drivers { hypervisor: Arc::new(hypervisor), network: Arc::new(network), images: Arc::new(images), held })
}
