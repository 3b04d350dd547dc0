//! VPCs at transit gateways.

use super::{PAGE_SIZES, VPC, attachment_id, off, required, switch, word};
use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_of_one, tags_on, time,
    values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::transit::{ATTACHMENT_TAG_KIND, AttachmentChange, NewAttachment};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{TransitAttachmentFilter, TransitAttachmentRow, transit_attachment_list};
use mallee_types::TransitAttachmentId;

/// What DescribeTransitGatewayVpcAttachments filters by.
const VPC_FILTERS: [&str; 5] = ["state", "tag-key", "transit-gateway-attachment-id", "transit-gateway-id", "vpc-id"];
/// What DescribeTransitGatewayAttachments does.
const FILTERS: [&str; 10] = [
    "association.state",
    "association.transit-gateway-route-table-id",
    "resource-id",
    "resource-owner-id",
    "resource-type",
    "state",
    "tag-key",
    "transit-gateway-attachment-id",
    "transit-gateway-id",
    "transit-gateway-owner-id",
];

impl Filterable for TransitGatewayVpcAttachment {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "state" => values_of(&self.state),
            "transit-gateway-attachment-id" => values_of(&self.transit_gateway_attachment_id),
            "transit-gateway-id" => values_of(&self.transit_gateway_id),
            "vpc-id" => values_of(&self.vpc_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

impl Filterable for TransitGatewayAttachment {
    fn values(&self, name: &str) -> Vec<String> {
        let association = self.association.as_ref();
        match name {
            "association.state" => association.map_or_else(Vec::new, |held| values_of(&held.state)),
            "association.transit-gateway-route-table-id" => {
                association.map_or_else(Vec::new, |held| values_of(&held.transit_gateway_route_table_id))
            }
            "resource-id" => values_of(&self.resource_id),
            "resource-owner-id" => values_of(&self.resource_owner_id),
            "resource-type" => values_of(&self.resource_type),
            "state" => values_of(&self.state),
            "transit-gateway-attachment-id" => values_of(&self.transit_gateway_attachment_id),
            "transit-gateway-id" => values_of(&self.transit_gateway_id),
            "transit-gateway-owner-id" => values_of(&self.transit_gateway_owner_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn of_vpc(row: &TransitAttachmentRow, tags: &mut TagMap) -> TransitGatewayVpcAttachment {
    let off = || Some(word(false).to_owned());
    TransitGatewayVpcAttachment {
        creation_time: time(row.created_ms),
        options: Some(TransitGatewayVpcAttachmentOptions {
            appliance_mode_support: off(),
            dns_support: Some(word(row.dns).to_owned()),
            ipv6_support: off(),
            security_group_referencing_support: off(),
        }),
        state: Some(row.state.word().to_owned()),
        subnet_ids: row.subnets.0.iter().map(ToString::to_string).collect(),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        transit_gateway_attachment_id: Some(row.id.to_string()),
        transit_gateway_id: Some(row.gateway_id.to_string()),
        vpc_id: Some(row.vpc_id.to_string()),
        vpc_owner_id: Some(row.account_id.to_string()),
    }
}

fn of_any(row: &TransitAttachmentRow, tags: &mut TagMap) -> TransitGatewayAttachment {
    TransitGatewayAttachment {
        association: row.table_id.as_ref().map(|table| TransitGatewayAttachmentAssociation {
            state: Some("associated".to_owned()),
            transit_gateway_policy_table_id: None,
            transit_gateway_route_table_id: Some(table.to_string()),
        }),
        creation_time: time(row.created_ms),
        nat_gateway_support: None,
        resource_id: Some(row.vpc_id.to_string()),
        resource_owner_id: Some(row.account_id.to_string()),
        resource_type: Some(VPC.to_owned()),
        state: Some(row.state.word().to_owned()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        transit_gateway_attachment_id: Some(row.id.to_string()),
        transit_gateway_id: Some(row.gateway_id.to_string()),
        transit_gateway_owner_id: Some(row.account_id.to_string()),
    }
}

impl Ec2Api {
    /// As the call that brings it into this state answers.
    async fn attachment_shown(
        &self,
        cx: &OpContext,
        row: &TransitAttachmentRow,
        state: &str,
    ) -> Result<Option<TransitGatewayVpcAttachment>, ApiError> {
        let mut tags = tags_on(self.store(), cx.account(), [row.id.to_string()]).await?;
        Ok(Some(TransitGatewayVpcAttachment { state: Some(state.to_owned()), ..of_vpc(row, &mut tags) }))
    }

    pub(crate) async fn create_transit_gateway_vpc_attachment(
        &self,
        cx: &OpContext,
        r: CreateTransitGatewayVpcAttachmentRequest,
    ) -> Result<CreateTransitGatewayVpcAttachmentResult, ApiError> {
        let CreateTransitGatewayVpcAttachmentRequest {
            dry_run,
            options,
            subnet_ids,
            tag_specifications,
            transit_gateway_id,
            vpc_id,
        } = r;
        let CreateTransitGatewayVpcAttachmentRequestOptions {
            appliance_mode_support,
            dns_support,
            ipv6_support,
            security_group_referencing_support,
        } = options.unwrap_or_default();
        off("ApplianceModeSupport", appliance_mode_support.as_deref())?;
        off("Ipv6Support", ipv6_support.as_deref())?;
        off("SecurityGroupReferencingSupport", security_group_referencing_support.as_deref())?;
        let tags = tags_of_one(tag_specifications, ATTACHMENT_TAG_KIND)?;
        let new = NewAttachment {
            gateway: &required("TransitGatewayId", transit_gateway_id)?,
            vpc: &required("VpcId", vpc_id)?,
            subnets: &subnet_ids,
            dns: switch("DnsSupport", dns_support.as_deref())?.unwrap_or(true),
            tags: &tags,
        };
        let row = self.cloud.create_transit_attachment(cx, &new, dry_run == Some(true)).await?;
        let shown = self.attachment_shown(cx, &row, "pending").await?;
        Ok(CreateTransitGatewayVpcAttachmentResult { transit_gateway_vpc_attachment: shown })
    }

    pub(crate) async fn modify_transit_gateway_vpc_attachment(
        &self,
        cx: &OpContext,
        r: ModifyTransitGatewayVpcAttachmentRequest,
    ) -> Result<ModifyTransitGatewayVpcAttachmentResult, ApiError> {
        let ModifyTransitGatewayVpcAttachmentRequest {
            add_subnet_ids,
            dry_run,
            options,
            remove_subnet_ids,
            transit_gateway_attachment_id,
        } = r;
        let ModifyTransitGatewayVpcAttachmentRequestOptions {
            appliance_mode_support,
            dns_support,
            ipv6_support,
            security_group_referencing_support,
        } = options.unwrap_or_default();
        off("ApplianceModeSupport", appliance_mode_support.as_deref())?;
        off("Ipv6Support", ipv6_support.as_deref())?;
        off("SecurityGroupReferencingSupport", security_group_referencing_support.as_deref())?;
        let change = AttachmentChange {
            add: add_subnet_ids,
            remove: remove_subnet_ids,
            dns: switch("DnsSupport", dns_support.as_deref())?,
        };
        let id = attachment_id(transit_gateway_attachment_id)?;
        let row = self.cloud.modify_transit_attachment(cx, &id, &change, dry_run == Some(true)).await?;
        let shown = self.attachment_shown(cx, &row, "modifying").await?;
        Ok(ModifyTransitGatewayVpcAttachmentResult { transit_gateway_vpc_attachment: shown })
    }

    pub(crate) async fn delete_transit_gateway_vpc_attachment(
        &self,
        cx: &OpContext,
        r: DeleteTransitGatewayVpcAttachmentRequest,
    ) -> Result<DeleteTransitGatewayVpcAttachmentResult, ApiError> {
        let DeleteTransitGatewayVpcAttachmentRequest { dry_run, transit_gateway_attachment_id } = r;
        let id = attachment_id(transit_gateway_attachment_id)?;
        let row = self.cloud.delete_transit_attachment(cx, &id, dry_run == Some(true)).await?;
        let shown = self.attachment_shown(cx, &row, "deleting").await?;
        Ok(DeleteTransitGatewayVpcAttachmentResult { transit_gateway_vpc_attachment: shown })
    }

    pub(crate) async fn accept_transit_gateway_vpc_attachment(
        &self,
        cx: &OpContext,
        r: AcceptTransitGatewayVpcAttachmentRequest,
    ) -> Result<AcceptTransitGatewayVpcAttachmentResult, ApiError> {
        let AcceptTransitGatewayVpcAttachmentRequest { dry_run: dry, transit_gateway_attachment_id } = r;
        let id = attachment_id(transit_gateway_attachment_id)?;
        dry_run(dry)?;
        self.cloud.answer_transit_attachment(cx, &id).await?;
        Ok(AcceptTransitGatewayVpcAttachmentResult::default())
    }

    pub(crate) async fn reject_transit_gateway_vpc_attachment(
        &self,
        cx: &OpContext,
        r: RejectTransitGatewayVpcAttachmentRequest,
    ) -> Result<RejectTransitGatewayVpcAttachmentResult, ApiError> {
        let RejectTransitGatewayVpcAttachmentRequest { dry_run: dry, transit_gateway_attachment_id } = r;
        let id = attachment_id(transit_gateway_attachment_id)?;
        dry_run(dry)?;
        self.cloud.answer_transit_attachment(cx, &id).await?;
        Ok(RejectTransitGatewayVpcAttachmentResult::default())
    }

    /// Attachments of the account from `after` on, with their tags.
    async fn attachments_after(
        &self,
        cx: &OpContext,
        ids: &[TransitAttachmentId],
        after: Option<&TransitAttachmentId>,
    ) -> Result<(Vec<TransitAttachmentRow>, TagMap), ApiError> {
        let some_ids = (!ids.is_empty()).then_some(ids);
        let filter =
            TransitAttachmentFilter { account: Some(cx.account()), ids: some_ids, after, ..Default::default() };
        let list = rows(transit_attachment_list(self.store(), filter, ROWS).await)?;
        let missing = Code::InvalidTransitGatewayAttachmentIdNotFound;
        require_all(ids, |id| list.iter().any(|row| row.id == *id), missing)?;
        let tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
        Ok((list, tags))
    }

    pub(crate) async fn describe_transit_gateway_vpc_attachments(
        &self,
        cx: &OpContext,
        r: DescribeTransitGatewayVpcAttachmentsRequest,
    ) -> Result<DescribeTransitGatewayVpcAttachmentsResult, ApiError> {
        let DescribeTransitGatewayVpcAttachmentsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            transit_gateway_attachment_ids: given,
        } = r;
        let filters = &filters(&wanted, &VPC_FILTERS)?;
        let operation = "DescribeTransitGatewayVpcAttachments";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<TransitAttachmentId> = &parse_ids(&given, Code::InvalidTransitGatewayAttachmentIdMalformed)?;
        dry_run(dry)?;
        let read = |after: Option<TransitAttachmentId>| async move {
            let (list, mut tags) = self.attachments_after(cx, ids, after.as_ref()).await?;
            let next = next_key(&list, |row| row.id.clone());
            let shapes = list.iter().map(|row| of_vpc(row, &mut tags));
            Ok(Chunk { found: shapes.filter(|shown| filters.accept(shown)).collect(), next })
        };
        let key = |shown: &TransitGatewayVpcAttachment| shown.transit_gateway_attachment_id.clone().unwrap_or_default();
        let (transit_gateway_vpc_attachments, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeTransitGatewayVpcAttachmentsResult { next_token, transit_gateway_vpc_attachments })
    }

    pub(crate) async fn describe_transit_gateway_attachments(
        &self,
        cx: &OpContext,
        r: DescribeTransitGatewayAttachmentsRequest,
    ) -> Result<DescribeTransitGatewayAttachmentsResult, ApiError> {
        let DescribeTransitGatewayAttachmentsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            transit_gateway_attachment_ids: given,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let operation = "DescribeTransitGatewayAttachments";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<TransitAttachmentId> = &parse_ids(&given, Code::InvalidTransitGatewayAttachmentIdMalformed)?;
        dry_run(dry)?;
        let read = |after: Option<TransitAttachmentId>| async move {
            let (list, mut tags) = self.attachments_after(cx, ids, after.as_ref()).await?;
            let next = next_key(&list, |row| row.id.clone());
            let shapes = list.iter().map(|row| of_any(row, &mut tags));
            Ok(Chunk { found: shapes.filter(|shown| filters.accept(shown)).collect(), next })
        };
        let key = |shown: &TransitGatewayAttachment| shown.transit_gateway_attachment_id.clone().unwrap_or_default();
        let (transit_gateway_attachments, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeTransitGatewayAttachmentsResult { next_token, transit_gateway_attachments })
    }
}
