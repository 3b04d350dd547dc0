//! One node: its instances' actors, its view of the network, and what the cluster may ask of it.

use crate::actor::{Actor, Mailbox};
use crate::context::{Context, Drivers, Settings};
use crate::ledger::{Ledger, Opened, Place};
use crate::machine::{Machine, Record};
use crate::views::Views;
use crate::{events, session, sweep, views};
use mallee_proto::v1::InstanceIntent;
use mallee_runtime::{Clock, Faults, Rng, Shutdown, TaskScope};
use mallee_types::InstanceId;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an orderly end waits for the steps in work.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Instances one node holds at most; far above what any host runs.
const INSTANCES_MAX: usize = 10_000;

/// Why the node controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger's directory is unusable.
    #[error("cannot open the node's ledger at {place:?}; check that the directory is writable and has room")]
    Ledger {
        /// Where.
        place: Place,
        /// Why.
        source: std::io::Error,
    },
}

/// Time, randomness and faults, as values.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The wall clock.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
    /// Fault points.
    pub faults: Faults,
}

#[derive(Debug)]
struct Entry {
    mailbox: Arc<Mailbox>,
    /// An order of this run names it, or the last complete list of orders did.
    named: bool,
    /// Of the newest order, so that an old farewell is known as such.
    generation: u64,
}

/// What a complete list of orders makes sweepable.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SweepRule {
    /// When the first complete list of this run was heard; `None` = never: nothing may be swept.
    pub heard: Option<Instant>,
    pub grace: Duration,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Node {
    context: Arc<Context>,
    registry: Mutex<HashMap<InstanceId, Entry>>,
    epoch: AtomicU64,
    scope: TaskScope,
    pub(crate) views: Views,
    pub(crate) sweep_rule: Mutex<SweepRule>,
    pub(crate) sweeper: mallee_runtime::task::Nudge,
    pub(crate) quarantined: Vec<String>,
}

/// A running node controller. Dropping it stops nothing.
#[derive(Debug, Clone)]
pub struct NodeHandle(Arc<Node>);

impl NodeHandle {
    /// Ends in order: steps in work end, guests run on.
    pub async fn stop(&self) {
        if !self.0.scope.stop(STOP_GRACE).await {
            tracing::warn!(node = %self.0.context.host, "stopped in the middle of a step; it is repeated at the next start");
        }
    }

    /// Ends as a crash would: every task is dropped where it stands (for tests).
    pub async fn kill(&self) {
        self.0.scope.kill().await;
    }
}

impl Node {
    /// Reads the ledger and starts: the last view is applied, every held instance gets its actor, then the cluster
    /// is dialled.
    ///
    /// # Errors
    /// [`StartError`] when there is no usable ledger.
    pub async fn start(
        settings: Settings,
        place: Place,
        drivers: Drivers,
        connector: Arc<dyn session::Connector>,
        around: Surroundings,
        shutdown: &Shutdown,
    ) -> Result<NodeHandle, StartError> {
        let opened = Ledger::open(place.clone()).await;
        let (ledger, opened) = opened.map_err(|source| StartError::Ledger { place, source })?;
        for file in &opened.quarantined {
            tracing::error!(node = %settings.node_id, file, "unreadable file of the ledger put aside; the cluster will send its content again");
        }
        let boot = format!("{}-{:016x}", opened.boot, around.rng.u64());
        let Surroundings { clock, rng, faults } = around;
        let context = Arc::new(Context::new(settings, drivers, ledger, boot, (clock, rng, faults)));
        let Opened { epoch, view, instances, quarantined, boot: _ } = opened;
        let node = Arc::new(Self {
            context,
            registry: Mutex::default(),
            epoch: AtomicU64::new(epoch),
            scope: TaskScope::new(shutdown),
            views: Views::new(view),
            sweep_rule: Mutex::default(),
            sweeper: mallee_runtime::task::Nudge::default(),
            quarantined,
        });
        node.context.unsettled.send_replace(instances.len());
        node.scope.spawn(Arc::clone(&node).boot(instances, connector));
        Ok(NodeHandle(node))
    }

