//! Retries, deadlines, stuck workflows, other replicas.

use mallee_runtime::{FaultAction, Faults, Shutdown, TaskScope};
use mallee_saga::{Engine, EngineConfig, Registry, SagaDef, SagaError, SagaHandle, SagaOutcome, SagaType, StepError};
use mallee_store::test_support::TestDb;
use mallee_store::{SagaState, Store, saga_fetch, saga_list, setting_list, setting_put};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

mallee_store::store_test_suite!(
    a_transient_error_is_tried_again,
    the_deadline_undoes_what_was_done,
    a_stuck_workflow_is_kept_and_can_be_retried,
    another_replica_takes_over_when_the_lease_has_ended,
    an_orderly_stop_hands_over_at_once,
    a_prepared_workflow_lives_and_dies_with_its_transaction,
    an_unknown_version_waits_for_a_replica_that_knows_it,
    a_lost_lease_begins_a_new_term,
    many_workflows_at_once,
);

const LIMIT: Duration = Duration::from_secs(30);

struct Replica {
    engine: Engine,
    scope: TaskScope,
    saga: SagaType<u32>,
    counts: Arc<[AtomicU32; 2]>,
}

/// `count`: step one counts up and step two waits `params` ms at a fault point's mercy; both undos count down.
async fn replica(store: &Store, name: &str, version: u32, faults: &Faults) -> Replica {
    let counts: Arc<[AtomicU32; 2]> = Arc::default();
    let (up, down, flaky) = (counts.clone(), counts.clone(), faults.clone());
    let def = SagaDef::<u32>::new("count", version, Duration::from_secs(20))
        .step(
            "one",
            move |_| {
                up[0].fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            },
            move |_| {
                down[1].fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            },
        )
        .step(
            "two",
            move |ctx| {
                let flaky = flaky.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(u64::from(*ctx.params()))).await;
                    flaky.point("flaky").await.map_err(StepError::transient)?;
                    Ok("end")
                }
            },
            |_| async { Ok(()) },
        );
    let mut registry = Registry::new();
    let saga = registry.register(def);
    let scope = TaskScope::new(&Shutdown::new());
    let mut config = EngineConfig::new(name);
    config.backoff = (Duration::from_millis(1), Duration::from_millis(10));
    config.undo_tries_max = 3;
    config.lease_ttl = Duration::from_secs(3);
    let engine = Engine::start_up(store.clone(), registry, config, faults.clone(), &scope).await.unwrap();
    Replica { engine, scope, saga, counts }
}

async fn end(handle: SagaHandle) -> SagaOutcome {
    tokio::time::timeout(LIMIT, handle.wait()).await.expect("the workflow ends in time").unwrap()
}

fn done() -> SagaOutcome {
    SagaOutcome::Done("end".into())
}

async fn a_transient_error_is_tried_again(db: TestDb) {
    let faults = Faults::none();
    faults.arm("flaky", FaultAction::Fail, 5);
    let r = replica(&db.open().await, "a", 1, &faults).await;
    assert_eq!(end(r.engine.start(r.saga, &0).await.unwrap()).await, done());
    assert_eq!(faults.hit().len(), 5);
    assert_eq!(r.counts[0].load(Ordering::SeqCst), 1, "the step before is not done again");
    assert_eq!(done().into_result::<String>(), Ok("end".to_owned()));
    r.scope.kill().await;
}

async fn the_deadline_undoes_what_was_done(db: TestDb) {
    let faults = Faults::none();
    faults.arm("flaky", FaultAction::Fail, u32::MAX);
    let store = db.open().await;
    let r = replica(&store, "a", 1, &faults).await;
    let handle = r.engine.start(r.saga, &0).await.unwrap();
    while faults.hit().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.clock().shift_ms(21_000);
    let SagaOutcome::Failed(error) = end(handle).await else { panic!("it did not fail") };
    assert_eq!(error, "step two: the workflow's deadline has passed");
    assert_eq!(r.counts[1].load(Ordering::SeqCst), 1, "step one was undone");
    r.scope.kill().await;
}

async fn a_stuck_workflow_is_kept_and_can_be_retried(db: TestDb) {
    let faults = Faults::none();
    faults.arm("saga.count.two.before", FaultAction::Fail, 1);
    faults.arm("saga.count.one.undo.before", FaultAction::Fail, 3);
    let store = db.open().await;
    let r = replica(&store, "a", 1, &faults).await;
    let handle = r.engine.start(r.saga, &0).await.unwrap();
    let id = handle.id().to_owned();
    let SagaOutcome::Stuck(error) = end(handle).await else { panic!("it is not stuck") };
    assert!(error.contains("undo of step one") && error.contains("step two"), "{error}");
    let stuck = saga_list(&store, Some(&[SagaState::Stuck]), None, 9).await.unwrap();
    assert_eq!(stuck[0].id, id);
    let outcome = end(r.engine.retry(&id).await.unwrap()).await;
    assert!(matches!(outcome, SagaOutcome::Failed(_)), "{outcome:?}");
    assert_eq!(r.counts[1].load(Ordering::SeqCst), 1);
    assert!(r.engine.retry(&id).await.is_err(), "it is not stuck any more");
    r.scope.kill().await;
}

