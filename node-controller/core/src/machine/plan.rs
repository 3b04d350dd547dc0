//! The next effect, from the facts alone.

use super::{Effect, Goal, Machine, Next, Ports, Seen, Stopping};
use crate::hypervisor::DomainState;
use mallee_types::{RunIntent, StateReason};

impl Machine {
    /// What comes next. `now_ms` is the actor's monotonic clock.
    pub fn next(&mut self, now_ms: u64) -> Next {
        if let Some(effect) = self.busy {
            return Next::Wait(self.launch_deadline().filter(|_| effect.cancellable()));
        }
        let next = self.choose(now_ms);
        if let Next::Do(effect) = next {
            if matches!(effect, Effect::StartPaused | Effect::Reset) {
                // What is heard from now on is of the new boot.
                self.heard = false;
            }
            self.busy = Some(effect);
            self.dirty_since = false;
        } else {
            self.slot = false;
        }
        next
    }

    fn choose(&mut self, now_ms: u64) -> Next {
        if self.dirty && !self.save_failed {
            return Next::Do(Effect::Save);
        }
        if now_ms < self.retry.not_before_ms {
            return Next::Wait(Some(self.retry.not_before_ms));
        }
        // A full disk must not keep an instance from being removed: that is what makes room.
        let save_may_wait = self.save_failed && self.goal() == Goal::Gone && !self.record.gone;
        if self.dirty && !save_may_wait {
            return Next::Do(Effect::Save);
        }
        if self.domain == Seen::Unknown || self.look_first {
            return Next::Do(Effect::Observe);
        }
        let next = match self.goal() {
            Goal::Run => self.plan_run(now_ms),
            Goal::Off => self.plan_off(now_ms),
            Goal::Gone => self.plan_gone(now_ms),
            Goal::Nothing => Next::Wait(None),
        };
        match next {
            Next::Do(effect) => Next::Do(effect),
            // A decision of the plan may be one to record first.
            Next::Wait(_) if self.dirty && !save_may_wait => Next::Do(Effect::Save),
            Next::Wait(_) if self.look => Next::Do(Effect::Observe),
            Next::Wait(until) => Next::Wait(until),
        }
    }

    fn plan_run(&mut self, now_ms: u64) -> Next {
        let Seen::Is(domain) = &self.domain else { return self.plan_launch(now_ms, true) };
        let current = domain.incarnation == self.incarnation();
        match domain.state {
            DomainState::Running if current => self.plan_running(now_ms),
            DomainState::Paused if current => self.plan_resume(now_ms),
            DomainState::Running | DomainState::Paused => Next::Do(Effect::PowerOff),
            DomainState::Off { crashed } => self.plan_launch(now_ms, crashed),
        }
    }

    fn plan_running(&mut self, now_ms: u64) -> Next {
        if self.reboot_due() {
            let fresh = Stopping::new(now_ms, self.patience.reboot_grace_ms);
            let rebooting = self.rebooting.get_or_insert(fresh);
            return rebooting.next(Effect::Reboot, Effect::Reset, self.patience.repress_ms, now_ms);
        }
        self.plan_ports().map_or(Next::Wait(None), Next::Do)
    }

    fn plan_resume(&mut self, now_ms: u64) -> Next {
        // A guest that has run already is only given up while it cannot go on.
        let stuck = !self.record.started || matches!(self.ports, Ports::Missing { .. });
        if stuck && self.deadline_passed(now_ms) {
            return self.choose(now_ms);
        }
        match &self.ports {
            Ports::Missing { .. } => Next::Wait(self.launch_deadline()),
            // A domain that starts has all its cards: this one was made for other ports.
            Ports::Ready(_) if !self.record.started && !self.cards_fit() => Next::Do(Effect::PowerOff),
            // One that runs already gets them when it goes on.
            Ports::Ready(_) if !self.cards_fit() => Next::Do(Effect::Resume),
            Ports::Ready(ports) if self.plugged.as_ref() != Some(ports) => Next::Do(Effect::Plug),
            Ports::Ready(_) if !self.record.started => {
                // Recorded before the guest's first instruction, so that a guest found off is known to have run.
                self.record.started = true;
                self.record.reboot_done = self.intent.as_ref().map_or(0, |intent| intent.reboot_seq);
                self.mark_dirty();
                Next::Do(Effect::Save)
            }
            Ports::Ready(_) => Next::Do(Effect::Resume),
        }
    }

