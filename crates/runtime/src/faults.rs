//! Fault points: named places in a workflow where a test can make the step fail, happen twice, or stop the daemon
//! dead. In production every point is a single relaxed atomic load.
//!
//! A point stands *before* an effect (`node.launch.disk`) or *after* it (`node.launch.disk.done`). The tests read
//! the set of points that a run has passed, then repeat the run once per point and action, so that a new point is
//! covered the day it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// The step returns an error.
    Fail,
    /// The step waits first.
    Delay(Duration),
    /// The daemon stops dead: the step never returns. The harness sees `killed` and drops the daemon.
    Kill,
}

/// The error of a step that a test made fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault injected at {0}")]
pub struct FaultError(pub String);

/// What a point did to blocking work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Struck {
    /// The step fails.
    Failed(FaultError),
    /// The daemon stops dead: whoever waits for the work never goes on.
    Killed,
}

#[derive(Debug, Default)]
struct State {
    armed: BTreeMap<String, (FaultAction, u32)>,
    passed: BTreeSet<String>,
    hit: Vec<String>,
}

/// The fault points of one daemon. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    active: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
    killed: Arc<tokio::sync::Notify>,
}

impl Faults {
    /// No faults, nothing recorded.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Records which points are passed (and lets them be armed).
    #[must_use]
    pub fn recording() -> Self {
        let faults = Self::default();
        faults.active.store(true, Ordering::Relaxed);
        faults
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Arms a point for its next `times` passes.
    pub fn arm(&self, point: &str, action: FaultAction, times: u32) {
        self.active.store(true, Ordering::Relaxed);
        self.with(|state| state.armed.insert(point.to_owned(), (action, times)));
    }

    /// Disarms everything.
    pub fn clear(&self) {
        self.with(|state| state.armed.clear());
    }

    /// Every point passed so far.
    #[must_use]
    pub fn passed(&self) -> Vec<String> {
        self.with(|state| state.passed.iter().cloned().collect())
    }

    /// The points whose fault really struck, in order.
    #[must_use]
    pub fn hit(&self) -> Vec<String> {
        self.with(|state| state.hit.clone())
    }

    /// Waits until a `Kill` strikes.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// What is armed at a point that is passed now.
    fn strike(&self, name: &str) -> Option<FaultAction> {
        if !self.active.load(Ordering::Relaxed) {
            return None;
        }
        self.with(|state| {
            if !state.passed.contains(name) {
                state.passed.insert(name.to_owned());
            }
            let (action, times) = state.armed.get_mut(name)?;
            let action = *action;
            *times = times.saturating_sub(1);
            if *times == 0 {
                state.armed.remove(name);
            }
            state.hit.push(name.to_owned());
            Some(action)
        })
    }

    /// Passes a point: does nothing unless a test armed it.
    ///
    /// # Errors
    /// [`FaultError`] when the point is armed with [`FaultAction::Fail`].
    pub async fn point(&self, name: &str) -> Result<(), FaultError> {
        match self.strike(name) {
            None => Ok(()),
            Some(FaultAction::Fail) => Err(FaultError(name.to_owned())),
            Some(FaultAction::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Some(FaultAction::Kill) => {
                self.killed.notify_one();
                std::future::pending().await
            }
        }
    }

    /// As [`Faults::point`], in blocking work, which a thread does and nobody drops.
    ///
    /// # Errors
    /// [`Struck`]: the work is to end at once.
    #[allow(clippy::disallowed_methods, reason = "blocking work")]
    pub fn pass(&self, name: &str) -> Result<(), Struck> {
        match self.strike(name) {
            None => Ok(()),
            Some(FaultAction::Fail) => Err(Struck::Failed(FaultError(name.to_owned()))),
            Some(FaultAction::Delay(time)) => {
                std::thread::sleep(time);
                Ok(())
            }
            Some(FaultAction::Kill) => {
                self.killed.notify_one();
                Err(Struck::Killed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_armed_point_fails_as_often_as_asked() {
        let faults = Faults::recording();
        faults.arm("a", FaultAction::Fail, 2);
        assert!(faults.point("b").await.is_ok());
        assert!(faults.point("a").await.is_err());
        assert!(faults.point("a").await.is_err());
        assert!(faults.point("a").await.is_ok());
        assert_eq!(faults.passed(), ["a", "b"]);
        assert!(faults.pass("c").is_ok());
        faults.arm("c", FaultAction::Fail, 1);
        assert_eq!(faults.pass("c"), Err(Struck::Failed(FaultError("c".to_owned()))));
        faults.arm("c", FaultAction::Kill, 1);
        assert_eq!(faults.pass("c"), Err(Struck::Killed));
        faults.killed().await;
        assert_eq!(faults.hit(), ["a", "a", "c", "c"]);
    }
}
