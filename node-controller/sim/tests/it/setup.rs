//! One simulated host with a node controller that can be killed and started again, and waiting with a bound.

use crate::cluster::Cluster;
use mallee_node_core::{Drivers, HeldInstances, Node, NodeHandle, Patience, Place, Settings, Surroundings};
use mallee_proto::v1::{DomainPhase, Image, InstanceIntent, InstanceSpec, Port, RunIntent};
use mallee_runtime::{Clock, Faults, Rng, Shutdown};
use mallee_sim::{Latency, SimConfig, SimHost, SimHypervisor, SimImages, SimNetwork};
use mallee_types::InstanceId;
use std::sync::Arc;
use std::time::Duration;

pub const NODE: &str = "node-1";
const WAIT_MAX: Duration = Duration::from_secs(20);

pub fn config() -> SimConfig {
    let latency = Latency::Between(Duration::ZERO, Duration::from_millis(1));
    SimConfig { hypervisor: latency, network: latency, image_fetch: latency, ..SimConfig::default() }
}

pub struct Lab {
    pub cluster: Cluster,
    pub host: SimHost,
    pub faults: Faults,
    pub held: Arc<HeldInstances>,
    node: Option<NodeHandle>,
}

impl Lab {
    /// A host and a cluster; the node controller is off.
    pub fn new() -> Self {
        let host = SimHost::new(NODE, config(), Rng::seeded(1));
        Self { cluster: Cluster::new(), host, faults: Faults::recording(), held: Arc::default(), node: None }
    }

    pub async fn started() -> Self {
        let mut lab = Self::new();
        lab.start().await;
        lab
    }

    pub async fn start(&mut self) {
        let mut settings = Settings::new(NODE.parse().unwrap(), "192.0.2.1".into());
        settings.patience = Patience {
            shutdown_grace_ms: 200,
            reboot_grace_ms: 200,
            repress_ms: 50,
            terminate_grace_ms: 50,
            launch_deadline_ms: 5_000,
            retry_first_ms: 5,
            retry_most_ms: 50,
            ..Patience::default()
        };
        settings.reconnect = (Duration::from_millis(5), Duration::from_millis(50));
        settings.look_period = Duration::from_secs(3600);
        settings.step_timeout = Duration::from_millis(300);
        self.held = Arc::default();
        let drivers = Drivers {
            hypervisor: Arc::new(SimHypervisor::new(self.host.clone())),
            network: Arc::new(SimNetwork::new(self.host.clone())),
            images: Arc::new(SimImages::new(self.host.clone())),
            held: Arc::clone(&self.held),
        };
        let around = Surroundings { clock: Clock::system(), rng: Rng::seeded(2), faults: self.faults.clone() };
        let place = Place::Memory(self.host.ledger_disk());
        let connector = Arc::new(self.cluster.clone());
        let node = Node::start(settings, place, drivers, connector, around, &Shutdown::new()).await.unwrap();
        self.node = Some(node);
    }

    pub async fn kill(&mut self) {
        self.node.take().expect("it runs").kill().await;
    }

    pub async fn stop(&mut self) {
        self.node.take().expect("it runs").stop().await;
    }

    /// The process died where it stood and comes back, without the faults.
    pub async fn kill_and_start(&mut self) {
        self.kill().await;
        self.faults = Faults::recording();
        self.start().await;
    }

    /// Waits until the cluster has heard that the instance is in this phase, of this generation.
    pub async fn phase(&self, id: &str, generation: u64, phase: DomainPhase) {
        let what = format!("{id} is {phase:?} at generation {generation}");
        eventually(&what, || {
            let seen = self.cluster.observed(id);
            let network = phase == DomainPhase::Running;
            let fits = seen.as_ref().is_some_and(|seen| {
                seen.generation == generation && seen.phase() == phase && seen.network_applied == network
            });
            if fits { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
    }

    /// Waits until nothing of the instances is left: on the host, in the ledger, in what the node holds.
    pub async fn clean(&self) {
        eventually("nothing is left", || {
            let mut left = self.host.leftovers();
            left.extend(self.host.ledger_disk().names().into_iter().filter(|name| name.starts_with("instances/")));
            left.extend(self.held.images());
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
    }
}

/// Level-triggered, with a bound: `check` says why not yet.
pub async fn eventually(what: &str, mut check: impl FnMut() -> Result<(), String>) {
    let end = tokio::time::Instant::now() + WAIT_MAX;
    loop {
        match check() {
            Ok(()) => return,
            Err(why) if tokio::time::Instant::now() > end => panic!("waited in vain until {what}: {why}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

pub fn id(n: u32) -> String {
    InstanceId::from_random(u128::from(n)).to_string()
}

pub fn intent(n: u32, generation: u64, run: RunIntent) -> InstanceIntent {
    let port = Port {
        interface_id: format!("eni-{n:017x}"),
        mac: format!("02:00:00:00:{:02x}:{:02x}", (n >> 8) & 0xff, n & 0xff),
        private_ip: format!("10.0.{}.{}", (n >> 8) & 0xff, n & 0xff),
        ..Port::default()
    };
    let image =
        Image { digest: "ab".repeat(32), format: "qcow2".into(), size_bytes: 1 << 20, virtual_size_bytes: 1 << 30 };
    InstanceIntent {
        id: id(n),
        account_id: "000000000001".into(),
        generation,
        incarnation: 1,
        node_id: NODE.into(),
        intent: run.into(),
        reboot_seq: 0,
        spec: Some(InstanceSpec {
            vcpus: 1,
            memory_mib: 512,
            root_disk_bytes: 1 << 30,
            image: Some(image),
            ports: vec![port],
            ..InstanceSpec::default()
        }),
        ..InstanceIntent::default()
    }
}
