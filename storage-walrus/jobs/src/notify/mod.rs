//! Tells targets what happened to objects: from the outbox, whose messages were made in the transactions of the changes.
//!
//! Each message is told at least once, those of a key in their order. A target that does not answer is left alone for a
//! while, and no other waits for it; a message that it refuses is tried again later, with what follows of its key.

mod target;
mod wire;

pub use target::{Target, Targets};
pub use wire::SendError;

use crate::Error;
use crate::lead::Lead;
use mallee_objects::Engine;
use mallee_runtime::{Backoff, Rng, Shutdown};
use mallee_store::{
    S3OutboxRow, Store, s3_outbox_delay, s3_outbox_done, s3_outbox_due, s3_outbox_expire, s3_outbox_targets,
    s3_outbox_trim, s3_outbox_waiting,
};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use wire::Wire;

/// Messages that wait for one target at most: beyond, the oldest are dropped.
pub const WAITING_MAX: u32 = 1_000_000;
/// How long a message is tried before it is dropped.
pub const AGE_MAX: Duration = Duration::from_secs(4 * 24 * 3600);
/// Time between two looks for messages.
const PERIOD: Duration = Duration::from_secs(1);
/// Time between two looks for what waits for too long, and between two warnings.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Messages taken at once.
const BATCH: u32 = 50;
/// Targets that are told at a time.
const TARGETS_MAX: usize = 1000;
/// First and longest time for which a target that does not answer is left alone.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// First and longest time for which a refused message waits.
const RETRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// How telling a target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing is left that is due.
    Told,
    /// It did not answer.
    Silent,
}

/// Tells targets. Clones share the lease.
#[derive(Debug, Clone)]
pub struct Notifier {
    engine: Engine,
    store: Store,
    targets: Targets,
    lead: Lead,
}

