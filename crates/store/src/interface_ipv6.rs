//! The IPv6 addresses of interfaces: of their subnets' IPv6 blocks, each on one interface. They go with the interface, and
//! are free again at once.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::{Select, insert_rows_later};
use crate::tx::Tx;
use crate::value::ToArg as _;
use mallee_types::{InterfaceId, SubnetCidrAssociationId};
use std::net::Ipv6Addr;

record! {
    /// An IPv6 address of an interface.
    pub struct InterfaceIpv6Row {
        /// Whose it is.
        interface_id: InterfaceId,
        /// The subnet's block that it is of.
        subnet_cidr_id: SubnetCidrAssociationId,
        /// The address.
        address: Ipv6Addr,
        /// Its place among the interface's, from 1: later ones have higher.
        position: u32,
    }
}

sql! {
    LIST = "SELECT interface_id, subnet_cidr_id, address, position FROM interface_ipv6_addresses WHERE 1 = 1";
    DELETE = "DELETE FROM interface_ipv6_addresses WHERE interface_id = $1 AND address = $2";
}

/// Gives interfaces addresses; what the database has against them (the conflict `interface_ipv6_addresses_address`, or
/// [`StoreError::InUse`] for a block or an interface that is gone) is said by the transaction's next query or its commit.
pub async fn interface_ipv6_insert(tx: &mut Tx, rows: &[InterfaceIpv6Row]) -> Result<(), StoreError> {
    let rows = rows.iter().map(InterfaceIpv6Row::args).collect();
    let head = "INSERT INTO interface_ipv6_addresses (interface_id, subnet_cidr_id, address, position) VALUES ";
    insert_rows_later(tx, head, "", rows).await
}

/// The IPv6 addresses of these interfaces, or of all, in the order of interfaces and positions, after this one.
pub async fn interface_ipv6_list<'a>(
    exec: impl Into<Exec<'a>>,
    interfaces: Option<&[InterfaceId]>,
    after: Option<&InterfaceIpv6Row>,
    limit: u32,
) -> Result<Vec<InterfaceIpv6Row>, StoreError> {
    let mut select = Select::new(LIST, vec![]).and_in("interface_id", interfaces)?;
    if let Some(after) = after {
        select = select.and_pair("(interface_id, position) >", after.interface_id.to_arg(), after.position.to_arg());
    }
    select.page(exec.into(), "interface_id, position", limit).await
}

/// Those of these addresses that interfaces have.
pub async fn interface_ipv6_holders<'a>(
    exec: impl Into<Exec<'a>>,
    addresses: &[Ipv6Addr],
) -> Result<Vec<InterfaceIpv6Row>, StoreError> {
    Select::new(LIST, vec![]).and_in("address", Some(addresses))?.all(exec.into(), " ORDER BY address").await
}

/// Takes an address from its interface; false when that did not have it.
pub async fn interface_ipv6_delete(tx: &mut Tx, id: &InterfaceId, address: Ipv6Addr) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id, address]).await? > 0)
}
