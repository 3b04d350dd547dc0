//! Work that waits in lines, one for each target: they are served side by side, and one that does not move is left alone
//! for a while.

use crate::Error;
use mallee_runtime::{Backoff, Rng, Shutdown};
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

/// Time between two looks for work.
const PERIOD: Duration = Duration::from_secs(1);
/// First and longest time for which a target that does not answer is left alone.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// First and longest time for which work waits that could not be done.
const RETRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// After so many tries work waits this long.
pub(crate) fn retry_after(tries: u32) -> Duration {
    RETRIES.0.saturating_mul(2u32.saturating_pow(tries.min(20))).min(RETRIES.1)
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How serving a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is left that is due.
    Done,
    /// The target did not answer.
    Silent,
}

/// Lines of work.
pub(crate) trait Lines: Clone + Send + Sync + 'static {
    /// What it is, for the log.
    const WHAT: &'static str;

    /// Targets that something waits for, if it is this process that serves them.
    fn waiting(&self) -> impl Future<Output = Result<Vec<String>, Error>> + Send;
    /// Does all that is due for a target.
    fn serve(&self, target: &str) -> impl Future<Output = Result<End, Error>> + Send;
}

/// Serves lines until it is stopped.
pub(crate) async fn run<L: Lines>(lines: &L, rng: &Rng, shutdown: &Shutdown) {
    let mut at_work: JoinSet<Result<End, Error>> = JoinSet::new();
    let mut busy: HashMap<Id, String> = HashMap::new();
    let mut pauses: HashMap<String, (Instant, Backoff)> = HashMap::new();
    loop {
        tokio::select! {
            () = shutdown.stopped() => return,
            () = tokio::time::sleep(PERIOD) => {}
            Some(done) = at_work.join_next_with_id() => {
                let (id, end) = done.unwrap_or_else(|panicked| (panicked.id(), Ok(End::Silent)));
                if let Some(target) = busy.remove(&id) {
                    settle(L::WHAT, &mut pauses, target, end, rng);
                }
                continue;
            }
        }
        match lines.waiting().await {
            Ok(targets) => {
                for target in targets {
                    let paused = pauses.get(&target).is_some_and(|(until, _)| *until > Instant::now());
                    if !paused && !busy.values().any(|at_work| *at_work == target) {
                        let (lines, to) = (lines.clone(), target.clone());
                        let id = at_work.spawn(async move { lines.serve(&to).await }).id();
                        busy.insert(id, target);
                    }
                }
            }
            Err(error) => tracing::warn!(work = L::WHAT, %error, "cannot look for work; it waits"),
        }
    }
}

/// Notes how serving a target ended: whether it is left alone for a while.
fn settle(
    work: &'static str,
    pauses: &mut HashMap<String, (Instant, Backoff)>,
    target: String,
    end: Result<End, Error>,
    rng: &Rng,
) {
    match end {
        Ok(End::Done) => {
            pauses.remove(&target);
        }
        Ok(End::Silent) | Err(_) => {
            if let Err(error) = end {
                tracing::warn!(work, target_arn = target, %error, "work for a target stopped; it is tried again");
            }
            let fresh = || (Instant::now(), Backoff::new(PAUSES.0, PAUSES.1, rng.clone()));
            let (until, backoff) = pauses.entry(target).or_insert_with(fresh);
            *until = Instant::now() + backoff.next_delay();
        }
    }
}
