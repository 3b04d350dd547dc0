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
use crate::lines::{self, End, Lines, millis, retry_after};
use mallee_objects::Engine;
use mallee_runtime::Shutdown;
use mallee_store::{
    S3OutboxRow, Store, s3_outbox_delay, s3_outbox_done, s3_outbox_due, s3_outbox_expire, s3_outbox_targets,
    s3_outbox_trim, s3_outbox_waiting,
};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::Wire;

/// Messages that wait for one target at most: beyond, the oldest are dropped.
pub const WAITING_MAX: u32 = 1_000_000;
/// How long a message is tried before it is dropped.
pub const AGE_MAX: Duration = Duration::from_secs(4 * 24 * 3600);
/// Time between two looks for what waits for too long, and between two warnings.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Messages taken at once.
const BATCH: u32 = 50;
/// Targets that are told at a time.
const TARGETS_MAX: usize = 1000;

/// Tells targets. Clones share the lease.
#[derive(Debug, Clone)]
pub struct Notifier {
    engine: Engine,
    store: Store,
    targets: Targets,
    lead: Lead,
    /// When it was last looked for what waits for too long.
    tidied: Arc<Mutex<Option<Instant>>>,
}

impl Notifier {
    /// Over an engine and the database of its metadata.
    #[must_use]
    pub fn new(engine: &Engine, store: &Store, targets: Targets) -> Self {
        let lead = Lead::new(store, "s3/notify", engine.rng());
        Self { engine: engine.clone(), store: store.clone(), targets, lead, tidied: Arc::default() }
    }

    /// Tells targets until it is stopped.
    pub async fn run(&self, shutdown: &Shutdown) {
        lines::run(self, self.engine.rng(), shutdown).await;
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
        let Some(target) = self.targets.find(arn) else { return Ok(End::Done) };
        let mut wire = Wire::new(target, self.targets.may_be_private());
        loop {
            self.lead.still().await?;
            let now_ms = self.engine.clock().now_ms();
            let batch = s3_outbox_due(&self.store, arn, now_ms, BATCH).await?;
            if batch.is_empty() {
                return Ok(End::Done);
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
        Ok((told, End::Done))
    }

    /// Tells every target what is due, once.
    ///
    /// # Errors
    /// A failing database.
    pub async fn round(&self) -> Result<(), Error> {
        *self.tidied.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        for target in self.waiting().await? {
            self.tell(&target).await?;
        }
        Ok(())
    }
}

impl Lines for Notifier {
    const WHAT: &'static str = "notifications";

    async fn waiting(&self) -> Result<Vec<String>, Error> {
        let targets = s3_outbox_targets(&self.store, TARGETS_MAX).await?;
        if targets.is_empty() || !self.lead.held().await? {
            return Ok(Vec::new());
        }
        let is_due = |tidied: &Option<Instant>| tidied.is_none_or(|at| at.elapsed() >= HOUSEKEEPING);
        if is_due(&self.tidied.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.tidy(self.engine.clock().now_ms()).await?;
            *self.tidied.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        Ok(targets.into_iter().filter(|arn| self.targets.find(arn).is_some()).collect())
    }

    async fn serve(&self, target: &str) -> Result<End, Error> {
        self.tell(target).await
    }
}
