//! Instances: intent, observation, and the state the user sees, recomputed by the caller whenever either changes.
//!
//! A caller reads the row in its transaction ([`instance_fetch_locked`]), changes the fields, and writes it back with
//! [`instance_intent_update`] (the user wants something else: the generation grows) or [`instance_observe`] (a node
//! said something). Both are compare-and-set on the generation that was read.

use crate::exec::Exec;
use crate::instance_doc::InstanceDoc;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::{Tx, TxConn};
use crate::value::Arg;
use crate::{StoreError, value::ToArg as _};
use mallee_types::{
    AccountId, DomainPhase, Generation, ImageId, Incarnation, InstanceId, InstanceState, NodeId, ReservationId,
    RunIntent, SubnetId, VpcId, ZoneName,
};
use std::collections::BTreeSet;

record! {
    /// An instance, without its user data ([`instance_user_data`]) and placement ([`instance_placement`]).
    pub struct InstanceRow {
        /// `i-…`.
        id: InstanceId,
        /// Whose.
        account_id: AccountId,
        /// The call that made it.
        reservation_id: ReservationId,
        /// Its place in that call, from 0.
        launch_index: u32,
        /// Its zone.
        zone: ZoneName,
        /// Its node, once placed.
        node_id: Option<NodeId>,
        /// AWS's name of its size.
        instance_type: String,
        /// The image it was made from.
        image_id: ImageId,
        /// Its VPC.
        vpc_id: VpcId,
        /// The subnet of its first interface.
        subnet_id: SubnetId,
        /// The key pair it was launched with.
        key_name: Option<String>,
        /// What the user wants.
        intent: RunIntent,
        /// Grows with every change of intent.
        generation: Generation,
        /// Which life: grows when it is started anew.
        incarnation: Incarnation,
        /// Grows with every reboot that was asked for.
        reboot_seq: u64,
        /// What the node last said of the domain.
        observed_phase: DomainPhase,
        /// The generation the node had applied when it said so.
        observed_generation: Generation,
        /// The incarnation it spoke of.
        observed_incarnation: Incarnation,
        /// Whether the ports were applied.
        observed_network: bool,
        /// The newest reboot it had done.
        observed_reboot_seq: u64,
        /// What the user sees.
        state: InstanceState,
        /// AWS's code of the reason for the state.
        state_reason_code: Option<String>,
        /// The reason in words.
        state_reason_message: Option<String>,
        /// AWS's `StateTransitionReason`; may be empty.
        transition_reason: String,
        /// The cloud has taken back everything of a terminated instance.
        released: bool,
        /// When it was last launched or started.
        launch_ms: i64,
        /// When `state` last changed.
        state_changed_ms: i64,
        /// When it became terminated.
        terminated_ms: Option<i64>,
        /// The caller's token of the launch.
        client_token: Option<String>,
        /// Everything else.
        doc: InstanceDoc,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, reservation_id, launch_index, zone, node_id, instance_type, image_id, vpc_id, subnet_id,
        key_name, intent, generation, incarnation, reboot_seq, observed_phase, observed_generation,
        observed_incarnation, observed_network, observed_reboot_seq, state, state_reason_code, state_reason_message,
        transition_reason, released, launch_ms, state_changed_ms, terminated_ms, client_token, doc"
    };
}
/// What both updates write, with the arguments of [`mutable`].
macro_rules! set {
    () => {
        "node_id = $3, instance_type = $4, intent = $5, incarnation = $6, reboot_seq = $7, observed_phase = $8,
        observed_generation = $9, observed_incarnation = $10, observed_network = $11, observed_reboot_seq = $12,
        state = $13, state_reason_code = $14, state_reason_message = $15, transition_reason = $16, released = $17,
        launch_ms = $18, state_changed_ms = $19, terminated_ms = $20, doc = $21"
    };
}

