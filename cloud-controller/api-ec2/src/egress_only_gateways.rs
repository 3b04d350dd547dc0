//! Egress-only internet gateways.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_of_one, tags_on,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::once::Once;
use mallee_app::routes::EGRESS_ONLY_TAG_KIND;
use mallee_awswire::{ApiError, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{EgressOnlyGatewayFilter, EgressOnlyGatewayRow, egress_only_gateway_list};
use mallee_types::EgressOnlyGatewayId;

/// What DescribeEgressOnlyInternetGateways filters by.
const FILTERS: [&str; 1] = ["tag-key"];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=255;

impl Filterable for EgressOnlyInternetGateway {
    fn values(&self, name: &str) -> Vec<String> {
        tag_filter_values(name, &self.tags)
    }
}

fn shape(row: &EgressOnlyGatewayRow, tags: &mut TagMap) -> EgressOnlyInternetGateway {
    let attachment =
        InternetGatewayAttachment { state: Some("attached".to_owned()), vpc_id: Some(row.vpc_id.to_string()) };
    EgressOnlyInternetGateway {
        attachments: vec![attachment],
        egress_only_internet_gateway_id: Some(row.id.to_string()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
    }
}

impl Ec2Api {
    pub(crate) async fn create_egress_only_internet_gateway(
        &self,
        cx: &OpContext,
        r: CreateEgressOnlyInternetGatewayRequest,
        params: &Params,
    ) -> Result<CreateEgressOnlyInternetGatewayResult, ApiError> {
        let CreateEgressOnlyInternetGatewayRequest { client_token, dry_run, tag_specifications, vpc_id } = r;
        let vpc = vpc_id.ok_or_else(|| ApiError::missing_parameter("vpcId"))?;
        let tags = tags_of_one(tag_specifications, EGRESS_ONLY_TAG_KIND)?;
        let once = Once { token: client_token.clone(), params_hash: hex::encode(params.fingerprint()) };
        let id = self.cloud.create_egress_only_gateway(cx, &vpc, &tags, &once, dry_run == Some(true)).await?;
        let row = self.cloud.find_egress_only_gateway(cx, id.as_str()).await?;
        let mut tags = tags_on(self.store(), cx.account(), [row.id.to_string()]).await?;
        let egress_only_internet_gateway = Some(shape(&row, &mut tags));
        Ok(CreateEgressOnlyInternetGatewayResult { client_token, egress_only_internet_gateway })
    }

    pub(crate) async fn delete_egress_only_internet_gateway(
        &self,
        cx: &OpContext,
        r: DeleteEgressOnlyInternetGatewayRequest,
    ) -> Result<DeleteEgressOnlyInternetGatewayResult, ApiError> {
        let DeleteEgressOnlyInternetGatewayRequest { dry_run, egress_only_internet_gateway_id: id } = r;
        let id = id.ok_or_else(|| ApiError::missing_parameter("egressOnlyInternetGatewayId"))?;
        self.cloud.delete_egress_only_gateway(cx, &id, dry_run == Some(true)).await?;
        Ok(DeleteEgressOnlyInternetGatewayResult { return_code: Some(true) })
    }

    /// An id that is none, or of nothing that is there, finds nothing: clients that wait for a gateway to go ask so.
    pub(crate) async fn describe_egress_only_internet_gateways(
        &self,
        cx: &OpContext,
        r: DescribeEgressOnlyInternetGatewaysRequest,
    ) -> Result<DescribeEgressOnlyInternetGatewaysResult, ApiError> {
        let DescribeEgressOnlyInternetGatewaysRequest {
            dry_run: dry,
            egress_only_internet_gateway_ids: given,
            filters: wanted,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let operation = "DescribeEgressOnlyInternetGateways";
        let page = page(operation, max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: Vec<EgressOnlyGatewayId> = given.iter().filter_map(|id| id.parse().ok()).collect();
        let some_ids = (!given.is_empty()).then_some(ids.as_slice());
        dry_run(dry)?;
        let store = self.store();
        let read = |after: Option<EgressOnlyGatewayId>| async move {
            let (account, after) = (Some(cx.account()), after.as_ref());
            let filter = EgressOnlyGatewayFilter { account, ids: some_ids, after, ..Default::default() };
            let list = rows(egress_only_gateway_list(store, filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            let mut tags = tags_on(store, cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let shapes = list.iter().map(|row| shape(row, &mut tags));
            Ok(Chunk { found: shapes.filter(|gateway| filters.accept(gateway)).collect(), next })
        };
        let key =
            |gateway: &EgressOnlyInternetGateway| gateway.egress_only_internet_gateway_id.clone().unwrap_or_default();
        let (egress_only_internet_gateways, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeEgressOnlyInternetGatewaysResult { egress_only_internet_gateways, next_token })
    }
}
