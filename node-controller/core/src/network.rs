//! What the node asks of the network: converge to a view, and plug a domain's ports in.

use async_trait::async_trait;
use mallee_proto::v1::{FlowWindow, InstanceIntent, NodeView, PortView};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The outcome of applying a view: what stands, and which ports do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// By interface id: why the port could not be applied. The rest of the view stands.
    pub port_errors: BTreeMap<String, String>,
    /// By interface id: what of a port waits for others. The port itself stands, and its instance may run; an apply of the
    /// same view later may bring the rest.
    pub waiting: BTreeMap<String, String>,
}

/// What the engine finds on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkInventory {
    /// Interface ids whose port exists (plugged).
    pub ports: Vec<String>,
    /// Devices, namespaces and tables that bear our mark and that the current view does not name.
    pub strays: Vec<String>,
}

/// Why the engine could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The kernel lacks something the design needs; names it.
    #[error("kernel feature missing: {0}")]
    Unsupported(String),
    /// The view contradicts itself or an older one; names how.
    #[error("{0}")]
    Invalid(String),
    /// Anything else; trying again may help.
    #[error("{0}")]
    Failed(String),
}

/// What the metadata service may tell about an instance of this node.
pub trait MetadataSource: Send + Sync + fmt::Debug {
    /// The instance's current intent; `None` when this node does not hold the instance.
    fn instance(&self, id: &str) -> Option<Arc<InstanceIntent>>;

    /// The guest of this instance has used its network: it took its address, or asked something.
    fn heard(&self, id: &str);
}

/// The virtual network of one host. Every method is idempotent; nothing without our mark is touched.
#[async_trait]
pub trait NetworkEngine: Send + Sync + fmt::Debug {
    /// Converges namespaces, routes, rules and services (DHCP, DNS, metadata) to the view. Ports named in the
    /// view whose domain is not plugged yet are prepared and not errors. What the view no longer names goes away.
    async fn apply(&self, view: Arc<NodeView>) -> Result<Applied, NetworkError>;

    /// Makes the tap of a port in the hypervisor's namespace and returns its name, to be handed to the domain.
    /// A stale tap of the same port is replaced. The applied view must name the port.
    async fn create_tap(&self, port: &PortView) -> Result<String, NetworkError>;

    /// After the domain holds the tap (paused): moves it into its VPC, sets it up, opens it. After this the
    /// port counts as applied. Plugged already: checks and mends.
    async fn plug(&self, port: &PortView) -> Result<(), NetworkError>;

    /// Removes a port's tap wherever it is. Absent: fine.
    async fn unplug(&self, interface_id: &str) -> Result<(), NetworkError>;

    /// What is really there.
    async fn inventory(&self) -> Result<NetworkInventory, NetworkError>;

    /// Removes everything of ours from the host (`mallee down --destroy`).
    async fn destroy_all(&self) -> Result<(), NetworkError>;

    /// Ends the window in which the traffic of the interfaces that flow logs want is counted, and begins the next. What was
    /// counted of each: without flows where there was no traffic. Said once; `now_ms` is the time, since 1970.
    async fn flows(&self, now_ms: i64) -> Result<Vec<FlowWindow>, NetworkError>;

    /// The MTU guests are given.
    fn mtu(&self) -> u32;
}
