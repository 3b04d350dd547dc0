//! The IPv6 blocks of subnets: parts of their VPCs' blocks, at most one a subnet, and no two of them the same.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use ipnet::Ipv6Net;
use mallee_types::{SubnetCidrAssociationId, SubnetId, VpcCidrAssociationId, VpcId};

record! {
    /// An IPv6 block that a subnet has.
    pub struct SubnetIpv6CidrRow {
        /// `subnet-cidr-assoc-…`.
        id: SubnetCidrAssociationId,
        /// Whose.
        subnet_id: SubnetId,
        /// The VPC's block that it is a part of.
        vpc_cidr_id: VpcCidrAssociationId,
        /// The addresses.
        cidr: Ipv6Net,
        /// New interfaces get an address of it unless they say otherwise.
        assign_on_creation: bool,
        /// When the subnet got it.
        created_ms: i64,
    }
}

macro_rules! columns {
    () => {
        "id, subnet_id, vpc_cidr_id, cidr, assign_on_creation, created_ms"
    };
}

sql! {
    INSERT = concat!("INSERT INTO subnet_ipv6_cidrs (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6)");
    FETCH = concat!("SELECT ", columns!(), " FROM subnet_ipv6_cidrs WHERE id = $1");
    LIST = concat!("SELECT ", columns!(), " FROM subnet_ipv6_cidrs WHERE 1 = 1");
    ASSIGN = "UPDATE subnet_ipv6_cidrs SET assign_on_creation = $2 WHERE subnet_id = $1 AND assign_on_creation <> $2";
    HOLD = "UPDATE subnet_ipv6_cidrs SET id = id WHERE subnet_id = $1";
    OF_SUBNET = concat!("SELECT ", columns!(), " FROM subnet_ipv6_cidrs WHERE subnet_id = $1");
    DELETE = "DELETE FROM subnet_ipv6_cidrs WHERE id = $1";
}

/// Gives a subnet an IPv6 block. Conflicts: `subnet_ipv6_cidrs_subnet_id` for a second one, `subnet_ipv6_cidrs_cidr`.
///
/// # Errors
/// [`StoreError::InUse`] when the subnet or the VPC's block is gone.
pub async fn subnet_ipv6_cidr_insert(tx: &mut Tx, row: &SubnetIpv6CidrRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The IPv6 block of this association, if there is one.
pub async fn subnet_ipv6_cidr_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    id: &SubnetCidrAssociationId,
) -> Result<Option<SubnetIpv6CidrRow>, StoreError> {
    exec.into().maybe(FETCH, args![id]).await
}

/// The IPv6 block of a subnet, which nobody takes away or changes until the transaction ends.
pub async fn subnet_ipv6_cidr_fetch_locked(
    tx: &mut Tx,
    subnet: &SubnetId,
) -> Result<Option<SubnetIpv6CidrRow>, StoreError> {
    Exec::Tx(tx).run(HOLD, args![subnet]).await?;
    Exec::Tx(tx).maybe(OF_SUBNET, args![subnet]).await
}

/// The IPv6 blocks of these subnets, or of all, by subnet.
pub async fn subnet_ipv6_cidr_list<'a>(
    exec: impl Into<Exec<'a>>,
    subnets: Option<&[SubnetId]>,
) -> Result<Vec<SubnetIpv6CidrRow>, StoreError> {
    Select::new(LIST, vec![]).and_in("subnet_id", subnets)?.all(exec.into(), " ORDER BY subnet_id").await
}

/// The IPv6 blocks of a VPC's subnets, by subnet.
pub async fn subnet_ipv6_cidr_list_in<'a>(
    exec: impl Into<Exec<'a>>,
    vpc: &VpcId,
) -> Result<Vec<SubnetIpv6CidrRow>, StoreError> {
    let select = Select::new(LIST, vec![]);
    let select = select.and_below("vpc_cidr_id IN (SELECT id FROM vpc_ipv6_cidrs WHERE vpc_id =", Some(vpc));
    select.all(exec.into(), " ORDER BY subnet_id").await
}

/// Sets whether new interfaces of a subnet get an IPv6 address unless they say otherwise; false when it was so already, or
/// the subnet has no IPv6 block.
pub async fn subnet_ipv6_assign_set(tx: &mut Tx, subnet: &SubnetId, value: bool) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ASSIGN, args![subnet, value]).await? > 0)
}

/// Takes an IPv6 block from its subnet; false when it was not there.
///
/// # Errors
/// [`StoreError::InUse`] while interfaces have addresses of it.
pub async fn subnet_ipv6_cidr_delete(tx: &mut Tx, id: &SubnetCidrAssociationId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
