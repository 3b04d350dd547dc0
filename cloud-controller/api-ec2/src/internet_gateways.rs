//! Internet gateways.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_of_one, tags_on,
    values_of, wire_tags,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::routes::GATEWAY_TAG_KIND;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{InternetGatewayRow, internet_gateway_list};
use mallee_types::InternetGatewayId;

/// What DescribeInternetGateways filters by.
const FILTERS: [&str; 5] = ["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id", "tag-key"];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=1000;

impl Filterable for InternetGateway {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "attachment.state" => self.attachments.iter().flat_map(|a| values_of(&a.state)).collect(),
            "attachment.vpc-id" => self.attachments.iter().flat_map(|a| values_of(&a.vpc_id)).collect(),
            "internet-gateway-id" => values_of(&self.internet_gateway_id),
            "owner-id" => values_of(&self.owner_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn shape(row: &InternetGatewayRow, tags: &mut TagMap) -> InternetGateway {
    // An attached gateway has always been "available", not "attached".
    let attachment = |vpc: &mallee_types::VpcId| InternetGatewayAttachment {
        state: Some("available".to_owned()),
        vpc_id: Some(vpc.to_string()),
    };
    InternetGateway {
        attachments: row.vpc_id.iter().map(attachment).collect(),
        internet_gateway_id: Some(row.id.to_string()),
        owner_id: Some(row.account_id.to_string()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
    }
}

fn required<'a>(name: &str, value: &'a Option<String>) -> Result<&'a str, ApiError> {
    value.as_deref().ok_or_else(|| ApiError::missing_parameter(name))
}

impl Ec2Api {
    pub(crate) async fn create_internet_gateway(
        &self,
        cx: &OpContext,
        r: CreateInternetGatewayRequest,
    ) -> Result<CreateInternetGatewayResult, ApiError> {
        let CreateInternetGatewayRequest { dry_run, tag_specifications } = r;
        let tags = tags_of_one(tag_specifications, GATEWAY_TAG_KIND)?;
        let row = self.cloud.create_internet_gateway(cx, &tags, dry_run == Some(true)).await?;
        let tags = wire_tags(tags.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let mut tags = TagMap::from([(row.id.to_string(), tags)]);
        Ok(CreateInternetGatewayResult { internet_gateway: Some(shape(&row, &mut tags)) })
    }

    pub(crate) async fn attach_internet_gateway(
        &self,
        cx: &OpContext,
        r: AttachInternetGatewayRequest,
    ) -> Result<(), ApiError> {
        let AttachInternetGatewayRequest { dry_run, internet_gateway_id, vpc_id } = r;
        let (id, vpc) = (required("internetGatewayId", &internet_gateway_id)?, required("vpcId", &vpc_id)?);
        self.cloud.attach_internet_gateway(cx, id, vpc, dry_run == Some(true)).await
    }

    pub(crate) async fn detach_internet_gateway(
        &self,
        cx: &OpContext,
        r: DetachInternetGatewayRequest,
    ) -> Result<(), ApiError> {
        let DetachInternetGatewayRequest { dry_run, internet_gateway_id, vpc_id } = r;
        let (id, vpc) = (required("internetGatewayId", &internet_gateway_id)?, required("vpcId", &vpc_id)?);
        self.cloud.detach_internet_gateway(cx, id, vpc, dry_run == Some(true)).await
    }

    pub(crate) async fn delete_internet_gateway(
        &self,
        cx: &OpContext,
        r: DeleteInternetGatewayRequest,
    ) -> Result<(), ApiError> {
        let DeleteInternetGatewayRequest { dry_run, internet_gateway_id } = r;
        let id = required("internetGatewayId", &internet_gateway_id)?;
        self.cloud.delete_internet_gateway(cx, id, dry_run == Some(true)).await
    }

    pub(crate) async fn describe_internet_gateways(
        &self,
        cx: &OpContext,
        r: DescribeInternetGatewaysRequest,
    ) -> Result<DescribeInternetGatewaysResult, ApiError> {
        let DescribeInternetGatewaysRequest {
            dry_run: dry,
            filters: wanted,
            internet_gateway_ids: given,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeInternetGateways", max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<InternetGatewayId> = &parse_ids(&given, Code::InvalidInternetGatewayIdMalformed)?;
        dry_run(dry)?;
        let store = self.store();
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<InternetGatewayId>| async move {
            let list = rows(internet_gateway_list(store, cx.account(), some_ids, None, after.as_ref(), ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidInternetGatewayIdNotFound)?;
            let mut tags = tags_on(store, cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let shapes = list.iter().map(|row| shape(row, &mut tags));
            Ok(Chunk { found: shapes.filter(|gateway| filters.accept(gateway)).collect(), next })
        };
        let key = |gateway: &InternetGateway| gateway.internet_gateway_id.clone().unwrap_or_default();
        let (internet_gateways, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeInternetGatewaysResult { internet_gateways, next_token })
    }
}
