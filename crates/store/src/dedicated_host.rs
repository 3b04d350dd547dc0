//! Dedicated hosts, and which instances are on them.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::words;
use mallee_types::{AccountId, Generation, HostId, InstanceId, NodeId, ZoneName};

/// What has become of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostState {
    /// Its account's.
    Available,
    /// Given back.
    Released,
}
words! { HostState { Available = "available", Released = "released" } }

record! {
    /// A dedicated host.
    pub struct HostRow {
        /// `h-…`.
        id: HostId,
        /// Whose.
        account_id: AccountId,
        /// Where.
        zone: ZoneName,
        /// The node it is.
        node_id: NodeId,
        /// What has become of it.
        state: HostState,
        /// Grows with every change a cluster controller must hear of.
        generation: Generation,
        /// The one size it takes…
        instance_type: Option<String>,
        /// … or the family of sizes.
        instance_family: Option<String>,
        /// Whether it takes instances that name no host.
        auto_placement: bool,
        /// The token of the call that allocated it.
        client_token: Option<String>,
        /// What the node hands out.
        vcpus: u32,
        /// What the node hands out.
        memory_mib: u64,
        /// What the node hands out.
        disk_bytes: u64,
        /// When it was allocated.
        created_ms: i64,
        /// When it was given back.
        released_ms: Option<i64>,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, zone, node_id, state, generation, instance_type, instance_family, auto_placement,
        client_token, vcpus, memory_mib, disk_bytes, created_ms, released_ms"
    };
}

sql! {
    INSERT = concat!("INSERT INTO dedicated_hosts (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)");
    LIST_ACCOUNT = concat!("SELECT ", columns!(), " FROM dedicated_hosts WHERE account_id = $1");
    LIST_ANY = concat!("SELECT ", columns!(), " FROM dedicated_hosts WHERE 1 = 1");
    FETCH = concat!("SELECT ", columns!(), " FROM dedicated_hosts WHERE id = $1");
    // Also what makes those who change or use a host wait for each other.
    LOCK = "UPDATE dedicated_hosts SET state = state WHERE id = $1";
    UPDATE = "UPDATE dedicated_hosts SET generation = generation + 1, state = $3, instance_type = $4,
        instance_family = $5, auto_placement = $6, released_ms = $7 WHERE id = $1 AND generation = $2";
    COUNT = "SELECT COUNT(*) FROM dedicated_hosts WHERE account_id = $1 AND state = 'available'";
    USE = "INSERT INTO host_uses (instance_id, host_id) VALUES ($1, $2)
        ON CONFLICT (instance_id) DO UPDATE SET host_id = excluded.host_id";
    UNUSE = "DELETE FROM host_uses WHERE instance_id = $1";
    USERS = "SELECT u.host_id, u.instance_id FROM host_uses u WHERE 1 = 1";
    PURGEABLE = "SELECT id FROM dedicated_hosts WHERE released_ms IS NOT NULL AND released_ms < $1
        AND NOT EXISTS (SELECT 1 FROM host_uses u WHERE u.host_id = dedicated_hosts.id) ORDER BY id LIMIT $2 + 0";
    DELETE = "DELETE FROM dedicated_hosts WHERE id = $1 AND released_ms IS NOT NULL";
}

/// Which hosts.
#[derive(Debug, Default, Clone, Copy)]
pub struct HostFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [HostId]>,
    /// Only in this state.
    pub state: Option<HostState>,
    /// Only in this zone.
    pub zone: Option<&'a ZoneName>,
    /// Only those after this id.
    pub after: Option<&'a HostId>,
}

/// Makes a host. Conflict: `dedicated_hosts_node_id` when its node is one already.
pub async fn host_insert(tx: &mut Tx, row: &HostRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Hosts, by id.
pub async fn host_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: HostFilter<'_>,
    limit: u32,
) -> Result<Vec<HostRow>, StoreError> {
    let select = match filter.account {
        Some(account) => Select::new(LIST_ACCOUNT, args![account]),
        None => Select::new(LIST_ANY, vec![]),
    };
    let select = select.and("id >", filter.after).and("zone =", filter.zone).and("state =", filter.state);
    select.and_in("id", filter.ids)?.page(exec.into(), "id", limit).await
}

/// The host of this id.
pub async fn host_fetch<'a>(exec: impl Into<Exec<'a>>, id: &HostId) -> Result<HostRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The host of this id, which nobody else changes or begins to use until this transaction ends.
pub async fn host_fetch_locked(tx: &mut Tx, id: &HostId) -> Result<HostRow, StoreError> {
    Exec::Tx(tx).run(LOCK, args![id]).await?;
    Exec::Tx(tx).one(FETCH, args![id], id).await
}

/// Writes what of a host may change, one generation further.
///
/// # Errors
/// [`StoreError::Stale`] when it was changed since it was read, or is gone.
pub async fn host_update(tx: &mut Tx, row: &HostRow) -> Result<(), StoreError> {
    let values = args![
        row.id,
        row.generation,
        row.state,
        row.instance_type,
        row.instance_family,
        row.auto_placement,
        row.released_ms
    ];
    match Exec::Tx(tx).run(UPDATE, values).await? {
        0 => Err(StoreError::stale(&row.id)),
        _ => Ok(()),
    }
}

/// How many hosts the account has.
pub async fn host_count<'a>(exec: impl Into<Exec<'a>>, account: &AccountId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(COUNT, args![account], account).await?.0)
}

/// An instance is on this host from now on, and on no other.
///
/// # Errors
/// [`StoreError::InUse`] when there is no such host.
pub async fn host_use(tx: &mut Tx, instance: &InstanceId, id: &HostId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(USE, args![instance, id]).await.map(drop)
}

/// An instance is on no host from now on.
pub async fn host_unuse(tx: &mut Tx, instance: &InstanceId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(UNUSE, args![instance]).await.map(drop)
}

/// The instances on these hosts, with their hosts, by instance; after `after`.
pub async fn host_users<'a>(
    exec: impl Into<Exec<'a>>,
    ids: &[HostId],
    after: Option<&InstanceId>,
    limit: u32,
) -> Result<Vec<(HostId, InstanceId)>, StoreError> {
    let select = Select::new(USERS, vec![]).and("u.instance_id >", after).and_in("u.host_id", Some(ids))?;
    select.page(exec.into(), "u.instance_id", limit).await
}

/// Hosts that were released before `before_ms` and that no instance remembers.
pub async fn host_list_purgeable<'a>(
    exec: impl Into<Exec<'a>>,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<HostId>, StoreError> {
    let rows = exec.into().all::<(HostId,)>(PURGEABLE, args![before_ms, limit]).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Forgets a host that was released.
pub async fn host_delete(tx: &mut Tx, id: &HostId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
