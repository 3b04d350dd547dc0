//! The routes of a table.

use super::target::{Led, RouteTarget};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::{table as quotas, within};
use crate::{Cloud, OpContext, load, prefix_lists};
use ipnet::{Ipv4Net, Ipv6Net};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    InterfaceFilter, InterfaceRow, NatGatewayState, PAGE_ROWS_MAX, RouteDestination, RouteRow, RouteTableRow,
    StoreError, TO_EGRESS_ONLY_GATEWAY, TO_INTERNET_GATEWAY, TO_NAT_GATEWAY, TO_NETWORK_INTERFACE, TO_TRANSIT_GATEWAY,
    TO_VPC_PEERING, TransitAttachmentFilter, Tx, change_append, interface_list, route_delete, route_insert, route_list,
    route_replace, route_table_touch, subnet_list, transit_attachment_list, vpc_blocks, vpc_fetch, vpc_ipv6_cidr_list,
};
use mallee_types::{AccountId, RouteTableId};

/// Interfaces of an instance that are read: whether there is more than one.
const INTERFACES_MAX: u32 = 2;

/// The own addresses of a table's VPC: its blocks, and its subnets' ones.
struct Own {
    blocks: Vec<Ipv4Net>,
    subnets: Vec<Ipv4Net>,
    ipv6: Vec<Ipv6Net>,
}

impl Own {
    fn is_block(&self, destination: &RouteDestination) -> bool {
        match destination {
            RouteDestination::Block(to) => self.blocks.contains(to),
            RouteDestination::Ipv6(to) => self.ipv6.contains(to),
            RouteDestination::List(_) => false,
        }
    }

    /// Whether such a route may be. To the VPC's own addresses every table leads already; what leads some of them elsewhere
    /// leads a whole subnet, and to an instance or a NAT gateway.
    fn allow(&self, to: &Led, target: &RouteTarget, is_new: bool) -> Result<(), ApiError> {
        target.fits(to)?;
        let to = match &to.destination {
            RouteDestination::Ipv6(to) if self.ipv6.iter().any(|block| block.contains(to)) => {
                if is_new && self.ipv6.contains(to) {
                    return Err(Code::RouteAlreadyExists.with(&[&to.to_string()]));
                }
                return Err(Code::InvalidParameterValue.message(format!(
                    "The destination CIDR block {to} is equal to or more specific than one of this VPC's IPv6 CIDR blocks, \
                     which nothing but its local route leads to."
                )));
            }
            RouteDestination::Block(to) if self.blocks.iter().any(|block| block.contains(to)) => to,
            _ => return Ok(()),
        };
        if !target.is_within() {
            return Err(Code::InvalidParameterValue.message(format!(
                "The destination CIDR block {to} is equal to or more specific than one of this VPC's CIDR blocks. This \
                 route can target only an interface, an instance or a NAT gateway."
            )));
        }
        if is_new && self.blocks.contains(to) {
            return Err(Code::RouteAlreadyExists.with(&[&to.to_string()]));
        }
        if is_new && !self.subnets.contains(to) {
            return Err(Code::InvalidParameterValue
                .message(format!("The destination CIDR block {to} doesn't match any subnet CIDR block of this VPC.")));
        }
        Ok(())
    }
}

impl Cloud {
    async fn own_of(&self, cx: &OpContext, table: &RouteTableRow) -> Result<Own, ApiError> {
        let vpc = vpc_fetch(self.store(), &table.vpc_id).await.or_fail()?;
        let blocks = vpc_blocks(self.store(), &vpc).await.or_fail()?;
        let vpcs = Some(std::slice::from_ref(&vpc.id));
        let subnets = subnet_list(self.store(), cx.account(), None, vpcs, None, PAGE_ROWS_MAX).await.or_fail()?;
        let ipv6 = vpc_ipv6_cidr_list(self.store(), vpcs).await.or_fail()?;
        let ipv6 = ipv6.into_iter().map(|row| row.cidr).collect();
        Ok(Own { blocks, subnets: subnets.into_iter().map(|subnet| subnet.cidr).collect(), ipv6 })
    }

