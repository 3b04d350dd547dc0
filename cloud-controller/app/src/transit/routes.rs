//! Where the tables of a transit gateway lead: the routes that somebody made, and the blocks that are known by propagation.

use super::{attachments, touch};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::{table as quotas, within};
use crate::{Cloud, OpContext};
use ipnet::Ipv4Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    PAGE_ROWS_MAX, StoreError, TransitAttachmentFilter, TransitAttachmentRow, TransitRouteRow, TransitState,
    TransitTableRow, Tx, transit_attachment_list, transit_propagation_list, transit_route_delete, transit_route_insert,
    transit_route_list, transit_route_set, vpc_blocks, vpc_fetch,
};
use mallee_types::{TransitAttachmentId, TransitGatewayId, TransitTableId, VpcId};
use std::collections::BTreeMap;

/// Where a route that somebody makes is to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransitDestination {
    /// To what is attached.
    Attachment(String),
    /// Nowhere: packets are dropped.
    Blackhole,
}

/// A route of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRoute {
    /// For packets to here.
    pub destination: Ipv4Net,
    /// Where they are led, with the VPC there; `None`: they are dropped.
    pub to: Option<(TransitAttachmentId, VpcId)>,
    /// Somebody made it; else it is a block of what is attached.
    pub is_static: bool,
}

/// VPCs that are attached, with their blocks.
pub(crate) type Attached = BTreeMap<TransitAttachmentId, (VpcId, Vec<Ipv4Net>)>;

/// The routes of a table, by destination. A made one counts before a known one.
fn routes_of(made: &[TransitRouteRow], known: &[TransitAttachmentId], attached: &Attached) -> Vec<TableRoute> {
    let mut routes: BTreeMap<Ipv4Net, TableRoute> = BTreeMap::new();
    for id in known {
        let Some((vpc, blocks)) = attached.get(id) else { continue };
        for block in blocks {
            let to = Some((id.clone(), vpc.clone()));
            routes.entry(*block).or_insert(TableRoute { destination: *block, to, is_static: false });
        }
    }
    for row in made {
        let there = row.attachment_id.as_ref().and_then(|id| Some((id.clone(), attached.get(id)?.0.clone())));
        let route = TableRoute { destination: row.destination, to: there, is_static: true };
        routes.insert(row.destination, route);
    }
    routes.into_values().collect()
}

