//! The routes of a table. Of EC2's targets, those that this cloud has; the others are refused by name.

use crate::Ec2Api;
use crate::common::refuse;
use ipnet::{Ipv4Net, Ipv6Net};
use mallee_app::OpContext;
use mallee_app::ids::parse_id;
use mallee_app::routes::RouteTarget;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::RouteDestination;

/// The one destination of a request.
fn destination(cidr: Option<String>, ipv6: Option<String>, list: Option<String>) -> Result<RouteDestination, ApiError> {
    match (cidr, ipv6, list) {
        (None, None, Some(id)) => parse_id(&id, Code::InvalidPrefixListIdMalformed).map(RouteDestination::List),
        (None, None, None) => Err(Code::MissingParameter.with(&["destinationCidrBlock"])),
        (Some(text), None, None) => match text.parse::<Ipv4Net>() {
            Ok(block) => Ok(block.into()),
            Err(_) => Err(ApiError::invalid_value("destinationCidrBlock", &text, "This is not a valid CIDR block.")),
        },
        (None, Some(text), None) => match text.parse::<Ipv6Net>() {
            Ok(block) => Ok(block.into()),
            Err(_) => {
                Err(ApiError::invalid_value("destinationIpv6CidrBlock", &text, "This is not a valid IPv6 CIDR block."))
            }
        },
        _ => Err(ApiError::invalid_combination(
            "A route has one destination: the parameters destinationCidrBlock, destinationIpv6CidrBlock and \
             destinationPrefixListId exclude each other",
        )),
    }
}

/// The one target of a request, of those that it may give.
fn target<const N: usize>(given: [Option<RouteTarget>; N]) -> Result<RouteTarget, ApiError> {
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(_), Some(_)) => Err(ApiError::invalid_combination(
            "A route has one target: the parameters GatewayId, EgressOnlyInternetGatewayId, InstanceId, NatGatewayId, \
             NetworkInterfaceId, TransitGatewayId, VpcPeeringConnectionId and LocalTarget exclude each other",
        )),
        (Some(target), None) => Ok(target),
        (None, _) => Err(Code::MissingParameter.message(
            "The request must contain exactly one of: gatewayId, natGatewayId, networkInterfaceId, \
             vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, localGatewayId, carrierGatewayId, \
             vpcEndpointId, instanceId, coreNetworkArn",
        )),
    }
}

/// Takes a request apart, and refuses the targets that this cloud does not have.
macro_rules! one_target {
    ($request:ident as $type:ident { $($kept:ident),* $(,)? }) => {
        one_target!($request as $type { $($kept),* } but
            carrier_gateway_id "CarrierGatewayId", core_network_arn "CoreNetworkArn",
            local_gateway_id "LocalGatewayId",
            odb_network_arn "OdbNetworkArn", vpc_endpoint_id "VpcEndpointId");
    };
    ($request:ident as $type:ident { $($kept:ident),* } but $($other:ident $name:literal),*) => {
        let $type { $($kept,)* $($other),* } = $request;
        $(refuse($name, $other.is_some())?;)*
    };
}

impl Ec2Api {
    pub(crate) async fn create_route(
        &self,
        cx: &OpContext,
        r: CreateRouteRequest,
    ) -> Result<CreateRouteResult, ApiError> {
        one_target!(r as CreateRouteRequest {
            destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id, dry_run,
            egress_only_internet_gateway_id, gateway_id,
            instance_id, nat_gateway_id, network_interface_id, route_table_id, transit_gateway_id,
            vpc_peering_connection_id
        });
        let table = route_table_id.ok_or_else(|| ApiError::missing_parameter("routeTableId"))?;
        let to = destination(destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id)?;
        let target = target([
            gateway_id.map(RouteTarget::InternetGateway),
            egress_only_internet_gateway_id.map(RouteTarget::EgressOnlyGateway),
            instance_id.map(RouteTarget::Instance),
            nat_gateway_id.map(RouteTarget::NatGateway),
            transit_gateway_id.map(RouteTarget::TransitGateway),
            network_interface_id.map(RouteTarget::Interface),
            vpc_peering_connection_id.map(RouteTarget::Peering),
        ])?;
        self.cloud.create_route(cx, &table, &to, &target, dry_run == Some(true)).await?;
        Ok(CreateRouteResult { return_: Some(true) })
    }

    pub(crate) async fn replace_route(&self, cx: &OpContext, r: ReplaceRouteRequest) -> Result<(), ApiError> {
        one_target!(r as ReplaceRouteRequest {
            destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id, dry_run,
            egress_only_internet_gateway_id, gateway_id,
            instance_id, local_target, nat_gateway_id, network_interface_id, route_table_id, transit_gateway_id,
            vpc_peering_connection_id
        });
        let table = route_table_id.ok_or_else(|| ApiError::missing_parameter("routeTableId"))?;
        let to = destination(destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id)?;
        let target = target([
            gateway_id.map(RouteTarget::InternetGateway),
            egress_only_internet_gateway_id.map(RouteTarget::EgressOnlyGateway),
            instance_id.map(RouteTarget::Instance),
            nat_gateway_id.map(RouteTarget::NatGateway),
            transit_gateway_id.map(RouteTarget::TransitGateway),
            network_interface_id.map(RouteTarget::Interface),
            vpc_peering_connection_id.map(RouteTarget::Peering),
            (local_target == Some(true)).then_some(RouteTarget::Local),
        ])?;
        self.cloud.replace_route(cx, &table, &to, &target, dry_run == Some(true)).await
    }

    pub(crate) async fn delete_route(&self, cx: &OpContext, r: DeleteRouteRequest) -> Result<(), ApiError> {
        let DeleteRouteRequest {
            destination_cidr_block,
            destination_ipv6_cidr_block,
            destination_prefix_list_id,
            dry_run,
            route_table_id,
        } = r;
        let table = route_table_id.ok_or_else(|| ApiError::missing_parameter("routeTableId"))?;
        let to = destination(destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id)?;
        self.cloud.delete_route(cx, &table, &to, dry_run == Some(true)).await
    }
}
