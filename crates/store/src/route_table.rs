//! Route tables, their routes, and which subnet has which.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::{Arg, FromColumn, Row, ToArg};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mallee_types::{AccountId, Generation, PrefixListId, RouteAssociationId, RouteTableId, SubnetId, VpcId};

/// Where packets go that a route is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteDestination {
    /// To these addresses.
    Block(Ipv4Net),
    /// To these of IPv6.
    Ipv6(Ipv6Net),
    /// To those of a prefix list.
    List(PrefixListId),
}

impl RouteDestination {
    /// The list, if it is one.
    #[must_use]
    pub const fn list(&self) -> Option<&PrefixListId> {
        match self {
            Self::Block(_) | Self::Ipv6(_) => None,
            Self::List(list) => Some(list),
        }
    }
}

impl std::fmt::Display for RouteDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Block(block) => block.fmt(f),
            Self::Ipv6(block) => block.fmt(f),
            Self::List(list) => list.fmt(f),
        }
    }
}

impl From<Ipv4Net> for RouteDestination {
    fn from(block: Ipv4Net) -> Self {
        Self::Block(block)
    }
}

impl From<Ipv6Net> for RouteDestination {
    fn from(block: Ipv6Net) -> Self {
        Self::Ipv6(block)
    }
}

impl ToArg for RouteDestination {
    const NULL: Arg = Arg::Text(None);
    fn to_arg(&self) -> Arg {
        Arg::Text(Some(self.to_string()))
    }
}

impl FromColumn for RouteDestination {
    fn maybe(row: Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        // A list's id is no block.
        if let Ok(list) = PrefixListId::maybe(row, at) {
            return Ok(list.map(Self::List));
        }
        Ok(IpNet::maybe(row, at)?.map(|block| match block {
            IpNet::V4(block) => Self::Block(block),
            IpNet::V6(block) => Self::Ipv6(block),
        }))
    }
}

record! {
    /// A route table.
    pub struct RouteTableRow {
        /// `rtb-…`.
        id: RouteTableId,
        /// Whose.
        account_id: AccountId,
        /// Its VPC.
        vpc_id: VpcId,
        /// Unique in the VPC ([`route_table_number`]): nodes mark packets with it.
        number: u32,
        /// Grows with every change of its routes.
        generation: Generation,
        /// When it was made.
        created_ms: i64,
    }
    /// One route. (That to the VPC's own block is in every table and in no row.)
    pub struct RouteRow {
        /// In which table.
        table_id: RouteTableId,
        /// Which packets it is for.
        destination: RouteDestination,
        /// What kind of thing the target is, for example [`TO_INTERNET_GATEWAY`].
        target_kind: String,
        /// The target's id. It may be gone, or not attached any more: then the route leads nowhere.
        target_id: String,
    }
    /// Which table a subnet has.
    pub struct RouteAssociationRow {
        /// `rtbassoc-…`.
        id: RouteAssociationId,
        /// The table.
        table_id: RouteTableId,
        /// The VPC of both.
        vpc_id: VpcId,
        /// `None`: it is the VPC's main table, which all subnets without one of their own have.
        subnet_id: Option<SubnetId>,
    }
}

/// The kind of a route's target: an internet gateway.
pub const TO_INTERNET_GATEWAY: &str = "internet-gateway";
/// An egress-only internet gateway, of IPv6.
pub const TO_EGRESS_ONLY_GATEWAY: &str = "egress-only-internet-gateway";
/// A VPC peering connection.
pub const TO_VPC_PEERING: &str = "vpc-peering-connection";
/// A NAT gateway of the VPC.
pub const TO_NAT_GATEWAY: &str = "nat-gateway";
/// A transit gateway that the VPC is attached to.
pub const TO_TRANSIT_GATEWAY: &str = "transit-gateway";
/// A network interface: the instance that has it.
pub const TO_NETWORK_INTERFACE: &str = "network-interface";

