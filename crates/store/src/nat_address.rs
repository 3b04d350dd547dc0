//! Addresses of NAT gateways besides their primary ones: on their way, in use, and on their way out. Each is a secondary
//! address of the gateway's interface ([`crate::InterfaceAddressRow`]); here is what becomes of it.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{PAGE_ROWS_MAX, Select, insert_rows};
use crate::tx::Tx;
use crate::value::words;
use mallee_types::{AddressId, AllocationId, Generation, NatGatewayId};
use std::net::Ipv4Addr;

/// Gateways whose addresses are read at once: all of theirs are fewer than a page has.
const GATEWAYS_AT_ONCE: usize = 25;

/// How far an address has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatAddressState {
    /// The gateway's node has not said that it has it.
    Adding,
    /// Flows go by it.
    Up,
    /// No new flow goes by it.
    Draining,
    /// No flow goes by it; the gateway's node may still have it.
    Leaving,
}
words! {
    NatAddressState { Adding = "adding", Up = "up", Draining = "draining", Leaving = "leaving" }
}

record! {
    /// An address of a NAT gateway, not its primary one.
    pub struct NatAddressRow {
        /// The gateway.
        gateway_id: NatGatewayId,
        /// A secondary address of its interface.
        address: Ipv4Addr,
        /// The elastic IP that leads to it; a private gateway's have none.
        allocation_id: Option<AllocationId>,
        /// The association of that.
        association_id: Option<AddressId>,
        /// The address of that.
        public_ip: Option<Ipv4Addr>,
        /// How far it has come.
        state: NatAddressState,
        /// The gateway's, since which it is so.
        generation: Generation,
        /// When the flows of one that drains end.
        drained_ms: Option<i64>,
    }
}

macro_rules! columns {
    () => {
        "gateway_id, address, allocation_id, association_id, public_ip, state, generation, drained_ms"
    };
}

sql! {
    LIST = concat!("SELECT ", columns!(), " FROM nat_addresses WHERE 1 = 1");
    DRAINED = concat!("SELECT ", columns!(), " FROM nat_addresses WHERE state = 'draining' AND drained_ms <= $1
        AND EXISTS (SELECT 1 FROM nat_gateways g WHERE g.id = gateway_id AND g.state = 'available')");
    UP = "UPDATE nat_addresses SET state = 'up' WHERE gateway_id = $1 AND state = 'adding' AND generation <= $2";
    DRAIN = "UPDATE nat_addresses SET state = 'draining', generation = $3, drained_ms = $4
        WHERE gateway_id = $1 AND address = $2 AND state IN ('adding', 'up')";
    LEAVE = "UPDATE nat_addresses SET state = 'leaving', generation = $3
        WHERE gateway_id = $1 AND address = $2 AND state = 'draining'";
    DELETE = "DELETE FROM nat_addresses WHERE gateway_id = $1 AND address = $2 AND state = 'leaving' AND generation <= $3";
}

/// Notes addresses. Conflict: `nat_addresses_gateway_id_address`.
pub async fn nat_address_insert(tx: &mut Tx, rows: &[NatAddressRow]) -> Result<(), StoreError> {
    let rows = rows.iter().map(NatAddressRow::args).collect();
    let head = concat!("INSERT INTO nat_addresses (", columns!(), ") VALUES ");
    insert_rows(Exec::Tx(tx), head, "", rows).await.map(drop)
}

/// All addresses of these gateways but the primary ones, by gateway and address.
pub async fn nat_address_list<'a>(
    exec: impl Into<Exec<'a>>,
    gateways: &[NatGatewayId],
) -> Result<Vec<NatAddressRow>, StoreError> {
    let (mut exec, mut rows) = (exec.into(), Vec::new());
    for some in gateways.chunks(GATEWAYS_AT_ONCE) {
        let select = Select::new(LIST, vec![]).and_in("gateway_id", Some(some))?;
        rows.extend(select.page::<NatAddressRow>(exec.again(), "gateway_id, address", PAGE_ROWS_MAX).await?);
    }
    Ok(rows)
}

/// Those whose flows end at or before this time (in ms), the earliest first. Those of a gateway that is about to go, go with it.
pub async fn nat_address_list_drained<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<NatAddressRow>, StoreError> {
    Select::new(DRAINED, args![now_ms]).page(exec.into(), "drained_ms, gateway_id, address", limit).await
}

/// A node has the gateway as of this generation: how many addresses are up that were not.
pub async fn nat_address_up(tx: &mut Tx, id: &NatGatewayId, generation: Generation) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(UP, args![id, generation]).await
}

/// An address takes no new flow from this generation of its gateway on; false when it does not by now, or is gone.
pub async fn nat_address_drain(
    tx: &mut Tx,
    row: &NatAddressRow,
    generation: Generation,
    drained_ms: i64,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DRAIN, args![row.gateway_id, row.address, generation, drained_ms]).await? > 0)
}

/// An address has drained; false when it was not about to.
pub async fn nat_address_leave(tx: &mut Tx, row: &NatAddressRow, generation: Generation) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(LEAVE, args![row.gateway_id, row.address, generation]).await? > 0)
}

/// Forgets an address that its gateway's node, which has the gateway as of this generation, has let go of; false when that is
/// not so.
pub async fn nat_address_delete(tx: &mut Tx, row: &NatAddressRow, applied: Generation) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![row.gateway_id, row.address, applied]).await? > 0)
}
