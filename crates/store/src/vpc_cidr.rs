//! The blocks of VPCs: the first is in the VPC's row, the others are rows of their own.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::vpc::VpcRow;
use ipnet::Ipv4Net;
use mallee_types::{VpcCidrAssociationId, VpcId};

record! {
    /// A block that a VPC has besides its first one.
    pub struct VpcCidrRow {
        /// `vpc-cidr-assoc-…`.
        id: VpcCidrAssociationId,
        /// Whose.
        vpc_id: VpcId,
        /// The addresses.
        cidr: Ipv4Net,
        /// When the VPC got it.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO vpc_cidrs (id, vpc_id, cidr, created_ms) VALUES ($1, $2, $3, $4)";
    FETCH = "SELECT id, vpc_id, cidr, created_ms FROM vpc_cidrs WHERE id = $1";
    LIST = "SELECT id, vpc_id, cidr, created_ms FROM vpc_cidrs WHERE 1 = 1";
    DELETE = "DELETE FROM vpc_cidrs WHERE id = $1";
}

/// Gives a VPC a further block. Conflict: `vpc_cidrs_vpc_id_cidr`.
pub async fn vpc_cidr_insert(tx: &mut Tx, row: &VpcCidrRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The further block of this association, if there is one.
pub async fn vpc_cidr_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    id: &VpcCidrAssociationId,
) -> Result<Option<VpcCidrRow>, StoreError> {
    exec.into().maybe(FETCH, args![id]).await
}

/// Every further block (of these VPCs), by VPC, and as the VPC got them.
pub async fn vpc_cidr_list<'a>(
    exec: impl Into<Exec<'a>>,
    vpcs: Option<&[VpcId]>,
) -> Result<Vec<VpcCidrRow>, StoreError> {
    let select = Select::new(LIST, vec![]).and_in("vpc_id", vpcs)?;
    select.all(exec.into(), " ORDER BY vpc_id, created_ms, id").await
}

/// Every block of a VPC, its first one first.
pub async fn vpc_blocks<'a>(exec: impl Into<Exec<'a>>, vpc: &VpcRow) -> Result<Vec<Ipv4Net>, StoreError> {
    let more = vpc_cidr_list(exec, Some(std::slice::from_ref(&vpc.id))).await?;
    Ok(std::iter::once(vpc.cidr).chain(more.into_iter().map(|row| row.cidr)).collect())
}

/// Takes a further block away; false when it was not there.
pub async fn vpc_cidr_delete(tx: &mut Tx, id: &VpcCidrAssociationId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
