//! Transit gateways: what is attached to one, its tables, and where these lead. Gateways, attachments and tables that have
//! ended are shown for a while.

use crate::StoreError;
use crate::exec::Exec;
use crate::json::Json;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::{ToArg as _, words};
use ipnet::Ipv4Net;
use mallee_types::{AccountId, Generation, SubnetId, TransitAttachmentId, TransitGatewayId, TransitTableId, VpcId};

/// Whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransitState {
    /// It is.
    Available,
    /// It has ended, and is shown for a while.
    Deleted,
}
words! {
    TransitState { Available = "available", Deleted = "deleted" }
}

impl TransitState {
    /// AWS's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Deleted => "deleted",
        }
    }
}

record! {
    /// A transit gateway.
    pub struct TransitGatewayRow {
        /// `tgw-…`.
        id: TransitGatewayId,
        /// Whose.
        account_id: AccountId,
        /// What its user says it is for.
        description: String,
        /// The number of its side in BGP: said, and used for nothing as long as there are VPCs only.
        asn: i64,
        /// Public names of attached VPCs mean private addresses in the others, as far as the attachments say so, too.
        dns: bool,
        /// Said, and used for nothing as long as there are VPCs only.
        ecmp: bool,
        /// Said, and used for nothing as long as nothing is shared between accounts.
        auto_accept: bool,
        /// What is attached is associated with `association_table`.
        default_association: bool,
        /// Its blocks become known to `propagation_table`.
        default_propagation: bool,
        /// See there.
        association_table: Option<TransitTableId>,
        /// See there.
        propagation_table: Option<TransitTableId>,
        /// Whether it is there.
        state: TransitState,
        /// Grows with every change of it, of what is attached, and of its tables.
        generation: Generation,
        /// When it was made.
        created_ms: i64,
        /// When it ended.
        ended_ms: Option<i64>,
    }
    /// A route table of a gateway.
    pub struct TransitTableRow {
        /// `tgw-rtb-…`.
        id: TransitTableId,
        /// Whose.
        account_id: AccountId,
        /// The gateway.
        gateway_id: TransitGatewayId,
        /// Whether it is there.
        state: TransitState,
        /// When it was made.
        created_ms: i64,
        /// When it ended.
        ended_ms: Option<i64>,
    }
    /// A VPC at a gateway.
    pub struct TransitAttachmentRow {
        /// `tgw-attach-…`.
        id: TransitAttachmentId,
        /// Whose.
        account_id: AccountId,
        /// The gateway.
        gateway_id: TransitGatewayId,
        /// The VPC.
        vpc_id: VpcId,
        /// One subnet of each of its zones.
        subnets: Json<Vec<SubnetId>>,
        /// Public names of the VPC mean private addresses in the others, and the other way round.
        dns: bool,
        /// The table that decides about packets from the VPC; `None`: they lead nowhere.
        table_id: Option<TransitTableId>,
        /// Whether it is there.
        state: TransitState,
        /// When it was made.
        created_ms: i64,
        /// When it ended.
        ended_ms: Option<i64>,
    }
    /// A table that knows the blocks of what is attached.
    pub struct TransitPropagationRow {
        /// The table.
        table_id: TransitTableId,
        /// The attachment.
        attachment_id: TransitAttachmentId,
    }
    /// A route that somebody made.
    pub struct TransitRouteRow {
        /// Its table.
        table_id: TransitTableId,
        /// For packets to here.
        destination: Ipv4Net,
        /// Where they are led; `None`, or one that has ended: they are dropped.
        attachment_id: Option<TransitAttachmentId>,
    }
}

macro_rules! gateway {
    () => {
        "id, account_id, description, asn, dns, ecmp, auto_accept, default_association, default_propagation,
            association_table, propagation_table, state, generation, created_ms, ended_ms"
    };
}
macro_rules! table {
    () => {
        "id, account_id, gateway_id, state, created_ms, ended_ms"
    };
}
macro_rules! attachment {
    () => {
        "id, account_id, gateway_id, vpc_id, subnets, dns, table_id, state, created_ms, ended_ms"
    };
}

