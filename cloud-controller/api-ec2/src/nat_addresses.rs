//! Addresses of NAT gateways besides their primary ones.

use crate::Ec2Api;
use crate::common::refuse;
use mallee_app::OpContext;
use mallee_app::addresses::ipv4;
use mallee_app::nat_gateways::{LeavingAddresses, NewAddresses};
use mallee_awswire::ApiError;
use mallee_ec2_types::ec2::*;
use mallee_store::{NatAddressRow, NatAddressState, NatGatewayRow, NatGatewayState};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Seconds that flows may go on for when an address goes, and for how long if nothing is said.
const DRAIN_S: std::ops::RangeInclusive<i32> = 1..=4000;
const DRAIN_S_USUAL: u32 = 350;
/// Addresses in one request.
const AT_ONCE_MAX: usize = 31;

/// An address of a gateway, not its primary one.
pub(crate) fn address_shape(gateway: &NatGatewayRow, row: &NatAddressRow) -> NatGatewayAddress {
    let words = if gateway.private { ["assigning", "unassigning"] } else { ["associating", "disassociating"] };
    let status = match row.state {
        // All of its addresses go with it.
        _ if gateway.state == NatGatewayState::Deleting => words[1],
        NatAddressState::Adding => words[0],
        NatAddressState::Up => "succeeded",
        NatAddressState::Draining | NatAddressState::Leaving => words[1],
    };
    NatGatewayAddress {
        allocation_id: row.allocation_id.as_ref().map(ToString::to_string),
        association_id: row.association_id.as_ref().map(ToString::to_string),
        is_primary: Some(false),
        network_interface_id: gateway.interface_id.as_ref().map(ToString::to_string),
        private_ip: Some(row.address.to_string()),
        public_ip: row.public_ip.map(|ip| ip.to_string()),
        status: Some(status.to_owned()),
        ..Default::default()
    }
}

fn gateway_id(given: Option<String>) -> Result<String, ApiError> {
    given.ok_or_else(|| ApiError::missing_parameter("NatGatewayId"))
}

/// Fails unless a list has something in it, not too much, and nothing twice.
fn list(name: &str, given: &[String]) -> Result<(), ApiError> {
    if given.is_empty() {
        return Err(ApiError::missing_parameter(name));
    }
    if given.len() > AT_ONCE_MAX {
        let text = format!("At most {AT_ONCE_MAX} may be given.");
        return Err(ApiError::invalid_value(name, &given.len().to_string(), &text));
    }
    let mut seen = BTreeSet::new();
    match given.iter().find(|one| !seen.insert(*one)) {
        Some(twice) => Err(ApiError::invalid_value(name, &mallee_awswire::texts::clip(twice), "It is given twice.")),
        None => Ok(()),
    }
}

fn addresses(given: &[String]) -> Result<Vec<Ipv4Addr>, ApiError> {
    list("PrivateIpAddress", given)?;
    given.iter().map(|text| ipv4(text)).collect()
}

fn drain_seconds(given: Option<i32>) -> Result<u32, ApiError> {
    let Some(seconds) = given else { return Ok(DRAIN_S_USUAL) };
    let valid = DRAIN_S.contains(&seconds).then(|| u32::try_from(seconds).ok()).flatten();
    valid.ok_or_else(|| {
        ApiError::invalid_value("MaxDrainDurationSeconds", &seconds.to_string(), "Valid values are 1 to 4000.")
    })
}

/// What a gateway is to be made with besides its primary address: elastic IPs of a public one, with private addresses or
/// without, and private addresses, or so many, of a private one.
pub(crate) fn further(
    primary: Option<&String>,
    allocations: Vec<String>,
    given: &[String],
    count: Option<i32>,
) -> Result<NewAddresses, ApiError> {
    if allocations.is_empty() && given.is_empty() && count.is_none() {
        return Ok(NewAddresses::default());
    }
    if primary.is_none() {
        if !allocations.is_empty() {
            return Err(ApiError::invalid_combination(
                "The parameter SecondaryAllocationId is for public NAT gateways: it needs AllocationId.",
            ));
        }
        let (private, count) = private_addresses("Secondary", count, given)?;
        return Ok(NewAddresses { allocations, private, count });
    }
    if count.is_some() {
        return Err(ApiError::invalid_combination(
            "The parameter SecondaryPrivateIpAddressCount is for private NAT gateways: give a SecondaryAllocationId for each \
             address.",
        ));
    }
    list("SecondaryAllocationId", &allocations)?;
    if let Some(twice) = primary.filter(|primary| allocations.contains(primary)) {
        let text = "It is the primary one.";
        return Err(ApiError::invalid_value("SecondaryAllocationId", &mallee_awswire::texts::clip(twice), text));
    }
    let private = beside(&allocations, given)?;
    Ok(NewAddresses { allocations, private, count: 0 })
}

/// Private addresses, one for each elastic IP, or none.
fn beside(allocations: &[String], given: &[String]) -> Result<Vec<Ipv4Addr>, ApiError> {
    match given {
        [] => Ok(Vec::new()),
        given if given.len() == allocations.len() => addresses(given),
        _ => {
            let text = "There must be as many private IP addresses as allocation IDs.";
            Err(ApiError::invalid_combination(text))
        }
    }
}

