//! Putting the tiers together, and taking them apart.

use super::links::{Links, LocalClusters, LocalWalrus, cluster_peers};
use super::nodes::{Common, Fleet, host_name, start_real};
use super::seed::seed;
use crate::data_keys::LocalKeys;
use crate::flows::{LocalFlows, SPOOL_DIR};
use crate::metrics::MetricsArgs;
use crate::s3_hosts::S3Hosts;
use crate::state::StateDir;
use crate::switches::S3Switches;
use anyhow::{Context as _, Result};
use ipnet::{Ipv4Net, Ipv6Net};
use mallee_app::images::RemoteImages;
use mallee_app::trails::RemoteObjects;
use mallee_app::{Cloud, CloudConfig, Parts};
use mallee_cli::{Access, write_access_files};
use mallee_cloud_controller::audit::{AUDIT_DIR, Trail};
use mallee_cloud_controller::{CloudAuthority, CloudController, LocalS3, verifier};
use mallee_cluster_controller::{ClusterConfig, ClusterController};
use mallee_node_controller::NodeHandle;
use mallee_node_core::flows::FlowTimes;
use mallee_pki::{Dialler, Identity, Role, in_process};
use mallee_runtime::{Clock, Faults, Rng, Shutdown, TaskScope};
use mallee_sim::{SimConfig, SimHost};
use mallee_store::{SealKey, Store, StoreConfig};
use mallee_types::ZoneName;
use mallee_walrus::{JobsConfig, NewBuckets, Walrus, WalrusConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How long a terminated instance stays visible, in seconds.
const TERMINATED_VISIBLE: i64 = mallee_types::limits::TERMINATED_VISIBLE_SECONDS;
/// How long servers of this process may take to end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Simulated hosts. They outlive the cloud that runs on them, as real ones do: a test may start another on them.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// The hosts, named `node-1` ….
    pub hosts: Vec<SimHost>,
}

impl Simulated {
    /// This many usual hosts.
    #[must_use]
    pub fn nodes(count: u32) -> Self {
        Self::with(count, &SimConfig::default(), &Rng::system())
    }

    /// This many hosts of this kind.
    #[must_use]
    pub fn with(count: u32, config: &SimConfig, rng: &Rng) -> Self {
        Self { hosts: (1..=count).map(|n| SimHost::new(format!("node-{n}"), config.clone(), rng.clone())).collect() }
    }
}

/// What a cloud in one process is made of.
#[derive(Debug)]
pub struct Options {
    /// The state directory.
    pub state: PathBuf,
    /// The database's URL; `None`: SQLite in the state directory.
    pub database: Option<String>,
    /// The region's name.
    pub region: String,
    /// How many zones.
    pub zones: u8,
    /// Addresses by which the host reaches instances.
    pub public_pool: Ipv4Net,
    /// Addresses out of which VPCs get IPv6 blocks; none: nobody is given any.
    pub public_pool_v6: Option<Ipv6Net>,
    /// The host's network interface on the network that those are of, if it is to answer for them there.
    pub public_link: Option<String>,
    /// Simulated hosts instead of this one.
    pub simulated: Option<Simulated>,
    /// The wall clock.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
    /// Fault points of every tier.
    pub faults: Faults,
    /// Of each zone's cluster controller; the zone's name is filled in.
    pub cluster: ClusterConfig,
    /// The links between the tiers, which tests partition.
    pub links: Links,
    /// The object store's background work.
    pub jobs: JobsConfig,
    /// Hosts of buckets.
    pub hosts: S3Hosts,
    /// Switches of the object store.
    pub s3: S3Switches,
    /// What new buckets are like.
    pub new_buckets: NewBuckets,
    /// How often flow logs are written.
    pub flows: FlowTimes,
}

/// A running cloud in one process.
#[derive(Debug)]
pub struct Assembly {
    cloud: CloudController,
    clusters: Vec<ClusterController>,
    nodes: Vec<NodeHandle>,
    /// Empty unless simulated.
    fleet: Fleet,
    walrus: Walrus,
    servers: TaskScope,
    store: Store,
}

/// The names of a region's first zones.
pub(crate) fn zone_names(region: &str, count: u8) -> Result<Vec<ZoneName>> {
    (0..count)
        .map(|n| {
            let name = format!("{region}-1{}", char::from(b'a' + n));
            name.parse().with_context(|| {
                format!("the region {region:?} makes no zone name: use lower-case letters, digits and dashes")
            })
        })
        .collect()
}