/// What is attached to a gateway.
pub(crate) async fn attached_to(
    tx: &mut Tx,
    gateway: &TransitGatewayId,
) -> Result<(Vec<TransitAttachmentRow>, Attached), StoreError> {
    let (gateways, state) = (Some(std::slice::from_ref(gateway)), Some(TransitState::Available));
    let filter = TransitAttachmentFilter { gateways, state, ..Default::default() };
    let attachments = transit_attachment_list(&mut *tx, filter, PAGE_ROWS_MAX).await?;
    let mut attached = Attached::new();
    for attachment in &attachments {
        match vpc_fetch(&mut *tx, &attachment.vpc_id).await {
            Ok(vpc) => {
                let blocks = vpc_blocks(&mut *tx, &vpc).await?;
                attached.insert(attachment.id.clone(), (vpc.id, blocks));
            }
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((attachments, attached))
}

/// The routes of a table of the gateway that these are attached to.
pub(crate) async fn routes_in(
    tx: &mut Tx,
    table: &TransitTableId,
    attached: &Attached,
) -> Result<Vec<TableRoute>, StoreError> {
    let one = std::slice::from_ref(table);
    let made = transit_route_list(&mut *tx, one, PAGE_ROWS_MAX).await?;
    let known = transit_propagation_list(&mut *tx, Some(one), None, PAGE_ROWS_MAX).await?;
    let known: Vec<_> = known.into_iter().map(|row| row.attachment_id).collect();
    Ok(routes_of(&made, &known, attached))
}

fn destination(text: &str) -> Result<Ipv4Net, ApiError> {
    let wrong =
        || ApiError::invalid_value("destinationCidrBlock", &mallee_awswire::texts::clip(text), "It is no CIDR block.");
    let net: Ipv4Net = text.parse().map_err(|_| wrong())?;
    if net != net.trunc() { Err(wrong()) } else { Ok(net) }
}

fn missing(table: &TransitTableRow, to: Ipv4Net) -> ApiError {
    Code::InvalidRouteNotFound.message(format!("Route {to} does not exist in {}.", table.id))
}

impl Cloud {
    /// Where a table leads, by destination: one state of it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn transit_routes_in(&self, table: &TransitTableRow) -> Result<Vec<TableRoute>, ApiError> {
        let mut tx = self.store().read().await.or_fail()?;
        let (_, attached) = attached_to(&mut tx, &table.gateway_id).await.or_fail()?;
        routes_in(&mut tx, &table.id, &attached).await.or_fail()
    }

    async fn transit_target(
        &self,
        cx: &OpContext,
        table: &TransitTableRow,
        to: &TransitDestination,
    ) -> Result<Option<TransitAttachmentId>, ApiError> {
        let TransitDestination::Attachment(id) = to else { return Ok(None) };
        let row = self.find_transit_attachment(cx, id).await?;
        if row.gateway_id != table.gateway_id {
            return Err(Code::InvalidParameterValue
                .message(format!("{} and {} are not of the same transit gateway.", row.id, table.id)));
        }
        Ok(Some(row.id))
    }

    /// `CreateTransitGatewayRoute`, and `ReplaceTransitGatewayRoute` if one is there to be replaced.
    ///
    /// # Errors
    /// What is not there, `RouteAlreadyExists`, the quota.
    pub async fn put_transit_route(
        &self,
        cx: &OpContext,
        table: &str,
        block: &str,
        to: &TransitDestination,
        replace: bool,
        dry_run: bool,
    ) -> Result<TransitRouteRow, ApiError> {
        let table = self.find_transit_table(cx, table).await?;
        let destination = destination(block)?;
        let attachment_id = self.transit_target(cx, &table, to).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &table.gateway_id).await?;
        attachments::live_table(&mut tx, &table.id).await?;
        if let Some(id) = &attachment_id {
            attachments::of_id(&mut tx, id).await?;
        }
        let row = TransitRouteRow { table_id: table.id.clone(), destination, attachment_id };
        if replace {
            if !transit_route_set(&mut tx, &row).await.or_fail()? {
                return Err(missing(&table, destination));
            }
        } else {
            let there = transit_route_list(&mut tx, std::slice::from_ref(&table.id), PAGE_ROWS_MAX).await.or_fail()?;
            within(&mut tx, cx.account(), &quotas::ROUTES_PER_TRANSIT_TABLE, there.len() + 1).await?;
            transit_route_insert(&mut tx, &row).await.map_err(|error| {
                if error.is_conflict("transit_routes_table_id_destination") {
                    return Code::RouteAlreadyExists.with(&[&destination.to_string()]);
                }
                store_failure(error)
            })?;
        }
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DeleteTransitGatewayRoute`. What is known by propagation is not deleted so.
    ///
    /// # Errors
    /// What is not there.
    pub async fn delete_transit_route(
        &self,
        cx: &OpContext,
        table: &str,
        block: &str,
        dry_run: bool,
    ) -> Result<TransitRouteRow, ApiError> {
        let table = self.find_transit_table(cx, table).await?;
        let destination = destination(block)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &table.gateway_id).await?;
        let there = transit_route_list(&mut tx, std::slice::from_ref(&table.id), PAGE_ROWS_MAX).await.or_fail()?;
        let row = there.into_iter().find(|row| row.destination == destination);
        let row = row.ok_or_else(|| missing(&table, destination))?;
        transit_route_delete(&mut tx, &table.id, destination).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::TransitTableId;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn a_made_route_counts_before_a_known_one_and_one_that_has_gone_leads_nowhere() {
        let [one, other, gone] = [1, 2, 3].map(TransitAttachmentId::from_random);
        let [vpc, further] = [1, 2].map(VpcId::from_random);
        let attached: Attached = [
            (one.clone(), (vpc.clone(), vec![net("10.1.0.0/16"), net("100.64.0.0/20")])),
            (other.clone(), (further.clone(), vec![net("10.2.0.0/16")])),
        ]
        .into();
        let table_id = TransitTableId::from_random(1);
        let made = |to: &str, id: Option<&TransitAttachmentId>| TransitRouteRow {
            table_id: table_id.clone(),
            destination: net(to),
            attachment_id: id.cloned(),
        };
        let rows = [made("10.1.0.0/16", Some(&other)), made("0.0.0.0/0", Some(&gone)), made("10.9.0.0/16", None)];
        let routes = routes_of(&rows, &[one.clone(), gone], &attached);
        let said: Vec<(String, Option<VpcId>, bool)> = routes
            .into_iter()
            .map(|route| (route.destination.to_string(), route.to.map(|(_, vpc)| vpc), route.is_static))
            .collect();
        let wanted = [
            ("0.0.0.0/0", None, true),
            ("10.1.0.0/16", Some(further), true),
            ("10.9.0.0/16", None, true),
            ("100.64.0.0/20", Some(vpc), false),
        ];
        assert_eq!(said, wanted.map(|(to, vpc, made)| (to.to_owned(), vpc, made)));
    }
}
