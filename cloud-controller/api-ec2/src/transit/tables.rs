//! Tables of transit gateways: what is associated with them, and whose blocks they know.

use super::{PAGE_SIZES, VPC, attachment_id, required, table_id};
use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, page, refuse, rows, tag_filter_values, tags_of_one, tags_on,
    time, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::transit::TABLE_TAG_KIND;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    PAGE_ROWS_MAX, TransitAttachmentFilter, TransitAttachmentRow, TransitGatewayFilter, TransitGatewayRow,
    TransitTableFilter, TransitTableRow, transit_attachment_list, transit_gateway_list, transit_propagation_list,
    transit_table_list,
};
use mallee_types::{TransitAttachmentId, TransitGatewayId, TransitTableId};
use std::collections::{BTreeMap, BTreeSet};

/// What DescribeTransitGatewayRouteTables filters by.
const FILTERS: [&str; 6] = [
    "default-association-route-table",
    "default-propagation-route-table",
    "state",
    "tag-key",
    "transit-gateway-id",
    "transit-gateway-route-table-id",
];
/// What the lists of what is at a table filter by.
const AT_FILTERS: [&str; 3] = ["resource-id", "resource-type", "transit-gateway-attachment-id"];

impl Filterable for TransitGatewayRouteTable {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "default-association-route-table" => values_of(&self.default_association_route_table),
            "default-propagation-route-table" => values_of(&self.default_propagation_route_table),
            "state" => values_of(&self.state),
            "transit-gateway-id" => values_of(&self.transit_gateway_id),
            "transit-gateway-route-table-id" => values_of(&self.transit_gateway_route_table_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

impl Filterable for TransitGatewayRouteTableAssociation {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "resource-id" => values_of(&self.resource_id),
            "resource-type" => values_of(&self.resource_type),
            _ => values_of(&self.transit_gateway_attachment_id),
        }
    }
}

impl Filterable for TransitGatewayRouteTablePropagation {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "resource-id" => values_of(&self.resource_id),
            "resource-type" => values_of(&self.resource_type),
            _ => values_of(&self.transit_gateway_attachment_id),
        }
    }
}

impl Filterable for TransitGatewayAttachmentPropagation {
    fn values(&self, _: &str) -> Vec<String> {
        values_of(&self.transit_gateway_route_table_id)
    }
}