impl Assembly {
    /// Starts every tier and serves the API on `listener`.
    ///
    /// # Errors
    /// One line that names what is missing or in the way.
    pub async fn start(dir: &StateDir, options: Options, listener: TcpListener, shutdown: &Shutdown) -> Result<Self> {
        let Options {
            state,
            database,
            region,
            zones,
            public_pool,
            public_pool_v6,
            public_link,
            simulated,
            clock,
            rng,
            faults,
            cluster,
            links,
            jobs,
            hosts,
            new_buckets,
            s3,
            flows,
        } = options;
        let cloud_id = dir.cloud_id(&rng)?;
        let zones = zone_names(&region, zones)?;
        let address = listener.local_addr()?;
        let seal = SealKey::load_or_create(&dir.join("seal.key"), &rng)?;
        let url = database.unwrap_or_else(|| format!("sqlite:{}", dir.join("mallee.db").display()));
        let store = Store::open(StoreConfig::new(url), clock.clone(), rng.clone(), seal)
            .await
            .context("cannot open the database")?;
        let keys = verifier(&store);
        let servers = TaskScope::new(shutdown);

        let authority = Arc::new(CloudAuthority::new(keys.clone()));
        let mut walrus_config = WalrusConfig::new(dir.join("walrus"), region.clone());
        hosts.apply(&mut walrus_config);
        walrus_config.new_buckets = new_buckets;
        s3.apply(&mut walrus_config);
        walrus_config.jobs = jobs;
        let walrus =
            Walrus::open(walrus_config, store.clone(), authority.clone(), clock.clone(), rng.clone(), faults.clone())
                .await?;
        walrus.spawn_background(&servers);
        let walrus_dialler = serve_walrus(&servers, &walrus);

        let (mut clusters, mut diallers) = (Vec::new(), Vec::new());
        for zone in &zones {
            let config = ClusterConfig { zone: zone.to_string(), ..cluster.clone() };
            let cluster = ClusterController::new(&config, cluster_peers(), clock.clone(), rng.clone(), faults.clone())?;
            diallers.push(serve_cluster(&servers, &cluster));
            clusters.push(cluster);
        }

        let identity = Identity::new(&cloud_id, Role::Cloud, "cloud-1")?;
        let connector = LocalClusters {
            zones: zones.iter().cloned().zip(diallers.iter().map(|d| d.through(links.cloud.clone()))).collect(),
            identity: identity.clone(),
        };
        let way = LocalWalrus { dialler: walrus_dialler.through(links.walrus.clone()), identity };
        let (images, objects) = (RemoteImages(way.clone()), RemoteObjects(way));
        let config = CloudConfig {
            region: region.clone(),
            endpoint: address.to_string(),
            replica: format!("{cloud_id}/cloud-1"),
            zones,
            public_pool,
            public_pool_v6,
            host_source: simulated.is_none().then_some(mallee_net::HOST_SOURCE),
            terminated_visible_seconds: TERMINATED_VISIBLE,
        };
        let parts = Parts {
            store: store.clone(),
            clock: clock.clone(),
            rng: rng.clone(),
            faults: faults.clone(),
            connector: Arc::new(connector),
            images: Arc::new(images),
        };
        let trail = Trail::open(&state.join(AUDIT_DIR)).await.context("the audit trail cannot be written")?;
        let trail = trail.with_objects(Arc::new(objects));
        let cloud = CloudController::start(config, parts, shutdown).await?;
        let cloud = cloud.with_trail(trail).with_s3_hosts(hosts.all());
        cloud.attach_to(&authority);
        let access = Access {
            endpoint: format!("http://{address}"),
            access_key_id: cloud.admin().access_key_id.clone(),
            secret_access_key: cloud.admin().secret_access_key.clone(),
            region: region.clone(),
        };
        write_access_files(&state, &access)?;

        let common = Common { cloud_id: &cloud_id, clock: &clock, rng: &rng, faults: &faults, shutdown };
        let fleet = Fleet::new(&common, simulated.as_ref(), &diallers, &links);
        let nodes = match &simulated {
            Some(_) => {
                let nodes = fleet.start_all().await?;
                for (node, engine) in fleet.networks()? {
                    let sink = Arc::new(LocalFlows { cloud: cloud.cloud().clone(), node });
                    crate::flows::spawn(&servers, engine, sink, None, flows, (clock.clone(), rng.clone()));
                }
                seed(cloud.cloud(), walrus.engine(), &cloud.admin().account, &region).await?;
                nodes
            }
            None => {
                let cluster = diallers.first().context("a cloud needs a zone")?;
                let public = (public_pool, public_pool_v6, public_link);
                let (node, engine) = start_real(&common, &state, public, cluster, &walrus_dialler).await?;
                let sink = Arc::new(LocalFlows { cloud: cloud.cloud().clone(), node: host_name()? });
                let spool = Some(state.join("node").join(SPOOL_DIR));
                crate::flows::spawn(&servers, engine, sink, spool, flows, (clock.clone(), rng.clone()));
                vec![node]
            }
        };
        let walrus = walrus.with_keys(Arc::new(LocalKeys(cloud.data_keys())));
        cloud.serve(listener, Arc::new(LocalS3::new(walrus.router())), keys);
        Ok(Self { cloud, clusters, nodes, fleet, walrus, servers, store })
    }

