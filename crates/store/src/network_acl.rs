//! Network ACLs, their entries, and which subnet has which.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use ipnet::IpNet;
use mallee_types::{AccountId, Generation, NetworkAclAssociationId, NetworkAclId, SubnetId, VpcId};

record! {
    /// A network ACL.
    pub struct NetworkAclRow {
        /// `acl-…`.
        id: NetworkAclId,
        /// Whose.
        account_id: AccountId,
        /// Its VPC.
        vpc_id: VpcId,
        /// Subnets that are made in the VPC have it.
        is_default: bool,
        /// Grows with every change of its entries.
        generation: Generation,
        /// When it was made.
        created_ms: i64,
    }
    /// One entry. (The last one of each direction denies everything: it is in every ACL and in no row.)
    pub struct NetworkAclEntryRow {
        /// Of which ACL.
        acl_id: NetworkAclId,
        /// About what leaves the subnet, else about what enters it.
        egress: bool,
        /// Of those that match a packet, the one with the lowest number decides. Unique in ACL and direction.
        number: u32,
        /// The packet passes, else it is dropped.
        allow: bool,
        /// IANA number; -1: all.
        protocol: i64,
        /// The other side's addresses.
        cidr: IpNet,
        /// First port, or ICMP type (-1: all); `None` where the protocol has neither.
        from_port: Option<i64>,
        /// Last port, or ICMP code.
        to_port: Option<i64>,
    }
    /// Which ACL a subnet has.
    pub struct NetworkAclAssociationRow {
        /// `aclassoc-…`.
        id: NetworkAclAssociationId,
        /// The ACL.
        acl_id: NetworkAclId,
        /// The subnet.
        subnet_id: SubnetId,
    }
}

sql! {
    INSERT = "INSERT INTO network_acls (id, account_id, vpc_id, is_default, generation, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6)";
    LIST = "SELECT id, account_id, vpc_id, is_default, generation, created_ms FROM network_acls WHERE 1 = 1";
    DEFAULT = "SELECT id, account_id, vpc_id, is_default, generation, created_ms FROM network_acls
        WHERE vpc_id = $1 AND is_default";
    TOUCH = "UPDATE network_acls SET generation = generation + 1 WHERE id = $1";
    DELETE = "DELETE FROM network_acls WHERE id = $1";
    ENTRY_INSERT = "INSERT INTO network_acl_entries
        (acl_id, egress, number, allow, protocol, cidr, from_port, to_port) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    ENTRY_REPLACE = "UPDATE network_acl_entries
        SET allow = $4, protocol = $5, cidr = $6, from_port = $7, to_port = $8
        WHERE acl_id = $1 AND egress = $2 AND number = $3";
    ENTRY_DELETE = "DELETE FROM network_acl_entries WHERE acl_id = $1 AND egress = $2 AND number = $3";
    ENTRIES = "SELECT acl_id, egress, number, allow, protocol, cidr, from_port, to_port
        FROM network_acl_entries WHERE 1 = 1";
    ASSOCIATE = "INSERT INTO network_acl_associations (id, acl_id, subnet_id) VALUES ($1, $2, $3)";
    ASSOCIATIONS = "SELECT id, acl_id, subnet_id FROM network_acl_associations WHERE 1 = 1";
    REPLACE = "UPDATE network_acl_associations SET id = $2, acl_id = $3 WHERE id = $1";
    OF_SUBNET_GONE = "DELETE FROM network_acl_associations WHERE subnet_id = $1";
}

/// Makes an ACL without entries. Conflict: `network_acls_vpc_id` for a second default one.
pub async fn network_acl_insert(tx: &mut Tx, row: &NetworkAclRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Which ACLs.
#[derive(Debug, Default, Clone, Copy)]
pub struct NetworkAclFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [NetworkAclId]>,
    /// Only of these VPCs.
    pub vpcs: Option<&'a [VpcId]>,
    /// Only those after this id.
    pub after: Option<&'a NetworkAclId>,
}

