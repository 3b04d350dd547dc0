//! Where a workflow is and what comes next: a pure function of its row and log.

use crate::def::Outputs;
use mallee_store::{SagaDirection, SagaEvent, SagaLogRow, SagaRow, SagaState};
use std::sync::Arc;

/// Longest error text kept.
const ERROR_CHARS_MAX: usize = 2000;

/// What the runner is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The action of this step.
    Do(usize),
    /// The undo of this step.
    Undo(usize),
    /// Nothing: the workflow is done, failed, or stuck.
    Nothing,
}

/// A workflow in the hands of its runner. Each change returns the log lines to write with the row, before acting on.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) row: SagaRow,
    pub(crate) outputs: Arc<Outputs>,
    steps: Vec<&'static str>,
    next_seq: u32,
}

fn index(step: u32) -> usize {
    usize::try_from(step).unwrap_or(usize::MAX)
}

fn cut(text: &str) -> String {
    text.chars().take(ERROR_CHARS_MAX).collect()
}

impl Machine {
    /// From what the store keeps.
    pub(crate) fn resume(row: SagaRow, log: &[SagaLogRow], steps: Vec<&'static str>) -> Self {
        let mut outputs = Outputs::new();
        for line in log {
            let done = line.direction == SagaDirection::Do && line.event == SagaEvent::Done;
            if let (true, Some(name)) = (done, steps.get(index(line.step))) {
                let value = line.output.as_deref().and_then(|text| serde_json::from_str(text).ok());
                outputs.insert((*name).to_owned(), value.unwrap_or_default());
            }
        }
        let next_seq = log.last().map_or(0, |line| line.seq + 1);
        Self { row, outputs: Arc::new(outputs), steps, next_seq }
    }

    pub(crate) fn next(&self) -> Next {
        let at = index(self.row.step);
        match self.row.state {
            SagaState::Running if at < self.steps.len() => Next::Do(at),
            SagaState::Unwinding if at < self.steps.len() => Next::Undo(at),
            // A running workflow past its last step is written as done in the same transaction, unless it has no step.
            SagaState::Running | SagaState::Unwinding | SagaState::Done | SagaState::Failed | SagaState::Stuck => {
                Next::Nothing
            }
        }
    }

    pub(crate) fn step_name(&self) -> &'static str {
        self.steps.get(index(self.row.step)).copied().unwrap_or_default()
    }

    fn line(&mut self, direction: SagaDirection, event: SagaEvent, output: Option<String>, at_ms: i64) -> SagaLogRow {
        let seq = self.next_seq;
        self.next_seq += 1;
        SagaLogRow { saga_id: self.row.id.clone(), seq, step: self.row.step, direction, event, output, at_ms }
    }

    /// A workflow without steps is done at once.
    pub(crate) fn finish_if_empty(&mut self) -> bool {
        let empty = self.steps.is_empty() && self.row.state == SagaState::Running;
        if empty {
            self.row.state = SagaState::Done;
        }
        empty
    }

    /// The first step is about to begin.
    pub(crate) fn first_line(&mut self, at_ms: i64) -> SagaLogRow {
        self.line(SagaDirection::Do, SagaEvent::Started, None, at_ms)
    }

    /// The action of the current step is done.
    pub(crate) fn action_done(&mut self, output: serde_json::Value, at_ms: i64) -> Vec<SagaLogRow> {
        let name = self.step_name();
        let mut lines = vec![self.line(SagaDirection::Do, SagaEvent::Done, Some(output.to_string()), at_ms)];
        Arc::make_mut(&mut self.outputs).insert(name.to_owned(), output);
        if index(self.row.step) + 1 == self.steps.len() {
            self.row.state = SagaState::Done;
        } else {
            self.row.step += 1;
            lines.push(self.line(SagaDirection::Do, SagaEvent::Started, None, at_ms));
        }
        lines
    }

    /// The action of the current step cannot succeed: undo it, then those before it.
    pub(crate) fn action_failed(&mut self, error: &str, at_ms: i64) -> Vec<SagaLogRow> {
        self.row.state = SagaState::Unwinding;
        self.row.error = Some(cut(&format!("step {}: {error}", self.step_name())));
        vec![
            self.line(SagaDirection::Do, SagaEvent::Failed, Some(cut(error)), at_ms),
            self.line(SagaDirection::Undo, SagaEvent::Started, None, at_ms),
        ]
    }

    /// The current step is undone.
    pub(crate) fn undo_done(&mut self, at_ms: i64) -> Vec<SagaLogRow> {
        let mut lines = vec![self.line(SagaDirection::Undo, SagaEvent::Done, None, at_ms)];
        if self.row.step == 0 {
            self.row.state = SagaState::Failed;
        } else {
            self.row.step -= 1;
            lines.push(self.line(SagaDirection::Undo, SagaEvent::Started, None, at_ms));
        }
        lines
    }

    /// The undo of the current step failed too often.
    pub(crate) fn undo_failed(&mut self, error: &str, at_ms: i64) -> Vec<SagaLogRow> {
        self.row.state = SagaState::Stuck;
        let first = self.row.error.take().unwrap_or_default();
        self.row.error = Some(cut(&format!("undo of step {}: {error} (undone because {first})", self.step_name())));
        vec![self.line(SagaDirection::Undo, SagaEvent::Failed, Some(cut(error)), at_ms)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::Epoch;

    fn machine(log: &[SagaLogRow], state: SagaState, step: u32) -> Machine {
        let row = SagaRow {
            id: "s".into(),
            name: "n".into(),
            version: 1,
            state,
            params: "{}".into(),
            owner: "o".into(),
            owner_epoch: Epoch(1),
            step,
            error: None,
            created_ms: 0,
            updated_ms: 0,
            deadline_ms: 0,
        };
        Machine::resume(row, log, vec!["a", "b"])
    }

    #[test]
    fn every_step_done_is_done() {
        let mut m = machine(&[], SagaState::Running, 0);
        assert_eq!(m.next(), Next::Do(0));
        let mut log = vec![m.first_line(1)];
        log.extend(m.action_done(serde_json::json!(5), 2));
        assert_eq!(m.next(), Next::Do(1));
        let resumed = machine(&log, SagaState::Running, 1);
        assert_eq!((resumed.next(), resumed.next_seq), (Next::Do(1), m.next_seq));
        assert_eq!(resumed.outputs.get("a"), Some(&serde_json::json!(5)));
        m.action_done(serde_json::json!(null), 3);
        assert_eq!((m.next(), m.row.state), (Next::Nothing, SagaState::Done));
    }

    #[test]
    fn a_failed_step_is_undone_with_those_before_it() {
        let mut m = machine(&[], SagaState::Running, 1);
        m.action_failed("no", 1);
        assert_eq!(m.next(), Next::Undo(1));
        m.undo_done(2);
        assert_eq!(m.next(), Next::Undo(0));
        m.undo_done(3);
        assert_eq!((m.next(), m.row.state), (Next::Nothing, SagaState::Failed));
        assert_eq!(m.row.error.as_deref(), Some("step b: no"));
    }

    #[test]
    fn a_stuck_workflow_says_both_causes() {
        let mut m = machine(&[], SagaState::Running, 0);
        m.action_failed("no", 1);
        m.undo_failed("never", 2);
        assert_eq!((m.next(), m.row.state), (Next::Nothing, SagaState::Stuck));
        assert_eq!(m.row.error.as_deref(), Some("undo of step a: never (undone because step a: no)"));
    }
}
