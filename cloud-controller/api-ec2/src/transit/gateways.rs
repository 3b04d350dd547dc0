//! Transit gateways.

use super::{PAGE_SIZES, off, required, switch, word};
use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, dry_run, fill, filters, next_key, page, refuse, rows, tag_filter_values, tags_of_one,
    tags_on, time, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::transit::{GatewayWish, TAG_KIND};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{TransitGatewayFilter, TransitGatewayRow, transit_gateway_list};
use mallee_types::TransitGatewayId;

/// What DescribeTransitGateways filters by.
const FILTERS: [&str; 14] = [
    "options.amazon-side-asn",
    "options.association-default-route-table-id",
    "options.auto-accept-shared-attachments",
    "options.default-route-table-association",
    "options.default-route-table-propagation",
    "options.dns-support",
    "options.propagation-default-route-table-id",
    "options.vpn-ecmp-support",
    "owner-id",
    "state",
    "tag-key",
    "transit-gateway-arn",
    "transit-gateway-id",
    "description",
];

impl Filterable for TransitGateway {
    fn values(&self, name: &str) -> Vec<String> {
        if let Some((option, options)) = name.strip_prefix("options.").zip(self.options.as_ref()) {
            return match option {
                "amazon-side-asn" => values_of(&options.amazon_side_asn),
                "association-default-route-table-id" => values_of(&options.association_default_route_table_id),
                "auto-accept-shared-attachments" => values_of(&options.auto_accept_shared_attachments),
                "default-route-table-association" => values_of(&options.default_route_table_association),
                "default-route-table-propagation" => values_of(&options.default_route_table_propagation),
                "dns-support" => values_of(&options.dns_support),
                "propagation-default-route-table-id" => values_of(&options.propagation_default_route_table_id),
                _ => values_of(&options.vpn_ecmp_support),
            };
        }
        match name {
            "description" => values_of(&self.description),
            "owner-id" => values_of(&self.owner_id),
            "state" => values_of(&self.state),
            "transit-gateway-arn" => values_of(&self.transit_gateway_arn),
            "transit-gateway-id" => values_of(&self.transit_gateway_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn shape(row: &TransitGatewayRow, look: Look<'_>, tags: &mut TagMap) -> TransitGateway {
    let on = |on: bool| Some(word(on).to_owned());
    TransitGateway {
        creation_time: time(row.created_ms),
        description: Some(row.description.clone()),
        options: Some(TransitGatewayOptions {
            amazon_side_asn: Some(row.asn),
            association_default_route_table_id: row.association_table.as_ref().map(ToString::to_string),
            auto_accept_shared_attachments: on(row.auto_accept),
            default_route_table_association: on(row.default_association),
            default_route_table_propagation: on(row.default_propagation),
            dns_support: on(row.dns),
            encryption_support: None,
            multicast_support: on(false),
            propagation_default_route_table_id: row.propagation_table.as_ref().map(ToString::to_string),
            security_group_referencing_support: on(false),
            transit_gateway_cidr_blocks: Vec::new(),
            vpn_ecmp_support: on(row.ecmp),
        }),
        owner_id: Some(row.account_id.to_string()),
        state: Some(row.state.word().to_owned()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        transit_gateway_arn: Some(look.arn(&row.account_id, TAG_KIND, row.id.as_str())),
        transit_gateway_id: Some(row.id.to_string()),
    }
}

impl Ec2Api {
    /// As the call that brings it into this state answers.
    async fn transit_gateway_shown(
        &self,
        cx: &OpContext,
        row: &TransitGatewayRow,
        state: &str,
    ) -> Result<Option<TransitGateway>, ApiError> {
        let mut tags = tags_on(self.store(), cx.account(), [row.id.to_string()]).await?;
        Ok(Some(TransitGateway { state: Some(state.to_owned()), ..shape(row, self.look(), &mut tags) }))
    }

    pub(crate) async fn create_transit_gateway(
        &self,
        cx: &OpContext,
        r: CreateTransitGatewayRequest,
    ) -> Result<CreateTransitGatewayResult, ApiError> {
        let CreateTransitGatewayRequest { description, dry_run, options, tag_specifications } = r;
        let TransitGatewayRequestOptions {
            amazon_side_asn,
            auto_accept_shared_attachments,
            default_route_table_association,
            default_route_table_propagation,
            dns_support,
            multicast_support,
            security_group_referencing_support,
            transit_gateway_cidr_blocks,
            vpn_ecmp_support,
        } = options.unwrap_or_default();
        off("MulticastSupport", multicast_support.as_deref())?;
        off("SecurityGroupReferencingSupport", security_group_referencing_support.as_deref())?;
        refuse("TransitGatewayCidrBlocks", !transit_gateway_cidr_blocks.is_empty())?;
        let wish = GatewayWish {
            description,
            asn: amazon_side_asn,
            dns: switch("DnsSupport", dns_support.as_deref())?,
            ecmp: switch("VpnEcmpSupport", vpn_ecmp_support.as_deref())?,
            auto_accept: switch("AutoAcceptSharedAttachments", auto_accept_shared_attachments.as_deref())?,
            default_association: switch("DefaultRouteTableAssociation", default_route_table_association.as_deref())?,
            default_propagation: switch("DefaultRouteTablePropagation", default_route_table_propagation.as_deref())?,
            ..GatewayWish::default()
        };
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let row = self.cloud.create_transit_gateway(cx, &wish, &tags, dry_run == Some(true)).await?;
        Ok(CreateTransitGatewayResult { transit_gateway: self.transit_gateway_shown(cx, &row, "pending").await? })
    }

    pub(crate) async fn modify_transit_gateway(
        &self,
        cx: &OpContext,
        r: ModifyTransitGatewayRequest,
    ) -> Result<ModifyTransitGatewayResult, ApiError> {
        let ModifyTransitGatewayRequest { description, dry_run, options, transit_gateway_id } = r;
        let ModifyTransitGatewayOptions {
            add_transit_gateway_cidr_blocks,
            amazon_side_asn,
            association_default_route_table_id,
            auto_accept_shared_attachments,
            default_route_table_association,
            default_route_table_propagation,
            dns_support,
            encryption_support,
            propagation_default_route_table_id,
            remove_transit_gateway_cidr_blocks,
            security_group_referencing_support,
            vpn_ecmp_support,
        } = options.unwrap_or_default();
        off("EncryptionSupport", encryption_support.as_deref())?;
        off("SecurityGroupReferencingSupport", security_group_referencing_support.as_deref())?;
        refuse("AddTransitGatewayCidrBlocks", !add_transit_gateway_cidr_blocks.is_empty())?;
        refuse("RemoveTransitGatewayCidrBlocks", !remove_transit_gateway_cidr_blocks.is_empty())?;
        let wish = GatewayWish {
            description,
            asn: amazon_side_asn,
            dns: switch("DnsSupport", dns_support.as_deref())?,
            ecmp: switch("VpnEcmpSupport", vpn_ecmp_support.as_deref())?,
            auto_accept: switch("AutoAcceptSharedAttachments", auto_accept_shared_attachments.as_deref())?,
            default_association: switch("DefaultRouteTableAssociation", default_route_table_association.as_deref())?,
            default_propagation: switch("DefaultRouteTablePropagation", default_route_table_propagation.as_deref())?,
            association_table: association_default_route_table_id,
            propagation_table: propagation_default_route_table_id,
        };
        let id = required("TransitGatewayId", transit_gateway_id)?;
        let row = self.cloud.modify_transit_gateway(cx, &id, &wish, dry_run == Some(true)).await?;
        Ok(ModifyTransitGatewayResult { transit_gateway: self.transit_gateway_shown(cx, &row, "modifying").await? })
    }

    pub(crate) async fn delete_transit_gateway(
        &self,
        cx: &OpContext,
        r: DeleteTransitGatewayRequest,
    ) -> Result<DeleteTransitGatewayResult, ApiError> {
        let DeleteTransitGatewayRequest { dry_run, transit_gateway_id } = r;
        let id = required("TransitGatewayId", transit_gateway_id)?;
        let row = self.cloud.delete_transit_gateway(cx, &id, dry_run == Some(true)).await?;
        Ok(DeleteTransitGatewayResult { transit_gateway: self.transit_gateway_shown(cx, &row, "deleting").await? })
    }

    pub(crate) async fn describe_transit_gateways(
        &self,
        cx: &OpContext,
        r: DescribeTransitGatewaysRequest,
    ) -> Result<DescribeTransitGatewaysResult, ApiError> {
        let DescribeTransitGatewaysRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            transit_gateway_ids: given,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeTransitGateways", max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<TransitGatewayId> = &parse_ids(&given, Code::InvalidTransitGatewayIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<TransitGatewayId>| async move {
            let filter = TransitGatewayFilter {
                account: Some(cx.account()),
                ids: some_ids,
                after: after.as_ref(),
                ..Default::default()
            };
            let list = rows(transit_gateway_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidTransitGatewayIdNotFound)?;
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let shapes = list.iter().map(|row| shape(row, self.look(), &mut tags));
            Ok(Chunk { found: shapes.filter(|gateway| filters.accept(gateway)).collect(), next })
        };
        let key = |gateway: &TransitGateway| gateway.transit_gateway_id.clone().unwrap_or_default();
        let (transit_gateways, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeTransitGatewaysResult { next_token, transit_gateways })
    }
}
