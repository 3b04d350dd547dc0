//! The order of things: what an apply does, step by step, and what it remembers. Every step may be the last one before
//! a crash; the next apply reads what is there and goes on.

mod public;
mod vpcs;

use crate::check::check_anew;
use crate::config::{MTU, NetConfig};
use crate::edge::{self, EdgeWant};
use crate::exec::{delete_links, failed, inside};
use crate::flowlog::Logged;
use crate::model::{Model, Vpc};
use crate::names::{MAX_PREFIX, Names};
use crate::nft::Rules;
use crate::observe;
use crate::probe::{Features, probe};
use crate::public_link;
use crate::sections::Sections;
use crate::services::{Services, Shared};
use async_trait::async_trait;
use mallee_node_core::network::{Applied, MetadataSource, NetworkEngine, NetworkError, NetworkInventory};
use mallee_proto::v1::{FlowWindow, NodeView, PortView};
use mallee_runtime::{Clock, Faults, Rng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

/// How long an unchanged VPC is taken to be as we left it; after that an apply looks.
const TRUST: Duration = Duration::from_secs(60);

/// The network of one host, in its kernel.
#[derive(Debug)]
pub struct KernelNetwork {
    pub(crate) config: Arc<NetConfig>,
    pub(crate) names: Names,
    pub(crate) features: Features,
    pub(crate) state: Mutex<State>,
    pub(crate) faults: Faults,
    pub(crate) shared: Arc<Shared>,
    /// Public addresses that this engine began to answer for.
    offered: Arc<std::sync::Mutex<BTreeSet<IpAddr>>>,
    /// What was counted for flow logs in namespaces that are gone, and who reads what is counted.
    pub(crate) logged: Logged,
}

/// What is remembered between calls; all of it can be found again.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) model: Model,
    version: (u64, u64),
    /// VPCs that stand as applied, by id: the model they were applied from, and the rules loaded.
    pub(crate) done: BTreeMap<String, Done>,
    services: BTreeMap<String, Services>,
    edge: Option<EdgeWant>,
    looked: Option<Instant>,
    warned: Vec<String>,
    read: Sections,
}

#[derive(Debug)]
pub(crate) struct Done {
    vpc: Arc<Vpc>,
    rules: Rules,
    /// All of it stands. (A NAT gateway may not, and is tried again with the next apply.)
    whole: bool,
}

impl KernelNetwork {
    /// An engine for this host. Tries the kernel's features first.
    ///
    /// # Errors
    /// [`NetworkError::Unsupported`] when the kernel or a tool is missing; [`NetworkError::Invalid`] for a bad name prefix,
    /// or a public link that the host does not have.
    pub fn new(config: NetConfig, metadata: Arc<dyn MetadataSource>) -> Result<Self, NetworkError> {
        Self::with(config, metadata, Clock::system(), Rng::system(), Faults::none())
    }

    /// As [`KernelNetwork::new`], with time, randomness and faults of the caller's choice.
    ///
    /// # Errors
    /// As [`KernelNetwork::new`].
    pub fn with(
        config: NetConfig,
        metadata: Arc<dyn MetadataSource>,
        clock: Clock,
        rng: Rng,
        faults: Faults,
    ) -> Result<Self, NetworkError> {
        let prefix = &config.name_prefix;
        let plain = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if prefix.is_empty()
            || prefix.len() > MAX_PREFIX
            || !plain
            || !prefix.starts_with(|c: char| c.is_ascii_lowercase())
        {
            return Err(NetworkError::Invalid(format!(
                "name prefix {prefix:?}: use lower-case letters, digits and hyphens"
            )));
        }
        public_link::check(&config)?;
        let features = probe()?;
        let names = Names::new(prefix);
        let config = Arc::new(config);
        let shared = Arc::new(Shared::new(Arc::clone(&config), metadata, clock, rng));
        Ok(Self {
            config,
            names,
            features,
            state: Mutex::default(),
            faults,
            shared,
            offered: Arc::default(),
            logged: Logged::default(),
        })
    }

    pub(crate) async fn step(&self, name: &str) -> Result<(), NetworkError> {
        self.faults.point(&format!("net.apply.{name}")).await.map_err(failed)
    }

    pub(crate) fn host(&self) -> Option<&str> {
        self.config.host_netns.as_deref()
    }

    fn tell(state: &mut State) {
        if state.warned != state.model.warnings {
            for warning in &state.model.warnings {
                warn!("network view: {warning}");
            }
            state.warned.clone_from(&state.model.warnings);
        }
    }
}

/// Tells of a failure at the ports of a VPC; of one that has none here, at those of its peers.
fn failed_ports(model: &Model, vpc: &Vpc, error: &NetworkError, applied: &mut Applied) {
    let peers = vpc.peerings.values().filter_map(|peering| model.vpcs.get(&peering.peer_vpc));
    let told: Vec<&Vpc> = if vpc.ports.is_empty() { peers.map(AsRef::as_ref).collect() } else { vec![vpc] };
    for port in told.into_iter().flat_map(|vpc| vpc.ports.values()) {
        applied.port_errors.entry(port.interface_id.clone()).or_insert_with(|| error.to_string());
    }
}

