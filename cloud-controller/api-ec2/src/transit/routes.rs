//! Where the tables of transit gateways lead, and the search among it.

use super::{PAGE_SIZES, VPC, required, table_id};
use crate::Ec2Api;
use crate::common::{dry_run, filters, page, values_of};
use crate::filter::Filterable;
use ipnet::Ipv4Net;
use mallee_app::OpContext;
use mallee_app::transit::{TableRoute, TransitDestination};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{TransitAttachmentFilter, TransitRouteRow, transit_attachment_list};
use std::net::Ipv4Addr;

/// What SearchTransitGatewayRoutes filters by, besides [`Search`].
const FILTERS: [&str; 6] = [
    "attachment.resource-id",
    "attachment.resource-type",
    "attachment.transit-gateway-attachment-id",
    "prefix-list-id",
    "state",
    "type",
];

/// Filters that compare blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// The route to this very block.
    Exact,
    /// The route that a packet to this address or block takes.
    Longest,
    /// Routes to this block or to a part of it.
    Subnets,
    /// Routes to this block or to one that holds it.
    Supernets,
}

impl Search {
    fn of(name: &str) -> Option<Self> {
        match name.strip_prefix("route-search.")? {
            "exact-match" => Some(Self::Exact),
            "longest-prefix-match" => Some(Self::Longest),
            "subnet-of-match" => Some(Self::Subnets),
            "supernet-of-match" => Some(Self::Supernets),
            _ => None,
        }
    }

    /// Those of the routes that one of the blocks finds.
    fn pick(self, routes: &[Ipv4Net], wanted: &[Ipv4Net]) -> Vec<Ipv4Net> {
        let longest =
            |block: &Ipv4Net| routes.iter().filter(|route| route.contains(block)).max_by_key(|r| r.prefix_len());
        match self {
            Self::Exact => routes.iter().filter(|route| wanted.contains(route)).copied().collect(),
            Self::Subnets => routes.iter().filter(|route| wanted.iter().any(|w| w.contains(*route))).copied().collect(),
            Self::Supernets => {
                routes.iter().filter(|route| wanted.iter().any(|w| route.contains(w))).copied().collect()
            }
            Self::Longest => wanted.iter().filter_map(longest).copied().collect(),
        }
    }
}

fn block(text: &str) -> Result<Ipv4Net, ApiError> {
    let found = text.parse::<Ipv4Net>().or_else(|_| text.parse::<Ipv4Addr>().map(Ipv4Net::from));
    found.map(|net| net.trunc()).map_err(|_| ApiError::invalid_value("Filter", text, "It is no CIDR block."))
}

/// Comparisons, each with the blocks of which one must hold.
type Searches = Vec<(Search, Vec<Ipv4Net>)>;

/// The filters that compare blocks, and the others.
fn searches(wanted: Vec<Filter>) -> Result<(Searches, Vec<Filter>), ApiError> {
    let (mut found, mut others) = (Searches::new(), Vec::new());
    for filter in wanted {
        match filter.name.as_deref().and_then(Search::of) {
            Some(search) => {
                found.push((search, filter.values.iter().map(|text| block(text)).collect::<Result<_, _>>()?));
            }
            None => others.push(filter),
        }
    }
    Ok((found, others))
}

impl Filterable for TransitGatewayRoute {
    fn values(&self, name: &str) -> Vec<String> {
        let attachments = |value: fn(&TransitGatewayRouteAttachment) -> Vec<String>| {
            self.transit_gateway_attachments.iter().flat_map(value).collect::<Vec<_>>()
        };
        match name {
            "attachment.resource-id" => attachments(|one| values_of(&one.resource_id)),
            "attachment.resource-type" => attachments(|one| values_of(&one.resource_type)),
            "attachment.transit-gateway-attachment-id" => {
                attachments(|one| values_of(&one.transit_gateway_attachment_id))
            }
            "prefix-list-id" => values_of(&self.prefix_list_id),
            "state" => values_of(&self.state),
            _ => values_of(&self.type_),
        }
    }
}

