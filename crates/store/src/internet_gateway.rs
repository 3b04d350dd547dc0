//! Internet gateways: the way between a VPC and the world.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, InternetGatewayId, VpcId};

record! {
    /// An internet gateway.
    pub struct InternetGatewayRow {
        /// `igw-…`.
        id: InternetGatewayId,
        /// Whose.
        account_id: AccountId,
        /// The VPC it is attached to.
        vpc_id: Option<VpcId>,
        /// When it was made.
        created_ms: i64,
    }
}

sql! {
    INSERT = "INSERT INTO internet_gateways (id, account_id, vpc_id, created_ms) VALUES ($1, $2, $3, $4)";
    LIST = "SELECT id, account_id, vpc_id, created_ms FROM internet_gateways WHERE account_id = $1";
    ATTACHED = "SELECT id, account_id, vpc_id, created_ms FROM internet_gateways WHERE vpc_id IS NOT NULL";
    PUBLIC_IN_VPC = "SELECT p.address FROM public_addresses p JOIN interfaces i ON i.id = p.interface_id
        WHERE i.vpc_id = $1 LIMIT 1";
    ATTACH = "UPDATE internet_gateways SET vpc_id = $2 WHERE id = $1 AND vpc_id IS NULL";
    DETACH = "UPDATE internet_gateways SET vpc_id = NULL WHERE id = $1 AND vpc_id = $2";
    DELETE = "DELETE FROM internet_gateways WHERE id = $1 AND vpc_id IS NULL";
}

/// Holds back all others that give or take away public addresses of the VPC, or its gateway: until the transaction ends.
///
/// # Errors
/// What the database says.
pub async fn internet_gateway_hold(tx: &mut Tx, vpc: &VpcId) -> Result<(), StoreError> {
    tx.lock(&format!("internet-gateway:{vpc}")).await
}

/// Whether an interface of the VPC has a public address.
pub async fn vpc_has_public_address<'a>(exec: impl Into<Exec<'a>>, vpc: &VpcId) -> Result<bool, StoreError> {
    Ok(exec.into().maybe::<(String,)>(PUBLIC_IN_VPC, args![vpc]).await?.is_some())
}

/// Makes a gateway. Conflict: `internet_gateways_vpc_id` when the VPC has one.
pub async fn internet_gateway_insert(tx: &mut Tx, row: &InternetGatewayRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The account's gateways by id, after `after`; each given list must hold.
pub async fn internet_gateway_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    ids: Option<&[InternetGatewayId]>,
    vpcs: Option<&[VpcId]>,
    after: Option<&InternetGatewayId>,
    limit: u32,
) -> Result<Vec<InternetGatewayRow>, StoreError> {
    let select = Select::new(LIST, args![account]).and("id >", after).and_in("id", ids)?.and_in("vpc_id", vpcs)?;
    select.page(exec.into(), "id", limit).await
}

/// The gateways of these VPCs, or of all.
pub async fn internet_gateway_list_attached<'a>(
    exec: impl Into<Exec<'a>>,
    vpcs: Option<&[VpcId]>,
    after: Option<&InternetGatewayId>,
    limit: u32,
) -> Result<Vec<InternetGatewayRow>, StoreError> {
    let select = Select::new(ATTACHED, vec![]).and("id >", after).and_in("vpc_id", vpcs)?;
    select.page(exec.into(), "id", limit).await
}

/// Attaches a free gateway; false when it is attached already, or gone. Conflict: `internet_gateways_vpc_id` when the
/// VPC has another.
pub async fn internet_gateway_attach(tx: &mut Tx, id: &InternetGatewayId, vpc: &VpcId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ATTACH, args![id, vpc]).await? > 0)
}

/// Detaches a gateway; false when it is not attached to this VPC.
pub async fn internet_gateway_detach(tx: &mut Tx, id: &InternetGatewayId, vpc: &VpcId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DETACH, args![id, vpc]).await? > 0)
}

/// Removes a gateway; false when it is attached, or gone.
pub async fn internet_gateway_delete(tx: &mut Tx, id: &InternetGatewayId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