    /// The domain is off or absent and should run. `died`: not by the guest's own power-off.
    fn plan_launch(&mut self, now_ms: u64, died: bool) -> Next {
        if self.record.started {
            self.record.started = false;
            self.taps = None;
            if died {
                self.crashed(now_ms);
            } else if self.rebooting.take().is_some() {
                // It went off where it was to reboot: it is started again, which is as good.
            } else {
                self.record.guest_off_generation = self.generation();
            }
            self.mark_dirty();
            return self.choose(now_ms);
        }
        if self.deadline_passed(now_ms) {
            return self.choose(now_ms);
        }
        if self.image.is_none() {
            return Next::Do(Effect::EnsureImage);
        }
        if !self.disk {
            return self.with_slot(Effect::PrepareDisk);
        }
        match (&self.ports, &self.taps) {
            (Ports::Missing { .. }, _) => Next::Wait(self.launch_deadline()),
            (Ports::Ready(_), None) => self.with_slot(Effect::CreateTaps),
            (Ports::Ready(_), Some(_)) if !self.taps_fit() => self.with_slot(Effect::CreateTaps),
            (Ports::Ready(_), Some(_)) => self.with_slot(Effect::StartPaused),
        }
    }

    const fn with_slot(&self, effect: Effect) -> Next {
        Next::Do(if self.slot { effect } else { Effect::AcquireSlot })
    }

    fn crashed(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.resumed_ms) >= self.patience.crash_window_ms {
            self.crashes = 0;
        }
        self.crashes += 1;
        let most = self.patience.crash_restarts_max;
        if self.crashes > most {
            let text = format!("{}: the domain crashed {} times in a row", self.host, self.crashes);
            self.fail("Server.InternalError", text);
            return;
        }
        let text = format!("{}: the domain died; restarted automatically ({} of {most})", self.host, self.crashes);
        self.trouble = Some(StateReason::new("Server.InternalError", text));
        self.launch_began_ms = Some(now_ms);
        // The first restart is at once: after a reboot of the host nobody is to blame.
        if self.crashes > 1 {
            self.retry.not_before_ms = now_ms + self.delay_ms(self.crashes - 2);
        }
    }

    pub(super) fn launch_deadline(&self) -> Option<u64> {
        self.launch_began_ms.map(|began| began + self.patience.launch_deadline_ms)
    }

    /// Starts the launch's clock on the first call; true (and failed) when it has run out.
    fn deadline_passed(&mut self, now_ms: u64) -> bool {
        let began = *self.launch_began_ms.get_or_insert(now_ms);
        if now_ms < began + self.patience.launch_deadline_ms {
            return false;
        }
        let seconds = self.patience.launch_deadline_ms / 1000;
        let cause = match (&self.retry.last, &self.ports) {
            (Some((_, error)), _) => error.message.clone(),
            (None, Ports::Missing { why, .. }) => why.clone(),
            (None, Ports::Ready(_)) => "the host is too slow".to_owned(),
        };
        self.fail("Server.InternalError", format!("{}: not launched within {seconds} s: {cause}", self.host));
        true
    }

    fn plan_off(&mut self, now_ms: u64) -> Next {
        if let Some(next) = self.plan_power_off(now_ms, self.patience.shutdown_grace_ms) {
            return next;
        }
        if !self.unplugged {
            return Next::Do(Effect::Unplug);
        }
        if self.record.started && self.wanted() == Some(RunIntent::Stop) {
            self.record.started = false;
            self.mark_dirty();
        }
        Next::Wait(None)
    }

    fn plan_gone(&mut self, now_ms: u64) -> Next {
        if self.record.gone {
            return Next::Wait(None);
        }
        if let Some(next) = self.plan_power_off(now_ms, self.patience.terminate_grace_ms) {
            return next;
        }
        if !self.unplugged {
            return Next::Do(Effect::Unplug);
        }
        Next::Do(Effect::Remove)
    }

    /// What brings the domain down; `None` when it is down.
    fn plan_power_off(&mut self, now_ms: u64, grace_ms: u64) -> Option<Next> {
        let Seen::Is(domain) = &self.domain else { return None };
        match domain.state {
            DomainState::Off { .. } => return None,
            DomainState::Paused => return Some(Next::Do(Effect::PowerOff)),
            DomainState::Running => {}
        }
        // An old life, or a domain nobody ordered, is owed no politeness.
        if domain.incarnation != self.incarnation() {
            return Some(Next::Do(Effect::PowerOff));
        }
        let stopping = self.stopping.get_or_insert(Stopping::new(now_ms, grace_ms));
        // A stop that becomes a termination ends sooner.
        stopping.ends_ms = stopping.began_ms + grace_ms;
        Some(stopping.next(Effect::Shutdown, Effect::PowerOff, self.patience.repress_ms, now_ms))
    }
}
