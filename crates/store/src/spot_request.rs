//! Requests for spot instances. What their states mean, and which follows which, is decided by the caller
//! (cloud-controller/app/src/spot); whoever changes an instance and its request locks the instance first.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::{Tx, TxConn};
use crate::value::{ToArg as _, words};
use mallee_types::{AccountId, InstanceId, SpotRequestId, ZoneName};

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpotState {
    /// Waits to be fulfilled.
    Open,
    /// Has an instance.
    Active,
    /// Its instance was stopped by its owner.
    Disabled,
    /// Over: its instance ended, or its time ran out.
    Closed,
    /// Its owner gave it up; the instance may still run.
    Cancelled,
    /// Cannot be fulfilled ever.
    Failed,
}
words! {
    SpotState {
        Open = "open", Active = "active", Disabled = "disabled", Closed = "closed", Cancelled = "cancelled",
        Failed = "failed",
    }
}

/// How often a request is fulfilled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpotKind {
    /// Once.
    #[default]
    OneTime,
    /// Whenever its instance was interrupted or terminated.
    Persistent,
}
words! { SpotKind { OneTime = "one-time", Persistent = "persistent" } }

/// What an interruption does to an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterruptionBehavior {
    /// Terminates it.
    #[default]
    Terminate,
    /// Stops it; it is started again when there is room.
    Stop,
}
words! { InterruptionBehavior { Terminate = "terminate", Stop = "stop" } }

record! {
    /// A request for one spot instance, without the user data of its launch ([`spot_request_user_data`]).
    pub struct SpotRequestRow {
        /// `sir-…`.
        id: SpotRequestId,
        /// Whose.
        account_id: AccountId,
        /// Where it stands.
        state: SpotState,
        /// AWS's code of the status.
        status_code: String,
        /// The status in words.
        status_message: String,
        /// When the status last changed.
        status_ms: i64,
        /// How often it is fulfilled.
        kind: SpotKind,
        /// What an interruption does.
        behavior: InterruptionBehavior,
        /// The most that is paid for an hour; none: whatever is asked.
        max_price: Option<String>,
        /// The zone of its instance.
        zone: Option<ZoneName>,
        /// The instance it has, or had last.
        instance_id: Option<InstanceId>,
        /// Not fulfilled before.
        valid_from_ms: Option<i64>,
        /// Not fulfilled after.
        valid_until_ms: Option<i64>,
        /// A notice was given: when the instance is to be interrupted.
        interrupt_ms: Option<i64>,
        /// When an instance of it was interrupted last.
        interrupted_ms: Option<i64>,
        /// Why the last notice was given, for the operator.
        interruption: Option<String>,
        /// When it was made.
        created_ms: i64,
        /// When it was closed, cancelled or failed.
        ended_ms: Option<i64>,
        /// The launch it stands for, JSON.
        launch: String,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, state, status_code, status_message, status_ms, kind, behavior, max_price, zone, instance_id,
        valid_from_ms, valid_until_ms, interrupt_ms, interrupted_ms, interruption, created_ms, ended_ms, launch"
    };
}

sql! {
    INSERT = concat!("INSERT INTO spot_requests (", columns!(), ", user_data)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)");
    FETCH = concat!("SELECT ", columns!(), " FROM spot_requests WHERE id = $1");
    LIST_ACCOUNT = concat!("SELECT ", columns!(), " FROM spot_requests WHERE account_id = $1");
    LIST_ANY = concat!("SELECT ", columns!(), " FROM spot_requests WHERE 1 = 1");
    OPEN = concat!("SELECT ", columns!(), " FROM spot_requests WHERE state = 'open'");
    DUE = "SELECT id FROM spot_requests WHERE interrupt_ms IS NOT NULL AND interrupt_ms <= $1
        ORDER BY interrupt_ms LIMIT $2 + 0";
    NEXT_DUE = "SELECT MIN(interrupt_ms) FROM spot_requests WHERE interrupt_ms IS NOT NULL";
    HELD = "SELECT MAX(CASE WHEN interrupt_ms IS NULL OR interrupt_ms < interrupted_ms THEN interrupted_ms
        ELSE interrupt_ms END) FROM spot_requests
        WHERE zone = $1 AND (interrupt_ms IS NOT NULL OR interrupted_ms IS NOT NULL)";
    UPDATE = "UPDATE spot_requests SET state = $2, status_code = $3, status_message = $4, status_ms = $5, zone = $6,
        instance_id = $7, interrupt_ms = $8, interrupted_ms = $9, interruption = $10, ended_ms = $11 WHERE id = $1";
    USER_DATA = "SELECT user_data FROM spot_requests WHERE id = $1";
    COUNT = "SELECT COUNT(*) FROM spot_requests WHERE account_id = $1 AND state IN ('open', 'active', 'disabled')";
    PURGEABLE = "SELECT id FROM spot_requests WHERE ended_ms IS NOT NULL AND ended_ms < $1 AND NOT EXISTS
        (SELECT 1 FROM instances WHERE instances.id = spot_requests.instance_id) ORDER BY ended_ms LIMIT $2 + 0";
    DELETE = "DELETE FROM spot_requests WHERE id = $1 AND ended_ms IS NOT NULL";
}
/// PostgreSQL keeps other transactions from the row; in SQLite there is one writer anyway.
pub(crate) const PG_FETCH_LOCKED: &str = concat!("SELECT ", columns!(), " FROM spot_requests WHERE id = $1 FOR UPDATE");

