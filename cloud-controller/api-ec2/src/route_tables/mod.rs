//! Route tables, what they look like, and which subnet has which.

mod routes;

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_of_one, tags_on,
    values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::once::Once;
use mallee_app::routes::TABLE_TAG_KIND;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    RouteAssociationFilter, RouteAssociationRow, RouteDestination, RouteRow, RouteTableFilter, RouteTableRow,
    TO_INTERNET_GATEWAY, internet_gateway_list_attached, route_association_list, route_list, route_table_list,
    vpc_list,
};
use mallee_types::{InternetGatewayId, RouteTableId, VpcId};
use std::collections::BTreeMap;

/// What DescribeRouteTables filters by; targets that do not exist here match nothing.
const FILTERS: [&str; 23] = [
    "association.gateway-id",
    "association.main",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.destination-prefix-list-id",
    "route.egress-only-internet-gateway-id",
    "route.gateway-id",
    "route.instance-id",
    "route.local-gateway-id",
    "route.nat-gateway-id",
    "route.network-interface-id",
    "route.origin",
    "route.state",
    "route.transit-gateway-id",
    "route.vpc-peering-connection-id",
    "tag-key",
    "transit-gateway-id",
    "vpc-id",
];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=100;

impl Filterable for RouteTable {
    fn values(&self, name: &str) -> Vec<String> {
        let associations = |value: fn(&RouteTableAssociation) -> Vec<String>| {
            self.associations.iter().flat_map(value).collect::<Vec<_>>()
        };
        let routes = |value: fn(&Route) -> Vec<String>| self.routes.iter().flat_map(value).collect::<Vec<_>>();
        match name {
            "association.main" => associations(|a| values_of(&a.main)),
            "association.route-table-association-id" => associations(|a| values_of(&a.route_table_association_id)),
            "association.route-table-id" => associations(|a| values_of(&a.route_table_id)),
            "association.subnet-id" => associations(|a| values_of(&a.subnet_id)),
            "owner-id" => values_of(&self.owner_id),
            "route-table-id" => values_of(&self.route_table_id),
            "route.destination-cidr-block" => routes(|r| values_of(&r.destination_cidr_block)),
            "route.destination-prefix-list-id" => routes(|r| values_of(&r.destination_prefix_list_id)),
            "route.gateway-id" => routes(|r| values_of(&r.gateway_id)),
            "route.origin" => routes(|r| values_of(&r.origin)),
            "route.state" => routes(|r| values_of(&r.state)),
            "vpc-id" => values_of(&self.vpc_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

/// What belongs to some tables.
struct Parts {
    routes: BTreeMap<RouteTableId, Vec<RouteRow>>,
    associations: BTreeMap<RouteTableId, Vec<RouteAssociationRow>>,
    blocks: BTreeMap<VpcId, String>,
    gateways: BTreeMap<VpcId, InternetGatewayId>,
    tags: TagMap,
}

fn associated() -> Option<RouteTableAssociationState> {
    Some(RouteTableAssociationState { state: Some("associated".to_owned()), status_message: None })
}

fn association(row: &RouteAssociationRow) -> RouteTableAssociation {
    RouteTableAssociation {
        association_state: associated(),
        gateway_id: None,
        main: Some(row.subnet_id.is_none()),
        public_ipv4_pool: None,
        route_table_association_id: Some(row.id.to_string()),
        route_table_id: Some(row.table_id.to_string()),
        subnet_id: row.subnet_id.as_ref().map(ToString::to_string),
    }
}

impl Parts {
    fn route(&self, table: &RouteTableRow, row: &RouteRow) -> Route {
        let attached = self.gateways.get(&table.vpc_id).is_some_and(|gateway| gateway.as_str() == row.target_id);
        let destination_cidr_block = match &row.destination {
            RouteDestination::Block(block) => Some(block.to_string()),
            RouteDestination::List(_) => None,
        };
        let leads = row.target_kind == TO_INTERNET_GATEWAY && attached;
        Route {
            destination_cidr_block,
            destination_prefix_list_id: row.destination.list().map(ToString::to_string),
            gateway_id: Some(row.target_id.clone()),
            origin: Some("CreateRoute".to_owned()),
            state: Some(if leads { "active" } else { "blackhole" }.to_owned()),
            ..Default::default()
        }
    }

    fn shape(&mut self, row: &RouteTableRow) -> RouteTable {
        let local = Route {
            destination_cidr_block: self.blocks.get(&row.vpc_id).cloned(),
            gateway_id: Some("local".to_owned()),
            origin: Some("CreateRouteTable".to_owned()),
            state: Some("active".to_owned()),
            ..Default::default()
        };
        let more = self.routes.get(&row.id).into_iter().flatten().map(|route| self.route(row, route));
        RouteTable {
            routes: std::iter::once(local).chain(more).collect(),
            associations: self.associations.get(&row.id).into_iter().flatten().map(association).collect(),
            owner_id: Some(row.account_id.to_string()),
            propagating_vgws: Vec::new(),
            route_table_id: Some(row.id.to_string()),
            tags: self.tags.remove(row.id.as_str()).unwrap_or_default(),
            vpc_id: Some(row.vpc_id.to_string()),
        }
    }
}

impl Ec2Api {
    async fn route_table_parts(&self, cx: &OpContext, tables: &[RouteTableRow]) -> Result<Parts, ApiError> {
        let store = self.store();
        let ids: Vec<RouteTableId> = tables.iter().map(|table| table.id.clone()).collect();
        let mut vpcs: Vec<VpcId> = tables.iter().map(|table| table.vpc_id.clone()).collect();
        vpcs.sort_unstable();
        vpcs.dedup();
        let mut routes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for route in route_list(store, &ids).await.or_fail()? {
            routes.entry(route.table_id.clone()).or_default().push(route);
        }
        let mut associations: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let filter = RouteAssociationFilter { tables: Some(&ids), ..Default::default() };
        for row in route_association_list(store, filter).await.or_fail()? {
            associations.entry(row.table_id.clone()).or_default().push(row);
        }
        let attached = internet_gateway_list_attached(store, Some(&vpcs), None, ROWS).await.or_fail()?;
        let blocks = vpc_list(store, cx.account(), Some(&vpcs), None, ROWS).await.or_fail()?;
        Ok(Parts {
            routes,
            associations,
            blocks: blocks.into_iter().map(|vpc| (vpc.id, vpc.cidr.to_string())).collect(),
            gateways: attached.into_iter().filter_map(|gateway| Some((gateway.vpc_id?, gateway.id))).collect(),
            tags: tags_on(store, cx.account(), ids.iter().map(ToString::to_string)).await?,
        })
    }

    pub(crate) async fn create_route_table(
        &self,
        cx: &OpContext,
        r: CreateRouteTableRequest,
        params: &Params,
    ) -> Result<CreateRouteTableResult, ApiError> {
        let CreateRouteTableRequest { client_token, dry_run, tag_specifications, vpc_id } = r;
        let vpc = vpc_id.ok_or_else(|| ApiError::missing_parameter("vpcId"))?;
        let tags = tags_of_one(tag_specifications, TABLE_TAG_KIND)?;
        let once = Once { token: client_token.clone(), params_hash: hex::encode(params.fingerprint()) };
        let id = self.cloud.create_route_table(cx, &vpc, &tags, &once, dry_run == Some(true)).await?;
        let row = self.cloud.find_route_table(cx, id.as_str()).await?;
        let mut parts = self.route_table_parts(cx, std::slice::from_ref(&row)).await?;
        Ok(CreateRouteTableResult { client_token, route_table: Some(parts.shape(&row)) })
    }

    pub(crate) async fn delete_route_table(&self, cx: &OpContext, r: DeleteRouteTableRequest) -> Result<(), ApiError> {
        let DeleteRouteTableRequest { dry_run, route_table_id } = r;
        let id = route_table_id.ok_or_else(|| ApiError::missing_parameter("routeTableId"))?;
        self.cloud.delete_route_table(cx, &id, dry_run == Some(true)).await
    }

    pub(crate) async fn associate_route_table(
        &self,
        cx: &OpContext,
        r: AssociateRouteTableRequest,
    ) -> Result<AssociateRouteTableResult, ApiError> {
        let AssociateRouteTableRequest { dry_run, gateway_id, public_ipv4_pool, route_table_id, subnet_id } = r;
        crate::common::refuse("GatewayId", gateway_id.is_some())?;
        crate::common::refuse("PublicIpv4Pool", public_ipv4_pool.is_some())?;
        let table = route_table_id.ok_or_else(|| ApiError::missing_parameter("routeTableId"))?;
        let subnet = subnet_id.ok_or_else(|| ApiError::missing_parameter("subnetId"))?;
        let id = self.cloud.associate_route_table(cx, &table, &subnet, dry_run == Some(true)).await?;
        Ok(AssociateRouteTableResult { association_id: Some(id.to_string()), association_state: associated() })
    }

    pub(crate) async fn disassociate_route_table(
        &self,
        cx: &OpContext,
        r: DisassociateRouteTableRequest,
    ) -> Result<(), ApiError> {
        let DisassociateRouteTableRequest { association_id, dry_run } = r;
        let id = association_id.ok_or_else(|| ApiError::missing_parameter("associationId"))?;
        self.cloud.disassociate_route_table(cx, &id, dry_run == Some(true)).await
    }

    pub(crate) async fn replace_route_table_association(
        &self,
        cx: &OpContext,
        r: ReplaceRouteTableAssociationRequest,
    ) -> Result<ReplaceRouteTableAssociationResult, ApiError> {
        let ReplaceRouteTableAssociationRequest { association_id, dry_run, route_table_id } = r;
        let id = association_id.ok_or_else(|| ApiError::missing_parameter("associationId"))?;
        let table = route_table_id.ok_or_else(|| ApiError::missing_parameter("routeTableId"))?;
        let new = self.cloud.replace_route_table_association(cx, &id, &table, dry_run == Some(true)).await?;
        Ok(ReplaceRouteTableAssociationResult {
            new_association_id: Some(new.to_string()),
            association_state: associated(),
        })
    }

    pub(crate) async fn describe_route_tables(
        &self,
        cx: &OpContext,
        r: DescribeRouteTablesRequest,
    ) -> Result<DescribeRouteTablesResult, ApiError> {
        let DescribeRouteTablesRequest { dry_run: dry, filters: wanted, max_results, next_token, route_table_ids } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeRouteTables", max_results, next_token.as_deref(), PAGE_SIZES, &route_table_ids)?;
        let ids: &Vec<RouteTableId> = &parse_ids(&route_table_ids, Code::InvalidRouteTableIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<RouteTableId>| async move {
            let (account, after) = (Some(cx.account()), after.as_ref());
            let filter = RouteTableFilter { account, ids: some_ids, after, ..Default::default() };
            let list = rows(route_table_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidRouteTableIdNotFound)?;
            let mut parts = self.route_table_parts(cx, &list).await?;
            let shapes = list.iter().map(|row| parts.shape(row));
            Ok(Chunk { found: shapes.filter(|table| filters.accept(table)).collect(), next })
        };
        let key = |table: &RouteTable| table.route_table_id.clone().unwrap_or_default();
        let (route_tables, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeRouteTablesResult { route_tables, next_token })
    }
}
