//! What every workflow must survive, as four checks for the crates that define workflows: each step fails (before and
//! after its effect), each action is repeated, each undo is repeated and fails once, the daemon is killed at each point
//! (model: omicron's saga test helpers; the kills are ours).

#![allow(clippy::expect_used, clippy::panic, reason = "checks say what is wrong by panicking")]

use crate::{Engine, EngineConfig, Registry, SagaHandle, SagaOutcome, SagaType};
use mallee_runtime::{FaultAction, Faults, Shutdown, TaskScope};
use mallee_store::{SagaDirection, SagaEvent, Store, saga_log};
use serde::Serialize;
use std::time::Duration;

/// Longest one run of a workflow may take in a test.
const RUN_MAX: Duration = Duration::from_secs(60);

/// A workflow in a world of its own, to be tested.
#[async_trait::async_trait]
pub trait SagaCase: Send + Sync {
    /// What it is started with.
    type Params: Serialize + Send + Sync + 'static;

    /// Makes a fresh world, in which the workflow has not run; its store.
    async fn fresh(&mut self) -> Store;
    /// Registers the workflow, working on the world.
    fn register(&self, registry: &mut Registry) -> SagaType<Self::Params>;
    /// The parameters it is started with in this world.
    fn params(&self) -> Self::Params;
    /// Panics unless the world is as it was before the workflow ran.
    async fn check_clean(&self);
    /// Panics unless the world is as the workflow should leave it.
    async fn check_done(&self);
}

/// One replica's engine, which can be killed.
struct Rig<P> {
    store: Store,
    engine: Engine,
    scope: TaskScope,
    saga: SagaType<P>,
    steps: Vec<&'static str>,
}

async fn rig<C: SagaCase>(case: &C, store: &Store, faults: &Faults) -> Rig<C::Params> {
    let mut registry = Registry::new();
    let saga = case.register(&mut registry);
    let steps = registry.step_names(saga);
    let scope = TaskScope::new(&Shutdown::new());
    let mut config = EngineConfig::new("test");
    config.backoff = (Duration::from_millis(1), Duration::from_millis(20));
    let engine = Engine::start_up(store.clone(), registry, config, faults.clone(), &scope).await;
    Rig { store: store.clone(), engine: engine.expect("the engine starts"), scope, saga, steps }
}

async fn ended(handle: SagaHandle, what: &str) -> SagaOutcome {
    let outcome = tokio::time::timeout(RUN_MAX, handle.wait()).await;
    outcome.unwrap_or_else(|_| panic!("{what}: the workflow did not end")).expect("the store answers")
}

async fn check_no_undo_failed(store: &Store, id: &str, what: &str) {
    let log = saga_log(store, id).await.expect("the log reads");
    let bad = log.iter().find(|line| line.direction == SagaDirection::Undo && line.event == SagaEvent::Failed);
    assert!(bad.is_none(), "{what}: an undo failed: {bad:?}");
}

/// Starts the workflow in a fresh world with these points armed to fail once; returns its outcome after checking it.
async fn run_with<C: SagaCase>(case: &mut C, fail: &[String], want_done: bool) {
    let what = format!("with faults at {fail:?}");
    let store = case.fresh().await;
    let faults = Faults::recording();
    for point in fail {
        faults.arm(point, FaultAction::Fail, 1);
    }
    let rig = rig(case, &store, &faults).await;
    let handle = rig.engine.start(rig.saga, &case.params()).await.expect("the workflow starts");
    let id = handle.id().to_owned();
    let outcome = ended(handle, &what).await;
    let mut hit = faults.hit();
    hit.sort();
    let mut wanted = fail.to_vec();
    wanted.sort();
    assert_eq!(hit, wanted, "{what}: every armed point was passed");
    check_outcome(case, &rig.store, &id, outcome, want_done, &what).await;
    rig.scope.kill().await;
}

