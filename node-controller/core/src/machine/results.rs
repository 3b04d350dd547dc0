//! What an executed effect changes.

use super::{Effect, Goal, Machine, Retry, Seen};
use crate::hypervisor::{DomainRecord, DomainState, NicSpec};
use crate::images::CachedImage;
use mallee_proto::v1::PortView;
use mallee_types::MacAddress;

/// How often something the host is short of is tried for before the launch fails.
const SCARCE_ATTEMPTS_MAX: u32 = 3;
/// Largest exponent of the doubling retry delay.
const RETRY_DOUBLINGS_MAX: u32 = 16;

/// What a successful effect brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Nothing but that it is done.
    Plain,
    /// The domain as it is.
    Domain(Option<DomainRecord>),
    /// The image.
    Image(CachedImage),
    /// The taps.
    Taps(Vec<NicSpec>),
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepClass {
    /// Yes.
    Transient,
    /// Perhaps, when something is freed.
    Scarce,
    /// No.
    Permanent,
}

/// Why an effect failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// Whether trying again can help.
    pub class: StepClass,
    /// The `StateReason` code, should the launch fail of it.
    pub code: &'static str,
    /// The cause, for people.
    pub message: String,
}

impl Machine {
    /// The effect that [`Machine::next`] gave is executed. `plugged` is what was handed to [`Effect::Plug`].
    pub fn finished_step(&mut self, result: Result<Done, StepError>, plugged: &[PortView], now_ms: u64) {
        let Some(effect) = self.busy.take() else { return };
        match result {
            Ok(done) => self.succeeded(effect, done, plugged, now_ms),
            Err(error) => self.failed_step(effect, error, now_ms),
        }
    }

    /// The effect was dropped in the middle.
    pub const fn cancelled(&mut self) {
        self.busy = None;
    }

    /// Whether the effect in work may be dropped and is not wanted any more, or not for so long.
    #[must_use]
    pub fn wants_cancel(&self, now_ms: u64) -> bool {
        let Some(effect) = self.busy else { return false };
        let late = self.launch_deadline().is_some_and(|deadline| now_ms >= deadline);
        effect.cancellable() && (self.goal() != Goal::Run || self.dirty || late)
    }

    fn succeeded(&mut self, effect: Effect, done: Done, plugged: &[PortView], now_ms: u64) {
        match effect {
            Effect::Save => {
                self.dirty = std::mem::take(&mut self.dirty_since);
                self.save_failed = false;
            }
            Effect::Observe => {
                self.look = false;
                self.look_first = false;
                if let Done::Domain(domain) = done {
                    self.seen(domain, now_ms);
                }
                return;
            }
            Effect::EnsureImage => {
                if let Done::Image(image) = done {
                    self.image = Some(image);
                }
            }
            Effect::AcquireSlot => self.slot = true,
            Effect::PrepareDisk => self.disk = true,
            Effect::CreateTaps => {
                self.unplugged = false;
                if let Done::Taps(taps) = done {
                    self.taps = Some(taps);
                }
            }
            Effect::StartPaused => {
                let cards = self.nics().iter().map(|nic| nic.mac).collect();
                self.set_state(DomainState::Paused, cards);
                self.plugged = None;
            }
            Effect::Plug => {
                self.unplugged = false;
                self.plugged = Some(plugged.to_vec());
            }
            Effect::HotTaps => {
                if let Done::Taps(taps) = done {
                    self.hot = taps;
                }
            }
            Effect::AttachCards => {
                self.hot.clear();
                self.look_first = true;
            }
            // It is the guest that lets go of a card.
            Effect::DetachCards => self.look_first = true,
            Effect::Resume => {
                let cards = match &self.domain {
                    Seen::Is(domain) => domain.nics.clone(),
                    Seen::Absent | Seen::Unknown => Vec::new(),
                };
                self.set_state(DomainState::Running, cards);
                self.resumed_ms = now_ms;
                self.launch_began_ms = None;
                self.slot = false;
                self.taps = None;
            }
            Effect::Reset => self.reboot_is_done(),
            Effect::Reboot => {
                if let Some(rebooting) = &mut self.rebooting {
                    rebooting.pressed_ms = Some(now_ms);
                }
            }
            Effect::Shutdown => {
                if let Some(stopping) = &mut self.stopping {
                    stopping.pressed_ms = Some(now_ms);
                }
            }
            Effect::PowerOff => {
                // Look what is really left: some drivers drop the definition, some keep it.
                self.domain = Seen::Unknown;
                self.taps = None;
                self.plugged = None;
            }
            Effect::Unplug => {
                self.unplugged = true;
                self.plugged = None;
                self.taps = None;
            }
            Effect::Remove => {
                self.domain = Seen::Absent;
                self.disk = false;
                self.image = None;
                self.record.gone = true;
                self.record.started = false;
                self.mark_dirty();
            }
        }
        if effect == Effect::Resume || self.retry.last.as_ref().is_some_and(|(failed, _)| *failed == effect) {
            self.retry = Retry::default();
        }
    }

