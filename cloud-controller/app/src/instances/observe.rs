//! What an observation does to an instance's row: a pure function, so that late, repeated and reordered messages
//! can be tried in a table.

use mallee_types::instance::{Observed, visible_state};
use mallee_types::{DomainPhase, Generation, Incarnation, InstanceState, RunIntent, StateReason};

/// `InstanceInitiatedShutdownBehavior`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownBehavior {
    /// A guest that powers itself off is stopped.
    Stop,
    /// A guest that powers itself off is terminated.
    Terminate,
}

/// What the row says before the observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What the user wants.
    pub intent: RunIntent,
    /// Of the intent.
    pub generation: Generation,
    /// The instance's current life.
    pub incarnation: Incarnation,
    /// Generation of the last observation taken.
    pub observed_generation: Generation,
    /// Last phase taken.
    pub phase: DomainPhase,
    /// Last port state taken.
    pub network_applied: bool,
    /// What the user is told.
    pub state: InstanceState,
    /// Whether the instance ever reached `running`.
    pub has_run: bool,
    /// What a guest's own power-off means.
    pub shutdown_behavior: ShutdownBehavior,
}

/// One observation, of one incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of this life.
    pub incarnation: Incarnation,
    /// The intent generation that the phase is the outcome of.
    pub generation: Generation,
    /// The domain's phase.
    pub phase: DomainPhase,
    /// Every port stands.
    pub network_applied: bool,
    /// Nothing of it is left on the node.
    pub gone: bool,
    /// The node's words.
    pub reason: Option<StateReason>,
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Of an older life or generation: nothing.
    Stale,
    /// Record the observation; the user sees `state`.
    Record {
        /// The visible state from now on.
        state: InstanceState,
        /// Set when the state's reason changes.
        reason: Option<StateReason>,
    },
    /// Record it, and change the intent as if the user had asked (one generation further).
    Redirect {
        /// The new intent.
        intent: RunIntent,
        /// The visible state from now on.
        state: InstanceState,
        /// Why.
        reason: StateReason,
    },
    /// The node has let go: take back addresses and interfaces; the instance is terminated.
    Release,
}

/// What an observation does.
#[must_use]
pub fn observe(known: &Known, seen: &Seen) -> Outcome {
    if seen.incarnation != known.incarnation || seen.generation < known.observed_generation {
        return Outcome::Stale;
    }
    match known.intent {
        RunIntent::Terminate => {
            if seen.gone {
                Outcome::Release
            } else {
                Outcome::Record { state: InstanceState::ShuttingDown, reason: None }
            }
        }
        RunIntent::Stop => Outcome::Record { state: visible(known, seen), reason: None },
        RunIntent::Run if seen.generation < known.generation => {
            // The outcome of an older order (say, of the stop before this start): keep what the user sees, unless
            // the domain in fact runs as wanted.
            Outcome::Record { state: sticky(known, visible(known, seen)), reason: None }
        }
        RunIntent::Run => observe_running(known, seen),
    }
}

fn observe_running(known: &Known, seen: &Seen) -> Outcome {
    match seen.phase {
        DomainPhase::Stopped => {
            let reason = seen.reason.clone().unwrap_or_else(StateReason::guest_shutdown);
            let (intent, state) = match known.shutdown_behavior {
                ShutdownBehavior::Stop => (RunIntent::Stop, InstanceState::Stopped),
                ShutdownBehavior::Terminate => (RunIntent::Terminate, InstanceState::ShuttingDown),
            };
            Outcome::Redirect { intent, state, reason }
        }
        DomainPhase::Failed => {
            let reason = seen.reason.clone().unwrap_or_else(|| {
                StateReason::new("Server.InternalError", "Server.InternalError: the node gave no reason")
            });
            // EC2: a failed launch ends terminated, a failed start ends stopped.
            if known.has_run {
                Outcome::Redirect { intent: RunIntent::Stop, state: InstanceState::Stopped, reason }
            } else {
                Outcome::Redirect { intent: RunIntent::Terminate, state: InstanceState::ShuttingDown, reason }
            }
        }
        DomainPhase::Absent | DomainPhase::Preparing | DomainPhase::Running | DomainPhase::Stopping => {
            Outcome::Record { state: sticky(known, visible(known, seen)), reason: None }
        }
    }
}

fn visible(known: &Known, seen: &Seen) -> InstanceState {
    visible_state(known.intent, Observed { phase: seen.phase, network_applied: seen.network_applied }, false)
}

