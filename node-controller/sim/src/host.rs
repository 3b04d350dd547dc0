//! The simulated machine.

use crate::config::{Guest, Latency, SimConfig, SimFault};
use mallee_node_core::ledger::MemoryDisk;
use mallee_node_core::{DomainEvent, DomainState};
use mallee_proto::v1::NodeView;
use mallee_proto::view;
use mallee_runtime::Rng;
use mallee_types::{Incarnation, InstanceId, MacAddress};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::broadcast;

/// Events kept for a slow receiver; one that lags looks at everything.
const EVENTS_MAX: usize = 64;

/// A domain on a simulated host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimDomain {
    /// Which life of the instance.
    pub incarnation: Incarnation,
    /// What it does.
    pub state: DomainState,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The taps it holds.
    pub taps: Vec<String>,
    /// The addresses of its network cards, in the order of the taps.
    pub nics: Vec<MacAddress>,
    /// The digest its disk stands on.
    pub image: String,
    /// How often it was booted: started or reset.
    pub boots: u32,
    /// How often reset was pressed.
    pub resets: u32,
    /// How often the power button was pressed since the last start.
    pub presses: u32,
    /// How many interrupts it was given.
    pub interrupts: u32,
    /// Its guest never uses its network.
    pub silent: bool,
}

impl SimDomain {
    /// Its process has ended, and holds no tap any more.
    pub(crate) fn unwire(&mut self) {
        self.taps.clear();
        self.nics.clear();
    }
}

/// A port on a simulated host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SimPort {
    pub tap: String,
    pub instance: String,
    pub plugged: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub domains: BTreeMap<InstanceId, SimDomain>,
    /// Root disk sizes in bytes.
    pub disks: BTreeMap<InstanceId, u64>,
    pub ports: BTreeMap<String, SimPort>,
    pub view: Option<Arc<NodeView>>,
    pub images: BTreeSet<String>,
    /// Digests that the image store does not hold.
    pub missing_images: BTreeSet<String>,
    pub port_errors: BTreeMap<String, String>,
    pub port_waits: BTreeMap<String, String>,
    /// When the window began in which traffic is counted.
    pub window_ms: i64,
    /// Windows that have ended.
    pub windows: u64,
    guests: BTreeMap<InstanceId, Guest>,
    faults: BTreeMap<String, (SimFault, u32)>,
    /// Calls per method, for tests that count.
    calls: BTreeMap<&'static str, u64>,
    taps_made: u64,
}

#[derive(Debug)]
struct Inner {
    name: String,
    config: SimConfig,
    rng: Rng,
    state: Mutex<State>,
    events: broadcast::Sender<DomainEvent>,
    ledger: MemoryDisk,
    /// Where guests live: the runtime the machine was made in. A node controller may run in one of its own, and die
    /// with it; its guests must not.
    runtime: Option<tokio::runtime::Handle>,
}

/// See the crate's documentation. Clones are the same machine.
#[derive(Debug, Clone)]
pub struct SimHost(Arc<Inner>);

