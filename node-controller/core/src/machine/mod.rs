//! One instance on this node, as a pure state machine: no I/O, no clock, no task.
//!
//! It holds what is wanted (the intent, from the ledger), what is seen (the domain, the ports in the applied view) and
//! how far the work has come, and says which *one* effect comes next ([`Machine::next`]). The actor executes it and
//! feeds the result back ([`Machine::finished_step`]). Every decision is taken anew from the facts, so it does not matter
//! where a crash cut the work off.
//!
//! ```text
//!  Run        image → disk → (port in the applied view) → taps → start paused → plug → record → resume → Running
//!  Stop       shutdown … grace … power off → unplug → record → Stopped
//!  Terminate  shutdown … short grace … power off → unplug → remove → record gone
//!  ports      (of a running domain) taps → cards attached → plug; cards that no port has detached
//!  reboot     reboot … grace … reset → record
//!  Run and the guest powered itself off → record → Stopped, until a newer generation asks
//!  Run and the domain crashed or vanished → launched again, with backoff and a limit
//! ```
//!
//! What it refuses: orders older than what it holds, and touching a domain of a newer incarnation than it knows.

mod cards;
mod orders;
mod plan;
mod record;
mod report;
mod results;
#[cfg(test)]
mod tests;

pub use orders::Taken;
pub use record::Record;
pub use results::{Done, StepClass, StepError};

use crate::hypervisor::{DomainRecord, NicSpec};
use crate::images::CachedImage;
use mallee_proto::v1::{InstanceIntent, PortView};
use mallee_types::{Incarnation, InstanceId, RunIntent, StateReason};
use std::sync::Arc;

/// The power button of a guest that rebooted while it was asked to power off is pressed again this often (milliseconds):
/// until its new boot has enabled the button, no press reaches it.
const REBOOTED_REPRESS_MS: u64 = 1_000;

/// How patient the node is; all times in milliseconds.
#[derive(Debug, Clone)]
pub struct Patience {
    /// How long a guest may take to power itself off on Stop.
    pub shutdown_grace_ms: u64,
    /// How long a guest may take to reboot by itself.
    pub reboot_grace_ms: u64,
    /// The power button is pressed again this often (a booting guest misses the first).
    pub repress_ms: u64,
    /// How long a guest may take to power itself off on Terminate.
    pub terminate_grace_ms: u64,
    /// A launch that has not succeeded by then has failed.
    pub launch_deadline_ms: u64,
    /// A domain that crashes more often without a quiet `crash_window_ms` between is given up.
    pub crash_restarts_max: u32,
    /// A domain that ran this long has no crash on its account.
    pub crash_window_ms: u64,
    /// The first wait after a failed step; it doubles.
    pub retry_first_ms: u64,
    /// The longest wait after a failed step.
    pub retry_most_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            shutdown_grace_ms: mallee_types::limits::SHUTDOWN_GRACE_SECONDS * 1000,
            reboot_grace_ms: mallee_types::limits::SHUTDOWN_GRACE_SECONDS * 1000,
            repress_ms: 10_000,
            terminate_grace_ms: 5_000,
            launch_deadline_ms: 10 * 60_000,
            crash_restarts_max: 5,
            crash_window_ms: 10 * 60_000,
            retry_first_ms: 200,
            retry_most_ms: 15_000,
        }
    }
}

/// One thing to do. Each is idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write the record to the ledger.
    Save,
    /// Look at the domain.
    Observe,
    /// Bring the image into the cache.
    EnsureImage,
    /// Wait for one of the node's launch slots.
    AcquireSlot,
    /// Make the root disk.
    PrepareDisk,
    /// Make the taps of every port.
    CreateTaps,
    /// Start the domain, held.
    StartPaused,
    /// Put the domain's ports into the network.
    Plug,
    /// Make the taps of ports that the running domain has no card for.
    HotTaps,
    /// Give the running domain these cards.
    AttachCards,
    /// Take the cards that no port has out of the running domain.
    DetachCards,
    /// Let the domain execute.
    Resume,
    /// Ask the guest to reboot.
    Reboot,
    /// Press reset.
    Reset,
    /// Press the power button.
    Shutdown,
    /// Pull the plug.
    PowerOff,
    /// Take the ports out of the network.
    Unplug,
    /// Remove the domain, its disk and its console log.
    Remove,
}

impl Effect {
    /// Whether it may be dropped in the middle: it waits or downloads, and leaves nothing half done on the host.
    #[must_use]
    pub const fn cancellable(self) -> bool {
        match self {
            Self::EnsureImage | Self::AcquireSlot => true,
            Self::Save
            | Self::Observe
            | Self::PrepareDisk
            | Self::CreateTaps
            | Self::StartPaused
            | Self::Plug
            | Self::HotTaps
            | Self::AttachCards
            | Self::DetachCards
            | Self::Resume
            | Self::Reboot
            | Self::Reset
            | Self::Shutdown
            | Self::PowerOff
            | Self::Unplug
            | Self::Remove => false,
        }
    }

