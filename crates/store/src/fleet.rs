//! Fleets, the launches they decide on, the instances that come of them, and their history.

use crate::StoreError;
use crate::exec::Exec;
use crate::fleet_doc::{FleetDoc, FleetLaunchDoc};
use crate::json::Json;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::words;
use mallee_types::{AccountId, FleetId, InstanceId};

/// How long a fleet cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetKind {
    /// Launched in the call, and never again.
    Instant,
    /// Launched in the background until it was all there once.
    Request,
    /// Kept at its target.
    Maintain,
}

/// Where a fleet is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetState {
    /// Nobody has looked at it yet.
    Submitted,
    /// It is what it says.
    Active,
    /// Its target changed, and nobody has looked at it since.
    Modifying,
    /// Deleted, its instances run.
    DeletedRunning,
    /// Deleted, its instances end.
    DeletedTerminating,
    /// Deleted, and nothing is left.
    Deleted,
    /// An instant fleet that launched nothing.
    Failed,
}

/// Where a launch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetLaunchState {
    /// Decided; made or not, nobody has said yet.
    Planned,
    /// Made.
    Launched,
    /// Refused.
    Failed,
    /// Not wanted any more.
    Cancelled,
}

/// What an instance is to its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetMemberState {
    /// It counts.
    Live,
    /// The fleet ends it.
    Leaving,
    /// It has ended.
    Gone,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetEventKind {
    /// An instance came or went.
    Instance,
    /// The fleet changed.
    Fleet,
    /// Something could not be done.
    Error,
}

words! {
    FleetKind { Instant = "instant", Request = "request", Maintain = "maintain" }
    FleetState {
        Submitted = "submitted", Active = "active", Modifying = "modifying", DeletedRunning = "deleted_running",
        DeletedTerminating = "deleted_terminating", Deleted = "deleted", Failed = "failed",
    }
    FleetLaunchState { Planned = "planned", Launched = "launched", Failed = "failed", Cancelled = "cancelled" }
    FleetMemberState { Live = "live", Leaving = "leaving", Gone = "gone" }
    FleetEventKind { Instance = "instance-change", Fleet = "fleet-change", Error = "service-error" }
}

record! {
    /// A fleet.
    pub struct FleetRow {
        /// `fleet-…`.
        id: FleetId,
        /// Whose.
        account_id: AccountId,
        /// How long it cares.
        kind: FleetKind,
        /// Where it is in its life.
        state: FleetState,
        /// Grows with every change.
        version: u64,
        /// Whether the keeper has anything to do for it.
        is_open: bool,
        /// ARN of who made it.
        created_by: String,
        /// When it was made.
        created_ms: i64,
        /// When it was deleted or expired.
        deleted_ms: Option<i64>,
        /// The caller's token.
        client_token: Option<String>,
        /// The number of its last launch.
        attempts: u64,
        /// Everything else.
        doc: Json<FleetDoc>,
    }
    /// A launch of a fleet.
    pub struct FleetLaunchRow {
        /// Whose.
        fleet_id: FleetId,
        /// From 1.
        attempt: u64,
        /// Where it is.
        state: FleetLaunchState,
        /// When it was decided.
        created_ms: i64,
        /// What, and what became of it.
        doc: Json<FleetLaunchDoc>,
    }
    /// An instance of a fleet.
    pub struct FleetMemberRow {
        /// The instance.
        instance_id: InstanceId,
        /// Its fleet.
        fleet_id: FleetId,
        /// The launch that made it.
        attempt: u64,
        /// What it is to its fleet.
        state: FleetMemberState,
    }
    /// Something that happened to a fleet.
    pub struct FleetEventRow {
        /// To which.
        fleet_id: FleetId,
        /// From 1, in order.
        seq: u64,
        /// When.
        at_ms: i64,
        /// What it is about.
        kind: FleetEventKind,
        /// EC2's word for it.
        sub_kind: String,
        /// In words.
        description: String,
        /// The instance it is about.
        instance_id: Option<InstanceId>,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, kind, state, version, is_open, created_by, created_ms, deleted_ms, client_token, attempts, doc"
    };
}