/// These private addresses, or so many. `start` begins the names of the parameters.
fn private_addresses(start: &str, count: Option<i32>, given: &[String]) -> Result<(Vec<Ipv4Addr>, usize), ApiError> {
    match (count, given) {
        (None, given) => Ok((addresses(given)?, 0)),
        (Some(_), [_, ..]) => Err(ApiError::invalid_combination(format!(
            "The parameters {start}PrivateIpAddress and {start}PrivateIpAddressCount cannot be used together."
        ))),
        (Some(count), []) => match usize::try_from(count) {
            Ok(count) if (1..=AT_ONCE_MAX).contains(&count) => Ok((Vec::new(), count)),
            _ => {
                let name = format!("{start}PrivateIpAddressCount");
                Err(ApiError::invalid_value(&name, &count.to_string(), "Valid values are 1 to 31."))
            }
        },
    }
}

fn shapes((gateway, rows): (NatGatewayRow, Vec<NatAddressRow>)) -> (Vec<NatGatewayAddress>, Option<String>) {
    (rows.iter().map(|row| address_shape(&gateway, row)).collect(), Some(gateway.id.to_string()))
}

impl Ec2Api {
    pub(crate) async fn associate_nat_addresses(
        &self,
        cx: &OpContext,
        r: AssociateNatGatewayAddressRequest,
    ) -> Result<AssociateNatGatewayAddressResult, ApiError> {
        let AssociateNatGatewayAddressRequest {
            allocation_ids: allocations,
            availability_zone,
            availability_zone_id,
            dry_run,
            nat_gateway_id,
            private_ip_addresses,
        } = r;
        // Of a regional gateway.
        refuse("AvailabilityZone", availability_zone.is_some())?;
        refuse("AvailabilityZoneId", availability_zone_id.is_some())?;
        let id = gateway_id(nat_gateway_id)?;
        list("AllocationId", &allocations)?;
        let private = beside(&allocations, &private_ip_addresses)?;
        let new = NewAddresses { allocations, private, count: 0 };
        let (nat_gateway_addresses, nat_gateway_id) =
            shapes(self.cloud.add_nat_addresses(cx, &id, &new, dry_run == Some(true)).await?);
        Ok(AssociateNatGatewayAddressResult { nat_gateway_addresses, nat_gateway_id })
    }

    pub(crate) async fn assign_nat_addresses(
        &self,
        cx: &OpContext,
        r: AssignPrivateNatGatewayAddressRequest,
    ) -> Result<AssignPrivateNatGatewayAddressResult, ApiError> {
        let AssignPrivateNatGatewayAddressRequest {
            dry_run,
            nat_gateway_id,
            private_ip_address_count: count,
            private_ip_addresses: given,
        } = r;
        let id = gateway_id(nat_gateway_id)?;
        let (private, count) = private_addresses("", count, &given)?;
        let new = NewAddresses { allocations: Vec::new(), private, count };
        let (nat_gateway_addresses, nat_gateway_id) =
            shapes(self.cloud.add_nat_addresses(cx, &id, &new, dry_run == Some(true)).await?);
        Ok(AssignPrivateNatGatewayAddressResult { nat_gateway_addresses, nat_gateway_id })
    }

    pub(crate) async fn disassociate_nat_addresses(
        &self,
        cx: &OpContext,
        r: DisassociateNatGatewayAddressRequest,
    ) -> Result<DisassociateNatGatewayAddressResult, ApiError> {
        let DisassociateNatGatewayAddressRequest {
            association_ids,
            dry_run,
            max_drain_duration_seconds,
            nat_gateway_id,
        } = r;
        let id = gateway_id(nat_gateway_id)?;
        list("AssociationId", &association_ids)?;
        let seconds = drain_seconds(max_drain_duration_seconds)?;
        let which = LeavingAddresses::Associations(association_ids);
        let (nat_gateway_addresses, nat_gateway_id) =
            shapes(self.cloud.drain_nat_addresses(cx, &id, &which, seconds, dry_run == Some(true)).await?);
        Ok(DisassociateNatGatewayAddressResult { nat_gateway_addresses, nat_gateway_id })
    }

    pub(crate) async fn unassign_nat_addresses(
        &self,
        cx: &OpContext,
        r: UnassignPrivateNatGatewayAddressRequest,
    ) -> Result<UnassignPrivateNatGatewayAddressResult, ApiError> {
        let UnassignPrivateNatGatewayAddressRequest {
            dry_run,
            max_drain_duration_seconds,
            nat_gateway_id,
            private_ip_addresses,
        } = r;
        let id = gateway_id(nat_gateway_id)?;
        let which = LeavingAddresses::Private(addresses(&private_ip_addresses)?);
        let seconds = drain_seconds(max_drain_duration_seconds)?;
        let (nat_gateway_addresses, nat_gateway_id) =
            shapes(self.cloud.drain_nat_addresses(cx, &id, &which, seconds, dry_run == Some(true)).await?);
        Ok(UnassignPrivateNatGatewayAddressResult { nat_gateway_addresses, nat_gateway_id })
    }
}
