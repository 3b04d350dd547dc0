//! What comes from outside: orders, sightings, ports.

use super::{Machine, Ports, Retry, Seen};
use crate::hypervisor::DomainRecord;
use mallee_proto::v1::InstanceIntent;
use mallee_types::RunIntent;
use std::sync::Arc;

/// Whether an order was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the newest; it will be recorded, then followed.
    Yes,
    /// It is the one that is held, with later credentials of its role: they will be recorded, and nothing else changes.
    Credentials,
    /// A newer or the same one is held.
    Stale,
    /// It names an older life of the instance than the one held.
    OlderLife,
}

impl Machine {
    /// Takes an order if it is newer than what is held.
    pub fn order(&mut self, intent: Arc<InstanceIntent>) -> Taken {
        if let Some(held) = &self.intent {
            if intent.generation <= held.generation {
                // It is named again, so it is not to be swept.
                let rotated = intent.incarnation == held.incarnation && intent.is_newer_than(held);
                self.unsweep();
                if !rotated {
                    return Taken::Stale;
                }
                self.intent = Some(intent);
                self.mark_dirty();
                return Taken::Credentials;
            }
            if intent.incarnation < held.incarnation {
                return Taken::OlderLife;
            }
        }
        let before = self.wanted();
        let old = self.intent.replace(intent);
        let new_life = old.as_ref().is_some_and(|old| old.incarnation < self.incarnation().0);
        let wants_run = self.wanted() == Some(RunIntent::Run);
        let guest_was_off = self.record.guest_off_generation != 0;
        if new_life || (wants_run && (before == Some(RunIntent::Stop) || guest_was_off)) {
            // What the domain does from here on is not the guest's own doing until it was started again.
            self.record.started = false;
        }
        if new_life || wants_run {
            self.record.guest_off_generation = 0;
        }
        self.record.failed_generation = 0;
        self.record.failed_code.clear();
        self.record.failed_message.clear();
        self.record.gone = false;
        self.mark_dirty();
        self.swept = false;
        self.forgotten = false;
        self.retry = Retry::default();
        self.launch_began_ms = None;
        self.crashes = 0;
        self.trouble = None;
        if before != self.wanted() {
            self.stopping = None;
        }
        let image = |intent: &InstanceIntent| intent.spec.as_ref().and_then(|spec| spec.image.clone());
        if old.as_deref().and_then(image) != self.intent.as_deref().and_then(image) {
            self.image = None;
        }
        Taken::Yes
    }

    /// The cluster says that nothing names the instance any more and its grace period is over: remove it.
    pub fn sweep(&mut self) {
        if !self.swept || self.record.gone {
            self.swept = true;
            // Something of it was found although it was removed: once more.
            self.record.gone = false;
            self.unplugged = false;
            self.stopping = None;
            self.retry = Retry::default();
        }
    }

    /// The guest has used its network: it took its address, or asked something.
    pub const fn heard(&mut self) {
        self.heard = true;
    }

    fn unsweep(&mut self) {
        self.swept = false;
        self.forgotten = false;
    }

    /// The cluster says that it needs to hear of the instance no more.
    pub const fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Something may have happened to the domain.
    pub const fn look(&mut self) {
        self.look = true;
    }

    /// The instance's ports in the applied view, after every change of the view.
    pub fn set_ports(&mut self, ports: Ports) {
        self.ports = ports;
        // What the view names no more is not plugged any more; when it is there again it is to be plugged again.
        let applied = match &self.ports {
            Ports::Ready(ports) | Ports::Missing { applied: ports, .. } => ports,
        };
        if let Some(plugged) = &mut self.plugged {
            plugged.retain(|port| applied.iter().any(|named| named.interface_id == port.interface_id));
        }
        self.plugged.take_if(|plugged| plugged.is_empty() && !applied.is_empty());
    }

    pub(super) fn seen(&mut self, domain: Option<DomainRecord>, now_ms: u64) {
        use crate::hypervisor::DomainState as State;
        let was_running = self.is_running();
        self.domain = domain.map_or(Seen::Absent, Seen::Is);
        match &self.domain {
            Seen::Is(domain) if domain.state == State::Running => self.trouble_over(now_ms),
            Seen::Is(domain) if domain.state == State::Paused => {
                if was_running {
                    // It paused itself (its disk has no room, say). It is let go on, more and more slowly.
                    self.retry.not_before_ms = now_ms + self.delay_ms(self.pauses);
                    self.pauses = self.pauses.saturating_add(1);
                }
            }
            Seen::Is(_) | Seen::Absent | Seen::Unknown => {
                // The taps died with the domain's process.
                self.plugged = None;
            }
        }
    }

    fn trouble_over(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.resumed_ms) >= self.patience.crash_window_ms {
            self.crashes = 0;
            self.pauses = 0;
            self.trouble = None;
        }
    }
}