sql! {
    INSERT = concat!("INSERT INTO instances (", columns!(), ", user_data, placement)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
        $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)");
    FETCH = concat!("SELECT ", columns!(), " FROM instances WHERE id = $1");
    LIST_ACCOUNT = concat!("SELECT ", columns!(), " FROM instances WHERE account_id = $1");
    LIST_ANY = concat!("SELECT ", columns!(), " FROM instances WHERE 1 = 1");
    VERSIONS_ACCOUNT = "SELECT id, version FROM instances JOIN instance_versions ON instance_id = id WHERE account_id = $1";
    VERSIONS_ANY = "SELECT id, version FROM instances JOIN instance_versions ON instance_id = id WHERE 1 = 1";
    LIST_PURGE = "SELECT id FROM instances WHERE terminated_ms IS NOT NULL AND terminated_ms < $1
        ORDER BY terminated_ms LIMIT $2 + 0";
    INTENT = concat!("UPDATE instances SET ", set!(), ", generation = generation + 1
        WHERE id = $1 AND generation = $2 RETURNING generation");
    TOUCH_ALL = "UPDATE instances SET generation = generation + 1 WHERE NOT released RETURNING id, zone";
    OBSERVE = concat!("UPDATE instances SET ", set!(), " WHERE id = $1 AND generation = $2
        AND (observed_incarnation < $10 OR (observed_incarnation = $10 AND observed_generation <= $9))");
    USER_DATA = "SELECT user_data FROM instances WHERE id = $1";
    USER_DATA_OF = "SELECT id, user_data FROM instances WHERE user_data IS NOT NULL";
    USER_DATA_SET = "UPDATE instances SET user_data = $2 WHERE id = $1";
    PLACEMENT = "SELECT placement FROM instances WHERE id = $1";
    IMAGE_USER = "SELECT id FROM instances WHERE image_id = $1 AND state <> 'terminated' LIMIT 1";
    LIST_TERMINATED_IN = "SELECT id FROM instances
        WHERE subnet_id = $1 AND account_id = $2 AND released AND terminated_ms IS NOT NULL ORDER BY id";
    DELETE = "DELETE FROM instances WHERE id = $1 AND terminated_ms IS NOT NULL";
}
/// PostgreSQL keeps other transactions from the row; in SQLite there is one writer anyway.
pub(crate) const PG_FETCH_LOCKED: &str = concat!("SELECT ", columns!(), " FROM instances WHERE id = $1 FOR UPDATE");

fn mutable(row: &InstanceRow) -> Vec<Arg> {
    args![
        row.id,
        row.generation,
        row.node_id,
        row.instance_type,
        row.intent,
        row.incarnation,
        row.reboot_seq,
        row.observed_phase,
        row.observed_generation,
        row.observed_incarnation,
        row.observed_network,
        row.observed_reboot_seq,
        row.state,
        row.state_reason_code,
        row.state_reason_message,
        row.transition_reason,
        row.released,
        row.launch_ms,
        row.state_changed_ms,
        row.terminated_ms,
        row.doc
    ]
}

/// Makes an instance.
pub async fn instance_insert(tx: &mut Tx, row: &InstanceRow, user_data: Option<&[u8]>) -> Result<(), StoreError> {
    instance_insert_later(tx, row, user_data, None).await?;
    tx.run_later().await
}

/// Makes an instance with how it was placed, as JSON. What the database has against it is said by the transaction's
/// next query or its commit.
pub async fn instance_insert_later(
    tx: &mut Tx,
    row: &InstanceRow,
    user_data: Option<&[u8]>,
    placement: Option<&str>,
) -> Result<(), StoreError> {
    let mut values = row.args();
    values.extend([user_data.to_arg(), placement.to_arg()]);
    tx.later(INSERT, values).await
}

/// The instance of this id.
pub async fn instance_fetch<'a>(exec: impl Into<Exec<'a>>, id: &InstanceId) -> Result<InstanceRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The instance of this id, which nobody else changes until this transaction ends.
pub async fn instance_fetch_locked(tx: &mut Tx, id: &InstanceId) -> Result<InstanceRow, StoreError> {
    let text = if matches!(tx.conn()?, TxConn::Pg(_)) { PG_FETCH_LOCKED } else { FETCH };
    Exec::Tx(tx).one(text, args![id], id).await
}

/// Those of these instances that there are, which nobody else changes until this transaction ends. At most
/// [`crate::FILTER_VALUES_MAX`].
///
/// # Errors
/// What the database says.
pub async fn instances_fetch_locked(tx: &mut Tx, ids: &BTreeSet<InstanceId>) -> Result<Vec<InstanceRow>, StoreError> {
    let ids: Vec<InstanceId> = ids.iter().cloned().collect();
    if tx.is_sqlite() {
        let filter = InstanceFilter { ids: Some(&ids), ..Default::default() };
        return instance_list(tx, filter, u32::MAX).await;
    }
    let mut rows = Vec::with_capacity(ids.len());
    // In order of ids, so that two who lock several do not wait for each other.
    for id in ids {
        rows.extend(Exec::Tx(tx).maybe(PG_FETCH_LOCKED, args![id]).await?);
    }
    Ok(rows)
}

/// Which instances.
#[derive(Debug, Default, Clone, Copy)]
pub struct InstanceFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [InstanceId]>,
    /// Only in these states.
    pub states: Option<&'a [InstanceState]>,
    /// Only in this zone.
    pub zone: Option<&'a ZoneName>,
    /// Only on this node.
    pub node: Option<&'a NodeId>,
    /// Only of these launches.
    pub reservations: Option<&'a [ReservationId]>,
    /// Not those whose termination is complete (reconcilers have nothing to do for them).
    pub unreleased: bool,
    /// Only those after this id.
    pub after: Option<&'a InstanceId>,
}

