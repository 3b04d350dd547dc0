//! Telling one declared target: in order, and no longer than it takes something.

use super::wire::{SendError, Wire};
use super::{Notifier, millis};
use crate::Error;
use mallee_store::{S3OutboxRow, s3_outbox_delay, s3_outbox_done, s3_outbox_due};
use std::time::Duration;

/// Messages taken at once.
const BATCH: u32 = 50;
/// How often each ARN of a declared target has its turn, with a batch, before others are looked for.
const TURNS_MAX: u32 = 100;
/// Refusals in a row after which a target is left alone.
const REFUSALS_MAX: u32 = 3;
/// First and longest time for which a refused message waits.
const RETRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// How telling a target ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is left that is due, or it is time to look for others.
    Told,
    /// It is to be left alone.
    Silent(Silence),
}

/// That a target is to be left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Silence {
    /// For this long at least, as it said itself.
    pub(super) wait: Duration,
    /// It took something before.
    pub(super) took: bool,
}

/// A declared target that is being told.
#[derive(Debug)]
struct Turn {
    wire: Wire,
    /// Refusals since it took something.
    refused: u32,
    took: bool,
}

/// After so many refusals a message waits this long.
fn retry_after(tries: u32) -> Duration {
    RETRIES.0.saturating_mul(2u32.saturating_pow(tries.min(20))).min(RETRIES.1)
}

impl Notifier {
    /// Tells a declared target what is due, of each ARN in turn.
    pub(super) async fn tell(&self, arns: &[String]) -> Result<End, Error> {
        let Some(target) = arns.first().and_then(|arn| self.targets.find(arn)) else { return Ok(End::Told) };
        let wire = Wire::new(target, self.targets.may_be_private(), self.answer);
        let mut turn = Turn { wire, refused: 0, took: false };
        // Whose messages are refused must not always be first.
        let first = usize::try_from(self.engine.rng().below(arns.len() as u64)).unwrap_or_default();
        for _ in 0..TURNS_MAX {
            let mut any = false;
            for arn in arns.iter().cycle().skip(first).take(arns.len()) {
                self.lead.still().await?;
                let now_ms = self.engine.clock().now_ms();
                let batch = s3_outbox_due(&self.store, arn, now_ms, BATCH).await?;
                if batch.is_empty() {
                    continue;
                }
                any = true;
                let (told, silent) = self.tell_batch(&mut turn, arn, batch).await?;
                self.engine.faults().point("walrus.notify.forget").await?;
                let mut tx = self.store.write().await?;
                s3_outbox_done(&mut tx, &told).await?;
                tx.commit().await?;
                self.engine.faults().point("walrus.notify.forget.done").await?;
                if let Some(wait) = silent {
                    return Ok(End::Silent(Silence { wait, took: turn.took }));
                }
            }
            if !any {
                break;
            }
        }
        Ok(End::Told)
    }

    /// Tells messages in their order; which were told, and for how long at least the target is to be left alone.
    async fn tell_batch(
        &self,
        turn: &mut Turn,
        arn: &str,
        batch: Vec<S3OutboxRow>,
    ) -> Result<(Vec<i64>, Option<Duration>), Error> {
        let mut told = Vec::new();
        for row in batch {
            // What follows a message of its key that was not taken waits with it.
            if row.previous.is_some_and(|previous| !told.contains(&previous)) {
                continue;
            }
            let Some(text) = mallee_objects::message(&row.doc, row.id) else {
                tracing::error!(target_arn = arn, id = row.id, "a notification cannot be read and was dropped");
                told.push(row.id);
                continue;
            };
            self.engine.faults().point("walrus.notify.send").await?;
            match turn.wire.send(&text).await {
                Ok(()) => {
                    self.engine.faults().point("walrus.notify.sent").await?;
                    told.push(row.id);
                    (turn.refused, turn.took) = (0, true);
                }
                Err(SendError::Refused { why, busy }) => {
                    tracing::warn!(target_arn = arn, id = row.id, tries = row.tries, why, "a notification was refused");
                    self.put_off(&row).await?;
                    turn.refused += 1;
                    let enough = (turn.refused >= REFUSALS_MAX).then_some(Duration::ZERO);
                    if let Some(wait) = busy.or(enough) {
                        return Ok((told, Some(wait)));
                    }
                }
                Err(SendError::Unanswered(why)) => {
                    // Perhaps it is this message that it cannot answer: others have their turn before it.
                    tracing::warn!(target_arn = arn, id = row.id, why, "a notification was not answered; it waits");
                    self.put_off(&row).await?;
                    return Ok((told, Some(Duration::ZERO)));
                }
                Err(SendError::Unreachable(why)) => {
                    tracing::info!(target_arn = arn, why, "a target of notifications cannot be reached; they wait");
                    return Ok((told, Some(Duration::ZERO)));
                }
            }
        }
        Ok((told, None))
    }

    /// Puts off a message that was not taken: the longer the more often it was.
    async fn put_off(&self, row: &S3OutboxRow) -> Result<(), Error> {
        let due_ms = self.engine.clock().now_ms().saturating_add(millis(retry_after(row.tries)));
        let mut tx = self.store.write().await?;
        s3_outbox_delay(&mut tx, row.id, due_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}
