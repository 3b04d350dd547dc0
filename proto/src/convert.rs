//! Conversions between generated enums and the types of `mallee-types`.

use crate::v1;
use mallee_types::{DomainPhase, RunIntent, StateReason};

impl From<RunIntent> for v1::RunIntent {
    fn from(intent: RunIntent) -> Self {
        match intent {
            RunIntent::Run => Self::Run,
            RunIntent::Stop => Self::Stop,
            RunIntent::Terminate => Self::Terminate,
        }
    }
}

impl v1::InstanceIntent {
    /// Which version of its role's credentials it holds; 0: none.
    #[must_use]
    pub fn credentials_version(&self) -> u64 {
        self.credentials.as_ref().map_or(0, |credentials| credentials.version)
    }

    /// Whether this one counts, and not `held`: it is of a higher generation, or of the same with later credentials.
    #[must_use]
    pub fn is_newer_than(&self, held: &Self) -> bool {
        (self.generation, self.credentials_version()) > (held.generation, held.credentials_version())
    }

    /// The intent, or `None` when a newer peer sent one we do not know.
    #[must_use]
    pub fn run_intent(&self) -> Option<RunIntent> {
        match self.intent() {
            v1::RunIntent::Unspecified => None,
            v1::RunIntent::Run => Some(RunIntent::Run),
            v1::RunIntent::Stop => Some(RunIntent::Stop),
            v1::RunIntent::Terminate => Some(RunIntent::Terminate),
        }
    }
}

impl From<DomainPhase> for v1::DomainPhase {
    fn from(phase: DomainPhase) -> Self {
        match phase {
            DomainPhase::Absent => Self::Absent,
            DomainPhase::Preparing => Self::Preparing,
            DomainPhase::Running => Self::Running,
            DomainPhase::Stopping => Self::Stopping,
            DomainPhase::Stopped => Self::Stopped,
            DomainPhase::Failed => Self::Failed,
        }
    }
}

impl v1::InstanceObservation {
    /// The phase; one we do not know reads as `Absent` (nothing is claimed).
    #[must_use]
    pub fn domain_phase(&self) -> DomainPhase {
        match self.phase() {
            v1::DomainPhase::Unspecified | v1::DomainPhase::Absent => DomainPhase::Absent,
            v1::DomainPhase::Preparing => DomainPhase::Preparing,
            v1::DomainPhase::Running => DomainPhase::Running,
            v1::DomainPhase::Stopping => DomainPhase::Stopping,
            v1::DomainPhase::Stopped => DomainPhase::Stopped,
            v1::DomainPhase::Failed => DomainPhase::Failed,
        }
    }
}

impl From<StateReason> for v1::StateReason {
    fn from(reason: StateReason) -> Self {
        Self { code: reason.code, message: reason.message }
    }
}

impl From<v1::StateReason> for StateReason {
    fn from(reason: v1::StateReason) -> Self {
        Self { code: reason.code, message: reason.message }
    }
}
