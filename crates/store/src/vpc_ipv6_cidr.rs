//! The IPv6 blocks of VPCs, out of the cloud's pool: no two of them are the same one.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use ipnet::Ipv6Net;
use mallee_types::{VpcCidrAssociationId, VpcId};

/// What holds the choice of a free block.
const LOCK: &str = "vpc-ipv6-cidr";

record! {
    /// An IPv6 block that a VPC has.
    pub struct VpcIpv6CidrRow {
        /// `vpc-cidr-assoc-…`.
        id: VpcCidrAssociationId,
        /// Whose.
        vpc_id: VpcId,
        /// The addresses.
        cidr: Ipv6Net,
        /// When the VPC got it.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO vpc_ipv6_cidrs (id, vpc_id, cidr, created_ms) VALUES ($1, $2, $3, $4)";
    FETCH = "SELECT id, vpc_id, cidr, created_ms FROM vpc_ipv6_cidrs WHERE id = $1";
    LIST = "SELECT id, vpc_id, cidr, created_ms FROM vpc_ipv6_cidrs WHERE 1 = 1";
    DELETE = "DELETE FROM vpc_ipv6_cidrs WHERE id = $1";
}

/// From here on, until the transaction ends, no other one chooses a block of the pool.
pub async fn vpc_ipv6_cidr_hold(tx: &mut Tx) -> Result<(), StoreError> {
    tx.lock(LOCK).await
}

/// Gives a VPC an IPv6 block. Conflict: `vpc_ipv6_cidrs_cidr`.
pub async fn vpc_ipv6_cidr_insert(tx: &mut Tx, row: &VpcIpv6CidrRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The IPv6 block of this association, if there is one.
pub async fn vpc_ipv6_cidr_fetch<'a>(
    exec: impl Into<Exec<'a>>,
    id: &VpcCidrAssociationId,
) -> Result<Option<VpcIpv6CidrRow>, StoreError> {
    exec.into().maybe(FETCH, args![id]).await
}

/// Every IPv6 block (of these VPCs), by VPC, and as the VPC got them.
pub async fn vpc_ipv6_cidr_list<'a>(
    exec: impl Into<Exec<'a>>,
    vpcs: Option<&[VpcId]>,
) -> Result<Vec<VpcIpv6CidrRow>, StoreError> {
    let select = Select::new(LIST, vec![]).and_in("vpc_id", vpcs)?;
    select.all(exec.into(), " ORDER BY vpc_id, created_ms, id").await
}

/// Takes an IPv6 block away; false when it was not there.
pub async fn vpc_ipv6_cidr_delete(tx: &mut Tx, id: &VpcCidrAssociationId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