    async fn boot(self: Arc<Self>, instances: Vec<(InstanceId, Record)>, connector: Arc<dyn session::Connector>) {
        // First what the metadata service answers, then the network, then the guests.
        for (_, record) in &instances {
            if let Some(intent) = record.intent.as_ref().filter(|_| !record.gone) {
                self.context.drivers.held.put(Arc::new(intent.clone()));
            }
        }
        let events = self.context.drivers.hypervisor.subscribe();
        views::apply_first(&self).await;
        self.scope.spawn(views::run(Arc::clone(&self)));
        for (id, record) in instances {
            self.spawn_actor(&mut self.lock(), id, record, true);
        }
        self.scope.spawn(events::run(Arc::clone(&self), events));
        self.scope.spawn(sweep::run(Arc::clone(&self)));
        self.scope.spawn(session::run(Arc::clone(&self), connector));
    }

    pub(crate) const fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn shutdown(&self) -> &Shutdown {
        self.scope.shutdown()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.scope.spawn(task);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceId, Entry>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn_actor(
        self: &Arc<Self>,
        registry: &mut HashMap<InstanceId, Entry>,
        id: InstanceId,
        record: Record,
        unsettled: bool,
    ) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        let generation = record.intent.as_ref().map_or(0, |intent| intent.generation);
        let context = &self.context;
        let machine = Machine::new(id.clone(), Arc::clone(&context.host), Arc::clone(&context.patience), record);
        let actor = Actor::new(Arc::clone(self), machine, Arc::clone(&mailbox), unsettled);
        registry.insert(id, Entry { mailbox: Arc::clone(&mailbox), named: true, generation });
        self.scope.spawn(actor.run());
        mailbox
    }

    /// The highest epoch orders were taken from.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Records a newer epoch before anything of it is done.
    pub(crate) async fn enter_epoch(&self, epoch: u64) -> Result<(), std::io::Error> {
        self.context.faults.point("node.epoch.record").await.map_err(std::io::Error::other)?;
        self.context.ledger.save_epoch(epoch).await?;
        self.epoch.store(epoch, Ordering::Release);
        Ok(())
    }

    /// An order for one instance. It is recorded by the actor before it is followed.
    pub(crate) fn order(self: &Arc<Self>, intent: InstanceIntent) {
        let Ok(id) = intent.id.parse::<InstanceId>() else {
            tracing::warn!(node = %self.context.host, "order for something that is no instance ignored");
            return;
        };
        if intent.node_id != self.context.settings.node_id.as_str() {
            tracing::warn!(node = %self.context.host, instance = %id, wanted = intent.node_id, "order for another node ignored");
            return;
        }
        if intent.run_intent().is_none() {
            tracing::warn!(node = %self.context.host, instance = %id, "order of a kind this version does not know ignored; upgrade the node");
            return;
        }
        let mut registry = self.lock();
        if !registry.contains_key(&id) {
            if registry.len() >= INSTANCES_MAX {
                tracing::warn!(node = %self.context.host, instance = %id, "order ignored: {INSTANCES_MAX} instances are held");
                return;
            }
            self.spawn_actor(&mut registry, id.clone(), Record::default(), false);
        }
        if let Some(entry) = registry.get_mut(&id) {
            entry.named = true;
            entry.generation = entry.generation.max(intent.generation);
            entry.mailbox.order(Arc::new(intent));
        }
    }