fn shape(route: &TableRoute, state: &str) -> TransitGatewayRoute {
    let attachments = route.to.iter().map(|(id, vpc)| TransitGatewayRouteAttachment {
        resource_id: Some(vpc.to_string()),
        resource_type: Some(VPC.to_owned()),
        transit_gateway_attachment_id: Some(id.to_string()),
    });
    TransitGatewayRoute {
        destination_cidr_block: Some(route.destination.to_string()),
        prefix_list_id: None,
        state: Some(state.to_owned()),
        transit_gateway_attachments: attachments.collect(),
        transit_gateway_route_table_announcement_id: None,
        type_: Some(if route.is_static { "static" } else { "propagated" }.to_owned()),
    }
}

const fn state(route: &TableRoute) -> &'static str {
    if route.to.is_some() { "active" } else { "blackhole" }
}

/// The one target of a route.
fn target(attachment: Option<String>, blackhole: Option<bool>) -> Result<TransitDestination, ApiError> {
    match (attachment, blackhole == Some(true)) {
        (Some(_), true) => Err(ApiError::invalid_combination(
            "The parameters TransitGatewayAttachmentId and Blackhole exclude each other",
        )),
        (Some(id), false) => Ok(TransitDestination::Attachment(id)),
        (None, true) => Ok(TransitDestination::Blackhole),
        (None, false) => Err(ApiError::missing_parameter("TransitGatewayAttachmentId")),
    }
}

fn to(given: Option<String>) -> Result<String, ApiError> {
    required("DestinationCidrBlock", given)
}

impl Ec2Api {
    /// A route that somebody made, as it leads now.
    async fn transit_route_shown(
        &self,
        row: TransitRouteRow,
        word: Option<&str>,
    ) -> Result<Option<TransitGatewayRoute>, ApiError> {
        let mut to = None;
        if let Some(id) = row.attachment_id {
            let filter = TransitAttachmentFilter { ids: Some(std::slice::from_ref(&id)), ..Default::default() };
            let found = crate::common::rows(transit_attachment_list(self.store(), filter, 1).await)?.pop();
            to = found.map(|attachment| (id, attachment.vpc_id));
        }
        let route = TableRoute { destination: row.destination, to, is_static: true };
        Ok(Some(shape(&route, word.unwrap_or_else(|| state(&route)))))
    }

    pub(crate) async fn create_transit_gateway_route(
        &self,
        cx: &OpContext,
        r: CreateTransitGatewayRouteRequest,
    ) -> Result<CreateTransitGatewayRouteResult, ApiError> {
        let CreateTransitGatewayRouteRequest {
            blackhole,
            destination_cidr_block,
            dry_run,
            transit_gateway_attachment_id,
            transit_gateway_route_table_id,
        } = r;
        let (table, block) = (table_id(transit_gateway_route_table_id)?, to(destination_cidr_block)?);
        let target = target(transit_gateway_attachment_id, blackhole)?;
        let row = self.cloud.put_transit_route(cx, &table, &block, &target, false, dry_run == Some(true)).await?;
        Ok(CreateTransitGatewayRouteResult { route: self.transit_route_shown(row, None).await? })
    }

    pub(crate) async fn replace_transit_gateway_route(
        &self,
        cx: &OpContext,
        r: ReplaceTransitGatewayRouteRequest,
    ) -> Result<ReplaceTransitGatewayRouteResult, ApiError> {
        let ReplaceTransitGatewayRouteRequest {
            blackhole,
            destination_cidr_block,
            dry_run,
            transit_gateway_attachment_id,
            transit_gateway_route_table_id,
        } = r;
        let (table, block) = (table_id(transit_gateway_route_table_id)?, to(destination_cidr_block)?);
        let target = target(transit_gateway_attachment_id, blackhole)?;
        let row = self.cloud.put_transit_route(cx, &table, &block, &target, true, dry_run == Some(true)).await?;
        Ok(ReplaceTransitGatewayRouteResult { route: self.transit_route_shown(row, None).await? })
    }

