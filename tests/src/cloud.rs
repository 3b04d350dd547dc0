//! The cloud under test, with what outlives it: state directory, database, hosts, clock.

use crate::client::{CallError, Reply};
use crate::process::Process;
use mallee::switches::S3Switches;
use mallee::up::{Links, Options, Simulated};
use mallee_app::Cloud;
use mallee_cluster_controller::ClusterConfig;
use mallee_pki::Gate;
use mallee_runtime::{Clock, Faults, Rng};
use mallee_sim::{Guest, Latency, SimConfig, SimHost};
use mallee_store::InstanceRow;
use mallee_store::test_support::TestDb;
use mallee_types::{InstanceId, InstanceState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Whatever is to happen must have happened by then, faults and retries included.
pub const BOUND: Duration = Duration::from_secs(45);
/// How often a state that has no watch is looked at.
const LOOK: Duration = Duration::from_millis(4);
/// How long a client waits before it tries again.
const RETRY: Duration = Duration::from_millis(10);
/// What is logged, by the rules of `RUST_LOG`; nothing unless set.
const LOG_VARIABLE: &str = "MALLEE_TEST_LOG";
/// Between two looks for the key of identity documents.
const KEY_PAUSE: Duration = Duration::from_millis(10);
/// Processes that may die in a row before one is up.
const DEATHS_MAX: usize = 20;

/// What a cloud under test is made of.
#[derive(Debug)]
pub struct Setup {
    /// Of every random choice.
    pub seed: u64,
    /// How many hosts.
    pub nodes: u32,
    /// Over how many zones they are spread.
    pub zones: u8,
    /// What they are.
    pub host: SimConfig,
    /// Fault points, armed or not.
    pub faults: Faults,
    /// PostgreSQL instead of SQLite.
    pub postgres: bool,
    /// Of the cluster controller; the zone's name is filled in.
    pub cluster: ClusterConfig,
    /// Out of which VPCs get IPv6 blocks.
    pub public_pool_v6: Option<ipnet::Ipv6Net>,
}

impl Default for Setup {
    fn default() -> Self {
        let host = SimConfig {
            hypervisor: Latency::Zero,
            network: Latency::Zero,
            image_fetch: Latency::Zero,
            guest: Guest { shutdown_takes: Duration::from_millis(1), ..Guest::default() },
            ..SimConfig::default()
        };
        Self {
            seed: 1,
            nodes: 2,
            zones: 1,
            host,
            faults: Faults::recording(),
            postgres: false,
            cluster: ClusterConfig::for_zone(""),
            public_pool_v6: None,
        }
    }
}

/// See the crate's documentation.
#[derive(Debug)]
pub struct TestCloud {
    /// Fault points of every tier; the same after a restart.
    pub faults: Faults,
    /// The wall clock of every tier.
    pub clock: Clock,
    /// Random choices, by the seed.
    pub rng: Rng,
    /// The hosts. They outlive the cloud.
    pub hosts: Vec<SimHost>,
    /// How often the process was killed by a fault point.
    pub deaths: usize,
    /// The gates in the links between the tiers; the same after a restart.
    pub links: Links,
    zones: u8,
    cluster: ClusterConfig,
    public_pool_v6: Option<ipnet::Ipv6Net>,
    process: Option<Process>,
    database: Option<TestDb>,
    dir: tempfile::TempDir,
}

impl TestCloud {
    /// A cloud of the usual kind.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// A cloud of this kind, ready to launch.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn with(setup: Setup) -> Self {
        if let Ok(filter) = std::env::var(LOG_VARIABLE) {
            // Another cloud of the same test may have done it.
            drop(tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init());
        }
        let rng = Rng::seeded(setup.seed);
        let hosts = Simulated::with(setup.nodes, &setup.host, &rng).hosts;
        let mut cloud = Self {
            faults: setup.faults,
            clock: Clock::system(),
            rng,
            links: Links {
                nodes: hosts.iter().map(|host| (host.name().to_owned(), Gate::default())).collect(),
                ..Links::default()
            },
            zones: setup.zones,
            cluster: setup.cluster,
            public_pool_v6: setup.public_pool_v6,
            hosts,
            deaths: 0,
            process: None,
            database: if setup.postgres { Some(TestDb::postgres().await) } else { None },
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        cloud.boot().await;
        cloud.have_key().await;
        cloud
    }

    /// Waits for the key of identity documents: when it is made, every instance that is there gets a new generation, which
    /// tests that count generations would meet by chance. A cloud that a test has killed meanwhile makes it later.
    async fn have_key(&self) {
        let deadline = Instant::now() + BOUND;
        while self.process.is_some() && self.deaths == 0 && Instant::now() < deadline {
            if matches!(self.app().identity_certificate().await, Ok(Some(_))) {
                return;
            }
            tokio::time::sleep(KEY_PAUSE).await;
        }
    }

    fn options(&self) -> Options {
        Options {
            state: self.state(),
            database: self.database.as_ref().map(|db| db.url.clone()),
            region: "local".into(),
            zones: self.zones,
            public_pool: "198.18.0.0/16".parse().expect("a network"),
            public_pool_v6: self.public_pool_v6,
            public_link: None,
            simulated: Some(Simulated { hosts: self.hosts.clone() }),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            faults: self.faults.clone(),
            cluster: self.cluster.clone(),
            links: self.links.clone(),
            jobs: mallee::s3_jobs::JobsConfig::default(),
            hosts: Default::default(),
            s3: S3Switches::default(),
            new_buckets: Default::default(),
            flows: Default::default(),
        }
    }

    /// Starts the process and waits until it takes instances; a fault may kill it meanwhile.
    ///
    /// # Panics
    /// When the cloud does not come up.
    pub async fn boot(&mut self) {
        for _ in 0..DEATHS_MAX {
            match self.boot_once().await {
                Ok(true) => return,
                Ok(false) => {}
                // A step of the start that a test made fail: an operator starts again.
                Err(error) if format!("{error:#}").contains("fault injected") => {}
                Err(error) => panic!("the cloud does not start: {error:#}"),
            }
        }
        panic!("the cloud died {DEATHS_MAX} times in a row; faults struck: {:?}", self.faults.hit());
    }

    async fn boot_once(&mut self) -> anyhow::Result<bool> {
        assert!(self.process.is_none(), "the cloud runs already");
        let Some(process) = Process::start(self.options(), &self.faults).await? else {
            self.deaths += 1;
            return Ok(false);
        };
        let cloud = process.cloud();
        self.process = Some(process);
        let deadline = Instant::now() + BOUND;
        let mut watches: Vec<_> = cloud.zones().iter().map(|zone| cloud.zone_state(zone).watch()).collect();
        loop {
            let trouble: Vec<String> = cloud.zones().iter().filter_map(|zone| cloud.zone_trouble(zone)).collect();
            if trouble.is_empty() {
                return Ok(true);
            }
            tokio::select! {
                () = self.faults.killed() => {
                    self.deaths += 1;
                    self.kill().await;
                    return Ok(false);
                }
                _ = futures::future::select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed()))) => {}
                () = tokio::time::sleep_until(deadline) => panic!("the cloud is not ready: {trouble:?}; faults: {:?}", self.faults.hit()),
            }
        }
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    /// kill -9 of everything but the hosts.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// An orderly end.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// After a `Kill` struck.
    async fn revive(&mut self) {
        self.deaths += 1;
        self.kill().await;
        self.boot().await;
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("the cloud runs")
    }

    pub(crate) fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("the cloud runs")
    }

    /// A client of the cloud as it runs now.
    #[must_use]
    pub fn client(&self) -> crate::Client {
        self.process().client.clone()
    }

    /// The use cases of the cloud as it runs now.
    #[must_use]
    pub fn app(&self) -> Arc<Cloud> {
        self.process().cloud()
    }

    /// One request. If a fault kills the cloud meanwhile, it is started again, and the reply is lost.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&mut self, action: &str, params: &[(&str, &str)]) -> Result<Reply, CallError> {
        let client = self.client();
        let outcome = tokio::select! {
            biased;
            () = self.faults.killed() => None,
            outcome = client.call(action, params) => Some(outcome),
        };
        match outcome {
            Some(outcome) => outcome,
            None => {
                self.revive().await;
                Err(CallError::Lost("the cloud was killed".into()))
            }
        }
    }

    /// A request, repeated as an SDK does when there was no reply or the cloud had a fault of its own.
    ///
    /// # Panics
    /// When the request is refused, or not accepted within [`BOUND`].
    pub async fn insist(&mut self, action: &str, params: &[(&str, &str)]) -> Reply {
        let deadline = Instant::now() + BOUND;
        loop {
            match self.call(action, params).await {
                Ok(reply) => return reply,
                Err(error) if error.is_retriable() && Instant::now() < deadline => tokio::time::sleep(RETRY).await,
                Err(error) => panic!("{action}: {error}; faults: {:?}", self.faults.hit()),
            }
        }
    }

    /// What the administrator does, repeated as he does when the cloud fails or dies under him.
    ///
    /// # Panics
    /// When it is not done within [`BOUND`].
    pub async fn administer<T, E, F>(&mut self, what: &str, work: impl Fn(Arc<Cloud>) -> F) -> T
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let deadline = Instant::now() + BOUND;
        loop {
            let outcome = tokio::select! {
                biased;
                () = self.faults.killed() => None,
                outcome = self.process().run(work(self.app())) => Some(outcome),
            };
            match outcome {
                Some(Ok(value)) => return value,
                Some(Err(_)) if Instant::now() < deadline => tokio::time::sleep(RETRY).await,
                Some(Err(error)) => panic!("{what}: {error}; faults: {:?}", self.faults.hit()),
                None => self.revive().await,
            }
        }
    }

    /// Every instance's row.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn rows(&self) -> Vec<InstanceRow> {
        let app = self.app();
        self.process().run(async move { crate::audit::instances(&app).await }).await
    }

    /// Waits until `reached` says `Ok`; what it says otherwise is told if that never happens. Revives the cloud when a
    /// fault kills it.
    ///
    /// # Panics
    /// After [`BOUND`].
    pub async fn until(&mut self, what: &str, mut reached: impl AsyncFnMut(&Self) -> Result<(), String>) {
        let deadline = Instant::now() + BOUND;
        let faults = self.faults.clone();
        let mut why = String::new();
        loop {
            // A look may itself wait for what a fault has killed.
            let look = async {
                match reached(self).await {
                    Ok(()) => return true,
                    Err(not) => why = not,
                }
                tokio::time::sleep(LOOK).await;
                false
            };
            let killed = tokio::select! {
                biased;
                () = faults.killed() => true,
                done = look => if done { return } else { false },
            };
            if killed {
                self.revive().await;
            }
            assert!(Instant::now() < deadline, "{what}: {why}; faults: {:?}", self.faults.hit());
        }
    }

    /// Waits until the instance is in this state.
    ///
    /// # Panics
    /// After [`BOUND`].
    pub async fn until_state(&mut self, id: &InstanceId, state: InstanceState) {
        self.until(&format!("{id} is {}", state.name()), async |cloud| {
            match cloud.rows().await.into_iter().find(|row| row.id == *id) {
                Some(row) if row.state == state => Ok(()),
                Some(row) => {
                    Err(format!("is {} ({:?}) on {:?}", row.state.name(), row.state_reason_message, row.node_id))
                }
                None => Err("has no row".into()),
            }
        })
        .await;
    }

    /// Kills the controller of one node; its host and guests go on.
    ///
    /// # Panics
    /// When no node has this name.
    pub async fn kill_node(&mut self, name: &str) {
        self.process().kill_node(name).await;
    }

    /// Starts the controller of a node anew.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_node(&mut self, name: &str) {
        self.process_mut().start_node(name).await;
    }

    /// The host an instance is on.
    ///
    /// # Panics
    /// When it is on none.
    pub async fn host_of(&self, id: &InstanceId) -> SimHost {
        let row = self.rows().await.into_iter().find(|row| row.id == *id).expect("the instance has a row");
        let node = row.node_id.expect("the instance is on a node");
        self.hosts.iter().find(|host| host.name() == node.as_str()).expect("the node has a host").clone()
    }
}