    /// The step's name in fault points and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Save => "record",
            Self::Observe => "observe",
            Self::EnsureImage => "image",
            Self::AcquireSlot => "slot",
            Self::PrepareDisk => "disk",
            Self::CreateTaps => "taps",
            Self::StartPaused => "start",
            Self::Plug => "plug",
            Self::HotTaps => "hot-taps",
            Self::AttachCards => "attach",
            Self::DetachCards => "detach",
            Self::Resume => "resume",
            Self::Reboot => "reboot",
            Self::Reset => "reset",
            Self::Shutdown => "shutdown",
            Self::PowerOff => "poweroff",
            Self::Unplug => "unplug",
            Self::Remove => "remove",
        }
    }
}

/// What the actor does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Execute this, and feed the result back.
    Do(Effect),
    /// Nothing until something happens, or until this time (milliseconds of the actor's monotonic clock).
    Wait(Option<u64>),
}

/// What is known of the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Not looked yet.
    Unknown,
    /// There is none.
    Absent,
    /// This one.
    Is(DomainRecord),
}

/// Where the work is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Executing, ports plugged.
    Run,
    /// Off, disk kept; the guest is asked first.
    Off,
    /// Nothing left.
    Gone,
    /// Hands off.
    Nothing,
}

/// The instance's ports in the applied view.
#[derive(Debug, Clone, PartialEq)]
pub enum Ports {
    /// All are there, in order of device index.
    Ready(Vec<PortView>),
    /// Not all are there (yet).
    Missing {
        /// Which is not, and why.
        why: String,
        /// Those that are there.
        applied: Vec<PortView>,
    },
}

impl Ports {
    /// None is there.
    pub fn missing(why: impl Into<String>) -> Self {
        Self::Missing { why: why.into(), applied: Vec::new() }
    }
}

#[derive(Debug, Clone, Default)]
struct Retry {
    attempts: u32,
    not_before_ms: u64,
    /// What failed; its success ends the waiting.
    last: Option<(Effect, StepError)>,
}

/// The guest is being asked to power off, or to reboot.
#[derive(Debug, Clone, Copy)]
struct Stopping {
    began_ms: u64,
    /// When it is not waited for any longer: the plug is pulled, or reset pressed.
    ends_ms: u64,
    pressed_ms: Option<u64>,
    /// The guest cannot be asked: as if the time had run out.
    expired: bool,
    /// The guest has rebooted since: it is asked more often.
    rebooted: bool,
}

impl Stopping {
    const fn new(now_ms: u64, grace_ms: u64) -> Self {
        Self { began_ms: now_ms, ends_ms: now_ms + grace_ms, pressed_ms: None, expired: false, rebooted: false }
    }

    /// The guest has rebooted, and has forgotten that it was asked.
    const fn rebooted(&mut self) {
        self.pressed_ms = None;
        self.rebooted = true;
    }