    pub(crate) async fn delete_transit_gateway_route(
        &self,
        cx: &OpContext,
        r: DeleteTransitGatewayRouteRequest,
    ) -> Result<DeleteTransitGatewayRouteResult, ApiError> {
        let DeleteTransitGatewayRouteRequest { destination_cidr_block, dry_run, transit_gateway_route_table_id } = r;
        let (table, block) = (table_id(transit_gateway_route_table_id)?, to(destination_cidr_block)?);
        let row = self.cloud.delete_transit_route(cx, &table, &block, dry_run == Some(true)).await?;
        Ok(DeleteTransitGatewayRouteResult { route: self.transit_route_shown(row, Some("deleted")).await? })
    }

    pub(crate) async fn search_transit_gateway_routes(
        &self,
        cx: &OpContext,
        r: SearchTransitGatewayRoutesRequest,
    ) -> Result<SearchTransitGatewayRoutesResult, ApiError> {
        let SearchTransitGatewayRoutesRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            transit_gateway_route_table_id,
        } = r;
        if wanted.is_empty() {
            return Err(Code::MissingParameter.with(&["Filter"]));
        }
        let (searches, others) = searches(wanted)?;
        let filters = filters(&others, &FILTERS)?;
        let page = page("SearchTransitGatewayRoutes", max_results, next_token.as_deref(), PAGE_SIZES, &[])?;
        let table = self.cloud.find_transit_table(cx, &table_id(transit_gateway_route_table_id)?).await?;
        dry_run(dry)?;
        let routes = self.cloud.transit_routes_in(&table).await?;
        let blocks: Vec<Ipv4Net> = routes.iter().map(|route| route.destination).collect();
        let picked: Vec<Vec<Ipv4Net>> = searches.iter().map(|(search, of)| search.pick(&blocks, of)).collect();
        let found = routes.iter().filter(|route| picked.iter().all(|some| some.contains(&route.destination)));
        let found = found.map(|route| (route.destination, shape(route, state(route))));
        // In the order of the blocks, as numbers.
        let key = |(block, _): &(Ipv4Net, TransitGatewayRoute)| {
            format!("{:08x}/{:02}", block.addr().to_bits(), block.prefix_len())
        };
        let (found, next_token) = page.cut(found.filter(|(_, route)| filters.accept(route)), key);
        Ok(SearchTransitGatewayRoutesResult {
            additional_routes_available: Some(next_token.is_some()),
            next_token,
            routes: found.into_iter().map(|(_, route)| route).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| block(text).unwrap()).collect()
    }

    #[test]
    fn searches_compare_blocks() {
        let routes = nets(&["0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/29", "10.0.1.0/31", "192.168.0.0/16"]);
        let cases = [
            (Search::Exact, "10.0.0.0/8", &["10.0.0.0/8"][..]),
            (Search::Exact, "10.0.0.0/9", &[]),
            (Search::Longest, "10.0.1.1", &["10.0.1.0/31"]),
            (Search::Longest, "10.0.1.0/30", &["10.0.1.0/29"]),
            (Search::Longest, "8.8.8.8", &["0.0.0.0/0"]),
            (Search::Subnets, "10.0.1.0/30", &["10.0.1.0/31"]),
            (Search::Subnets, "10.0.0.0/8", &["10.0.0.0/8", "10.0.1.0/29", "10.0.1.0/31"]),
            // As AWS's page has it.
            (Search::Supernets, "10.0.1.0/30", &["0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/29"]),
        ];
        for (search, wanted, found) in cases {
            assert_eq!(search.pick(&routes, &nets(&[wanted])), nets(found), "{search:?} {wanted}");
        }
        assert!(block("10.0.0.0/33").is_err() && block("over there").is_err());
    }
}