impl SimHost {
    /// A machine of this name; what is random about it comes from `rng`.
    #[must_use]
    pub fn new(name: impl Into<String>, config: SimConfig, rng: Rng) -> Self {
        let (state, events) = (Mutex::default(), broadcast::Sender::new(EVENTS_MAX));
        let (ledger, runtime) = (MemoryDisk::default(), tokio::runtime::Handle::try_current().ok());
        Self(Arc::new(Inner { name: name.into(), config, rng, state, events, ledger, runtime }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is made of.
    #[must_use]
    pub fn config(&self) -> &SimConfig {
        &self.0.config
    }

    /// A disk for the node controller's ledger that survives it.
    #[must_use]
    pub fn ledger_disk(&self) -> MemoryDisk {
        self.0.ledger.clone()
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<DomainEvent> {
        self.0.events.subscribe()
    }

    pub(crate) fn changed(&self, id: &InstanceId) {
        // Nobody listening is no error: the node controller may be down.
        drop(self.0.events.send(DomainEvent::Changed(id.clone())));
    }

    /// Makes the next `times` calls of a method (`start_paused`, `plug`, `ensure`, …) go wrong.
    pub fn fault(&self, method: &str, fault: SimFault, times: u32) {
        self.with(|state| state.faults.insert(method.to_owned(), (fault, times)));
    }

    /// Everything works again.
    pub fn mend(&self) {
        self.with(|state| state.faults.clear());
    }

    /// A driver call begins: counts it, takes its time, and says what goes wrong with it.
    pub(crate) async fn call(&self, method: &'static str, latency: Latency) -> Option<SimFault> {
        let fault = self.with(|state| {
            *state.calls.entry(method).or_default() += 1;
            let (fault, times) = state.faults.get_mut(method)?;
            let fault = fault.clone();
            *times = times.saturating_sub(1);
            if *times == 0 {
                state.faults.remove(method);
            }
            Some(fault)
        });
        let delay = latency.draw(&self.0.rng);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match fault {
            Some(SimFault::Delay(time)) => {
                tokio::time::sleep(time).await;
                None
            }
            Some(SimFault::Hang) => std::future::pending().await,
            other => other,
        }
    }

    /// How often a method was called.
    #[must_use]
    pub fn calls(&self, method: &str) -> u64 {
        self.with(|state| state.calls.get(method).copied().unwrap_or(0))
    }

    /// How one guest behaves from its next boot (or button press) on.
    pub fn set_guest(&self, id: &InstanceId, guest: Guest) {
        self.with(|state| state.guests.insert(id.clone(), guest));
    }

    pub(crate) fn guest(&self, id: &InstanceId) -> Guest {
        self.with(|state| state.guests.get(id).copied().unwrap_or(self.0.config.guest))
    }

    pub(crate) fn forget_guest(&self, id: &InstanceId) {
        self.with(|state| state.guests.remove(id));
    }

    /// The image store does not hold this digest (any more).
    pub fn lose_image(&self, digest: &str) {
        self.with(|state| state.missing_images.insert(digest.to_owned()));
    }

    /// This interface cannot be applied (`Some`), or can again (`None`).
    pub fn port_error(&self, interface: &str, error: Option<&str>) {
        self.with(|state| match error {
            Some(error) => state.port_errors.insert(interface.to_owned(), error.to_owned()),
            None => state.port_errors.remove(interface),
        });
    }

    /// This interface is applied, but for something that waits for others (`Some`), or wholly (`None`).
    pub fn port_wait(&self, interface: &str, why: Option<&str>) {
        self.with(|state| match why {
            Some(why) => state.port_waits.insert(interface.to_owned(), why.to_owned()),
            None => state.port_waits.remove(interface),
        });
    }

    pub(crate) fn tap_name(&self) -> String {
        self.with(|state| {
            state.taps_made += 1;
            format!("mltap{}", state.taps_made)
        })
    }

    /// The domain of an instance.
    #[must_use]
    pub fn domain(&self, id: &InstanceId) -> Option<SimDomain> {
        self.with(|state| state.domains.get(id).cloned())
    }

    /// Instances whose domain executes.
    #[must_use]
    pub fn running(&self) -> Vec<InstanceId> {
        let running = |(_, domain): &(&InstanceId, &SimDomain)| domain.state == DomainState::Running;
        self.with(|state| state.domains.iter().filter(running).map(|(id, _)| id.clone()).collect())
    }

    /// Everything of ours on the host but images and the applied view: domains, disks, taps. Empty = nothing left.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        self.with(|state| {
            let domains = state.domains.keys().map(|id| format!("domain {id}"));
            let disks = state.disks.keys().map(|id| format!("disk {id}"));
            let ports = state.ports.keys().map(|id| format!("port {id}"));
            domains.chain(disks).chain(ports).collect()
        })
    }

    /// Interfaces whose port is in the network.
    #[must_use]
    pub fn plugged(&self) -> Vec<String> {
        self.with(|state| state.ports.iter().filter(|(_, port)| port.plugged).map(|(id, _)| id.clone()).collect())
    }

    /// The view as applied, with lists in place of sections.
    #[must_use]
    pub fn view(&self) -> Option<Arc<NodeView>> {
        let view = self.with(|state| state.view.clone())?;
        Some(if view.sections.is_empty() { view } else { Arc::new(view::listed(&view).into_owned()) })
    }

    /// The guest dies (as QEMU killed). False: it was not running.
    pub fn crash_guest(&self, id: &InstanceId) -> bool {
        self.end(id, true, None)
    }

    /// The guest powers itself off. False: it was not running.
    pub fn power_off_guest(&self, id: &InstanceId) -> bool {
        self.end(id, false, None)
    }

    /// The machine loses power and comes back: no domain runs, taps and network are gone, disks are not.
    pub fn reboot(&self) {
        self.with(|state| {
            for domain in state.domains.values_mut().filter(|d| !matches!(d.state, DomainState::Off { .. })) {
                domain.state = DomainState::Off { crashed: true };
                domain.unwire();
            }
            state.ports.clear();
            state.view = None;
        });
        drop(self.0.events.send(DomainEvent::Resync));
    }

    /// A running guest of ours that no ledger and no order names, with its disk and its port: what is left when both are
    /// lost (for tests).
    pub fn plant_stray(&self, id: &InstanceId, interface: &str) {
        self.with(|state| {
            let tap = format!("tap-{interface}");
            let domain = SimDomain {
                incarnation: Incarnation(1),
                state: DomainState::Running,
                vcpus: 1,
                memory_mib: 512,
                taps: vec![tap.clone()],
                nics: Vec::new(),
                image: String::new(),
                boots: 1,
                resets: 0,
                presses: 0,
                interrupts: 0,
                silent: false,
            };
            state.domains.insert(id.clone(), domain);
            state.disks.insert(id.clone(), 1 << 30);
            let port = SimPort { tap, instance: id.to_string(), plugged: true };
            state.ports.insert(interface.to_owned(), port);
        });
        self.changed(id);
    }

    /// Ends a running domain; with `boot`, only if it is still in that boot.
    fn end(&self, id: &InstanceId, crashed: bool, boot: Option<u32>) -> bool {
        let ended = self.with(|state| match state.domains.get_mut(id) {
            Some(domain) if domain.state == DomainState::Running && boot.is_none_or(|b| b == domain.boots) => {
                domain.state = DomainState::Off { crashed };
                domain.unwire();
                true
            }
            Some(_) | None => false,
        });
        if ended {
            self.changed(id);
        }
        ended
    }

    /// The guest has just begun to execute: it behaves as it is told to.
    pub(crate) fn booted(&self, id: &InstanceId) {
        let guest = self.guest(id);
        self.with(|state| state.domains.get_mut(id).map(|domain| domain.silent = guest.silent));
        if let Some(after) = guest.powers_off_after {
            self.later(id, after, false);
        }
        if let Some(after) = guest.crashes_after {
            self.later(id, after, true);
        }
        self.changed(id);
    }

    /// Resets a running machine; with `boot`, only if it is still in that boot. False: it was not running.
    pub(crate) fn restart(&self, id: &InstanceId, boot: Option<u32>) -> bool {
        let restarted = self.with(|state| match state.domains.get_mut(id) {
            Some(domain) if domain.state == DomainState::Running && boot.is_none_or(|b| b == domain.boots) => {
                domain.boots += 1;
                domain.resets += 1;
                domain.presses = 0;
                true
            }
            Some(_) | None => false,
        });
        if restarted {
            drop(self.0.events.send(DomainEvent::Rebooted(id.clone())));
            self.booted(id);
        }
        restarted
    }

    /// The guest ends or dies a while from now.
    pub(crate) fn later(&self, id: &InstanceId, after: Duration, crashed: bool) {
        self.by_itself(id, after, move |host, id, boot| _ = host.end(id, crashed, Some(boot)));
    }

    /// The guest reboots a while from now.
    pub(crate) fn reboots(&self, id: &InstanceId, after: Duration) {
        self.by_itself(id, after, |host, id, boot| _ = host.restart(id, Some(boot)));
    }

    /// The guest does something by itself. It is the guest's own time: it passes whether a node controller is there or
    /// not, and ends with the machine.
    fn by_itself(&self, id: &InstanceId, after: Duration, act: impl FnOnce(&Self, &InstanceId, u32) + Send + 'static) {
        let Some(boot) = self.domain(id).map(|domain| domain.boots) else { return };
        let (machine, id): (Weak<Inner>, _) = (Arc::downgrade(&self.0), id.clone());
        let guest = async move {
            tokio::time::sleep(after).await;
            if let Some(machine) = machine.upgrade() {
                act(&Self(machine), &id, boot);
            }
        };
        match &self.0.runtime {
            Some(runtime) => drop(runtime.spawn(guest)),
            None => drop(tokio::spawn(guest)),
        }
    }
}
