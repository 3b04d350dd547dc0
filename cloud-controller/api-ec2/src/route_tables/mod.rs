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
    EgressOnlyGatewayFilter, InstanceFilter, InterfaceFilter, NatGatewayFilter, NatGatewayState, PAGE_ROWS_MAX,
    RouteAssociationFilter, RouteAssociationRow, RouteDestination, RouteRow, RouteTableFilter, RouteTableRow,
    TO_EGRESS_ONLY_GATEWAY, TO_INTERNET_GATEWAY, TO_NAT_GATEWAY, TO_NETWORK_INTERFACE, TO_TRANSIT_GATEWAY,
    TO_VPC_PEERING, TransitAttachmentFilter, TransitState, VpcPeeringFilter, VpcPeeringState, egress_only_gateway_list,
    instance_list, interface_list, internet_gateway_list_attached, nat_gateway_list, route_association_list,
    route_list, route_table_list, transit_attachment_list, vpc_cidr_list, vpc_ipv6_cidr_list, vpc_list,
    vpc_peering_list,
};
use mallee_types::{
    EgressOnlyGatewayId, InstanceId, InstanceState, InterfaceId, InternetGatewayId, NatGatewayId, RouteTableId,
    TransitGatewayId, VpcId, VpcPeeringId,
};
use std::collections::{BTreeMap, BTreeSet};

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
            "route.destination-ipv6-cidr-block" => routes(|r| values_of(&r.destination_ipv6_cidr_block)),
            "route.destination-prefix-list-id" => routes(|r| values_of(&r.destination_prefix_list_id)),
            "route.egress-only-internet-gateway-id" => routes(|r| values_of(&r.egress_only_internet_gateway_id)),
            "route.gateway-id" => routes(|r| values_of(&r.gateway_id)),
            "route.nat-gateway-id" => routes(|r| values_of(&r.nat_gateway_id)),
            "route.instance-id" => routes(|r| values_of(&r.instance_id)),
            "route.network-interface-id" => routes(|r| values_of(&r.network_interface_id)),
            "route.origin" => routes(|r| values_of(&r.origin)),
            "route.transit-gateway-id" => routes(|r| values_of(&r.transit_gateway_id)),
            "route.vpc-peering-connection-id" => routes(|r| values_of(&r.vpc_peering_connection_id)),
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
    /// First the first one of each.
    blocks: BTreeMap<VpcId, Vec<String>>,
    ipv6_blocks: BTreeMap<VpcId, Vec<String>>,
    gateways: BTreeMap<VpcId, InternetGatewayId>,
    /// Egress-only ones.
    outward: BTreeMap<VpcId, EgressOnlyGatewayId>,
    /// Those that are active.
    peerings: BTreeSet<String>,
    /// NAT gateways that are there.
    nats: BTreeSet<String>,
    /// Transit gateways, each with a VPC that it joins.
    transits: BTreeSet<(String, VpcId)>,
    /// The instances that interfaces are attached to, by interface, and whether they are up.
    instances: BTreeMap<String, (InstanceId, bool)>,
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
        let (destination_cidr_block, destination_ipv6_cidr_block) = match &row.destination {
            RouteDestination::Block(block) => (Some(block.to_string()), None),
            RouteDestination::Ipv6(block) => (None, Some(block.to_string())),
            RouteDestination::List(_) => (None, None),
        };
        let target = |kind: &str| (row.target_kind == kind).then(|| row.target_id.clone());
        let (gateway_id, interface) = (target(TO_INTERNET_GATEWAY), target(TO_NETWORK_INTERFACE));
        let (peering, nat) = (target(TO_VPC_PEERING), target(TO_NAT_GATEWAY));
        let (transit, outward) = (target(TO_TRANSIT_GATEWAY), target(TO_EGRESS_ONLY_GATEWAY));
        let its_own = self.outward.get(&table.vpc_id).is_some_and(|gateway| gateway.as_str() == row.target_id);
        let instance = interface.as_ref().and_then(|id| self.instances.get(id));
        let leads = (gateway_id.is_some() && attached)
            || (outward.is_some() && its_own)
            || peering.as_ref().is_some_and(|id| self.peerings.contains(id))
            || nat.as_ref().is_some_and(|id| self.nats.contains(id))
            || transit.as_ref().is_some_and(|id| self.transits.contains(&(id.clone(), table.vpc_id.clone())))
            || instance.is_some_and(|(_, up)| *up);
        let is_local = destination_cidr_block.as_ref().is_some_and(|block| self.is_block(table, block));
        Route {
            destination_cidr_block,
            destination_ipv6_cidr_block,
            egress_only_internet_gateway_id: outward,
            destination_prefix_list_id: row.destination.list().map(ToString::to_string),
            gateway_id,
            instance_id: instance.map(|(id, _)| id.to_string()),
            instance_owner_id: instance.map(|_| table.account_id.to_string()),
            nat_gateway_id: nat,
            network_interface_id: interface,
            transit_gateway_id: transit,
            vpc_peering_connection_id: peering,
            origin: Some(if is_local { "CreateRouteTable" } else { "CreateRoute" }.to_owned()),
            state: Some(if leads { "active" } else { "blackhole" }.to_owned()),
            ..Default::default()
        }
    }

    /// Whether it is one of the VPC's own blocks.
    fn is_block(&self, table: &RouteTableRow, block: &String) -> bool {
        self.blocks.get(&table.vpc_id).is_some_and(|blocks| blocks.contains(block))
    }

    fn shape(&mut self, row: &RouteTableRow) -> RouteTable {
        let to_local = || Route {
            gateway_id: Some("local".to_owned()),
            origin: Some("CreateRouteTable".to_owned()),
            state: Some("active".to_owned()),
            ..Default::default()
        };
        let local = |block: &String| Route { destination_cidr_block: Some(block.clone()), ..to_local() };
        let ipv6 = self.ipv6_blocks.get(&row.vpc_id).into_iter().flatten();
        let ipv6 = ipv6.map(|block| Route { destination_ipv6_cidr_block: Some(block.clone()), ..to_local() });
        let routes = self.routes.get(&row.id).map_or(&[][..], Vec::as_slice);
        // One that was given another target is a row.
        let replaced = |block: &&String| routes.iter().any(|route| route.destination.to_string() == **block);
        let own = self.blocks.get(&row.vpc_id).into_iter().flatten().filter(|block| !replaced(block)).map(local);
        let more = routes.iter().map(|route| self.route(row, route));
        RouteTable {
            routes: own.chain(ipv6).chain(more).collect(),
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
        let over = routes.values().flatten().filter(|route| route.target_kind == TO_VPC_PEERING);
        let over: BTreeSet<VpcPeeringId> = over.filter_map(|route| route.target_id.parse().ok()).collect();
        let over: Vec<VpcPeeringId> = over.into_iter().collect();
        let mut peerings = BTreeSet::new();
        for some in over.chunks(ROWS as usize) {
            let (ids, state) = (Some(some), Some(VpcPeeringState::Active));
            let active = vpc_peering_list(store, VpcPeeringFilter { ids, state, ..Default::default() }, ROWS).await;
            peerings.extend(active.or_fail()?.into_iter().map(|row| row.id.to_string()));
        }
        let to = routes.values().flatten().filter(|route| route.target_kind == TO_NETWORK_INTERFACE);
        let to: BTreeSet<InterfaceId> = to.filter_map(|route| route.target_id.parse().ok()).collect();
        let instances = self.instances_behind(cx, to.into_iter().collect()).await?;
        let to = routes.values().flatten().filter(|route| route.target_kind == TO_NAT_GATEWAY);
        let nats = self.nats_there(cx, to.filter_map(|route| route.target_id.parse().ok()).collect()).await?;
        let to = routes.values().flatten().filter(|route| route.target_kind == TO_TRANSIT_GATEWAY);
        let transits = self.transits_there(to.filter_map(|route| route.target_id.parse().ok()).collect()).await?;
        let attached = internet_gateway_list_attached(store, Some(&vpcs), None, ROWS).await.or_fail()?;
        let filter = EgressOnlyGatewayFilter { vpcs: Some(&vpcs), ..Default::default() };
        let outward = egress_only_gateway_list(store, filter, ROWS).await.or_fail()?;
        let rows = vpc_list(store, cx.account(), Some(&vpcs), None, ROWS).await.or_fail()?;
        let mut blocks: BTreeMap<VpcId, Vec<String>> =
            rows.into_iter().map(|vpc| (vpc.id, vec![vpc.cidr.to_string()])).collect();
        for row in vpc_cidr_list(store, Some(&vpcs)).await.or_fail()? {
            blocks.entry(row.vpc_id).or_default().push(row.cidr.to_string());
        }
        let mut ipv6_blocks: BTreeMap<VpcId, Vec<String>> = BTreeMap::new();
        for row in vpc_ipv6_cidr_list(store, Some(&vpcs)).await.or_fail()? {
            ipv6_blocks.entry(row.vpc_id).or_default().push(row.cidr.to_string());
        }
        Ok(Parts {
            routes,
            associations,
            blocks,
            ipv6_blocks,
            outward: outward.into_iter().map(|gateway| (gateway.vpc_id, gateway.id)).collect(),
            gateways: attached.into_iter().filter_map(|gateway| Some((gateway.vpc_id?, gateway.id))).collect(),
            peerings,
            nats,
            transits,
            instances,
            tags: tags_on(store, cx.account(), ids.iter().map(ToString::to_string)).await?,
        })
    }

    /// Those of these NAT gateways that are not about to go, or gone.
    async fn nats_there(&self, cx: &OpContext, ids: BTreeSet<NatGatewayId>) -> Result<BTreeSet<String>, ApiError> {
        let ids: Vec<NatGatewayId> = ids.into_iter().collect();
        let mut found = BTreeSet::new();
        for some in ids.chunks(ROWS as usize) {
            let (account, ids) = (Some(cx.account()), Some(some));
            let filter = NatGatewayFilter { account, ids, live: true, ..Default::default() };
            let rows = nat_gateway_list(self.store(), filter, ROWS).await.or_fail()?;
            let there = rows.into_iter().filter(|row| row.state != NatGatewayState::Deleting);
            found.extend(there.map(|row| row.id.to_string()));
        }
        Ok(found)
    }

    /// These transit gateways, each with the VPCs that are attached to it.
    async fn transits_there(&self, ids: BTreeSet<TransitGatewayId>) -> Result<BTreeSet<(String, VpcId)>, ApiError> {
        let ids: Vec<TransitGatewayId> = ids.into_iter().collect();
        let (gateways, state) = (Some(ids.as_slice()), Some(TransitState::Available));
        let filter = TransitAttachmentFilter { gateways, state, ..Default::default() };
        let rows = transit_attachment_list(self.store(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        Ok(rows.into_iter().map(|row| (row.gateway_id.to_string(), row.vpc_id)).collect())
    }

    /// The instances that these interfaces are attached to, and whether each is up.
    async fn instances_behind(
        &self,
        cx: &OpContext,
        interfaces: Vec<InterfaceId>,
    ) -> Result<BTreeMap<String, (InstanceId, bool)>, ApiError> {
        let mut found = BTreeMap::new();
        for some in interfaces.chunks(ROWS as usize) {
            let filter = InterfaceFilter { account: Some(cx.account()), ids: Some(some), ..Default::default() };
            let rows = interface_list(self.store(), filter, ROWS).await.or_fail()?;
            let ids: BTreeSet<InstanceId> = rows.iter().filter_map(|row| row.instance_id.clone()).collect();
            let ids: Vec<InstanceId> = ids.into_iter().collect();
            let filter = InstanceFilter { ids: Some(&ids), ..Default::default() };
            let instances = instance_list(self.store(), filter, ROWS).await.or_fail()?;
            let up = |id: &InstanceId| {
                let state = instances.iter().find(|row| row.id == *id).map(|row| row.state);
                matches!(state, Some(InstanceState::Pending | InstanceState::Running))
            };
            found.extend(rows.into_iter().filter_map(|row| {
                let instance = row.instance_id?;
                let up = up(&instance);
                Some((row.id.to_string(), (instance, up)))
            }));
        }
        Ok(found)
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
