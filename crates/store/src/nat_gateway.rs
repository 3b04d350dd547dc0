//! NAT gateways: made, up, going, and those that are gone or failed for as long as they are shown.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{PAGE_ROWS_MAX, Select};
use crate::tx::Tx;
use crate::value::{ToArg as _, words};
use mallee_types::{
    AccountId, AddressId, AllocationId, Generation, Incarnation, InterfaceId, NatGatewayId, NodeId, SubnetId, VpcId,
    ZoneName,
};
use std::net::Ipv4Addr;

/// How far a NAT gateway has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatGatewayState {
    /// Its node has not said that it is up.
    Pending,
    /// It could not be.
    Failed,
    /// It translates.
    Available,
    /// It is to go; its node may still have it.
    Deleting,
    /// Its node has let go of it, and its addresses are free.
    Deleted,
}
words! {
    NatGatewayState {
        Pending = "pending", Failed = "failed", Available = "available", Deleting = "deleting", Deleted = "deleted",
    }
}

impl NatGatewayState {
    /// AWS's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Available => "available",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// Whether it has an interface, and a place on a node.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Available | Self::Deleting)
    }
}

record! {
    /// A NAT gateway.
    pub struct NatGatewayRow {
        /// `nat-…`.
        id: NatGatewayId,
        /// Whose.
        account_id: AccountId,
        /// Its VPC.
        vpc_id: VpcId,
        /// Its subnet.
        subnet_id: SubnetId,
        /// Its subnet's zone.
        zone: ZoneName,
        /// Between private networks only: it has no public address.
        private: bool,
        /// The interface that it was made with; one that failed has none. Its addresses are what that had.
        interface_id: Option<InterfaceId>,
        /// The interface's address.
        private_ip: Option<Ipv4Addr>,
        /// The elastic IP that it was made with.
        allocation_id: Option<AllocationId>,
        /// The association of that with the interface.
        association_id: Option<AddressId>,
        /// The address of that.
        public_ip: Option<Ipv4Addr>,
        /// How far it has come.
        state: NatGatewayState,
        /// Why it failed, as AWS names it.
        failure_code: Option<String>,
        /// The same in words.
        failure_message: Option<String>,
        /// The node that translates.
        node_id: Option<NodeId>,
        /// Which of its places that is.
        incarnation: Incarnation,
        /// Grows with every change that nodes must hear of.
        generation: Generation,
        /// When it was made.
        created_ms: i64,
        /// When it failed, or was gone.
        ended_ms: Option<i64>,
    }
}

macro_rules! columns {
    () => {
        "id, account_id, vpc_id, subnet_id, zone, private, interface_id, private_ip, allocation_id, association_id,
            public_ip, state, failure_code, failure_message, node_id, incarnation, generation, created_ms, ended_ms"
    };
}

sql! {
    INSERT = concat!("INSERT INTO nat_gateways (", columns!(), ", live_interface)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)");
    LIST = concat!("SELECT ", columns!(), " FROM nat_gateways WHERE 1 = 1");
    LIVE = concat!("SELECT ", columns!(), " FROM nat_gateways WHERE live_interface IS NOT NULL");
    IN_ZONE = "SELECT COUNT(*) FROM nat_gateways WHERE account_id = $1 AND zone = $2 AND live_interface IS NOT NULL";
    NODES = "SELECT node_id, COUNT(*) FROM nat_gateways WHERE zone = $1 AND live_interface IS NOT NULL
        AND node_id IS NOT NULL GROUP BY node_id ORDER BY node_id";
    UP = "UPDATE nat_gateways SET state = 'available' WHERE id = $1 AND node_id = $2 AND incarnation = $3
        AND state = 'pending'";
    DELETE = "UPDATE nat_gateways SET state = 'deleting', generation = generation + 1
        WHERE id = $1 AND state IN ('pending', 'available')";
    TOUCH = "UPDATE nat_gateways SET generation = generation + 1 WHERE id = $1 AND state = 'available'
        RETURNING generation";
    GONE = "UPDATE nat_gateways SET state = 'deleted', generation = generation + 1, ended_ms = $2,
        live_interface = NULL WHERE id = $1 AND state = 'deleting'";
    GONE_ADDRESSES = "DELETE FROM nat_addresses WHERE gateway_id = $1";
    FAILED_GONE = "UPDATE nat_gateways SET state = 'deleted', ended_ms = $2 WHERE id = $1 AND state = 'failed'";
    OVER = "SELECT id FROM nat_gateways WHERE live_interface IS NULL AND ended_ms <= $1";
    ENDED = "SELECT id FROM nat_gateways WHERE live_interface IS NULL AND account_id = $1";
    FORGET = "DELETE FROM nat_gateways WHERE id = $1 AND live_interface IS NULL";
}