sql! {
    GATEWAY_INSERT = concat!("INSERT INTO transit_gateways (", gateway!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)");
    GATEWAY_LIST = concat!("SELECT ", gateway!(), " FROM transit_gateways WHERE 1 = 1");
    GATEWAY_SET = "UPDATE transit_gateways SET description = $2, asn = $3, dns = $4, ecmp = $5, auto_accept = $6,
        default_association = $7, default_propagation = $8, association_table = $9, propagation_table = $10
        WHERE id = $1";
    GATEWAY_TOUCH = "UPDATE transit_gateways SET generation = generation + 1 WHERE id = $1 AND state = 'available'";
    GATEWAY_END = "UPDATE transit_gateways SET state = 'deleted', generation = generation + 1, ended_ms = $2
        WHERE id = $1 AND state = 'available'";
    TABLE_INSERT = concat!("INSERT INTO transit_tables (", table!(), ") VALUES ($1, $2, $3, $4, $5, $6)");
    TABLE_LIST = concat!("SELECT ", table!(), " FROM transit_tables WHERE 1 = 1");
    TABLE_END = "UPDATE transit_tables SET state = 'deleted', ended_ms = $2 WHERE id = $1 AND state = 'available'";
    TABLE_ROUTES_CLEAR = "DELETE FROM transit_routes WHERE table_id = $1";
    TABLE_PROPAGATIONS_CLEAR = "DELETE FROM transit_propagations WHERE table_id = $1";
    ATTACHMENT_INSERT = concat!("INSERT INTO transit_attachments (", attachment!(), ", live_vpc)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
    ATTACHMENT_LIST = concat!("SELECT ", attachment!(), " FROM transit_attachments WHERE 1 = 1");
    ATTACHMENT_SET = "UPDATE transit_attachments SET subnets = $2, dns = $3, table_id = $4 WHERE id = $1";
    ATTACHMENT_END = "UPDATE transit_attachments SET state = 'deleted', ended_ms = $2, table_id = NULL, live_vpc = NULL
        WHERE id = $1 AND state = 'available'";
    ATTACHMENT_PROPAGATIONS_CLEAR = "DELETE FROM transit_propagations WHERE attachment_id = $1";
    PROPAGATION_PUT = "INSERT INTO transit_propagations (table_id, attachment_id) VALUES ($1, $2)
        ON CONFLICT (table_id, attachment_id) DO NOTHING";
    PROPAGATION_DELETE = "DELETE FROM transit_propagations WHERE table_id = $1 AND attachment_id = $2";
    PROPAGATION_LIST = "SELECT table_id, attachment_id FROM transit_propagations WHERE 1 = 1";
    ROUTE_INSERT = "INSERT INTO transit_routes (table_id, destination, attachment_id) VALUES ($1, $2, $3)";
    ROUTE_SET = "UPDATE transit_routes SET attachment_id = $3 WHERE table_id = $1 AND destination = $2";
    ROUTE_DELETE = "DELETE FROM transit_routes WHERE table_id = $1 AND destination = $2";
    ROUTE_LIST = "SELECT table_id, destination, attachment_id FROM transit_routes WHERE 1 = 1";
    ATTACHMENTS_FORGET = "DELETE FROM transit_attachments WHERE ended_ms <= $1 RETURNING id";
    TABLES_FORGET = "DELETE FROM transit_tables WHERE ended_ms <= $1 RETURNING id";
    GATEWAYS_FORGET = "DELETE FROM transit_gateways WHERE ended_ms <= $1
        AND NOT EXISTS (SELECT 1 FROM transit_tables t WHERE t.gateway_id = transit_gateways.id)
        AND NOT EXISTS (SELECT 1 FROM transit_attachments a WHERE a.gateway_id = transit_gateways.id) RETURNING id";
}

/// Makes a gateway.
pub async fn transit_gateway_insert(tx: &mut Tx, row: &TransitGatewayRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(GATEWAY_INSERT, row.args()).await.map(drop)
}

/// Which gateways.
#[derive(Debug, Default, Clone, Copy)]
pub struct TransitGatewayFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [TransitGatewayId]>,
    /// Only in this state.
    pub state: Option<TransitState>,
    /// Only those after this id.
    pub after: Option<&'a TransitGatewayId>,
}