/// EC2 never shows `running` → `pending`: while a node brings a crashed domain back, the instance stays `running`
/// and its status checks are impaired.
fn sticky(known: &Known, state: InstanceState) -> InstanceState {
    match (known.state, state) {
        (InstanceState::Running, InstanceState::Pending) => InstanceState::Running,
        (_, state) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(intent: RunIntent, state: InstanceState) -> Known {
        Known {
            intent,
            generation: Generation(5),
            incarnation: Incarnation(2),
            observed_generation: Generation(4),
            phase: DomainPhase::Preparing,
            network_applied: false,
            state,
            has_run: false,
            shutdown_behavior: ShutdownBehavior::Stop,
        }
    }

    fn seen(phase: DomainPhase, generation: u64) -> Seen {
        Seen {
            incarnation: Incarnation(2),
            generation: Generation(generation),
            phase,
            network_applied: phase == DomainPhase::Running,
            gone: false,
            reason: None,
        }
    }

    fn record(state: InstanceState) -> Outcome {
        Outcome::Record { state, reason: None }
    }

    #[test]
    fn late_messages_change_nothing() {
        let known = known(RunIntent::Run, InstanceState::Pending);
        assert_eq!(observe(&known, &seen(DomainPhase::Stopped, 3)), Outcome::Stale);
        let other_life = Seen { incarnation: Incarnation(1), ..seen(DomainPhase::Running, 5) };
        assert_eq!(observe(&known, &other_life), Outcome::Stale);
        let newer_life = Seen { incarnation: Incarnation(3), gone: true, ..seen(DomainPhase::Absent, 9) };
        assert_eq!(observe(&known, &newer_life), Outcome::Stale);
    }

    #[test]
    fn a_launch_goes_pending_then_running() {
        let known = known(RunIntent::Run, InstanceState::Pending);
        assert_eq!(observe(&known, &seen(DomainPhase::Preparing, 5)), record(InstanceState::Pending));
        let no_network = Seen { network_applied: false, ..seen(DomainPhase::Running, 5) };
        assert_eq!(observe(&known, &no_network), record(InstanceState::Pending));
        assert_eq!(observe(&known, &seen(DomainPhase::Running, 5)), record(InstanceState::Running));
    }

    #[test]
    fn the_stopped_of_an_older_order_does_not_undo_a_start() {
        let known = known(RunIntent::Run, InstanceState::Pending);
        assert_eq!(observe(&known, &seen(DomainPhase::Stopped, 4)), record(InstanceState::Pending));
    }

    #[test]
    fn a_guest_that_powers_off_is_stopped_or_terminated() {
        let mut known = known(RunIntent::Run, InstanceState::Running);
        let seen = seen(DomainPhase::Stopped, 5);
        let reason = StateReason::guest_shutdown();
        let want = Outcome::Redirect { intent: RunIntent::Stop, state: InstanceState::Stopped, reason: reason.clone() };
        assert_eq!(observe(&known, &seen), want);
        known.shutdown_behavior = ShutdownBehavior::Terminate;
        let want = Outcome::Redirect { intent: RunIntent::Terminate, state: InstanceState::ShuttingDown, reason };
        assert_eq!(observe(&known, &seen), want);
    }

    #[test]
    fn a_failed_launch_terminates_and_a_failed_start_stops() {
        let mut known = known(RunIntent::Run, InstanceState::Pending);
        let reason = StateReason::new("Server.InternalError", "node-1: no qemu");
        let seen = Seen { reason: Some(reason.clone()), ..seen(DomainPhase::Failed, 5) };
        let want = Outcome::Redirect {
            intent: RunIntent::Terminate,
            state: InstanceState::ShuttingDown,
            reason: reason.clone(),
        };
        assert_eq!(observe(&known, &seen), want);
        known.has_run = true;
        let want = Outcome::Redirect { intent: RunIntent::Stop, state: InstanceState::Stopped, reason };
        assert_eq!(observe(&known, &seen), want);
    }

    #[test]
    fn running_is_never_shown_as_pending_again() {
        let known = known(RunIntent::Run, InstanceState::Running);
        for phase in [DomainPhase::Absent, DomainPhase::Preparing, DomainPhase::Stopping] {
            assert_eq!(observe(&known, &seen(phase, 5)), record(InstanceState::Running), "{phase:?}");
        }
    }

    #[test]
    fn terminate_ends_only_when_the_node_let_go() {
        let known = known(RunIntent::Terminate, InstanceState::ShuttingDown);
        for phase in [DomainPhase::Running, DomainPhase::Stopping, DomainPhase::Stopped, DomainPhase::Failed] {
            assert_eq!(observe(&known, &seen(phase, 5)), record(InstanceState::ShuttingDown), "{phase:?}");
        }
        let gone = Seen { gone: true, ..seen(DomainPhase::Absent, 5) };
        assert_eq!(observe(&known, &gone), Outcome::Release);
    }

    #[test]
    fn a_stop_ends_stopped() {
        let known = known(RunIntent::Stop, InstanceState::Stopping);
        assert_eq!(observe(&known, &seen(DomainPhase::Running, 5)), record(InstanceState::Stopping));
        assert_eq!(observe(&known, &seen(DomainPhase::Stopped, 5)), record(InstanceState::Stopped));
        assert_eq!(observe(&known, &seen(DomainPhase::Failed, 5)), record(InstanceState::Stopped));
    }
}
