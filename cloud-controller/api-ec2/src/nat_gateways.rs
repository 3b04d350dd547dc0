//! NAT gateways: zonal ones; how they get more addresses is in `nat_addresses.rs`.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, only, page, refuse, rows, tag_filter_values, tags_of_one,
    tags_on, time, values_of,
};
use crate::filter::Filterable;
use crate::nat_addresses::{address_shape, further};
use mallee_app::OpContext;
use mallee_app::addresses::ipv4;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::nat_gateways::{NewGateway, TAG_KIND};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    NatAddressRow, NatGatewayFilter, NatGatewayRow, NatGatewayState, nat_address_list, nat_gateway_list,
};
use mallee_types::NatGatewayId;

/// What DescribeNatGateways filters by.
const FILTERS: [&str; 5] = ["nat-gateway-id", "state", "subnet-id", "tag-key", "vpc-id"];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=1000;
/// The kinds of gateways.
const CONNECTIVITY: [&str; 2] = ["public", "private"];
/// The availability mode that there is.
const ZONAL: &str = "zonal";

impl Filterable for NatGateway {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "nat-gateway-id" => values_of(&self.nat_gateway_id),
            "state" => values_of(&self.state),
            "subnet-id" => values_of(&self.subnet_id),
            "vpc-id" => values_of(&self.vpc_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

/// How its address is.
const fn address_status(row: &NatGatewayRow) -> &'static str {
    match row.state {
        NatGatewayState::Pending if row.private => "assigning",
        NatGatewayState::Pending => "associating",
        NatGatewayState::Deleting if !row.private => "disassociating",
        NatGatewayState::Deleting => "unassigning",
        NatGatewayState::Failed => "failed",
        NatGatewayState::Available | NatGatewayState::Deleted => "succeeded",
    }
}

fn shape(row: &NatGatewayRow, others: &[NatAddressRow], tags: &mut TagMap) -> NatGateway {
    let address = NatGatewayAddress {
        allocation_id: row.allocation_id.as_ref().map(ToString::to_string),
        association_id: row.association_id.as_ref().map(ToString::to_string),
        failure_message: row.failure_message.clone(),
        is_primary: Some(true),
        network_interface_id: row.interface_id.as_ref().map(ToString::to_string),
        private_ip: row.private_ip.map(|ip| ip.to_string()),
        public_ip: row.public_ip.map(|ip| ip.to_string()),
        status: Some(address_status(row).to_owned()),
        ..Default::default()
    };
    let others = others.iter().filter(|other| other.gateway_id == row.id);
    NatGateway {
        availability_mode: Some(ZONAL.to_owned()),
        connectivity_type: Some(CONNECTIVITY[usize::from(row.private)].to_owned()),
        create_time: time(row.created_ms),
        delete_time: row.ended_ms.and_then(time),
        failure_code: row.failure_code.clone(),
        failure_message: row.failure_message.clone(),
        nat_gateway_addresses: std::iter::once(address).chain(others.map(|other| address_shape(row, other))).collect(),
        nat_gateway_id: Some(row.id.to_string()),
        state: Some(row.state.word().to_owned()),
        subnet_id: Some(row.subnet_id.to_string()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        vpc_id: Some(row.vpc_id.to_string()),
        ..Default::default()
    }
}

/// Whether a gateway of this kind is to have that elastic IP: a public one must, a private one cannot.
fn check_allocation(kind: &str, allocation: Option<&String>) -> Result<(), ApiError> {
    match (CONNECTIVITY.iter().position(|known| *known == kind), allocation) {
        (Some(0), Some(_)) | (Some(1), None) => Ok(()),
        (Some(0), None) => Err(ApiError::missing_parameter("AllocationId")),
        (Some(_), _) => Err(ApiError::invalid_combination(
            "The parameter AllocationId cannot be used with the connectivity type 'private'.",
        )),
        (None, _) => Err(ApiError::invalid_value("ConnectivityType", kind, "Valid values are public, private.")),
    }
}

impl Ec2Api {
    async fn nat_gateways_shown(&self, cx: &OpContext, rows: &[NatGatewayRow]) -> Result<Vec<NatGateway>, ApiError> {
        let mut tags = tags_on(self.store(), cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
        let ids: Vec<NatGatewayId> = rows.iter().map(|row| row.id.clone()).collect();
        let others = nat_address_list(self.store(), &ids).await.or_fail()?;
        Ok(rows.iter().map(|row| shape(row, &others, &mut tags)).collect())
    }

    pub(crate) async fn create_nat_gateway(
        &self,
        cx: &OpContext,
        r: CreateNatGatewayRequest,
        params: &Params,
    ) -> Result<CreateNatGatewayResult, ApiError> {
        let CreateNatGatewayRequest {
            allocation_id,
            availability_mode,
            availability_zone_addresses,
            client_token,
            connectivity_type,
            dry_run,
            private_ip_address,
            secondary_allocation_ids,
            secondary_private_ip_address_count,
            secondary_private_ip_addresses,
            subnet_id,
            tag_specifications,
            vpc_id,
        } = r;
        only("AvailabilityMode", availability_mode.as_deref(), &[ZONAL])?;
        refuse("AvailabilityZoneAddress", !availability_zone_addresses.is_empty())?;
        // Of a regional gateway: a zonal one is in its subnet's.
        refuse("VpcId", vpc_id.is_some())?;
        check_allocation(connectivity_type.as_deref().unwrap_or(CONNECTIVITY[0]), allocation_id.as_ref())?;
        let more = further(
            allocation_id.as_ref(),
            secondary_allocation_ids,
            &secondary_private_ip_addresses,
            secondary_private_ip_address_count,
        )?;
        let new = NewGateway {
            more,
            subnet: subnet_id.ok_or_else(|| ApiError::missing_parameter("subnetId"))?,
            allocation: allocation_id,
            private_ip: private_ip_address.as_deref().map(ipv4).transpose()?,
            tags: tags_of_one(tag_specifications, TAG_KIND)?,
        };
        let once = Once { token: client_token.clone(), params_hash: hex::encode(params.fingerprint()) };
        let row = self.cloud.create_nat_gateway(cx, &new, &once, dry_run == Some(true)).await?;
        Ok(CreateNatGatewayResult { client_token, nat_gateway: self.nat_gateways_shown(cx, &[row]).await?.pop() })
    }

    pub(crate) async fn delete_nat_gateway(
        &self,
        cx: &OpContext,
        r: DeleteNatGatewayRequest,
    ) -> Result<DeleteNatGatewayResult, ApiError> {
        let DeleteNatGatewayRequest { dry_run, nat_gateway_id } = r;
        let id = nat_gateway_id.ok_or_else(|| ApiError::missing_parameter("natGatewayId"))?;
        let id = self.cloud.delete_nat_gateway(cx, &id, dry_run == Some(true)).await?;
        Ok(DeleteNatGatewayResult { nat_gateway_id: Some(id.to_string()) })
    }

    pub(crate) async fn describe_nat_gateways(
        &self,
        cx: &OpContext,
        r: DescribeNatGatewaysRequest,
    ) -> Result<DescribeNatGatewaysResult, ApiError> {
        let DescribeNatGatewaysRequest {
            dry_run: dry,
            filter: wanted,
            max_results,
            nat_gateway_ids: given,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeNatGateways", max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<NatGatewayId> = &parse_ids(&given, Code::NatGatewayMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<NatGatewayId>| async move {
            let (account, after) = (Some(cx.account()), after.as_ref());
            let filter = NatGatewayFilter { account, ids: some_ids, after, ..Default::default() };
            let list = rows(nat_gateway_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::NatGatewayNotFound)?;
            let shapes = self.nat_gateways_shown(cx, &list).await?.into_iter();
            Ok(Chunk { found: shapes.filter(|gateway| filters.accept(gateway)).collect(), next })
        };
        let key = |gateway: &NatGateway| gateway.nat_gateway_id.clone().unwrap_or_default();
        let (nat_gateways, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeNatGatewaysResult { nat_gateways, next_token })
    }
}
