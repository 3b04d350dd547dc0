//! Tells targets what happened to objects: from the outbox, whose messages were made in the transactions of the changes.
//!
//! Each message is told at least once, those of a key in their order. A message that its target refuses, or does not
//! answer, is tried again later, with what follows of its key. A target that cannot be reached, leaves one unanswered or
//! refuses several in a row is left alone for a while; no other waits for it.

mod target;
mod tell;
mod wire;

pub use target::{Target, Targets};
pub use wire::SendError;

use crate::Error;
use crate::lead::Lead;
use mallee_objects::Engine;
use mallee_runtime::{Backoff, Rng, Shutdown};
use mallee_store::{Store, s3_outbox_expire, s3_outbox_targets, s3_outbox_trim, s3_outbox_waiting};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tell::{End, Silence};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

/// Messages that wait for one declared target at most: beyond, the oldest are dropped, of whoever has most of them.
pub const WAITING_MAX: u32 = 1_000_000;
/// How long a message is tried before it is dropped.
pub const AGE_MAX: Duration = Duration::from_secs(4 * 24 * 3600);
/// Time between two looks for messages.
const PERIOD: Duration = Duration::from_secs(1);
/// Time between two looks for what waits for too long, and between two warnings.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Targets (ARNs) that are looked for at a time; what is beyond has its turn at the next look.
const TARGETS_MAX: usize = 1000;
/// Longest wait for the answer to a message.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest time for which a target that does not answer is left alone.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is looked for, and where.
#[derive(Debug, Default)]
struct Look {
    /// When what waits for too long was looked for.
    tidied: Option<Instant>,
    /// The last ARN that was seen.
    after: String,
}

/// Tells targets. Clones share the lease.
#[derive(Debug, Clone)]
pub struct Notifier {
    engine: Engine,
    store: Store,
    targets: Targets,
    lead: Lead,
    answer: Duration,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How many messages each may have, so that all have at most `most` together and nobody loses to whoever has more.
fn share(waiting: &[u64], most: u64) -> u64 {
    let mut sorted = waiting.to_vec();
    sorted.sort_unstable();
    let (mut left, mut others) = (most, sorted.len() as u64);
    for have in sorted {
        if have.saturating_mul(others) > left {
            return left / others.max(1);
        }
        left -= have;
        others -= 1;
    }
    most
}

impl Notifier {
    /// Over an engine and the database of its metadata.
    #[must_use]
    pub fn new(engine: &Engine, store: &Store, targets: Targets) -> Self {
        let lead = Lead::new(store, "s3/notify", engine.rng());
        Self { engine: engine.clone(), store: store.clone(), targets, lead, answer: ANSWER_TIMEOUT }
    }

    /// With another longest wait for the answer to a message (10 s).
    #[must_use]
    pub const fn with_answer_timeout(mut self, answer: Duration) -> Self {
        self.answer = answer;
        self
    }

