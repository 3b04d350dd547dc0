//! Capacity reservations, and which instances use their slots.

use crate::StoreError;
use crate::exec::Exec;
use crate::json::Json;
use crate::macros::{args, record, sql};
use crate::select::{PAGE_ROWS_MAX, Select};
use crate::tx::Tx;
use crate::value::words;
use mallee_types::{AccountId, CapacityReservationId, Generation, InstanceId, NodeId, ZoneName};
use std::collections::BTreeMap;

/// What has become of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CapacityState {
    /// It holds its room.
    Active,
    /// Its time was up.
    Expired,
    /// Its owner ended it.
    Cancelled,
}
words! { CapacityState { Active = "active", Expired = "expired", Cancelled = "cancelled" } }

impl CapacityState {
    /// AWS's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Slots by node.
pub type NodeCounts = Json<BTreeMap<NodeId, u32>>;

record! {
    /// A capacity reservation.
    pub struct CapacityReservationRow {
        /// `cr-…`.
        id: CapacityReservationId,
        /// Whose.
        account_id: AccountId,
        /// Where.
        zone: ZoneName,
        /// What has become of it.
        state: CapacityState,
        /// Grows with every change a cluster controller must hear of.
        generation: Generation,
        /// AWS's name of the size.
        instance_type: String,
        /// For example `Linux/UNIX`.
        platform: String,
        /// `default` or `dedicated`.
        tenancy: String,
        /// `open` or `targeted`.
        match_criteria: String,
        /// Of one slot.
        vcpus: u32,
        /// Of one slot.
        memory_mib: u64,
        /// Of one slot.
        disk_bytes: u64,
        /// Where its slots are.
        slots: NodeCounts,
        /// As asked for; shown only.
        ebs_optimized: bool,
        /// As asked for; shown only.
        ephemeral_storage: bool,
        /// When it was made.
        created_ms: i64,
        /// When it is to end by itself.
        end_ms: Option<i64>,
        /// When it ended.
        ended_ms: Option<i64>,
    }
}

impl CapacityReservationRow {
    /// How many slots it has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.slots.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

macro_rules! columns {
    () => {
        "id, account_id, zone, state, generation, instance_type, platform, tenancy, match_criteria, vcpus, memory_mib,
        disk_bytes, slots, ebs_optimized, ephemeral_storage, created_ms, end_ms, ended_ms"
    };
}

sql! {
    INSERT = concat!("INSERT INTO capacity_reservations (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)");
    LIST_ACCOUNT = concat!("SELECT ", columns!(), " FROM capacity_reservations WHERE account_id = $1");
    LIST_ANY = concat!("SELECT ", columns!(), " FROM capacity_reservations WHERE 1 = 1");
    FETCH = concat!("SELECT ", columns!(), " FROM capacity_reservations WHERE id = $1");
    // Also what makes those who change or use a reservation wait for each other.
    LOCK = "UPDATE capacity_reservations SET state = state WHERE id = $1";
    UPDATE = "UPDATE capacity_reservations SET generation = generation + 1, state = $3, match_criteria = $4, slots = $5,
        end_ms = $6, ended_ms = $7 WHERE id = $1 AND generation = $2";
    COUNT_ACTIVE = "SELECT COUNT(*) FROM capacity_reservations WHERE account_id = $1 AND state = 'active'";
    DUE = concat!("SELECT ", columns!(), " FROM capacity_reservations
        WHERE state = 'active' AND end_ms IS NOT NULL AND end_ms <= $1 ORDER BY end_ms, id LIMIT $2 + 0");
    NEXT_END = "SELECT MIN(end_ms) FROM capacity_reservations WHERE state = 'active'";
    USE = "INSERT INTO capacity_uses (instance_id, reservation_id) VALUES ($1, $2)
        ON CONFLICT (instance_id) DO UPDATE SET reservation_id = excluded.reservation_id";
    UNUSE = "DELETE FROM capacity_uses WHERE instance_id = $1";
    USED = "SELECT reservation_id, node_id, used FROM (
        SELECT u.reservation_id, i.node_id, COUNT(*) AS used FROM capacity_uses u JOIN instances i ON i.id = u.instance_id
        WHERE i.node_id IS NOT NULL AND i.state <> 'stopped' AND i.state <> 'terminated'
        GROUP BY u.reservation_id, i.node_id) x WHERE 1 = 1";
    MEMBERS = "SELECT i.node_id, COUNT(*) FROM capacity_uses u JOIN instances i ON i.id = u.instance_id
        WHERE u.reservation_id = $1 AND i.node_id IS NOT NULL GROUP BY i.node_id ORDER BY i.node_id";
    LEFTOVERS = "SELECT u.instance_id FROM capacity_uses u JOIN capacity_reservations r ON r.id = u.reservation_id
        WHERE r.state <> 'active' ORDER BY u.instance_id LIMIT $1 + 0";
    PURGEABLE = "SELECT id FROM capacity_reservations WHERE ended_ms IS NOT NULL AND ended_ms < $1
        AND NOT EXISTS (SELECT 1 FROM capacity_uses u WHERE u.reservation_id = capacity_reservations.id)
        ORDER BY id LIMIT $2 + 0";
    DELETE = "DELETE FROM capacity_reservations WHERE id = $1 AND ended_ms IS NOT NULL";
}

/// Which reservations.
#[derive(Debug, Default, Clone, Copy)]
pub struct CapacityFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [CapacityReservationId]>,
    /// Only in this state.
    pub state: Option<CapacityState>,
    /// Only in this zone.
    pub zone: Option<&'a ZoneName>,
    /// Only of this type.
    pub instance_type: Option<&'a str>,
    /// Only those after this id.
    pub after: Option<&'a CapacityReservationId>,
}

/// Reservations asked for at once: all nodes of so many fit into one read.
const USED_AT_ONCE: usize = 8;

/// Instances that use slots, by reservation and node.
pub type CapacityUsed = BTreeMap<CapacityReservationId, BTreeMap<NodeId, u32>>;

/// Makes a reservation.
pub async fn capacity_insert(tx: &mut Tx, row: &CapacityReservationRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Reservations, by id.
pub async fn capacity_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: CapacityFilter<'_>,
    limit: u32,
) -> Result<Vec<CapacityReservationRow>, StoreError> {
    let select = match filter.account {
        Some(account) => Select::new(LIST_ACCOUNT, args![account]),
        None => Select::new(LIST_ANY, vec![]),
    };
    let select = select
        .and("id >", filter.after)
        .and("zone =", filter.zone)
        .and("state =", filter.state)
        .and("instance_type =", filter.instance_type)
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// The reservation of this id.
pub async fn capacity_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    id: &CapacityReservationId,
) -> Result<CapacityReservationRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The reservation of this id, which nobody else changes or begins to use until this transaction ends.
pub async fn capacity_fetch_locked(
    tx: &mut Tx,
    id: &CapacityReservationId,
) -> Result<CapacityReservationRow, StoreError> {
    Exec::Tx(tx).run(LOCK, args![id]).await?;
    Exec::Tx(tx).one(FETCH, args![id], id).await
}

/// Writes what of a reservation may change, one generation further.
///
/// # Errors
/// [`StoreError::Stale`] when it was changed since it was read, or is gone.
pub async fn capacity_update(tx: &mut Tx, row: &CapacityReservationRow) -> Result<(), StoreError> {
    let values = args![row.id, row.generation, row.state, row.match_criteria, row.slots, row.end_ms, row.ended_ms];
    match Exec::Tx(tx).run(UPDATE, values).await? {
        0 => Err(StoreError::stale(&row.id)),
        _ => Ok(()),
    }
}

/// How many active reservations the account has.
pub async fn capacity_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT_ACTIVE, args![account], account).await?.0)
}

