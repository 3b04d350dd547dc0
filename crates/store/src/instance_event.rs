//! Scheduled events of instances: what the administrator announced, until a week after it was done or called off.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::words;
use mallee_types::{AccountId, InstanceEventId, InstanceId, NodeId};

/// Events kept of one instance; who adds one lets the oldest that has ended go.
pub const EVENTS_PER_INSTANCE_MAX: usize = 10;

/// What is going to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventCode {
    /// The cloud reboots the instance.
    InstanceReboot,
    /// The cloud stops the instance.
    InstanceStop,
    /// Its host goes: the cloud ends the instance.
    InstanceRetirement,
    /// The host is rebooted, by the administrator.
    SystemReboot,
    /// The host's network or power is worked on, by the administrator.
    SystemMaintenance,
}
words! {
    EventCode {
        InstanceReboot = "instance-reboot", InstanceStop = "instance-stop", InstanceRetirement = "instance-retirement",
        SystemReboot = "system-reboot", SystemMaintenance = "system-maintenance",
    }
}

impl EventCode {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::InstanceReboot,
        Self::InstanceStop,
        Self::InstanceRetirement,
        Self::SystemReboot,
        Self::SystemMaintenance,
    ];

    /// AWS's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InstanceReboot => "instance-reboot",
            Self::InstanceStop => "instance-stop",
            Self::InstanceRetirement => "instance-retirement",
            Self::SystemReboot => "system-reboot",
            Self::SystemMaintenance => "system-maintenance",
        }
    }
}

/// What has become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventState {
    /// It is still to come, or under way.
    Scheduled,
    /// What was announced was done.
    Completed,
    /// It was called off, or its instance went before.
    Canceled,
}
words! { EventState { Scheduled = "scheduled", Completed = "completed", Canceled = "canceled" } }

impl EventState {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }
}

record! {
    /// An event of an instance.
    pub struct InstanceEventRow {
        /// `instance-event-…`.
        id: InstanceEventId,
        /// Whose instance.
        account_id: AccountId,
        /// Of this instance.
        instance_id: InstanceId,
        /// The node it was on when the event was announced.
        node_id: Option<NodeId>,
        /// What happens.
        code: EventCode,
        /// What has become of it.
        state: EventState,
        /// The administrator's words.
        description: String,
        /// Earliest start.
        not_before_ms: i64,
        /// Latest end.
        not_after_ms: Option<i64>,
        /// Until when its owner may move its start; none: it cannot be moved.
        deadline_ms: Option<i64>,
        /// Reboots of the instance when the event was announced.
        reboot_seq: u64,
        /// When it was announced.
        created_ms: i64,
        /// When it was completed or canceled.
        ended_ms: Option<i64>,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, instance_id, node_id, code, state, description, not_before_ms, not_after_ms, deadline_ms,
        reboot_seq, created_ms, ended_ms"
    };
}

sql! {
    INSERT = concat!("INSERT INTO instance_events (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)");
    FETCH = concat!("SELECT ", columns!(), " FROM instance_events WHERE id = $1");
    LIST = concat!("SELECT ", columns!(), " FROM instance_events WHERE 1 = 1");
    UPDATE = "UPDATE instance_events SET state = $2, not_before_ms = $3, not_after_ms = $4, ended_ms = $5 WHERE id = $1";
    // What the cloud does itself, and can do now: an instance that is booting is rebooted once it runs.
    DUE = "SELECT e.id FROM instance_events e JOIN instances i ON i.id = e.instance_id
        WHERE e.state = 'scheduled' AND e.not_before_ms <= $1
        AND (e.code IN ('instance-stop', 'instance-retirement')
            OR (e.code = 'instance-reboot' AND i.state = 'running' AND i.intent = 'run'))
        ORDER BY e.not_before_ms, e.id LIMIT $2 + 0";
    DELETE = "DELETE FROM instance_events WHERE id = $1 AND ended_ms IS NOT NULL";
    PURGE = "DELETE FROM instance_events WHERE ended_ms IS NOT NULL AND ended_ms < $1";
}

/// Which events.
#[derive(Debug, Default, Clone, Copy)]
pub struct InstanceEventFilter<'a> {
    /// Only of these instances.
    pub instances: Option<&'a [InstanceId]>,
    /// Only those of which this has become.
    pub state: Option<EventState>,
}

/// Makes an event.
pub async fn instance_event_insert(tx: &mut Tx, row: &InstanceEventRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The event of this id. It is changed only by those who hold its instance's row.
pub async fn instance_event_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    id: &InstanceEventId,
) -> Result<InstanceEventRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// Events, by time.
pub async fn instance_event_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: InstanceEventFilter<'_>,
    limit: u32,
) -> Result<Vec<InstanceEventRow>, StoreError> {
    let select = Select::new(LIST, vec![]).and("state =", filter.state).and_in("instance_id", filter.instances)?;
    select.page(exec.into(), "not_before_ms, id", limit).await
}

/// Writes what may change of an event: its state and its times.
pub async fn instance_event_update(tx: &mut Tx, row: &InstanceEventRow) -> Result<(), StoreError> {
    let values = args![row.id, row.state, row.not_before_ms, row.not_after_ms, row.ended_ms];
    match Exec::Tx(tx).run(UPDATE, values).await? {
        0 => Err(StoreError::not_found(&row.id)),
        _ => Ok(()),
    }
}

/// Events that the cloud is to carry out now, the longest overdue first.
pub async fn instance_event_due<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<InstanceEventId>, StoreError> {
    let rows = exec.into().all::<(InstanceEventId,)>(DUE, args![now_ms, limit]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Forgets an event that has ended.
pub async fn instance_event_delete(tx: &mut Tx, id: &InstanceEventId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Forgets events that ended before `before_ms`; how many.
pub async fn instance_event_purge(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(PURGE, args![before_ms]).await
}
