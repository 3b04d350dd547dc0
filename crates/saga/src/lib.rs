//! Workflows that end: every step is done, or every step is undone (DESIGN §2.7).
//!
//! A workflow is a list of steps, each with an action and an undo. Both must be idempotent: after a crash the engine
//! does the step again whose end was not recorded. An undo must also bear that its action did nothing, because the
//! undo of the step that failed runs too: its effect may be there although its reply is not.
//!
//! The engine keeps a log in the store, appended to after each step. Whoever runs a workflow names its lease and term
//! in each write; one that was taken over writes nothing more. Workflows whose owner's lease has ended are taken over
//! by any replica. An undo that keeps failing leaves the workflow `stuck`, which is reported and can be retried.
//!
//! ```text
//!            each step done                    last step done
//!   start ──► running ─────────────────────────────────────► done
//!                │ a step failed, or the deadline passed
//!                ▼              first step undone
//!            unwinding ────────────────────────────────────► failed
//!              │    ▲ an operator's retry
//!              ▼    │
//!             stuck   an undo failed too often
//! ```

mod def;
mod engine;
mod handle;
mod machine;
mod runner;
mod term;
#[cfg(feature = "test-support")]
pub mod test_support;

pub use def::{Registry, SagaDef, SagaType, StepContext, StepError};
pub use engine::{Engine, EngineConfig, Prepared};
pub use handle::{SagaHandle, SagaOutcome};

/// Why the engine could not take an order.
#[derive(Debug, thiserror::Error)]
pub enum SagaError {
    /// No workflow of this name and version is registered.
    #[error("no workflow {name} version {version} is known to this build")]
    Unknown {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
    },
    /// The parameters do not serialise.
    #[error("the parameters of the workflow are not JSON")]
    Params(#[source] serde_json::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] mallee_store::StoreError),
    /// The engine was stopped before the workflow ended; it goes on at the next start.
    #[error("the engine was stopped")]
    Stopped,
}
