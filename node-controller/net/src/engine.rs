//! The order of things: what an apply does, step by step, and what it remembers. Every step may be the last one before
//! a crash; the next apply reads what is there and goes on.

use crate::check::check;
use crate::config::{MTU, NetConfig};
use crate::edge::{self, EdgeWant};
use crate::exec::{bridge_batch, delete_links, failed, inside, ip_batch, sysctls};
use crate::model::{Model, Vpc};
use crate::names::{MAX_PREFIX, Names};
use crate::nft::{DROP_ALL, vpc_rules};
use crate::ns;
use crate::observe::{self, Observed};
use crate::plan::{diff, vpc_desired};
use crate::probe::{Features, probe};
use crate::public_link;
use crate::services::{Services, Shared};
use crate::swap;
use async_trait::async_trait;
use mallee_node_core::network::{Applied, MetadataSource, NetworkEngine, NetworkError, NetworkInventory};
use mallee_proto::v1::{NodeView, PortView};
use mallee_runtime::{Clock, Faults, Rng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};

/// How long an unchanged VPC is taken to be as we left it; after that an apply looks.
const TRUST: Duration = Duration::from_secs(60);

/// The network of one host, in its kernel.
#[derive(Debug)]
pub struct KernelNetwork {
    pub(crate) config: Arc<NetConfig>,
    pub(crate) names: Names,
    pub(crate) features: Features,
    pub(crate) state: Mutex<State>,
    faults: Faults,
    shared: Arc<Shared>,
    /// Public addresses that this engine began to answer for.
    offered: Arc<std::sync::Mutex<BTreeSet<Ipv4Addr>>>,
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
}