    fn set_state(&mut self, state: DomainState, nics: Vec<MacAddress>) {
        let instance = self.id.clone();
        self.domain = Seen::Is(DomainRecord { instance, incarnation: self.incarnation(), state, heard: false, nics });
    }

    fn failed_step(&mut self, effect: Effect, error: StepError, now_ms: u64) {
        match effect {
            Effect::Save => self.save_failed = true,
            Effect::Shutdown => {
                // Pressed again soon, until the guest's time is up; where there is no button, the time is up now.
                if let Some(stopping) = self.stopping.as_mut().filter(|_| error.class == StepClass::Permanent) {
                    stopping.expired = true;
                }
            }
            Effect::Reboot => {
                if let Some(rebooting) = self.rebooting.as_mut().filter(|_| error.class == StepClass::Permanent) {
                    rebooting.expired = true;
                }
            }
            Effect::CreateTaps | Effect::StartPaused => self.taps = None,
            Effect::HotTaps | Effect::AttachCards | Effect::DetachCards => self.hot.clear(),
            Effect::PrepareDisk => {
                // The image may have been evicted under the launch.
                self.image = None;
            }
            Effect::Observe
            | Effect::EnsureImage
            | Effect::AcquireSlot
            | Effect::Plug
            | Effect::Resume
            | Effect::Reset
            | Effect::PowerOff
            | Effect::Unplug
            | Effect::Remove => {}
        }
        // What the step left behind is not known; nor is it when the look failed that was to tell.
        self.look_first |= effect != Effect::Observe && effect != Effect::Save;
        self.slot = false;
        let launching = self.goal() == Goal::Run && !self.is_running();
        let of_launch = !matches!(effect, Effect::Save | Effect::Observe);
        let hopeless = match error.class {
            StepClass::Permanent => true,
            StepClass::Scarce => self.retry.attempts + 1 >= SCARCE_ATTEMPTS_MAX,
            StepClass::Transient => false,
        };
        if launching && of_launch && hopeless {
            let text = format!("{}: {}", self.host, error.message);
            self.fail(error.code, text);
        } else {
            self.retry.last = Some((effect, error));
            self.retry.not_before_ms = now_ms + self.delay_ms(self.retry.attempts);
            let asking = match effect {
                Effect::Shutdown => self.stopping,
                Effect::Reboot => self.rebooting,
                _ => None,
            };
            if let Some(stopping) = asking {
                // The plug is pulled, or reset pressed, in time, however long the next try would have waited.
                let end = if stopping.expired { now_ms } else { stopping.ends_ms };
                self.retry.not_before_ms = self.retry.not_before_ms.min(end.max(now_ms));
            }
            self.retry.attempts = self.retry.attempts.saturating_add(1);
        }
    }

    /// The machine was reset. Before it was asked to reboot that is the guest's own affair. A power button that was
    /// pressed while the guest went down to reboot is pressed again, and again until the new boot hears it.
    pub fn rebooted(&mut self) {
        if let Some(stopping) = &mut self.stopping {
            stopping.rebooted();
        }
        if self.reboot_due() && self.rebooting.is_some_and(|asked| asked.pressed_ms.is_some() || self.is_asking()) {
            self.reboot_is_done();
        }
    }

    /// The guest may answer before the call that asks it has returned.
    fn is_asking(&self) -> bool {
        self.busy == Some(Effect::Reboot)
    }

    fn reboot_is_done(&mut self) {
        self.rebooting = None;
        self.record.reboot_done = self.intent.as_ref().map_or(0, |intent| intent.reboot_seq);
        self.mark_dirty();
    }

    /// How long to wait after so many failures before the last one.
    pub(super) fn delay_ms(&self, failures: u32) -> u64 {
        let doubled = self.patience.retry_first_ms << failures.min(RETRY_DOUBLINGS_MAX);
        doubled.min(self.patience.retry_most_ms)
    }

    /// The node gives up on this generation; the reason is recorded with it.
    pub(super) fn fail(&mut self, code: &str, message: String) {
        self.record.failed_generation = self.generation();
        self.record.failed_code = code.to_owned();
        self.record.failed_message = format!("{code}: {message}");
        self.record.started = false;
        self.mark_dirty();
        self.retry = Retry::default();
        self.launch_began_ms = None;
        self.stopping = None;
        self.trouble = None;
    }
}