    /// Tells targets until it is stopped.
    pub async fn run(&self, shutdown: &Shutdown) {
        let mut at_work: JoinSet<Result<End, Error>> = JoinSet::new();
        // Both by the name of a declared target.
        let mut busy: HashMap<Id, String> = HashMap::new();
        let mut pauses: HashMap<String, (Instant, Backoff)> = HashMap::new();
        let mut look = Look::default();
        loop {
            tokio::select! {
                () = shutdown.stopped() => return,
                () = tokio::time::sleep(PERIOD) => {}
                Some(done) = at_work.join_next_with_id() => {
                    let silent = |_| Ok(End::Silent(Silence::default()));
                    let (id, end) = done.unwrap_or_else(|panicked| (panicked.id(), silent(panicked)));
                    if let Some(target) = busy.remove(&id) {
                        settle(&mut pauses, target, end, self.engine.rng());
                    }
                    continue;
                }
            }
            match self.waiting(&mut look).await {
                Ok(targets) => {
                    for (target, arns) in targets {
                        let paused = pauses.get(&target).is_some_and(|(until, _)| *until > Instant::now());
                        if !paused && !busy.values().any(|at_work| *at_work == target) {
                            let this = self.clone();
                            let id = at_work.spawn(async move { this.tell(&arns).await }).id();
                            busy.insert(id, target);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot look for notifications; they wait"),
            }
        }
    }

    /// Declared targets for which messages wait, with the ARNs they wait under, if it is this process that tells them.
    async fn waiting(&self, look: &mut Look) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let arns = s3_outbox_targets(&self.store, &look.after, TARGETS_MAX).await?;
        let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        if arns.is_empty() || !self.lead.held().await? {
            return Ok(targets);
        }
        if look.tidied.is_none_or(|at| at.elapsed() >= HOUSEKEEPING) {
            self.tidy(self.engine.clock().now_ms()).await?;
            look.tidied = Some(Instant::now());
        }
        look.after = arns.last().cloned().unwrap_or_default();
        for arn in arns {
            if let Some((name, _)) = self.targets.declared_as(&arn) {
                targets.entry(name.to_owned()).or_default().push(arn);
            }
        }
        Ok(targets)
    }

    /// Drops what waits for too long or is too much, and says what waits.
    ///
    /// # Errors
    /// A failing database.
    pub async fn tidy(&self, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.store.write().await?;
        let old = s3_outbox_expire(&mut tx, now_ms.saturating_sub(millis(AGE_MAX))).await?;
        tx.commit().await?;
        if old > 0 {
            tracing::error!(dropped = old, "notifications that nobody took for days were dropped");
        }
        let mut by_target: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
        for (arn, waiting) in s3_outbox_waiting(&self.store).await? {
            let name = match self.targets.declared_as(&arn) {
                Some((name, _)) => {
                    tracing::debug!(target_arn = arn, waiting, "notifications wait");
                    name.to_owned()
                }
                None => {
                    tracing::warn!(target_arn = arn, waiting, "notifications wait for a target that is not declared");
                    arn.clone()
                }
            };
            by_target.entry(name).or_default().push((arn, waiting));
        }
        for arns in by_target.into_values() {
            let waiting: Vec<u64> = arns.iter().map(|(_, waiting)| *waiting).collect();
            let keep = share(&waiting, u64::from(WAITING_MAX));
            for (arn, _) in arns.into_iter().filter(|(_, waiting)| *waiting > keep) {
                let mut tx = self.store.write().await?;
                let dropped = s3_outbox_trim(&mut tx, &arn, u32::try_from(keep).unwrap_or(WAITING_MAX)).await?;
                tx.commit().await?;
                tracing::error!(target_arn = arn, dropped, "too many notifications wait: the oldest were dropped");
            }
        }
        Ok(())
    }

    /// Tells every target what is due, once.
    ///
    /// # Errors
    /// A failing database.
    pub async fn round(&self) -> Result<(), Error> {
        let mut look = Look { tidied: Some(Instant::now()), ..Look::default() };
        for arns in self.waiting(&mut look).await?.into_values() {
            self.tell(&arns).await?;
        }
        Ok(())
    }
}

/// Notes how telling a target ended: whether it is left alone for a while.
fn settle(pauses: &mut HashMap<String, (Instant, Backoff)>, target: String, end: Result<End, Error>, rng: &Rng) {
    let silence = match end {
        Ok(End::Told) => {
            pauses.remove(&target);
            return;
        }
        Ok(End::Silent(silence)) => silence,
        Err(error) => {
            tracing::warn!(target, %error, "telling a target stopped; it is tried again");
            Silence::default()
        }
    };
    let fresh = || (Instant::now(), Backoff::new(PAUSES.0, PAUSES.1, rng.clone()));
    let (until, backoff) = pauses.entry(target).or_insert_with(fresh);
    if silence.took {
        backoff.reset();
    }
    *until = Instant::now() + backoff.next_delay().max(silence.wait);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_loses_to_whoever_has_more() {
        for (waiting, most, kept) in [
            (vec![], 10, 10),
            (vec![3, 4], 10, 10),
            (vec![5, 5], 10, 10),
            (vec![1, 100, 2], 10, 7),
            (vec![100, 100, 1], 10, 4),
            (vec![100], 10, 10),
        ] {
            let level = share(&waiting, most);
            assert_eq!(level, kept, "{waiting:?}");
            assert!(waiting.iter().map(|have| level.min(*have)).sum::<u64>() <= most, "{waiting:?}");
        }
    }

    #[test]
    fn a_target_that_took_something_is_soon_tried_again() {
        let (rng, mut pauses) = (Rng::system(), HashMap::new());
        let mut pause = |end| {
            settle(&mut pauses, "t".to_owned(), Ok(end), &rng);
            pauses.get("t").map(|(until, _)| until.saturating_duration_since(Instant::now()))
        };
        let silent = |took, wait| End::Silent(Silence { took, wait: Duration::from_secs(wait) });
        for _ in 0..4 {
            pause(silent(false, 0));
        }
        assert!(pause(silent(false, 0)) > Some(Duration::from_secs(7)));
        assert!(pause(silent(true, 0)) <= Some(Duration::from_secs(1)));
        assert!(pause(silent(false, 300)) > Some(Duration::from_secs(299)));
        assert_eq!(pause(End::Told), None);
    }
}
