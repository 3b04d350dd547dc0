//! Orderly end: one signal that every task sees, and scopes that wait for their tasks.

use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The signal to stop. Clones and children see it; a child can be stopped alone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Not stopped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops when this stops, or alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Tells everyone to stop.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for the signal.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }
}

/// Tasks that belong together and end together. Dropping the scope aborts nothing; `stop` ends it in order.
#[derive(Debug, Clone)]
pub struct TaskScope {
    shutdown: Shutdown,
    tracker: TaskTracker,
    abort: CancellationToken,
}

impl TaskScope {
    /// A scope under `parent`.
    #[must_use]
    pub fn new(parent: &Shutdown) -> Self {
        Self { shutdown: parent.child(), tracker: TaskTracker::new(), abort: CancellationToken::new() }
    }

    /// The signal its tasks watch.
    #[must_use]
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs a task in the scope. It should watch the scope's signal; on `kill` it is dropped where it stands.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                // Who is killed does not take one more step.
                biased;
                () = abort.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Signals, waits for the tasks up to `grace`, then drops what is left. True if all ended by themselves.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.shutdown.stop();
        self.tracker.close();
        let clean = tokio::time::timeout(grace, self.tracker.wait()).await.is_ok();
        self.abort.cancel();
        self.tracker.wait().await;
        clean
    }

    /// Drops every task at its next await point, as a crash would.
    pub async fn kill(&self) {
        self.abort.cancel();
        self.shutdown.stop();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
