//! Waiting for a workflow's end, without polling: by the runner's word if it runs here, else by the change log.

use crate::SagaError;
use mallee_store::{SagaDirection, SagaEvent};
use mallee_store::{SagaRow, SagaState, Store, saga_fetch, saga_log};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// The kind under which the end of a workflow is noted in the change log.
pub(crate) const CHANGE_KIND: &str = "saga";

/// How a workflow ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SagaOutcome {
    /// Every step is done; the output of the last.
    Done(serde_json::Value),
    /// Everything is undone; the text names the step and the cause.
    Failed(String),
    /// An undo keeps failing; an operator must look.
    Stuck(String),
}

impl SagaOutcome {
    /// The last step's output, or the text of the failure.
    ///
    /// # Errors
    /// The failure's text.
    pub fn into_result<T: DeserializeOwned>(self) -> Result<T, String> {
        match self {
            Self::Done(value) => serde_json::from_value(value).map_err(|e| format!("the workflow's output: {e}")),
            Self::Failed(error) | Self::Stuck(error) => Err(error),
        }
    }

    pub(crate) fn of_row(row: &SagaRow, last_output: Option<serde_json::Value>) -> Option<Self> {
        let error = || row.error.clone().unwrap_or_default();
        match row.state {
            SagaState::Running | SagaState::Unwinding => None,
            SagaState::Done => Some(Self::Done(last_output.unwrap_or_default())),
            SagaState::Failed => Some(Self::Failed(error())),
            SagaState::Stuck => Some(Self::Stuck(error())),
        }
    }
}

/// A workflow that was started. Dropping it changes nothing.
#[derive(Debug)]
pub struct SagaHandle {
    pub(crate) id: String,
    pub(crate) store: Store,
    pub(crate) local: Option<watch::Receiver<Option<SagaOutcome>>>,
}

impl SagaHandle {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Waits until it is done, failed or stuck.
    ///
    /// # Errors
    /// [`SagaError::Store`] when the store fails.
    pub async fn wait(mut self) -> Result<SagaOutcome, SagaError> {
        if let Some(local) = &mut self.local {
            // An error says that its runner is gone: another replica will end it.
            if let Ok(outcome) = local.wait_for(Option::is_some).await
                && let Some(outcome) = outcome.clone()
            {
                return Ok(outcome);
            }
        }
        let mut changes = self.store.watch_changes();
        loop {
            changes.mark_unchanged();
            let row = saga_fetch(&self.store, &self.id).await?;
            let output = if row.state == SagaState::Done { last_output(&self.store, &self.id).await? } else { None };
            if let Some(outcome) = SagaOutcome::of_row(&row, output) {
                return Ok(outcome);
            }
            changes.changed().await.map_err(|_| SagaError::Stopped)?;
        }
    }
}

async fn last_output(store: &Store, id: &str) -> Result<Option<serde_json::Value>, SagaError> {
    let log = saga_log(store, id).await?;
    let last = log.iter().rev().find(|l| l.direction == SagaDirection::Do && l.event == SagaEvent::Done);
    Ok(last.and_then(|line| serde_json::from_str(line.output.as_deref()?).ok()))
}