    /// The cloud controller's use cases.
    #[must_use]
    pub const fn cloud(&self) -> &Arc<Cloud> {
        self.cloud.cloud()
    }

    /// The administrator's keys.
    #[must_use]
    pub const fn admin(&self) -> &mallee_app::bootstrap::AdminAccess {
        self.cloud.admin()
    }

    /// The object store.
    #[must_use]
    pub const fn walrus(&self) -> &Walrus {
        &self.walrus
    }

    /// Serves the object store's metrics where it was told to.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(crate) async fn serve_metrics(&self, args: &MetricsArgs) -> Result<()> {
        args.serve(&self.walrus, &self.servers).await
    }

    /// Returns once instances can be launched in some zone.
    pub async fn ready(&self) {
        let cloud = self.cloud();
        let mut watches: Vec<_> = cloud.zones().iter().map(|zone| cloud.zone_state(zone).watch()).collect();
        while cloud.zones().iter().all(|zone| cloud.zone_trouble(zone).is_some()) {
            let Some(first) = watches.first_mut() else { return };
            if first.changed().await.is_err() {
                return;
            }
        }
    }

    /// What keeps the zones from taking instances.
    #[must_use]
    pub fn trouble(&self) -> String {
        let cloud = self.cloud();
        let troubles =
            cloud.zones().iter().filter_map(|zone| cloud.zone_trouble(zone).map(|why| format!("{zone}: {why}")));
        troubles.collect::<Vec<_>>().join("; ")
    }

    /// Drops the controller of one simulated node where it stands; its host and guests go on.
    ///
    /// # Errors
    /// When no simulated node has this name.
    pub async fn kill_node(&self, name: &str) -> Result<()> {
        self.nodes.get(self.fleet.index(name)?).context("the node has not started")?.kill().await;
        Ok(())
    }

    /// Starts the controller of a simulated node anew, over the same host.
    ///
    /// # Errors
    /// When no simulated node has this name, or it does not start.
    pub async fn start_node(&mut self, name: &str) -> Result<()> {
        let index = self.fleet.index(name)?;
        let node = self.nodes.get_mut(index).context("the node has not started")?;
        // Two of them would both drive the host.
        node.kill().await;
        *node = self.fleet.start(index).await?;
        Ok(())
    }

    /// Ends every tier in order, the API first. Instances run on.
    pub async fn stop(self) {
        self.cloud.stop().await;
        for node in &self.nodes {
            node.stop().await;
        }
        for cluster in &self.clusters {
            cluster.stop().await;
        }
        self.servers.stop(STOP_GRACE).await;
        self.store.close().await;
    }

    /// Drops every tier where it stands, as a crash of the whole process would.
    pub async fn kill(self) {
        self.cloud.kill().await;
        for node in &self.nodes {
            node.kill().await;
        }
        for cluster in &self.clusters {
            cluster.kill().await;
        }
        self.servers.kill().await;
        self.store.close().await;
    }
}

pub(crate) fn serve_walrus(servers: &TaskScope, walrus: &Walrus) -> Dialler {
    let (dialler, incoming) = in_process();
    let (images, objects, shutdown) = (walrus.images(), walrus.objects(), servers.shutdown().clone());
    servers.spawn(async move {
        let router = tonic::transport::Server::builder().add_service(images).add_service(objects);
        ended("walrus", router.serve_with_incoming_shutdown(incoming, async move { shutdown.stopped().await }).await);
    });
    dialler
}

fn serve_cluster(servers: &TaskScope, cluster: &ClusterController) -> Dialler {
    let (dialler, incoming) = in_process();
    let (cloud_side, node_side, shutdown) =
        (cluster.cluster_service(), cluster.node_gateway(), servers.shutdown().clone());
    servers.spawn(async move {
        let router = tonic::transport::Server::builder().add_service(cloud_side).add_service(node_side);
        ended("cluster", router.serve_with_incoming_shutdown(incoming, async move { shutdown.stopped().await }).await);
    });
    dialler
}

fn ended(what: &str, outcome: Result<(), tonic::transport::Error>) {
    if let Err(error) = outcome {
        tracing::error!(tier = what, %error, "a server ended");
    }
}