    async fn led(&self, cx: &OpContext, wanted: &RouteDestination) -> Result<Led, ApiError> {
        Ok(match wanted {
            RouteDestination::Block(block) => Led { destination: block.trunc().into(), six: false },
            RouteDestination::Ipv6(block) => Led { destination: block.trunc().into(), six: true },
            RouteDestination::List(list) => {
                let list = self.find_prefix_list(cx, list.as_str()).await?;
                Led { six: list.family.is_six(), destination: wanted.clone() }
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
        let id = match target {
            RouteTarget::InternetGateway(id) => id,
            RouteTarget::EgressOnlyGateway(id) => return self.egress_only_route(cx, table, destination, id).await,
            RouteTarget::Peering(id) => return self.peering_route(cx, table, destination, id).await,
            RouteTarget::NatGateway(id) => return self.nat_route(cx, table, destination, id).await,
            RouteTarget::TransitGateway(id) => return self.transit_route(cx, table, destination, id).await,
            RouteTarget::Interface(id) => {
                let interface = self.find_interface(cx, id).await?;
                return interface_route(table, destination, &interface);
            }
            RouteTarget::Instance(id) => {
                return interface_route(table, destination, &self.only_interface(cx, id).await?);
            }
            RouteTarget::Local => {
                return Err(Code::InvalidParameterValue.message(format!(
                    "the route to {destination} cannot target the VPC itself: only its own block does"
                )));
            }
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

    /// A route to the egress-only internet gateway of the table's VPC.
    async fn egress_only_route(
        &self,
        cx: &OpContext,
        table: &RouteTableRow,
        destination: &RouteDestination,
        id: &str,
    ) -> Result<RouteRow, ApiError> {
        let gateway = self.find_egress_only_gateway(cx, id).await?;
        if gateway.vpc_id != table.vpc_id {
            return Err(Code::InvalidParameterValue.message(format!(
                "route table {} and network gateway {} belong to different networks",
                table.id, gateway.id
            )));
        }
        Ok(RouteRow {
            table_id: table.id.clone(),
            destination: destination.clone(),
            target_kind: TO_EGRESS_ONLY_GATEWAY.to_owned(),
            target_id: gateway.id.to_string(),
        })
    }

    /// A route over a peering connection of the table's VPC. One that nobody has accepted yet is taken, as by EC2, and leads
    /// nowhere until then.
    async fn peering_route(
        &self,
        cx: &OpContext,
        table: &RouteTableRow,
        destination: &RouteDestination,
        id: &str,
    ) -> Result<RouteRow, ApiError> {
        let peering = self.find_peering(cx, id).await?;
        if !peering.state.is_live() {
            return Err(Code::InvalidVpcPeeringConnectionIdNotFound.with(&[peering.id.as_str()]));
        }
        if table.vpc_id != peering.requester_vpc && table.vpc_id != peering.accepter_vpc {
            return Err(Code::InvalidParameterValue.message(format!(
                "route table {} and peering connection {} belong to different networks",
                table.id, peering.id
            )));
        }
        Ok(RouteRow {
            table_id: table.id.clone(),
            destination: destination.clone(),
            target_kind: TO_VPC_PEERING.to_owned(),
            target_id: peering.id.to_string(),
        })
    }

    /// A route to a NAT gateway of the table's VPC; to one that is not up yet it leads nowhere until then.
    async fn nat_route(
        &self,
        cx: &OpContext,
        table: &RouteTableRow,
        destination: &RouteDestination,
        id: &str,
    ) -> Result<RouteRow, ApiError> {
        let gateway = match self.find_nat_gateway(cx, id).await {
            Ok(row) if matches!(row.state, NatGatewayState::Pending | NatGatewayState::Available) => row,
            Err(error) if error.status() >= 500 => return Err(error),
            _ => return Err(Code::InvalidNatGatewayIdNotFound.with(&[&mallee_awswire::texts::clip(id)])),
        };
        if gateway.vpc_id != table.vpc_id {
            return Err(Code::InvalidParameterValue.message(format!(
                "route table {} and NAT gateway {} belong to different networks",
                table.id, gateway.id
            )));
        }
        Ok(RouteRow {
            table_id: table.id.clone(),
            destination: destination.clone(),
            target_kind: TO_NAT_GATEWAY.to_owned(),
            target_id: gateway.id.to_string(),
        })
    }

    /// A route to a transit gateway that the table's VPC is attached to.
    async fn transit_route(
        &self,
        cx: &OpContext,
        table: &RouteTableRow,
        destination: &RouteDestination,
        id: &str,
    ) -> Result<RouteRow, ApiError> {
        let gateway = self.find_transit_gateway(cx, id).await?;
        let filter = TransitAttachmentFilter {
            gateways: Some(std::slice::from_ref(&gateway.id)),
            live_vpc: Some(&table.vpc_id),
            ..Default::default()
        };
        if transit_attachment_list(self.store(), filter, 1).await.or_fail()?.is_empty() {
            let text = format!("{} is not attached to the VPC of route table {}.", gateway.id, table.id);
            return Err(Code::InvalidTransitGatewayIdNotFound.message(text));
        }
        Ok(RouteRow {
            table_id: table.id.clone(),
            destination: destination.clone(),
            target_kind: TO_TRANSIT_GATEWAY.to_owned(),
            target_id: gateway.id.to_string(),
        })
    }

    /// The one interface that an instance has.
    async fn only_interface(&self, cx: &OpContext, id: &str) -> Result<InterfaceRow, ApiError> {
        let instance = self.find_instances(cx, &[id.to_owned()]).await?.remove(0);
        let filter = InterfaceFilter { instances: Some(std::slice::from_ref(&instance.id)), ..Default::default() };
        let mut interfaces = interface_list(self.store(), filter, INTERFACES_MAX).await.or_fail()?;
        if interfaces.len() > 1 {
            return Err(Code::InvalidInstanceId.message(format!(
                "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID for the operation instead."
            )));
        }
        interfaces.pop().ok_or_else(|| {
            let text = format!("The instance '{id}' has no network interface any more.");
            Code::IncorrectInstanceState.message(text)
        })
    }

    /// `CreateRoute`. The destination is taken in its canonical form, as by EC2.
    ///
    /// # Errors
    /// `RouteAlreadyExists`, `RouteLimitExceeded`, `InvalidGatewayID.NotFound`, `InvalidNatGatewayID.NotFound`, `InvalidInstanceID` for one of several
    /// interfaces; `InvalidParameterValue` for a destination inside the VPC, unless it is a subnet and the target an instance
    /// or interface, and for a target of another VPC.
    pub async fn create_route(
        &self,
        cx: &OpContext,
        table: &str,
        destination: &RouteDestination,
        target: &RouteTarget,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let table = self.find_route_table(cx, table).await?;
        let led = self.led(cx, destination).await?;
        let (destination, lists) = (led.destination.clone(), led.lists());
        let mut own = self.own_of(cx, &table).await?;
        own.allow(&led, target, true)?;
        let row = self.route_row(cx, &table, &destination, target).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        prefix_lists::hold(&mut tx, &lists).await?;
        // Next: whoever else adds routes to the table waits, and counts this one.
        tell(&mut tx, &table).await?;
        // The VPC may have got a block meanwhile; from here on it gets none.
        let vpc = vpc_fetch(&mut tx, &table.vpc_id).await.or_fail()?;
        own.blocks = vpc_blocks(&mut tx, &vpc).await.or_fail()?;
        let ipv6 = vpc_ipv6_cidr_list(&mut tx, Some(std::slice::from_ref(&vpc.id))).await.or_fail()?;
        own.ipv6 = ipv6.into_iter().map(|row| row.cidr).collect();
        own.allow(&led, target, true)?;
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

    /// `ReplaceRoute`. The local route is led to an interface, and back, by a row that takes its place.
    ///
    /// # Errors
    /// `InvalidParameterValue` where there is no route to this destination, and as of [`Cloud::create_route`].
    pub async fn replace_route(
        &self,
        cx: &OpContext,
        table: &str,
        destination: &RouteDestination,
        target: &RouteTarget,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let table = self.find_route_table(cx, table).await?;
        let led = self.led(cx, destination).await?;
        let destination = led.destination.clone();
        let mut own = self.own_of(cx, &table).await?;
        let row = match target {
            RouteTarget::Local if own.is_block(&destination) => None,
            RouteTarget::InternetGateway(_) | RouteTarget::EgressOnlyGateway(_) | RouteTarget::Peering(_)
                if own.is_block(&destination) =>
            {
                return Err(Code::InvalidParameterValue.message(format!(
                    "cannot replace the local route {destination} in route table {} by one to something else than an \
                     interface, an instance or a NAT gateway",
                    table.id
                )));
            }
            RouteTarget::Local => Some(self.route_row(cx, &table, &destination, target).await?),
            _ => {
                own.allow(&led, target, false)?;
                Some(self.route_row(cx, &table, &destination, target).await?)
            }
        };
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        tell(&mut tx, &table).await?;
        // From here on the VPC gets no block, and loses none.
        let vpc = vpc_fetch(&mut tx, &table.vpc_id).await.or_fail()?;
        own.blocks = vpc_blocks(&mut tx, &vpc).await.or_fail()?;
        let ipv6 = vpc_ipv6_cidr_list(&mut tx, Some(std::slice::from_ref(&vpc.id))).await.or_fail()?;
        own.ipv6 = ipv6.into_iter().map(|row| row.cidr).collect();
        let done = match &row {
            None => {
                route_delete(&mut tx, &table.id, &destination).await.or_fail()?;
                own.is_block(&destination)
            }
            Some(row) => {
                own.allow(&led, target, false)?;
                let replaced = route_replace(&mut tx, row).await.or_fail()?;
                if !replaced && own.is_block(&destination) {
                    route_insert(&mut tx, row).await.or_fail()?;
                }
                replaced || own.is_block(&destination)
            }
        };
        if !done {
            return Err(Code::InvalidParameterValue.message(format!(
                "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
            )));
        }
        tx.commit().await.or_fail()
    }

    /// `DeleteRoute`.
    ///
    /// # Errors
    /// `InvalidRoute.NotFound`; `InvalidParameterValue` for the VPC's own blocks.
    pub async fn delete_route(
        &self,
        cx: &OpContext,
        table: &str,
        destination: &RouteDestination,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let table = self.find_route_table(cx, table).await?;
        let destination = self.led(cx, destination).await?.destination;
        if self.own_of(cx, &table).await?.is_block(&destination) {
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
    // As on AWS, those of IPv6 by themselves.
    let (six, four): (Vec<_>, Vec<_>) = all.iter().partition(|route| match &route.destination {
        RouteDestination::Block(_) => false,
        RouteDestination::Ipv6(_) => true,
        RouteDestination::List(list) => sizes.is_six(list),
    });
    for family in [four, six] {
        let count = family.iter().map(|route| sizes.weight(route.destination.list())).sum();
        within(tx, account, &quotas::ROUTES_PER_TABLE, count).await?;
    }
    Ok(())
}

fn interface_route(
    table: &RouteTableRow,
    destination: &RouteDestination,
    interface: &InterfaceRow,
) -> Result<RouteRow, ApiError> {
    if interface.vpc_id != table.vpc_id {
        return Err(Code::InvalidParameterValue
            .message(format!("route table {} and interface {} belong to different networks", table.id, interface.id)));
    }
    Ok(RouteRow {
        table_id: table.id.clone(),
        destination: destination.clone(),
        target_kind: TO_NETWORK_INTERFACE.to_owned(),
        target_id: interface.id.to_string(),
    })
}

async fn tell(tx: &mut Tx, table: &RouteTableRow) -> Result<(), ApiError> {
    route_table_touch(tx, &table.id).await.map_err(|error| match error {
        // Another call has just deleted it.
        StoreError::NotFound { .. } => Code::InvalidRouteTableIdNotFound.with(&[table.id.as_str()]),
        other => store_failure(other),
    })?;
    change_append(tx, load::ROUTE_TABLE, &table.id, None);
    Ok(())
}
