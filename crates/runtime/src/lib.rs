//! What every daemon needs to run: time and randomness as values, shutdown, backoff, background tasks, telemetry,
//! fault points, and the log of observations that can be resumed.

pub mod backoff;
pub mod clock;
pub mod faults;
pub mod journal;
mod pace;
pub mod rng;
mod share;
pub mod shutdown;
pub mod task;
pub mod telemetry;

pub use backoff::Backoff;
pub use clock::Clock;
pub use faults::{FaultAction, FaultError, Faults, Struck};
pub use journal::Journal;
pub use pace::Pace;
pub use rng::Rng;
pub use share::{Share, Sharer};
pub use shutdown::{Shutdown, TaskScope};