sql! {
    INSERT = concat!("INSERT INTO fleets (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)");
    FETCH = concat!("SELECT ", columns!(), " FROM fleets WHERE id = $1");
    LIST = concat!("SELECT ", columns!(), " FROM fleets WHERE account_id = $1");
    COUNT = "SELECT COUNT(*) FROM fleets WHERE account_id = $1 AND is_open";
    LIST_OPEN = "SELECT id FROM fleets WHERE is_open ORDER BY id";
    LIST_OLD = "SELECT id FROM fleets f WHERE NOT is_open AND (deleted_ms < $1
        OR (kind = 'instant' AND deleted_ms IS NULL AND created_ms < $1 AND NOT EXISTS (SELECT 1 FROM fleet_members m
            JOIN instances i ON i.id = m.instance_id WHERE m.fleet_id = f.id))) ORDER BY id LIMIT $2 + 0";
    UPDATE = "UPDATE fleets SET state = $3, is_open = $4, deleted_ms = $5, attempts = $6, doc = $7,
        version = version + 1 WHERE id = $1 AND version = $2";
    DELETE = "DELETE FROM fleets WHERE id = $1";
    LAUNCH_INSERT = "INSERT INTO fleet_launches (fleet_id, attempt, state, created_ms, doc) VALUES ($1, $2, $3, $4, $5)";
    LAUNCH_FETCH = "SELECT fleet_id, attempt, state, created_ms, doc FROM fleet_launches
        WHERE fleet_id = $1 AND attempt = $2";
    LAUNCH_LIST = "SELECT fleet_id, attempt, state, created_ms, doc FROM fleet_launches
        WHERE fleet_id = $1 ORDER BY attempt";
    // Of two who tell a launch's end one is believed.
    LAUNCH_END = "UPDATE fleet_launches SET state = $3, doc = $4
        WHERE fleet_id = $1 AND attempt = $2 AND state = 'planned'";
    LAUNCH_PRUNE = "DELETE FROM fleet_launches WHERE fleet_id = $1 AND attempt < $2 AND state <> 'planned'
        AND NOT EXISTS (SELECT 1 FROM fleet_members m
            WHERE m.fleet_id = fleet_launches.fleet_id AND m.attempt = fleet_launches.attempt)";
    MEMBER_INSERT = "INSERT INTO fleet_members (instance_id, fleet_id, attempt, state) VALUES ($1, $2, $3, $4)";
    MEMBER_LIST = "SELECT instance_id, fleet_id, attempt, state FROM fleet_members WHERE fleet_id = $1
        ORDER BY instance_id";
    MEMBER_LIST_ALL = "SELECT instance_id, fleet_id, attempt, state FROM fleet_members WHERE 1 = 1";
    MEMBER_SET = "UPDATE fleet_members SET state = $2 WHERE instance_id = $1";
    MEMBER_FORGET = "DELETE FROM fleet_members WHERE instance_id = $1";
    EVENT_INSERT = "INSERT INTO fleet_events (fleet_id, seq, at_ms, kind, sub_kind, description, instance_id)
        VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM fleet_events WHERE fleet_id = $1), $2, $3, $4, $5, $6)";
    EVENT_LAST = "SELECT sub_kind, description FROM fleet_events WHERE fleet_id = $1 ORDER BY seq DESC LIMIT 1 + 0";
    EVENT_LIST = "SELECT fleet_id, seq, at_ms, kind, sub_kind, description, instance_id FROM fleet_events
        WHERE fleet_id = $1";
    EVENT_PURGE = "DELETE FROM fleet_events WHERE at_ms < $1";
}

/// Makes a fleet.
pub async fn fleet_insert(tx: &mut Tx, row: &FleetRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Lets one transaction at a time change a fleet, its launches, members and events, until it ends. After every other
/// lock.
///
/// # Errors
/// As [`Tx::lock`].
pub async fn fleet_hold(tx: &mut Tx, id: &FleetId) -> Result<(), StoreError> {
    tx.lock(&format!("fleet {id}")).await
}

/// The fleet of this id.
pub async fn fleet_fetch<'a>(exec: impl Into<Exec<'a>>, id: &FleetId) -> Result<FleetRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The account's fleets by id, after `after`; a list of ids must hold, and of no ids only those that are not instant.
pub async fn fleet_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[FleetId]>,
    after: Option<&FleetId>,
    limit: u32,
) -> Result<Vec<FleetRow>, StoreError> {
    let mut select = Select::new(LIST, args![account]).and("id >", after).and_in("id", ids)?;
    if ids.is_none() {
        select = select.and_text("kind <> 'instant'");
    }
    select.page(exec.into(), "id", limit).await
}

/// How many fleets of the account the keeper looks after.
pub async fn fleet_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![account], account).await?.0)
}

/// The fleets that the keeper looks after.
pub async fn fleet_list_open<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<FleetId>, StoreError> {
    Ok(exec.into().all::<(FleetId,)>(LIST_OPEN, vec![]).await?.into_iter().map(|(id,)| id).collect())
}

/// Fleets that ended before `before_ms`, and instant ones made before of which no instance is left.
pub async fn fleet_list_old<'a>(
    exec: impl Into<Exec<'a>>,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<FleetId>, StoreError> {
    Ok(exec.into().all::<(FleetId,)>(LIST_OLD, args![before_ms, limit]).await?.into_iter().map(|(id,)| id).collect())
}