/// Notes a gateway, with its interface unless it failed. [`StoreError::InUse`] when that is gone.
pub async fn nat_gateway_insert(tx: &mut Tx, row: &NatGatewayRow) -> Result<(), StoreError> {
    let mut args = row.args();
    args.push(row.interface_id.clone().filter(|_| row.state.is_live()).to_arg());
    Exec::Tx(tx).run(INSERT, args).await.map(drop)
}

/// Which gateways.
#[derive(Debug, Default, Clone, Copy)]
pub struct NatGatewayFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [NatGatewayId]>,
    /// Only in this state.
    pub state: Option<NatGatewayState>,
    /// Only those that have an interface, and a place on a node.
    pub live: bool,
    /// Only those after this id.
    pub after: Option<&'a NatGatewayId>,
}

/// Gateways, by id.
pub async fn nat_gateway_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: NatGatewayFilter<'_>,
    limit: u32,
) -> Result<Vec<NatGatewayRow>, StoreError> {
    let select = Select::new(if filter.live { LIVE } else { LIST }, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and("state =", filter.state)
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// How many live gateways an account has in a zone.
pub async fn nat_gateway_count<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    zone: &ZoneName,
) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(IN_ZONE, args![account, zone], zone).await?.0)
}

/// How many live gateways, whosesoever, the nodes of a zone have; those that have none are not named.
pub async fn nat_gateway_nodes<'a>(
    exec: impl Into<Exec<'a>>,
    zone: &ZoneName,
) -> Result<Vec<(NodeId, u64)>, StoreError> {
    exec.into().all(NODES, args![zone]).await
}

/// A node says that a gateway is up there; false when it is not waited for (any more).
pub async fn nat_gateway_up(
    tx: &mut Tx,
    id: &NatGatewayId,
    node: &NodeId,
    incarnation: Incarnation,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(UP, args![id, node, incarnation]).await? > 0)
}

/// A gateway is to go; false when it is not there (any more), or failed.
pub async fn nat_gateway_delete(tx: &mut Tx, id: &NatGatewayId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// A gateway's addresses change: its new generation, and nobody else changes it until the transaction ends. `None` when it is
/// not available.
pub async fn nat_gateway_touch(tx: &mut Tx, id: &NatGatewayId) -> Result<Option<Generation>, StoreError> {
    Ok(Exec::Tx(tx).maybe::<(Generation,)>(TOUCH, args![id]).await?.map(|(generation,)| generation))
}

/// A gateway is gone from its node: its interface may be deleted. False when it was not about to go.
pub async fn nat_gateway_gone(tx: &mut Tx, id: &NatGatewayId, now_ms: i64) -> Result<bool, StoreError> {
    if Exec::Tx(tx).run(GONE, args![id, now_ms]).await? == 0 {
        return Ok(false);
    }
    Exec::Tx(tx).run(GONE_ADDRESSES, args![id]).await?;
    Ok(true)
}

/// One that failed is deleted; false when there is none.
pub async fn nat_gateway_failed_delete(tx: &mut Tx, id: &NatGatewayId, now_ms: i64) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(FAILED_GONE, args![id, now_ms]).await? > 0)
}

/// Gateways that ended at or before this time (in ms), by id.
pub async fn nat_gateway_list_over<'a>(
    exec: impl Into<Exec<'a>>,
    before_ms: i64,
    limit: u32,
) -> Result<Vec<NatGatewayId>, StoreError> {
    let rows: Vec<(NatGatewayId,)> = Select::new(OVER, args![before_ms]).page(exec.into(), "id", limit).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Gateways of an account that have ended, the newest first.
pub async fn nat_gateway_list_ended<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
) -> Result<Vec<NatGatewayId>, StoreError> {
    let select = Select::new(ENDED, args![account]);
    let rows: Vec<(NatGatewayId,)> = select.page(exec.into(), "ended_ms DESC, id", PAGE_ROWS_MAX).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Forgets a gateway that has ended.
pub async fn nat_gateway_forget(tx: &mut Tx, id: &NatGatewayId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(FORGET, args![id]).await? > 0)
}