/// Instances, by id.
pub async fn instance_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: InstanceFilter<'_>,
    limit: u32,
) -> Result<Vec<InstanceRow>, StoreError> {
    filtered(filter, LIST_ACCOUNT, LIST_ANY)?.page(exec.into(), "id", limit).await
}

/// Ids and versions of instances, by id. The version grows with every change of anything that is shown of the
/// instance: its row, its interfaces, their groups and addresses, the tags of all these. Numbers grow in commit order
/// and an id is never used again, so what was read of an instance after its version was read holds as long as the
/// version is the same.
pub async fn instance_versions<'a>(
    exec: impl Into<Exec<'a>>,
    filter: InstanceFilter<'_>,
    limit: u32,
) -> Result<Vec<(InstanceId, u64)>, StoreError> {
    filtered(filter, VERSIONS_ACCOUNT, VERSIONS_ANY)?.page(exec.into(), "id", limit).await
}

fn filtered(filter: InstanceFilter<'_>, of_account: &'static str, of_any: &'static str) -> Result<Select, StoreError> {
    let mut select = match filter.account {
        Some(account) => Select::new(of_account, args![account]),
        None => Select::new(of_any, vec![]),
    };
    if filter.unreleased {
        select = select.and_text("NOT released");
    }
    select
        .and("id >", filter.after)
        .and("zone =", filter.zone)
        .and("node_id =", filter.node)
        .and_in("id", filter.ids)?
        .and_in("state", filter.states)?
        .and_in("reservation_id", filter.reservations)
}

