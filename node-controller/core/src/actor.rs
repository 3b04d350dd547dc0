//! The task that owns one instance: the only one that changes its machine. It executes one effect at a time and
//! publishes what the machine says.

use crate::context::Context;
use crate::effects::{Job, Outcome};
use crate::machine::{Machine, Next, Ports, Taken};
use crate::node::Node;
use mallee_proto::v1::{InstanceIntent, InstanceObservation};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

/// What a step does is reported only when it takes this long: a quick launch is two reports, not ten.
const ACTIVITY_AFTER: Duration = Duration::from_secs(1);

/// What waits for the actor. It never fills up: of each kind only the newest matters.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    slots: Mutex<Slots>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    order: Option<Arc<InstanceIntent>>,
    look: bool,
    rebooted: bool,
    sweep: bool,
    forget: bool,
    heard: bool,
}

impl Mailbox {
    fn post(&self, f: impl FnOnce(&mut Slots)) {
        f(&mut self.slots.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// The newest order wins.
    pub fn order(&self, intent: Arc<InstanceIntent>) {
        self.post(|slots| {
            slots.sweep = false;
            slots.forget = false;
            if slots.order.as_ref().is_none_or(|held| intent.is_newer_than(held)) {
                slots.order = Some(intent);
            }
        });
    }

    pub fn look(&self) {
        self.post(|slots| slots.look = true);
    }

    pub fn rebooted(&self) {
        self.post(|slots| slots.rebooted = true);
    }

    pub fn sweep(&self) {
        self.post(|slots| slots.sweep = true);
    }

    pub fn forget(&self) {
        self.post(|slots| slots.forget = true);
    }

    pub fn heard(&self) {
        self.post(|slots| slots.heard = true);
    }

    pub fn has_order(&self) -> bool {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).order.is_some()
    }

    fn take(&self) -> Slots {
        std::mem::take(&mut *self.slots.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(crate) struct Actor {
    node: Arc<Node>,
    context: Arc<Context>,
    machine: Machine,
    mailbox: Arc<Mailbox>,
    slot: Option<OwnedSemaphorePermit>,
    reported: Option<InstanceObservation>,
    /// Counted among the unsettled of this boot until its first report.
    unsettled: bool,
    born: Instant,
}

impl Actor {
    pub fn new(node: Arc<Node>, machine: Machine, mailbox: Arc<Mailbox>, unsettled: bool) -> Self {
        let context = Arc::clone(node.context());
        Self { node, context, machine, mailbox, slot: None, reported: None, unsettled, born: Instant::now() }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn at(&self, ms: Option<u64>) -> Option<Instant> {
        ms.map(|ms| self.born + Duration::from_millis(ms))
    }

    pub async fn run(mut self) {
        let mut net = self.context.net.subscribe();
        let shutdown = self.node.shutdown().clone();
        let mut running: Option<Running> = None;
        let mut slow = false;
        self.read_net(&mut net);
        loop {
            self.read_mailbox();
            if self.machine.wants_cancel(self.now_ms()) {
                running = None;
                self.machine.cancelled();
            }
            let mut wake = None;
            if running.is_none() {
                match self.machine.next(self.now_ms()) {
                    Next::Do(effect) => {
                        let job = Job::of(&self.machine, effect);
                        running = Some(Box::pin(job.run(Arc::clone(&self.context))));
                        slow = false;
                    }
                    Next::Wait(until) => wake = self.at(until),
                }
            }
            if running.is_some() {
                // A step that may be dropped is dropped when its time is up.
                if let Next::Wait(until) = self.machine.next(self.now_ms()) {
                    wake = self.at(until);
                }
            }
            if !self.machine.holds_slot() && running.is_none() {
                self.slot = None;
            }
            self.publish(slow || running.is_none());
            if self.machine.is_finished() && self.node.retire(self.machine.id()).await {
                return;
            }
            if running.is_some() && !slow {
                let soon = Instant::now() + ACTIVITY_AFTER;
                wake = Some(wake.map_or(soon, |at| at.min(soon)));
            }
            tokio::select! {
                biased;
                () = shutdown.stopped() => break,
                outcome = async { match running.as_mut() { Some(job) => job.await, None => std::future::pending().await } } => {
                    running = None;
                    let now_ms = self.now_ms();
                    if outcome.slot.is_some() {
                        self.slot = outcome.slot;
                    }
                    self.machine.finished_step(outcome.result, &outcome.ports, now_ms);
                }
                () = self.mailbox.wake.notified() => {}
                changed = net.changed() => if changed.is_ok() { self.read_net(&mut net) },
                () = async { match wake { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {
                    slow = running.is_some();
                }
            }
        }
        // An orderly end lets the step in work end; a harness that plays a crash drops the task instead.
        if let Some(job) = running {
            job.await;
        }
    }

    fn read_net(&mut self, net: &mut tokio::sync::watch::Receiver<Arc<crate::context::NetState>>) {
        let state = net.borrow_and_update();
        if let Some(intent) = self.machine.intent() {
            let ports = state.ports_of(intent);
            self.machine.set_ports(ports);
        }
    }

    fn read_mailbox(&mut self) {
        let mail = self.mailbox.take();
        if let Some(intent) = mail.order {
            let (id, generation) = (intent.id.clone(), intent.generation);
            match self.machine.order(intent) {
                Taken::Yes => {
                    let ports = match self.machine.intent() {
                        Some(intent) => self.context.net.borrow().ports_of(intent),
                        None => Ports::Ready(Vec::new()),
                    };
                    self.machine.set_ports(ports);
                }
                Taken::Credentials | Taken::Stale => {}
                Taken::OlderLife => {
                    tracing::warn!(instance = id, generation, "order of an older incarnation ignored");
                }
            }
        }
        if mail.rebooted {
            self.machine.rebooted();
        }
        if mail.look {
            self.machine.look();
        }
        if mail.heard {
            self.machine.heard();
        }
        if mail.sweep {
            self.machine.sweep();
        }
        if mail.forget {
            self.machine.forget();
        }
    }

    /// Reports what is new. The activity alone is news only when the step is slow.
    fn publish(&mut self, with_activity: bool) {
        let Some(observation) = self.machine.observation() else { return };
        if let Some(last) = &self.reported {
            let mut told = last.clone();
            if !with_activity {
                told.activity.clone_from(&observation.activity);
            }
            if told == observation {
                return;
            }
        }
        self.reported = Some(observation.clone());
        self.context.observe(observation);
        if std::mem::take(&mut self.unsettled) {
            self.context.settled_one();
        }
    }
}