/// Active reservations whose time is up, the longest overdue first.
pub async fn capacity_list_due<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<CapacityReservationRow>, StoreError> {
    exec.into().all(DUE, args![now_ms, limit]).await
}

/// When the next active reservation is to end.
pub async fn capacity_next_end<'a>(exec: impl Into<Exec<'a>>) -> Result<Option<i64>, StoreError> {
    Ok(exec.into().one::<(Option<i64>,)>(NEXT_END, vec![], "capacity_reservations").await?.0)
}

/// An instance uses a slot of this reservation from now on, and of no other.
///
/// # Errors
/// [`StoreError::InUse`] when there is no such reservation.
pub async fn capacity_use(tx: &mut Tx, instance: &InstanceId, id: &CapacityReservationId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(USE, args![instance, id]).await.map(drop)
}

/// An instance uses no slot from now on.
pub async fn capacity_unuse(tx: &mut Tx, instance: &InstanceId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(UNUSE, args![instance]).await.map(drop)
}

/// How many instances take room in slots of these reservations, by node: not those that are stopped.
pub async fn capacity_used<'a>(
    exec: impl Into<Exec<'a>>,
    ids: &[CapacityReservationId],
) -> Result<CapacityUsed, StoreError> {
    let (mut used, mut exec) = (CapacityUsed::new(), exec.into());
    for some in ids.chunks(USED_AT_ONCE) {
        let select = Select::new(USED, vec![]).and_in("reservation_id", Some(some))?;
        let rows: Vec<(CapacityReservationId, NodeId, u32)> =
            select.page(exec.again(), "reservation_id, node_id", PAGE_ROWS_MAX).await?;
        for (id, node, count) in rows {
            used.entry(id).or_default().insert(node, count);
        }
    }
    Ok(used)
}

/// How many instances are on each node that use a slot of this reservation, or used one when they last ran.
pub async fn capacity_members<'a>(
    exec: impl Into<Exec<'a>>,
    id: &CapacityReservationId,
) -> Result<BTreeMap<NodeId, u32>, StoreError> {
    Ok(exec.into().all::<(NodeId, u32)>(MEMBERS, args![id]).await?.into_iter().collect())
}

/// Instances that still count as users of reservations that have ended.
pub async fn capacity_leftovers<'a>(exec: impl Into<Exec<'a>>, limit: u32) -> Result<Vec<InstanceId>, StoreError> {
    let rows = exec.into().all::<(InstanceId,)>(LEFTOVERS, args![limit]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Reservations that ended before `before_ms` and that no instance remembers.
pub async fn capacity_list_purgeable<'a>(
    exec: impl Into<Exec<'a>>,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<CapacityReservationId>, StoreError> {
    let rows = exec.into().all::<(CapacityReservationId,)>(PURGEABLE, args![before_ms, limit]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Forgets a reservation that has ended.
pub async fn capacity_delete(tx: &mut Tx, id: &CapacityReservationId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