fn shape(row: &TransitTableRow, gateway: Option<&TransitGatewayRow>, tags: &mut TagMap) -> TransitGatewayRouteTable {
    let is = |table: fn(&TransitGatewayRow) -> &Option<TransitTableId>| {
        Some(gateway.is_some_and(|gateway| table(gateway).as_ref() == Some(&row.id)))
    };
    TransitGatewayRouteTable {
        creation_time: time(row.created_ms),
        default_association_route_table: is(|gateway| &gateway.association_table),
        default_propagation_route_table: is(|gateway| &gateway.propagation_table),
        state: Some(row.state.word().to_owned()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        transit_gateway_id: Some(row.gateway_id.to_string()),
        transit_gateway_route_table_id: Some(row.id.to_string()),
    }
}

fn association(row: &TransitAttachmentRow, table: &str, state: &str) -> Option<TransitGatewayAssociation> {
    Some(TransitGatewayAssociation {
        resource_id: Some(row.vpc_id.to_string()),
        resource_type: Some(VPC.to_owned()),
        state: Some(state.to_owned()),
        transit_gateway_attachment_id: Some(row.id.to_string()),
        transit_gateway_route_table_id: Some(table.to_owned()),
    })
}

fn propagation(row: &TransitAttachmentRow, table: &str, state: &str) -> Option<TransitGatewayPropagation> {
    Some(TransitGatewayPropagation {
        resource_id: Some(row.vpc_id.to_string()),
        resource_type: Some(VPC.to_owned()),
        state: Some(state.to_owned()),
        transit_gateway_attachment_id: Some(row.id.to_string()),
        transit_gateway_route_table_announcement_id: None,
        transit_gateway_route_table_id: Some(table.to_owned()),
    })
}

impl Ec2Api {
    /// These tables, each as its gateway has it.
    async fn transit_tables_shown(
        &self,
        cx: &OpContext,
        list: &[TransitTableRow],
    ) -> Result<Vec<TransitGatewayRouteTable>, ApiError> {
        let ids: BTreeSet<TransitGatewayId> = list.iter().map(|row| row.gateway_id.clone()).collect();
        let ids: Vec<TransitGatewayId> = ids.into_iter().collect();
        let filter = TransitGatewayFilter { account: Some(cx.account()), ids: Some(&ids), ..Default::default() };
        let gateways = transit_gateway_list(self.store(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        let gateways: BTreeMap<&TransitGatewayId, &TransitGatewayRow> =
            gateways.iter().map(|gateway| (&gateway.id, gateway)).collect();
        let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
        Ok(list.iter().map(|row| shape(row, gateways.get(&row.gateway_id).copied(), &mut tags)).collect())
    }

    /// As the call that brings it into this state answers.
    async fn transit_table_shown(
        &self,
        cx: &OpContext,
        row: &TransitTableRow,
        state: &str,
    ) -> Result<Option<TransitGatewayRouteTable>, ApiError> {
        let shown = self.transit_tables_shown(cx, std::slice::from_ref(row)).await?.pop();
        Ok(shown.map(|table| TransitGatewayRouteTable { state: Some(state.to_owned()), ..table }))
    }

    pub(crate) async fn create_transit_gateway_route_table(
        &self,
        cx: &OpContext,
        r: CreateTransitGatewayRouteTableRequest,
    ) -> Result<CreateTransitGatewayRouteTableResult, ApiError> {
        let CreateTransitGatewayRouteTableRequest { dry_run, tag_specifications, transit_gateway_id } = r;
        let gateway = required("TransitGatewayId", transit_gateway_id)?;
        let tags = tags_of_one(tag_specifications, TABLE_TAG_KIND)?;
        let row = self.cloud.create_transit_table(cx, &gateway, &tags, dry_run == Some(true)).await?;
        let shown = self.transit_table_shown(cx, &row, "pending").await?;
        Ok(CreateTransitGatewayRouteTableResult { transit_gateway_route_table: shown })
    }

    pub(crate) async fn delete_transit_gateway_route_table(
        &self,
        cx: &OpContext,
        r: DeleteTransitGatewayRouteTableRequest,
    ) -> Result<DeleteTransitGatewayRouteTableResult, ApiError> {
        let DeleteTransitGatewayRouteTableRequest { dry_run, transit_gateway_route_table_id } = r;
        let id = table_id(transit_gateway_route_table_id)?;
        let row = self.cloud.delete_transit_table(cx, &id, dry_run == Some(true)).await?;
        let shown = self.transit_table_shown(cx, &row, "deleting").await?;
        Ok(DeleteTransitGatewayRouteTableResult { transit_gateway_route_table: shown })
    }

    pub(crate) async fn describe_transit_gateway_route_tables(
        &self,
        cx: &OpContext,
        r: DescribeTransitGatewayRouteTablesRequest,
    ) -> Result<DescribeTransitGatewayRouteTablesResult, ApiError> {
        let DescribeTransitGatewayRouteTablesRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            transit_gateway_route_table_ids: given,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let operation = "DescribeTransitGatewayRouteTables";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<TransitTableId> = &parse_ids(&given, Code::InvalidRouteTableIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<TransitTableId>| async move {
            let (account, after) = (Some(cx.account()), after.as_ref());
            let filter = TransitTableFilter { account, ids: some_ids, after, ..Default::default() };
            let list = rows(transit_table_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidRouteTableIdNotFound)?;
            let shapes = self.transit_tables_shown(cx, &list).await?.into_iter();
            Ok(Chunk { found: shapes.filter(|shown| filters.accept(shown)).collect(), next })
        };
        let key = |shown: &TransitGatewayRouteTable| shown.transit_gateway_route_table_id.clone().unwrap_or_default();
        let (transit_gateway_route_tables, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeTransitGatewayRouteTablesResult { next_token, transit_gateway_route_tables })
    }

    pub(crate) async fn associate_transit_gateway_route_table(
        &self,
        cx: &OpContext,
        r: AssociateTransitGatewayRouteTableRequest,
    ) -> Result<AssociateTransitGatewayRouteTableResult, ApiError> {
        let AssociateTransitGatewayRouteTableRequest {
            dry_run,
            transit_gateway_attachment_id,
            transit_gateway_route_table_id,
        } = r;
        let (attachment, table) =
            (attachment_id(transit_gateway_attachment_id)?, table_id(transit_gateway_route_table_id)?);
        let row = self.cloud.associate_transit_table(cx, &attachment, &table, dry_run == Some(true)).await?;
        Ok(AssociateTransitGatewayRouteTableResult { association: association(&row, &table, "associating") })
    }

    pub(crate) async fn disassociate_transit_gateway_route_table(
        &self,
        cx: &OpContext,
        r: DisassociateTransitGatewayRouteTableRequest,
    ) -> Result<DisassociateTransitGatewayRouteTableResult, ApiError> {
        let DisassociateTransitGatewayRouteTableRequest {
            dry_run,
            transit_gateway_attachment_id,
            transit_gateway_route_table_id,
        } = r;
        let (attachment, table) =
            (attachment_id(transit_gateway_attachment_id)?, table_id(transit_gateway_route_table_id)?);
        let row = self.cloud.disassociate_transit_table(cx, &attachment, &table, dry_run == Some(true)).await?;
        Ok(DisassociateTransitGatewayRouteTableResult { association: association(&row, &table, "disassociating") })
    }

    pub(crate) async fn enable_transit_gateway_route_table_propagation(
        &self,
        cx: &OpContext,
        r: EnableTransitGatewayRouteTablePropagationRequest,
    ) -> Result<EnableTransitGatewayRouteTablePropagationResult, ApiError> {
        let EnableTransitGatewayRouteTablePropagationRequest {
            dry_run,
            transit_gateway_attachment_id,
            transit_gateway_route_table_announcement_id,
            transit_gateway_route_table_id,
        } = r;
        refuse("TransitGatewayRouteTableAnnouncementId", transit_gateway_route_table_announcement_id.is_some())?;
        let (attachment, table) =
            (attachment_id(transit_gateway_attachment_id)?, table_id(transit_gateway_route_table_id)?);
        let row = self.cloud.propagate_to_transit_table(cx, &attachment, &table, true, dry_run == Some(true)).await?;
        Ok(EnableTransitGatewayRouteTablePropagationResult { propagation: propagation(&row, &table, "enabled") })
    }

    pub(crate) async fn disable_transit_gateway_route_table_propagation(
        &self,
        cx: &OpContext,
        r: DisableTransitGatewayRouteTablePropagationRequest,
    ) -> Result<DisableTransitGatewayRouteTablePropagationResult, ApiError> {
        let DisableTransitGatewayRouteTablePropagationRequest {
            dry_run,
            transit_gateway_attachment_id,
            transit_gateway_route_table_announcement_id,
            transit_gateway_route_table_id,
        } = r;
        refuse("TransitGatewayRouteTableAnnouncementId", transit_gateway_route_table_announcement_id.is_some())?;
        let (attachment, table) =
            (attachment_id(transit_gateway_attachment_id)?, table_id(transit_gateway_route_table_id)?);
        let row = self.cloud.propagate_to_transit_table(cx, &attachment, &table, false, dry_run == Some(true)).await?;
        Ok(DisableTransitGatewayRouteTablePropagationResult { propagation: propagation(&row, &table, "disabled") })
    }

    pub(crate) async fn get_transit_gateway_route_table_associations(
        &self,
        cx: &OpContext,
        r: GetTransitGatewayRouteTableAssociationsRequest,
    ) -> Result<GetTransitGatewayRouteTableAssociationsResult, ApiError> {
        let GetTransitGatewayRouteTableAssociationsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            transit_gateway_route_table_id,
        } = r;
        let filters = filters(&wanted, &AT_FILTERS)?;
        let operation = "GetTransitGatewayRouteTableAssociations";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &[])?;
        let table = self.cloud.find_transit_table(cx, &table_id(transit_gateway_route_table_id)?).await?;
        dry_run(dry)?;
        let filter = TransitAttachmentFilter { table: Some(&table.id), ..Default::default() };
        let list = transit_attachment_list(self.store(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        let found = list.into_iter().map(|row| TransitGatewayRouteTableAssociation {
            resource_id: Some(row.vpc_id.to_string()),
            resource_type: Some(VPC.to_owned()),
            state: Some("associated".to_owned()),
            transit_gateway_attachment_id: Some(row.id.to_string()),
        });
        let (associations, next_token) = page
            .cut(found.filter(|one| filters.accept(one)), |one: &TransitGatewayRouteTableAssociation| {
                one.transit_gateway_attachment_id.clone().unwrap_or_default()
            });
        Ok(GetTransitGatewayRouteTableAssociationsResult { associations, next_token })
    }

    pub(crate) async fn get_transit_gateway_route_table_propagations(
        &self,
        cx: &OpContext,
        r: GetTransitGatewayRouteTablePropagationsRequest,
    ) -> Result<GetTransitGatewayRouteTablePropagationsResult, ApiError> {
        let GetTransitGatewayRouteTablePropagationsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            transit_gateway_route_table_id,
        } = r;
        let filters = filters(&wanted, &AT_FILTERS)?;
        let operation = "GetTransitGatewayRouteTablePropagations";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &[])?;
        let table = self.cloud.find_transit_table(cx, &table_id(transit_gateway_route_table_id)?).await?;
        dry_run(dry)?;
        let tables = Some(std::slice::from_ref(&table.id));
        let known = transit_propagation_list(self.store(), tables, None, PAGE_ROWS_MAX).await.or_fail()?;
        let ids: Vec<TransitAttachmentId> = known.into_iter().map(|row| row.attachment_id).collect();
        let filter = TransitAttachmentFilter { ids: Some(&ids), ..Default::default() };
        let list = transit_attachment_list(self.store(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        let found = list.into_iter().map(|row| TransitGatewayRouteTablePropagation {
            resource_id: Some(row.vpc_id.to_string()),
            resource_type: Some(VPC.to_owned()),
            state: Some("enabled".to_owned()),
            transit_gateway_attachment_id: Some(row.id.to_string()),
            transit_gateway_route_table_announcement_id: None,
        });
        let (transit_gateway_route_table_propagations, next_token) = page
            .cut(found.filter(|one| filters.accept(one)), |one: &TransitGatewayRouteTablePropagation| {
                one.transit_gateway_attachment_id.clone().unwrap_or_default()
            });
        Ok(GetTransitGatewayRouteTablePropagationsResult { next_token, transit_gateway_route_table_propagations })
    }

    pub(crate) async fn get_transit_gateway_attachment_propagations(
        &self,
        cx: &OpContext,
        r: GetTransitGatewayAttachmentPropagationsRequest,
    ) -> Result<GetTransitGatewayAttachmentPropagationsResult, ApiError> {
        let GetTransitGatewayAttachmentPropagationsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            transit_gateway_attachment_id,
        } = r;
        let filters = filters(&wanted, &["transit-gateway-route-table-id"])?;
        let operation = "GetTransitGatewayAttachmentPropagations";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &[])?;
        let row = self.cloud.find_transit_attachment(cx, &attachment_id(transit_gateway_attachment_id)?).await?;
        dry_run(dry)?;
        let list = transit_propagation_list(self.store(), None, Some(&row.id), PAGE_ROWS_MAX).await.or_fail()?;
        let found = list.into_iter().map(|row| TransitGatewayAttachmentPropagation {
            state: Some("enabled".to_owned()),
            transit_gateway_route_table_id: Some(row.table_id.to_string()),
        });
        let (transit_gateway_attachment_propagations, next_token) = page
            .cut(found.filter(|one| filters.accept(one)), |one: &TransitGatewayAttachmentPropagation| {
                one.transit_gateway_route_table_id.clone().unwrap_or_default()
            });
        Ok(GetTransitGatewayAttachmentPropagationsResult { next_token, transit_gateway_attachment_propagations })
    }
}
