//! `mallee walrus --data DIR` without a cloud: an object store that is its own. Users, policies and sessions are those of a
//! cloud, asked for by the same IAM and STS on the same port; there are no instances.

use super::cloud::local;
use super::{Around, STOP_GRACE, Signals, WalrusArgs, bind};
use crate::data_keys::LocalKeys;
use crate::state::StateDir;
use crate::up::{DEFAULT_PUBLIC_POOL, LocalClusters, LocalWalrus, serve_walrus, zone_names};
use anyhow::{Context as _, Result};
use mallee_app::images::RemoteImages;
use mallee_app::trails::RemoteObjects;
use mallee_app::{CloudConfig, Parts};
use mallee_cli::{Access, write_access_files};
use mallee_cloud_controller::audit::{AUDIT_DIR, Trail};
use mallee_cloud_controller::{CloudAuthority, CloudController, LocalS3, verifier};
use mallee_pki::{Identity, Role};
use mallee_runtime::{Shutdown, TaskScope};
use mallee_store::{SealKey, Store, StoreConfig};
use mallee_types::limits::TERMINATED_VISIBLE_SECONDS;
use mallee_walrus::{Walrus, WalrusConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

struct Running {
    identity: CloudController,
    servers: TaskScope,
    store: Store,
    // Holds the lock of the data directory.
    _walrus: Walrus,
}

/// Runs the object store until Ctrl-C or SIGTERM. All that it keeps is below `data`.
///
/// # Errors
/// One line that says what to do.
pub(super) async fn alone(data: &Path, args: &WalrusArgs) -> Result<()> {
    let dir = StateDir::take(data)?;
    let mut signals = Signals::watch()?;
    let running = tokio::select! {
        running = start(&dir, args) => running?,
        () = signals.received() => return Ok(()),
    };
    signals.received().await;
    tracing::info!("stopping the object store");
    running.identity.stop().await;
    running.servers.stop(STOP_GRACE).await;
    running.store.close().await;
    Ok(())
}

async fn start(dir: &StateDir, args: &WalrusArgs) -> Result<Running> {
    let Around { clock, rng, faults } = Around::system();
    let listener = bind(args.listen, "--listen").await?;
    let address = local(listener.local_addr()?);
    let cloud_id = dir.cloud_id(&rng)?;
    let seal = SealKey::load_or_create(&args.seal_key(dir), &rng)?;
    let url = args.database.clone().unwrap_or_else(|| format!("sqlite:{}", dir.join("walrus.db").display()));
    let store = Store::open(StoreConfig::new(url), clock.clone(), rng.clone(), seal)
        .await
        .context("cannot open the database")?;
    let keys = verifier(&store);
    let shutdown = Shutdown::new();
    let servers = TaskScope::new(&shutdown);

    let authority = Arc::new(CloudAuthority::new(keys.clone()));
    let mut config = WalrusConfig::new(dir.join("walrus"), args.region.clone());
    args.hosts.apply(&mut config);
    config.new_buckets = args.s3_new_buckets.into();
    config.blobs = args.place.place()?;
    args.s3_switches.apply(&mut config);
    config.jobs = args.jobs.config()?;
    let walrus =
        Walrus::open(config, store.clone(), authority.clone(), clock.clone(), rng.clone(), faults.clone()).await?;
    walrus.spawn_background(&servers);
    args.metrics.serve(&walrus, &servers).await?;
    let identity = Identity::new(&cloud_id, Role::Cloud, "cloud-1")?;
    let way = LocalWalrus { dialler: serve_walrus(&servers, &walrus), identity: identity.clone() };

    let config = CloudConfig {
        region: args.region.clone(),
        endpoint: address.to_string(),
        replica: format!("{cloud_id}/cloud-1"),
        zones: zone_names(&args.region, 1)?,
        public_pool: DEFAULT_PUBLIC_POOL.parse().context("the pool of addresses")?,
        // It has no VPCs.
        public_pool_v6: None,
        host_source: None,
        terminated_visible_seconds: TERMINATED_VISIBLE_SECONDS,
    };
    let parts = Parts {
        store: store.clone(),
        clock,
        rng,
        faults,
        connector: Arc::new(LocalClusters { zones: BTreeMap::new(), identity }),
        images: Arc::new(RemoteImages(way.clone())),
    };
    let trail = Trail::open(&dir.join(AUDIT_DIR)).await.context("the audit trail cannot be written")?;
    let trail = trail.with_objects(Arc::new(RemoteObjects(way)));
    let identity = CloudController::start_without_instances(config, parts, &shutdown).await?;
    let identity = identity.with_trail(trail).with_s3_hosts(args.hosts.all());
    identity.attach_to(&authority);
    let walrus = walrus.with_keys(Arc::new(LocalKeys(identity.data_keys())));
    args.switches.apply(identity.cloud());
    let access = Access {
        endpoint: format!("http://{address}"),
        access_key_id: identity.admin().access_key_id.clone(),
        secret_access_key: identity.admin().secret_access_key.clone(),
        region: args.region.clone(),
    };
    write_access_files(dir.path(), &access)?;
    identity.serve(listener, Arc::new(LocalS3::new(walrus.router())), keys);
    tracing::info!(
        endpoint = access.endpoint,
        access_key_id = access.access_key_id,
        keys = %dir.join("env").display(),
        "the object store is up"
    );
    Ok(Running { identity, servers, store, _walrus: walrus })
}
