//! How a simulated host behaves.

use mallee_runtime::Rng;
use std::time::Duration;

/// How long a driver call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// No time at all: the call does not even yield.
    Zero,
    /// Evenly drawn between the two.
    Between(Duration, Duration),
    /// Mostly the first; once in `one_in` calls the second (a host that stutters).
    Stutter {
        /// The usual time.
        usual: Duration,
        /// The bad one.
        bad: Duration,
        /// How rare the bad one is.
        one_in: u64,
    },
}

impl Latency {
    /// 1 to 5 ms: quick, but never instant.
    pub const FAST: Self = Self::Between(Duration::from_millis(1), Duration::from_millis(5));

    pub(crate) fn draw(self, rng: &Rng) -> Duration {
        match self {
            Self::Zero => Duration::ZERO,
            Self::Between(least, most) => least + most.saturating_sub(least).mul_f64(rng.unit()),
            Self::Stutter { usual, bad, one_in } => {
                if rng.below(one_in) == 0 && one_in > 0 {
                    bad
                } else {
                    usual
                }
            }
        }
    }
}

/// What a simulated host is made of.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Virtual CPUs that may be handed out.
    pub vcpus: u32,
    /// Memory that may be handed out, in MiB.
    pub memory_mib: u64,
    /// Disk that may be handed out, in bytes.
    pub disk_bytes: u64,
    /// Of hypervisor calls.
    pub hypervisor: Latency,
    /// Of network calls.
    pub network: Latency,
    /// Of fetching an image that is not cached.
    pub image_fetch: Latency,
    /// How guests behave unless told otherwise one by one.
    pub guest: Guest,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            vcpus: 64,
            memory_mib: 256 * 1024,
            disk_bytes: 4 << 40,
            hypervisor: Latency::FAST,
            network: Latency::FAST,
            image_fetch: Latency::FAST,
            guest: Guest::default(),
        }
    }
}

/// How a guest behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    /// It does not listen to the power button.
    pub ignores_shutdown: bool,
    /// How long it takes to power itself off when the button is pressed.
    pub shutdown_takes: Duration,
    /// It powers itself off this long after each boot.
    pub powers_off_after: Option<Duration>,
    /// It crashes this long after each boot.
    pub crashes_after: Option<Duration>,
    /// It never uses its network.
    pub silent: bool,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            ignores_shutdown: false,
            shutdown_takes: Duration::from_millis(2),
            powers_off_after: None,
            crashes_after: None,
            silent: false,
        }
    }
}

/// What is wrong with a method of a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimFault {
    /// It fails, and helps to try again.
    Fail,
    /// It fails, and will always.
    Refuse,
    /// The host has no room.
    Exhausted,
    /// It does its work, then reports a failure: the lost reply.
    FailAfter,
    /// It takes this long.
    Delay(Duration),
    /// It never answers.
    Hang,
}