/// Gateways, by id.
pub async fn transit_gateway_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: TransitGatewayFilter<'_>,
    limit: u32,
) -> Result<Vec<TransitGatewayRow>, StoreError> {
    let select = Select::new(GATEWAY_LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and("state =", filter.state)
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// Writes what may be changed of a gateway.
pub async fn transit_gateway_set(tx: &mut Tx, row: &TransitGatewayRow) -> Result<(), StoreError> {
    let values = args![
        row.id,
        row.description,
        row.asn,
        row.dns,
        row.ecmp,
        row.auto_accept,
        row.default_association,
        row.default_propagation,
        row.association_table,
        row.propagation_table
    ];
    Exec::Tx(tx).run(GATEWAY_SET, values).await.map(drop)
}

/// Something of a gateway changes: its generation grows, and nobody else changes it until the transaction ends. False: it is
/// not there (any more).
pub async fn transit_gateway_touch(tx: &mut Tx, id: &TransitGatewayId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(GATEWAY_TOUCH, args![id]).await? > 0)
}

/// A gateway ends; false when it has, or never was.
pub async fn transit_gateway_end(tx: &mut Tx, id: &TransitGatewayId, now_ms: i64) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(GATEWAY_END, args![id, now_ms]).await? > 0)
}

/// Makes a table.
pub async fn transit_table_insert(tx: &mut Tx, row: &TransitTableRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(TABLE_INSERT, row.args()).await.map(drop)
}

/// Which tables.
#[derive(Debug, Default, Clone, Copy)]
pub struct TransitTableFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [TransitTableId]>,
    /// Only of these gateways.
    pub gateways: Option<&'a [TransitGatewayId]>,
    /// Only in this state.
    pub state: Option<TransitState>,
    /// Only those after this id.
    pub after: Option<&'a TransitTableId>,
}

/// Tables, by id.
pub async fn transit_table_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: TransitTableFilter<'_>,
    limit: u32,
) -> Result<Vec<TransitTableRow>, StoreError> {
    let select = Select::new(TABLE_LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and("state =", filter.state)
        .and_in("gateway_id", filter.gateways)?
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// A table ends with its routes; false when it has, or never was.
pub async fn transit_table_end(tx: &mut Tx, id: &TransitTableId, now_ms: i64) -> Result<bool, StoreError> {
    if Exec::Tx(&mut *tx).run(TABLE_END, args![id, now_ms]).await? == 0 {
        return Ok(false);
    }
    Exec::Tx(&mut *tx).run(TABLE_ROUTES_CLEAR, args![id]).await?;
    Exec::Tx(tx).run(TABLE_PROPAGATIONS_CLEAR, args![id]).await.map(|_| true)
}

/// Attaches a VPC. Conflict: `transit_attachments_gateway_id_live_vpc`: it is attached. [`StoreError::InUse`]: it is gone.
pub async fn transit_attachment_insert(tx: &mut Tx, row: &TransitAttachmentRow) -> Result<(), StoreError> {
    let mut values = row.args();
    values.push(Some(row.vpc_id.clone()).filter(|_| row.state == TransitState::Available).to_arg());
    Exec::Tx(tx).run(ATTACHMENT_INSERT, values).await.map(drop)
}

/// Which attachments.
#[derive(Debug, Default, Clone, Copy)]
pub struct TransitAttachmentFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [TransitAttachmentId]>,
    /// Only of these gateways.
    pub gateways: Option<&'a [TransitGatewayId]>,
    /// Only of what is associated with this table.
    pub table: Option<&'a TransitTableId>,
    /// Only of this VPC, while it is attached.
    pub live_vpc: Option<&'a VpcId>,
    /// Only in this state.
    pub state: Option<TransitState>,
    /// Only those after this id.
    pub after: Option<&'a TransitAttachmentId>,
}

/// Attachments, by id.
pub async fn transit_attachment_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: TransitAttachmentFilter<'_>,
    limit: u32,
) -> Result<Vec<TransitAttachmentRow>, StoreError> {
    let select = Select::new(ATTACHMENT_LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and("state =", filter.state)
        .and("table_id =", filter.table)
        .and("live_vpc =", filter.live_vpc)
        .and_in("gateway_id", filter.gateways)?
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// Writes what may be changed of an attachment.
pub async fn transit_attachment_set(tx: &mut Tx, row: &TransitAttachmentRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ATTACHMENT_SET, args![row.id, row.subnets, row.dns, row.table_id]).await.map(drop)
}

/// A VPC leaves: no table knows its blocks any more, and routes to it drop packets. False when it has left, or never came.
pub async fn transit_attachment_end(tx: &mut Tx, id: &TransitAttachmentId, now_ms: i64) -> Result<bool, StoreError> {
    if Exec::Tx(&mut *tx).run(ATTACHMENT_END, args![id, now_ms]).await? == 0 {
        return Ok(false);
    }
    Exec::Tx(tx).run(ATTACHMENT_PROPAGATIONS_CLEAR, args![id]).await.map(|_| true)
}

/// A table knows the blocks of what is attached from now on; false when it did.
pub async fn transit_propagation_put(tx: &mut Tx, row: &TransitPropagationRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(PROPAGATION_PUT, row.args()).await? > 0)
}

