//! One workflow, step after step, until it ends or is not ours any more.
//!
//! Fault points, for a test to arm: `saga.<workflow>.<step>.before`, `….after-effect` (fail: the step counts as failed
//! though its effect is there) and `….repeat` (fail: the action is done once more); the same under
//! `saga.<workflow>.<step>.undo.`, where a failure is one failed try.

use crate::def::{Erased, RawContext, Step, StepError};
use crate::engine::EngineConfig;
use crate::handle::{CHANGE_KIND, SagaOutcome};
use crate::machine::{Machine, Next};
use mallee_runtime::{Backoff, Faults, Shutdown};
use mallee_store::{SagaLogRow, SagaState, Store, StoreError, change_append, saga_progress};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The write of a log line that is there already: an earlier try had succeeded after all.
const LOG_CONSTRAINT: &str = "saga_log_saga_id_seq";

pub(crate) struct Runner {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) config: EngineConfig,
    pub(crate) def: Arc<Erased>,
    pub(crate) machine: Machine,
    /// Asks to stop between two steps.
    pub(crate) shutdown: Shutdown,
}

/// The workflow is not ours any more, or we were asked to stop.
pub(crate) struct LetGo;

impl Runner {
    /// Runs to the end; `Err` when it was let go of.
    pub(crate) async fn run(mut self) -> Result<SagaOutcome, LetGo> {
        if self.machine.finish_if_empty() {
            self.record(Vec::new()).await?;
        }
        loop {
            if self.shutdown.is_stopped() {
                return Err(LetGo);
            }
            let lines = match self.machine.next() {
                Next::Do(at) => self.do_step(at).await?,
                Next::Undo(at) => self.undo_step(at).await?,
                Next::Nothing => break,
            };
            self.record(lines).await?;
        }
        let last = self.def.steps.last().and_then(|step| self.machine.outputs.get(step.name).cloned());
        SagaOutcome::of_row(&self.machine.row, last).ok_or(LetGo)
    }

    fn backoff(&self) -> Backoff {
        let (first, most) = self.config.backoff;
        Backoff::new(first, most, self.store.rng().clone())
    }

    fn now_ms(&self) -> i64 {
        self.store.clock().now_ms()
    }

    fn context(&self) -> RawContext {
        RawContext {
            saga_id: self.machine.row.id.as_str().into(),
            params: self.machine.row.params.as_str().into(),
            outputs: Arc::clone(&self.machine.outputs),
        }
    }

    /// Waits for the next try, unless asked to stop.
    async fn pause(&self, backoff: &mut Backoff) -> Result<(), LetGo> {
        tokio::select! {
            () = self.shutdown.stopped() => Err(LetGo),
            () = backoff.wait() => Ok(()),
        }
    }

    async fn do_step(&mut self, at: usize) -> Result<Vec<SagaLogRow>, LetGo> {
        let def = Arc::clone(&self.def);
        let Some(step) = def.steps.get(at) else { return Err(LetGo) };
        let mut backoff = self.backoff();
        loop {
            let left_ms = self.machine.row.deadline_ms.saturating_sub(self.now_ms());
            let Some(left_ms) = u64::try_from(left_ms).ok().filter(|ms| *ms > 0) else {
                return Ok(self.machine.action_failed("the workflow's deadline has passed", self.now_ms()));
            };
            let work = tokio::time::timeout(Duration::from_millis(left_ms), self.action(step)).await;
            match work {
                Ok(Ok(output)) => return Ok(self.machine.action_done(output, self.now_ms())),
                Ok(Err(StepError::Failed(error))) => return Ok(self.machine.action_failed(&error, self.now_ms())),
                Ok(Err(StepError::Transient(error))) => {
                    tracing::debug!(saga = self.machine.row.id, step = step.name, %error, "step failed; trying again");
                    self.pause(&mut backoff).await?;
                }
                Err(_) => {
                    let error = "it had not ended when the workflow's deadline passed";
                    return Ok(self.machine.action_failed(error, self.now_ms()));
                }
            }
        }
    }

    async fn action(&self, step: &Step) -> Result<Value, StepError> {
        let point = format!("saga.{}.{}", self.def.name, step.name);
        self.faults.point(&format!("{point}.before")).await?;
        let mut output = (step.action)(self.context()).await?;
        if self.faults.point(&format!("{point}.repeat")).await.is_err() {
            output = (step.action)(self.context()).await?;
        }
        self.faults.point(&format!("{point}.after-effect")).await?;
        Ok(output)
    }

    async fn undo_step(&mut self, at: usize) -> Result<Vec<SagaLogRow>, LetGo> {
        let def = Arc::clone(&self.def);
        let Some(step) = def.steps.get(at) else { return Err(LetGo) };
        let mut backoff = self.backoff();
        let mut tries = 0;
        loop {
            let error = match tokio::time::timeout(self.config.undo_timeout, self.undo(step)).await {
                Ok(Ok(())) => return Ok(self.machine.undo_done(self.now_ms())),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("not ended within {} s", self.config.undo_timeout.as_secs()),
            };
            tries += 1;
            if tries >= self.config.undo_tries_max {
                let lines = self.machine.undo_failed(&error, self.now_ms());
                let (saga, name) = (&self.machine.row.id, &self.machine.row.name);
                tracing::error!(saga, name, step = step.name, %error, "workflow stuck: an undo keeps failing; mend the cause, then retry it");
                return Ok(lines);
            }
            self.pause(&mut backoff).await?;
        }
    }

    async fn undo(&self, step: &Step) -> Result<(), StepError> {
        let point = format!("saga.{}.{}.undo", self.def.name, step.name);
        self.faults.point(&format!("{point}.before")).await?;
        (step.undo)(self.context()).await?;
        if self.faults.point(&format!("{point}.repeat")).await.is_err() {
            (step.undo)(self.context()).await?;
        }
        self.faults.point(&format!("{point}.after-effect")).await?;
        Ok(())
    }

    /// Writes where the workflow is, as often as it takes; the effects are there, so nothing else may happen first.
    async fn record(&self, lines: Vec<SagaLogRow>) -> Result<(), LetGo> {
        let mut backoff = self.backoff();
        loop {
            match self.write(&lines).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Stale { .. }) => {
                    tracing::debug!(saga = self.machine.row.id, "the workflow was taken over");
                    return Err(LetGo);
                }
                Err(error) if error.is_conflict(LOG_CONSTRAINT) => return Ok(()),
                Err(error) => {
                    tracing::warn!(saga = self.machine.row.id, %error, "cannot record a workflow's step; trying again");
                    self.pause(&mut backoff).await?;
                }
            }
        }
    }

    async fn write(&self, lines: &[SagaLogRow]) -> Result<(), StoreError> {
        let row = &self.machine.row;
        let mut tx = self.store.write().await?;
        saga_progress(&mut tx, row, lines).await?;
        if !matches!(row.state, SagaState::Running | SagaState::Unwinding) {
            change_append(&mut tx, CHANGE_KIND, &row.id, None);
        }
        tx.commit().await
    }
}
