//! The background work of the object store: what its buckets' configurations ask for besides requests.
//!
//! Each kind of work is done by one process at a time, which holds its lease; what was done is noted in the database, so
//! that whoever comes next goes on from there. Everything may be done twice: a change is made only while it is still
//! about the same writing of a key, and messages are told at least once.

mod lead;
pub mod lifecycle;
mod lines;
pub mod notify;
pub mod replicate;

pub use lifecycle::{Expirer, Outcome};
pub use notify::{Notifier, Target, Targets};
pub use replicate::{Carrier, Failure, REPLICATION_AGE_MAX, Replicator};

use mallee_objects::Engine;
use mallee_runtime::TaskScope;
use mallee_runtime::task::{Nudge, spawn_periodic};
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

/// Settings of the background work.
#[derive(Debug, Clone, Default)]
pub struct JobsConfig {
    /// How long a day of lifecycle rules is.
    pub day: Day,
    /// Whom buckets may notify.
    pub targets: Targets,
}

/// Starts the work. What is replicated is brought by this carrier.
pub fn spawn(scope: &TaskScope, config: &JobsConfig, engine: &Engine, store: &Store, carrier: Arc<dyn Carrier>) {
    let expirer = Expirer::new(engine, store, config.day);
    // Rules change something at midnight only; a round that was done is not done again.
    let period = Duration::from_millis(u64::try_from(config.day.ms() / 24).unwrap_or_default());
    let period = period.clamp(Duration::from_millis(500), Duration::from_secs(60));
    spawn_periodic(scope, "walrus-lifecycle", period, Nudge::default(), engine.rng().clone(), move || {
        let expirer = expirer.clone();
        async move { expirer.run().await.map(drop) }
    });
    let notifier = Notifier::new(engine, store, config.targets.clone());
    let shutdown = scope.shutdown().clone();
    scope.spawn(async move { notifier.run(&shutdown).await });
    let (replicator, shutdown) = (Replicator::new(engine, store, carrier), scope.shutdown().clone());
    scope.spawn(async move { replicator.run(&shutdown).await });
}
