//! Elastic IPs: public addresses that belong to an account until it releases them, whatever becomes of its instances.
//!
//! While one is associated, `public_addresses` holds it with its interface, as it holds those that come and go with an
//! instance: what an interface shows to the world is there, whichever kind it is.

use crate::StoreError;
use crate::address::{public_address_put_back, public_address_show};
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, AddressId, AllocationId, InterfaceId};
use std::net::Ipv4Addr;

record! {
    /// An elastic IP.
    pub struct ElasticIpRow {
        /// `eipalloc-…`.
        id: AllocationId,
        /// Whose.
        account_id: AccountId,
        /// Taken from the public pool ([`crate::public_addresses_take`]); given back by [`elastic_ip_delete`].
        address: Ipv4Addr,
        /// `eipassoc-…`, while it is associated.
        association_id: Option<AddressId>,
        /// The interface that it leads to.
        interface_id: Option<InterfaceId>,
        /// When it was allocated.
        allocated_ms: i64,
        /// The private address of the interface that it leads to; none: the primary one.
        private_ip: Option<Ipv4Addr>,
    }
}

sql! {
    INSERT = "INSERT INTO elastic_ips (id, account_id, address, association_id, interface_id, allocated_ms, private_ip)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LIST = "SELECT id, account_id, address, association_id, interface_id, allocated_ms, private_ip FROM elastic_ips
        WHERE 1 = 1";
    ASSOCIATE = "UPDATE elastic_ips SET association_id = $2, interface_id = $3, private_ip = $5
        WHERE id = $1 AND COALESCE(association_id, '') = $4";
    DISASSOCIATE = "UPDATE elastic_ips SET association_id = NULL, interface_id = NULL, private_ip = NULL
        WHERE association_id = $1 RETURNING address";
    LEAVE = "UPDATE elastic_ips SET association_id = NULL, interface_id = NULL, private_ip = NULL
        WHERE interface_id = $1 RETURNING address";
    LEAVE_ADDRESS = "UPDATE elastic_ips SET association_id = NULL, interface_id = NULL, private_ip = NULL
        WHERE interface_id = $1 AND private_ip = $2 RETURNING address";
    HIDE = "DELETE FROM public_addresses WHERE address = $1";
    DELETE = "DELETE FROM elastic_ips WHERE id = $1 AND association_id IS NULL RETURNING address";
}

/// Which elastic IPs: each given field must hold.
#[derive(Debug, Default, Clone, Copy)]
pub struct ElasticIpFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [AllocationId]>,
    /// Only those with these addresses.
    pub addresses: Option<&'a [Ipv4Addr]>,
    /// Only those with these associations.
    pub associations: Option<&'a [AddressId]>,
    /// Only those of these interfaces.
    pub interfaces: Option<&'a [InterfaceId]>,
    /// Only those after this id.
    pub after: Option<&'a AllocationId>,
}

/// Notes an elastic IP whose address was taken from the pool. Conflict: `elastic_ips_address` when it is one already.
pub async fn elastic_ip_insert(tx: &mut Tx, row: &ElasticIpRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Elastic IPs, by id.
pub async fn elastic_ip_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: ElasticIpFilter<'_>,
    limit: u32,
) -> Result<Vec<ElasticIpRow>, StoreError> {
    let select = Select::new(LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and_in("id", filter.ids)?
        .and_in("address", filter.addresses)?
        .and_in("association_id", filter.associations)?
        .and_in("interface_id", filter.interfaces)?;
    select.page(exec.into(), "id", limit).await
}

/// Has the address of `row`, as it was read, lead to this interface under a new association; false when it has another
/// association by now, or is gone. `private_ip`: the secondary address of the interface that it is to lead to; none: the
/// primary one. Conflicts: `elastic_ips_interface_id` and `public_addresses_interface_id` when that has a public address. [`StoreError::InUse`], now or at the commit, when the interface is gone.
pub async fn elastic_ip_associate(
    tx: &mut Tx,
    row: &ElasticIpRow,
    association: &AddressId,
    interface: &InterfaceId,
    private_ip: Option<Ipv4Addr>,
) -> Result<bool, StoreError> {
    let before = row.association_id.as_ref().map_or("", |id| id.as_str());
    if Exec::Tx(tx).run(ASSOCIATE, args![row.id, association, interface, before, private_ip]).await? == 0 {
        return Ok(false);
    }
    Exec::Tx(tx).run(HIDE, args![row.address]).await?;
    public_address_show(tx, row.address, interface, private_ip, &row.account_id).await?;
    tx.run_later().await?;
    Ok(true)
}

/// Ends an association; false when there is no such one.
pub async fn elastic_ip_disassociate(tx: &mut Tx, association: &AddressId) -> Result<bool, StoreError> {
    let freed = Exec::Tx(tx).all(DISASSOCIATE, args![association]).await?;
    hide(tx, freed).await
}

/// Ends the associations of an interface before the interface goes.
pub(crate) async fn elastic_ip_leave(tx: &mut Tx, interface: &InterfaceId) -> Result<bool, StoreError> {
    let freed = Exec::Tx(tx).all(LEAVE, args![interface]).await?;
    hide(tx, freed).await
}

/// Ends the association of a secondary address, if it has one, before the address goes.
pub(crate) async fn elastic_ip_leave_address(
    tx: &mut Tx,
    interface: &InterfaceId,
    private_ip: Ipv4Addr,
) -> Result<bool, StoreError> {
    let freed = Exec::Tx(tx).all(LEAVE_ADDRESS, args![interface, private_ip]).await?;
    hide(tx, freed).await
}

async fn hide(tx: &mut Tx, freed: Vec<(Ipv4Addr,)>) -> Result<bool, StoreError> {
    for (address,) in &freed {
        Exec::Tx(tx).run(HIDE, args![address]).await?;
    }
    Ok(!freed.is_empty())
}

/// Releases an elastic IP: its address goes back to the pool. False when it is associated, or gone.
pub async fn elastic_ip_delete(tx: &mut Tx, id: &AllocationId) -> Result<bool, StoreError> {
    let freed = Exec::Tx(tx).maybe::<(Ipv4Addr,)>(DELETE, args![id]).await?;
    let Some((address,)) = freed else { return Ok(false) };
    public_address_put_back(tx, address).await?;
    Ok(true)
}
