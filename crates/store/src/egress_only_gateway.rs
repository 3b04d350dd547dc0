//! Egress-only internet gateways: the way of IPv6 from a VPC to the world, by which the world begins nothing.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, EgressOnlyGatewayId, VpcId};

record! {
    /// An egress-only internet gateway.
    pub struct EgressOnlyGatewayRow {
        /// `eigw-…`.
        id: EgressOnlyGatewayId,
        /// Whose.
        account_id: AccountId,
        /// Its VPC, for as long as it is there.
        vpc_id: VpcId,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO egress_only_gateways (id, account_id, vpc_id, created_ms) VALUES ($1, $2, $3, $4)";
    LIST = "SELECT id, account_id, vpc_id, created_ms FROM egress_only_gateways WHERE 1 = 1";
    DELETE = "DELETE FROM egress_only_gateways WHERE id = $1";
}

/// Makes a gateway. Conflict: `egress_only_gateways_vpc_id` when the VPC has one; [`StoreError::InUse`] when the VPC has gone.
pub async fn egress_only_gateway_insert(tx: &mut Tx, row: &EgressOnlyGatewayRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Which gateways.
#[derive(Debug, Default, Clone, Copy)]
pub struct EgressOnlyGatewayFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [EgressOnlyGatewayId]>,
    /// Only of these VPCs.
    pub vpcs: Option<&'a [VpcId]>,
    /// Only those after this id.
    pub after: Option<&'a EgressOnlyGatewayId>,
}

/// Gateways, by id.
pub async fn egress_only_gateway_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: EgressOnlyGatewayFilter<'_>,
    limit: u32,
) -> Result<Vec<EgressOnlyGatewayRow>, StoreError> {
    let select = Select::new(LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and_in("id", filter.ids)?
        .and_in("vpc_id", filter.vpcs)?;
    select.page(exec.into(), "id", limit).await
}

/// Removes a gateway; false when it is gone.
pub async fn egress_only_gateway_delete(tx: &mut Tx, id: &EgressOnlyGatewayId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