async fn check_outcome<C: SagaCase>(
    case: &C,
    store: &Store,
    id: &str,
    outcome: SagaOutcome,
    want_done: bool,
    what: &str,
) {
    match (outcome, want_done) {
        (SagaOutcome::Done(_), true) => case.check_done().await,
        (SagaOutcome::Failed(_), false) => case.check_clean().await,
        (other, _) => panic!("{what}: the workflow ended as {other:?}"),
    }
    check_no_undo_failed(store, id, what).await;
}

/// The names of the workflow's steps, and the prefix of its points.
async fn steps_of<C: SagaCase>(case: &mut C) -> (Vec<&'static str>, String) {
    case.fresh().await;
    let mut registry = Registry::new();
    let saga = case.register(&mut registry);
    let steps = registry.step_names(saga);
    assert!(!steps.is_empty(), "a workflow without steps");
    (steps, format!("saga.{}", saga.name))
}

/// U1: each step fails, before its effect and after it; nothing is left behind.
pub async fn fail_each_step<C: SagaCase>(case: &mut C) {
    let (steps, prefix) = steps_of(case).await;
    for step in steps {
        for half in ["before", "after-effect"] {
            run_with(case, &[format!("{prefix}.{step}.{half}")], false).await;
        }
    }
}

/// U2: each action is done twice; the workflow still succeeds. Once more with all of them at once.
pub async fn repeat_each_action<C: SagaCase>(case: &mut C) {
    let (steps, prefix) = steps_of(case).await;
    let points: Vec<_> = steps.iter().map(|step| format!("{prefix}.{step}.repeat")).collect();
    for point in &points {
        run_with(case, std::slice::from_ref(point), true).await;
    }
    run_with(case, &points, true).await;
}

/// U3: each undo is done twice, fails once before and once after its effect; nothing is left behind.
pub async fn repeat_each_undo<C: SagaCase>(case: &mut C) {
    let (steps, prefix) = steps_of(case).await;
    let last = steps.last().copied().unwrap_or_default();
    for step in &steps {
        for fault in ["repeat", "before", "after-effect"] {
            let cause = format!("{prefix}.{last}.after-effect");
            run_with(case, &[cause, format!("{prefix}.{step}.undo.{fault}")], false).await;
        }
    }
}

/// The daemon is killed before and after each effect, of actions and undos; the next one brings the workflow to its end.
pub async fn kill_at_each_point<C: SagaCase>(case: &mut C) {
    let (steps, prefix) = steps_of(case).await;
    for step in &steps {
        for half in ["before", "after-effect"] {
            kill_at(case, &format!("{prefix}.{step}.{half}"), true).await;
            kill_at(case, &format!("{prefix}.{step}.undo.{half}"), false).await;
        }
    }
}

async fn kill_at<C: SagaCase>(case: &mut C, point: &str, want_done: bool) {
    let what = format!("killed at {point}");
    let store = case.fresh().await;
    let faults = Faults::recording();
    faults.arm(point, FaultAction::Kill, 1);
    let first = rig(case, &store, &faults).await;
    if !want_done {
        // The last step fails after its effect, so that every undo has something to do.
        let last = first.steps.last().copied().unwrap_or_default();
        faults.arm(&format!("saga.{}.{last}.after-effect", first.saga.name), FaultAction::Fail, 1);
    }
    let handle = first.engine.start(first.saga, &case.params()).await.expect("the workflow starts");
    let id = handle.id().to_owned();
    tokio::time::timeout(RUN_MAX, faults.killed()).await.unwrap_or_else(|_| panic!("{what}: the point was not passed"));
    first.scope.kill().await;
    let second = rig(case, &store, &Faults::none()).await;
    let outcome = ended(second.engine.handle(&id), &what).await;
    check_outcome(case, &second.store, &id, outcome, want_done, &what).await;
    second.scope.kill().await;
}

/// All four.
pub async fn survives_everything<C: SagaCase>(case: &mut C) {
    fail_each_step(case).await;
    repeat_each_action(case).await;
    repeat_each_undo(case).await;
    kill_at_each_point(case).await;
}