/// Instances that became terminated before `before_ms`, oldest first.
pub async fn instance_list_purgeable<'a>(
    exec: impl Into<Exec<'a>>,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<InstanceId>, StoreError> {
    let rows = exec.into().all::<(InstanceId,)>(LIST_PURGE, args![before_ms, limit]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Terminated instances that were in this subnet, by id.
pub async fn instance_list_terminated_in<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    subnet: &SubnetId,
) -> Result<Vec<InstanceId>, StoreError> {
    let rows = exec.into().all::<(InstanceId,)>(LIST_TERMINATED_IN, args![subnet, account]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Writes a changed intent: every mutable field of `row`, whose `generation` is the one that was read. The new generation.
///
/// # Errors
/// [`StoreError::Stale`] when the intent was changed since, [`StoreError::NotFound`] when it is gone.
pub async fn instance_intent_update(tx: &mut Tx, row: &InstanceRow) -> Result<Generation, StoreError> {
    match Exec::Tx(tx).maybe::<(Generation,)>(INTENT, mutable(row)).await? {
        Some((generation,)) => Ok(generation),
        None => Err(stale_or_gone(tx, &row.id).await),
    }
}

/// Every instance that has a node, or is to have one, is not what it was: each gets a new generation. Which, and in which zone.
pub async fn instance_touch_all(tx: &mut Tx) -> Result<Vec<(InstanceId, ZoneName)>, StoreError> {
    Exec::Tx(tx).all(TOUCH_ALL, vec![]).await
}

/// Writes an observation and what follows from it: every mutable field of `row`, whose `generation` is the one that was
/// read. An observation older than the one recorded (lower incarnation, or lower generation of the same) is stale.
///
/// # Errors
/// [`StoreError::Stale`] when the intent was changed since or the observation is old: read again, and drop it if it is;
/// [`StoreError::NotFound`] when the instance is gone.
pub async fn instance_observe(tx: &mut Tx, row: &InstanceRow) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(OBSERVE, mutable(row)).await? {
        0 => Err(stale_or_gone(tx, &row.id).await),
        _ => Ok(()),
    }
}

/// As [`instance_observe`] for a row that was read in this transaction by [`instances_fetch_locked`], and of which the
/// caller knows that the observation is not old: nothing can have come between.
///
/// # Errors
/// What the database says.
pub async fn instance_observe_later(tx: &mut Tx, row: &InstanceRow) -> Result<(), StoreError> {
    tx.later(OBSERVE, mutable(row)).await
}

async fn stale_or_gone(tx: &mut Tx, id: &InstanceId) -> StoreError {
    match instance_fetch(tx, id).await {
        Ok(_) => StoreError::stale(id),
        Err(error) => error,
    }
}

/// The user data of an instance, decoded.
pub async fn instance_user_data<'a>(exec: impl Into<Exec<'a>>, id: &InstanceId) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(exec.into().one::<(Option<Vec<u8>>,)>(USER_DATA, args![id], id).await?.0)
}

/// The user data of those of these instances that have some.
///
/// # Errors
/// What the database says.
pub async fn instance_user_data_of<'a>(
    exec: impl Into<Exec<'a>>,
    ids: &[InstanceId],
) -> Result<Vec<(InstanceId, Vec<u8>)>, StoreError> {
    Select::new(USER_DATA_OF, vec![]).and_in("id", Some(ids))?.page(exec.into(), "id", u32::MAX).await
}

/// Replaces the user data (of a stopped instance).
pub async fn instance_user_data_set(tx: &mut Tx, id: &InstanceId, data: Option<&[u8]>) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(USER_DATA_SET, args![id, data]).await? {
        0 => Err(StoreError::not_found(id)),
        _ => Ok(()),
    }
}

/// Why the instance is where it is, or nowhere: the scheduler's last decision as JSON.
pub async fn instance_placement<'a>(exec: impl Into<Exec<'a>>, id: &InstanceId) -> Result<Option<String>, StoreError> {
    Ok(exec.into().one::<(Option<String>,)>(PLACEMENT, args![id], id).await?.0)
}

/// Whether an instance that is not terminated was made from this image.
pub async fn instance_image_used<'a>(exec: impl Into<Exec<'a>>, image: &ImageId) -> Result<bool, StoreError> {
    Ok(exec.into().maybe::<(InstanceId,)>(IMAGE_USER, args![image]).await?.is_some())
}

/// Forgets a terminated instance; true if it was there and terminated.
pub async fn instance_delete(tx: &mut Tx, id: &InstanceId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
