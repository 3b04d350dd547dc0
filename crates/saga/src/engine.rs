//! The engine of one replica: its lease, the workflows it runs, and those it takes over.

use crate::SagaError;
use crate::def::{Erased, Registry, SagaType};
use crate::handle::{SagaHandle, SagaOutcome};
use crate::machine::Machine;
use crate::runner::Runner;
use crate::term::{Term, begin_term};
use mallee_runtime::task::{Nudge, spawn_periodic};
use mallee_runtime::{Faults, TaskScope};
use mallee_store::{
    SagaRow, SagaState, Store, StoreError, Tx, saga_fetch, saga_insert, saga_list, saga_list_orphans, saga_log,
    saga_progress, saga_retry, saga_take_over,
};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};

/// Workflows this replica runs at once; more wait.
const RUNNING_MAX: usize = 1024;
/// Workflows looked at in one round of recovery.
const RECOVER_MAX: u32 = 1000;

/// How an engine behaves.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// This replica's name: unique among the replicas, the same after a restart. A process that starts under a name
    /// takes the workflows of its predecessor over at once.
    pub replica: String,
    /// How long after this replica's death others take its workflows over.
    pub lease_ttl: Duration,
    /// First and longest wait between tries of a step.
    pub backoff: (Duration, Duration),
    /// Failed tries of one undo after which the workflow is stuck.
    pub undo_tries_max: u32,
    /// Longest one try of an undo may take.
    pub undo_timeout: Duration,
}

impl EngineConfig {
    /// The defaults for this replica: lease 15 s, backoff 100 ms to 30 s, 10 tries of an undo of at most 60 s.
    #[must_use]
    pub fn new(replica: impl Into<String>) -> Self {
        Self {
            replica: replica.into(),
            lease_ttl: Duration::from_secs(15),
            backoff: (Duration::from_millis(100), Duration::from_secs(30)),
            undo_tries_max: 10,
            undo_timeout: Duration::from_secs(60),
        }
    }
}

type Waiters = HashMap<String, watch::Sender<Option<SagaOutcome>>>;

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    faults: Faults,
    pub(crate) config: EngineConfig,
    registry: Registry,
    pub(crate) scope: TaskScope,
    pub(crate) term: Mutex<Term>,
    pub(crate) running: Mutex<Waiters>,
    pub(crate) ended: Notify,
    places: Arc<Semaphore>,
    recover: Nudge,
}

/// Starts workflows and sees them to their end. Clones are the same engine.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

/// A workflow that a transaction has recorded; launch it after the commit (if nobody does, recovery does).
#[derive(Debug)]
#[must_use = "launch it after the commit"]
pub struct Prepared {
    row: SagaRow,
    def: Arc<Erased>,
}

impl std::fmt::Debug for Erased {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}", self.name, self.version)
    }
}

/// A workflow's place among those that run here; given up however its task ends, also when it is dropped.
struct Place {
    engine: Engine,
    id: String,
    outcome: Option<SagaOutcome>,
}