/// After so many refusals a message waits this long.
fn retry_after(tries: u32) -> Duration {
    RETRIES.0.saturating_mul(2u32.saturating_pow(tries.min(20))).min(RETRIES.1)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Notifier {
    /// Over an engine and the database of its metadata.
    #[must_use]
    pub fn new(engine: &Engine, store: &Store, targets: Targets) -> Self {
        let lead = Lead::new(store, "s3/notify", engine.rng());
        Self { engine: engine.clone(), store: store.clone(), targets, lead }
    }

    /// Tells targets until it is stopped.
    pub async fn run(&self, shutdown: &Shutdown) {
        let mut at_work: JoinSet<Result<End, Error>> = JoinSet::new();
        let mut busy: HashMap<Id, String> = HashMap::new();
        let mut pauses: HashMap<String, (Instant, Backoff)> = HashMap::new();
        let mut tidied = None;
        loop {
            tokio::select! {
                () = shutdown.stopped() => return,
                () = tokio::time::sleep(PERIOD) => {}
                Some(done) = at_work.join_next_with_id() => {
                    let (id, end) = done.unwrap_or_else(|panicked| (panicked.id(), Ok(End::Silent)));
                    if let Some(target) = busy.remove(&id) {
                        settle(&mut pauses, target, end, self.engine.rng());
                    }
                    continue;
                }
            }
            match self.waiting(&mut tidied).await {
                Ok(targets) => {
                    for target in targets {
                        let paused = pauses.get(&target).is_some_and(|(until, _)| *until > Instant::now());
                        if !paused && !busy.values().any(|at_work| *at_work == target) {
                            let (this, arn) = (self.clone(), target.clone());
                            let id = at_work.spawn(async move { this.tell(&arn).await }).id();
                            busy.insert(id, target);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot look for notifications; they wait"),
            }
        }
    }

    /// Targets for which messages wait, if it is this process that tells them.
    async fn waiting(&self, tidied: &mut Option<Instant>) -> Result<Vec<String>, Error> {
        let targets = s3_outbox_targets(&self.store, TARGETS_MAX).await?;
        if targets.is_empty() || !self.lead.held().await? {
            return Ok(Vec::new());
        }
        if tidied.is_none_or(|at| at.elapsed() >= HOUSEKEEPING) {
            self.tidy(self.engine.clock().now_ms()).await?;
            *tidied = Some(Instant::now());
        }
        Ok(targets.into_iter().filter(|arn| self.targets.find(arn).is_some()).collect())
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
        for (target, waiting) in s3_outbox_waiting(&self.store).await? {
            if self.targets.find(&target).is_none() {
                tracing::warn!(target_arn = target, waiting, "notifications wait for a target that is not declared");
            } else {
                tracing::debug!(target_arn = target, waiting, "notifications wait");
            }
            if waiting > u64::from(WAITING_MAX) {
                let mut tx = self.store.write().await?;
                let dropped = s3_outbox_trim(&mut tx, &target, WAITING_MAX).await?;
                tx.commit().await?;
                tracing::error!(target_arn = target, dropped, "too many notifications wait: the oldest were dropped");
            }
        }
        Ok(())
    }

    /// Tells a target all that is due.
    async fn tell(&self, arn: &str) -> Result<End, Error> {
        let Some(target) = self.targets.find(arn) else { return Ok(End::Told) };
        let mut wire = Wire::new(target, self.targets.may_be_private());
        loop {
            self.lead.still().await?;
            let now_ms = self.engine.clock().now_ms();
            let batch = s3_outbox_due(&self.store, arn, now_ms, BATCH).await?;
            if batch.is_empty() {
                return Ok(End::Told);
            }
            let (told, end) = self.tell_batch(&mut wire, arn, batch).await?;
            self.engine.faults().point("walrus.notify.forget").await?;
            let mut tx = self.store.write().await?;
            s3_outbox_done(&mut tx, &told).await?;
            tx.commit().await?;
            self.engine.faults().point("walrus.notify.forget.done").await?;
            if end == End::Silent {
                return Ok(end);
            }
        }
    }

    /// Tells messages in their order; which were told, and whether the target fell silent.
    async fn tell_batch(&self, wire: &mut Wire, arn: &str, batch: Vec<S3OutboxRow>) -> Result<(Vec<i64>, End), Error> {
        let mut told = Vec::new();
        // What follows a refused message of its key waits with it.
        let mut held = HashSet::new();
        for row in batch {
            if held.contains(&(row.bucket_id, row.key.clone())) {
                continue;
            }
            let Some(text) = mallee_objects::message(&row.doc, row.id) else {
                tracing::error!(target_arn = arn, id = row.id, "a notification cannot be read and was dropped");
                told.push(row.id);
                continue;
            };
            self.engine.faults().point("walrus.notify.send").await?;
            match wire.send(text).await {
                Ok(()) => {
                    self.engine.faults().point("walrus.notify.sent").await?;
                    told.push(row.id);
                }
                Err(SendError::Refused(why)) => {
                    tracing::warn!(target_arn = arn, id = row.id, tries = row.tries, why, "a notification was refused");
                    let due_ms = self.engine.clock().now_ms().saturating_add(millis(retry_after(row.tries)));
                    let mut tx = self.store.write().await?;
                    s3_outbox_delay(&mut tx, row.id, due_ms).await?;
                    tx.commit().await?;
                    held.insert((row.bucket_id, row.key));
                }
                Err(SendError::Unreachable(why)) => {
                    tracing::info!(target_arn = arn, why, "a target of notifications does not answer; they wait");
                    return Ok((told, End::Silent));
                }
            }
        }
        Ok((told, End::Told))
    }

    /// Tells every target what is due, once.
    ///
    /// # Errors
    /// A failing database.
    pub async fn round(&self) -> Result<(), Error> {
        for target in self.waiting(&mut Some(Instant::now())).await? {
            self.tell(&target).await?;
        }
        Ok(())
    }
}

/// Notes how telling a target ended: whether it is left alone for a while.
fn settle(pauses: &mut HashMap<String, (Instant, Backoff)>, target: String, end: Result<End, Error>, rng: &Rng) {
    match end {
        Ok(End::Told) => {
            pauses.remove(&target);
        }
        Ok(End::Silent) | Err(_) => {
            if let Err(error) = end {
                tracing::warn!(target_arn = target, %error, "telling a target stopped; it is tried again");
            }
            let fresh = || (Instant::now(), Backoff::new(PAUSES.0, PAUSES.1, rng.clone()));
            let (until, backoff) = pauses.entry(target).or_insert_with(fresh);
            *until = Instant::now() + backoff.next_delay();
        }
    }
}