/// ACLs, by id.
pub async fn network_acl_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: NetworkAclFilter<'_>,
    limit: u32,
) -> Result<Vec<NetworkAclRow>, StoreError> {
    let select = Select::new(LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and_in("vpc_id", filter.vpcs)?
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// The ACL that subnets of a VPC get.
pub async fn network_acl_default<'a>(
    exec: impl Into<Exec<'a>>,
    vpc: &VpcId,
) -> Result<Option<NetworkAclRow>, StoreError> {
    exec.into().maybe(DEFAULT, args![vpc]).await
}

/// An ACL is not what it was.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn network_acl_touch(tx: &mut Tx, id: &NetworkAclId) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(TOUCH, args![id]).await? {
        0 => Err(StoreError::not_found(id)),
        _ => Ok(()),
    }
}

/// Removes an ACL with its entries; [`StoreError::InUse`] while a subnet has it. False when it was not there.
pub async fn network_acl_delete(tx: &mut Tx, id: &NetworkAclId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Adds an entry. Conflict: `network_acl_entries_acl_id_egress_number`.
pub async fn network_acl_entry_insert(tx: &mut Tx, row: &NetworkAclEntryRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ENTRY_INSERT, row.args()).await.map(drop)
}

/// Puts an entry in the place of that of the same direction and number; false when there is none.
pub async fn network_acl_entry_replace(tx: &mut Tx, row: &NetworkAclEntryRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ENTRY_REPLACE, row.args()).await? > 0)
}

/// Removes an entry; false when there is none.
pub async fn network_acl_entry_delete(
    tx: &mut Tx,
    acl: &NetworkAclId,
    egress: bool,
    number: u32,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ENTRY_DELETE, args![acl, egress, number]).await? > 0)
}

/// Every entry of these ACLs, by ACL, direction (into the subnet first) and number.
pub async fn network_acl_entry_list<'a>(
    exec: impl Into<Exec<'a>>,
    acls: &[NetworkAclId],
) -> Result<Vec<NetworkAclEntryRow>, StoreError> {
    let select = Select::new(ENTRIES, vec![]).and_in("acl_id", Some(acls))?;
    select.all(exec.into(), " ORDER BY acl_id, egress, number").await
}

/// Gives a subnet its ACL. Conflict: `network_acl_associations_subnet_id`.
pub async fn network_acl_association_insert(tx: &mut Tx, row: &NetworkAclAssociationRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ASSOCIATE, row.args()).await.map(drop)
}

/// Which associations.
#[derive(Debug, Default, Clone, Copy)]
pub struct NetworkAclAssociationFilter<'a> {
    /// Only this one.
    pub id: Option<&'a NetworkAclAssociationId>,
    /// Only of these ACLs.
    pub acls: Option<&'a [NetworkAclId]>,
    /// Only of this subnet.
    pub subnet: Option<&'a SubnetId>,
}

/// Every such association, by ACL and id.
pub async fn network_acl_association_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: NetworkAclAssociationFilter<'_>,
) -> Result<Vec<NetworkAclAssociationRow>, StoreError> {
    let select = Select::new(ASSOCIATIONS, vec![])
        .and("id =", filter.id)
        .and("subnet_id =", filter.subnet)
        .and_in("acl_id", filter.acls)?;
    select.all(exec.into(), " ORDER BY acl_id, id").await
}

/// Gives the association's subnet another ACL, and the association another id; false when it is gone.
pub async fn network_acl_association_replace(
    tx: &mut Tx,
    id: &NetworkAclAssociationId,
    new: &NetworkAclAssociationId,
    acl: &NetworkAclId,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(REPLACE, args![id, new, acl]).await? > 0)
}

/// Ends the association of a subnet that is being deleted.
pub async fn network_acl_association_of_subnet_delete(tx: &mut Tx, subnet: &SubnetId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(OF_SUBNET_GONE, args![subnet]).await.map(drop)
}
