//! Background tasks: idempotent, without input, woken by a nudge or by a period; nothing depends on the nudge
//! arriving (model: omicron's background tasks). A task does not retry inside; it runs again.

use crate::{Backoff, Rng, TaskScope};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Wakes one task; clones wake the same. Nudges that come while the task runs make it run once more.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Wakes the task.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for a wake-up.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}

/// Runs `activate` on every nudge and at least every `period`, until the scope stops. After an error it runs
/// again after a backoff of 50 ms to `period`.
pub fn spawn_periodic<F, Fut, E>(
    scope: &TaskScope,
    name: &'static str,
    period: Duration,
    nudge: Nudge,
    rng: Rng,
    mut activate: F,
) where
    F: FnMut() -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: std::fmt::Display + Send,
{
    let shutdown = scope.shutdown().clone();
    scope.spawn(async move {
        let mut backoff = Backoff::new(Duration::from_millis(50), period.max(Duration::from_millis(50)), rng);
        while !shutdown.is_stopped() {
            let wait = match activate().await {
                Ok(()) => {
                    backoff.reset();
                    period
                }
                Err(error) => {
                    tracing::warn!(task = name, %error, "background task failed; it will run again");
                    backoff.next_delay()
                }
            };
            tokio::select! {
                () = shutdown.stopped() => {}
                () = nudge.woken() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    });
}
