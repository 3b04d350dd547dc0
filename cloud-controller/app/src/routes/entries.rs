//! The routes of a table.

use crate::fail::{OrFail as _, store_failure};
use crate::quotas::{table as quotas, within};
use crate::{Cloud, OpContext, load, prefix_lists};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    RouteDestination, RouteRow, RouteTableRow, TO_INTERNET_GATEWAY, Tx, VpcRow, change_append, route_delete,
    route_insert, route_list, route_replace, route_table_touch, vpc_fetch,
};
use mallee_types::{AccountId, PrefixListId, RouteTableId};
use std::collections::BTreeSet;

/// Where a route is to lead.
#[derive(Debug, Clone)]
pub enum RouteTarget {
    /// To the world, by this gateway.
    InternetGateway(String),
    /// To the VPC itself, as its own block always does.
    Local,
}

impl Cloud {
    async fn vpc_of(&self, table: &RouteTableRow) -> Result<VpcRow, ApiError> {
        vpc_fetch(self.store(), &table.vpc_id).await.or_fail()
    }

    /// A destination in its canonical form, and the lists that are to be held for it.
    async fn destination(
        &self,
        cx: &OpContext,
        wanted: &RouteDestination,
    ) -> Result<(RouteDestination, BTreeSet<PrefixListId>), ApiError> {
        Ok(match wanted {
            RouteDestination::Block(block) => (block.trunc().into(), BTreeSet::new()),
            RouteDestination::List(list) => {
                self.find_prefix_list(cx, list.as_str()).await?;
                (wanted.clone(), BTreeSet::from([list.clone()]))
            }
        })
    }

    /// What a route of this table to that target is, if there may be one.
    async fn route_row(
        &self,
        cx: &OpContext,
        table: &RouteTableRow,
        destination: &RouteDestination,
        target: &RouteTarget,
    ) -> Result<RouteRow, ApiError> {
        let RouteTarget::InternetGateway(id) = target else {
            return Err(Code::InvalidParameterValue
                .message(format!("the route to {destination} cannot target the VPC itself: only its own block does")));
        };
        let unknown = || Code::InvalidGatewayIdNotFound.with(&[&mallee_awswire::texts::clip(id)]);
        let gateway = match self.find_internet_gateway(cx, id).await {
            Err(error) if error.status() < 500 => return Err(unknown()),
            other => other?,
        };
        if gateway.vpc_id.as_ref() != Some(&table.vpc_id) {
            return Err(Code::InvalidParameterValue.message(format!(
                "route table {} and network gateway {} belong to different networks",
                table.id, gateway.id
            )));
        }
        Ok(RouteRow {
            table_id: table.id.clone(),
            destination: destination.clone(),
            target_kind: TO_INTERNET_GATEWAY.to_owned(),
            target_id: gateway.id.to_string(),
        })
    }

    /// `CreateRoute`. The destination is taken in its canonical form, as by EC2.
    ///
    /// # Errors
    /// `RouteAlreadyExists`, `RouteLimitExceeded`, `InvalidGatewayID.NotFound`; `InvalidParameterValue` for a destination
    /// inside the VPC and a gateway that is not attached to it.
    pub async fn create_route(
        &self,
        cx: &OpContext,
        table: &str,
        destination: &RouteDestination,
        target: &RouteTarget,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let table = self.find_route_table(cx, table).await?;
        let vpc = self.vpc_of(&table).await?;
        let (destination, lists) = self.destination(cx, destination).await?;
        if let RouteDestination::Block(block) = &destination
            && vpc.cidr.contains(block)
        {
            return Err(Code::InvalidParameterValue.message(format!(
                "The destination CIDR block {block} is equal to or more specific than one of this VPC's CIDR blocks. \
                 This route can target only an interface or an instance."
            )));
        }
        let row = self.route_row(cx, &table, &destination, target).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        prefix_lists::hold(&mut tx, &lists).await?;
        // Next: whoever else adds routes to the table waits, and counts this one.
        tell(&mut tx, &table).await?;
        let there = route_list(&mut tx, std::slice::from_ref(&table.id)).await.or_fail()?;
        if there.iter().any(|route| route.destination == destination) {
            return Err(Code::RouteAlreadyExists.with(&[&destination.to_string()]));
        }
        route_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("routes_table_id_destination") {
                Code::RouteAlreadyExists.with(&[&destination.to_string()])
            } else {
                store_failure(error)
            }
        })?;
        routes_within(&mut tx, cx.account(), &table.id).await?;
        prefix_lists::referred(&mut tx, cx.account(), &lists).await?;
        tx.commit().await.or_fail()
    }

    /// `ReplaceRoute`.
    ///
    /// # Errors
    /// `InvalidParameterValue` where there is no route to this destination.
    pub async fn replace_route(
        &self,
        cx: &OpContext,
        table: &str,
        destination: &RouteDestination,
        target: &RouteTarget,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let table = self.find_route_table(cx, table).await?;
        let vpc = self.vpc_of(&table).await?;
        let (destination, _) = self.destination(cx, destination).await?;
        if destination == vpc.cidr.into() {
            // It never led elsewhere.
            return match target {
                RouteTarget::Local if dry_run => Err(Code::DryRunOperation.error()),
                RouteTarget::Local => Ok(()),
                RouteTarget::InternetGateway(_) => Err(Code::InvalidParameterValue.message(format!(
                    "cannot replace the local route {destination} in route table {} by one to a gateway",
                    table.id
                ))),
            };
        }
        let row = self.route_row(cx, &table, &destination, target).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !route_replace(&mut tx, &row).await.or_fail()? {
            return Err(Code::InvalidParameterValue.message(format!(
                "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
            )));
        }
        tell(&mut tx, &table).await?;
        tx.commit().await.or_fail()
    }

    /// `DeleteRoute`.
    ///
    /// # Errors
    /// `InvalidRoute.NotFound`; `InvalidParameterValue` for the VPC's own block.
    pub async fn delete_route(
        &self,
        cx: &OpContext,
        table: &str,
        destination: &RouteDestination,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let table = self.find_route_table(cx, table).await?;
        let (destination, _) = self.destination(cx, destination).await?;
        if destination == self.vpc_of(&table).await?.cidr.into() {
            return Err(Code::InvalidParameterValue
                .message(format!("cannot remove local route {destination} in route table {}", table.id)));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !route_delete(&mut tx, &table.id, &destination).await.or_fail()? {
            return Err(Code::InvalidRouteNotFound.with(&[&destination.to_string(), table.id.as_str()]));
        }
        tell(&mut tx, &table).await?;
        tx.commit().await.or_fail()
    }
}

/// Whether a table may have the routes that it has, each to a prefix list counted as so many as that may have entries.
pub(crate) async fn routes_within(tx: &mut Tx, account: &AccountId, table: &RouteTableId) -> Result<(), ApiError> {
    let all = route_list(&mut *tx, std::slice::from_ref(table)).await.or_fail()?;
    let sizes = prefix_lists::sizes(tx, all.iter().filter_map(|route| route.destination.list())).await?;
    let count = all.iter().map(|route| prefix_lists::weight(&sizes, route.destination.list())).sum();
    within(tx, account, &quotas::ROUTES_PER_TABLE, count).await
}

async fn tell(tx: &mut Tx, table: &RouteTableRow) -> Result<(), ApiError> {
    route_table_touch(tx, &table.id).await.or_fail()?;
    change_append(tx, load::ROUTE_TABLE, &table.id, None);
    Ok(())
}