impl Place {
    fn leave(mut self, outcome: Option<SagaOutcome>) {
        self.outcome = outcome;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let sender = locked(&self.engine.0.running).remove(&self.id);
        if let (Some(sender), Some(outcome)) = (sender, self.outcome.take()) {
            sender.send_replace(Some(outcome));
        }
        self.engine.0.ended.notify_waiters();
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Begins this replica's term, takes over what its predecessor left, and starts its background task in `scope`.
    ///
    /// # Errors
    /// [`SagaError::Store`] when the store fails.
    pub async fn start_up(
        store: Store,
        registry: Registry,
        config: EngineConfig,
        faults: Faults,
        scope: &TaskScope,
    ) -> Result<Self, SagaError> {
        let term = begin_term(&store, &config).await?;
        let rng = store.rng().clone();
        let period = config.lease_ttl / 3;
        let engine = Self(Arc::new(Inner {
            store,
            faults,
            config,
            registry,
            scope: scope.clone(),
            term: Mutex::new(term),
            running: Mutex::new(HashMap::new()),
            ended: Notify::new(),
            places: Arc::new(Semaphore::new(RUNNING_MAX)),
            recover: Nudge::default(),
        }));
        let task = engine.clone();
        spawn_periodic(scope, "saga recovery", period, engine.0.recover.clone(), rng, move || {
            let engine = task.clone();
            async move { engine.keep_term_and_recover().await }
        });
        let leaving = engine.clone();
        scope.spawn(async move { leaving.leave_on_shutdown().await });
        Ok(engine)
    }

    /// Starts a workflow in a transaction of its own.
    ///
    /// # Errors
    /// [`SagaError`] when it is not registered, its parameters are not JSON, or the store fails.
    pub async fn start<P: Serialize>(&self, saga: SagaType<P>, params: &P) -> Result<SagaHandle, SagaError> {
        let mut tx = self.0.store.write().await?;
        let prepared = self.start_in(&mut tx, saga, params).await?;
        tx.commit().await?;
        Ok(self.launch(prepared))
    }

    /// Records a workflow in the caller's transaction, so that it exists if and only if the rest does.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_in<P: Serialize>(
        &self,
        tx: &mut Tx,
        saga: SagaType<P>,
        params: &P,
    ) -> Result<Prepared, SagaError> {
        let unknown = || SagaError::Unknown { name: saga.name.to_owned(), version: saga.version };
        let def = self.0.registry.find(saga.name, saga.version).ok_or_else(unknown)?;
        let now_ms = tx.now_ms();
        let timeout_ms = i64::try_from(def.timeout.as_millis()).unwrap_or(i64::MAX);
        let lease = locked(&self.0.term).lease.clone();
        let row = SagaRow {
            id: self.0.store.rng().uuid(),
            name: def.name.to_owned(),
            version: def.version,
            state: SagaState::Running,
            params: serde_json::to_string(params).map_err(SagaError::Params)?,
            owner: lease.name,
            owner_epoch: lease.epoch,
            step: 0,
            error: None,
            created_ms: now_ms,
            updated_ms: now_ms,
            deadline_ms: now_ms.saturating_add(timeout_ms),
        };
        saga_insert(tx, &row).await?;
        if !def.steps.is_empty() {
            let line = machine(row.clone(), &[], &def).first_line(now_ms);
            saga_progress(tx, &row, &[line]).await?;
        }
        Ok(Prepared { row, def })
    }

    /// Runs what a committed transaction recorded.
    #[must_use]
    pub fn launch(&self, prepared: Prepared) -> SagaHandle {
        let Prepared { row, def } = prepared;
        let id = row.id.clone();
        let local = self.spawn(row, def);
        SagaHandle { id, store: self.0.store.clone(), local }
    }

    /// A handle on any workflow, wherever it runs.
    #[must_use]
    pub fn handle(&self, id: &str) -> SagaHandle {
        let local = locked(&self.0.running).get(id).map(watch::Sender::subscribe);
        SagaHandle { id: id.to_owned(), store: self.0.store.clone(), local }
    }

    /// Lets a stuck workflow go on undoing, here (an operator's order).
    ///
    /// # Errors
    /// [`SagaError::Store`] with `Stale` when it is not stuck.
    pub async fn retry(&self, id: &str) -> Result<SagaHandle, SagaError> {
        let lease = locked(&self.0.term).lease.clone();
        let mut tx = self.0.store.write().await?;
        let found = saga_fetch(&mut tx, id).await?;
        let def = self.0.registry.find(&found.name, found.version);
        let def = def.ok_or(SagaError::Unknown { name: found.name, version: found.version })?;
        saga_retry(&mut tx, id, &lease.name, lease.epoch).await?;
        let row = saga_fetch(&mut tx, id).await?;
        tx.commit().await?;
        Ok(self.launch(Prepared { row, def }))
    }

    /// Looks at once for workflows that nobody runs.
    pub fn recover_now(&self) {
        self.0.recover.wake();
    }