sql! {
    INSERT = "INSERT INTO route_tables (id, account_id, vpc_id, number, generation, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6)";
    LIST = "SELECT id, account_id, vpc_id, number, generation, created_ms FROM route_tables WHERE 1 = 1";
    FREE_NUMBER = "SELECT MIN(n.number) FROM (SELECT 1 AS number UNION ALL SELECT number + 1 FROM route_tables
        WHERE vpc_id = $1) n WHERE NOT EXISTS
        (SELECT 1 FROM route_tables t WHERE t.vpc_id = $1 AND t.number = n.number)";
    TOUCH = "UPDATE route_tables SET generation = generation + 1 WHERE id = $1";
    DELETE = "DELETE FROM route_tables WHERE id = $1";
    ROUTE_INSERT = "INSERT INTO routes (table_id, destination, target_kind, target_id, prefix_list)
        VALUES ($1, $2, $3, $4, $5)";
    ROUTE_REPLACE = "UPDATE routes SET target_kind = $3, target_id = $4 WHERE table_id = $1 AND destination = $2";
    ROUTE_DELETE = "DELETE FROM routes WHERE table_id = $1 AND destination = $2";
    ROUTES = "SELECT table_id, destination, target_kind, target_id FROM routes WHERE 1 = 1";
    ASSOCIATE = "INSERT INTO route_associations (id, table_id, vpc_id, subnet_id) VALUES ($1, $2, $3, $4)";
    ASSOCIATIONS = "SELECT id, table_id, vpc_id, subnet_id FROM route_associations WHERE 1 = 1";
    MAINS = "SELECT id, table_id, vpc_id, subnet_id FROM route_associations WHERE subnet_id IS NULL";
    REPLACE = "UPDATE route_associations SET id = $2, table_id = $3 WHERE id = $1";
    DISASSOCIATE = "DELETE FROM route_associations WHERE id = $1";
    MAIN_GONE = "DELETE FROM route_associations WHERE vpc_id = $1 AND subnet_id IS NULL";
    OF_SUBNET_GONE = "DELETE FROM route_associations WHERE subnet_id = $1";
}

/// Tables of one VPC at most, so that their numbers fit into the mark of a packet.
pub const ROUTE_TABLES_MAX: u32 = 4000;

/// A number for a table that this transaction is about to make.
///
/// # Errors
/// [`StoreError::Exhausted`] when the VPC has [`ROUTE_TABLES_MAX`] tables.
pub async fn route_table_number(tx: &mut Tx, vpc: &VpcId) -> Result<u32, StoreError> {
    // The next call finds the one behind it.
    tx.lock(&format!("route-tables:{vpc}")).await?;
    let (free,) = Exec::Tx(tx).one::<(u32,)>(FREE_NUMBER, args![vpc], vpc).await?;
    let exhausted = || StoreError::Exhausted { what: format!("the numbers of route tables of {vpc}") };
    Some(free).filter(|free| *free <= ROUTE_TABLES_MAX).ok_or_else(exhausted)
}

/// Makes a table without routes.
pub async fn route_table_insert(tx: &mut Tx, row: &RouteTableRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// Which tables.
#[derive(Debug, Default, Clone, Copy)]
pub struct RouteTableFilter<'a> {
    /// Only this account's.
    pub account: Option<&'a AccountId>,
    /// Only these.
    pub ids: Option<&'a [RouteTableId]>,
    /// Only of these VPCs.
    pub vpcs: Option<&'a [VpcId]>,
    /// Only those after this id.
    pub after: Option<&'a RouteTableId>,
}

/// Tables, by id.
pub async fn route_table_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: RouteTableFilter<'_>,
    limit: u32,
) -> Result<Vec<RouteTableRow>, StoreError> {
    let select = Select::new(LIST, vec![])
        .and("account_id =", filter.account)
        .and("id >", filter.after)
        .and_in("vpc_id", filter.vpcs)?
        .and_in("id", filter.ids)?;
    select.page(exec.into(), "id", limit).await
}

