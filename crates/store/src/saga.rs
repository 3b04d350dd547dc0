//! Workflows and their logs. Every write names the owner and its epoch: one that was taken over writes nothing more.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows};
use crate::tx::Tx;
use crate::value::words;
use mallee_types::Epoch;

/// Where a workflow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SagaState {
    /// Doing its steps.
    Running,
    /// A step failed; the steps are being undone.
    Unwinding,
    /// Every step is done.
    Done,
    /// Everything is undone.
    Failed,
    /// An undo keeps failing: someone must look.
    Stuck,
}
words! {
    SagaState { Running = "running", Unwinding = "unwinding", Done = "done", Failed = "failed", Stuck = "stuck" }
    SagaDirection { Do = "do", Undo = "undo" }
    SagaEvent { Started = "started", Done = "done", Failed = "failed" }
}

/// Which half of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SagaDirection {
    /// The action.
    Do,
    /// Its undo.
    Undo,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SagaEvent {
    /// It is being tried.
    Started,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

record! {
    /// A workflow.
    pub struct SagaRow {
        /// A UUID.
        id: String,
        /// Which workflow.
        name: String,
        /// Which version of its steps.
        version: u32,
        /// Where it is.
        state: SagaState,
        /// Its parameters, JSON.
        params: String,
        /// The lease in whose name it is run.
        owner: String,
        /// The owner's term.
        owner_epoch: Epoch,
        /// The step being done or undone, from 0.
        step: u32,
        /// Why it failed or is stuck.
        error: Option<String>,
        /// When it was started.
        created_ms: i64,
        /// When its state or step last changed.
        updated_ms: i64,
        /// From then on no further step is begun; it is undone.
        deadline_ms: i64,
    }
    /// One line of a workflow's log.
    pub struct SagaLogRow {
        /// Of which workflow.
        saga_id: String,
        /// Its place, from 0.
        seq: u32,
        /// Which step, from 0.
        step: u32,
        /// Its action or its undo.
        direction: SagaDirection,
        /// What happened.
        event: SagaEvent,
        /// The output of an action that is done (JSON), or the error of one that failed.
        output: Option<String>,
        /// When.
        at_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO sagas (id, name, version, state, params, owner, owner_epoch, step, error, created_ms, updated_ms,
        deadline_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    FETCH = "SELECT id, name, version, state, params, owner, owner_epoch, step, error, created_ms, updated_ms, deadline_ms
        FROM sagas WHERE id = $1";
    LIST = "SELECT id, name, version, state, params, owner, owner_epoch, step, error, created_ms, updated_ms, deadline_ms
        FROM sagas WHERE 1 = 1";
    LIST_ORPHANS = "SELECT s.id, s.name, s.version, s.state, s.params, s.owner, s.owner_epoch, s.step, s.error, s.created_ms,
        s.updated_ms, s.deadline_ms FROM sagas s
        WHERE s.state IN ('running', 'unwinding') AND NOT EXISTS
        (SELECT 1 FROM leases l WHERE l.name = s.owner AND l.epoch = s.owner_epoch AND l.expires_ms > $1)
        ORDER BY s.id LIMIT $2 + 0";
    TAKE_OVER = "UPDATE sagas SET owner = $4, owner_epoch = $5, updated_ms = $6
        WHERE id = $1 AND owner = $2 AND owner_epoch = $3 AND state IN ('running', 'unwinding')";
    RETRY = "UPDATE sagas SET state = 'unwinding', owner = $2, owner_epoch = $3, updated_ms = $4
        WHERE id = $1 AND state = 'stuck'";
    PROGRESS = "UPDATE sagas SET state = $4, step = $5, error = $6, updated_ms = $7
        WHERE id = $1 AND owner = $2 AND owner_epoch = $3 AND state IN ('running', 'unwinding')";
    LOG = "SELECT saga_id, seq, step, direction, event, output, at_ms FROM saga_log WHERE saga_id = $1 ORDER BY seq";
    PURGE = "DELETE FROM sagas WHERE state IN ('done', 'failed') AND updated_ms < $1";
}

/// Begins a workflow.
pub async fn saga_insert(tx: &mut Tx, row: &SagaRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The workflow of this id.
pub async fn saga_fetch<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<SagaRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// Workflows in these states, or all, by id, after `after`.
pub async fn saga_list<'a>(
    exec: impl Into<Exec<'a>>,
    states: Option<&[SagaState]>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<SagaRow>, StoreError> {
    Select::new(LIST, vec![]).and("id >", after).and_in("state", states)?.page(exec.into(), "id", limit).await
}

/// Unfinished workflows whose owner's lease has ended.
pub async fn saga_list_orphans(store: &crate::Store, limit: u32) -> Result<Vec<SagaRow>, StoreError> {
    let now_ms = store.clock().now_ms();
    Exec::Store(store).all(LIST_ORPHANS, args![now_ms, limit]).await
}

/// Takes an orphan over; of two that try, one succeeds.
///
/// # Errors
/// [`StoreError::Stale`] when another was first.
pub async fn saga_take_over(tx: &mut Tx, row: &SagaRow, owner: &str, epoch: Epoch) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    let values = args![row.id, row.owner, row.owner_epoch, owner, epoch, now_ms];
    match Exec::Tx(tx).run(TAKE_OVER, values).await? {
        0 => Err(StoreError::stale(format_args!("saga {}", row.id))),
        _ => Ok(()),
    }
}

/// Lets a stuck workflow go on undoing (an operator's order).
///
/// # Errors
/// [`StoreError::Stale`] when it is not stuck.
pub async fn saga_retry(tx: &mut Tx, id: &str, owner: &str, epoch: Epoch) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    match Exec::Tx(tx).run(RETRY, args![id, owner, epoch, now_ms]).await? {
        0 => Err(StoreError::stale(format_args!("saga {id}"))),
        _ => Ok(()),
    }
}

/// Writes the state and step of `row` and appends `lines` to its log, if `row`'s owner still is its owner
/// and the workflow has not ended.
///
/// # Errors
/// [`StoreError::Stale`] when it was taken over or has ended: stop at once.
pub async fn saga_progress(tx: &mut Tx, row: &SagaRow, lines: &[SagaLogRow]) -> Result<(), StoreError> {
    let now_ms = tx.now_ms();
    let values = args![row.id, row.owner, row.owner_epoch, row.state, row.step, row.error, now_ms];
    if Exec::Tx(tx).run(PROGRESS, values).await? == 0 {
        return Err(StoreError::stale(format_args!("saga {}", row.id)));
    }
    let head = "INSERT INTO saga_log (saga_id, seq, step, direction, event, output, at_ms) VALUES ";
    insert_rows(Exec::Tx(tx), head, "", lines.iter().map(SagaLogRow::args).collect()).await.map(drop)
}

/// The log of a workflow, in order.
pub async fn saga_log<'a>(exec: impl Into<Exec<'a>>, id: &str) -> Result<Vec<SagaLogRow>, StoreError> {
    exec.into().all(LOG, args![id]).await
}

/// Forgets finished workflows (not stuck ones) last changed before this; how many went.
pub async fn saga_purge(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(PURGE, args![before_ms]).await
}