/// A table knows them no more; false when it did not.
pub async fn transit_propagation_delete(tx: &mut Tx, row: &TransitPropagationRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(PROPAGATION_DELETE, row.args()).await? > 0)
}

/// Which attachments these tables know the blocks of, by table and attachment.
pub async fn transit_propagation_list<'a>(
    exec: impl Into<Exec<'a>>,
    tables: Option<&[TransitTableId]>,
    attachment: Option<&TransitAttachmentId>,
    limit: u32,
) -> Result<Vec<TransitPropagationRow>, StoreError> {
    let select = Select::new(PROPAGATION_LIST, vec![]).and("attachment_id =", attachment).and_in("table_id", tables)?;
    select.page(exec.into(), "table_id, attachment_id", limit).await
}

/// Makes a route. Conflict: `transit_routes_table_id_destination`.
pub async fn transit_route_insert(tx: &mut Tx, row: &TransitRouteRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ROUTE_INSERT, row.args()).await.map(drop)
}

/// Leads a route elsewhere; false when there is none.
pub async fn transit_route_set(tx: &mut Tx, row: &TransitRouteRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ROUTE_SET, row.args()).await? > 0)
}

/// Removes a route; false when there is none.
pub async fn transit_route_delete(tx: &mut Tx, table: &TransitTableId, to: Ipv4Net) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ROUTE_DELETE, args![table, to]).await? > 0)
}

/// The routes of these tables, by table and destination as text.
pub async fn transit_route_list<'a>(
    exec: impl Into<Exec<'a>>,
    tables: &[TransitTableId],
    limit: u32,
) -> Result<Vec<TransitRouteRow>, StoreError> {
    let select = Select::new(ROUTE_LIST, vec![]).and_in("table_id", Some(tables))?;
    select.page(exec.into(), "table_id, destination", limit).await
}

/// Forgets what ended at or before this time, in ms; its ids.
pub async fn transit_forget(tx: &mut Tx, before_ms: i64) -> Result<Vec<String>, StoreError> {
    let mut gone = Vec::new();
    for text in [ATTACHMENTS_FORGET, TABLES_FORGET, GATEWAYS_FORGET] {
        let ids: Vec<(String,)> = Exec::Tx(&mut *tx).all(text, args![before_ms]).await?;
        gone.extend(ids.into_iter().map(|(id,)| id));
    }
    Ok(gone)
}
