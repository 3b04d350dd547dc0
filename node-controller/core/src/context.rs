//! What every part of the node controller shares: drivers, ledger, clocks, and the two boards that others watch, the
//! applied network and the observations.

use crate::held::HeldInstances;
use crate::hypervisor::Hypervisor;
use crate::images::ImageStore;
use crate::ledger::Ledger;
use crate::machine::{Patience, Ports};
use crate::network::NetworkEngine;
use mallee_proto::v1::{InstanceIntent, InstanceObservation, NodeView, PortView};
use mallee_runtime::{Clock, Faults, Journal, Rng};
use mallee_types::NodeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// The drivers of one host, real or simulated.
#[derive(Debug, Clone)]
pub struct Drivers {
    /// Domains.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The virtual network.
    pub network: Arc<dyn NetworkEngine>,
    /// The image cache.
    pub images: Arc<dyn ImageStore>,
    /// The orders, as the network's metadata service reads them: the same one that the network engine was given.
    pub held: Arc<HeldInstances>,
}

/// How the node controller behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node's name.
    pub node_id: NodeId,
    /// The address by which other nodes reach this one's overlay.
    pub vtep: String,
    /// How patient it is with guests and failures.
    pub patience: Patience,
    /// Launches that may use the hypervisor at once.
    pub launches_max: usize,
    /// A driver call that takes longer has failed.
    pub step_timeout: Duration,
    /// Everything is looked at again this often, whatever events came.
    pub look_period: Duration,
    /// The first and the longest wait before the cluster is dialled again.
    pub reconnect: (Duration, Duration),
}

impl Settings {
    /// The usual settings.
    #[must_use]
    pub fn new(node_id: NodeId, vtep: String) -> Self {
        Self {
            node_id,
            vtep,
            patience: Patience::default(),
            launches_max: 8,
            step_timeout: Duration::from_secs(120),
            look_period: Duration::from_secs(60),
            reconnect: (Duration::from_millis(100), Duration::from_secs(5)),
        }
    }
}

/// The network as it is applied.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetState {
    /// The view; `None` before the first.
    pub view: Option<Arc<NodeView>>,
    /// Its hash.
    pub hash: [u8; 32],
    /// Its ports, by interface id.
    pub ports: HashMap<String, PortView>,
    /// What could not be applied, by interface id.
    pub errors: BTreeMap<String, String>,
    /// What waits for others, by interface id; no instance waits for it.
    pub waiting: BTreeMap<String, String>,
}

impl NetState {
    /// The instance's ports, if all of them are applied for this life of it.
    pub fn ports_of(&self, intent: &InstanceIntent) -> Ports {
        let mut wanted: Vec<_> = intent.spec.iter().flat_map(|spec| &spec.ports).collect();
        wanted.sort_by_key(|port| port.device_index);
        let (mut applied, mut missing) = (Vec::with_capacity(wanted.len()), None);
        for port in wanted {
            let id = &port.interface_id;
            let why = match (self.errors.get(id), self.ports.get(id)) {
                (Some(error), _) => format!("interface {id} could not be applied: {error}"),
                // Of an interface that has just come from another instance the view may still say so.
                (None, Some(view)) if view.instance_id != intent.id => {
                    format!("interface {id} is applied for another instance")
                }
                (None, Some(view)) if view.incarnation == intent.incarnation => {
                    applied.push(view.clone());
                    continue;
                }
                (None, Some(_)) => format!("interface {id} is applied for another incarnation"),
                (None, None) => format!("interface {id} is not in the applied view of the network"),
            };
            missing.get_or_insert(why);
        }
        match missing {
            Some(why) => Ports::Missing { why, applied },
            None => Ports::Ready(applied),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Context {
    pub settings: Settings,
    pub host: Arc<str>,
    pub patience: Arc<Patience>,
    pub drivers: Drivers,
    pub ledger: Ledger,
    pub clock: Clock,
    pub rng: Rng,
    pub faults: Faults,
    pub launches: Arc<Semaphore>,
    pub net: watch::Sender<Arc<NetState>>,
    journal: Mutex<Journal<String, InstanceObservation>>,
    pub journal_seq: watch::Sender<u64>,
    /// Instances of the ledger that have not been reported in this run yet.
    pub unsettled: watch::Sender<usize>,
}

impl Context {
    pub fn new(
        settings: Settings,
        drivers: Drivers,
        ledger: Ledger,
        boot: String,
        (clock, rng, faults): (Clock, Rng, Faults),
    ) -> Self {
        Self {
            host: settings.node_id.as_str().into(),
            patience: Arc::new(settings.patience.clone()),
            launches: Arc::new(Semaphore::new(settings.launches_max.max(1))),
            settings,
            drivers,
            ledger,
            clock,
            rng,
            faults,
            net: watch::Sender::new(Arc::default()),
            journal: Mutex::new(Journal::new(boot)),
            journal_seq: watch::Sender::new(0),
            unsettled: watch::Sender::new(0),
        }
    }

    pub fn journal<T>(&self, f: impl FnOnce(&mut Journal<String, InstanceObservation>) -> T) -> T {
        f(&mut self.journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records an observation and wakes the session: it goes out at once.
    pub fn observe(&self, mut observation: InstanceObservation) {
        observation.observed_at_ms = self.clock.now_ms();
        let seq = self.journal(|journal| journal.put(observation.id.clone(), observation));
        // Two writers may come here in either order; the board only ever goes forward.
        self.journal_seq.send_if_modified(|board| {
            let newer = seq > *board;
            *board = (*board).max(seq);
            newer
        });
    }

    /// A ledgered instance was reported for the first time in this run.
    pub fn settled_one(&self) {
        self.unsettled.send_modify(|left| *left = left.saturating_sub(1));
    }
}