    /// Runs a workflow of this term unless it is running.
    fn spawn(&self, row: SagaRow, def: Arc<Erased>) -> Option<watch::Receiver<Option<SagaOutcome>>> {
        let term = locked(&self.0.term).clone();
        if row.owner_epoch != term.lease.epoch {
            // The term ended between commit and launch: recovery takes it over.
            self.0.recover.wake();
            return None;
        }
        let sender = watch::Sender::new(None);
        let receiver = sender.subscribe();
        {
            let mut running = locked(&self.0.running);
            if let Some(here) = running.get(&row.id) {
                return Some(here.subscribe());
            }
            running.insert(row.id.clone(), sender);
        }
        let place = Place { engine: self.clone(), id: row.id.clone(), outcome: None };
        self.0.scope.spawn(async move {
            let outcome = tokio::select! {
                () = term.end.stopped() => None,
                outcome = place.engine.run(row, def) => outcome,
            };
            place.leave(outcome);
        });
        Some(receiver)
    }

    async fn run(&self, row: SagaRow, def: Arc<Erased>) -> Option<SagaOutcome> {
        let SagaRow { id, owner, owner_epoch, .. } = row;
        let _place = self.0.places.acquire().await.ok()?;
        // Read now, when nobody else here can run it: it may have been run to its end since `row` was read.
        let read =
            async { Ok::<_, StoreError>((saga_fetch(&self.0.store, &id).await?, saga_log(&self.0.store, &id).await?)) };
        let (now, log) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(saga = id, %error, "cannot read a workflow; recovery will try again");
                return None;
            }
        };
        if (&now.owner, now.owner_epoch) != (&owner, owner_epoch) {
            return None;
        }
        let runner = Runner {
            store: self.0.store.clone(),
            faults: self.0.faults.clone(),
            config: self.0.config.clone(),
            machine: machine(now, &log, &def),
            def,
            shutdown: self.0.scope.shutdown().clone(),
        };
        runner.run().await.ok()
    }

    /// The background task: keeps the lease, then runs what nobody runs.
    async fn keep_term_and_recover(&self) -> Result<(), StoreError> {
        self.keep_term().await?;
        self.recover().await
    }

    async fn recover(&self) -> Result<(), StoreError> {
        let store = &self.0.store;
        let lease = locked(&self.0.term).lease.clone();
        for orphan in saga_list_orphans(store, RECOVER_MAX).await? {
            let Some(def) = self.0.registry.find(&orphan.name, orphan.version) else {
                tracing::warn!(
                    saga = orphan.id,
                    name = orphan.name,
                    version = orphan.version,
                    "a workflow of another build waits for a replica that knows it"
                );
                continue;
            };
            let mut tx = store.write().await?;
            match saga_take_over(&mut tx, &orphan, &lease.name, lease.epoch).await {
                Ok(()) => tx.commit().await?,
                Err(StoreError::Stale { .. }) => continue,
                Err(error) => return Err(error),
            }
            tracing::info!(saga = orphan.id, name = orphan.name, step = orphan.step, "took a workflow over");
            let row = SagaRow { owner: lease.name.clone(), owner_epoch: lease.epoch, ..orphan };
            self.spawn(row, def);
        }
        // Ours that nobody runs: recorded but not launched, or let go of.
        let open = [SagaState::Running, SagaState::Unwinding];
        let mut after: Option<String> = None;
        loop {
            let page = saga_list(store, Some(&open), after.as_deref(), RECOVER_MAX).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for row in page.into_iter().filter(|row| row.owner == lease.name && row.owner_epoch == lease.epoch) {
                // Read again if it is not running here: it may have ended since the page was read.
                if locked(&self.0.running).contains_key(&row.id) {
                    continue;
                }
                let row = saga_fetch(store, &row.id).await?;
                let open = matches!(row.state, SagaState::Running | SagaState::Unwinding);
                if let (true, Some(def)) = (open, self.0.registry.find(&row.name, row.version)) {
                    self.spawn(row, def);
                }
            }
        }
    }
}

fn machine(row: SagaRow, log: &[mallee_store::SagaLogRow], def: &Erased) -> Machine {
    Machine::resume(row, log, def.steps.iter().map(|step| step.name).collect())
}