#[derive(Debug)]
pub(crate) struct Done {
    vpc: Vpc,
    rules: String,
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
        Ok(Self { config, names, features, state: Mutex::default(), faults, shared, offered: Arc::default() })
    }

    async fn step(&self, name: &str) -> Result<(), NetworkError> {
        self.faults.point(&format!("net.apply.{name}")).await.map_err(failed)
    }

    pub(crate) fn host(&self) -> Option<&str> {
        self.config.host_netns.as_deref()
    }

    /// Everything of one VPC, safest first: namespace closed, then rules, then devices, then routes, then services.
    async fn apply_vpc(&self, state: &mut State, vpc: &Vpc) -> Result<(), NetworkError> {
        let known = state.done.remove(&vpc.id);
        self.step("namespace").await?;
        let name = vpc.ns.clone();
        let made = inside(None, move || ns::ensure(&name)).await?;
        if made {
            // Sockets of a namespace that went away under us serve nobody.
            state.services.remove(&vpc.id);
        }
        self.step("rules").await?;
        let rules = vpc_rules(vpc, self.features.connlimit);
        let known = known.filter(|_| !made && state.looked.is_some());
        let sure = known.as_ref().is_some_and(|done| done.vpc.vni == vpc.vni);
        let current = known.as_ref().is_some_and(|done| done.rules == rules);
        let (text, before) = (rules.clone(), known.map(|done| done.rules));
        inside(Some(&vpc.ns), move || {
            if made {
                swap::load(DROP_ALL, None)?;
            }
            sysctls(&router_settings())?;
            if current { Ok(()) } else { swap::load(&text, before.as_deref()) }
        })
        .await?;
        self.step("devices").await?;
        if self.uplinks(vpc, sure).await? {
            state.edge = None;
        }
        self.step("routes").await?;
        self.converge_vpc(vpc).await?;
        self.step("services").await?;
        match state.services.get(&vpc.id) {
            Some(services) => services.update(vpc),
            None => {
                let services = Services::start(vpc, &self.shared).await?;
                state.services.insert(vpc.id.clone(), services);
            }
        }
        state.done.insert(vpc.id.clone(), Done { vpc: vpc.clone(), rules });
        Ok(())
    }

    /// The overlay device (its socket stays with the host) and the pair to the edge, made straight in the namespace.
    /// True when the edge has a new device to see to.
    async fn uplinks(&self, vpc: &Vpc, sure: bool) -> Result<bool, NetworkError> {
        let vtep = self.config.vtep.to_string();
        let (vni, port, local) = (vpc.vni, self.config.vxlan_port, vtep.clone());
        // What kind of device it is, is read only where this process has not made it.
        let (vx, right, igw) = inside(Some(&vpc.ns), move || {
            let vx = observe::has("vx");
            let fits = |l: &observe::LinkData| l.id == vni && l.local == local && l.port == port;
            let fits = |l: observe::Link| l.name == "vx" && fits(&l.linkinfo.info_data);
            let right = vx && (sure || observe::links()?.into_iter().any(fits));
            Ok((vx, right, observe::has("igw")))
        })
        .await?;
        if vx && !right {
            inside(Some(&vpc.ns), || delete_links(std::iter::once("vx".to_owned()))).await?;
        }
        if !vpc.remotes.is_empty() && !right && self.features.vxlan {
            let ns = &vpc.ns;
            let line = format!("link add vx netns {ns} type vxlan id {vni} local {vtep} dstport {port} nolearning");
            inside(self.host(), move || ip_batch(&[line])).await?;
        }
        let wanting = vpc.has_public() && !igw;
        if wanting {
            let (edge, link, ns) = (self.names.edge_ns(), self.names.edge_link(&vpc.id), vpc.ns.clone());
            let edge_name = edge.clone();
            inside(None, move || ns::ensure(&edge_name)).await?;
            inside(Some(&edge), move || {
                // Left over when its VPC's namespace was removed by force a moment ago.
                if observe::has(&link) {
                    delete_links(std::iter::once(link.clone()))?;
                }
                ip_batch(&[format!("link add {link} type veth peer name igw netns {ns}")])
            })
            .await?;
        }
        Ok(wanting)
    }

    /// Addresses, routes, neighbours and ports of one VPC. Returns what was there before.
    pub(crate) async fn converge_vpc(&self, vpc: &Vpc) -> Result<Observed, NetworkError> {
        let (vpc, config, tap) = (vpc.clone(), Arc::clone(&self.config), self.names.tap_start());
        let ns = vpc.ns.clone();
        inside(Some(&ns), move || {
            let seen = observe::observe()?;
            let want = vpc_desired(&vpc, &config, &seen);
            let ours = |name: &str| name.starts_with(&tap) || name == "vx" || name == "igw";
            let plan = diff(&want, &seen, ours);
            debug!(vpc = %vpc.id, ip = plan.ip.len(), bridge = plan.bridge.len(), "converging");
            for device in want.links.keys().filter(|name| name.starts_with(&tap)) {
                sysctls(&port_settings(device))?;
            }
            delete_links(plan.delete.into_iter())?;
            ip_batch(&plan.ip)?;
            bridge_batch(&plan.bridge)?;
            Ok(seen)
        })
        .await
    }

    /// Namespaces and taps that the model does not name.
    async fn remove_unnamed(&self, state: &mut State) -> Result<(), NetworkError> {
        let keep: BTreeSet<String> = state.model.vpcs.values().map(|vpc| vpc.ns.clone()).collect();
        let gone: Vec<String> =
            state.services.keys().filter(|id| !state.model.vpcs.contains_key(*id)).cloned().collect();
        for id in gone {
            if let Some(services) = state.services.remove(&id) {
                services.stop().await;
            }
        }
        state.done.retain(|id, _| state.model.vpcs.contains_key(id));
        let edge = self.names.edge_ns();
        for name in ns::list()?.into_iter().filter(|n| self.names.is_ours_ns(n) && *n != edge && !keep.contains(n)) {
            self.remove_namespace(name).await?;
        }
        let named: BTreeSet<String> = state.model.vpcs.values().flat_map(|vpc| vpc.ports.keys().cloned()).collect();
        let start = self.names.tap_start();
        inside(self.host(), move || {
            let strays = observe::names()?.into_iter().filter(|n| n.starts_with(&start) && !named.contains(n));
            delete_links(strays)
        })
        .await
    }

    /// Devices first: the kernel ends a namespace some time later, and until then its overlay number would be taken.
    async fn remove_namespace(&self, name: String) -> Result<(), NetworkError> {
        let start = self.names.tap_start();
        let ns = name.clone();
        inside(None, move || if ns::usable(&ns) { Ok(()) } else { ns::remove(&ns) }).await?;
        let ns = name.clone();
        if !inside(None, move || Ok(ns::usable(&ns))).await? {
            return Ok(());
        }
        inside(Some(&name), move || {
            let ours = observe::names()?.into_iter();
            let ours = ours.filter(|n| n.starts_with(&start) || n == "vx" || n == "igw");
            delete_links(ours)
        })
        .await?;
        inside(None, move || ns::remove(&name)).await
    }

    fn offered(&self, change: impl FnOnce(&mut BTreeSet<Ipv4Addr>)) {
        change(&mut self.offered.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    async fn apply_edge(&self, state: &mut State, look: bool) -> Result<(), NetworkError> {
        let want = EdgeWant::of(&state.model, &self.names);
        let same = state.edge.as_ref() == Some(&want);
        if same && !look {
            return Ok(());
        }
        state.edge = None;
        self.step("edge").await?;
        self.offered(|offered| offered.retain(|address| want.public.contains_key(address)));
        let (before, config, names) = (want.clone(), Arc::clone(&self.config), self.names.clone());
        inside(self.host(), move || public_link::withdraw(&before, &config, &names)).await?;
        self.step("withdrawn").await?;
        if want.public.is_empty() {
            // First look of this process, or the last public address has gone.
            let names = self.names.clone();
            inside(self.host(), move || edge::remove(&names)).await?;
        } else {
            let name = self.names.edge_ns();
            inside(None, move || ns::ensure(&name)).await?;
            let (config, names) = (Arc::clone(&self.config), self.names.clone());
            inside(self.host(), move || edge::converge_host(&config, &names)).await?;
            self.step("public").await?;
            let (config, names) = (Arc::clone(&self.config), want.clone());
            inside(Some(&self.names.edge_ns()), move || edge::converge_edge(&names, &config)).await?;
            self.step("offer").await?;
            let (after, config, names) = (want.clone(), Arc::clone(&self.config), self.names.clone());
            let fresh = inside(self.host(), move || public_link::offer(&after, &config, &names)).await?;
            self.offered(|offered| offered.extend(&fresh));
            public_link::say_again(&self.config, fresh, Arc::downgrade(&self.offered));
        }
        state.edge = Some(want);
        Ok(())
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

/// The settings of a VPC's namespace. A new one inherits the host's, whatever those are, so each is said.
fn router_settings() -> Vec<(String, &'static str)> {
    let mut settings = vec![
        ("bridge/bridge-nf-call-iptables".to_owned(), "0"),
        ("bridge/bridge-nf-call-ip6tables".to_owned(), "0"),
        ("bridge/bridge-nf-call-arptables".to_owned(), "0"),
        ("ipv4/neigh/default/proxy_delay".to_owned(), "0"),
    ];
    settings.retain(|(path, _)| std::path::Path::new("/proc/sys/net").join(path).exists());
    for scope in ["all", "default"] {
        for (key, value) in [
            ("rp_filter", "0"),
            ("send_redirects", "0"),
            ("accept_redirects", "0"),
            ("arp_ignore", "0"),
            ("arp_accept", "0"),
        ] {
            settings.push((format!("ipv4/conf/{scope}/{key}"), value));
        }
        settings.push((format!("ipv6/conf/{scope}/disable_ipv6"), "1"));
    }
    settings.push(("ipv4/conf/all/proxy_arp".to_owned(), "0"));
    settings.push(("ipv4/ip_forward".to_owned(), "1"));
    settings
}

fn port_settings(device: &str) -> Vec<(String, &'static str)> {
    vec![
        (format!("ipv4/conf/{device}/rp_filter"), "0"),
        (format!("ipv4/conf/{device}/send_redirects"), "0"),
        (format!("ipv4/conf/{device}/forwarding"), "1"),
        (format!("ipv4/conf/{device}/proxy_arp"), "1"),
        (format!("ipv4/neigh/{device}/proxy_delay"), "0"),
    ]
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
        let model = check(&view, &self.config, &self.names)?;
        state.version = version;
        state.model = model;
        Self::tell(state);
        let mut applied = Applied { port_errors: state.model.port_errors.clone() };
        let look = state.looked.is_none_or(|at| at.elapsed() > TRUST);
        if look {
            // A state from before is not believed until this apply is through.
            state.looked = None;
        }
        self.step("remove").await?;
        self.remove_unnamed(state).await?;
        for vpc in state.model.vpcs.clone().values() {
            if !look && state.done.get(&vpc.id).is_some_and(|done| done.vpc == *vpc) {
                continue;
            }
            if let Err(error) = self.apply_vpc(state, vpc).await {
                if vpc.ports.is_empty() {
                    return Err(error);
                }
                warn!(vpc = %vpc.id, %error, "the network of a VPC could not be applied");
                for port in vpc.ports.values() {
                    applied.port_errors.insert(port.interface_id.clone(), error.to_string());
                }
            }
        }
        if let Err(error) = self.apply_edge(state, look).await {
            warn!(%error, "public addresses could not be applied");
            for port in state.model.vpcs.values().flat_map(|vpc| vpc.ports.values()).filter(|p| p.public_ip.is_some()) {
                applied
                    .port_errors
                    .entry(port.interface_id.clone())
                    .or_insert_with(|| format!("public address: {error}"));
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

    fn mtu(&self) -> u32 {
        MTU
    }
}