    /// Nothing names the instance any more: what is gone is forgotten, what is not may be swept.
    pub(crate) fn forget(&self, id: &str, generation: u64) {
        let Ok(id) = id.parse::<InstanceId>() else { return };
        match self.lock().get_mut(&id) {
            Some(entry) if entry.generation > generation => {
                tracing::info!(instance = %id, generation, "farewell to an instance that was ordered anew ignored");
            }
            Some(entry) => {
                entry.named = false;
                entry.mailbox.forget();
            }
            None => {
                self.context.journal(|journal| journal.remove(&id.to_string()));
            }
        }
        self.sweeper.wake();
    }

    /// All orders have been sent: `named` is every instance the cluster wants anything of here.
    pub(crate) fn desired_end(&self, named: &[String], grace: Duration) {
        let named: HashSet<&str> = named.iter().map(String::as_str).collect();
        let mut held = HashSet::new();
        for (id, entry) in self.lock().iter_mut() {
            entry.named = named.contains(id.as_str());
            if !entry.named {
                entry.mailbox.forget();
            }
            held.insert(id.to_string());
        }
        self.context.journal(|journal| {
            let over = |(id, o): (&String, &mallee_proto::v1::InstanceObservation)| {
                (o.gone && !held.contains(id) && !named.contains(id.as_str())).then(|| id.clone())
            };
            let over: Vec<String> = journal.iter().filter_map(over).collect();
            over.iter().for_each(|id| drop(journal.remove(id)));
        });
        let mut rule = self.sweep_rule.lock().unwrap_or_else(PoisonError::into_inner);
        rule.heard.get_or_insert_with(Instant::now);
        rule.grace = grace;
        drop(rule);
        self.sweeper.wake();
    }

    /// Instances held, with whether an order names them.
    pub(crate) fn held(&self) -> HashMap<InstanceId, bool> {
        self.lock().iter().map(|(id, entry)| (id.clone(), entry.named)).collect()
    }

    /// Removes an instance that nothing names.
    pub(crate) fn sweep(self: &Arc<Self>, id: &InstanceId) {
        let mut registry = self.lock();
        let mailbox = match registry.get(id) {
            Some(entry) if entry.named => return,
            Some(entry) => Arc::clone(&entry.mailbox),
            None => {
                let mailbox = self.spawn_actor(&mut registry, id.clone(), Record::default(), false);
                if let Some(entry) = registry.get_mut(id) {
                    entry.named = false;
                }
                mailbox
            }
        };
        mailbox.sweep();
    }

    /// Something may have happened to a domain (`None`: to any).
    pub(crate) fn look(&self, id: Option<&InstanceId>) {
        let registry = self.lock();
        match id {
            Some(id) => {
                if let Some(entry) = registry.get(id) {
                    entry.mailbox.look();
                }
            }
            None => registry.values().for_each(|entry| entry.mailbox.look()),
        }
    }

    pub(crate) fn rebooted(&self, id: &InstanceId) {
        if let Some(entry) = self.lock().get(id) {
            entry.mailbox.rebooted();
        }
    }

    /// The guest of an instance has used its network.
    pub(crate) fn heard(&self, id: &str) {
        let Ok(id) = id.parse::<InstanceId>() else { return };
        if let Some(entry) = self.lock().get(&id) {
            entry.mailbox.heard();
        }
    }

    /// The actor of a finished instance ends, unless an order came meanwhile. True: it may end.
    pub(crate) async fn retire(&self, id: &InstanceId) -> bool {
        if let Err(error) = self.context.ledger.remove_instance(id).await {
            tracing::warn!(instance = %id, %error, "record of a removed instance stays in the ledger for now");
        }
        let mut registry = self.lock();
        if registry.get(id).is_some_and(|entry| entry.mailbox.has_order()) {
            return false;
        }
        if registry.remove(id).is_some_and(|entry| !entry.named) {
            // Only a stray that nobody heard of has something left to tell.
            self.context.journal(|journal| {
                if journal.get(&id.to_string()).is_some_and(|o| o.generation > 0) {
                    journal.remove(&id.to_string());
                }
            });
        }
        drop(registry);
        self.context.drivers.held.remove(id.as_str());
        true
    }
}
