//! Placement groups and which instances are in them.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::words;
use mallee_types::{AccountId, InstanceId, PlacementGroupId, ZoneName};

/// How a group places its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlacementStrategy {
    /// Near to each other.
    Cluster,
    /// Each on a node of its own.
    Spread,
    /// In partitions that share no node.
    Partition,
}
words! { PlacementStrategy { Cluster = "cluster", Spread = "spread", Partition = "partition" } }

record! {
    /// A placement group.
    pub struct PlacementGroupRow {
        /// `pg-…`.
        id: PlacementGroupId,
        /// Whose.
        account_id: AccountId,
        /// Unique in the account.
        name: String,
        /// How it places.
        strategy: PlacementStrategy,
        /// 0 unless the strategy is `Partition`.
        partition_count: u32,
        /// `rack` or `host`; empty unless the strategy is `Spread`.
        spread_level: String,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO placement_groups (id, account_id, name, strategy, partition_count, spread_level, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LIST = "SELECT id, account_id, name, strategy, partition_count, spread_level, created_ms
        FROM placement_groups WHERE account_id = $1";
    DELETE = "DELETE FROM placement_groups WHERE account_id = $1 AND id = $2";
    JOIN = "INSERT INTO placement_members (instance_id, group_id, zone) VALUES ($1, $2, $3)
        ON CONFLICT (instance_id) DO UPDATE SET group_id = excluded.group_id";
    LEAVE = "DELETE FROM placement_members WHERE instance_id = $1";
    MEMBERS = "SELECT COUNT(*) FROM placement_members WHERE group_id = $1";
    ZONES = "SELECT DISTINCT zone FROM placement_members WHERE group_id = $1 ORDER BY zone";
}

/// Makes a group. Conflict: `placement_groups_account_id_name`.
pub async fn placement_group_insert(tx: &mut Tx, row: &PlacementGroupRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The account's groups by id, after `after`; each given list must hold.
pub async fn placement_group_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[PlacementGroupId]>,
    names: Option<&[String]>,
    after: Option<&PlacementGroupId>,
    limit: u32,
) -> Result<Vec<PlacementGroupRow>, StoreError> {
    let select = Select::new(LIST, args![account]).and("id >", after).and_in("id", ids)?.and_in("name", names)?;
    select.page(exec.into(), "id", limit).await
}

/// Removes a group; true if it was there.
///
/// # Errors
/// [`StoreError::InUse`] while it has members (PostgreSQL says so at once or at the commit).
pub async fn placement_group_delete(
    tx: &mut Tx,
    account: &AccountId,
    id: &PlacementGroupId,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![account, id]).await? > 0)
}

/// An instance is in this group from now on, and in no other.
///
/// # Errors
/// [`StoreError::InUse`] when there is no such group any more.
pub async fn placement_group_join(
    tx: &mut Tx,
    instance: &InstanceId,
    id: &PlacementGroupId,
    zone: &ZoneName,
) -> Result<(), StoreError> {
    Exec::Tx(tx).run(JOIN, args![instance, id, zone]).await.map(drop)
}

/// An instance is in no group from now on.
pub async fn placement_group_leave(tx: &mut Tx, instance: &InstanceId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(LEAVE, args![instance]).await.map(drop)
}

/// How many members a group has.
pub async fn placement_group_member_count<'a>(
    exec: impl Into<Exec<'a>>,
    id: &PlacementGroupId,
) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(MEMBERS, args![id], id).await?.0)
}

/// The zones a group has members in.
pub async fn placement_group_zones<'a>(
    exec: impl Into<Exec<'a>>,
    id: &PlacementGroupId,
) -> Result<Vec<ZoneName>, StoreError> {
    Ok(exec.into().all::<(ZoneName,)>(ZONES, args![id]).await?.into_iter().map(|(zone,)| zone).collect())
}
