//! What the cloud wants of an instance, what a node sees of it, and what the user is told: the last is a
//! pure function of the first two (DESIGN §2.4), written once, here.

use serde::{Deserialize, Serialize};

/// What the user wants of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunIntent {
    /// The domain runs.
    Run,
    /// The domain is off, its disk kept on its node.
    Stop,
    /// Domain, disk, port and addresses go away.
    Terminate,
}

/// What the node last said about the domain of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainPhase {
    /// Nothing reported yet, or nothing of it exists on the node.
    Absent,
    /// The node fetches the image, makes the disk, sets up the port.
    Preparing,
    /// The domain runs.
    Running,
    /// A shutdown was asked of the guest.
    Stopping,
    /// The domain is off by order, or the guest powered itself off; the disk is there.
    Stopped,
    /// The node gave up; the reason says why.
    Failed,
}

/// What the user sees (EC2 `InstanceState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Being launched or started.
    Pending,
    /// The domain runs and its network port is applied.
    Running,
    /// Being terminated.
    ShuttingDown,
    /// Gone; shown for an hour.
    Terminated,
    /// Being stopped.
    Stopping,
    /// Off.
    Stopped,
}

impl InstanceState {
    /// The numeric code in the low byte of `instanceState/code` (AWS API reference, InstanceState).
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// EC2's name of the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// Every state, for tables and filters.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::ShuttingDown, Self::Terminated, Self::Stopping, Self::Stopped];

    /// The state with this EC2 name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Why an instance is in its state (EC2 `StateReason`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReason {
    /// AWS's code, for example `Server.InsufficientInstanceCapacity`.
    pub code: String,
    /// A sentence that names the cause and the host.
    pub message: String,
}

impl StateReason {
    /// A reason from its parts.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// `StopInstances` was called.
    #[must_use]
    pub fn user_stop() -> Self {
        Self::new("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
    }

    /// The guest powered itself off.
    #[must_use]
    pub fn guest_shutdown() -> Self {
        Self::new("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")
    }

    /// `TerminateInstances` was called.
    #[must_use]
    pub fn user_terminate() -> Self {
        Self::user_stop()
    }
}

/// The observation the visible state depends on, already filtered to the instance's current incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The domain's phase.
    pub phase: DomainPhase,
    /// Whether the instance's ports are applied on its node.
    pub network_applied: bool,
}

impl Observed {
    /// Before anything was heard.
    pub const NOTHING: Self = Self { phase: DomainPhase::Absent, network_applied: false };
}

/// What the user is told, given intent and observation. `released` says that the cloud has taken back every
/// address and interface of a terminated instance (the last step, DESIGN §2.1).
#[must_use]
pub const fn visible_state(intent: RunIntent, observed: Observed, released: bool) -> InstanceState {
    match (intent, observed.phase) {
        (RunIntent::Run, DomainPhase::Running) if observed.network_applied => InstanceState::Running,
        (RunIntent::Run, _) => InstanceState::Pending,
        (RunIntent::Stop, DomainPhase::Stopped | DomainPhase::Absent | DomainPhase::Failed) => InstanceState::Stopped,
        (RunIntent::Stop, DomainPhase::Preparing | DomainPhase::Running | DomainPhase::Stopping) => {
            InstanceState::Stopping
        }
        (RunIntent::Terminate, _) if released => InstanceState::Terminated,
        (RunIntent::Terminate, _) => InstanceState::ShuttingDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_state_is_this_table() {
        use DomainPhase as P;
        use InstanceState as S;
        use RunIntent as I;
        let phases = [P::Absent, P::Preparing, P::Running, P::Stopping, P::Stopped, P::Failed];
        let rows: [(I, bool, [S; 6]); 6] = [
            (I::Run, false, [S::Pending; 6]),
            (I::Run, true, [S::Pending, S::Pending, S::Running, S::Pending, S::Pending, S::Pending]),
            (I::Stop, false, [S::Stopped, S::Stopping, S::Stopping, S::Stopping, S::Stopped, S::Stopped]),
            (I::Stop, true, [S::Stopped, S::Stopping, S::Stopping, S::Stopping, S::Stopped, S::Stopped]),
            (I::Terminate, false, [S::ShuttingDown; 6]),
            (I::Terminate, true, [S::ShuttingDown; 6]),
        ];
        for (intent, network_applied, want) in rows {
            for (phase, want) in phases.into_iter().zip(want) {
                let got = visible_state(intent, Observed { phase, network_applied }, false);
                assert_eq!(got, want, "{intent:?} {phase:?} network_applied={network_applied}");
            }
        }
        for phase in phases {
            let observed = Observed { phase, network_applied: true };
            assert_eq!(visible_state(I::Terminate, observed, true), S::Terminated);
        }
    }

    #[test]
    fn names_and_codes_are_ec2s() {
        let table: Vec<_> = InstanceState::ALL.iter().map(|s| (s.name(), s.code())).collect();
        assert_eq!(
            table,
            [
                ("pending", 0),
                ("running", 16),
                ("shutting-down", 32),
                ("terminated", 48),
                ("stopping", 64),
                ("stopped", 80)
            ]
        );
        assert_eq!(InstanceState::from_name("stopped"), Some(InstanceState::Stopped));
        assert_eq!(InstanceState::from_name("Stopped"), None);
    }
}