/// A table is not what it was.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn route_table_touch(tx: &mut Tx, id: &RouteTableId) -> Result<(), StoreError> {
    match Exec::Tx(tx).run(TOUCH, args![id]).await? {
        0 => Err(StoreError::not_found(id)),
        _ => Ok(()),
    }
}

/// Removes a table with its routes; [`StoreError::InUse`] while it is associated. False when it was not there.
pub async fn route_table_delete(tx: &mut Tx, id: &RouteTableId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Adds a route. Conflict: `routes_table_id_destination`.
pub async fn route_insert(tx: &mut Tx, row: &RouteRow) -> Result<(), StoreError> {
    let mut args = row.args();
    args.push(row.destination.list().to_arg());
    Exec::Tx(tx).run(ROUTE_INSERT, args).await.map(drop)
}

/// Gives a route another target; false when there is no route to this destination.
pub async fn route_replace(tx: &mut Tx, row: &RouteRow) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ROUTE_REPLACE, row.args()).await? > 0)
}

/// Removes a route; false when there is none.
pub async fn route_delete(
    tx: &mut Tx,
    table: &RouteTableId,
    destination: &RouteDestination,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ROUTE_DELETE, args![table, destination]).await? > 0)
}

/// Every route of these tables, by table and destination.
pub async fn route_list<'a>(exec: impl Into<Exec<'a>>, tables: &[RouteTableId]) -> Result<Vec<RouteRow>, StoreError> {
    let select = Select::new(ROUTES, vec![]).and_in("table_id", Some(tables))?;
    select.all(exec.into(), " ORDER BY table_id, destination").await
}

/// Gives a subnet a table, or a VPC its main one. Conflicts: `route_associations_subnet_id`,
/// `route_associations_vpc_id` for a second main table.
pub async fn route_association_insert(tx: &mut Tx, row: &RouteAssociationRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(ASSOCIATE, row.args()).await.map(drop)
}

/// Which associations.
#[derive(Debug, Default, Clone, Copy)]
pub struct RouteAssociationFilter<'a> {
    /// Only this one.
    pub id: Option<&'a RouteAssociationId>,
    /// Only of these tables.
    pub tables: Option<&'a [RouteTableId]>,
    /// Only in this VPC.
    pub vpc: Option<&'a VpcId>,
    /// Only of this subnet.
    pub subnet: Option<&'a SubnetId>,
    /// Only main tables of VPCs.
    pub main: bool,
}

/// Every such association, by table and id.
pub async fn route_association_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: RouteAssociationFilter<'_>,
) -> Result<Vec<RouteAssociationRow>, StoreError> {
    let select = Select::new(if filter.main { MAINS } else { ASSOCIATIONS }, vec![])
        .and("id =", filter.id)
        .and("vpc_id =", filter.vpc)
        .and("subnet_id =", filter.subnet)
        .and_in("table_id", filter.tables)?;
    select.all(exec.into(), " ORDER BY table_id, id").await
}

/// Gives what the association is about another table, and the association another id; false when it is gone.
pub async fn route_association_replace(
    tx: &mut Tx,
    id: &RouteAssociationId,
    new: &RouteAssociationId,
    table: &RouteTableId,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(REPLACE, args![id, new, table]).await? > 0)
}

/// Ends an association; false when it is gone.
pub async fn route_association_delete(tx: &mut Tx, id: &RouteAssociationId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DISASSOCIATE, args![id]).await? > 0)
}

/// Ends the association of a subnet that is being deleted; true if it had one.
pub async fn route_association_of_subnet_delete(tx: &mut Tx, subnet: &SubnetId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(OF_SUBNET_GONE, args![subnet]).await? > 0)
}

/// Takes the main table away from a VPC that is being deleted.
pub async fn route_association_main_delete(tx: &mut Tx, vpc: &VpcId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(MAIN_GONE, args![vpc]).await.map(drop)
}