/// Writes the mutable fields of a row whose `version` is the one that was read.
///
/// # Errors
/// [`StoreError::Stale`] when it was changed since, or is gone.
pub async fn fleet_update(tx: &mut Tx, row: &mut FleetRow) -> Result<(), StoreError> {
    let values = args![row.id, row.version, row.state, row.is_open, row.deleted_ms, row.attempts, row.doc];
    if Exec::Tx(tx).run(UPDATE, values).await? == 0 {
        return Err(StoreError::Stale { what: row.id.to_string() });
    }
    row.version += 1;
    Ok(())
}

/// Forgets a fleet with all its rows.
pub async fn fleet_delete(tx: &mut Tx, id: &FleetId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(DELETE, args![id]).await.map(drop)
}

/// Notes a launch that is to be made. Conflict: `fleet_launches_fleet_id_attempt`.
pub async fn fleet_launch_insert(tx: &mut Tx, row: &FleetLaunchRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(LAUNCH_INSERT, row.args()).await.map(drop)
}

/// A launch, if it is still known.
pub async fn fleet_launch_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    fleet: &FleetId,
    attempt: u64,
) -> Result<Option<FleetLaunchRow>, StoreError> {
    exec.into().maybe(LAUNCH_FETCH, args![fleet, attempt]).await
}

/// The launches of a fleet, in order.
pub async fn fleet_launch_list<'a>(
    exec: impl Into<Exec<'a>>,
    fleet: &FleetId,
) -> Result<Vec<FleetLaunchRow>, StoreError> {
    exec.into().all(LAUNCH_LIST, args![fleet]).await
}

/// Ends a launch that is planned; false if it has ended already.
pub async fn fleet_launch_end(tx: &mut Tx, row: &FleetLaunchRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(LAUNCH_END, args![row.fleet_id, row.attempt, row.state, row.doc]).await? > 0)
}

/// Forgets launches before `attempt` that have ended and of which no instance is known.
pub async fn fleet_launch_prune(tx: &mut Tx, fleet: &FleetId, attempt: u64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(LAUNCH_PRUNE, args![fleet, attempt]).await
}

/// An instance is of a fleet from now on. Conflict: `fleet_members_instance_id`.
pub async fn fleet_member_insert(tx: &mut Tx, row: &FleetMemberRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(MEMBER_INSERT, row.args()).await.map(drop)
}

/// The instances of a fleet.
pub async fn fleet_member_list<'a>(
    exec: impl Into<Exec<'a>>,
    fleet: &FleetId,
) -> Result<Vec<FleetMemberRow>, StoreError> {
    exec.into().all(MEMBER_LIST, args![fleet]).await
}

/// The instances of all fleets, by id, after `after`.
pub async fn fleet_member_list_all<'a>(
    exec: impl Into<Exec<'a>>,
    after: Option<&InstanceId>,
    limit: u32,
) -> Result<Vec<FleetMemberRow>, StoreError> {
    let select = Select::new(MEMBER_LIST_ALL, vec![]).and("instance_id >", after);
    select.page(exec.into(), "instance_id", limit).await
}

/// What an instance is to its fleet from now on.
pub async fn fleet_member_set(tx: &mut Tx, id: &InstanceId, state: FleetMemberState) -> Result<(), StoreError> {
    Exec::Tx(tx).run(MEMBER_SET, args![id, state]).await.map(drop)
}

/// Forgets that an instance was of a fleet.
pub async fn fleet_member_forget(tx: &mut Tx, id: &InstanceId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(MEMBER_FORGET, args![id]).await.map(drop)
}

/// Notes an event; its number is given here. One that says just what the last one says is not noted again.
pub async fn fleet_event_insert(tx: &mut Tx, row: &FleetEventRow) -> Result<(), StoreError> {
    let last = Exec::Tx(tx).maybe::<(String, String)>(EVENT_LAST, args![row.fleet_id]).await?;
    let again = last.is_some_and(|(sub_kind, text)| sub_kind == row.sub_kind && text == row.description);
    if again && row.instance_id.is_none() {
        return Ok(());
    }
    let values = args![row.fleet_id, row.at_ms, row.kind, row.sub_kind, row.description, row.instance_id];
    Exec::Tx(tx).run(EVENT_INSERT, values).await.map(drop)
}

/// Events of a fleet from `from_ms` on, after number `after`, in order.
pub async fn fleet_event_list<'a>(
    exec: impl Into<Exec<'a>>,
    fleet: &FleetId,
    kind: Option<FleetEventKind>,
    from_ms: i64,
    after: Option<u64>,
    limit: u32,
) -> Result<Vec<FleetEventRow>, StoreError> {
    let select = Select::new(EVENT_LIST, args![fleet]).and("at_ms >=", Some(from_ms)).and("kind =", kind);
    select.and("seq >", after).page(exec.into(), "seq", limit).await
}

/// Forgets events older than this; how many went.
pub async fn fleet_event_purge(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(EVENT_PURGE, args![before_ms]).await
}
