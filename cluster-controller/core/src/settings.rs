//! What can be set, and the bounds that cannot.

use mallee_scheduler::Strategy;
use mallee_types::ZoneName;
use std::time::Duration;

/// Settings of one cluster controller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The availability zone it runs.
    pub zone: ZoneName,
    /// How nodes are chosen.
    pub strategy: Strategy,
    /// How often nodes are to say that they live.
    pub heartbeat: Duration,
    /// A node that was silent this long is offline.
    pub offline_after: Duration,
    /// How long a node keeps what no intent names before it sweeps it.
    pub sweep_grace: Duration,
    /// After a restart: how long nodes that hold instances have to connect and tell what they hold. After that they
    /// are taken as offline, and placing begins.
    pub warm_up: Duration,
}

impl Settings {
    /// The defaults for a zone.
    #[must_use]
    pub const fn for_zone(zone: ZoneName) -> Self {
        Self {
            zone,
            strategy: Strategy::Spread,
            heartbeat: Duration::from_secs(2),
            offline_after: Duration::from_secs(10),
            sweep_grace: Duration::from_secs(60),
            warm_up: Duration::from_secs(15),
        }
    }
}

/// Bounds on what is kept, queued and waited for.
pub mod limits {
    use std::time::Duration;

    /// Nodes of one zone.
    pub const NODES_MAX: usize = 20_000;
    /// Launches whose placement is kept at one time.
    pub const RESERVATIONS_MAX: usize = 100_000;
    /// Longest life of a reservation.
    pub const RESERVATION_TTL_MAX: Duration = Duration::from_secs(600);
    /// Observations in one message to the cloud.
    pub const OBSERVATIONS_PER_MESSAGE_MAX: usize = 500;
    /// Messages taken from the state for one session at a time.
    pub const PULL_MAX: usize = 64;
    /// Messages on their way to one session's transport.
    pub const SESSION_QUEUE_MAX: usize = 64;
    /// Questions (console, inventory) waiting to be sent to one node.
    pub const NODE_REQUESTS_MAX: usize = 64;
    /// Questions that wait for an answer, of all nodes together.
    pub const REQUESTS_MAX: usize = 40_000;
    /// How long a node has to answer a question.
    pub const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
    /// How long a placement waits for the intent it builds on.
    pub const HEAR_DEADLINE: Duration = Duration::from_secs(3);
    /// How often it looks.
    pub const HEAR_LOOK: Duration = Duration::from_millis(10);
    /// How long a new session has to say hello.
    pub const HELLO_DEADLINE: Duration = Duration::from_secs(10);
    /// Changes elsewhere in a VPC are told to its other nodes together, this long after the first.
    pub const LEARN_AFTER: Duration = Duration::from_millis(25);
    /// Longest that this takes when there is much to tell.
    pub const LEARN_AFTER_MAX: Duration = Duration::from_secs(2);
    /// A node whose view was not what was meant, and was not when it was told whole, either, gets it again after this long.
    pub const WHOLE_AGAIN: Duration = Duration::from_secs(1);
    /// Longest that this becomes: it doubles each time.
    pub const WHOLE_AGAIN_MAX: Duration = Duration::from_secs(60);
    /// What telling one node is taken to cost, however large its VPCs are; a round of telling is followed by a pause of
    /// four times its cost, so that learning never takes more than a fifth of a processor.
    pub const LEARN_COST_PER_NODE: Duration = Duration::from_micros(300);
    /// Reasons and warnings of a node that are kept.
    pub const WARNINGS_MAX: usize = 32;
    /// Ports whose error a node may report.
    pub const PORT_ERRORS_MAX: usize = 1024;
    /// Images a node may say that it holds.
    pub const CACHED_IMAGES_MAX: usize = 4096;
}
