//! Route tables and internet gateways: which way packets leave a subnet.

pub(crate) mod check;
mod egress_only;
mod entries;
mod gateways;
mod tables;
mod target;

pub(crate) use entries::routes_within;
pub use target::RouteTarget;

use crate::{Cloud, load};
use ipnet::Ipv4Net;
use mallee_store::{
    InternetGatewayRow, RouteAssociationRow, RouteRow, RouteTableRow, StoreError, TO_INTERNET_GATEWAY, Tx, VpcRow,
    change_append, internet_gateway_insert, route_association_insert, route_insert, route_table_insert,
    route_table_number,
};
use mallee_types::{Generation, InternetGatewayId, RouteAssociationId, RouteTableId};
use std::net::Ipv4Addr;

/// EC2's resource type for tags of a route table.
pub const TABLE_TAG_KIND: &str = "route-table";
/// EC2's resource type for tags of an internet gateway.
pub const GATEWAY_TAG_KIND: &str = "internet-gateway";
/// EC2's resource type for tags of an egress-only internet gateway.
pub const EGRESS_ONLY_TAG_KIND: &str = "egress-only-internet-gateway";
/// Everything that no other route covers.
pub const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

impl Cloud {
    /// The main table of a VPC that is being made: it leads to the VPC's own addresses only.
    pub(crate) async fn make_main_table(&self, tx: &mut Tx, vpc: &VpcRow) -> Result<RouteTableRow, StoreError> {
        let table = RouteTableRow {
            id: RouteTableId::from_random(self.rng().u128()),
            account_id: vpc.account_id.clone(),
            vpc_id: vpc.id.clone(),
            number: route_table_number(tx, &vpc.id).await?,
            generation: Generation(1),
            created_ms: vpc.created_ms,
        };
        route_table_insert(tx, &table).await?;
        let main = RouteAssociationRow {
            id: RouteAssociationId::from_random(self.rng().u128()),
            table_id: table.id.clone(),
            vpc_id: vpc.id.clone(),
            subnet_id: None,
        };
        route_association_insert(tx, &main).await?;
        change_append(tx, load::ROUTE_TABLE, &table.id, None);
        Ok(table)
    }

    /// Gives a fresh default VPC its internet gateway, and its main table the route there.
    pub(crate) async fn open_to_world(
        &self,
        tx: &mut Tx,
        vpc: &VpcRow,
        main: &RouteTableRow,
    ) -> Result<(), StoreError> {
        let gateway = InternetGatewayRow {
            id: InternetGatewayId::from_random(self.rng().u128()),
            account_id: vpc.account_id.clone(),
            vpc_id: Some(vpc.id.clone()),
            created_ms: vpc.created_ms,
        };
        internet_gateway_insert(tx, &gateway).await?;
        let route = RouteRow {
            table_id: main.id.clone(),
            destination: EVERYWHERE.into(),
            target_kind: TO_INTERNET_GATEWAY.to_owned(),
            target_id: gateway.id.to_string(),
        };
        route_insert(tx, &route).await
    }
}