async fn another_replica_takes_over_when_the_lease_has_ended(db: TestDb) {
    let faults = Faults::none();
    faults.arm("saga.count.one.after-effect", FaultAction::Kill, 1);
    let store = db.open().await;
    let other_store = if db.is_postgres() { db.open().await } else { store.clone() };
    let first = replica(&store, "a", 1, &faults).await;
    let second = replica(&other_store, "b", 1, &Faults::none()).await;
    let handle = first.engine.start(first.saga, &0).await.unwrap();
    let watching = second.engine.handle(handle.id());
    faults.killed().await;
    first.scope.kill().await;
    second.engine.recover_now();
    let early = tokio::time::timeout(Duration::from_millis(500), second.engine.handle(handle.id()).wait()).await;
    assert!(early.is_err(), "the lease of the dead replica still runs: {early:?}");
    // The lease runs out by itself; the second replica looks every second.
    assert_eq!(end(watching).await, done());
    assert_eq!(second.counts[0].load(Ordering::SeqCst), 1);
    assert_eq!(end(handle).await, done(), "the first replica's handle hears of it too");
    second.scope.kill().await;
}

async fn an_orderly_stop_hands_over_at_once(db: TestDb) {
    let store = db.open().await;
    let first = replica(&store, "a", 1, &Faults::none()).await;
    let second = replica(&store, "b", 1, &Faults::none()).await;
    let handle = first.engine.start(first.saga, &300).await.unwrap();
    assert!(first.scope.stop(Duration::from_secs(10)).await, "the running step ends");
    let row = saga_fetch(&store, handle.id()).await.unwrap();
    if row.state == SagaState::Running {
        second.engine.recover_now();
    }
    assert_eq!(end(second.engine.handle(handle.id())).await, done());
    second.scope.kill().await;
}

async fn a_prepared_workflow_lives_and_dies_with_its_transaction(db: TestDb) {
    let store = db.open().await;
    let r = replica(&store, "a", 1, &Faults::none()).await;
    let mut tx = store.write().await.unwrap();
    setting_put(&mut tx, "k", "v").await.unwrap();
    let prepared = r.engine.start_in(&mut tx, r.saga, &0).await.unwrap();
    tx.rollback().await.unwrap();
    drop(prepared);
    assert!(saga_list(&store, None, None, 9).await.unwrap().is_empty());
    assert!(setting_list(&store).await.unwrap().is_empty());

    // Committed, but nobody launches it: recovery does.
    let mut tx = store.write().await.unwrap();
    let prepared = r.engine.start_in(&mut tx, r.saga, &0).await.unwrap();
    tx.commit().await.unwrap();
    drop(prepared);
    let id = saga_list(&store, None, None, 9).await.unwrap()[0].id.clone();
    r.engine.recover_now();
    assert_eq!(end(r.engine.handle(&id)).await, done());
    assert_eq!(r.counts[0].load(Ordering::SeqCst), 1);
    r.scope.kill().await;
}

async fn an_unknown_version_waits_for_a_replica_that_knows_it(db: TestDb) {
    let store = db.open().await;
    let faults = Faults::none();
    faults.arm("saga.count.two.before", FaultAction::Kill, 1);
    let new = replica(&store, "a", 2, &faults).await;
    let handle = new.engine.start(new.saga, &0).await.unwrap();
    faults.killed().await;
    new.scope.kill().await;
    // Started under the same name, so what "a" left has no living owner.
    let old = replica(&store, "a", 1, &Faults::none()).await;
    old.engine.recover_now();
    let early = tokio::time::timeout(Duration::from_millis(300), old.engine.handle(handle.id()).wait()).await;
    assert!(early.is_err(), "a build that does not know the steps leaves them alone");
    let wrong = old.engine.start(new.saga, &0).await;
    assert!(matches!(wrong, Err(SagaError::Unknown { version: 2, .. })));
    let newer = replica(&store, "b", 2, &Faults::none()).await;
    assert_eq!(end(newer.engine.handle(handle.id())).await, done());
    old.scope.kill().await;
    newer.scope.kill().await;
}

async fn a_lost_lease_begins_a_new_term(db: TestDb) {
    let store = db.open().await;
    let r = replica(&store, "a", 1, &Faults::none()).await;
    let handle = r.engine.start(r.saga, &2_000).await.unwrap();
    // The wall clock jumps: the row of the lease has expired. The workflow in flight is dropped and done again.
    tokio::time::sleep(Duration::from_millis(200)).await;
    store.clock().shift_ms(10_000);
    r.engine.recover_now();
    assert_eq!(end(handle).await, done());
    assert_eq!(end(r.engine.start(r.saga, &0).await.unwrap()).await, done());
    assert_eq!(saga_list(&store, Some(&[SagaState::Done]), None, 9).await.unwrap().len(), 2);
    r.scope.kill().await;
}

async fn many_workflows_at_once(db: TestDb) {
    const COUNT: u32 = 60;
    let store = db.open().await;
    let r = replica(&store, "a", 1, &Faults::none()).await;
    let mut handles = Vec::new();
    for n in 0..COUNT {
        handles.push(r.engine.start(r.saga, &(n % 3)).await.unwrap());
        if n % 10 == 0 {
            r.engine.recover_now();
        }
    }
    for handle in handles {
        assert_eq!(end(handle).await, done());
    }
    assert_eq!(r.counts[0].load(Ordering::SeqCst), COUNT, "none was run twice");
    r.scope.kill().await;
}