#[async_trait]
impl NetworkEngine for KernelNetwork {
    async fn apply(&self, view: Arc<NodeView>) -> Result<Applied, NetworkError> {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        let version = (view.epoch, view.generation);
        if version < state.version {
            let (epoch, generation) = state.version;
            let (old_epoch, old) = version;
            return Err(NetworkError::Invalid(format!(
                "view {old_epoch}/{old} is older than {epoch}/{generation}, which stands"
            )));
        }
        let model = check_anew(&view, &self.config, &self.names, &mut state.read)?;
        let peered: BTreeSet<String> =
            state.model.vpcs.values().filter(|vpc| !vpc.peerings.is_empty()).map(|vpc| vpc.id.clone()).collect();
        state.version = version;
        state.model = model;
        Self::tell(state);
        let mut applied = Applied { port_errors: state.model.port_errors.clone(), ..Applied::default() };
        let look = state.looked.is_none_or(|at| at.elapsed() > TRUST);
        if look {
            // A state from before is not believed until this apply is through.
            state.looked = None;
        }
        self.withdraw(state, look).await?;
        self.step("remove").await?;
        self.remove_unnamed(state).await?;
        let mut changed: BTreeSet<String> = BTreeSet::new();
        for vpc in state.model.vpcs.clone().values() {
            if !look && state.done.get(&vpc.id).is_some_and(|done| done.whole && done.vpc == *vpc) {
                continue;
            }
            if !look && self.apply_difference(state, vpc).await {
                continue;
            }
            changed.insert(vpc.id.clone());
            match self.apply_vpc(state, vpc).await {
                Ok(failed) => {
                    for (id, error) in failed {
                        applied.port_errors.entry(id).or_insert_with(|| error.to_string());
                    }
                }
                Err(error) if vpc.ports.is_empty() && vpc.peerings.is_empty() => return Err(error),
                Err(error) => {
                    warn!(vpc = %vpc.id, %error, "the network of a VPC could not be applied");
                    failed_ports(&state.model, vpc, &error, &mut applied);
                }
            }
        }
        let peers = |id: &String| state.model.vpcs.get(id).is_some_and(|vpc| !vpc.peerings.is_empty());
        if (look || changed.iter().any(|id| peered.contains(id) || peers(id)))
            && let Err(error) = self.apply_peerings(state, &changed).await
        {
            warn!(%error, "peering connections could not be applied");
            for vpc in changed.iter().filter_map(|id| state.model.vpcs.get(id)) {
                failed_ports(&state.model, vpc, &error, &mut applied);
            }
            // They are tried again by the next apply.
            state.done.retain(|id, _| !changed.contains(id));
        }
        let edge = self.apply_edge(state, look).await;
        if let Err(error) = &edge {
            warn!(%error, "public addresses could not be applied");
        }
        let ports = state.model.vpcs.values().flat_map(|vpc| vpc.ports.values().map(move |port| (vpc, port)));
        for (vpc, port) in ports.filter(|(vpc, port)| vpc.shown(port).next().is_some()) {
            let id = port.interface_id.clone();
            match &edge {
                Err(error) => {
                    applied.port_errors.entry(id).or_insert_with(|| format!("public address: {error}"));
                }
                Ok(held) => {
                    let mut waiting =
                        vpc.shown(port).filter_map(|ip| Some(format!("public address {ip}: {}", held.get(&ip)?)));
                    applied.waiting.extend(waiting.next().map(|why| (id, why)));
                }
            }
        }
        if look {
            state.looked = Some(Instant::now());
        }
        Ok(applied)
    }

    async fn create_tap(&self, port: &PortView) -> Result<String, NetworkError> {
        self.make_port(port).await
    }

    async fn plug(&self, port: &PortView) -> Result<(), NetworkError> {
        self.open_port(port).await
    }

    async fn unplug(&self, interface_id: &str) -> Result<(), NetworkError> {
        self.remove_port(interface_id).await
    }

    async fn inventory(&self) -> Result<NetworkInventory, NetworkError> {
        self.take_inventory().await
    }

    async fn destroy_all(&self) -> Result<(), NetworkError> {
        let mut state = self.state.lock().await;
        for (_, services) in std::mem::take(&mut state.services) {
            services.stop().await;
        }
        *state = State::default();
        self.remove_unnamed(&mut state).await?;
        let (names, start) = (self.names.clone(), self.names.veth_peer_start());
        let config = Arc::clone(&self.config);
        self.offered(BTreeSet::clear);
        inside(self.host(), move || {
            let peers = observe::names()?.into_iter().filter(|n| n.starts_with(&start));
            delete_links(peers)?;
            public_link::withdraw(&EdgeWant::default(), &config, &names)?;
            edge::remove(&names)
        })
        .await
    }

    async fn flows(&self, now_ms: i64) -> Result<Vec<FlowWindow>, NetworkError> {
        self.end_window(now_ms).await
    }

    fn mtu(&self) -> u32 {
        MTU
    }
}
