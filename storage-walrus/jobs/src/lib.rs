//! The background work of the object store: what its buckets' configurations ask for besides requests.
//!
//! Each kind of work is done by one process at a time, which holds its lease; what was done is noted in the database, so
//! that whoever comes next goes on from there. Everything may be done twice: a change is made only while it is still
//! about the same writing of a key, and messages are told at least once.

mod dial;
pub mod inventory;
mod lead;
pub mod lifecycle;
mod lines;
pub mod notify;
mod peer;
pub mod replicate;

pub use inventory::Lister;
pub use lifecycle::{Expirer, Outcome};
pub use notify::{Notifier, Target, Targets};
pub use peer::Peers;
pub use replicate::{Carrier, Failure, REPLICATION_AGE_MAX, Replicator};

use mallee_runtime::TaskScope;
use mallee_runtime::task::{Nudge, spawn_periodic};
use mallee_s3::{S3, spawn_log_delivery};
pub use mallee_s3_config::lifecycle::Day;
use mallee_store::Store;
use std::sync::Arc;
use std::time::Duration;

/// Why background work stopped. It runs again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] mallee_objects::Error),
    /// The database refused.
    #[error("metadata store: {0}")]
    Store(#[from] mallee_store::StoreError),
    /// Another process has taken the work over.
    #[error("another process does this now")]
    Lost,
    /// A test made the step fail.
    #[error(transparent)]
    Fault(#[from] mallee_runtime::FaultError),
}

/// Time between two deliveries of access logs.
pub const LOG_DELIVERY: Duration = Duration::from_secs(300);

/// Settings of the background work.
#[derive(Debug, Clone)]
pub struct JobsConfig {
    /// How long a day of lifecycle rules and inventories is.
    pub day: Day,
    /// Whom buckets may notify.
    pub targets: Targets,
    /// Other object stores that versions are brought into.
    pub peers: Peers,
    /// Time between two deliveries of access logs.
    pub log_delivery: Duration,
}

impl Default for JobsConfig {
    fn default() -> Self {
        let (day, targets, peers) = (Day::default(), Targets::default(), Peers::default());
        Self { day, targets, peers, log_delivery: LOG_DELIVERY }
    }
}

/// Starts the work. What is replicated is brought by this carrier.
pub fn spawn(scope: &TaskScope, config: &JobsConfig, s3: &S3, store: &Store, carrier: Arc<dyn Carrier>) {
    let engine = s3.engine();
    let expirer = Expirer::new(engine, store, config.day).with_log(s3.access_log().clone());
    // Rules change something at midnight only; a round that was done is not done again.
    let period = Duration::from_millis(u64::try_from(config.day.ms() / 24).unwrap_or_default());
    let period = period.clamp(Duration::from_millis(500), Duration::from_secs(60));
    spawn_periodic(scope, "walrus-lifecycle", period, Nudge::default(), engine.rng().clone(), move || {
        let expirer = expirer.clone();
        async move { expirer.run().await.map(drop) }
    });
    let lister = Lister::new(s3, store, config.day);
    spawn_periodic(scope, "walrus-inventory", period, Nudge::default(), engine.rng().clone(), move || {
        let lister = lister.clone();
        async move { lister.run().await.map(drop) }
    });
    spawn_log_delivery(scope, s3, config.log_delivery);
    let notifier = Notifier::new(engine, store, config.targets.clone());
    let shutdown = scope.shutdown().clone();
    scope.spawn(async move { notifier.run(&shutdown).await });
    let (replicator, shutdown) = (Replicator::new(engine, store, carrier), scope.shutdown().clone());
    scope.spawn(async move { replicator.run(&shutdown).await });
}
