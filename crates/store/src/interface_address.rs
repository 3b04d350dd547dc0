//! Private addresses of interfaces besides their primary ones. Each is taken from the subnet as primary ones are
//! ([`crate::private_addresses_take`]), so that none is given twice.

use crate::StoreError;
use crate::address::private_addresses_release;
use crate::elastic_ip::elastic_ip_leave_address;
use crate::exec::Exec;
use crate::interface::interface_fetch_locked;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows_later};
use crate::tx::Tx;
use crate::value::ToArg as _;
use mallee_types::{InterfaceId, SubnetId};
use std::net::Ipv4Addr;

record! {
    /// A secondary private address.
    pub struct InterfaceAddressRow {
        /// Whose it is.
        interface_id: InterfaceId,
        /// The interface's subnet.
        subnet_id: SubnetId,
        /// Taken from the subnet; given back by [`interface_addresses_delete`].
        address: Ipv4Addr,
        /// Its place among the interface's, from 1: later ones have higher.
        position: u32,
    }
}

sql! {
    LIST = "SELECT interface_id, subnet_id, address, position FROM interface_addresses WHERE 1 = 1";
    DELETE = "DELETE FROM interface_addresses WHERE interface_id = $1 AND address = $2";
    MOVE = "UPDATE interface_addresses SET interface_id = $3, position = $4
        WHERE subnet_id = $1 AND address = $2 AND interface_id = $5";
    MOVE_ELASTIC = "UPDATE elastic_ips SET interface_id = $3 WHERE interface_id = $1 AND private_ip = $2";
    MOVE_PUBLIC = "UPDATE public_addresses SET interface_id = $3 WHERE interface_id = $1 AND private_ip = $2";
}

/// Notes addresses that were taken for the interface. Conflict: `interface_addresses_subnet_id_address`.
pub async fn interface_addresses_insert(tx: &mut Tx, rows: &[InterfaceAddressRow]) -> Result<(), StoreError> {
    let rows = rows.iter().map(InterfaceAddressRow::args).collect();
    let head = "INSERT INTO interface_addresses (interface_id, subnet_id, address, position) VALUES ";
    insert_rows_later(tx, head, "", rows).await
}

/// The secondary addresses of these interfaces, or of all, in the order of interfaces and positions, after this one.
pub async fn interface_address_list<'a>(
    exec: impl Into<Exec<'a>>,
    interfaces: Option<&[InterfaceId]>,
    after: Option<&InterfaceAddressRow>,
    limit: u32,
) -> Result<Vec<InterfaceAddressRow>, StoreError> {
    let mut select = Select::new(LIST, vec![]).and_in("interface_id", interfaces)?;
    if let Some(after) = after {
        select = select.and_pair("(interface_id, position) >", after.interface_id.to_arg(), after.position.to_arg());
    }
    select.page(exec.into(), "interface_id, position", limit).await
}

/// Whose secondary addresses of a subnet these are; those that are none are left out.
pub async fn interface_address_holders<'a>(
    exec: impl Into<Exec<'a>>,
    subnet: &SubnetId,
    addresses: &[Ipv4Addr],
) -> Result<Vec<InterfaceAddressRow>, StoreError> {
    let select = Select::new(LIST, vec![]).and("subnet_id =", Some(subnet)).and_in("address", Some(addresses))?;
    select.all(exec.into(), " ORDER BY address").await
}

/// Takes an address from its interface: it goes back to the subnet, and an elastic IP that leads to it leads nowhere.
/// False when it was not the interface's.
pub async fn interface_address_delete(tx: &mut Tx, row: &InterfaceAddressRow) -> Result<bool, StoreError> {
    if Exec::Tx(tx).run(DELETE, args![row.interface_id, row.address]).await? == 0 {
        return Ok(false);
    }
    elastic_ip_leave_address(tx, &row.interface_id, row.address).await?;
    private_addresses_release(tx, &row.subnet_id, &[row.address]).await?;
    Ok(true)
}

/// Gives an address of one interface to another of the same subnet, at this position, with the elastic IP that leads to
/// it. Both interfaces are locked, in order of their ids.
///
/// # Errors
/// [`StoreError::Stale`] when the address is not that interface's any more, [`StoreError::NotFound`] when one of the two
/// is gone.
pub async fn interface_address_move(
    tx: &mut Tx,
    row: &InterfaceAddressRow,
    to: &InterfaceId,
    position: u32,
) -> Result<(), StoreError> {
    for id in [(&row.interface_id).min(to), (&row.interface_id).max(to)] {
        interface_fetch_locked(tx, id).await?;
    }
    let values = args![row.subnet_id, row.address, to, position, row.interface_id];
    if Exec::Tx(tx).run(MOVE, values).await? == 0 {
        return Err(StoreError::stale(&row.interface_id));
    }
    Exec::Tx(tx).run(MOVE_ELASTIC, args![row.interface_id, row.address, to]).await?;
    Exec::Tx(tx).run(MOVE_PUBLIC, args![row.interface_id, row.address, to]).await.map(drop)
}
