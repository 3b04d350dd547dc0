//! What the node says about the instance.

use super::{Effect, Goal, Machine, Ports, Seen};
use crate::hypervisor::DomainState;
use mallee_proto::v1::InstanceObservation;
use mallee_types::{DomainPhase, RunIntent, StateReason};

impl Machine {
    /// What is to be reported now, without its time; `None` while nothing sure can be said (nothing seen yet, or the
    /// outcome is not recorded yet: what was reported must be true after a crash).
    #[must_use]
    pub fn observation(&self) -> Option<InstanceObservation> {
        if self.domain == Seen::Unknown && self.goal() != Goal::Gone {
            return None;
        }
        if self.dirty && !self.save_failed {
            return None;
        }
        if self.is_running() && self.goal() == Goal::Run && self.is_about_to_plug() {
            // After a restart of the node controller a healthy instance must not look disconnected for a moment.
            return None;
        }
        if self.wanted() == Some(RunIntent::Stop) && self.is_down() && !self.unplugged && self.retry.attempts == 0 {
            // Nor must a stopped one look as if it were being stopped.
            return None;
        }
        let (phase, reason) = self.phase();
        let incarnation = match (&self.intent, &self.domain) {
            (None, Seen::Is(domain)) => domain.incarnation.0,
            (None, Seen::Absent | Seen::Unknown) | (Some(_), _) => self.incarnation().0,
        };
        let stopped = phase == DomainPhase::Stopped && self.is_down() && self.unplugged;
        let mut report = InstanceObservation {
            id: self.id.to_string(),
            incarnation,
            node_id: self.host.to_string(),
            generation: self.generation(),
            phase: mallee_proto::v1::DomainPhase::from(phase).into(),
            network_applied: phase == DomainPhase::Running && self.network_applied(),
            reason: reason.map(Into::into),
            observed_at_ms: 0,
            reboot_seq: self.record.reboot_done,
            gone: self.record.gone,
            activity: self.activity(),
            guest_heard: self.guest_heard(),
            ports_generation: self.ports_generation(stopped),
            ..InstanceObservation::default()
        };
        self.report_cards(&mut report);
        Some(report)
    }

    fn is_about_to_plug(&self) -> bool {
        (matches!(self.ports, Ports::Ready(_)) || !self.present_ports().is_empty())
            && self.plugged.is_none()
            && self.retry.attempts == 0
    }

    fn is_down(&self) -> bool {
        match &self.domain {
            Seen::Absent => true,
            Seen::Is(domain) => matches!(domain.state, DomainState::Off { .. }),
            Seen::Unknown => false,
        }
    }

    fn phase(&self) -> (DomainPhase, Option<StateReason>) {
        if self.swept || self.wanted() == Some(RunIntent::Terminate) {
            return if self.record.gone { (DomainPhase::Absent, None) } else { (DomainPhase::Stopping, None) };
        }
        if self.is_outlived() {
            let text = format!("{}: a newer incarnation than the one ordered is here", self.host);
            return (DomainPhase::Failed, Some(StateReason::new("Server.InternalError", text)));
        }
        if self.has_failed() {
            let reason = StateReason::new(&*self.record.failed_code, &*self.record.failed_message);
            return (DomainPhase::Failed, Some(reason));
        }
        let guest_off = (self.record.guest_off_generation != 0).then(StateReason::guest_shutdown);
        match (self.wanted(), guest_off) {
            (Some(RunIntent::Stop), reason) if self.is_down() && self.unplugged => (DomainPhase::Stopped, reason),
            (Some(RunIntent::Stop), reason) => (DomainPhase::Stopping, reason),
            (Some(RunIntent::Run), Some(reason)) => (DomainPhase::Stopped, Some(reason)),
            (Some(RunIntent::Run), None) if self.is_running() => (DomainPhase::Running, self.trouble.clone()),
            (Some(RunIntent::Run), None) => (DomainPhase::Preparing, self.trouble.clone()),
            (Some(RunIntent::Terminate) | None, reason) => (DomainPhase::Absent, reason),
        }
    }

    /// What the node does right now, for `mallee explain`; empty when it is done.
    fn activity(&self) -> String {
        if let Some((_, error)) = &self.retry.last {
            return format!("trying again after: {}", error.message);
        }
        let doing = match self.busy {
            None | Some(Effect::Save | Effect::Observe) => "",
            Some(Effect::EnsureImage) => "fetching the image",
            Some(Effect::AcquireSlot) => "waiting for other launches on this host",
            Some(Effect::PrepareDisk | Effect::CreateTaps | Effect::StartPaused | Effect::Plug | Effect::Resume) => {
                "starting the domain"
            }
            Some(Effect::HotTaps | Effect::AttachCards) => "attaching network interfaces",
            Some(Effect::DetachCards) => "detaching network interfaces",
            Some(Effect::Reboot) => "asking the guest to reboot",
            Some(Effect::Reset) => "resetting",
            Some(Effect::Shutdown) => "asking the guest to power off",
            Some(Effect::PowerOff) => "pulling the plug",
            Some(Effect::Unplug | Effect::Remove) => "removing",
        };
        match (self.goal(), &self.ports) {
            (Goal::Run, Ports::Missing { why, .. }) if doing.is_empty() => format!("waiting: {why}"),
            (Goal::Run | Goal::Off | Goal::Gone | Goal::Nothing, _) => doing.to_owned(),
        }
    }
}