/// Makes a request.
pub async fn spot_request_insert(
    tx: &mut Tx,
    row: &SpotRequestRow,
    user_data: Option<&[u8]>,
) -> Result<(), StoreError> {
    let mut values = row.args();
    values.push(user_data.to_arg());
    Exec::Tx(tx).run(INSERT, values).await.map(drop)
}

/// The request of this id.
pub async fn spot_request_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    id: &SpotRequestId,
) -> Result<SpotRequestRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The request of this id, which nobody else changes until this transaction ends.
pub async fn spot_request_fetch_locked(tx: &mut Tx, id: &SpotRequestId) -> Result<SpotRequestRow, StoreError> {
    let text = if matches!(tx.conn()?, TxConn::Pg(_)) { PG_FETCH_LOCKED } else { FETCH };
    Exec::Tx(tx).one(text, args![id], id).await
}

/// Writes what may change of a request: all but what it asks for.
pub async fn spot_request_update(tx: &mut Tx, row: &SpotRequestRow) -> Result<(), StoreError> {
    let values = args![
        row.id,
        row.state,
        row.status_code,
        row.status_message,
        row.status_ms,
        row.zone,
        row.instance_id,
        row.interrupt_ms,
        row.interrupted_ms,
        row.interruption,
        row.ended_ms
    ];
    match Exec::Tx(tx).run(UPDATE, values).await? {
        0 => Err(StoreError::not_found(&row.id)),
        _ => Ok(()),
    }
}

/// Requests by id, after `after`; of all accounts if none is named.
pub async fn spot_request_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: Option<&AccountId>,
    ids: Option<&[SpotRequestId]>,
    after: Option<&SpotRequestId>,
    limit: u32,
) -> Result<Vec<SpotRequestRow>, StoreError> {
    let select = match account {
        Some(account) => Select::new(LIST_ACCOUNT, args![account]),
        None => Select::new(LIST_ANY, vec![]),
    };
    select.and("id >", after).and_in("id", ids)?.page(exec.into(), "id", limit).await
}

/// Open requests, the oldest first, after `after` (when it was made, and its id).
pub async fn spot_request_open<'a>(
    exec: impl Into<Exec<'a>>,
    after: Option<(i64, &SpotRequestId)>,
    limit: u32,
) -> Result<Vec<SpotRequestRow>, StoreError> {
    let mut select = Select::new(OPEN, vec![]);
    if let Some((created_ms, id)) = after {
        select = select.and_pair("(created_ms, id) >", created_ms.to_arg(), id.to_arg());
    }
    select.page(exec.into(), "created_ms, id", limit).await
}

/// Requests whose instance is to be interrupted by now, the first due first.
pub async fn spot_request_due<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<SpotRequestId>, StoreError> {
    let rows = exec.into().all::<(SpotRequestId,)>(DUE, args![now_ms, limit]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// When the next interruption is due.
pub async fn spot_request_next_due<'a>(exec: impl Into<Exec<'a>>) -> Result<Option<i64>, StoreError> {
    Ok(exec.into().maybe::<(Option<i64>,)>(NEXT_DUE, vec![]).await?.and_then(|(at,)| at))
}

/// The latest interruption in a zone, done or to come.
pub async fn spot_request_last_interruption<'a>(
    exec: impl Into<Exec<'a>>,
    zone: &ZoneName,
) -> Result<Option<i64>, StoreError> {
    Ok(exec.into().maybe::<(Option<i64>,)>(HELD, args![zone]).await?.and_then(|(at,)| at))
}

/// The user data of the launch a request stands for.
pub async fn spot_request_user_data<'a>(
    exec: impl Into<Exec<'a>>,
    id: &SpotRequestId,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(exec.into().one::<(Option<Vec<u8>>,)>(USER_DATA, args![id], id).await?.0)
}

/// How many requests of the account are not over.
pub async fn spot_request_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![account], account).await?.0)
}

/// Requests that ended before `before_ms` and whose instance is forgotten.
pub async fn spot_request_list_purgeable<'a>(
    exec: impl Into<Exec<'a>>,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<SpotRequestId>, StoreError> {
    let rows = exec.into().all::<(SpotRequestId,)>(PURGEABLE, args![before_ms, limit]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Forgets a request that ended; true if it was there and had.
pub async fn spot_request_delete(tx: &mut Tx, id: &SpotRequestId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