    /// Asks the guest with `ask`, again now and then, and when its time is up does `force`.
    fn next(&self, ask: Effect, force: Effect, repress_ms: u64, now_ms: u64) -> Next {
        if now_ms >= self.ends_ms || self.expired {
            return Next::Do(force);
        }
        let pause_ms = if self.rebooted { repress_ms.min(REBOOTED_REPRESS_MS) } else { repress_ms };
        match self.pressed_ms.map(|pressed| pressed + pause_ms) {
            Some(again) if now_ms < again => Next::Wait(Some(self.ends_ms.min(again))),
            None | Some(_) => Next::Do(ask),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Machine {
    id: InstanceId,
    host: Arc<str>,
    patience: Arc<Patience>,
    // Durable.
    record: Record,
    dirty: bool,
    /// It became so while a save was at work, which does not hold it.
    dirty_since: bool,
    save_failed: bool,
    // Facts.
    intent: Option<Arc<InstanceIntent>>,
    swept: bool,
    forgotten: bool,
    domain: Seen,
    ports: Ports,
    // Progress of this run; worthless after a restart.
    look: bool,
    look_first: bool,
    image: Option<CachedImage>,
    disk: bool,
    slot: bool,
    taps: Option<Vec<NicSpec>>,
    /// The cards that the running domain is to be given, their taps made.
    hot: Vec<NicSpec>,
    plugged: Option<Vec<PortView>>,
    unplugged: bool,
    busy: Option<Effect>,
    retry: Retry,
    launch_began_ms: Option<u64>,
    stopping: Option<Stopping>,
    rebooting: Option<Stopping>,
    crashes: u32,
    pauses: u32,
    resumed_ms: u64,
    trouble: Option<StateReason>,
    /// The guest has used its network since it last booted.
    heard: bool,
}

impl Machine {
    /// The machine of an instance as the ledger holds it (or a new one, of the default record).
    #[must_use]
    pub fn new(id: InstanceId, host: Arc<str>, patience: Arc<Patience>, mut record: Record) -> Self {
        let intent = record.intent.take().map(Arc::new);
        Self {
            id,
            host,
            patience,
            record,
            dirty: false,
            dirty_since: false,
            save_failed: false,
            intent,
            swept: false,
            forgotten: false,
            domain: Seen::Unknown,
            ports: Ports::missing("no view of the network is applied yet"),
            look: false,
            look_first: false,
            image: None,
            disk: false,
            slot: false,
            taps: None,
            hot: Vec::new(),
            plugged: None,
            unplugged: false,
            busy: None,
            retry: Retry::default(),
            launch_began_ms: None,
            stopping: None,
            rebooting: None,
            crashes: 0,
            pauses: 0,
            resumed_ms: 0,
            trouble: None,
            heard: false,
        }
    }

    /// The instance.
    #[must_use]
    pub const fn id(&self) -> &InstanceId {
        &self.id
    }

    /// The intent held.
    #[must_use]
    pub const fn intent(&self) -> Option<&Arc<InstanceIntent>> {
        self.intent.as_ref()
    }

    /// What the ledger must hold: the flags and the intent.
    #[must_use]
    pub fn to_record(&self) -> Record {
        Record { intent: self.intent.as_deref().cloned(), ..self.record.clone() }
    }

    /// The cached image of the launch under way.
    #[must_use]
    pub const fn image(&self) -> Option<&CachedImage> {
        self.image.as_ref()
    }

    /// The network cards of the launch under way.
    #[must_use]
    pub fn nics(&self) -> &[NicSpec] {
        self.taps.as_deref().unwrap_or_default()
    }

    /// The network cards that the running domain is to be given.
    #[must_use]
    pub fn hot_nics(&self) -> &[NicSpec] {
        &self.hot
    }

    /// The ports as the applied view has them, once all are there.
    #[must_use]
    pub fn ready_ports(&self) -> &[PortView] {
        match &self.ports {
            Ports::Ready(ports) => ports,
            Ports::Missing { .. } => &[],
        }
    }

    /// Those of the ports that the applied view has.
    #[must_use]
    pub fn applied_ports(&self) -> &[PortView] {
        match &self.ports {
            Ports::Ready(ports) | Ports::Missing { applied: ports, .. } => ports,
        }
    }

    /// Whether a launch slot is held; the actor gives it back when this turns false.
    #[must_use]
    pub const fn holds_slot(&self) -> bool {
        self.slot
    }

    /// Everything is gone and nobody needs to be told any more: the actor ends.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.record.gone
            && !self.dirty
            && self.busy.is_none()
            && (self.forgotten || (self.swept && self.intent.is_none()))
    }

    /// Which workflow the next effect belongs to, for fault points and logs.
    #[must_use]
    pub fn workflow(&self) -> &'static str {
        match self.goal() {
            Goal::Run if self.reboot_due() => "reboot",
            Goal::Run => "launch",
            Goal::Off => "stop",
            Goal::Gone => "terminate",
            Goal::Nothing => "idle",
        }
    }

    /// Something durable changed: it is recorded before it is acted on or told.
    pub(crate) const fn mark_dirty(&mut self) {
        self.dirty = true;
        self.dirty_since = matches!(self.busy, Some(Effect::Save));
        self.save_failed = false;
    }

    fn generation(&self) -> u64 {
        self.intent.as_ref().map_or(0, |intent| intent.generation)
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation(self.intent.as_ref().map_or(0, |intent| intent.incarnation))
    }

    fn wanted(&self) -> Option<RunIntent> {
        self.intent.as_ref().and_then(|intent| intent.run_intent())
    }

    fn has_failed(&self) -> bool {
        self.record.failed_generation != 0 && self.record.failed_generation == self.generation()
    }

    /// The domain is of a later life than the orders held: they are out of date, whatever they say.
    fn is_outlived(&self) -> bool {
        matches!(&self.domain, Seen::Is(domain) if self.intent.is_some() && domain.incarnation > self.incarnation())
    }

    fn goal(&self) -> Goal {
        if self.swept {
            return Goal::Gone;
        }
        if self.is_outlived() {
            return Goal::Nothing;
        }
        match self.wanted() {
            None => Goal::Nothing,
            Some(RunIntent::Terminate) => Goal::Gone,
            Some(RunIntent::Stop) => Goal::Off,
            Some(RunIntent::Run) if self.has_failed() || self.record.guest_off_generation != 0 => Goal::Off,
            Some(RunIntent::Run) => Goal::Run,
        }
    }

    fn is_running(&self) -> bool {
        use crate::hypervisor::DomainState;
        matches!(&self.domain, Seen::Is(d) if d.state == DomainState::Running && d.incarnation == self.incarnation())
    }

    fn reboot_due(&self) -> bool {
        self.is_running() && self.intent.as_ref().is_some_and(|intent| intent.reboot_seq > self.record.reboot_done)
    }

    /// The guest was heard since it last booted.
    fn guest_heard(&self) -> bool {
        self.is_running() && (self.heard || matches!(&self.domain, Seen::Is(domain) if domain.heard))
    }
}
